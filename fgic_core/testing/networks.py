"""A small network to work on, and what a guest of a network must leave as it was."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fgic_core.data.geometry import Size
from fgic_core.data.input_spec import InputSpec
from fgic_core.kinds.classifier.contract import Classifier, FittedClassifier
from fgic_core.kinds.context import Context
from fgic_core.testing.data import tiny_context, tiny_dataset

if TYPE_CHECKING:
    import torch
    from torch import nn

    from fgic_core.data.dataset import Dataset


class SmallCnn(Classifier):
    """A small network with BatchNorm and dropout, for explainers and attackers to work on. It is not trained."""

    def build(self, classes: Sequence[str]) -> FittedClassifier:
        """A network of random weights."""
        from torch import nn

        network = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(8, 16, 3, padding=1),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Dropout(0.5),
            nn.Linear(16, len(classes)),
        )
        return FittedClassifier(network, InputSpec(Size(32, 32)), tuple(classes))

    def fit(self, train: Dataset, val: Dataset, ctx: Context) -> FittedClassifier:
        """Draw the weights."""
        import torch

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(ctx.seed)
            return self.build(train.classes)


def network_state(network: nn.Module) -> dict[str, Any]:
    """Everything about a network and torch's generator that a guest must leave as it was."""
    import torch

    return {
        "modes": [module.training for module in network.modules()],
        "requires_grad": [parameter.requires_grad for parameter in network.parameters()],
        "gradients": [parameter.grad is None for parameter in network.parameters()],
        "hooks": [
            len(m._forward_hooks) + len(m._backward_hooks) + len(m._forward_pre_hooks) for m in network.modules()
        ],
        "weights": [value.clone() for value in network.state_dict().values()],
        "generator": torch.get_rng_state(),
    }


def assert_untouched(before: dict[str, Any], after: dict[str, Any]) -> None:
    """Fail where the two states of `network_state` differ, and say in what."""
    import torch

    for name in ("modes", "requires_grad", "gradients", "hooks"):
        assert before[name] == after[name], f"the network's {name} were changed"
    assert torch.equal(before["generator"], after["generator"]), "torch's global generator was used"
    pairs = zip(before["weights"], after["weights"], strict=True)
    assert all(torch.equal(one, two) for one, two in pairs), "weights or buffers were changed"


def small_case(folder: Path) -> tuple[nn.Module, torch.Tensor, torch.Tensor]:
    """A network in evaluation mode, some of its inputs, and their labels."""
    import torch

    data = tiny_dataset(folder / "data")
    fitted = SmallCnn().fit(data, data, tiny_context(folder))
    test = data.split("test").take(range(0, 18, 3))
    images = torch.stack([fitted.input.prepare(test.crop(i)) for i in range(len(test))])
    return fitted.network.eval(), images, torch.from_numpy(test.labels)
