"""Pixels of flat-coloured pictures, for which the right answer is known exactly."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from fgic_gen_mix import MixGenerator
from fgic_gen_mix._blend import rectangle
from fgic_gen_mix._fill import fill
from fgic_gen_mix._mixer import Mixer
from fgic_gen_mix._pictures import Cache
from PIL import Image
from pydantic import ValidationError

from fgic_core import Box, DataError, Dataset, ObjectBox, PluginError, Sample, Size
from fgic_core.data.dataset import DatasetWriter, Header
from fgic_core.testing.data import tiny_context

RED, GREEN, BLUE, GREY, WHITE = (200, 20, 20), (20, 180, 20), (20, 20, 220), (100, 100, 100), (250, 250, 250)
SIDE = 64


def picture(folder, name, ground, thing=None, box=None, *, label=0, mask=None, **more):
    """A flat picture with a flat rectangle in its box; ``mask`` is a box that alone counts as the object."""
    image = Image.new("RGB", (SIDE, SIDE), ground)
    if box is not None:
        image.paste(thing, box)
    image.save(folder / f"{name}.png")
    if mask is not None:
        plane = Image.new("L", (SIDE, SIDE), 0)
        plane.paste(3, mask)
        plane.save(folder / f"{name}-mask.png")
        more["part_mask"] = f"{name}-mask.png"
    more.setdefault("boxes", (ObjectBox(Box(*map(float, box)), label),) if box is not None else ())
    return Sample(id=name, path=f"{name}.png", label=label, split="train", size=Size(SIDE, SIDE), **more)


def dataset(folder: Path, samples, classes=2) -> Dataset:
    with DatasetWriter(folder, Header(tuple(f"class {i}" for i in range(classes)), {"flat": folder})) as writer:
        writer.write_samples(samples, "flat")
    return Dataset.open(folder)


def fitted(folder: Path, samples, classes=2, told=None, **options) -> Mixer:
    """What it warns of is appended to ``told``."""
    component, context = MixGenerator(resolution=SIDE, **options), tiny_context(folder)
    if told is not None:
        context.warn = told.append
    return component.fit(dataset(folder, samples, classes), context)


def colour(rgb):
    return np.array(rgb, dtype=np.float32)[:, None, None] / 255


def is_colour(pixels, rgb):
    return (np.abs(pixels - colour(rgb)) < 0.03).all(axis=0)


def two(folder, **more):
    return [picture(folder, "a", RED, **more), picture(folder, "b", BLUE, **more)]


def test_mixup_of_two_flat_pictures_is_their_weighted_sum(tmp_path):
    mixer = fitted(tmp_path, two(tmp_path), method="mixup")
    pictures = mixer.sample([0] * 20, range(20))
    for seed, (pixels, parents) in enumerate(zip(pictures, mixer.parents([0] * 20, range(20)), strict=True)):
        share = mixer.draw(0, seed).share
        first, second = (colour(RED if name == "a" else BLUE) for name in parents)
        assert set(parents) == {"a", "b"}
        np.testing.assert_allclose(
            pixels, np.broadcast_to(share * first + (1 - share) * second, pixels.shape), atol=1e-6
        )


@pytest.mark.parametrize("partner", ["same", "any"])
def test_cutmix_replaces_the_area_that_it_says(tmp_path, partner):
    mixer = fitted(tmp_path, two(tmp_path), method="cutmix", partner=partner)
    pictures = mixer.sample([0] * 50, range(50))
    for seed, (pixels, parents) in enumerate(zip(pictures, mixer.parents([0] * 50, range(50)), strict=True)):
        share = mixer.draw(0, seed).share
        first, second = (is_colour(pixels, RED if name == "a" else BLUE) for name in parents)
        assert (first ^ second).all()
        assert 0 <= first.mean() - share <= 1 / SIDE
        assert partner == "same" or first.mean() >= 0.5
        ys, xs = np.nonzero(second)
        if len(ys):
            assert len(ys) == (np.ptp(ys) + 1) * (np.ptp(xs) + 1), "it is a rectangle"


@pytest.mark.parametrize("share", [0.0, 1e-9, 0.25, 0.5, 0.9999, 1.0])
def test_a_rectangle_of_any_share_lies_inside(share):
    for at in (0.0, 0.5, 0.999999):
        left, upper, right, lower = rectangle(SIDE, share, (at, at))
        assert 0 <= left <= right <= SIDE
        assert 0 <= upper <= lower <= SIDE
        assert 0 <= share * SIDE**2 - (right - left) * (lower - upper) <= SIDE


@pytest.mark.parametrize("alpha", [0.2, 1.0, 4.0])
def test_shares_have_the_moments_of_beta(tmp_path, alpha):
    mixer = fitted(tmp_path, two(tmp_path), method="mixup", alpha=alpha)
    shares = np.array([mixer.draw(0, seed).share for seed in range(4000)])
    assert abs(shares.mean() - 0.5) < 0.02
    assert abs(shares.var() - 1 / (4 * (2 * alpha + 1))) < 0.01


def test_with_any_partner_the_larger_share_has_the_label(tmp_path):
    samples = [picture(tmp_path, "a", RED), picture(tmp_path, "b", BLUE, label=1)]
    mixer = fitted(tmp_path, samples, method="mixup", partner="any")
    assert mixer.parents([0, 1], [1, 2]) == [("a", "b"), ("b", "a")]
    assert min(mixer.draw(0, seed).share for seed in range(200)) >= 0.5


def test_parents_are_drawn_uniformly_and_are_two(tmp_path):
    samples = [picture(tmp_path, name, RED) for name in "abcd"]
    mixer = fitted(tmp_path, samples, method="mixup")
    pairs = mixer.parents([0] * 2400, range(2400))
    assert all(first != second for first, second in pairs)
    counts = np.unique([f"{first}{second}" for first, second in pairs], return_counts=True)[1]
    assert len(counts) == 12
    assert counts.min() > 140


def pasted(folder, thing, ground, **options):
    """The picture of class 0, whose only object is ``thing``, on the only other sample."""
    options = {"scale_jitter": 0.0, "flip": False, "feather": 0.0, "margin": 0.0, **options}
    mixer = fitted(folder, [thing, ground], method="paste", **options)
    assert mixer.parents([0], [0]) == [(thing.id, ground.id)]
    return mixer.sample([0], [0])[0]


@pytest.mark.parametrize(("size", "edge"), [(20, 0), (10, 2), (30, 2)])
def test_a_pasted_object_covers_that_of_the_background(tmp_path, size, edge):
    """To the pixel where nothing is scaled; else the resampling mixes the object's edge with what was beside it."""
    thing = picture(tmp_path, "a", GREY, RED, (4, 4, 4 + size, 4 + size))
    ground = picture(tmp_path, "b", WHITE, BLUE, (30, 20, 50, 40), label=1)
    pixels = pasted(tmp_path, thing, ground)
    assert is_colour(pixels, RED)[20 + edge : 40 - edge, 30 + edge : 50 - edge].all()
    outside = np.ones((SIDE, SIDE), dtype=bool)
    outside[20:40, 30:50] = False
    assert is_colour(pixels, WHITE)[outside].all()
    assert not is_colour(pixels, BLUE).any()


def test_an_object_too_long_for_the_background_is_as_large_as_fits(tmp_path):
    thing = picture(tmp_path, "a", GREY, RED, (4, 4, 44, 14))
    ground = picture(tmp_path, "b", WHITE, BLUE, (30, 4, 40, 60), label=1)
    pixels = pasted(tmp_path, thing, ground)
    ys, xs = np.nonzero(is_colour(pixels, RED))
    assert (np.ptp(xs) >= SIDE - 4, abs(np.ptp(ys) + 1 - 16) <= 4) == (True, True)
    assert not is_colour(pixels, BLUE).any()


@pytest.mark.parametrize("options", [{}, {"shape": "ellipse"}, {"feather": 0.2, "margin": 0.1, "scale_jitter": 1.0}])
def test_nothing_of_the_backgrounds_object_can_be_seen(tmp_path, options):
    thing = picture(tmp_path, "a", GREY, RED, (4, 4, 14, 44))
    ground = picture(tmp_path, "b", WHITE, BLUE, (5, 20, 55, 40), label=1)
    pixels = pasted(tmp_path, thing, ground, **options)
    assert is_colour(pixels, RED).mean() > 0.05
    assert pixels[2].max() <= 250 / 255 + 1e-6
    assert (pixels[2] - pixels[0] < 0.1).all(), "nothing is bluish"


def test_an_object_with_a_mask_is_cut_along_it(tmp_path):
    thing = picture(tmp_path, "a", GREY, RED, (10, 10, 30, 30), mask=(10, 10, 20, 30))
    ground = picture(tmp_path, "b", WHITE, BLUE, (30, 20, 50, 40), label=1, mask=(30, 20, 50, 40))
    whole = np.zeros((SIDE, SIDE), dtype=bool)
    whole[20:40, 30:50] = True
    half = whole.copy()
    half[:, 40:] = False
    pixels = pasted(tmp_path, thing, ground)
    np.testing.assert_array_equal(is_colour(pixels, RED), half)
    np.testing.assert_array_equal(is_colour(pixels, WHITE), ~half)
    np.testing.assert_array_equal(is_colour(pasted(tmp_path, thing, ground, masks=False), RED), whole)


def test_boxes_and_masks_follow_the_region(tmp_path):
    region = Box(8, 8, 40, 40)
    thing = picture(tmp_path, "a", GREY, RED, (10, 10, 26, 26), mask=(10, 10, 18, 26), region=region)
    ground = picture(tmp_path, "b", WHITE, BLUE, (24, 24, 40, 40), label=1, region=region)
    mixer = fitted(tmp_path, [thing, ground], scale_jitter=0, flip=False, feather=0, margin=0, resize="squash")
    pixels = mixer.sample([0], [0])[0]
    assert is_colour(pixels, RED)[36:60, 36:44].all(), "the object's left half, where the region shows the box"
    assert is_colour(pixels, WHITE)[:28].all()
    assert is_colour(pixels, WHITE)[36:60, 52:].all()


def test_a_box_of_which_half_is_visible_is_used_and_one_of_which_less_is_not(tmp_path):
    ground = picture(tmp_path, "b", WHITE, BLUE, (30, 20, 50, 40), label=1)
    region = Box(20, 0, 64, 64)
    half = picture(tmp_path, "a", GREY, RED, (10, 10, 30, 30), region=region)
    assert is_colour(pasted(tmp_path, half, ground), RED).any()
    less = picture(tmp_path, "a", GREY, RED, (10, 10, 29, 30), region=region)
    with pytest.raises(DataError, match="no train sample of class 'class 0' shows a box"):
        fitted(tmp_path, [less, ground])


def test_the_annotated_box_is_taken_and_else_the_most_confident(tmp_path):
    ground = picture(tmp_path, "b", WHITE, BLUE, (30, 20, 50, 40), label=1)
    found = [
        ObjectBox(Box(40, 40, 60, 60), 0, 0.4, origin="predicted:d"),
        ObjectBox(Box(10, 10, 30, 30), 0, 0.9, origin="predicted:d"),
    ]
    thing = picture(tmp_path, "a", GREY, RED, (10, 10, 30, 30), boxes=tuple(found))
    assert is_colour(pasted(tmp_path, thing, ground), RED)[22:38, 32:48].all()
    thing = picture(tmp_path, "a", GREY, RED, (10, 10, 30, 30), boxes=(*found, ObjectBox(Box(44, 44, 60, 60), 0)))
    assert not is_colour(pasted(tmp_path, thing, ground), RED).any()


def test_samples_without_a_box_are_told_once_and_not_used(tmp_path):
    samples = [picture(tmp_path, name, GREY, RED, (10, 10, 30, 30)) for name in "ab"]
    samples += [picture(tmp_path, name, GREY) for name in "cd"]
    told = []
    mixer = fitted(tmp_path, samples, told=told)
    assert len(told) == 1
    assert told[0].startswith("2 of 4 train samples show no box")
    assert {name for of in mixer.parents([0] * 50, range(50)) for name in of} == {"a", "b"}


def test_a_mask_of_another_size_is_an_error_that_names_the_file(tmp_path):
    thing = picture(tmp_path, "a", GREY, RED, (10, 10, 30, 30), mask=(10, 10, 20, 30))
    Image.new("L", (5, 5)).save(tmp_path / "a-mask.png")
    ground = picture(tmp_path, "b", WHITE, BLUE, (30, 20, 50, 40), label=1)
    with pytest.raises(DataError, match=r"a-mask\.png: the mask has"):
        pasted(tmp_path, thing, ground)


@pytest.mark.parametrize("method", ["mixup", "cutmix"])
def test_a_class_of_one_sample_has_no_partner(tmp_path, method):
    samples = [*two(tmp_path), picture(tmp_path, "c", GREEN, label=1)]
    with pytest.raises(DataError, match="class 'class 1' has a single sample"):
        fitted(tmp_path, samples, method=method)
    assert fitted(tmp_path, samples, method=method, partner="any").parents([1], [0])[0][0] == "c"


def test_an_empty_class_is_no_error_until_it_is_asked_for(tmp_path):
    mixer = fitted(tmp_path, two(tmp_path), method="mixup")
    mixer.sample([0], [0])
    for ask in (mixer.sample, mixer.parents):
        with pytest.raises(PluginError, match="no train samples of label 1"):
            ask([1], [0])


def test_a_single_sample_is_too_few(tmp_path):
    with pytest.raises(DataError, match="two train samples"):
        fitted(tmp_path, [picture(tmp_path, "a", GREY, RED, (10, 10, 30, 30))])


def test_a_hole_is_filled_from_around_it():
    image = np.full((33, 47, 3), 90, dtype=np.uint8)
    image[10:20, 5:40] = 255
    hole = np.zeros((33, 47), dtype=bool)
    hole[10:20, 5:40] = True
    assert (fill(image, hole) == 90).all()
    assert fill(image, np.ones_like(hole)).std() < 20
    assert (fill(image, np.zeros_like(hole)) == image).all()


def test_the_cache_keeps_what_was_used_last_within_its_memory():
    made = []

    def make(row):
        made.append(row)
        return np.zeros(10, dtype=np.uint8)

    cache = Cache(make, lambda value: value.nbytes, memory=25)
    for row in (0, 1, 0, 2, 0, 1):
        cache[row]
    assert made == [0, 1, 2, 1]
    assert (len(cache), cache.used) == (2, 20)


@pytest.mark.parametrize("method", ["mixup", "cutmix"])
@pytest.mark.parametrize("partner", ["same", "any"])
def test_labels_that_are_not_quite_true_are_told_once(tmp_path, method, partner):
    told = []
    mixer = fitted(tmp_path, two(tmp_path), method=method, partner=partner, told=told)
    mixer.sample([0], [0])
    expected = ["partner is any: up to half of a made picture can show another class than its label says"]
    assert told == (expected if partner == "any" else [])


@pytest.mark.parametrize(
    ("method", "option", "value"),
    [
        ("paste", "alpha", 2.0),
        *[
            (method, option, value)
            for method in ("mixup", "cutmix")
            for option, value in {
                "masks": False,
                "shape": "ellipse",
                "feather": 0.1,
                "margin": 0.1,
                "scale_jitter": 0.1,
                "min_background": 0.1,
            }.items()
        ],
    ],
)
def test_an_option_of_another_method_is_refused(method, option, value):
    with pytest.raises(ValidationError, match=f"{option} should be left out with {method}: it is for"):
        MixGenerator(method=method, **{option: value})
    MixGenerator(method=method, **{option: MixGenerator.model_fields[option].default})
