"""The table of quantities: every number that is recorded has a row, and the docs show the table as it is."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from fgic_core import PluginError, kinds
from fgic_core.data.artifact import Metric, Point
from fgic_core.data.quantities import QUANTITIES, Quantity, headlines, quantity
from fgic_core.metrics.average_precision import Precision
from fgic_core.pipeline import Run
from fgic_core.report.numbers import amount, arrow
from fgic_core.steps.context import StepContext
from fgic_core.store.record import RunRecord
from fgic_core.testing import tiny_context

DOCS = Path(__file__).parents[2] / "docs" / "quantities.md"


def recorded() -> Iterator[str]:
    """The names that stand in calls of ``ctx.metric`` and of what calls it."""
    for path in sorted(Path(kinds.__file__).parent.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if called in ("metric", "_share", "_record_kid", "_record"):
                words = [one.value for one in node.args if isinstance(one, ast.Constant) and isinstance(one.value, str)]
                yield from (f"check_{word}" if called == "_record" else word for word in words[:1])


def test_every_number_that_the_core_records_has_a_row() -> None:
    names = {*recorded(), *Precision._fields}
    assert {"accuracy", "synthetic", "zero_maps", "attack_success", "KID_real", "mAP75", "check_monotone"} <= names
    assert {"check_unbounded", "check_zero_gradient"} <= names
    assert names <= QUANTITIES.keys()


def test_a_row_says_all_that_a_reader_needs() -> None:
    for name, row in QUANTITIES.items():
        assert row.name == name
        assert row.label
        assert row.meaning.endswith(".")
        assert row.better in ("higher", "lower", "")
        assert row.better or not row.headline or name == "synthetic", f"{name} heads a report: which way is better?"
    assert headlines()[0] == "robust_accuracy"
    assert headlines().index("mAP50") < headlines().index("mAP")


@pytest.mark.parametrize(
    ("name", "text", "way"),
    [("accuracy", "50.0\N{NO-BREAK SPACE}%", "↑"), ("FID", "0.5", "↓"), ("samples", "0.5", ""), ("theirs", "0.5", "")],
)
def test_unit_and_direction_are_those_of_the_quantity(name: str, text: str, way: str) -> None:
    assert (amount(Metric(name=name, value=0.5)), arrow(name)) == (text, way)


def test_a_quantity_may_have_any_unit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(QUANTITIES, "speed", Quantity("speed", "Speed", "images/s", "higher"))  # type: ignore[arg-type]
    assert amount(Metric(name="speed", value=12.5)) == "12.5\N{NO-BREAK SPACE}images/s"


def test_what_has_no_row_cannot_be_recorded_and_can_be_shown(tmp_path: Path) -> None:
    ctx: StepContext = tiny_context(tmp_path)
    with pytest.raises(PluginError, match="acuracy is no quantity that is known"):
        ctx.metric("acuracy", 0.5)
    assert ctx.metrics == []
    ctx.log(1, my_loss=2.0)
    assert ctx.curves == [Point(epoch=1, split="train", name="my_loss", value=2.0)]
    assert quantity("my_loss") == Quantity("my_loss", "my_loss")


def test_of_two_points_of_a_sweep_that_are_near_the_one_that_is_equal_is_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    near = 8 / 255 * (1 + 1e-8)
    found = [Metric(name="robust_accuracy", value=eps, split="test", at={"eps": eps}) for eps in (near, 8 / 255)]
    monkeypatch.setattr(Run, "metrics", lambda self, step: found)
    record = RunRecord(name="sweep", seed=0, started="", store=Path(), steps=[])
    run = Run(Path(), record)
    assert run.metric("attack", "robust_accuracy", "test", eps=8 / 255).value == 8 / 255
    assert run.metric("attack", "robust_accuracy", "test", eps=near).value == near
    with pytest.raises(KeyError, match="several metrics"):
        run.metric("attack", "robust_accuracy", "test", eps=8 / 255 * (1 - 1e-8))


def test_a_metric_is_found_by_some_of_what_it_was_measured_at() -> None:
    metric = Metric(name="robust_accuracy", value=0.5, split="test", at={"eps": 4 / 255, "norm": "Linf"})
    assert metric.is_at()
    assert metric.is_at(eps=0.01568627)
    assert metric.is_at(eps=4 / 255, norm="Linf")
    assert not metric.is_at(eps=2 / 255)
    assert not metric.is_at(norm="L2")
    assert not metric.is_at(eps=4 / 255, norm="L2")
    assert not metric.is_at(sigma=0.25)


def test_a_metric_reads_well_when_it_is_printed() -> None:
    about = {"n": 240, "low": 0.873, "high": 0.94}
    assert str(Metric(name="accuracy", value=0.9125, split="test", **about)) == (
        "accuracy (test) 0.9125 (95 % 0.873 to 0.94, n = 240)"
    )
    swept = Metric(name="robust_accuracy", value=None, at={"eps": 0.5, "norm": "L2"}, note="no image was right")
    assert str(swept) == "robust_accuracy (eps=0.5, norm=L2) not computed (no image was right)"


def test_the_docs_show_the_table_as_it_is() -> None:
    rows = [line for line in DOCS.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    assert rows == [
        f"| `{row.name}` | {row.label} | {row.unit} | {row.better} | {'yes' if row.headline else ''} | {row.meaning} |"
        for row in QUANTITIES.values()
    ]
