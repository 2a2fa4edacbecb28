"""The explainer's driver: what it draws, scores and refuses."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import nn

from fgic_core import Box, DataError, Explainer, Maps, ObjectBox, PluginError, Size
from fgic_core.kinds.explainer import driver as explainer
from fgic_core.kinds.explainer import maps, pointing
from fgic_core.steps.context import StepContext

SIDE = 24


class RedEvidence(nn.Module):
    """Class 1 is as likely as there is red; nothing else is looked at."""

    def __init__(self) -> None:
        super().__init__()
        self.look = nn.Conv2d(3, 4, 1)
        self.norm = nn.BatchNorm2d(4)
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(4, 2)
        with torch.no_grad():
            self.look.weight.zero_()
            self.look.weight[0, :, 0, 0] = torch.tensor([2.0, -1.0, -1.0])
            self.look.bias.fill_(-0.5)
            self.head.weight.copy_(torch.tensor([[0.0, 0, 0, 0], [50.0, 0, 0, 0]]))
            self.head.bias.copy_(torch.tensor([0.5, 0.0]))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(self.drop(self.norm(self.look(images)).relu()).mean(dim=(2, 3)))


class GradientTimesInput(Explainer):
    """A small honest explainer."""

    def explain(self, network: Any, images: Any, targets: Any, generator: Any) -> Maps:
        leaf = images.clone().requires_grad_()
        logits = network(leaf).gather(1, targets[:, None]).sum()
        return Maps((torch.autograd.grad(logits, leaf)[0] * images).sum(dim=1, keepdim=True), ("pixels",))


class Edges(Explainer):
    """Draws the picture's edges and never asks the network."""

    def explain(self, network: Any, images: Any, targets: Any, generator: Any) -> Maps:
        grey = images.mean(dim=1)
        return Maps(torch.nn.functional.pad((grey[:, 1:] - grey[:, :-1]).abs(), (0, 0, 0, 1))[:, None], ("edges",))


class Constant(Explainer):
    """Gives one value everywhere."""

    value: float = 0.0

    def explain(self, network: Any, images: Any, targets: Any, generator: Any) -> Maps:
        return Maps(torch.full((len(images), 1, 3, 3), self.value), ("constant",))


def red_patches(count: int = 12) -> tuple[list[np.ndarray[Any, Any]], list[int], list[list[Box]]]:
    """Grey noise with a red patch in a corner; the box is around the patch."""
    rng = np.random.default_rng(0)
    pixels, boxes = [], []
    for number in range(count):
        values = rng.integers(100, 140, (SIDE, SIDE, 3)).astype(np.uint8)
        x, y = ((1, 1), (15, 2), (2, 15), (16, 16))[number % 4]
        values[y : y + 6, x : x + 6] = (250, 20, 20)
        pixels.append(values)
        boxes.append([Box(x, y, x + 6, y + 6)])
    return pixels, [1] * count, boxes


@pytest.fixture
def ctx(tmp_path: Path) -> StepContext:
    folder = tmp_path / "artifact"
    folder.mkdir()
    return StepContext(folder, uses="explainer/toy", seed=1)


def metrics(ctx: StepContext) -> dict[str, Any]:
    return {metric.name: metric for metric in ctx.metrics}


def test_maps_that_find_the_planted_evidence_win_the_pointing_game(wrap, picture_set, ctx) -> None:
    explainer.run(
        GradientTimesInput(), {"model": wrap(RedEvidence(), SIDE), "dataset": picture_set(*red_patches())}, ctx
    )
    found = metrics(ctx)
    assert found["pointing_game"].value == 1.0
    assert found["pointing_game"].low < 1.0
    assert found["pointing_game_center"].value == 0.0
    assert found["pointing_game_random"].value == pytest.approx(36 / SIDE**2)
    assert found["energy_in_box"].value > 0.99
    assert "6%" in found["pointing_game"].note
    assert found["randomisation_similarity"].value < 0.9
    assert ctx.warnings == []


def test_files_of_the_artifact_agree_with_each_other(wrap, picture_set, ctx) -> None:
    pixels, labels, boxes = red_patches()
    explainer.run(
        GradientTimesInput(samples=5),
        {"model": wrap(RedEvidence(), SIDE), "dataset": picture_set(pixels, labels, boxes)},
        ctx,
    )
    rows = pq.read_table(ctx.folder / "explanations.parquet").to_pylist()
    stored = load_file(ctx.folder / "maps.safetensors")["maps"]
    assert stored.shape == (5, SIDE, SIDE)
    assert stored.dtype == torch.float16
    assert float(stored.min()) >= 0
    assert stored.amax(dim=(1, 2)).tolist() == [1.0] * 5
    for row, about in enumerate(rows):
        shown = np.asarray(Image.open(ctx.folder / "inputs" / f"{row:04d}.png"))
        assert np.array_equal(shown, pixels[int(about["id"])])
        assert Image.open(ctx.folder / "overlays" / f"{row:04d}.png").size == (SIDE, SIDE)
    assert len(rows) == len(list((ctx.folder / "overlays").iterdir())) == 5
    assert {(row["label"], row["predicted"], row["target"], row["hit"]) for row in rows} == {(1, 1, 1, True)}


def test_an_edge_detector_fails_the_randomisation_check(wrap, picture_set, ctx) -> None:
    explainer.run(Edges(), {"model": wrap(RedEvidence(), SIDE), "dataset": picture_set(*red_patches())}, ctx)
    assert metrics(ctx)["randomisation_similarity"].value == pytest.approx(1.0)
    assert any("hardly depend on the network's weights" in warning for warning in ctx.warnings)


def test_a_zero_map_stays_zero_is_counted_and_misses(wrap, picture_set, ctx) -> None:
    explainer.run(Constant(), {"model": wrap(RedEvidence(), SIDE), "dataset": picture_set(*red_patches(4))}, ctx)
    assert not load_file(ctx.folder / "maps.safetensors")["maps"].any()
    found = metrics(ctx)
    assert found["zero_maps"].value == 1.0
    assert found["pointing_game"].value == 0.0
    assert found["energy_in_box"].value == 0.0
    assert found["randomisation_similarity"].value is None
    assert any("4 of 4 maps are all zero" in warning for warning in ctx.warnings)


def test_negative_values_count_as_zero(wrap, picture_set, ctx) -> None:
    inputs = {"model": wrap(RedEvidence(), SIDE), "dataset": picture_set(*red_patches(4))}
    explainer.run(Constant(value=-3.0), inputs, ctx)
    assert metrics(ctx)["zero_maps"].value == 1.0


def test_without_boxes_the_pointing_game_is_absent_with_its_reason(wrap, picture_set, ctx) -> None:
    pixels, labels, _ = red_patches(4)
    explainer.run(
        GradientTimesInput(), {"model": wrap(RedEvidence(), SIDE), "dataset": picture_set(pixels, labels)}, ctx
    )
    assert metrics(ctx)["pointing_game"].value is None
    assert "no explained sample has a box" in metrics(ctx)["pointing_game"].note
    assert pq.read_table(ctx.folder / "explanations.parquet")["hit"].to_pylist() == [None] * 4


def found(box: Box, score: float = 0.9) -> ObjectBox:
    return ObjectBox(box, score=score, origin="predicted:detector/x")


def test_boxes_that_a_detector_found_have_a_pointing_game_of_their_own(wrap, picture_set, ctx) -> None:
    """The most confident one, and no word of the object's box."""
    pixels, labels, boxes = red_patches()
    weak = found(Box(0, 0, 1, 1), 0.1)
    inputs = {
        "model": wrap(RedEvidence(), SIDE),
        "dataset": picture_set(pixels, labels, [[weak, found(b)] for (b,) in boxes]),
    }
    explainer.run(GradientTimesInput(), inputs, ctx)
    numbers = metrics(ctx)
    assert (numbers["pointing_game"].value, numbers["pointing_game"].n) == (None, 0)
    assert numbers["pointing_game"].note == "no explained sample has an annotated box"
    assert "energy_in_box" not in numbers
    assert (numbers["pointing_detected"].value, numbers["pointing_detected"].n) == (1.0, 12)
    assert "the most confident box that a detector found" in numbers["pointing_detected"].note
    assert numbers["pointing_detected_center"].value == 0.0
    assert numbers["pointing_detected_random"].value == pytest.approx(36 / SIDE**2)
    assert numbers["energy_in_detected"].value > 0.99
    assert set(pq.read_table(ctx.folder / "explanations.parquet")["boxes_of"].to_pylist()) == {"detected"}


def test_one_map_has_no_interval_of_its_energy(wrap, picture_set, ctx) -> None:
    explainer.run(
        GradientTimesInput(), {"model": wrap(RedEvidence(), SIDE), "dataset": picture_set(*red_patches(1))}, ctx
    )
    energy = metrics(ctx)["energy_in_box"]
    assert (energy.n, energy.low, energy.high) == (1, None, None)


def test_of_mixed_boxes_each_kind_is_counted_apart(wrap, picture_set, ctx) -> None:
    """Annotated boxes where there are any; where a picture is annotated, what was found in it is no stand-in."""
    pixels, labels, boxes = red_patches()
    beside = Box(10, 10, 13, 13)
    given: list[list[Box | ObjectBox]] = [[found(beside), box] for (box,) in boxes]  # annotated rightly
    given[8:10] = [[found(beside)], [found(beside)]]  # found in the wrong place
    given[10] = [found(boxes[10][0])]  # an empty picture in which something was found
    given[11] = [ObjectBox(Box(0, 0, SIDE, SIDE), crowd=True), found(boxes[11][0])]
    dataset = picture_set(pixels, labels, given, empty=[10])
    explainer.run(GradientTimesInput(), {"model": wrap(RedEvidence(), SIDE), "dataset": dataset}, ctx)
    numbers = metrics(ctx)
    assert (numbers["pointing_game"].value, numbers["pointing_game"].n) == (1.0, 8)
    assert (numbers["pointing_detected"].value, numbers["pointing_detected"].n) == (0.0, 2)
    for name in ("pointing_game", "pointing_detected"):
        assert "1 samples have no box and are left out" in numbers[name].note
        assert "1 are pictures without an object and are left out" in numbers[name].note
    rows = {row["id"]: row for row in pq.read_table(ctx.folder / "explanations.parquet").to_pylist()}
    assert [rows[str(n)]["boxes_of"] for n in (0, 8, 10, 11)] == ["annotated", "detected", None, None]
    assert [rows[str(n)]["hit"] for n in (0, 8, 10, 11)] == [True, False, None, None]


def test_the_right_class_is_explained_on_demand(wrap, picture_set, ctx) -> None:
    pixels, _, boxes = red_patches(4)
    inputs = {"model": wrap(RedEvidence(), SIDE), "dataset": picture_set(pixels, [0] * 4, boxes)}
    explainer.run(GradientTimesInput(target="label"), inputs, ctx)
    rows = pq.read_table(ctx.folder / "explanations.parquet").to_pylist()
    assert {(row["predicted"], row["target"]) for row in rows} == {(1, 0)}


def test_without_test_samples_the_reader_is_warned(wrap, picture_set, ctx) -> None:
    inputs = {"model": wrap(RedEvidence(), SIDE), "dataset": picture_set(*red_patches(4), split="train")}
    explainer.run(GradientTimesInput(), inputs, ctx)
    assert any("no test sample" in warning and "train" in warning for warning in ctx.warnings)
    assert metrics(ctx)["pointing_game"].split == "train"


def test_a_data_set_of_other_classes_is_refused(wrap, picture_set, ctx) -> None:
    inputs = {"model": wrap(RedEvidence(), SIDE), "dataset": picture_set(*red_patches(4), classes=3)}
    with pytest.raises(DataError, match="3 classes are not the model's 2"):
        explainer.run(GradientTimesInput(), inputs, ctx)


def test_a_network_left_in_train_mode_is_explained_in_evaluation_mode_and_restored(wrap, picture_set, ctx) -> None:
    network = RedEvidence().train()
    network.norm.eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    explainer.run(GradientTimesInput(), {"model": wrap(network, SIDE), "dataset": picture_set(*red_patches())}, ctx)
    assert (network.training, network.drop.training, network.norm.training) == (True, True, False)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert metrics(ctx)["pointing_game"].value == 1.0  # dropout would have hidden the only channel now and then


def _weights(network: Any) -> None:
    network.look.weight.data.add_(0.1)


def _buffer(network: Any) -> None:
    network.norm.running_mean.add_(0.1)


def _hook(network: Any) -> None:
    network.look.register_forward_hook(lambda *_: None)


def _grad(network: Any) -> None:
    network(torch.rand(1, 3, SIDE, SIDE, generator=torch.Generator())).sum().backward()


@pytest.mark.parametrize(
    ("cheat", "message"),
    [
        (lambda network: network.train(), "the training mode"),
        (lambda network: network.requires_grad_(False), "requires_grad"),
        (_grad, r"\.grad"),
        (_hook, "hooks"),
        (_buffer, "parameters or buffers"),
        (_weights, "parameters or buffers"),
        (lambda _: torch.rand(1), "global random generator"),
        (lambda _: np.random.rand(), "global random generator"),
        (lambda _: random.random(), "global random generator"),
    ],
)
def test_an_explainer_that_leaves_traces_is_refused(cheat, message, wrap, picture_set, ctx) -> None:
    class Cheater(GradientTimesInput):
        def explain(self, network: Any, images: Any, targets: Any, generator: Any) -> Maps:
            maps = super().explain(network, images, targets, generator)
            cheat(network)
            return maps

    with pytest.raises(PluginError, match=message) as caught:
        explainer.run(Cheater(), {"model": wrap(RedEvidence(), SIDE), "dataset": picture_set(*red_patches(4))}, ctx)
    assert str(caught.value).startswith("explainer/toy: explain changed")


def test_of_several_maps_the_first_is_drawn_and_scored_and_the_seed_decides(wrap, picture_set, ctx, tmp_path) -> None:
    drawn = []

    class Several(GradientTimesInput):
        def explain(self, network: Any, images: Any, targets: Any, generator: Any) -> Maps:
            drawn.append(float(torch.rand((), generator=generator)))
            first = super().explain(network, images, targets, generator).maps
            return Maps(torch.cat([first, torch.zeros_like(first)], dim=1), ("pixels", "nothing"))

    inputs = {"model": wrap(RedEvidence(), SIDE), "dataset": picture_set(*red_patches())}
    explainer.run(Several(), inputs, ctx)
    assert metrics(ctx)["pointing_game"].value == 1.0
    assert metrics(ctx)["zero_maps"].value == 0
    assert drawn == [drawn[0], drawn[0]], "with random weights the numbers are the first batch's again"
    (tmp_path / "again").mkdir()
    explainer.run(Several(), inputs, StepContext(tmp_path / "again", uses="explainer/toy", seed=2))
    assert drawn[2] != drawn[0]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (torch.zeros(4, 1, 3, 3), "explain gave Tensor, not Maps"),
        (Maps(torch.zeros(4, 1, 3, 3), ("a", "b")), r"explain gave maps of \(4, 1, 3, 3\) with 2 names"),
        (Maps(torch.zeros(3, 1, 3, 3), ("a",)), r"explain gave maps of \(3, 1, 3, 3\) with 1 names"),
        (Maps(torch.zeros(4, 0, 3, 3), ()), r"explain gave maps of \(4, 0, 3, 3\)"),
        (Maps(torch.full((4, 1, 3, 3), float("nan")), ("a",)), "not finite"),
        (Maps(np.zeros((4, 1, 3, 3)), ("a",)), "explain gave maps of ndarray"),
    ],
)
def test_a_map_that_breaks_the_contract_is_refused(given, message, wrap, picture_set, ctx) -> None:
    class Wrong(Explainer):
        def explain(self, network: Any, images: Any, targets: Any, generator: Any) -> Any:
            return given

    with pytest.raises(PluginError, match=message):
        explainer.run(Wrong(), {"model": wrap(RedEvidence(), SIDE), "dataset": picture_set(*red_patches(4))}, ctx)


def test_a_box_lands_on_its_pixels_through_region_and_letterbox(wrap, picture_set) -> None:
    values = np.full((60, 90, 3), 128, dtype=np.uint8)
    values[20:40, 30:60] = (255, 0, 0)
    dataset = picture_set([values], [0], [[Box(30, 20, 60, 40)]], regions=[Box(10.6, 5.2, 79.5, 44.9)])
    spec = wrap(RedEvidence(), 64).fitted.input
    image = dataset.crop(0)
    (box,) = pointing.boxes_in_input(dataset[0], Size(*image.size), spec)
    pixels = spec.prepare(image)
    red = ((pixels[0] > 0.9) & (pixels[1] < 0.1)).nonzero()
    (top, left), (bottom, right) = red.amin(dim=0).tolist(), (red.amax(dim=0) + 1).tolist()
    assert box.xyxy == pytest.approx((left, top, right, bottom), abs=1.0)


def test_a_box_of_a_masked_picture_is_what_is_shown_of_it_where_it_is(wrap, picture_set) -> None:
    """A part of the first one is shown, nothing of the second."""
    values = np.full((60, 90, 3), 128, dtype=np.uint8)
    values[20:40, 30:60] = (255, 0, 0)
    boxes, region = [Box(30, 20, 60, 40), Box(0, 0, 30, 10)], Box(40.3, 5.2, 79.5, 31.9)
    dataset = picture_set([values], [0], [boxes], regions=[region], masked=True)
    spec = wrap(RedEvidence(), 64).fitted.input
    image = dataset.crop(0)
    (box,) = pointing.boxes_in_input(dataset[0], Size(*image.size), spec)
    pixels = spec.prepare(image)
    red = ((pixels[0] > 0.9) & (pixels[1] < 0.1)).nonzero()
    (top, left), (bottom, right) = red.amin(dim=0).tolist(), (red.amax(dim=0) + 1).tolist()
    assert box.xyxy == pytest.approx((left, top, right, bottom), abs=1.0)


def test_a_box_outside_the_region_is_left_out() -> None:
    assert pointing.score(np.ones((8, 8)), []) is None


def test_each_map_is_scaled_by_its_maximum_alone() -> None:
    raw = torch.stack([torch.full((4, 4), 1e-30), torch.arange(16.0).reshape(4, 4) + 8, torch.zeros(4, 4)])
    scaled = maps.normalise(raw, Size(4, 4))
    assert scaled.amax(dim=(1, 2)).tolist() == [1.0, 1.0, 0.0]
    assert float(scaled[1].min()) == pytest.approx(8 / 23)  # not stretched to 0
    assert torch.isfinite(scaled).all()


def test_a_batch_is_scaled_as_its_maps_alone() -> None:
    raw = torch.rand(5, 3, 7, generator=torch.Generator().manual_seed(0))
    together = maps.normalise(raw, Size(20, 10))
    assert torch.equal(together, torch.cat([maps.normalise(one[None], Size(20, 10)) for one in raw]))


def test_a_map_over_a_tall_picture_lies_where_it_should() -> None:
    values = np.zeros((700, 4), np.float32)
    values[300:600] = 1
    drawn = np.asarray(maps.overlay(Image.new("RGB", (4, 700), (120, 120, 120)), values))
    np.testing.assert_array_equal((np.ptp(drawn, axis=2) > 20).all(axis=1), values[:, 0] > 0)


def test_a_zero_map_leaves_the_picture_untinted() -> None:
    picture = Image.fromarray(np.full((4, 4, 3), 77, dtype=np.uint8))
    assert np.array_equal(np.asarray(maps.overlay(picture, np.zeros((4, 4)))), np.asarray(picture))
