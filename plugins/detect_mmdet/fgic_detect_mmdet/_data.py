"""What the detector is trained on: whole pictures with their boxes, as mmdet's data sets give them."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import torch
from mmdet.datasets.base_det_dataset import BaseDetDataset

from fgic_core import Context, Dataset
from fgic_detect_mmdet._network import bgr


class Pictures(BaseDetDataset):
    """The train split as a data set of mmdet: pictures are decoded by fgic, boxes are annotated ones.

    Empty pictures are kept, whatever the config would do: there is something to learn from them.

    A picture's random numbers depend on the seed, the epoch and its row alone: neither batch size, nor workers, nor an
    interruption changes them.

    Args:
        train: the pictures.
        labels: for each class of the data, its label in the network.
        ctx: gives random numbers.
        pipeline: mmdet's transforms.

    Attributes:
        epoch: the epoch that pictures are drawn for.
    """

    def __init__(self, train: Dataset, labels: Sequence[int], ctx: Context, pipeline: list[Any]) -> None:
        self._train, self._labels, self._ctx = train, labels, ctx
        self.epoch = 0
        names = tuple(str(label) for label in range(max(labels) + 1))
        super().__init__(metainfo={"classes": names}, pipeline=pipeline, serialize_data=False)

    def load_data_list(self) -> list[dict[str, Any]]:
        rows = []
        for row, sample in enumerate(self._train):
            instances = [
                {
                    "bbox": list(one.box.xyxy),
                    "bbox_label": self._labels[sample.label if one.label is None else one.label],
                    "ignore_flag": int(one.crowd),
                }
                for one in sample.boxes
                if one.is_annotated
            ]
            rows.append({"img_id": row, "row": row, "instances": instances, "empty": sample.empty})
        return rows

    def prepare_data(self, idx: int) -> Any:
        about = self.get_data_info(idx)
        about["img"] = bgr(self._train.picture(about["row"]))
        with ExitStack() as stack:
            stack.enter_context(_numbers(int(self._ctx.rng("augment", self.epoch, about["row"]).integers(2**32))))
            if about["empty"]:
                stack.enter_context(_without_boxes(self.pipeline))
            return self.pipeline(about)


#: What transforms call it that a picture without a box goes through, rather than being replaced by another one.
_GOES_THROUGH = {"keep_empty": False, "allow_negative_crop": True}


@contextmanager
def _without_boxes(pipeline: Any) -> Iterator[None]:
    """Lets a picture without a box through the transforms, which may drop it otherwise."""
    steps = [step for step in getattr(pipeline, "transforms", ()) if vars(step).keys() & _GOES_THROUGH.keys()]
    before = [dict(vars(step)) for step in steps]
    for step in steps:
        vars(step).update({name: value for name, value in _GOES_THROUGH.items() if name in vars(step)})
    try:
        yield
    finally:
        for step, kept in zip(steps, before, strict=True):
            vars(step).update({name: kept[name] for name in _GOES_THROUGH if name in kept})


@contextmanager
def _numbers(seed: int) -> Iterator[None]:
    """Global generators of Python, NumPy and torch, from which mmdet's transforms draw, seeded for one picture."""
    state, numpy_state, torch_state = random.getstate(), np.random.get_state(), torch.get_rng_state()
    random.seed(seed)
    np.random.seed(seed)
    torch.default_generator.manual_seed(seed)
    try:
        yield
    finally:
        random.setstate(state)
        np.random.set_state(numpy_state)
        torch.set_rng_state(torch_state)
