"""Training by MMEngine's Runner: it learns, it is silent, and it leaves the process as it was."""

from __future__ import annotations

import logging
import math
import multiprocessing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from fgic_detect_mmdet import MmdetDetector
from fgic_detect_mmdet._network import build

from fgic_core import SCHEMA, Dataset, PluginError, StepContext
from fgic_core.kinds.detector import driver as step
from fgic_core.testing import tiny_context, tiny_dataset


@pytest.fixture
def data(tmp_path: Path) -> Dataset:
    return tiny_dataset(tmp_path / "data", side=64, per_class=10)


def trained(component: MmdetDetector, data: Dataset, folder: Path) -> tuple[Dataset, StepContext]:
    """The step as the core runs it."""
    folder.mkdir()
    ctx = StepContext(folder, uses="detector/mmdet", scratch=folder.with_name(f"{folder.name}-scratch"))
    step.run(component, {"dataset": data}, ctx)
    return Dataset.open(folder), ctx


@pytest.mark.slow
def test_training_lowers_the_loss_and_raises_map_from_zero(
    small: Callable[..., MmdetDetector], data: Dataset, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    component = small(epochs=15, lr=0.02, schedule="cosine", clip_norm=10, min_score=0.3)
    dataset, ctx = trained(component, data, tmp_path / "out")
    curve = {
        (p.split, p.name): [q.value for q in ctx.curves if (q.split, q.name) == (p.split, p.name)] for p in ctx.curves
    }
    assert curve["train", "loss"][-1] < curve["train", "loss"][0] / 2
    assert {"loss_rpn_cls", "loss_rpn_bbox", "loss_cls", "loss_bbox", "lr"} <= {name for _, name in curve}
    assert curve["test", "mAP50"][0] < 0.2
    final = {metric.name: metric.value for metric in ctx.metrics if metric.split == "test"}
    assert final["mAP50"] > 0.8  # type: ignore[operator]
    assert final["box_recall50"] > 0.8  # type: ignore[operator]
    assert all(box.label is None for sample in dataset for box in sample.boxes if not box.is_annotated)
    assert capfd.readouterr() == ("", ""), "a plugin never prints"


@pytest.mark.slow
def test_per_class_boxes_have_the_class_of_their_object(
    small: Callable[..., MmdetDetector], data: Dataset, tmp_path: Path
) -> None:
    """The colour of a rectangle is its class: a label that is off by one would be wrong throughout."""
    component = small(epochs=15, lr=0.02, schedule="cosine", clip_norm=10, per_class=True, test_curve=False)
    dataset, ctx = trained(component, data, tmp_path / "out")
    hits = 0
    for sample in dataset.split("test"):
        found = [box for box in sample.boxes if not box.is_annotated]
        hits += bool(found) and max(found, key=lambda box: box.score or 0).label == sample.label
    assert hits >= 0.8 * len(dataset.split("test"))
    (metric,) = [m for m in ctx.metrics if m.name == "mAP50" and m.split == "test"]
    assert metric.value > 0.6  # type: ignore[operator]
    assert metric.note.startswith("mean over the 3 classes that occur")


def test_the_process_is_left_as_it_was(small: Callable[..., MmdetDetector], data: Dataset, tmp_path: Path) -> None:
    from fgic_detect_mmdet._mmdet import import_mmdet

    import_mmdet()
    import cv2
    from mmengine.logging import MessageHub, MMLogger
    from mmengine.registry import DefaultScope
    from mmengine.visualization import Visualizer

    def state() -> Any:
        kept = [sorted(kind._instance_dict) for kind in (DefaultScope, MMLogger, MessageHub, Visualizer)]
        threads = cv2.getNumThreads(), torch.get_num_threads(), multiprocessing.get_start_method(allow_none=True)
        return kept, threads, len(logging.root.handlers), Path("work_dirs").exists()

    before = state()
    component = small(epochs=1)
    component.fit(data.split("train"), data.split("test"), tiny_context(tmp_path))
    assert state() == before
    assert not list((tmp_path / "out").iterdir()), "nothing of mmengine's gets into the artifact"


def test_flips_move_the_boxes_and_crowds_are_passed_on_as_such(
    small: Callable[..., MmdetDetector], data: Dataset, tmp_path: Path
) -> None:
    from fgic_detect_mmdet._mmdet import import_mmdet

    import_mmdet()
    from fgic_detect_mmdet._data import Pictures
    from fgic_openmmlab import scope

    train = data.split("train")
    pipeline = [
        {"type": "LoadImageFromNDArray"},
        {"type": "LoadAnnotations", "with_bbox": True},
        {"type": "RandomFlip", "prob": 1.0},
        {"type": "PackDetInputs", "meta_keys": ("flip",)},
    ]
    with scope("mmdet"):
        pictures = Pictures(train, [0] * 3, tiny_context(tmp_path), pipeline)
        for row in range(len(train)):
            item = pictures[row]
            (box,) = item["data_samples"].gt_instances.bboxes.tensor.numpy()
            x1, y1, x2, y2 = (round(float(edge)) for edge in box)
            assert (64 - x2, y1, 64 - x1, y2) == train[row].boxes[0].box.xyxy
            pixels = item["inputs"].numpy()[::-1, y1:y2, x1:x2]  # blue first
            assert np.ptp(pixels.reshape(3, -1), axis=1).max() == 0, "the box holds the rectangle's one colour"
        boxes = train.table.column("boxes").to_pylist()
        boxes[0].append({**boxes[0][0], "crowd": True})
        boxes[1].append({**boxes[1][0], "origin": "predicted:detector/x"})
        kind = SCHEMA.field("boxes")
        table = train.table.set_column(SCHEMA.get_field_index("boxes"), kind, pa.array(boxes, kind.type))
        crowded = Pictures(Dataset(train.header, table), [0] * 3, tiny_context(tmp_path, name="crowd"), pipeline)
        for row, ignored in ((0, 1), (1, 0)):
            sample = crowded[row]["data_samples"]
            assert (len(sample.gt_instances), len(sample.ignored_instances)) == (1, ignored)


def test_augmentation_depends_on_seed_epoch_and_picture_alone(data: Dataset, tmp_path: Path) -> None:
    from fgic_detect_mmdet._mmdet import import_mmdet

    import_mmdet()
    from fgic_detect_mmdet._data import Pictures
    from fgic_openmmlab import scope

    pipeline = [
        {"type": "LoadImageFromNDArray"},
        {"type": "RandomFlip", "prob": 0.5},
        {"type": "PackDetInputs", "meta_keys": ("flip",)},
    ]
    with scope("mmdet"):
        pictures = Pictures(data.split("train"), [0] * 3, tiny_context(tmp_path), pipeline)

        def flips(epoch: int, order: list[int]) -> dict[int, bool]:
            pictures.epoch = epoch
            return {row: pictures[row]["data_samples"].flip for row in order}

        rows = list(range(20))
        assert flips(1, rows) == flips(1, rows[::-1])
        assert flips(1, rows) != flips(2, rows)
        assert 4 < sum(flips(3, rows).values()) < 16


def test_the_learning_rate_follows_batch_size_warm_up_and_the_stretched_schedule(
    small: Callable[..., MmdetDetector], tmp_path: Path
) -> None:
    from fgic_detect_mmdet._mmdet import import_mmdet

    import_mmdet()
    from fgic_detect_mmdet._training import Detection, config_factor, make_optimizer
    from fgic_openmmlab import Order

    for batch_size, lr, expected in ((2, None, 0.0025), (16, None, 0.02), (2, 0.3, 0.3)):
        component = small(batch_size=batch_size, lr=lr)
        ctx = tiny_context(tmp_path, name=f"b{batch_size}{lr}")
        wrapper = make_optimizer(component, build(component, "a", ctx), ctx)
        assert wrapper.get_lr()["lr"][0] == pytest.approx(expected)
    network = build(small(epochs=24), "a", tiny_context(tmp_path))
    ctx = tiny_context(tmp_path, name="rates")

    def factors(**options: Any) -> list[float]:
        task = Detection(small(epochs=24, **options), network, None, None, Order(1, ctx), ctx)
        return [task.factor(epoch, (epoch - 1) * 100, 2400) for epoch in range(1, 25)]

    falling = [config_factor(network.config, epoch, 24) for epoch in range(1, 25)]
    assert falling == pytest.approx([1] * 16 + [0.1] * 6 + [0.01] * 2)
    found = factors()
    assert [one == pytest.approx(other) for one, other in zip(found, falling, strict=True)] == [False] * 3 + [True] * 21
    assert found[0] == pytest.approx(1 / 241), "a tenth of all steps is warm-up"
    assert factors(warmup=0.0, schedule="none") == [1.0] * 24
    cosine = factors(warmup=0.0, schedule="cosine")
    assert cosine == pytest.approx([(1 + math.cos(math.pi * epoch / 24)) / 2 for epoch in range(24)])


def test_a_loss_that_is_not_finite_is_an_error_with_advice(
    small: Callable[..., MmdetDetector], data: Dataset, tmp_path: Path
) -> None:
    component = small(epochs=3, lr=1e30, warmup=0.0)
    with pytest.raises(PluginError, match="the loss of epoch 1 is not finite") as caught:
        component.fit(data.split("train"), data.split("test"), tiny_context(tmp_path))
    assert "Try a lower lr" in str(caught.value)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "workers"), [("yolox_tiny_8xb8-300e_coco", 0), ("rtmdet_tiny_8xb32-300e_coco", 2)])
def test_a_training_that_mixes_pictures_is_decided_by_the_seed_alone(
    name: str, workers: int, data: Dataset, tmp_path: Path
) -> None:
    """Mosaics, and sizes that change every ten steps: an interruption changes nothing, with worker processes either."""

    def fitted(folder: str, stop_at: int | None = None) -> Any:
        component = MmdetDetector(
            config=name, image_scale=96, epochs=2, batch_size=2, schedule="none", warmup=0.0, lr=1e-5
        )
        ctx = tiny_context(tmp_path, name=folder)
        ctx.workers = workers

        def ruler(_: Any, epoch: int) -> dict[str, dict[str, float]]:
            if epoch == stop_at:
                raise KeyboardInterrupt
            return {}

        ctx.measure_by(ruler)
        return component.fit(data.split("train").take(range(24)), data.split("test"), ctx).model.state_dict()

    whole = fitted("whole")
    with pytest.raises(KeyboardInterrupt):
        fitted("cut", stop_at=2)
    resumed = fitted("cut")
    assert all(torch.equal(value, resumed[name]) for name, value in whole.items())


def test_an_empty_picture_goes_through_transforms_that_drop_pictures_without_a_box(tmp_path: Path) -> None:
    """Else mmdet would take another picture in its place, and nothing would be learned from it."""
    from fgic_detect_mmdet._mmdet import import_mmdet
    from fgic_openmmlab import scope

    import_mmdet()
    from fgic_detect_mmdet._data import Pictures

    data = tiny_dataset(tmp_path / "data", side=64, classes=2, per_class=1, empty=2).split("train")
    pipeline = [
        {"type": "LoadAnnotations", "with_bbox": True},
        {"type": "RandomCrop", "crop_size": (48, 48)},
        {"type": "FilterAnnotations", "min_gt_bbox_wh": (1, 1)},
        {"type": "PackDetInputs", "meta_keys": ("img_id",)},
    ]
    with scope("mmdet"):
        pictures = Pictures(data, [0, 0], tiny_context(tmp_path), pipeline)
        items = [pictures[row]["data_samples"] for row in range(len(data))]
        kept = [step.keep_empty for step in pictures.pipeline.transforms if hasattr(step, "keep_empty")]
    assert [item.img_id for item in items] == [0, 1, 2, 3]
    assert [len(item.gt_instances) for item in items][2:] == [0, 0]
    assert kept == [True], "for pictures with a box the config is as it was"


@pytest.mark.parametrize("scale", [64, 128])
def test_boxes_survive_a_mosaic_of_another_size(scale: int, data: Dataset, tmp_path: Path) -> None:
    from fgic_detect_mmdet._mmdet import import_mmdet
    from fgic_openmmlab import scope

    import_mmdet()
    from fgic_detect_mmdet._training import _dataset

    component = MmdetDetector(config="yolox_tiny_8xb8-300e_coco", image_scale=scale)
    network = build(component, "a", tiny_context(tmp_path))
    with scope("mmdet"):
        _, mosaics = _dataset(component, network, data.split("train"), tiny_context(tmp_path, name="data"))
        items = [mosaics[row] for row in range(12)]
    side = 640 * scale / 416  # what mmdet trains at, in proportion to what it tests at
    assert all(abs(length - side) <= 2 for item in items for length in item["inputs"].shape[1:])
    assert sum(len(item["data_samples"].gt_instances) for item in items) > 12
    low, high = network.model.data_preprocessor.batch_augments[0]._random_size_range  # type: ignore[union-attr, index]
    assert 1 <= low <= high <= side / 32 + 1


def test_no_learning_rate_rises_after_the_warm_up(tmp_path: Path) -> None:
    from fgic_detect_mmdet._mmdet import import_mmdet

    import_mmdet()
    from fgic_detect_mmdet._training import config_factor, make_optimizer

    rates = {}
    for name in ("yolox_tiny_8xb8-300e_coco", "rtmdet_tiny_8xb32-300e_coco", "faster-rcnn_r50_fpn_1x_coco"):
        component, ctx = MmdetDetector(config=name), tiny_context(tmp_path, name=name)
        network = build(component, "a", ctx)
        rates[name.partition("_")[0]] = make_optimizer(component, network, ctx).get_lr()["lr"][0]
        factors = [config_factor(network.config, epoch, 12) for epoch in range(1, 13)]
        assert factors == sorted(factors, reverse=True)
        assert factors[0] == 1 > factors[-1]
    assert rates == pytest.approx({"yolox": 0.01 * 2 / 64, "rtmdet": 0.004 * 2 / 256, "faster-rcnn": 0.02 * 2 / 16})


@pytest.mark.parametrize("name", ["fcos_hrnetv2p-w18-gn-head_4xb4-1x_coco", "faster-rcnn_r50-caffe_c4-1x_coco"])
def test_from_scratch_no_batchnorm_is_frozen_wherever_it_stands(name: str, tmp_path: Path) -> None:
    """HRNet freezes it by default without a word in the config, C4 in the head that shares the backbone's stage."""
    model = build(MmdetDetector(config=name), "a", tiny_context(tmp_path)).model.train()
    norms = [module for module in model.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    assert all(one.training and one.weight.requires_grad for one in norms)
    assert bool(norms) == ("hrnet" in name), "32 groups do not divide HRNet's 18 channels: BatchNorm, trained"


def test_a_config_that_repeats_and_concatenates_data_sets_trains(data: Dataset, tmp_path: Path) -> None:
    component = MmdetDetector(config="retinanet_r50_fpn_1x_voc0712", image_scale=64, epochs=1, batch_size=4)
    fitted = component.fit(data.split("train").take(range(4)), data.split("test"), tiny_context(tmp_path))
    assert len(fitted.detect([data.picture(0)])) == 1


def test_a_config_that_cannot_detect_is_refused_before_it_is_trained(data: Dataset, tmp_path: Path) -> None:
    component = MmdetDetector(config="dino-4scale_r50_8xb2-12e_coco", image_scale=64, epochs=1)
    with pytest.raises(PluginError, match="does not detect in a picture of 64x64 pixels"):
        component.fit(data.split("train").take(range(4)), data.split("test"), tiny_context(tmp_path))


def test_a_picture_as_thin_as_a_line_is_extended(small: Callable[..., MmdetDetector], tmp_path: Path) -> None:
    from PIL import Image

    network = build(small(), "a", tiny_context(tmp_path))
    for size in ((3, 900), (900, 3), (1, 1)):
        (found,) = network.detect([Image.new("RGB", size)])
        assert found.boxes.shape == (len(found.scores), 4)


def test_the_best_epoch_is_kept_and_waiting_for_a_better_one_ends(
    small: Callable[..., MmdetDetector], data: Dataset, tmp_path: Path
) -> None:
    seen: list[dict[str, torch.Tensor]] = []

    def ruler(fitted: Any, epoch: int) -> dict[str, dict[str, float]]:
        seen.append({name: value.clone() for name, value in fitted.network.state_dict().items()})
        return {"val": {"mAP": (0.1, 0.3, 0.3, 0.2, 0.9)[epoch - 1]}}

    for keep, best in (("best", 1), ("last", 3)):
        seen.clear()
        component = small(epochs=5, early_stopping=2, keep=keep)
        ctx = tiny_context(tmp_path, name=keep)
        ctx.measure_by(ruler)
        own = component.fit(data.split("train").take(range(4)), data.split("test"), ctx).model.state_dict()
        assert len(seen) == 4, "epochs 3 and 4 are no better than 2"
        assert all(torch.equal(own[name], value) for name, value in seen[best].items())


def test_weights_can_be_used_as_they_are(small: Callable[..., MmdetDetector], data: Dataset, tmp_path: Path) -> None:
    component = small(epochs=1)
    fitted = component.fit(data.split("train"), data.split("test"), tiny_context(tmp_path))
    (tmp_path / "saved").mkdir()
    component.save(fitted, tmp_path / "saved")
    assert small(min_score=0.001).load(tmp_path / "saved", "cpu").model.roi_head.test_cfg.score_thr == 0.001
    again = small(epochs=0, weights=tmp_path / "saved" / "model.safetensors")
    assert not again.learns()
    other = again.fit(data.take([]), data.take([]), tiny_context(tmp_path, name="again"))
    pictures = [data.picture(row) for row in range(3)]
    for one, two in zip(fitted.detect(pictures), other.detect(pictures), strict=True):
        np.testing.assert_array_equal(one.boxes, two.boxes)


def test_boxes_are_in_the_pictures_own_pixels(
    small: Callable[..., MmdetDetector], data: Dataset, tmp_path: Path
) -> None:
    """A picture of twice the size has boxes of twice the size: the network sees the same."""
    component = small(epochs=2)
    fitted = component.fit(data.split("train"), data.split("test"), tiny_context(tmp_path))
    picture = data.picture(0)
    (one,), (large,) = fitted.detect([picture]), fitted.detect([picture.resize((128, 128), 0)])
    assert len(one.boxes)
    np.testing.assert_allclose(large.boxes[:1] / 2, one.boxes[:1], atol=1.5)


def test_a_folder_without_a_detector_is_refused(small: Callable[..., MmdetDetector], tmp_path: Path) -> None:
    with pytest.raises(PluginError, match="this detector cannot be read"):
        small().load(tmp_path, "cpu")


@pytest.mark.parametrize(
    "name", ["retinanet_r18_fpn_1x_coco", "rtmdet_tiny_8xb32-300e_coco", "yolox_tiny_8xb8-300e_coco"]
)
def test_other_families_train_and_detect(name: str, tmp_path: Path) -> None:
    """One-stage detectors, and pipelines that mix several pictures into one; with pictures without an object."""
    data = tiny_dataset(tmp_path / "data", side=64, per_class=1, empty=5)
    component = MmdetDetector(config=name, image_scale=64, epochs=1, batch_size=4)
    ctx = tiny_context(tmp_path)
    fitted = component.fit(data.split("train"), data.split("test"), ctx)
    assert math.isfinite(next(point.value for point in ctx.curves if point.name == "loss"))
    assert len(fitted.detect([data.picture(0)])) == 1
    if name.startswith("yolox"):
        assert ctx.warnings == ["hooks of the config that are not run: YOLOXModeSwitchHook, SyncNormHook, EMAHook"]
