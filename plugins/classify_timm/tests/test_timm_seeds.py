"""What the seed decides of a training, each on its own: first weights, and the order of the pictures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from fgic_classify_timm import TimmClassifier

from fgic_core import Dataset, InputSpec
from fgic_core.steps.context import StepContext

Make = Callable[..., TimmClassifier]
MakeContext = Callable[..., StepContext]


@pytest.fixture(autouse=True)
def pictures_are_read_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fgic_core.kit.pictures.MOST", 0)


class Watched:
    """Train samples that note which of their pictures are asked for, and in which order."""

    def __init__(self, data: Dataset) -> None:
        self._data, self.asked = data, []

    def __len__(self) -> int:
        return len(self._data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._data, name)

    def crop(self, row: int) -> Any:
        self.asked.append(row)
        return self._data.crop(row)


def orders(data: Dataset, tiny: Make, ctx: StepContext) -> tuple[list[int], list[int]]:
    """The rows of two epochs as they were trained on."""
    train = Watched(data.split("train"))
    tiny(epochs=2).fit(train, data.split("val"), ctx)
    half = len(train.asked) // 2
    return train.asked[:half], train.asked[half:]


def test_every_epoch_has_all_pictures_in_an_order_of_its_own(
    tiny: Make, colours: Dataset, context: MakeContext
) -> None:
    first, second = orders(colours, tiny, context("a"))
    assert sorted(first) == sorted(second) == list(range(24))
    assert first != second
    assert first != sorted(first)


def test_the_seed_decides_the_order(tiny: Make, colours: Dataset, context: MakeContext) -> None:
    found = [orders(colours, tiny, context(name, seed=seed)) for name, seed in (("a", 0), ("b", 0), ("c", 1))]
    assert found[0] == found[1]
    assert found[0] != found[2]


def test_a_picture_is_another_one_in_every_epoch(
    tiny: Make, colours: Dataset, context: MakeContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    noted, prepare = [], InputSpec.prepare
    monkeypatch.setattr(
        InputSpec, "prepare", lambda self, image: (noted.append(image.tobytes()), prepare(self, image))[1]
    )
    train = Watched(colours.split("train"))
    tiny(epochs=2, crop_scale=0.4).fit(train, colours.split("val"), context())
    assert len(noted) == len(train.asked) == 48
    pairs = list(zip(train.asked, noted, strict=True))
    first, second = dict(pairs[:24]), dict(pairs[24:])
    assert first.keys() == second.keys()
    assert sum(first[row] != second[row] for row in first) > 20


def test_the_seed_decides_the_first_weights(tiny: Make, colours: Dataset, context: MakeContext) -> None:
    """With next to no learning rate the weights after an epoch are the first ones."""
    found = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        classifier = tiny(epochs=1, lr=1e-12, weight_decay=0.0)
        fitted = classifier.fit(colours.split("train"), colours.split("val"), context(name, seed=seed))
        found.append(fitted.network.state_dict()["conv_stem.weight"])
    assert torch.equal(found[0], found[1])
    assert float((found[0] - found[2]).abs().max()) > 1e-3


def test_a_saved_model_keeps_a_normalisation_that_is_not_imagenets(
    tiny: Make, colours: Dataset, context: MakeContext, tmp_path: Any
) -> None:
    classifier = tiny(model="test_resnet", epochs=1)
    fitted = classifier.fit(colours.split("train"), colours.split("val"), context())
    classifier.save(fitted, tmp_path)
    again = classifier.load(tmp_path, "cpu")
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(again.network(images), fitted.network(images))
        assert torch.equal(again.network(images), again.network.model((images - 0.5) / 0.5))
