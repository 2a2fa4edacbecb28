"""From YAML, or from Python data, to a `Spec`; and a spec with its components as they are now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from fgic_core.data.files import regular_file
from fgic_core.description import Described, Describer
from fgic_core.errors import FgicError, PluginError
from fgic_core.registry import Registry
from fgic_core.spec.check import EXAMPLE, Check
from fgic_core.spec.document import from_data, read
from fgic_core.spec.errors import Place, Problem, Source, SpecError, did_you_mean
from fgic_core.spec.model import Spec, SpecStep, dump_yaml

#: How many bytes a spec may have.
_LARGEST = 16 << 20


def load_spec(
    path: Path | str, registry: Registry, overrides: Sequence[str] = (), describer: Describer | None = None
) -> Spec:
    """Read and check a spec file.

    Args:
        path: the file; relative paths in it start at its folder.
        registry: where components come from.
        overrides: assignments such as ``classifier.with.epochs=1``; relative paths in them start at the working
            directory.
        describer: says what the components are; by default this process imports them.

    Raises:
        SpecError: with every problem at once.
    """
    path = Path(path)
    text = _text(path)
    return parse_spec(text, registry, path=path, overrides=overrides, describer=describer)


def parse_spec(
    text: str,
    registry: Registry,
    *,
    path: Path | None = None,
    base: Path | None = None,
    overrides: Sequence[str] = (),
    describer: Describer | None = None,
) -> Spec:
    """Check a spec's text; see `load_spec`.

    Args:
        text: YAML.
        registry: where components come from.
        path: the file that the text is from, for messages and the default name.
        base: folder that relative paths start at; the file's folder, or else the working directory.
        overrides: see `load_spec`; describer: likewise.
    """
    lines = text.replace("\r\n", "\n").removeprefix("\ufeff")
    source = Source(str(path) if path is not None else "spec", "file", tuple(lines.split("\n")))
    root, problems = read(lines, source)
    if root is None:
        raise SpecError(problems or [Problem("is empty", Place(source), EXAMPLE)])
    folder = base if base is not None else path.parent if path is not None else Path.cwd()
    return Check(registry, describer, folder.absolute(), problems).spec(root, overrides, path, text)


def from_dict(
    document: Mapping[str, Any],
    registry: Registry,
    base: Path | None = None,
    overrides: Sequence[str] = (),
    describer: Describer | None = None,
) -> Spec:
    """Check a spec given as Python data, as a notebook does; see `load_spec`. Problems name keys instead of lines.

    Args:
        document: what the YAML would hold.
        registry: where components come from.
        base: folder that relative paths start at; the working directory by default.
        overrides: see `load_spec`; describer: likewise.
    """
    try:
        root = from_data(document)
    except RecursionError:
        raise SpecError([Problem("is nested too deeply", Place(Source("spec", "data")))]) from None
    check = Check(registry, describer, (base or Path.cwd()).absolute(), [])
    spec = check.spec(root, overrides, None, "")
    return replace(spec, path=None, text=dump_yaml(dict(document)))


def described_anew(spec: Spec, describer: Describer) -> Spec:
    """The spec with its components as they are now.

    Raises:
        FgicError: one of them cannot be had any more, or does not take its options any more.
    """
    arms = spec.study.arms if spec.study is not None else ()
    every = [*spec.steps, *(step for arm in arms for step in arm.steps)]
    asked = {id(step.described): step for step in every}  # many steps of a study have one description
    manifests = describer.manifests(dict.fromkeys(step.uses for step in every))
    for manifest in manifests.values():
        if isinstance(manifest, PluginError):
            raise manifest
    now: dict[int, Described] = {}
    answers = describer.describe([step.request for step in asked.values()])
    for (place, step), answer in zip(asked.items(), answers, strict=True):
        if answer.described is None:
            said = [answer.failed, *(one.msg for one in answer.wrong), *(message for _, message in answer.misread)]
            raise FgicError(
                f"the options of {step.uses} are not legal any more: {'; '.join(filter(None, said))}",
                where=f"step {step.name}",
                hint="Something has changed since the spec was read: read it again.",
            )
        now[place] = answer.described
    anew: dict[int, SpecStep] = {}

    def known(step: SpecStep) -> SpecStep:
        if id(step) not in anew:
            anew[id(step)] = replace(step, described=now[id(step.described)])
        return anew[id(step)]

    study = spec.study
    if study is not None:
        study = replace(study, arms=tuple(replace(arm, steps=tuple(map(known, arm.steps))) for arm in arms))
    return replace(spec, steps=tuple(map(known, spec.steps)), study=study)


def _text(path: Path) -> str:
    """The file's text. Raises SpecError where it cannot be read or is no text."""
    place = Place(Source(str(path)))
    try:
        content = regular_file(path, _LARGEST).read_bytes()
    except IsADirectoryError:
        raise SpecError([Problem("is a folder, not a spec", place, _specs_in(path))]) from None
    except FileNotFoundError:
        folder = path.parent
        known = [p.name for p in folder.iterdir() if p.suffix in (".yaml", ".yml")] if folder.is_dir() else []
        raise SpecError([Problem("there is no such file", place, did_you_mean(path.name, known))]) from None
    except OSError as error:
        raise SpecError([Problem(f"cannot be read: {error.strerror}", place)]) from None
    try:
        if b"\0" in content:
            raise SpecError([Problem("is not a text file, and a spec is YAML", place)])
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        column = error.start - content.rfind(b"\n", 0, error.start)
        at = Place(place.source, line, column)
        message = f"is not UTF-8: the byte 0x{content[error.start]:02x} stands for no character"
        raise SpecError([Problem(message, at, "Save the file as UTF-8.")]) from None


def _specs_in(folder: Path) -> str:
    found = sorted(p.name for p in folder.iterdir() if p.suffix in (".yaml", ".yml"))[:5]
    return f"In it are {', '.join(found)}." if found else ""
