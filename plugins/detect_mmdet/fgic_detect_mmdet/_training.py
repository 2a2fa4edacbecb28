"""The training: what the config says of pictures, optimizer and schedule; the loop is fgic-openmmlab's."""

from __future__ import annotations

import math
from collections.abc import Mapping
from copy import deepcopy
from typing import TYPE_CHECKING, Any

from fgic_openmmlab import Order, Task, make_loader, scope, train, wrapped
from mmengine.optim import OptimWrapper, build_optim_wrapper
from torch import nn

from fgic_core import Context, Dataset, PluginError
from fgic_core.kit import rate_factor
from fgic_detect_mmdet._config import batch_size_of, mixing, pipeline_of, train_dataset
from fgic_detect_mmdet._data import Pictures
from fgic_detect_mmdet._mmdet import WHERE
from fgic_detect_mmdet._network import picture_step

if TYPE_CHECKING:
    from fgic_detect_mmdet import MmdetDetector
    from fgic_detect_mmdet._network import Network


def train_network(options: MmdetDetector, network: Network, data: Dataset, ctx: Context) -> None:
    """Train the network in place, on the context's device, and leave the chosen epoch's weights in it.

    Raises:
        PluginError: the loss is no longer finite, or the config's training cannot be had.
    """
    assert network.config is not None
    if hooks := [hook.type for hook in network.config.get("custom_hooks") or ()]:
        ctx.warn(f"hooks of the config that are not run: {', '.join(hooks)}")
    with scope("mmdet") as name:
        pictures, mixed = _dataset(options, network, data, ctx)
        order = Order(len(mixed), ctx)
        loader = make_loader(mixed, order, options.batch_size, ctx)
        task = Detection(options, network, pictures, mixed, order, ctx)
        train(task, "mmdet", name, network.model, loader, make_optimizer(options, network, ctx))


def _dataset(options: MmdetDetector, network: Network, train: Dataset, ctx: Context) -> tuple[Pictures, Any]:
    """The pictures, and the data set of the config around them, which may mix several of them into one."""
    from mmdet.registry import DATASETS

    config = network.config
    assert config is not None
    steps = pipeline_of(config, "train")
    try:
        labels = (network.order or range(len(train.classes))) if options.per_class else [0] * len(train.classes)
        pictures = Pictures(train, labels, ctx, _for_training(train_dataset(config).get("pipeline") or steps))
        # RepeatDataset and its like say how long an epoch is; here an epoch is one pass.
        outer = mixing(config)
        if outer is None:
            return pictures, pictures
        wrapped = DATASETS.build({**outer, "dataset": pictures, "pipeline": _for_training(outer.pipeline)})
    except PluginError:
        raise
    except Exception as error:  # transforms that need packages or annotations that are not there
        raise PluginError(
            f"the config's training pictures cannot be made: {type(error).__name__}: {error}",
            where=WHERE,
            hint=f"Its pipeline is {[step.type for step in steps]}.",
        ) from error
    return pictures, wrapped


def _for_training(pipeline: Any) -> list[Any]:
    """A pipeline for pictures in memory and boxes alone."""
    steps = []
    for step in pipeline:
        if step.type == "LoadImageFromFile":
            steps.append(picture_step(pipeline))
        elif step.type == "LoadAnnotations":
            steps.append({"type": "LoadAnnotations", "with_bbox": True, "with_mask": False})
        else:
            steps.append(dict(step))
    return steps


def make_optimizer(options: MmdetDetector, network: Network, ctx: Context) -> OptimWrapper:
    """The config's optimizer with the learning rate for the batch size (Goyal et al. 2017: in proportion).

    What the config's hardware had, half precision among it, is not this one's.
    """
    config = network.config
    assert config is not None
    own: dict[str, Any] = config.optim_wrapper.to_dict()
    own["type"] = "OptimWrapper"
    own.pop("loss_scale", None)
    own["optimizer"]["lr"] *= _rate_factor(options, config)
    more = {name: own[name] for name in ("clip_grad", "accumulative_counts") if own.get(name) is not None}
    built = build_optim_wrapper(network.model, deepcopy(own))
    backbone: Any = network.model.backbone
    return wrapped(built.optimizer, options, ctx.device, backbone, **more)


def _rate_factor(options: MmdetDetector, config: Any) -> float:
    """What every rate of the config is multiplied by: to the rate asked for, or in proportion to the batch size."""
    if options.lr is not None:
        return float(options.lr / config.optim_wrapper.optimizer.lr)
    name = options.config_file.stem if options.config_file is not None else options.config
    return options.batch_size / batch_size_of(config, name)


def config_factor(config: Any, epoch: int, epochs: int) -> float:
    """The falling part of the config's schedule; milestones move in proportion to the number of epochs.

    Args:
        config: as it was read.
        epoch: from 1.
        epochs: how many there are.
    """
    before = (config.get("train_cfg") or {}).get("max_epochs") or 12
    factor = 1.0
    for one in (one.to_dict() for one in config.get("param_scheduler", [])):
        if one["type"] == "MultiStepLR":
            marks = one["milestones"]
            of = before if one.get("by_epoch", True) else max(one.get("end", 0), *marks)
            places = {min(max(round(mark / of * epochs), 1), epochs) for mark in marks}
            factor *= one.get("gamma", 0.1) ** sum(epoch > place for place in places)
        elif one["type"] == "CosineAnnealingLR":
            least = one.get("eta_min", 0.0) / config.optim_wrapper.optimizer.lr
            factor *= least + (1 - least) * (1 + math.cos(math.pi * (epoch - 1) / epochs)) / 2
    return factor


class Detection(Task):
    """Trains a detector of mmdet."""

    def __init__(
        self, options: MmdetDetector, network: Network, pictures: Pictures, mixed: Any, order: Order, ctx: Context
    ) -> None:
        super().__init__(options, network, network.model, order, ctx)
        self._network, self._pictures, self._mixed = network, pictures, mixed
        self._schedule = options.schedule
        self._boxes = 0

    def begin(self, epoch: int) -> None:
        super().begin(epoch)
        self._pictures.epoch, self._boxes = epoch, 0
        _forget(self._network.model, self._mixed)

    def factor(self, epoch: int, step: int, steps: int) -> float:
        factor = rate_factor(self.options, epoch, step, steps)
        if self._schedule == "config":
            factor *= config_factor(self._network.config, epoch, self.options.epochs)
        return factor

    def see(self, batch: Mapping[str, Any]) -> None:
        self._boxes += sum(len(sample.gt_instances) for sample in batch["data_samples"])

    def check(self, epoch: int) -> None:
        if not self._boxes:
            raise PluginError(
                f"in epoch {epoch} no box was left in any picture after the config's augmentation",
                where=WHERE,
                hint="Is image_scale too small for it?",
            )


def _forget(model: nn.Module, dataset: Any) -> None:
    """Drop what parts of mmdet remember from one step to the next: each epoch starts alike, after an interruption too.

    That is the size that whole batches have for a while (YOLOX), and the pictures that a mosaic is made of (RTMDet).
    """
    for module in model.modules():
        if hasattr(module, "_input_size"):
            module._input_size = None
    while dataset is not None:
        pipeline = getattr(dataset, "pipeline", ())
        for transform in getattr(pipeline, "transforms", pipeline):
            if hasattr(transform, "results_cache"):
                transform.results_cache = []
        dataset = getattr(dataset, "dataset", None)
