"""`--set`: assignments are typed and checked like what is written in the file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from fgic_core import Registry
from fgic_core.spec import from_dict, parse_spec

SPEC = """\
version: 1
steps:
  d: {uses: dataset/drawn}
  crops: {uses: cropper/square}
  net: {uses: classifier/net, with: {milestones: [3, 7], lr: 1e-2}}
  pgd: {uses: attacker/pgd}
"""

WRONG = [
    ("net.with.epochs=many", "many", "option epochs should be a whole number, not 'many'", ""),
    ("net.with.epochs=", "", "option epochs should be a whole number, not null", ""),
    ("steps.net.with.lr=0", "0", "option lr should be greater than 0, not 0", ""),
    ("net.with.epohcs=1", "epohcs", "classifier/net has no option epohcs", "Did you mean epochs?"),
    ("net.with.milestones.1=x", "x", "option milestones[1] should be a whole number, not 'x'", ""),
    ("net.with.milestones.2=x", "2", "2 is no index of a list of 2, counted from 0", ""),
    ("net.with.lr.x=1", "x", "x cannot be set in what is neither a mapping nor a list", ""),
    ("nett.with.epochs=1", "nett", "the spec has no step nett", "Did you mean net?"),
    (
        "zzz=1",
        "zzz",
        "the spec has no step zzz",
        "Steps are d, crops, net, pgd; of the spec itself, name and seed can be set.",
    ),
    ("sed=1", "sed", "the spec has no step sed", "Did you mean seed?"),
    ("net.epochs=1", "epochs", "a step has no epochs", "For an option write net.with.epochs=..."),
    ("net.wiht.epochs=1", "wiht", "a step has no wiht", "Did you mean with?"),
    (
        "net=1",
        "net",
        "net is a whole step",
        "Write net.with.option=value, net.uses=kind/name or net.seed=1.",
    ),
    ("steps={}", "steps", "all steps cannot be set at once", "Write step.with.option=value."),
    (
        "net",
        "net",
        "this is not an assignment",
        "Write a path of keys, = and a value, such as classifier.with.epochs=1.",
    ),
    ("net.with..epochs=1", ".", "a key is missing between two dots", ""),
    ("net.with.lr=[1", "[", "the list that '[' opens here is never closed", ""),
    ("net.with.model=!!str x", "!!str x", "tags are not allowed in a spec", "Remove the word that begins with '!'."),
    ("seed=-1", "-1", "seed should be a whole number, 0 or more, not -1", ""),
    (
        "name=a/b",
        "a/b",
        "name should not be 'a/b'",
        "It names a folder: letters, digits, '-', '_' and '.', and a letter or digit first.",
    ),
    ("version=2", "2", "version should be 1, not 2", "This fgic reads version 1 alone."),
    (
        "net.uses=classifier/nte",
        "classifier/nte",
        "no component classifier/nte is installed",
        "Did you mean classifier/net?",
    ),
    ("pgd.from.dataset=crop", "crop", "there is no step crop", "Did you mean crops?"),
    ("net.seed=x", "x", "seed should be a whole number, 0 or more, not 'x'", ""),
]


@pytest.mark.parametrize(("assignment", "under", "message", "hint"), WRONG)
def test_a_wrong_assignment_is_shown_with_a_caret(
    assignment: str, under: str, message: str, hint: str, said: Callable[..., str]
) -> None:
    at = assignment.rindex(under) if under else len(assignment)
    found = said(SPEC, assignment).split("\n")
    assert found[0] == f"from --set {assignment}: {message}"
    assert found[1] == f"   | {assignment}"
    assert found[2] == f"   | {' ' * at}{'^' * max(1, len(under))}"
    assert found[3:] == ([f"  {hint}"] if hint else [])


def test_problems_of_assignments_come_after_those_of_the_file(said: Callable[..., str]) -> None:
    text = SPEC.replace("lr: 1e-2", "lr: 0")
    found = [line for line in said(text, "nett.seed=1", "net.with.epochs=0").split("\n") if not line.startswith(" ")]
    assert found == [
        "s.yaml:5:62: option lr should be greater than 0, not 0",
        "from --set nett.seed=1: the spec has no step nett",
        "from --set net.with.epochs=0: option epochs should be at least 1, not 0",
    ]


def test_assignments_replace_and_add(registry: Registry) -> None:
    spec = parse_spec(
        SPEC,
        registry,
        overrides=[
            "seed=5",
            "name=other",
            "net.with.epochs=3",
            "steps.net.with.lr=1e-4",
            "net.with.milestones.1=9",
            "net.with.names={a: 1}",
            "net.with.names.b=2",
            "net.with.model=a=b",
            "crops.with.margin=0.5",
            "pgd.with.eps=[0, 8/255]",
            "pgd.from.dataset=d",
            "pgd.seed=6",
            "d.with={size: 20}",
        ],
    )
    assert (spec.name, spec.seed, spec.text) == ("other", 5, SPEC)
    assert spec.step("net").given == {
        "milestones": [3, 9],
        "lr": 1e-4,
        "epochs": 3,
        "names": {"a": 1, "b": 2},
        "model": "a=b",
    }
    assert spec.step("crops").given == {"margin": 0.5}
    assert spec.step("pgd").described.options["eps"] == [0.0, 8 / 255]
    assert spec.step("pgd").inputs == {"model": "net", "dataset": "d"}
    assert [step.seed for step in spec.steps] == [5, 5, 5, 6]
    assert spec.step("d").given == {"size": 20}


def test_an_assignment_to_one_step_leaves_another_of_the_same_anchor_alone(registry: Registry) -> None:
    text = """\
version: 1
steps:
  d: {uses: dataset/drawn}
  a: {uses: classifier/net, with: &same {epochs: 1}}
  b: {uses: classifier/net, with: *same}
"""
    spec = parse_spec(text, registry, overrides=["b.with.epochs=2"])
    assert [step.given for step in spec.steps[1:]] == [{"epochs": 1}, {"epochs": 2}]


def test_a_component_is_swapped_by_one_word(registry: Registry) -> None:
    spec = parse_spec(SPEC, registry, overrides=["crops.uses=detector/boxes"])
    assert spec.step("crops").uses == "detector/boxes"


def test_relative_paths_start_at_the_working_directory_and_not_at_the_spec(
    tmp_path: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch, said: Callable[..., str]
) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    for folder in (here, there):
        folder.mkdir()
        (folder / "w.safetensors").write_bytes(b"")
    monkeypatch.chdir(here)
    text = SPEC.replace("milestones: [3, 7]", "weights: w.safetensors")
    read = parse_spec(text, registry, path=there / "s.yaml").step("net")
    given = parse_spec(text, registry, path=there / "s.yaml", overrides=["net.with.weights=w.safetensors"]).step("net")
    assert read.described.options["weights"] == str(there / "w.safetensors")
    assert given.described.options["weights"] == str(here / "w.safetensors")
    assert type(given.given["weights"]) is str
    assert said(SPEC, "net.with.weights=x") == (
        f"from --set net.with.weights=x: option weights should be a file that exists; there is none at {here / 'x'}\n"
        "   | net.with.weights=x\n   |                  ^"
    )


def test_assignments_are_made_to_python_data_too(registry: Registry) -> None:
    document = {"version": 1, "steps": {"d": {"uses": "dataset/drawn", "with": {"size": 20}}}}
    assert from_dict(document, registry, overrides=["d.with.size=30"]).step("d").given == {"size": 30}
    assert document["steps"] == {"d": {"uses": "dataset/drawn", "with": {"size": 20}}}
