"""The plan of a spec: the key of each step and of what it learns, and whether the store has them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from fgic_core.data.artifact import ArtifactRecord
from fgic_core.errors import FgicError, StoreError
from fgic_core.kinds.component import Component
from fgic_core.kinds.ports import all_steps, steps_of
from fgic_core.plan.keys import PROVISIONAL, KeyDocument, Keys, Node
from fgic_core.plan.lessons import Seeds, lesson_keys
from fgic_core.plan.planned import PlannedLesson, PlannedStep
from fgic_core.plan.reasons import changes
from fgic_core.plan.shared import Shared
from fgic_core.registry import Registry
from fgic_core.spec import Spec, SpecStep
from fgic_core.steps.lesson import MAIN
from fgic_core.store.artifacts import LEARNED
from fgic_core.store.store import Store


class Plan:
    """A spec with the key of each step and what is in the store.

    Attributes:
        spec: the spec; store: the store.
        fresh: whether everything is computed anew.
        steps: in the spec's order. `settle` brings one up to date.

    Args:
        shared: what it has in common with the plans of other runs of a study.
    """

    def __init__(
        self,
        spec: Spec,
        registry: Registry,
        store: Store,
        keys: Keys,
        fresh: bool = False,
        shared: Shared | None = None,
    ) -> None:
        self.spec, self.store, self.fresh = spec, store, fresh
        self._registry, self._keys, self._shared = registry, keys, shared if shared is not None else Shared()
        self._made = self._shared.made
        self._steps: dict[str, PlannedStep] = {}
        for step in spec.steps:
            inputs = [self._steps[name] for name in all_steps(step.inputs)]
            self._steps[step.name] = self._shared.once(step, inputs, partial(self._planned, step))

    @property
    def steps(self) -> tuple[PlannedStep, ...]:
        return tuple(self._steps.values())

    def step(self, name: str) -> PlannedStep:
        return self._steps[name]

    def component(self, name: str) -> Component:
        """The component of a step itself, for what a description does not say: its class is imported."""
        described = self._steps[name].described if name in self._steps else self.spec.step(name).described
        return self._registry.create(described.uses, **described.options)

    def settle(self, name: str, progress: Callable[[int, int], None] = lambda done, total: None) -> PlannedStep:
        """The step as it is planned now that its inputs, or what it learns, exist; unread pictures are read.

        Args:
            name: the step's. The steps that it takes have their artifacts.
            progress: told how many pictures are read of how many.

        Raises:
            FgicError: there is nothing to learn from.
        """
        for folder in self._steps[name].unread:
            self._keys.fingerprints.read(folder, progress)
        if not self._steps[name].settled:
            self._steps[name] = self._planned(self.spec.step(name), strict=True)
            self._keys.memory.flush()
        return self._steps[name]

    def made(self, key: str) -> None:
        """Take note that this run has computed what the store has under that key."""
        self._made.add(key)

    def has_made(self, key: str) -> bool:
        """Whether this run has computed it."""
        return key in self._made

    def learned(self, name: str, lesson: str, content: str) -> None:
        """Take note of the content of what a step has learned."""
        step = self._steps[name]
        lessons = tuple(
            replace(one, content=content, damage="") if one.name == lesson else one for one in step.lessons or ()
        )
        step = replace(step, lessons=lessons, settled=False)
        if step.gives == "model" and lesson == MAIN and step.main is not None:
            step = replace(step, content=step.main.opened)
        self._steps[name] = step

    def computed(self, name: str, content: str) -> None:
        """Take note of the content of a step that was computed."""
        if self._steps[name].gives != "model":
            self._steps[name] = replace(self._steps[name], content=content)

    def _look(self, key: str, volatile: bool) -> tuple[str, str]:
        """The content of what the store has under a key, empty where it is to be computed; and what is wrong there."""
        record, damage = self.store.look(key)
        if record is None:
            return "", damage and f"is damaged in the store: {damage}"
        if key not in self._made and (self.fresh or volatile or record.doubt):
            return "", record.doubt
        return record.content, ""

    def why_doubted(self, name: str, lesson: PlannedLesson | None = None) -> str:
        """Why what was just computed may not be what its key says: a file that the key stands on changed meanwhile.

        Everything that the key counts is looked at again. Code that was loaded before the change is that of the key
        all the same; what is said then costs one more computation at the next run.
        """
        step, asked = self._steps[name], self.spec.step(name)
        described, keys = step.described, Keys(self._keys.memory)
        was = lesson.document if lesson is not None else step.document
        seed, streams = (asked.seed, asked.streams) if lesson is None else (lesson.seed, lesson.streams)
        node: Node = "use" if lesson is None else "fit"
        now = keys.document(described, seed, was["inputs"], node, streams)
        for folder in now.unread:  # what changed a moment ago is not remembered
            keys.fingerprints.read(folder, lambda done, total: None)
        now = keys.document(described, seed, was["inputs"], node, streams) if now.unread else now
        keys.memory.flush()
        changed = "; ".join(changes(was, now.content)) if now.content != was else ""
        return f"is in doubt: while it was computed, {changed}" if changed else ""

    def check_given(self, name: str, lesson: PlannedLesson | None = None) -> None:
        """Check that what a step is given still lies in the store as it was when the step's key was worked out.

        Raises:
            StoreError: another run has put something else in its place.
        """
        step = self._steps[name]
        given: dict[Path, tuple[str, str]] = {}
        for source in all_steps(step.inputs):
            if (main := self._steps[source].main) is not None and self._steps[source].gives == "model":
                given[main.folder] = (source, main.content)
            else:
                given[self._steps[source].folder] = (source, self._steps[source].content)
        if lesson is None:
            given |= {one.folder: (name, one.content) for one in step.lessons or ()}
        for folder, (source, content) in given.items():
            if content and ArtifactRecord.read(folder).content != content:
                raise StoreError(
                    f"what step {source} gave was replaced in the store by another run of it, which came out otherwise",
                    where=f"step {name}",
                    hint="Run the spec again, or give the two runs a --store each.",
                )

    def outdated(self, name: str) -> list[str]:
        """The files whose code this process has in another version than they; see `Keys.outdated`."""
        return self._keys.outdated(self._steps[name].described)

    def patched(self, name: str) -> list[str]:
        """What this process alone has in the classes that a step stands on; see `Keys.patched`."""
        return self._keys.patched(self._steps[name].described)

    def _planned(self, step: SpecStep, strict: bool = False) -> PlannedStep:
        described = step.described
        inputs = {port: self._content(given) for port, given in step.inputs.items()}
        seed = step.seed if described.any_draws else 0
        lessons = self._lessons(step, Seeds(seed, step.streams), inputs, strict) if described.learns else ()
        given: dict[str, Any] = dict(inputs)
        if described.learns:
            known = lessons is not None and all(one.content for one in lessons)
            given[LEARNED] = (
                {one.name: one.content for one in lessons or ()}
                if known
                else PROVISIONAL + " ".join(one.key for one in lessons or ())
            )
        document = self._keys.document(described, step.seed, given, streams=step.streams)
        key, settled = document.key, document.settled
        content, damage = self._look(key, bool(document.untraced)) if settled else ("", "")
        planned = PlannedStep(
            step.name,
            step.uses,
            described,
            dict(step.inputs),
            seed,
            key,
            document.content,
            self.store.folder(key),
            bool(content),
            "in the store",
            settled,
            bool(document.untraced),
            content,
            lessons,
            document.unread,
            step.streams,
        )
        reason = planned.reason if content else self._why(planned, document, damage)
        if planned.gives == "model":
            content = planned.main.opened if planned.main is not None else ""
        if (planned.reason, planned.content) == (reason, content):
            return planned
        return replace(planned, reason=reason, content=content)

    def _lessons(
        self, step: SpecStep, seeds: Seeds, inputs: Mapping[str, Any], strict: bool
    ) -> tuple[PlannedLesson, ...] | None:
        """What the step learns; None where that is not known before its inputs exist."""
        models = {port: name for port, name in step.inputs.items() if step.described.ports[port].type == "model"}
        taken = [name for name in [step.inputs.get("dataset"), *models.values()] if isinstance(name, str)]
        if any(not self._steps[name].content for name in taken) or not isinstance(step.inputs.get("dataset"), str):
            return None
        described = step.described
        at_fit = {
            port: content for port, content in inputs.items() if port != "dataset" and described.ports[port].at == "fit"
        }
        dataset = self._steps[str(step.inputs["dataset"])]
        models_given = {
            port: (self._steps[name].given, self._steps[name].content)
            for port, name in models.items()
            if isinstance(name, str)
        }
        try:
            found = lesson_keys(
                self._keys,
                described,
                partial(self.component, step.name),
                seeds,
                (dataset.folder, dataset.content),
                models_given,
            )
        except (FgicError, OSError, ValueError):
            if strict:
                raise
            return None  # what is wrong is told when the step is run
        lessons = []
        for lesson in found:
            given = {"dataset": lesson.content, **at_fit}
            document = self._keys.document(described, lesson.seed, given, "fit", lesson.streams)
            key = document.key
            content, damage = self._look(key, bool(document.untraced)) if document.settled else ("", "")
            lessons.append(
                PlannedLesson(
                    lesson.name,
                    lesson.seed,
                    key,
                    document.content,
                    self.store.folder(key),
                    content,
                    damage,
                    lesson.streams,
                )
            )
        return tuple(lessons)

    def _content(self, given: str | list[str]) -> Any:
        """What the key of a step has of one that it takes, or of several: its content, or what will make it."""
        if isinstance(given, list):
            return [self._content(one) for one in given]
        step = self._steps[given]
        return step.content or PROVISIONAL + step.key

    def _why(self, step: PlannedStep, document: KeyDocument, damage: str) -> str:
        """Why a step is computed, by what differs from the last time a spec of this name ran it."""
        if self.fresh:
            return "--fresh was asked for"
        if document.untraced:
            return f"computed every time: {document.untraced[0]}"
        for lesson in step.lessons or ():
            if lesson.damage:
                return f"what it learned {lesson.damage}"
        if damage:
            return damage
        key = step.main.key if step.main is not None else step.key
        if self._shared.is_unfinished(key, self.store) and (epoch := self.store.interrupted_after(key)):
            return f"was interrupted after epoch {epoch}; goes on from there"
        last = self._shared.last(self.spec.name, step.name, self.store.last)
        if last is None:
            return "was never computed"
        found = changes(last, document.content)
        found += [
            self._input_change(port, given)
            for port, given in step.inputs.items()
            if last["inputs"].get(port) != document.content["inputs"][port]
        ]
        kept = "; what it learned is in the store" if step.lessons and step.trained else ""
        return ("; ".join(found) or "is no longer in the store") + kept

    def interrupted_after(self, name: str) -> int:
        """The last epoch that the checkpoint of an unfinished step holds; 0 where there is none."""
        step = self._steps[name]
        return self.store.interrupted_after(step.main.key if step.main is not None else step.key)

    def _input_change(self, port: str, given: str | list[str]) -> str:
        names = steps_of(given)
        anew = [name for name in names if not self._steps[name].content]
        steps = f"step{'s' * (len(anew or names) != 1)} {' and '.join(anew or names)}"
        return f"its {port} ({steps}) " + ("is computed anew" if anew else "is another one")


def make_plan(spec: Spec, registry: Registry, store: Store, fresh: bool = False, keys: Keys | None = None) -> Plan:
    """Work out every key and look each up in the store. Computes nothing and writes nothing but what it remembers.

    Args:
        fresh: compute everything anew, whatever the store has.
        keys: works the keys out; by default with the user's memory of files.
    """
    keys = keys if keys is not None else Keys()
    plan = Plan(spec, registry, store, keys, fresh)
    keys.memory.flush()
    return plan
