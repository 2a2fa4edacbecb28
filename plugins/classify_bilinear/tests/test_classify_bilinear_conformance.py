from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from fgic_classify_bilinear import BilinearClassifier
from safetensors.torch import save_file
from torchvision.models import resnet18

from fgic_core import Classifier, Context, FittedClassifier, PluginError
from fgic_core.testing import ClassifierSuite, tiny_context, tiny_dataset


class TestBilinearClassifier(ClassifierSuite):
    @pytest.fixture
    def component(self) -> Classifier:
        return BilinearClassifier(image_size=32, projection=4, epochs=3, batch_size=8)


def test_what_is_pooled_is_the_mean_outer_product_of_two_streams(tmp_path: Path) -> None:
    """Rooted with its sign, of length 1, and the same whichever way round the places come."""
    component = BilinearClassifier(image_size=64, projection=3)
    network = component.start("ab", tiny_context(tmp_path)).network.eval()
    seen: list[torch.Tensor] = []
    network.head.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        network(images)
        maps = network.body((images - network.mean) / network.std)["maps"]
        other = network.project(maps)
    for row in range(2):
        outer = sum(torch.outer(maps[row, :, y, x], other[row, :, y, x]) for y in range(2) for x in range(2)) / 4
        rooted = (outer.sign() * (outer.abs() + 1e-5).sqrt()).flatten()
        torch.testing.assert_close(seen[0][row], rooted / rooted.norm())


def test_first_weights_are_torchvisions_and_of_no_other_network(tmp_path: Path) -> None:
    weights = tmp_path / "resnet18.safetensors"
    state = resnet18().state_dict()
    save_file(state, weights)
    body = BilinearClassifier(weights=weights).start("ab", tiny_context(tmp_path)).network.body
    assert torch.equal(body.state_dict()["layer4.1.conv2.weight"], state["layer4.1.conv2.weight"])
    with pytest.raises(PluginError, match="Are they of the network that the options describe"):
        BilinearClassifier(backbone="resnet34", weights=weights).start("ab", tiny_context(tmp_path, name="other"))


class _Narrow(BilinearClassifier):
    """Has a head for one class too few."""

    def build(self, classes: Sequence[str]) -> FittedClassifier:
        fitted = super().build(classes[1:])
        return FittedClassifier(fitted.network, fitted.input, tuple(classes))

    def augment(self, image: object, rng: object) -> object:  # type: ignore[override]
        raise AssertionError("something is trained")


def test_a_head_of_the_wrong_width_is_found_before_an_epoch_is_spent_on_it(tmp_path: Path) -> None:
    data, ctx = tiny_dataset(tmp_path / "data"), tiny_context(tmp_path)
    with pytest.raises(PluginError, match=r"network gave \(2, 2\) for a batch(.|\n)*logits of shape \(2, 3\)"):
        _Narrow(image_size=32, projection=4, epochs=1).fit(data.split("train"), data.split("train"), ctx)


def test_one_picture_at_a_time_is_too_few_for_batch_norm_and_the_option_is_named(tmp_path: Path) -> None:
    """At 32 pixels the last maps of a ResNet are 1 x 1: batch norm compares nothing there but pictures."""
    data = tiny_dataset(tmp_path / "data").split("train")

    def fit(ctx: Context) -> None:
        BilinearClassifier(image_size=32, projection=4, epochs=1, batch_size=1).fit(data, data, ctx)

    with pytest.raises(PluginError, match=r"batch_size is 1\n  Set batch_size to 2 or more") as caught:
        fit(tiny_context(tmp_path))
    assert isinstance(caught.value.__cause__, ValueError)
