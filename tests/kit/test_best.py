"""What plugins that train a network share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from pydantic import PrivateAttr
from torch import nn

from fgic_core import BestEpoch, FittedClassifier, InputSpec, PluginError, Size, evaluation
from fgic_core.kit import NetworkClassifier, infer
from fgic_core.testing import tiny_context, tiny_dataset


def filled(network: nn.Linear, value: float) -> None:
    with torch.no_grad():
        network.weight.fill_(value)


def test_the_earliest_of_the_best_epochs_is_kept() -> None:
    network = nn.Linear(1, 1)
    best = BestEpoch(network, "mAP")
    for epoch, score in enumerate((0.1, 0.4, 0.4, 0.2), 1):
        filled(network, epoch)
        best.see(epoch, {"mAP": score, "accuracy": epoch})
    assert (best.epoch, best.waited) == (2, 2)
    best.restore()
    assert network.weight.item() == 2


def test_without_a_score_nothing_is_best_and_nothing_is_waited_for() -> None:
    network = nn.Linear(1, 1)
    best = BestEpoch(network, "mAP")
    filled(network, 3)
    best.see(1, {})
    best.see(2, {"mAP": float("nan")})
    best.restore()
    assert (best.epoch, best.waited, network.weight.item()) == (0, 0, 3)


@pytest.mark.parametrize("last", [1, 2])
def test_its_state_goes_through_a_checkpoint(last: int) -> None:
    """Also where the best epoch is the one just finished, whose weights are the network's own."""
    network = nn.Linear(1, 1)
    best = BestEpoch(network, "mAP")
    for epoch in range(1, last + 1):
        filled(network, epoch)
        best.see(epoch, {"mAP": -epoch})
    state = best.state_dict(last)
    assert (state["weights"] is None) == (last == 1)
    again, fresh = BestEpoch(network, "mAP"), network
    again.load_state_dict(state)
    filled(fresh, 7)
    again.restore()
    assert fresh.weight.item() == 1


def test_with_last_no_weights_are_copied() -> None:
    network = nn.Linear(1, 1)
    best = BestEpoch(network, "mAP", keep="last")
    best.see(1, {"mAP": 0.5})
    filled(network, 9)
    best.restore()
    assert (best.epoch, network.weight.item()) == (1, 9)


def test_evaluation_gives_each_module_its_own_mode_back() -> None:
    network = nn.Sequential(nn.Dropout(), nn.BatchNorm1d(2))
    network[1].eval()
    with evaluation(network) as same:
        assert same is network
        assert not any(module.training for module in network.modules())
    assert [module.training for module in network.modules()] == [True, True, False]


def test_of_a_distance_the_smallest_is_best_also_after_a_checkpoint() -> None:
    network = nn.Linear(1, 1)
    best = BestEpoch(network, "FID", best="min")
    for epoch, score in enumerate((90.0, 40.0, 60.0), 1):
        filled(network, epoch)
        best.see(epoch, {"FID": score})
    state = best.state_dict(3)
    again = BestEpoch(network, "FID", best="min")
    again.load_state_dict(state)
    again.see(4, {"FID": 50.0})
    assert (best.epoch, again.epoch) == (2, 2)
    again.restore()
    assert network.weight.item() == 2


class Built(NetworkClassifier):
    """A network that a test gives."""

    _given: Any = PrivateAttr(None)

    def build(self, classes: Sequence[str]) -> FittedClassifier:
        given: FittedClassifier = self._given
        return given


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (None, "build or start gave a NoneType, not a FittedClassifier"),
        (nn.Linear(1, 1), "build or start gave a Linear, not a FittedClassifier"),
        (
            FittedClassifier(torch.relu, InputSpec(Size(8, 8)), ("colour 0",)),  # type: ignore[arg-type]
            "build or start gave a builtin_function_or_method as network, not a torch.nn.Module",
        ),
    ],
)
def test_what_builds_no_network_is_told(tmp_path: Path, given: object, said: str) -> None:
    component, train = Built(), tiny_dataset(tmp_path, classes=1, per_class=1)
    component._given = given
    with pytest.raises((PluginError, AttributeError)) as caught:  # the second one is what it must not be
        component.fit(train, train, tiny_context(tmp_path))
    assert said in str(caught.value)
    assert "Return FittedClassifier(network, InputSpec(Size(224, 224)), tuple(classes))." in str(caught.value)


def test_measuring_draws_nothing_from_torchs_generator() -> None:
    """Else measuring would change the training that goes on after it."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 2))
    before = torch.get_rng_state()
    batches = list(infer(network, InputSpec(Size(8, 8)), lambda row: Image.new("RGB", (9, 9)), 3, batch_size=2))
    assert [len(batch.logits) for batch in batches] == [2, 1]
    assert torch.equal(torch.get_rng_state(), before)
