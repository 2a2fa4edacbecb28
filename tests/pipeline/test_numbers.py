"""The numbers of a run and their intervals, against counts that are known beforehand.

A picture's grey level divided by 20 names the class that the network puts first; the others follow in order.
"""

from __future__ import annotations

from collections.abc import Callable

import pyarrow.parquet as pq
import pytest
import torch
from torch import nn

from fgic_core import Attacker, Run

Measure = Callable[..., Run]


class Ranking(nn.Module):
    """Puts the class that the picture names first, the one after it second, and so on in a circle."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.classes = classes

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        first = (images[:, 0, 0, 0] * 255 / 20).round()[:, None]
        place = (torch.arange(self.classes)[None] - first) % self.classes
        return -place


def ranked(*counts: int, label: int = 0, classes: int = 10) -> list[tuple[int, int, str]]:
    """Test pictures of a class: the first count is of those at rank 1, the second of those at rank 2, and so on."""
    ranks = [rank for rank, count in enumerate(counts) for _ in range(count)]
    return [(label, (label - rank) % classes * 20, "test") for rank in ranks]


# Newcombe 1998, table I, the row "score, no continuity correction".
NEWCOMBE = [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)]


@pytest.mark.parametrize(("right", "n", "low", "high"), NEWCOMBE)
def test_an_accuracy_carries_wilsons_95_percent_interval(
    measure: Measure, right: int, n: int, low: float, high: float
) -> None:
    class Nothing(Attacker):
        def perturb(self, network: nn.Module, images: torch.Tensor, *rest: object) -> torch.Tensor:
            return images

    attack = Nothing(eps=(0.5,), samples=None)
    run = measure(ranked(right, n - right), Ranking, classes=10, attack=attack)
    for metric in (
        run.metric("classifier", "accuracy", "test"),
        run.metric("attack", "clean_accuracy", "test"),
        run.metric("attack", "robust_accuracy", "test", eps=0.5),
    ):
        assert (metric.value, metric.n) == (right / n, n)
        assert (metric.low, metric.high) == (pytest.approx(low, abs=6e-5), pytest.approx(high, abs=6e-5)), str(metric)
    within = run.metric("classifier", "top5_accuracy", "test")
    assert (within.value, within.low) == (1.0, pytest.approx(n / (n + 1.959964**2), abs=1e-4))


def test_the_fifth_guess_counts_for_top_5_and_the_sixth_does_not(measure: Measure) -> None:
    run = measure(ranked(8, 0, 2, 0, 5, 3, 0, 0, 0, 2), Ranking, classes=10)
    assert run.metric("classifier", "accuracy", "test").value == 8 / 20
    within = run.metric("classifier", "top5_accuracy", "test")
    assert (within.value, within.n) == (15 / 20, 20)


@pytest.mark.parametrize(("classes", "top5"), [(5, False), (6, True)])
def test_top_5_is_told_of_more_than_five_classes(measure: Measure, classes: int, top5: bool) -> None:
    run = measure(ranked(1, 0, 0, 0, 0, *[3] * (classes > 5), classes=classes), Ranking, classes=classes)
    found = [
        metric.value
        for metric in run.metrics("classifier")
        if metric.name == "top5_accuracy" and metric.split == "test"
    ]
    assert found == ([1 / 4] if top5 else [])


def test_the_mean_class_accuracy_weighs_classes_alike_and_leaves_out_absent_ones(measure: Measure) -> None:
    pictures = [*ranked(9, 0), *ranked(1, 1, label=1), *ranked(0, 1, label=2)]
    run = measure(pictures, Ranking, classes=10)
    assert run.metric("classifier", "accuracy", "test").value == 10 / 12
    metric = run.metric("classifier", "mean_class_accuracy", "test")
    assert (metric.value, metric.n) == (pytest.approx((1 + 1 / 2 + 0) / 3), 12)
    assert "the 3 of 10 that occur" in metric.note


def test_the_loss_is_the_mean_cross_entropy_over_the_pictures(measure: Measure) -> None:
    """Also where the last batch is a smaller one: 32 and 8 pictures."""
    run = measure(ranked(32, 0, 0, 8), Ranking, classes=10)
    log_sum = torch.logsumexp(-torch.arange(10.0), 0).item()
    expected = (32 * log_sum + 8 * (log_sum + 3)) / 40
    assert run.metric("classifier", "loss", "test").value == pytest.approx(expected, abs=1e-5)


def test_every_prediction_stands_beside_its_own_picture(measure: Measure) -> None:
    """Also across batches, of which there are two."""
    named = [(7 * row) % 10 for row in range(40)]
    run = measure([(row % 10, first * 20, "test") for row, first in enumerate(named)], Ranking, classes=10)
    rows = pq.read_table(run.record.step("classifier").folder / "predictions.parquet").to_pylist()
    test = [row for row in rows if row["split"] == "test"]
    assert [row["id"] for row in test] == [f"test-{row}" for row in range(40)]
    assert [(row["label"], row["predicted"]) for row in test] == [(row % 10, first) for row, first in enumerate(named)]
    assert [row["top"] for row in test] == [[(first + place) % 10 for place in range(5)] for first in named]
