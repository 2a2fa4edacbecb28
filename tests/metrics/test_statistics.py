"""Intervals, and fair choices of samples."""

from __future__ import annotations

import numpy as np
import pytest

from fgic_core.metrics.statistics import hold_out, pick_evenly, proportion


def test_the_interval_is_wilsons() -> None:
    # Newcombe 1998, table I: 81 of 263, and 0 of 20 whose upper end is 0.1611.
    found = proportion(81, 263)
    assert (round(found.low, 4), round(found.high, 4)) == (0.2553, 0.3662)
    none = proportion(0, 20)
    assert (none.low, round(none.high, 4)) == (pytest.approx(0, abs=1e-12), 0.1611)
    assert np.isnan(proportion(0, 0).value)


def test_the_share_of_each_class_is_held_out_and_at_least_one_but_never_all() -> None:
    labels = np.array([0] * 40 + [1] * 10 + [2] * 2 + [3])
    held = hold_out(labels, 0.1, np.random.default_rng(0))
    assert [int(held[labels == label].sum()) for label in range(4)] == [4, 1, 1, 0]
    assert hold_out(labels, 0.99, np.random.default_rng(0))[labels == 2].sum() == 1


def test_groups_stay_together_and_every_class_keeps_a_sample_to_learn_from() -> None:
    labels = np.repeat([0, 1, 2], 12)
    groups = np.concatenate([np.arange(12) // 3, 10 + np.arange(12) // 4, np.full(12, 99)])
    for seed in range(20):
        held = hold_out(labels, 0.2, np.random.default_rng(seed), groups)
        assert not set(groups[held]) & set(groups[~held])
        assert all(not held[labels == label].all() for label in range(3))
        assert held[labels == 0].any()
        assert not held[labels == 2].any()  # its one group cannot be split


def test_a_group_across_classes_is_held_out_in_both() -> None:
    labels, groups = np.array([0, 0, 0, 1, 1, 1]), np.array([0, 1, 2, 0, 1, 3])
    for seed in range(20):
        held = hold_out(labels, 0.34, np.random.default_rng(seed), groups)
        assert not set(groups[held]) & set(groups[~held])


def test_a_class_of_only_twins_of_another_still_keeps_samples() -> None:
    labels, groups = np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1])
    for seed in range(20):
        held = hold_out(labels, 0.5, np.random.default_rng(seed), groups)
        assert all(not held[labels == label].all() for label in (0, 1))


def test_picking_is_even_over_the_classes_and_decided_by_the_generator() -> None:
    labels = np.array([0] * 50 + [1] * 5 + [2] * 2)
    chosen = pick_evenly(labels, 12, np.random.default_rng(0))
    assert np.bincount(labels[chosen]).tolist() == [5, 5, 2]
    assert chosen.tolist() == pick_evenly(labels, 12, np.random.default_rng(0)).tolist()
    assert chosen.tolist() != pick_evenly(labels, 12, np.random.default_rng(1)).tolist()
    assert pick_evenly(labels, None, np.random.default_rng(0)).tolist() == list(range(57))
