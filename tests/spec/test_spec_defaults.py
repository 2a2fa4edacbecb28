"""Options by component: a step that uses one has them unless it says otherwise, so that one word swaps a backend."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fgic_core import Registry
from fgic_core.spec import parse_spec, spec_schema

from .test_spec_schema import Judge, data

SPEC = """\
version: 1
defaults:
  classifier/net: {epochs: 3, lr: 1e-3, layers: [{width: 4}]}
  dataset/birds: {root: .}
  detector/not-installed: {anything: 1}
steps:
  d: {uses: dataset/drawn}
  c: {uses: classifier/net, with: {epochs: 5}}
"""


def test_a_step_has_its_components_defaults_unless_it_says_otherwise(registry: Registry, made: Any) -> None:
    net = made(parse_spec(SPEC, registry).step("c"))
    assert (net.epochs, net.lr, net.layers[0].width) == (5, 1e-3, 4)
    net = made(parse_spec(SPEC.replace(", with: {epochs: 5}", ""), registry).step("c"))
    assert (net.epochs, net.lr) == (3, 1e-3)


def test_one_word_swaps_a_backend_that_needs_an_option(registry: Registry, tmp_path: Path) -> None:
    swapped = parse_spec(SPEC, registry, base=tmp_path, overrides=["d.uses=dataset/birds"])
    assert swapped.step("d").described.options["root"] == str(tmp_path)
    assert swapped.step("d").given == {"root": "."}


def test_the_filled_in_form_needs_no_defaults(registry: Registry) -> None:
    spec = parse_spec(SPEC, registry)
    resolved = spec.resolved()
    assert "defaults" not in resolved
    assert resolved["steps"]["c"]["with"]["lr"] == 1e-3


def test_set_goes_before_the_defaults(registry: Registry, made: Any) -> None:
    net = made(parse_spec(SPEC, registry, overrides=["c.with.lr=0.5"]).step("c"))
    assert (net.epochs, net.lr) == (5, 0.5)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("lr: 1e-3", "lr: 0", "s.yaml:3:35: option lr should be greater than 0, not 0"),
        ("lr: 1e-3", "lrr: 1", "s.yaml:3:31: classifier/net has no option lrr"),
        ("{root: .}", "{roto: .}", "s.yaml:4:19: dataset/birds has no option roto"),
        ("{root: .}", "3", "s.yaml:4:3: the defaults of dataset/birds should be a mapping, not 3"),
        ("detector/not-installed", "detecter/x", "s.yaml:5:3: 'detecter/x' is no component\n"),
        (
            "detector/not-installed",
            "detector/bxes",
            "s.yaml:5:3: no component detector/bxes is installed, and",
        ),
        ("detector/not-installed", "detector", "s.yaml:5:3: 'detector' is no component\n"),
        ("defaults:\n", "defalts:\n", "s.yaml:2:1: a spec has no defalts"),
    ],
)
def test_what_is_wrong_with_them_is_said_once_with_its_place(
    old: str, new: str, message: str, said: Callable[..., str]
) -> None:
    text = said(SPEC.replace(old, new, 1))
    assert message in text
    assert text.count("s.yaml:") == 1


def test_defaults_that_are_no_mapping_are_refused(said: Callable[..., str]) -> None:
    text = said("version: 1\ndefaults: [1]\nsteps: {d: {uses: dataset/drawn}}\n")
    assert "defaults should be a mapping from components to options, not a list" in text


def test_the_schema_knows_them(registry: Registry) -> None:
    judge = Judge(spec_schema(registry))
    assert judge.legal(data(SPEC))
    assert judge.legal(data(SPEC.replace("dataset/drawn", "dataset/birds")))
    assert not judge.legal(data(SPEC.replace("lr: 1e-3", "lr: 0")))
    assert not judge.legal(data(SPEC.replace("detector/not-installed", "detecter/x")))
