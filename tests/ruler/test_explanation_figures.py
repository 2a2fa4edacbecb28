"""Which class a map is of, what counts as a hit, and when a map is said to ignore the network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fgic_core import (
    Box,
    Classifier,
    Detections,
    Detector,
    Explainer,
    FittedClassifier,
    FittedDetector,
    InputSpec,
    Maps,
    ObjectBox,
    Run,
    Sample,
    Size,
)

Bench = Callable[..., Run]
SIDE = 16
STEPS = {"classifier": {"uses": "classifier/set"}, "map": {"uses": "explainer/map"}}


def pictures(
    boxes: Sequence[Box], label: int = 1, test: int = 6, seed: int = 0
) -> list[tuple[Sample, np.ndarray[Any, Any]]]:
    """Noise; every test picture has these boxes."""
    rng = np.random.default_rng(seed)
    made = []
    for split, labels in (("train", [0, 0, 0, 1, 1, 1]), ("test", [label] * test)):
        for number, own in enumerate(labels):
            name = f"{split}-{number}"
            about = {"id": name, "path": f"{name}.png", "label": own, "split": split}
            sample = Sample(**about, boxes=tuple(ObjectBox(box) for box in boxes))  # type: ignore[arg-type]
            made.append((sample, rng.integers(0, 256, (SIDE, SIDE, 3))))
    return made


class Set(Classifier):
    """Its weights are set: it answers class 0, whatever it sees; its BatchNorm says that pictures are very bright."""

    def build(self, classes: Any) -> FittedClassifier:
        import torch
        from torch import nn

        network = nn.Sequential(
            nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)
        )
        with torch.no_grad():
            for number, parameter in enumerate(network.parameters()):
                parameter.copy_(torch.linspace(-1, 1, parameter.numel()).view_as(parameter) + 0.1 * number)
            network[1].running_mean.fill_(1000.0)
            network[5].weight[:] = 0.0
            network[5].bias.copy_(torch.tensor([1.0, 0.0]))
        return FittedClassifier(network.eval(), InputSpec(Size(SIDE, SIDE)), tuple(classes))

    def fit(self, train: Any, val: Any, ctx: Any) -> FittedClassifier:
        return self.build(train.classes)


def mapper(draw: Callable[[Any, Any, Any], Any]) -> type[Explainer]:
    """An explainer that draws ``draw(network, images, targets)``."""

    class Map(Explainer):
        """Draws what it is told to."""

        def explain(self, network: Any, images: Any, targets: Any, generator: Any) -> Maps:
            return Maps(draw(network, images, targets)[:, None], ("drawn",))

    return Map


def at(row: int, column: int, images: Any) -> Any:
    """Maps with all evidence in one pixel."""
    import torch

    maps = torch.zeros(len(images), SIDE, SIDE)
    maps[:, row, column] = 1.0
    return maps


def test_a_map_without_evidence_is_no_hit_wherever_the_box_is(bench: Bench) -> None:
    """The largest of equal values is the first: the upper left pixel, which this box covers."""
    nothing = mapper(lambda network, images, targets: at(0, 0, images) * 0)
    run = bench(pictures([Box(0, 0, 6, 6)]), STEPS, set=Set, map=nothing)
    assert run.metric("map", "zero_maps", "test").value == 1
    hit = run.metric("map", "pointing_game", "test")
    assert (hit.value, hit.n) == (0, 6)
    assert run.metric("map", "energy_in_box", "test").value == 0
    assert any("6 of 6 maps are all zero" in said for said in run.artifact("map").warnings)


def test_evidence_in_the_upper_left_pixel_is_a_hit_of_the_box_there(bench: Bench) -> None:
    run = bench(pictures([Box(0, 0, 6, 6)]), STEPS, set=Set, map=mapper(lambda n, images, t: at(0, 0, images)))
    assert run.metric("map", "pointing_game", "test").value == 1
    assert run.metric("map", "zero_maps", "test").value == 0


def test_a_box_of_six_by_three_pixels_is_that_share_of_random_points(bench: Bench) -> None:
    """Random points hit a box by its share of the input, and the centre where it lies in one: both stand beside."""
    corner = bench(pictures([Box(1, 2, 7, 5)]), STEPS, set=Set, map=mapper(lambda n, images, t: at(3, 3, images)))
    middle = bench(pictures([Box(5, 5, 11, 11)]), STEPS, set=Set, map=mapper(lambda n, images, t: at(3, 3, images)))
    values = {
        name: [run.metric("map", name, "test").value for run in (corner, middle)]
        for name in ("pointing_game", "pointing_game_center", "pointing_game_random")
    }
    assert values == {
        "pointing_game": [1, 0],
        "pointing_game_center": [0, 1],
        "pointing_game_random": [pytest.approx(18 / SIDE**2), pytest.approx(36 / SIDE**2)],
    }


def test_a_map_is_measured_by_the_annotated_box_where_there_is_one(bench: Bench) -> None:
    """Not by a detector's, which here lies elsewhere."""

    class Corner(FittedDetector):
        def detect(self, images: Sequence[Any]) -> list[Detections]:
            return [Detections(np.array([[10.0, 10, 16, 16]]), np.ones(1), np.zeros(1, int)) for _ in images]

    class Elsewhere(Detector):
        """Finds something in the lower right corner."""

        def learns(self) -> bool:
            return False

        def fit(self, train: Any, val: Any, ctx: Any) -> Corner:
            return Corner()

        def save(self, fitted: Any, folder: Path) -> None: ...

        def load(self, folder: Path, device: str) -> Corner:
            return Corner()

    steps = {"boxes": {"uses": "detector/elsewhere"}, **STEPS}
    drawn = mapper(lambda n, images, t: at(3, 3, images))
    run = bench(pictures([Box(1, 1, 7, 7)]), steps, set=Set, map=drawn, elsewhere=Elsewhere)
    assert run.metric("map", "pointing_game", "test").value == 1
    assert run.metric("map", "pointing_game_random", "test").value == pytest.approx(36 / SIDE**2)


@pytest.mark.parametrize(("target", "hits"), [(None, 1), ("predicted", 1), ("label", 0)])
def test_the_class_that_is_explained_is_the_one_asked_for(bench: Bench, target: str | None, hits: int) -> None:
    """The network says class 0 of pictures of class 1. Evidence for class 0 lies in the box, that for class 1 not."""

    def draw(network: Any, images: Any, targets: Any) -> Any:
        own = at(3, 3, images)
        own[targets == 1] = at(12, 12, images)[targets == 1]
        return own

    steps = {**STEPS, "map": {"uses": "explainer/map", "with": {} if target is None else {"target": target}}}
    run = bench(pictures([Box(1, 1, 7, 7)]), steps, set=Set, map=mapper(draw))
    assert run.metric("map", "pointing_game", "test").value == hits


def test_the_random_network_has_nothing_of_the_trained_one(bench: Bench) -> None:
    """A map that shows BatchNorm's statistics alone turns around where weights are random and statistics anew."""
    import torch

    def draw(network: Any, images: Any, targets: Any) -> Any:
        slope = torch.linspace(0, 1, SIDE).expand(len(images), SIDE, SIDE)
        return slope if float(network[1].running_mean.mean()) > 500 else 1 - slope

    run = bench(pictures([Box(1, 1, 7, 7)]), STEPS, set=Set, map=mapper(draw))
    found = run.metric("map", "randomisation_similarity", "test")
    assert found.n == 6
    assert found.value == pytest.approx(-1)


def test_the_similarity_of_maps_is_that_of_their_ranks(bench: Bench) -> None:
    """The fifth power of a slope orders the pixels as the slope does; Pearson's correlation of the two is 0.8."""
    import torch

    def draw(network: Any, images: Any, targets: Any) -> Any:
        slope = torch.linspace(0, 1, SIDE).expand(len(images), SIDE, SIDE)
        return slope if float(network[1].running_mean.mean()) > 500 else slope**5

    run = bench(pictures([Box(1, 1, 7, 7)]), STEPS, set=Set, map=mapper(draw))
    assert run.metric("map", "randomisation_similarity", "test").value == pytest.approx(1)


@pytest.mark.parametrize("module", [0, 5], ids=["the convolution", "the head"])
def test_every_layer_of_the_random_network_is_random(bench: Bench, module: int) -> None:
    """A map that shows one layer's largest weight, by where its evidence lies."""
    import torch

    class Full(Set):
        """A head with weights."""

        def build(self, classes: Any) -> FittedClassifier:
            fitted = super().build(classes)
            with torch.no_grad():
                fitted.network[5].weight.copy_(torch.linspace(-1, 1, 8).view(2, 4))
            return fitted

    trained = Full().build("ab").network[module].weight.detach().clone()

    def draw(network: Any, images: Any, targets: Any) -> Any:
        slope = torch.linspace(0, 1, SIDE).expand(len(images), SIDE, SIDE)
        return slope if torch.equal(network[module].weight, trained) else 1 - slope

    run = bench(pictures([Box(1, 1, 7, 7)]), STEPS, set=Full, map=mapper(draw))
    assert run.metric("map", "randomisation_similarity", "test").value == pytest.approx(-1)


def test_a_map_that_ignores_the_network_is_said_so(bench: Bench) -> None:
    run = bench(pictures([Box(1, 1, 7, 7)]), STEPS, set=Set, map=mapper(lambda n, images, t: images.mean(1)))
    assert run.metric("map", "randomisation_similarity", "test").value == pytest.approx(1)
    assert any("hardly depend on the network's weights" in said for said in run.artifact("map").warnings)


def test_a_flat_map_is_not_stretched_into_contrast(bench: Bench) -> None:
    """Each map is scaled by its maximum: a flat one with a trace of evidence has its energy everywhere."""

    def draw(network: Any, images: Any, targets: Any) -> Any:
        return 1 + 0.01 * at(3, 3, images)

    run = bench(pictures([Box(1, 1, 5, 5)]), STEPS, set=Set, map=mapper(draw))
    assert run.metric("map", "energy_in_box", "test").value == pytest.approx(16 / SIDE**2, rel=0.02)


def test_the_interval_of_the_energy_holds_95_of_100_means(bench: Bench) -> None:
    """Half of 40 maps have all evidence in the box, half none: a mean of 0.5, give or take 1.96 · 0.506 / √40."""

    def draw(network: Any, images: Any, targets: Any) -> Any:
        own = at(3, 3, images)
        inside = images[:, 0, 15, 15] > 0.5
        own[~inside] = at(12, 12, images)[~inside]
        return own

    made = pictures([Box(1, 1, 7, 7)], test=40)
    for number, (_, pixels) in enumerate(made):
        pixels[15, 15] = 255 * (number % 2)
    run = bench(made, STEPS, set=Set, map=mapper(draw))
    found = run.metric("map", "energy_in_box", "test")
    assert found.value == pytest.approx(0.5, abs=0.001)
    assert found.low == pytest.approx(0.5 - 0.157, abs=0.002)
    assert found.high == pytest.approx(0.5 + 0.157, abs=0.002)
