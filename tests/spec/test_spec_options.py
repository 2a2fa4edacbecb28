"""Options that are wrong: what is said, in full, with the place of the option."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import field_validator

from fgic_core import Box, Cropper, Epsilon, Input, Registry, Size
from fgic_core.spec import SpecError, from_dict, parse_spec

START = "version: 1\nsteps:\n  d: {uses: dataset/drawn}\n"
NET = "  c: {uses: classifier/net, with: {"
PGD = "  c: {uses: classifier/net}\n  p: {uses: attacker/pgd, with: {"

#: Options of classifier/net; what carets stand under; the message; the hint.
CASES = [
    ("epochs: many", "many", "option epochs should be a whole number, not 'many'", ""),
    ("epochs: 2.5", "2.5", "option epochs should be a whole number, not 2.5", ""),
    (
        "epochs: true",
        "true",
        "option epochs should be a number, not true",
        "Write epochs: 10, which is its default, or another integer in [1, 1000].",
    ),
    (
        "dropout: true",
        "true",
        "option dropout should be a number, not true",
        "Write a number in [0, 1]; its default is 0.0.",
    ),
    ("dropout: false", "false", "option dropout should be a number, not false", "Write dropout: 0."),
    ("epochs: null", "null", "option epochs should be a whole number, not null", ""),
    ("epochs: 0", "0", "option epochs should be at least 1, not 0", ""),
    ("epochs: 1001", "1001", "option epochs should be at most 1000, not 1001", ""),
    ("lr: 0", "0", "option lr should be greater than 0, not 0", ""),
    ("lr: 1/255", "1/255", "option lr should be a number, not '1/255'", ""),
    ("lr: [1]", "[", "option lr should be a number, not a list", ""),
    ("val_fraction: 1", "1", "option val_fraction should be less than 1, not 1", ""),
    ("freeze: 3", "3", "option freeze should be true or false, not 3", ""),
    ("model: 18", "18", "option model should be text, not 18", "Put it in quotes."),
    ("model: vit", "vit", "option model: vit needs a patch size, such as vit16", ""),
    ("epohcs: 3", "epohcs", "classifier/net has no option epohcs", "Did you mean epochs?"),
    (
        "zzz: 3",
        "zzz",
        "classifier/net has no option zzz",
        "fgic plugins show classifier/net lists its options.",
    ),
    (
        "optimizer: sdg",
        "sdg",
        "option optimizer should be 'sgd' or 'adamw', not 'sdg'",
        "Did you mean sgd?",
    ),
    ("batch: some", "some", "option batch should be a whole number or 'auto', not 'some'", ""),
    ("milestones: 3", "3", "option milestones should be a list, not 3", ""),
    ("milestones: [7, x]", "x", "option milestones[1] should be a whole number, not 'x'", ""),
    ("milestones: [7, true]", "true", "option milestones[1] should be a number, not true", ""),
    ("names: {a: b}", "b", "option names.a should be a whole number, not 'b'", ""),
    ("names: 3", "3", "option names should be a mapping, not 3", ""),
    ("layers: [{width: 0}]", "0", "option layers[0].width should be at least 1, not 0", ""),
    ("layers: [{widht: 1, width: 1}]", "widht", "layers[0] has no option widht", "Did you mean width?"),
    ("layers: [{}]", "{", "layers[0] needs the option width", "width: How many channels."),
    ("layers: [3]", "3", "option layers[0] should be a mapping, not 3", ""),
    (
        "layers: [{width: 1, activation: gleu}]",
        "gleu",
        "option layers[0].activation should be 'relu' or 'gelu', not 'gleu'",
        "Did you mean gelu?",
    ),
    ("tag: UP", "UP", "option tag should be text like ^[a-z]+$, not 'UP'", ""),
]


def expected(line: str, number: int, at: int, length: int, message: str, hint: str = "") -> str:
    text = f"s.yaml:{number}:{at + 1}: {message}\n  {number} | {line}\n    | {' ' * at}{'^' * length}"
    return f"{text}\n  {hint}" if hint else text


@pytest.mark.parametrize(("options", "under", "message", "hint"), CASES)
def test_a_wrong_option_is_shown_where_it_stands(
    options: str, under: str, message: str, hint: str, said: Callable[..., str]
) -> None:
    line = f"{NET}{options}}}}}"
    mark = options.index(under) if ":" not in options[: options.index(under)] else options.rindex(under)
    if under == "{":
        mark = options.index("[{") + 1
    if under == "[":
        mark = options.index("[")
    length = 1 if under in "[{" else len(under)
    assert said(f"{START}{line}\n") == expected(line, 4, len(NET) + mark, length, message, hint)


@pytest.mark.parametrize(
    ("options", "under", "message"),
    [
        ("eps: [0, 8]", "8", "option eps[1] is 8, but images are in [0, 1]; write 8/255 for 8-bit steps"),
        ("eps: [0, -1]", "-1", "option eps[1] should be at least 0, not -1"),
        ("eps: [9/8]", "9/8", "option eps[0] should be at most 1, not '9/8'"),
        ("eps: [1/0]", "1/0", "option eps[0] should be a number in [0, 1] or a fraction such as 8/255, not '1/0'"),
        ("eps: []", "[", "option eps should have at least 1 item"),
        ("eps: 8/255", "8/255", "option eps should be a list, not '8/255'"),
        ("alpha: big", "big", "option alpha should be a number in [0, 1] or a fraction such as 8/255, not 'big'"),
    ],
)
def test_a_wrong_perturbation_size_is_shown_where_it_stands(
    options: str, under: str, message: str, said: Callable[..., str]
) -> None:
    line = f"{PGD}{options}}}}}"
    last = line.rsplit("\n", 1)[-1]
    at = last.rindex(under)
    assert said(f"{START}{line}\n") == expected(last, 5, at, len(under), message)


def test_a_fraction_is_a_number_where_a_perturbation_size_stands(registry: Registry, made: Any) -> None:
    step = parse_spec(f"{START}{PGD}eps: [0, 8/255, 0.5], alpha: 2/255}}}}", registry).step("p")
    assert made(step).model_dump()["eps"] == (0.0, 8 / 255, 0.5)
    assert made(step).model_dump()["alpha"] == step.described.options["alpha"] == 2 / 255
    assert Epsilon.__metadata__  # the type is public: plugins annotate their options with it


def test_a_missing_option_is_told_at_with_or_else_at_uses(said: Callable[..., str]) -> None:
    text = START + "  b: {uses: dataset/birds}\n  e: {uses: dataset/birds, with: {verify: none}}\n"
    assert (
        said(text)
        == """\
s.yaml:4:13: dataset/birds needs the option root
  4 |   b: {uses: dataset/birds}
    |             ^^^^^^^^^^^^^
  root: Folder with the pictures.
s.yaml:5:28: dataset/birds needs the option root
  5 |   e: {uses: dataset/birds, with: {verify: none}}
    |                            ^^^^
  root: Folder with the pictures."""
    )


def test_options_in_block_style_keep_their_own_lines(said: Callable[..., str]) -> None:
    text = (
        START
        + "  c:\n    uses: classifier/net\n    with:\n      lr: 1e-3\n      milestones:\n        - 7\n        - seven\n"
    )
    assert (
        said(text)
        == """\
s.yaml:10:11: option milestones[1] should be a whole number, not 'seven'
  10 |         - seven
     |           ^^^^^"""
    )


def test_with_should_be_a_mapping_and_may_be_empty(registry: Registry, said: Callable[..., str]) -> None:
    assert parse_spec(START + "  c:\n    uses: classifier/net\n    with:\n", registry).step("c").given == {}
    line = "  c: {uses: classifier/net, with: [lr]}"
    message = "with should be a mapping from options to values, not a list"
    assert said(f"{START}{line}\n") == expected(line, 4, 34, 1, message, "Write with: {option: value, ...}.")


def test_a_validator_that_crashes_is_one_problem_among_others(said: Callable[..., str]) -> None:
    text = START + "  c: {uses: classifier/net, with: {model: crash}}\n  e: {uses: classifier/net, with: {lr: 0}}\n"
    first, second = said(text).split("\ns.yaml")
    assert first.startswith(
        "s.yaml:4:13: classifier/net failed while it checked its options: RuntimeError: no connection to the hub\n"
    )
    assert second.startswith(":5:40: option lr should be greater than 0")


class Drifting(Cropper):
    """Each look at its options changes them."""

    scale: float = 1.0
    unit: str = "m"
    names: frozenset[str] = frozenset()

    @field_validator("scale")
    @classmethod
    def _halved(cls, scale: float) -> float:
        return scale / 2

    @field_validator("unit")
    @classmethod
    def _short(cls, unit: str) -> str:
        if unit == "cm":
            raise ValueError("cm is short for nothing")
        return {"centimetre": "cm"}.get(unit, unit)

    @field_validator("names")
    @classmethod
    def _lower(cls, names: frozenset[str]) -> frozenset[str]:
        return frozenset(name.lower() for name in names)

    def region(self, box: Box, image: Size) -> Box:
        return box


def test_options_that_are_others_when_a_job_reads_them_are_refused(registry: Registry) -> None:
    """A job is given what the first look made of them, and looks again: the key would tell of other values."""
    known = Registry([])
    known.register("drifting", Drifting)
    known.register("drawn", registry.get("dataset/drawn"))

    def said(**options: Any) -> str:
        step = {"uses": "cropper/drifting", "with": options}
        with pytest.raises(SpecError) as caught:
            from_dict({"version": 1, "steps": {"d": {"uses": "dataset/drawn"}, "c": step}}, known)
        return str(caught.value)

    assert said(scale=1) == (
        "steps.c.uses: cropper/drifting does not take its own options as they are: scale is 0.5, then 0.25 when a job "
        "reads them again. A validator that changes a value must leave alone what it has changed already."
    )
    assert "when a job reads unit: Value error, cm is short for nothing" in said(scale=0, unit="centimetre")
    step = {"uses": "cropper/drifting", "with": {"scale": 0, "names": list("ABCDEFGH")}}
    spec = from_dict({"version": 1, "steps": {"d": {"uses": "dataset/drawn"}, "c": step}}, known)
    assert sorted(spec.step("c").described.options["names"]) == list("abcdefgh")


class Odd(Drifting):
    """Takes what nothing gives."""

    inputs = {**Cropper.inputs, "odd": Input("fitted", auto=False)}


def test_where_no_kind_gives_what_is_needed_none_is_proposed(registry: Registry) -> None:
    known = Registry([])
    known.register("odd", Odd)
    known.register("drawn", registry.get("dataset/drawn"))
    steps = {"d": {"uses": "dataset/drawn"}, "c": {"uses": "cropper/odd", "with": {"scale": 0}}}
    with pytest.raises(SpecError, match=r"No kind that is installed gives a fitted without being given one\."):
        from_dict({"version": 1, "steps": steps}, known)


def test_paths_start_at_the_folder_of_the_spec(tmp_path: Path, registry: Registry) -> None:
    (tmp_path / "pictures").mkdir()
    text = "version: 1\nsteps:\n  b: {uses: dataset/birds, with: {root: pictures}}\n"
    spec = parse_spec(text, registry, path=tmp_path / "s.yaml")
    assert spec.steps[0].described.options["root"] == str(tmp_path / "pictures")
    assert spec.steps[0].given == {"root": "pictures"}
    with pytest.raises(SpecError) as caught:
        parse_spec(text.replace("pictures", "picture"), registry, path=tmp_path / "s.yaml")
    assert caught.value.problems[0].message == (
        f"option root should be a folder that exists; there is none at {tmp_path / 'picture'}"
    )


def test_beside_an_unknown_option_everything_else_that_is_wrong_is_said_too(said: Callable[..., str]) -> None:
    """What pydantic takes for a number is one fault, and what only a validator of the whole sees another."""
    text = said(f"{START}{NET}epohcs: 3, dropout: true, lr: 0}}}}\n")
    assert [line.partition(": ")[2] for line in text.splitlines() if line.startswith("s.yaml")] == [
        "classifier/net has no option epohcs",
        "option dropout should be a number, not true",
        "option lr should be greater than 0, not 0",
    ]
    text = said(f"{START}{NET}epohcs: 3, freeze: true, dropout: 0.5}}}}\n")
    assert "classifier/net has no option epohcs" in text
    assert "classifier/net: dropout goes with a network that is not frozen" in text


def test_python_data_is_checked_alike_and_problems_name_keys(registry: Registry) -> None:
    steps = {
        "d": {"uses": "dataset/drawn", "with": {"size": 3}},
        "c": {"uses": "classifier/net", "with": {"milestones": (7, "x"), "lr": float("nan"), "epohcs": 1}},
    }
    with pytest.raises(SpecError) as caught:
        from_dict({"version": 1, "steps": steps}, registry)
    assert (
        str(caught.value)
        == """\
steps.d.with.size: option size should be at least 16, not 3
steps.c.with.epohcs: classifier/net has no option epohcs
  Did you mean epochs?
steps.c.with.lr: option lr should be greater than 0, not nan
steps.c.with.milestones[1]: option milestones[1] should be a whole number, not 'x'"""
    )
    steps["d"] = {"uses": "dataset/drawn", "with": {"size": 32}}
    steps["c"] = {"uses": "classifier/net"}
    spec = from_dict({"version": 1, "steps": steps}, registry)
    assert parse_spec(spec.text, registry).resolved() == spec.resolved()
    endless: list[object] = []
    endless.append(endless)
    with pytest.raises(SpecError, match="nested too deeply"):
        from_dict({"version": 1, "steps": endless}, registry)


def test_an_option_that_names_a_pipe_is_refused(tmp_path: Path, registry: Registry, pipe) -> None:
    pipe(tmp_path / "w.safetensors")
    with pytest.raises(SpecError) as caught:
        parse_spec(f"{START}{NET}weights: w.safetensors}}}}\n", registry, base=tmp_path)
    assert "should be a regular file" in str(caught.value)
    assert "named pipe, a socket or a device" in str(caught.value)
