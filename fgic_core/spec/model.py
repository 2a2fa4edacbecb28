"""The typed spec."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fgic_core.description import Described, Request
from fgic_core.kinds.ports import Wiring

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
    """

    name: str
    uses: str
    described: Described
    inputs: Wiring
    seed: int
    given: dict[str, Any]
    request: Request

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
    """

    version: int
    name: str
    seed: int
    steps: tuple[SpecStep, ...]
    path: Path | None
    text: str
    base: Path = Path()

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
            steps[step.name] = {"uses": step.uses, "with": dict(step.described.options)}
            if step.inputs:
                steps[step.name]["from"] = dict(step.inputs)
            steps[step.name]["seed"] = step.seed
        return {"version": self.version, "name": self.name, "seed": self.seed, "steps": steps}


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
