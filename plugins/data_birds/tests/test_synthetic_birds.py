"""The data set as its users see it: files, samples, options."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from fgic_data_birds import SyntheticBirds
from fgic_data_birds.latents import Latents
from fgic_data_birds.render import render
from PIL import Image
from pydantic import ValidationError

from fgic_core import Sample
from fgic_core.steps.context import StepContext

SMALL = {"num_classes": 3, "train_per_class": 2, "test_per_class": 1, "size": 48}


def make(folder: Path, seed: int = 0, **options: object) -> list[Sample]:
    folder.mkdir(parents=True, exist_ok=True)
    return list(SyntheticBirds(**{**SMALL, **options}).samples(StepContext(folder, seed=seed)))


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def mask_of(folder: Path, sample: Sample) -> np.ndarray:
    assert sample.part_mask is not None
    image = Image.open(folder / sample.part_mask)
    assert image.mode == "L"
    return np.asarray(image)


@pytest.fixture(scope="module")
def birds(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Sample]]:
    """The small set with seed 0, and where it lies."""
    folder = tmp_path_factory.mktemp("birds")
    return folder, make(folder)


Birds = tuple[Path, list[Sample]]


def test_the_same_seed_gives_the_same_bytes_and_another_seed_other_pictures(birds: Birds, tmp_path: Path) -> None:
    folder, one = birds
    same, other = make(tmp_path / "same"), make(tmp_path / "other", seed=1)
    assert files(folder) == files(tmp_path / "same")
    assert one == same
    assert [sample.id for sample in other] == [sample.id for sample in one]
    assert all((folder / s.path).read_bytes() != (tmp_path / "other" / s.path).read_bytes() for s in one)


def test_more_pictures_and_more_classes_leave_the_others_as_they_are(birds: Birds, tmp_path: Path) -> None:
    make(tmp_path, num_classes=4, train_per_class=3, test_per_class=2)
    few, many = files(birds[0]), files(tmp_path)
    assert {name: many[name] for name in few if name != "birds.json"} == {
        name: data for name, data in few.items() if name != "birds.json"
    }


def test_counts_splits_ids_and_paths_are_as_asked(tmp_path: Path) -> None:
    samples = make(tmp_path, test_per_class=2, train_per_class=3)
    names = SyntheticBirds(**SMALL).classes()
    assert len(samples) == len({s.id for s in samples}) == 3 * (3 + 2)
    for split, count in (("train", 3), ("test", 2)):
        for label in range(3):
            assert sum(s.split == split and s.label == label for s in samples) == count
    first = samples[0]
    assert first.id == f"train/{names[0].lower().replace(' ', '-')}/000"
    for sample in samples:
        with Image.open(tmp_path / sample.path) as image:
            assert image.size == (48, 48)
            assert image.mode == "RGB"
        assert sample.origin == "real"


def test_a_box_is_the_tight_box_of_the_mask(birds: Birds) -> None:
    folder, samples = birds
    for sample in samples:
        mask = mask_of(folder, sample)
        ys, xs = np.nonzero(mask)
        (box,) = sample.boxes
        assert box.box.xyxy == (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1)
        assert box.label == sample.label
        assert box.is_annotated


def test_a_part_lies_on_its_mask_and_is_visible_exactly_if_it_has_pixels(birds: Birds) -> None:
    reader = SyntheticBirds(**SMALL)
    folder, samples = birds
    for sample in samples:
        mask = mask_of(folder, sample)
        assert [part.name for part in sample.parts] == list(reader.part_names())
        assert mask.max() <= len(reader.part_names())
        for number, part in enumerate(sample.parts, 1):
            assert part.visible == bool((mask == number).any())
            if part.visible:
                assert mask[int(part.y), int(part.x)] == number


def test_each_part_is_seen_in_nearly_every_picture_at_the_default_size(tmp_path: Path) -> None:
    samples = make(tmp_path, size=96, num_classes=8, train_per_class=2)
    for part in ("body", "beak", "wing", "tail", "eye", "feet"):
        seen = [p.visible for s in samples for p in s.parts if p.name == part]
        assert np.mean(seen) > 0.95, part


def test_birds_json_holds_what_the_pictures_can_be_drawn_again_from(birds: Birds) -> None:
    folder, samples = birds
    document = json.loads((folder / "birds.json").read_text())
    assert [record["name"] for record in document["species"]] == list(SyntheticBirds(**SMALL).classes())
    assert set(document["pictures"]) == {sample.id for sample in samples}
    for sample in samples[:4]:
        record = document["species"][sample.label]
        code = tuple(record[part] for part in document["variants"])
        rendering = render(code, Latents(**document["pictures"][sample.id]), 48)
        assert np.array_equal(rendering.image, np.asarray(Image.open(folder / sample.path)))


def test_object_scale_sets_the_length_of_the_bird(tmp_path: Path) -> None:
    means = {}
    for scale in (0.3, 0.9):
        samples = make(tmp_path / str(scale), object_scale=(scale, scale), num_classes=8, size=64)
        lengths = np.array([max(s.boxes[0].box.width, s.boxes[0].box.height) / 64 for s in samples])
        assert lengths.min() > 0.65 * scale  # a short tail and a steep pose
        assert lengths.max() < 1.15 * scale  # a long tail
        means[scale] = lengths.mean()
    assert means[0.9] == pytest.approx(3 * means[0.3], rel=0.08)


def test_a_bird_is_whole_in_the_picture(tmp_path: Path) -> None:
    for sample in make(tmp_path, object_scale=(0.85, 0.85), num_classes=8, size=64):
        mask = mask_of(tmp_path, sample)
        assert not mask[[0, -1]].any()
        assert not mask[:, [0, -1]].any()


def test_clutter_adds_detail_to_the_background_and_leaves_the_bird(tmp_path: Path) -> None:
    detail = {}
    masks = {}
    for clutter in (0.0, 1.0):
        folder = tmp_path / str(clutter)
        samples = make(folder, clutter=clutter, size=64, train_per_class=6)
        masks[clutter] = [mask_of(folder, s) for s in samples]
        detail[clutter] = np.mean([_edges(folder / s.path, mask_of(folder, s)) for s in samples])
    assert detail[1.0] > 1.4 * detail[0.0]
    assert all(np.array_equal(a, b) for a, b in zip(masks[0.0], masks[1.0], strict=True))


def _edges(path: Path, mask: np.ndarray) -> float:
    grey = np.asarray(Image.open(path).convert("L"), dtype=float)
    change = np.abs(np.diff(grey, axis=1))
    background = (mask[:, 1:] == 0) & (mask[:, :-1] == 0)
    return float((change[background] > 8).mean())


def test_without_lighting_all_pictures_have_one_exposure(tmp_path: Path) -> None:
    make(tmp_path / "off", lighting=0.0)
    make(tmp_path / "on", lighting=1.0)
    off, on = (json.loads((tmp_path / name / "birds.json").read_text())["pictures"].values() for name in ("off", "on"))
    assert {picture["exposure"] for picture in off} == {1.0}
    assert len({picture["exposure"] for picture in on}) == len(on)


def test_the_background_tells_nothing_of_the_class(tmp_path: Path) -> None:
    samples = make(tmp_path, num_classes=4, train_per_class=20, test_per_class=20, size=32)
    features = np.stack([_background(tmp_path, s) for s in samples])
    labels = np.array([s.label for s in samples])
    train = np.array([s.split == "train" for s in samples])
    centroids = np.stack([features[train & (labels == label)].mean(0) for label in range(4)])
    distances = ((features[~train][:, None] - centroids) ** 2).sum(-1)
    right = int((distances.argmin(1) == labels[~train]).sum())
    assert 80 / 4 - 16 <= right <= 80 / 4 + 16  # four standard deviations of a guess among four


def _background(folder: Path, sample: Sample) -> np.ndarray:
    """Histogram of the colours outside of the box."""
    pixels = np.asarray(Image.open(folder / sample.path)) // 64
    left, upper, right, lower = sample.boxes[0].box.outward()
    outside = np.ones(pixels.shape[:2], bool)
    outside[upper:lower, left:right] = False
    bins = np.histogramdd(pixels[outside], bins=(4, 4, 4), range=((0, 4),) * 3)[0].ravel()
    return bins / bins.sum()


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"num_classes": 1}, "num_classes"),
        ({"num_classes": 201}, "num_classes"),
        ({"size": 16}, "size"),
        ({"clutter": 1.5}, "clutter"),
        ({"clutter": float("nan")}, "clutter"),
        ({"train_per_class": 0}, "train_per_class"),
        ({"object_scale": (0.9, 0.4)}, "smallest length 0.9 is above the largest 0.4"),
        ({"object_scale": (0.0, 0.4)}, "object_scale"),
        ({"differing_parts": 3}, "differing_parts"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, object], word: str) -> None:
    with pytest.raises(ValidationError, match=word):
        SyntheticBirds(**options)
