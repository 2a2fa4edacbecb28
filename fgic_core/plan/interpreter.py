"""Descriptions of components that live in another Python, such as one whose pins conflict: it is asked, by one call."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from fgic_core.description import Answer, Manifest, Request
from fgic_core.description.model import Inner, Recipe, Wrong
from fgic_core.errors import PluginError
from fgic_core.plan.descriptions import Remembered
from fgic_core.registry import Registry

R = TypeVar("R", bound=Recipe)
#: Seconds that the other Python is given: it may have to import what nobody has imported before.
_PATIENCE = 600
# Not `-m`: that puts the working directory before every package, and a file `json.py` there would be imported.
_START = (
    "import sys; sys.path[:] = [*sys.argv[1:], *filter(None, sys.path)]; "
    "from fgic_core.plan.interpreter import main; main()"
)


class Interpreter:
    """Asks another Python, which remembers what it said as this one does and imports only what it has to.

    All components are asked after in one call. What comes back says which code they are (`Manifest.identity`), for this
    Python cannot look.

    Args:
        python: its executable.
        path: folders that its modules are looked for in before its own.
    """

    def __init__(self, python: Path | str, path: Sequence[str] = ()) -> None:
        self._command = [str(python), "-c", _START, *path]

    def manifests(self, uses: Iterable[str], *, schema: bool = False) -> dict[str, Manifest | PluginError]:
        found: dict[str, Manifest | PluginError] = {}
        for one, (manifest, error) in self._ask({"manifests": list(uses), "schema": schema}).items():
            found[one] = Manifest.model_validate(manifest) if error is None else PluginError(**error)
        return found

    def describe(self, requests: Sequence[Request]) -> list[Answer]:
        try:
            asked = [request.to_dict() for request in requests]
        except TypeError as error:
            raise PluginError(f"an option cannot go to another Python: {error}", where=self._command[0]) from None
        return [Answer.model_validate(answer) for answer in self._ask({"describe": asked})]

    def _ask(self, question: Mapping[str, Any]) -> Any:
        try:
            done = subprocess.run(  # noqa: S603 - every part is ours
                self._command, input=json.dumps(question).encode(), capture_output=True, timeout=_PATIENCE, check=False
            )
            if done.returncode == 0:
                return json.loads(done.stdout)
            what = f"ended with status {done.returncode}"
        except subprocess.TimeoutExpired:
            what, done = f"did not answer within {_PATIENCE} s", None
        except (OSError, ValueError) as error:
            what, done = str(error), None
        said = done.stderr.decode("utf-8", "replace").strip().splitlines() if done is not None else []
        raise PluginError(
            f"the Python that is to describe components cannot be asked: {'; '.join([what, *said[-1:]])}",
            where=self._command[0],
            hint="fgic has to be installed there, in the same version as here.",
        )


def main() -> None:
    """Answer one question, which standard input has; what plugins print goes to standard error."""
    answer = os.fdopen(os.dup(1), "w", encoding="ascii")
    os.dup2(2, 1)
    with answer:
        json.dump(_answer(json.load(sys.stdin), Remembered(Registry())), answer)


def _answer(question: Mapping[str, Any], describer: Remembered) -> Any:
    if "describe" in question:
        requests = [Request.from_dict(one) for one in question["describe"]]
        describer.manifests({request.uses for request in requests})
        return [_identified(answer, describer).model_dump(mode="json") for answer in describer.describe(requests)]
    found: dict[str, Any] = {}
    for uses, manifest in describer.manifests(question["manifests"], schema=question["schema"]).items():
        if isinstance(manifest, PluginError):
            found[uses] = None, {"what": manifest.what, "where": manifest.where, "hint": manifest.hint}
        else:
            found[uses] = _known(manifest, describer).model_dump(mode="json"), None
    return found


def _identified(answer: Answer, describer: Remembered) -> Answer:
    """The answer, with which code it is about."""
    wrong = tuple(_explained(one, describer) for one in answer.wrong)
    described = answer.described
    if described is not None:
        named = {where: _recipe(one, describer) for where, one in described.named.items()}
        described = _recipe(described, describer).model_copy(update={"named": named})
    return answer.model_copy(update={"wrong": wrong, "described": described})


def _explained(wrong: Wrong, describer: Remembered) -> Wrong:
    if wrong.inner is None:
        return wrong
    within = tuple(_explained(one, describer) for one in wrong.inner.wrong)
    return wrong.model_copy(update={"inner": Inner(manifest=_known(wrong.inner.manifest, describer), wrong=within)})


def _recipe(recipe: R, describer: Remembered) -> R:
    return recipe.model_copy(update={"manifest": _known(recipe.manifest, describer)})


def _known(manifest: Manifest, describer: Remembered) -> Manifest:
    return manifest.model_copy(update={"identity": describer.keys.identities.of(manifest)})
