"""What a step learns from a data set that lies in the store: its trainings, each with the digest of its rows."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from fgic_core.data.digest import digest_of
from fgic_core.description import Described
from fgic_core.errors import FgicError, PluginError
from fgic_core.kinds.component import Component
from fgic_core.kinds.table import KINDS, named
from fgic_core.plan.keys import Keys, key_of

if TYPE_CHECKING:
    from fgic_core.data.dataset import Dataset
    from fgic_core.steps.context import StepContext
    from fgic_core.steps.lesson import Lesson


@dataclass(frozen=True, slots=True)
class LessonKey:
    """What the key of a training has of it.

    Attributes:
        name: see `fgic_core.steps.lesson.Lesson`.
        content: the digest of its rows.
        seed: its seed; streams: those of its streams that are others.
    """

    name: str
    content: str
    seed: int
    streams: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Taught:
    """What is known, before it is opened, of a classifier that a step is given: its classes."""

    classes: tuple[str, ...]

    @classmethod
    def read(cls, folder: Path) -> Taught:
        document = json.loads((folder / "component.json").read_text(encoding="utf-8"))
        return cls(tuple(document["classes"]))


class Watched:
    """Stands for a component where it is to be known whether its options are looked at.

    What its class says, whatever its options, is none of them; all else counts as a look.

    Attributes:
        was_asked: whether there was one.
    """

    def __init__(self, component: Component) -> None:
        self._component, self.was_asked = component, False

    def __getattr__(self, name: str) -> Any:
        component = self._component
        fixed = name in vars(type(component)) or any(name in vars(one) for one in type(component).__mro__)
        said = getattr(type(component), name, None) if fixed else None
        if not fixed or name in type(component).model_fields or hasattr(type(said), "__get__"):
            self.was_asked = True
        return getattr(component, name)


class Seeds(NamedTuple):
    """The seed of a step, and those of its streams that are others."""

    seed: int
    streams: Mapping[str, int]


def cut(
    component: Component, uses: str, seeds: Seeds, dataset: Path, given: Mapping[str, Any], roots: Mapping[str, Path]
) -> tuple[list[tuple[Lesson, LessonKey]], bool, bool]:
    """Work out the trainings of a step.

    Args:
        component: what is to learn; uses: its name.
        seeds: of the step.
        dataset: the artifact's folder.
        given: what else the step takes, as far as it matters here (`Taught`).
        roots: where pictures lie.

    Returns:
        the trainings, and whether the seed and the options had a part in what they learn from.

    Raises:
        DataError: there is nothing to learn from.
    """
    from fgic_core.data.contents import table_digests
    from fgic_core.data.dataset import Dataset
    from fgic_core.steps.context import WatchedContext
    from fgic_core.steps.lesson import MAIN

    context = WatchedContext(Path(), uses=uses, seed=seeds.seed, streams=seeds.streams)
    context.inputs = given
    found = []
    watched: Any = Watched(component) if KINDS[component.kind].package == "fgic" else component
    lessons = _lessons(watched, Dataset.open(dataset, roots), context)
    drew, asked = context.drew, not isinstance(watched, Watched) or watched.was_asked
    for lesson in lessons:
        header = lesson.data.header
        about = {"classes": header.classes, "part_names": header.part_names}
        content = digest_of({**about, "rows": table_digests(lesson.data.table)})
        own = seeds
        if lesson.name != MAIN:
            own, drew = Seeds(context.seed_of(lesson.name), context.streams_of(lesson.name)), True
        found.append((lesson, LessonKey(lesson.name, content, *own)))
    return found, drew, asked


def _lessons(component: Component, dataset: Dataset, context: StepContext) -> list[Lesson]:
    """What the kind's `fit` module cuts, checked: no test row is ever learned from."""
    from fgic_core.steps.lesson import Lesson

    kind = KINDS[component.kind]
    where = f"{kind.fit} ({kind.package})"
    try:
        made = list(
            named(f"{kind.fit}:lessons", f"what a {kind.name} learns", kind.package)(component, dataset, context)
        )
    except (FgicError, OSError):
        raise
    except Exception as error:  # of a kind from elsewhere: the step fails, and not the run
        raise PluginError(f"lessons() failed: {type(error).__name__}: {error}", where=where) from error
    for lesson in made:
        if not isinstance(lesson, Lesson):
            raise PluginError(f"lessons() gave {type(lesson).__name__}, not fgic_core.steps.lesson.Lesson", where=where)
        if "test" in lesson.data.splits:
            raise PluginError(
                "lessons() gives rows of the test split to learn from",
                where=where,
                hint='Give it dataset.split("train"), and val to choose by.',
            )
    return made


def lesson_keys(
    keys: Keys,
    described: Described,
    make: Callable[[], Component],
    seeds: Seeds,
    dataset: tuple[Path, str],
    models: Mapping[str, tuple[Path, str]],
) -> list[LessonKey]:
    """The trainings of a step, from memory where they were worked out before.

    Args:
        keys: works out and remembers.
        described: what is to learn; make: gives the component itself, where it is not remembered what that learns from.
        seeds: of the step.
        dataset: folder and content of the data set.
        models: folder and content of classifiers that the step takes, by port.

    Raises:
        DataError: there is nothing to learn from.
    """
    inputs = {"dataset": dataset[1]} | {port: content for port, (_, content) in models.items()}
    # Most are cut without a look at the seed, and many without one at the options: what these learn from is the same
    # for all of them.
    of_any_seed = keys.document(described, 0, inputs, "cut")
    of_any = key_of({name: value for name, value in of_any_seed.content.items() if name != "options"})
    for place, kind in ((of_any, "lessons of any options"), (of_any_seed.key, "lessons of any seed")):
        if (told := keys.memory.get(kind, place, "")) is not None:
            return [LessonKey(name, content, *seeds) for name, content in json.loads(told)]
    asked = keys.document(described, seeds.seed, inputs, "cut", seeds.streams).key
    told = keys.memory.get("lessons", asked, "")
    if told is not None:
        return [LessonKey(*one) for one in json.loads(told)]
    given = {port: Taught.read(folder) for port, (folder, _) in models.items()}
    made, drew, looked = cut(make(), described.uses, seeds, dataset[0], given, {})
    if drew:
        told = json.dumps([[key.name, key.content, key.seed, dict(key.streams)] for _, key in made])
        keys.memory.put("lessons", asked, "", told)
    else:
        told = json.dumps([[key.name, key.content] for _, key in made])
        places = ("lessons of any seed", of_any_seed.key) if looked else ("lessons of any options", of_any)
        keys.memory.put(*places, "", told)
    return [key for _, key in made]
