"""The typed spec."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fgic_core.data.streams import STREAMS
from fgic_core.description import Described, Request
from fgic_core.kinds.ports import Wiring

if TYPE_CHECKING:
    from fgic_core.spec.study import Study

#: The version of the spec's format that is read and written.
VERSION = 1


@dataclass(frozen=True, slots=True)
class SpecStep:
    """One step.

    Attributes:
        name: its name in the spec.
        uses: its component, such as ``classifier/timm``.
        described: the component with its options.
        inputs: the step that each port takes its artifact from; a list of steps for one that takes many.
        seed: its seed.
        given: its options as they were written, without defaults.
        request: what the component was described with.
        seeded: whether the seed is its own, and not the spec's.
        streams: the seeds of those of its streams (`fgic_core.data.streams`) that are others, in a run of a study.
    """

    name: str
    uses: str
    described: Described
    inputs: Wiring
    seed: int
    given: dict[str, Any]
    request: Request
    seeded: bool = False
    streams: Mapping[str, int] = field(default_factory=dict)

    @property
    def resolved_seed(self) -> int | dict[str, int]:
        """The seed as a spec has it: one number, or one for each stream where they differ."""
        if not self.streams:
            return self.seed
        given = {"init": self.seed, "order": self.seed, "split": self.seed, **self.streams}
        return {stream: given[stream] for stream in STREAMS if stream in given}

    def resolved(self) -> dict[str, Any]:
        """The step with every default, its inputs and its seed."""
        found: dict[str, Any] = {"uses": self.uses, "with": dict(self.described.options)}
        return found | ({"from": dict(self.inputs)} if self.inputs else {}) | {"seed": self.resolved_seed}

    @property
    def without_effect(self) -> list[str]:
        """What is said of options that were given and play no part, each in a sentence."""
        idle = self.described.without_effect
        return [f"step {self.name}: {name} has no effect, as {idle[name]}" for name in self.given if name in idle]


@dataclass(frozen=True, slots=True)
class Spec:
    """A whole spec, checked: every component can be had, every option is legal, every input comes from an earlier step.

    Attributes:
        version: of the spec's format.
        name: names the run's folder.
        seed: of every step that has none of its own.
        steps: in order.
        path: the file it was read from.
        text: what it was read from, without what ``--set`` changed.
        base: the folder that relative paths in it start at.
        study: the runs that it is asked for; None for the one of its steps. The steps are those of its baseline.
    """

    version: int
    name: str
    seed: int
    steps: tuple[SpecStep, ...]
    path: Path | None
    text: str
    base: Path = Path()
    study: Study | None = None

    def step(self, name: str) -> SpecStep:
        """Raises KeyError where there is none of that name."""
        for step in self.steps:
            if step.name == name:
                return step
        raise KeyError(name)

    def resolved(self) -> dict[str, Any]:
        """The spec with every default, seed and input filled in: plain data, itself a spec that means the same."""
        steps: dict[str, Any] = {}
        for step in self.steps:
            one = steps[step.name] = step.resolved()
            if self.study is not None and not step.seeded:  # a study's seed takes its place
                del one["seed"]
            if self.study is not None and step.name in self.study.given:  # another component has others
                written, ports = self.study.given[step.name]
                fields = {option.name: option.field for option in step.described.manifest.models[0]}
                named = [fields.get(name, name) for name in written]
                one["with"] = {name: one["with"][name] for name in named if name in one["with"]}
                if inputs := {port: given for port, given in one.pop("from", {}).items() if port in ports}:
                    one["from"] = inputs
        found: dict[str, Any] = {"version": self.version, "name": self.name, "seed": self.seed}
        if self.study is None:
            return found | {"steps": steps}
        defaults = {"defaults": {uses: dict(one) for uses, one in self.study.defaults.items()}}
        return found | (defaults if self.study.defaults else {}) | {"steps": steps, "study": self.study.resolved()}


def dump_yaml(data: Any) -> str:
    """Plain data as YAML that `load_spec` reads back to the same; paths become text."""
    from io import StringIO

    from ruamel.yaml import YAML
    from ruamel.yaml.representer import SafeRepresenter

    class Representer(SafeRepresenter):
        """Quotes text that holds line separators and other characters that a plain scalar does not keep."""

        def represent_text(self, text: str) -> Any:
            return self.represent_scalar("tag:yaml.org,2002:str", text, style=None if text.isprintable() else '"')

    Representer.add_representer(str, Representer.represent_text)
    yaml = YAML(typ="safe", pure=True)
    yaml.Representer = Representer
    yaml.default_flow_style = None  # what holds nothing but scalars stands on one line
    yaml.allow_unicode = True
    yaml.width = 110
    yaml.representer.sort_base_mapping_type_on_output = False
    text = StringIO()
    # By way of JSON, which leaves plain types alone and no object that stands twice and would become an alias.
    yaml.dump(json.loads(json.dumps(data, default=str)), text)
    return text.getvalue()
