"""Drives a Generator: trains it on the train split, and writes the pictures it makes into that split and no other."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc

from fgic_core.data.dataset import BATCH, Dataset, DatasetWriter, to_batch
from fgic_core.data.geometry import Size
from fgic_core.data.sample import Sample
from fgic_core.errors import DataError, PluginError
from fgic_core.interfaces.generator import PER_CLASS, Generator
from fgic_core.steps.context import StepContext

BATCH_SIZE = 16


def run(component: Generator, inputs: dict[str, Any], ctx: StepContext) -> None:
    """Write the input's data set with synthetic train samples, as `Generator.keep` says.

    Raises:
        DataError: there is no train sample to learn from.
        PluginError: the generator breaks its contract.
    """
    dataset: Dataset = inputs["dataset"]
    train = dataset.split("train")
    if not len(train):
        raise DataError("the data set has no train sample for a generator to learn from")
    synthetic: list[Sample] = []
    if component.keep != "real":
        component.fit(train, ctx)
        folder = ctx.folder / "component"
        folder.mkdir()
        component.save(folder)
        synthetic = _generate(component, dataset.classes, ctx)
    identity = repr((ctx.uses, ctx.seed, component.model_dump_json())).encode()
    root = f"made-{hashlib.blake2b(identity, digest_size=8).hexdigest()}"
    header = replace(dataset.header, roots={**dataset.header.roots, root: Path()})
    others = pc.not_equal(dataset.table.column("split").cast("string"), "train")
    kept = dataset.where(others) if component.keep == "synthetic" else dataset
    with DatasetWriter(ctx.folder, header) as writer:
        for batch in kept.table.to_batches(max_chunksize=BATCH):
            writer.write(batch)
        if synthetic:
            writer.write(to_batch(synthetic, root))
    ctx.metric("synthetic", len(synthetic), part="train", note=f"{component.per_class or PER_CLASS} of each class")
    ctx.metric("real", len(kept.split("train")), part="train")


def _generate(component: Generator, classes: Sequence[str], ctx: StepContext) -> list[Sample]:
    """Make the pictures, write each as a PNG file, whole or not at all."""
    per_class = component.per_class or PER_CLASS
    labels = [label for label in range(len(classes)) for _ in range(per_class)]
    samples: list[Sample] = []
    with ctx.progress("sampling", len(labels)) as progress:
        for start in range(0, len(labels), BATCH_SIZE):
            some = labels[start : start + BATCH_SIZE]
            seeds = [int(seed) for seed in ctx.rng("sample", start).integers(2**63 - 1, size=len(some))]
            pictures = _checked(component.sample(some, seeds), len(some), ctx)
            for offset, (label, picture) in enumerate(zip(some, pictures, strict=True)):
                number = (start + offset) % per_class
                samples.append(_write(picture, label, number, ctx))
            progress.advance(len(some))
    return samples


def _checked(pictures: Any, count: int, ctx: StepContext) -> np.ndarray[Any, Any]:
    found = np.asarray(pictures)
    if found.ndim != 4 or found.shape[:2] != (count, 3):
        raise PluginError(
            f"sample gave an array of shape {found.shape}",
            where=ctx.uses,
            hint=f"For {count} labels it is ({count}, 3, height, width).",
        )
    if not np.isfinite(found).all() or found.min() < -1e-6 or found.max() > 1 + 1e-6:
        raise PluginError("sample gave pixels outside [0, 1]", where=ctx.uses)
    return found


def _write(picture: np.ndarray[Any, Any], label: int, number: int, ctx: StepContext) -> Sample:
    from PIL import Image

    pixels = np.rint(np.clip(picture, 0, 1) * 255).astype(np.uint8).transpose(1, 2, 0)
    name = f"synthetic/{label:04d}/{number:05d}"
    file = ctx.folder / "images" / f"{name}.png"
    file.parent.mkdir(parents=True, exist_ok=True)
    buffer = BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, "PNG")
    beside = file.with_suffix(".new")
    beside.write_bytes(buffer.getvalue())
    beside.replace(file)
    height, width = pixels.shape[:2]
    return Sample(
        id=f"{ctx.uses}/{ctx.seed}/{name}",
        path=f"images/{name}.png",
        label=label,
        split="train",
        size=Size(width, height),
        origin=f"synthetic:{ctx.uses}",
    )
