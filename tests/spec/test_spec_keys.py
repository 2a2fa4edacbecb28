"""The spec's own keys, names, components and wiring: what is said, in full."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest

from fgic_core import Classifier, Input, Registry
from fgic_core.registry import Entry
from fgic_core.spec import SpecError, parse_spec

START = "version: 1\nsteps:\n  d: {uses: dataset/drawn}\n  c: {uses: classifier/net}\n"

KEYS = {
    "no version": (
        "name: dogs\nsteps: {d: {uses: dataset/drawn}}",
        """\
s.yaml:1:1: the version of the spec's format is missing
  1 | name: dogs
    | ^^^^
  Write version: 1 as its first line.""",
    ),
    "every key of the wrong kind": (
        "version: 2\nname: a/b\nseed: -1\nsteps: [a]",
        """\
s.yaml:1:10: version should be 1, not 2
  1 | version: 2
    |          ^
  This fgic reads version 1 alone.
s.yaml:2:7: name should not be 'a/b'
  2 | name: a/b
    |       ^^^
  It names a folder: letters, digits, '-', '_' and '.', and a letter or digit first.
s.yaml:3:7: seed should be a whole number, 0 or more, not -1
  3 | seed: -1
    |       ^^
s.yaml:4:1: steps should be a mapping from names to steps, not a list
  4 | steps: [a]
    | ^^^^^
  Write steps:, and below it a line for each, such as birds: {uses: kind/name}.""",
    ),
    "a name that is a number": (
        "version: 1\nname: 2026\nsteps: {d: {uses: dataset/drawn}}",
        "s.yaml:2:7: name should be text, not 2026\n  2 | name: 2026\n    |       ^^^^\n  Put it in quotes.",
    ),
    "no steps": (
        "version: 1\n",
        """\
s.yaml:1:1: a spec should have steps
  1 | version: 1
    | ^^^^^^^
  Write steps:, and below it a line for each, such as birds: {uses: kind/name}.""",
    ),
    "steps that are empty": (
        "version: 1\nsteps: {}\n",
        """\
s.yaml:2:1: there should be at least one step
  2 | steps: {}
    | ^^^^^
  Write steps:, and below it a line for each, such as birds: {uses: kind/name}.""",
    ),
    "a misspelt key is told once": (
        "version: 1\nstep:\n  d: {uses: dataset/drawn}\n",
        "s.yaml:2:1: a spec has no step\n  2 | step:\n    | ^^^^\n  Did you mean steps?",
    ),
}

STEPS = {
    "a step that is a word": (
        "  x: cropper/square",
        5,
        "3:step x should be a mapping, not 'cropper/square':Write x: {uses: cropper/square}.",
    ),
    "a step that is empty": ("  x:", 5, "3:step x should be a mapping, not nothing:Write x: {uses: kind/name}."),
    "a step that uses nothing": (
        "  x: {with: {}}",
        5,
        "3:step x does not say what it uses:Write uses: kind/name; fgic plugins lists what is installed.",
    ),
    "a misspelt uses": ("  x: {use: cropper/square}", 5, "7:step x has no use:Did you mean uses?"),
    "an option outside of with": (
        "  x: {uses: classifier/net, epochs: 3}",
        5,
        "29:step x has no epochs:Options stand under with: write with: {epochs: ...}.",
    ),
    "a name with a dot": (
        "  x.y: {uses: cropper/square}",
        5,
        "3:'x.y' should not name a step:A name has letters, digits, '-' and '_', and a letter first.",
    ),
    "an unknown component": (
        "  x: {uses: cropper/sqare}",
        5,
        "13:no component cropper/sqare is installed:Did you mean cropper/square?",
    ),
    "a component without a kind": (
        "  x: {uses: zzzzzz}",
        5,
        "13:no component zzzzzz is installed:A component is named kind/name, with a kind out of dataset, detector, "
        "cropper, generator, classifier, explainer, attacker.",
    ),
    "a component in a list": ("  x: {uses: [cropper/square]}", 5, "13:uses should be kind/name, not a list:"),
    "a seed of the wrong kind": (
        "  x: {uses: cropper/square, seed: 1.5}",
        5,
        "35:seed should be a whole number, 0 or more, not 1.5:",
    ),
    "from a later step": (
        "  x: {uses: cropper/square, from: {dataset: y}}\n  y: {uses: cropper/square}",
        5,
        "45:step y stands later, and steps run in order:Move y before x. Or: d before it gives a dataset.",
    ),
    "from itself": (
        "  x: {uses: cropper/square, from: {dataset: x}}",
        5,
        "45:step x cannot take its dataset from itself:d before it gives a dataset.",
    ),
    "from nothing": (
        "  crops: {uses: cropper/square}\n  x: {uses: cropper/square, from: {dataset: crop}}",
        6,
        "45:there is no step crop:Did you mean crops?",
    ),
    "from a step of another type": (
        "  x: {uses: cropper/square, from: {dataset: c}}",
        5,
        "45:step c (classifier/net) gives a model, not a dataset:d before it gives a dataset.",
    ),
    "from under a misspelt name": (
        "  x: {uses: cropper/square, from: {datset: d}}",
        5,
        "36:cropper/square takes no datset:Did you mean dataset?",
    ),
    "from where nothing is taken": (
        "  x: {uses: dataset/drawn, from: {dataset: d}}",
        5,
        "35:dataset/drawn takes no dataset:It takes nothing: remove from.",
    ),
    "a filter without the classifier that it needs": (
        "  x: {uses: generator/dreams, with: {min_confidence: 0.5}}",
        5,
        "13:min_confidence needs a classifier:Write from: {model: name-of-a-classifier's-step}.",
    ),
    "a classifier that no filter needs": (
        "  x: {uses: generator/dreams, from: {model: c}}",
        5,
        "13:the model that from names is for min_confidence alone:Give it, or leave the model out.",
    ),
    "an optional input of another type": (
        "  x: {uses: generator/dreams, with: {min_confidence: 0.5}, from: {model: d}}",
        5,
        "74:step d (dataset/drawn) gives a dataset, not a model:c before it gives a model.",
    ),
    "from as a word": (
        "  x: {uses: cropper/square, from: d}",
        5,
        "35:from should be a mapping from inputs to steps, not 'd':Write from: {dataset: name-of-a-step}.",
    ),
    "from null": (
        "  x: {uses: cropper/square, from: {dataset: null}}",
        5,
        "45:dataset should be the name of a step, not null:d before it gives a dataset.",
    ),
}


@pytest.mark.parametrize("case", KEYS)
def test_a_wrong_key_of_the_spec_is_told(case: str, said: Callable[..., str]) -> None:
    text, expected = KEYS[case]
    assert said(text) == expected


@pytest.mark.parametrize("case", STEPS)
def test_a_wrong_step_is_the_only_thing_told(case: str, said: Callable[..., str]) -> None:
    lines, number, expected = STEPS[case]
    column, message, hint = expected.split(":", 2)
    found = said(START + lines + "\n").split("\n")
    assert found[0] == f"s.yaml:{number}:{column}: {message}"
    assert found[1] == f"  {number} | {(START + lines).splitlines()[number - 1]}"
    assert found[2].index("^") == len("  5 | ") + int(column) - 1
    assert found[3:] == ([f"  {hint}"] if hint else [])


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("{techer: c}", ["takes no techer"]),
        ("{zzz: c}", ["takes no zzz"]),
        ("{teacher: c, zzz: c}", ["takes no zzz"]),
        ("{teacher: e, techer: c}", ["there is no step e", "takes no techer"]),
        ("{}", ["needs a model as its teacher"]),
    ],
)
def test_one_misspelt_port_is_one_mistake(given: str, told: list[str], registry: Registry) -> None:
    class Pupil(Classifier):
        """Learns from another."""

        inputs: ClassVar[Mapping[str, Input]] = {**Classifier.inputs, "teacher": Input("model", auto=False)}

        def fit(self, train: Any, val: Any, ctx: Any) -> Any:
            return None

    own = Registry([])
    own.register("drawn", registry.get("dataset/drawn"))
    own.register("net", registry.get("classifier/net"))
    own.register("pupil", Pupil)
    with pytest.raises(SpecError) as caught:
        parse_spec(f"{START}  x: {{uses: classifier/pupil, from: {given}}}\n", own)
    said = [problem.message for problem in caught.value.problems]
    assert [any(words in one for one in said) for words in told] == [True] * len(told)
    assert len(said) == len(told)


def test_a_missing_input_names_the_kind_that_gives_it_or_the_later_step_that_does(said: Callable[..., str]) -> None:
    steps = "  crops: {uses: cropper/square}\n  pgd: {uses: attacker/pgd}\n  net: {uses: classifier/net}\n"
    text = f"version: 1\nsteps:\n{steps}"
    assert (
        said(text)
        == """\
s.yaml:3:17: cropper/square needs a dataset, and no step before it gives one
  3 |   crops: {uses: cropper/square}
    |                 ^^^^^^^^^^^^^^
  Put a step that uses dataset/... before it.
s.yaml:4:15: attacker/pgd needs a model, and no step before it gives one
  4 |   pgd: {uses: attacker/pgd}
    |               ^^^^^^^^^^^^
  Step net gives one, but stands later: move it before pgd."""
    )


def test_each_input_comes_from_the_nearest_earlier_step_unless_from_says_otherwise(
    registry: Registry, seven: str
) -> None:
    spec = parse_spec(seven, registry)
    assert {step.name: step.inputs for step in spec.steps} == {
        "dogs": {},
        "boxes": {"dataset": "dogs"},
        "crops": {"dataset": "boxes"},
        "synthetic": {"dataset": "crops"},
        "classifier": {"dataset": "synthetic"},
        "cam": {"model": "classifier", "dataset": "crops"},
        "pgd": {"model": "classifier", "dataset": "synthetic"},
    }
    assert [step.seed for step in spec.steps] == [7, 7, 7, 7, 3, 7, 7]
    assert spec.step("classifier").given == {
        "lr": 1e-3,
        "tag": "on",
        "layers": [{"width": 4}, {"width": 2, "activation": "gelu"}],
    }
    with pytest.raises(KeyError):
        spec.step("nothing")


def test_an_input_that_a_step_may_take_is_taken_where_from_names_it_and_not_else(registry: Registry) -> None:
    steps = (
        "  d: {uses: dataset/drawn}\n  c: {uses: classifier/net}\n  plain: {uses: generator/dreams}\n"
        "  picked: {uses: generator/dreams, with: {min_confidence: 0.5}, from: {model: c}}\n"
    )
    spec = parse_spec(f"version: 1\nsteps:\n{steps}", registry)
    assert spec.steps[2].inputs == {"dataset": "d"}
    assert spec.steps[3].inputs == {"dataset": "plain", "model": "c"}


def test_components_that_are_missing_or_broken_cause_no_further_problems() -> None:
    def entry(uses: str, target: str) -> Entry:
        kind, name = uses.split("/")
        return Entry(kind, name, "fgic-test", "1.0", "", target)

    registry = Registry(
        [
            entry("classifier/broken", "fgic_is_not_there:Net"),
            entry("cropper/twice", "a:A"),
            entry("cropper/twice", "b:B"),
        ]
    )
    text = """\
version: 1
steps:
  d: {uses: dataset/stanford-dogs, with: {root: nowhere}}
  x: {uses: cropper/twice}
  c: {uses: classifier/broken, with: {epochs: 3}}
  e: {uses: explainr/cam}
  p: {uses: attacker/pgd}
"""
    with pytest.raises(SpecError) as caught:
        parse_spec(text, registry, path=Path("s.yaml"))
    assert [(p.line, p.column, p.length, p.message, p.hint) for p in caught.value.problems] == [
        (3, 13, 21, "no component dataset/stanford-dogs is installed", "Install it: pip install fgic-data-readers"),
        (
            4,
            13,
            13,
            "cropper/twice is claimed by two packages: fgic-test 1.0 and fgic-test 1.0",
            "Uninstall one of them.",
        ),
        (
            5,
            13,
            17,
            "classifier/broken (fgic-test 1.0): failed to load fgic_is_not_there:Net: "
            "ModuleNotFoundError: No module named 'fgic_is_not_there'",
            "Reinstall or repair the package fgic-test.",
        ),
        (6, 13, 12, "no component explainr/cam is installed", "Did you mean explainer/cam?"),
        (7, 13, 12, "no component attacker/pgd is installed", "Install it: pip install fgic-attack-pgd"),
    ]


@pytest.mark.parametrize(
    ("file", "name"),
    [("dogs.yaml", "dogs"), ("my dogs (2).yml", "my-dogs-2"), ("...yaml", "spec"), ("äö.yaml", "spec")],
)
def test_the_name_is_by_default_that_of_the_file_made_safe_for_a_folder(
    file: str, name: str, registry: Registry
) -> None:
    text = "version: 1\nsteps: {d: {uses: dataset/drawn}}"
    assert parse_spec(text, registry, path=Path(file)).name == name


def test_a_spec_error_can_be_printed_by_rich_and_says_the_same(registry: Registry) -> None:
    from io import StringIO

    from rich.console import Console

    with pytest.raises(SpecError) as caught:
        parse_spec("version: 1\nsteps:\n  a: {uses: '[red]x'}\nseeed: 1\n", registry)
    console = Console(file=StringIO(), width=200)
    console.print(caught.value)
    assert isinstance(console.file, StringIO)
    assert console.file.getvalue() == f"{caught.value}\n"
    assert len(caught.value.problems) == 2


def test_a_long_line_is_cut_around_the_caret(said: Callable[..., str]) -> None:
    text = f"{START}  x: {{uses: classifier/net, with: {{model: {'m' * 300}, epochs: 0, names: {{{'n' * 300}: 1}}}}}}\n"
    found = said(text).split("\n")
    assert all(len(line) < 120 for line in found)
    assert found[1].startswith("  5 | …mmm")
    assert found[1].endswith("n…")
    assert found[1][found[2].index("^")] == "0"
