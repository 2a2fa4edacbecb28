"""Leaving steps out of a pipeline: which can be, who takes what in their place, and whose options are others then."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

from fgic_core.kinds.ports import all_steps
from fgic_core.kinds.table import KINDS, named
from fgic_core.spec.model import SpecStep


def way_through(step: SpecStep) -> str:
    """The port whose data set those take that took this step's, once it is left out; empty where it has none."""
    ports = [name for name in step.inputs if step.described.ports[name].type == "dataset"]
    ports = ["dataset"] if "dataset" in ports else ports
    if step.described.manifest.gives != "dataset" or len(ports) != 1 or isinstance(step.inputs[ports[0]], list):
        return ""
    return ports[0]


def wrong_to_leave_out(step: SpecStep) -> str:
    """Why a step cannot be left out; empty where it can."""
    if way_through(step):
        return ""
    gives = step.described.manifest.gives
    if gives == "dataset":
        return f"{step.uses} takes no data set that others could take in place of its own"
    if gives == "model":
        return f"{step.uses} gives a model, and nothing before it gives one that others could take in its place"
    return f"{step.uses} gives {gives} and no data set: nothing that is compared would change"


def without(steps: Sequence[SpecStep], left_out: Collection[str]) -> list[SpecStep]:
    """The steps that are left, in order: those that took what one of these gave take what it took."""
    taken: dict[str, str] = {}
    kept: list[SpecStep] = []
    for step in steps:
        inputs = {port: _instead(given, taken) for port, given in step.inputs.items()}
        if step.name in left_out:
            taken[step.name] = str(inputs[way_through(step)])
        else:
            kept.append(step if inputs == step.inputs else replace(step, inputs=inputs))
    return kept


def _instead(given: str | list[str], taken: dict[str, str]) -> str | list[str]:
    if isinstance(given, list):
        return list(dict.fromkeys(taken.get(one, one) for one in given))
    return taken.get(given, given)


def changes(step: SpecStep, steps: Sequence[SpecStep], left_out: Collection[str]) -> dict[str, Any]:
    """The options of a step that are others once these are left out, as its kind says (`Kind.ablation`)."""
    module = KINDS[step.described.kind].ablation
    if not module or step.name in left_out:
        return {}
    before = above(step, steps)
    if not any(one.name in left_out for one in before):
        return {}
    asked = named(f"{module}:left_out", f"what a {step.described.kind} does without the steps before it")
    kinds = [one.described.kind for one in before]
    left = [one.described.kind for one in before if one.name not in left_out]
    return _other(step, asked(step.described.options, kinds, left))


def oracle_changes(step: SpecStep, steps: Sequence[SpecStep]) -> dict[str, Any]:
    """The options of a step in a pipeline whose test boxes are annotated ones, as its kind says."""
    module = KINDS[step.described.kind].ablation
    if not module:
        return {}
    asked = named(f"{module}:oracle", f"what a {step.described.kind} does with annotated boxes")
    return _other(step, asked(step.described.options, [one.described.kind for one in above(step, steps)]))


def _other(step: SpecStep, options: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if step.described.options.get(name) != value}


def above(step: SpecStep, steps: Sequence[SpecStep]) -> list[SpecStep]:
    """The steps that a step takes something from, near and far, in order."""
    wanted: set[str] = set()
    waiting = all_steps(step.inputs)
    known = {one.name: one for one in steps}
    while waiting:
        wanted.add(one := waiting.pop())
        waiting += [other for other in all_steps(known[one].inputs) if other not in wanted]
    return [one for one in steps if one.name in wanted]
