"""Paste onto pictures of every shape and number of objects: what shows the pasted object, and nothing of others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from fgic_gen_mix import MixGenerator
from fgic_gen_mix._mixer import Mixer
from fgic_gen_mix._pictures import background
from fgic_gen_mix._scenes import free_share
from PIL import Image

from fgic_core import Box, DataError, Dataset, ObjectBox, Sample, Size
from fgic_core.data.dataset import DatasetWriter, Header
from fgic_core.testing.data import tiny_context

RED, BLUE, GREY, WHITE = (200, 20, 20), (20, 20, 220), (100, 100, 100), (250, 250, 250)
EXACT = {"scale_jitter": 0.0, "flip": False, "feather": 0.0, "margin": 0.0}
RESIZE = ("center_crop", "squash", "letterbox")


def boxed(*edges: float, **more) -> ObjectBox:
    return ObjectBox(Box(*map(float, edges)), **more)


def picture(folder, name, colour, *boxes, label=0, size=(100, 100), ground=WHITE, mask=None, **more) -> Sample:
    """A flat picture with a flat rectangle in each box."""
    image = Image.new("RGB", size, ground)
    for one in boxes:
        image.paste(colour, one.box.outward())
    image.save(folder / f"{name}.png")
    if mask is not None:
        plane = Image.new("L", size, 0)
        plane.paste(1, mask)
        plane.save(folder / f"{name}-mask.png")
        more["part_mask"] = f"{name}-mask.png"
    return Sample(id=name, path=f"{name}.png", label=label, split="train", size=Size(*size), **{"boxes": boxes, **more})


def red(folder, name="red", *boxes, **more) -> Sample:
    return picture(folder, name, RED, *(boxes or (boxed(40, 40, 60, 60),)), **more)


def fitted(folder: Path, *samples, told=None, resolution=100, **options) -> Mixer:
    with DatasetWriter(folder, Header(("class 0", "class 1"), {"flat": folder})) as writer:
        writer.write_samples(samples, "flat")
    component, context = MixGenerator(resolution=resolution, **{**EXACT, **options}), tiny_context(folder)
    if told is not None:
        context.warn = told.append
    return component.fit(Dataset.open(folder), context)


def pasted(folder: Path, thing: Sample, ground: Sample, **options) -> np.ndarray:
    mixer = fitted(folder, thing, ground, **options)
    assert mixer.parents([0], [0]) == [(thing.id, ground.id)]
    return mixer.sample([0], [0])[0]


def shown(pixels, colour) -> np.ndarray:
    return (np.abs(pixels - np.array(colour, dtype=np.float32)[:, None, None] / 255) < 0.05).all(axis=0)


def bluish(pixels) -> np.ndarray:
    return pixels[2] - pixels[0] > 0.1


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("resize", RESIZE)
@pytest.mark.parametrize("x", [0, 5, 85, 92, 110, 190, 275])
@pytest.mark.parametrize("upright", [False, True])
def test_the_pasted_object_is_shown_whole_wherever_the_backgrounds_own_is(tmp_path, resize, x, upright, flip):
    """Of 300x100 pixels, ``center_crop`` shows those from 100 to 200."""
    edges, size = ((40, x, 60, x + 25), (100, 300)) if upright else ((x, 40, x + 25, 60), (300, 100))
    ground = picture(tmp_path, "blue", BLUE, boxed(*edges), label=1, size=size)
    mixer = fitted(tmp_path, red(tmp_path), ground, resize=resize, flip=flip, resolution=150)
    for seed in range(4 if flip else 1):
        pixels = mixer.sample([0], [seed])[0]
        ys, xs = np.nonzero(pixels[0] - pixels[2] > 0.3)
        width, height = np.ptp(xs) + 1, np.ptp(ys) + 1
        aspect = {"squash": 3.0 if upright else 1 / 3}.get(resize, 1.0)
        scale = {"center_crop": 1.5, "letterbox": 0.5, "squash": 0.5 if not upright else 1.5}[resize]
        assert abs(width - 25 * scale) <= 3 or (x in (85, 92, 190) and 20 * scale <= width + 3)
        assert abs(width - height * aspect) <= 3
        assert not bluish(pixels).any()


def test_the_object_is_chosen_in_what_is_shown_and_else_anywhere(tmp_path):
    ground = picture(tmp_path, "blue", BLUE, boxed(40, 40, 60, 60), label=1)
    image = Image.new("RGB", (300, 100), WHITE)
    image.paste(GREY, (0, 0, 90, 90))
    image.paste(RED, (140, 40, 160, 60))
    two = [boxed(0, 0, 90, 90), boxed(140, 40, 160, 60)]
    for boxes, colour, other in ((two, RED, GREY), (two[:1], GREY, RED)):
        thing = picture(tmp_path, "two", RED, size=(300, 100), boxes=tuple(boxes))
        image.save(tmp_path / "two.png")
        pixels = pasted(tmp_path, thing, ground)
        assert shown(pixels, colour)[42:58, 42:58].all()
        assert not shown(pixels, other).any()


@pytest.mark.parametrize("options", [{}, {"margin": 0.05}, {"masks": False}, {"resolution": 32}])
@pytest.mark.parametrize("mask", [None, (5, 5, 40, 40)])
def test_all_objects_of_a_background_are_hidden(tmp_path, mask, options):
    boxes = (boxed(60, 60, 90, 90), boxed(5, 5, 40, 40), boxed(70, 4, 95, 30, crowd=True))
    ground = picture(tmp_path, "blue", BLUE, *boxes, label=1, mask=mask)
    pixels = pasted(tmp_path, red(tmp_path), ground, **options)
    side = pixels.shape[1]
    assert not bluish(pixels).any()
    assert shown(pixels, RED)[side // 8 : side // 3, side // 8 : side // 3].all(), "it is over the largest"
    assert shown(pixels, WHITE)[side // 2 : -side // 5, : side // 2].all()


def test_found_boxes_are_hidden_where_nothing_is_annotated_and_crowds_are_always(tmp_path):
    found = [
        boxed(60, 60, 90, 90, score=0.1, origin="predicted:d"),
        boxed(5, 5, 40, 40, score=0.9, origin="predicted:d"),
    ]
    crowd = boxed(70, 4, 95, 30, crowd=True)
    ground = picture(tmp_path, "blue", BLUE, *found, crowd, label=1)
    pixels = pasted(tmp_path, red(tmp_path), ground)
    assert not bluish(pixels).any()
    assert shown(pixels, RED)[7:38, 7:38].all(), "it is over the most confident"
    ground = picture(tmp_path, "blue", BLUE, *found, boxed(60, 10, 80, 30), label=1)
    assert bluish(pasted(tmp_path, red(tmp_path), ground))[65:85, 65:85].all(), "annotated boxes alone count"


def test_a_picture_that_is_all_object_is_no_background(tmp_path):
    """Two boxes that together leave 19 % free, and those that leave 20 %."""
    full = picture(tmp_path, "full", BLUE, boxed(0, 0, 81, 60), boxed(0, 50, 81, 100), label=1)
    ground = picture(tmp_path, "free", BLUE, boxed(0, 0, 80, 60), boxed(0, 50, 80, 100), label=1)
    told: list[str] = []
    mixer = fitted(tmp_path, red(tmp_path), full, ground, told=told)
    assert told == ["1 of 3 train samples are no background: boxes leave less than 20% of them free"]
    pairs = mixer.parents([0] * 40, range(40)) + mixer.parents([1] * 40, range(40))
    assert {first for first, _ in pairs} == {"red", "full", "free"}
    assert {second for _, second in pairs} == {"red", "free"}
    told.clear()
    mixer = fitted(tmp_path, red(tmp_path), full, ground, min_background=0.0, told=told)
    assert {second for _, second in mixer.parents([0] * 40, range(40))} == {"full", "free"}
    assert told == []


def test_what_is_free_is_measured_in_what_is_shown(tmp_path):
    full = picture(tmp_path, "full", BLUE, boxed(100, 0, 200, 100), label=1, size=(300, 100))
    assert not bluish(pasted(tmp_path, red(tmp_path), full, resize="squash")).any()
    with pytest.raises(DataError, match="no train sample can be the background"):
        fitted(tmp_path, red(tmp_path), full)


def test_an_error_names_the_class_without_backgrounds_and_what_to_do(tmp_path):
    full = [picture(tmp_path, name, BLUE, boxed(0, 0, 100, 90), label=1) for name in ("b", "c")]
    with pytest.raises(DataError) as caught:
        fitted(tmp_path, red(tmp_path, "a"), red(tmp_path, "d"), *full, partner="same")
    assert "no train sample of class 'class 1' can be the background of objects of class 'class 1'" in str(caught.value)
    assert "boxes leave 20% free" in str(caught.value)
    assert str(caught.value.hint).startswith("Choose partner: any, lower min_background")
    with pytest.raises(DataError) as caught:
        fitted(tmp_path, *full)
    assert "no train sample can be the background of objects of class 'class 1'" in str(caught.value)
    assert str(caught.value.hint).startswith("Lower min_background")
    assert fitted(tmp_path, red(tmp_path, "a"), red(tmp_path, "d"), *full).parents([1], [0])[0][1] in "ad"


def test_the_only_background_cannot_be_that_of_its_own_object(tmp_path):
    full = picture(tmp_path, "full", BLUE, boxed(0, 0, 100, 90), label=1)
    with pytest.raises(DataError, match="the background of objects of class 'class 0': it takes another picture"):
        fitted(tmp_path, red(tmp_path), full)


def test_a_region_beside_the_picture_is_neither_object_nor_background(tmp_path):
    samples = [red(tmp_path, name) for name in "ab"]
    samples.append(picture(tmp_path, "c", BLUE, boxed(5, 5, 40, 40), region=Box(200, 200, 300, 300)))
    mixer = fitted(tmp_path, *samples, min_background=0.0)
    assert {name for pair in mixer.parents([0] * 40, range(40)) for name in pair} == {"a", "b"}


def test_a_masked_background_keeps_its_frame_and_shows_nothing_but_its_region(tmp_path):
    """A larger object beside the region is neither shown nor taken for the one that is."""
    thing = red(tmp_path, region=Box(35, 35, 65, 65), masked=True)
    boxes = (boxed(20, 20, 60, 60), boxed(72, 5, 99, 99))
    ground = picture(tmp_path, "blue", BLUE, *boxes, label=1, region=Box(10, 10, 70, 70), masked=True)
    pixels = pasted(tmp_path, thing, ground)
    expected = np.full((100, 100), False)
    expected[20:60, 20:60] = True
    assert shown(pixels, RED)[22:58, 22:58].all()
    assert not shown(pixels, RED)[~expected].any()
    outside = np.full((100, 100), True)
    outside[10:70, 10:70] = False
    assert shown(pixels, (128, 128, 128))[outside].all()
    assert shown(pixels, WHITE)[~outside & ~expected].all()


def test_what_is_masked_is_no_free_background(tmp_path):
    """As of a picture that is cut to its region, whose box fills it."""
    full = picture(tmp_path, "full", BLUE, boxed(20, 20, 60, 60), label=1, region=Box(20, 20, 60, 62), masked=True)
    with pytest.raises(DataError, match="the background of objects of class 'class 0': it takes another picture"):
        fitted(tmp_path, red(tmp_path), full)


def test_the_free_share_counts_what_boxes_have_in_common_once():
    size = Size(10, 20)
    assert free_share([], size) == 1
    assert free_share([Box(0, 0, 10, 20), Box(1, 1, 2, 2)], size) == 0
    assert free_share([Box(0, 0, 5, 10), Box(2.5, 5, 7.5, 15)], size) == pytest.approx(1 - (50 + 50 - 12.5) / 200)
    assert free_share([Box(3, 3, 3, 3), Box(0, 0, 0, 0)], size) == 1
    assert free_share([], Size(0, 3)) == 0


@pytest.mark.parametrize("resize", RESIZE)
def test_large_pictures_are_kept_at_twice_the_resolution(tmp_path, resize):
    large, side = (2000, 1500), 64
    thing = red(tmp_path, "red", boxed(400, 300, 1400, 1200), size=large)
    ground = picture(
        tmp_path, "blue", BLUE, boxed(500, 500, 900, 800), boxed(1200, 200, 1500, 500), size=large, label=1
    )
    mixer = fitted(tmp_path, thing, ground, resize=resize, resolution=side, feather=0.03)
    pixels = mixer.sample([0], [0])[0]
    assert not bluish(pixels).any()
    assert shown(pixels, RED).sum() > 60
    kept = list(mixer._views._kept.values())
    assert len(kept) == 2
    assert all(one.nbytes <= 3.3 * (2 * side) ** 2 for one in kept)
    assert mixer._views.used == sum(one.nbytes for one in kept)


def test_scaling_down_a_large_picture_does_not_alias(tmp_path):
    """Stripes of one pixel become their mean, in the background and in the object."""
    stripes = np.zeros((1500, 2000, 3), dtype=np.uint8)
    stripes[:, ::2] = 255
    samples = [picture(tmp_path, name, BLUE, boxed(600, 400, 1000, 800), size=(2000, 1500)) for name in "ab"]
    for name in "ab":
        Image.fromarray(stripes).save(tmp_path / f"{name}.png")
    pixels = fitted(tmp_path, *samples, resolution=64, feather=0.03).sample([0, 0], [0, 1])
    assert np.abs(pixels - 0.5).max() < 0.04


@pytest.mark.parametrize("mask", [None, (503, 507, 902, 805)])
def test_scaling_down_carries_nothing_of_the_objects_beyond_what_is_hidden(tmp_path, mask):
    objects = boxed(503, 507, 902, 805), boxed(1203, 203, 1502, 501)
    ground = picture(tmp_path, "blue", BLUE, *objects, size=(2000, 1500), label=1, mask=mask)
    mixer = fitted(tmp_path, red(tmp_path), ground, resolution=64)
    view = background(mixer.data, 1, mixer.options)
    assert view.image.shape == (128, 128, 3)
    assert (view.image == 250).all()
