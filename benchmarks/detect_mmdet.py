"""What `detector/mmdet` costs over plain MMDetection, on the same model and the same pictures.

    python benchmarks/detect_mmdet.py [--runs 5] [--threads 1]

Detection: `detect` against mmdet's own ``inference_detector``, picture by picture. Training: `fit` against MMEngine's
Runner with mmdet's ``CocoDataset`` on the same JPEG files, for one epoch with the same batch size, without validation
and checkpoints on either side. (fgic seeds each picture's augmentation and keeps a checkpoint for a kill; here it has
no place to keep one.) Both take turns in one process after a warm-up of each; other work on a machine can only make a
run slower, so the fastest runs are compared, and the medians are printed too. Aim: within 3 %.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from fgic_detect_mmdet import MmdetDetector
from fgic_detect_mmdet._config import fit_model, read_config
from fgic_detect_mmdet._mmdet import import_mmdet
from fgic_openmmlab import scope
from PIL import Image
from side_by_side import compare

from fgic_core import Box, Dataset, ObjectBox, Sample, Size, StepContext
from fgic_core.data.dataset import DatasetWriter, Header

PICTURES, SIZE, SCALE, BATCH = 32, (320, 240), (320, 240), 4
OPTIONS: dict[str, Any] = {
    "config": "faster-rcnn_r50_fpn_1x_coco",
    "overrides": {"model.backbone.depth": 18, "model.neck.in_channels": [64, 128, 256, 512]},
    "image_scale": SCALE,
    "proposals": 100,
    "batch_size": BATCH,
    "epochs": 1,
    "warmup": 0.0,
}


def make_data(folder: Path) -> Dataset:
    """Noisy pictures with a bright rectangle each, as JPEG files, in fgic's format and in COCO's."""
    rng = np.random.default_rng(0)
    samples, images, annotations = [], [], []
    for number in range(PICTURES):
        width, height = SIZE
        pixels = rng.normal(110, 30, (height // 8, width // 8, 3)).clip(0, 255).astype(np.uint8)
        picture = np.array(Image.fromarray(pixels).resize(SIZE, Image.BICUBIC))
        x, y = int(rng.integers(0, 160)), int(rng.integers(0, 120))
        picture[y : y + 100, x : x + 140] = (230, 60, 60)
        Image.fromarray(picture).save(folder / f"{number}.jpg", quality=92)
        box = ObjectBox(Box(x, y, x + 140, y + 100))
        about: dict[str, Any] = {"id": str(number), "path": f"{number}.jpg", "label": number % 2, "split": "train"}
        samples.append(Sample(**about, size=Size(*SIZE), boxes=(box,)))
        images.append({"id": number + 1, "file_name": f"{number}.jpg", "width": width, "height": height})
        annotation = {"bbox": [x, y, 140, 100], "area": 14000, "iscrowd": 0, "category_id": 1}
        annotations.append({**annotation, "id": number + 1, "image_id": number + 1})
    document = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "object"}]}
    (folder / "coco.json").write_text(json.dumps(document))
    with DatasetWriter(folder / "data", Header(("a", "b"), {"r": folder})) as writer:
        writer.write_samples(samples, "r")
    return Dataset.open(folder / "data")


def plain_config(folder: Path) -> Any:
    """The same model and training as mmdet's own tools read them."""
    from mmengine.config import Config

    detector = MmdetDetector(**OPTIONS)
    config = read_config(detector)
    fit_model(config, detector, 1, "GN")
    loader = config.train_dataloader
    loader.batch_size, loader.num_workers, loader.persistent_workers = BATCH, 0, False
    loader.batch_sampler = None
    loader.dataset.update(data_root=str(folder), ann_file="coco.json", data_prefix={"img": ""})
    loader.dataset.metainfo = {"classes": ("object",)}
    config.train_cfg.max_epochs = 1
    config.param_scheduler = []
    config.optim_wrapper.optimizer.lr = 0.02 * BATCH / 16
    for key in ("val_dataloader", "val_cfg", "val_evaluator", "test_cfg", "test_evaluator"):
        config.pop(key, None)
    return Config(config.to_dict())


def train_by_runner(config: Any, folder: Path) -> None:
    """mmdet's training, without its log and its checkpoints."""
    from mmengine.runner import Runner

    with scope("mmdet") as name, contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints
        runner = Runner(
            model=config.model,
            work_dir=str(folder / "work"),
            train_dataloader=config.train_dataloader,
            train_cfg=config.train_cfg,
            optim_wrapper=config.optim_wrapper,
            default_scope="mmdet",
            default_hooks={"logger": None, "checkpoint": None, "timer": None},
            visualizer={"type": "Visualizer", "vis_backends": None, "name": name},
            experiment_name=name,
            log_level="CRITICAL",
        )
        runner._log_env = lambda *_: None
        runner.train()


def main() -> None:
    """Compare detection and training."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    import_mmdet()
    from mmdet.apis import inference_detector

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = make_data(folder)
        component = MmdetDetector(**OPTIONS)

        fitted: list[Any] = []

        def fit() -> None:
            place = folder / "out"
            place.mkdir(exist_ok=True)
            fitted[:] = [component.fit(data, data.take([]), StepContext(place))]

        config = plain_config(folder)
        compare("training", PICTURES, {"plain": lambda: train_by_runner(config, folder), "fgic": fit}, arguments.runs)

        (network,) = fitted
        model: Any = network.model
        model.cfg = config
        files = [str(folder / f"{number}.jpg") for number in range(PICTURES)]

        def plain() -> None:
            with scope("mmdet"):
                for file in files:
                    inference_detector(model, file)

        def ours() -> None:
            for row in range(PICTURES):
                network.detect([data.picture(row)])

        compare("detection", PICTURES, {"plain": plain, "fgic": ours}, arguments.runs)


if __name__ == "__main__":
    main()
