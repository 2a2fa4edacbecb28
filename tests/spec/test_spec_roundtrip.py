"""Properties: what is written is read back; whatever is read, only `SpecError` comes out."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fgic_core import Registry
from fgic_core.spec import Problem, SpecError, dump_yaml, from_dict, load_spec, parse_spec
from fgic_core.spec.document import read
from fgic_core.spec.errors import Source

SETTINGS = settings(
    max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

text = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)
words = text | st.sampled_from(
    ["1e-3", "on", "~", "null", "8/255", "0x1", "- a", "a: b", "#", "=", "<<", "=======", ".inf", "2026-11-23"]
)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | words,
    lambda below: st.lists(below, max_size=4) | st.dictionaries(words, below, max_size=4),
    max_leaves=12,
)


@SETTINGS
@given(st.dictionaries(words, values, min_size=1, max_size=4))
def test_plain_data_dumped_as_yaml_is_read_back_the_same(data: dict[str, Any]) -> None:
    root, problems = read(dump_yaml(data), Source("s"))
    assert not problems
    assert root is not None
    assert json.dumps(root.plain()) == json.dumps(data)


nets = st.fixed_dictionaries(
    {},
    optional={
        "model": text.filter(lambda word: word not in ("vit", "crash")),
        "epochs": st.integers(1, 1000),
        "lr": st.floats(1e-12, 1e12),
        "optimizer": st.sampled_from(["sgd", "adamw"]),
        "freeze": st.booleans(),
        "batch": st.integers() | st.just("auto"),
        "milestones": st.lists(st.integers(), max_size=3),
        "layers": st.lists(st.fixed_dictionaries({"width": st.integers(1, 9)}), max_size=2),
        "names": st.dictionaries(text, st.integers(), max_size=3),
        "tag": st.sampled_from(["on", "yes", "null", "true"]) | st.none(),
    },
)
eps = st.floats(0, 1) | st.integers(0, 255).map(lambda n: f"{n}/255")
pgds = st.fixed_dictionaries({}, optional={"eps": st.lists(eps, min_size=1, max_size=3), "alpha": eps | st.none()})
seeds = st.integers(0, 2**63 - 1)


@SETTINGS
@given(nets, pgds, seeds)
def test_a_spec_with_every_default_filled_in_means_the_same(
    registry: Registry, net: dict[str, Any], pgd: dict[str, Any], seed: int
) -> None:
    steps = {
        "d": {"uses": "dataset/drawn"},
        "crops": {"uses": "cropper/square", "seed": seed},
        "net": {"uses": "classifier/net", "with": net},
        "pgd": {"uses": "attacker/pgd", "with": pgd, "from": {"dataset": "d"}},
    }
    spec = from_dict({"version": 1, "name": "a", "seed": seed, "steps": steps}, registry)
    for written in (spec.text, dump_yaml(spec.resolved())):
        again = parse_spec(written, registry)
        assert again.resolved() == spec.resolved()
        assert [step.described for step in again.steps] == [step.described for step in spec.steps]
        assert [step.inputs for step in again.steps] == [step.inputs for step in spec.steps]


def problems_of(reading: Callable[[], object]) -> Sequence[Problem]:
    """What is wrong, if anything; every other exception is a fault."""
    try:
        reading()
    except SpecError as error:
        return error.problems
    return ()


@pytest.mark.parametrize("seed", range(4))
def test_a_spec_with_some_bytes_changed_is_read_or_refused_and_never_crashes(
    seed: int, registry: Registry, seven: str, tmp_path: Path
) -> None:
    rng = random.Random(seed)
    path = tmp_path / "s.yaml"
    refused = 0
    for _ in range(150):
        content = bytearray(seven.encode())
        for _ in range(rng.randint(1, 4)):
            at = rng.randrange(len(content))
            odd = rng.choice(b"\t\n\r :-?[]{},#&*!|>'\"%@`\\<=~.09azAZ\x00\x07\xc3\xff")
            content[at : at + rng.choice([0, 1, 1, 5])] = bytes([odd]) * rng.choice([1, 1, 3, 7])
        path.write_bytes(content)
        problems = problems_of(partial(load_spec, path, registry))
        refused += bool(problems)
        for problem in problems:
            snippet = problem.snippet()
            assert str(problem).startswith(str(path))
            assert problem.line == 0 or problem.column >= 1
            assert snippet is None or "^" in snippet[2]
    assert refused > 100


@SETTINGS
@given(st.text(max_size=60), st.text(max_size=30))
def test_any_text_and_any_assignment_is_read_or_refused(registry: Registry, anything: str, assignment: str) -> None:
    for spec, override in (
        (anything, "seed=1"),
        ("version: 1\nsteps:\n  d: {uses: dataset/drawn}\n", assignment),
        ("version: 1\nsteps:\n  d: {uses: dataset/drawn}\n", f"d.with.size={assignment}"),
    ):
        assert all(map(str, problems_of(partial(parse_spec, spec, registry, overrides=[override]))))


def test_reading_a_spec_imports_nothing_heavy(seven: str) -> None:
    program = """
import sys
from fgic_core.registry import Registry
from fgic_core.spec import SpecError, parse_spec
try:
    parse_spec(sys.stdin.read(), Registry([]))
except SpecError as error:
    assert len(error.problems) == 7
print([name for name in ("torch", "numpy", "pyarrow", "rich", "PIL", "matplotlib") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", program], input=seven, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
