"""The training: MMEngine's Runner with a loop that asks fgic's context for epochs, measures and checkpoints."""

from __future__ import annotations

import math
from collections.abc import Mapping
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import torch
from mmengine.hooks import Hook
from mmengine.runner import EpochBasedTrainLoop, Runner
from torch import nn

from fgic_core import BestEpoch, Context, Dataset, PluginError
from fgic_core.openmmlab import QuietRunner, scope
from fgic_detect_mmdet._config import batch_size_of, mixing, pipeline_of, train_dataset
from fgic_detect_mmdet._data import Order, Pictures, make_loader
from fgic_detect_mmdet._mmdet import WHERE
from fgic_detect_mmdet._network import picture_step

if TYPE_CHECKING:
    from fgic_detect_mmdet import MmdetDetector
    from fgic_detect_mmdet._network import Network

#: Of all steps, the share that may be warm-up at most.
_WARMUP_SHARE = 0.1


def train_network(options: MmdetDetector, network: Network, train: Dataset, ctx: Context) -> None:
    """Train the network in place, on the context's device, and leave the chosen epoch's weights in it.

    Raises:
        PluginError: the loss is no longer finite, or the config's training cannot be had.
    """
    assert network.config is not None
    if hooks := [hook.type for hook in network.config.get("custom_hooks") or ()]:
        ctx.warn(f"hooks of the config that are not run: {', '.join(hooks)}")
    with scope("mmdet") as name, TemporaryDirectory(prefix="fgic-mmdet-") as folder:
        pictures, wrapped = _dataset(options, network, train, ctx)
        order = Order(len(wrapped), ctx)
        loader = make_loader(wrapped, order, options.batch_size, ctx)
        steps = len(loader)
        runner = QuietRunner(
            device=ctx.device,
            model=network.model,
            work_dir=folder,
            train_dataloader=loader,
            train_cfg={"type": Epochs, "max_epochs": options.epochs},
            optim_wrapper=_optimizer(options, network),
            param_scheduler=_schedule(options, network, steps),
            default_scope="mmdet",
            experiment_name=name,
            default_hooks={"logger": None, "checkpoint": None, "timer": None, "sampler_seed": None},
            custom_hooks=[Steps(options, len(wrapped), ctx)],
            visualizer={"type": "Visualizer", "vis_backends": None, "name": name},
            log_level="CRITICAL",
        )
        runner.task = Task(options, network, ctx, pictures, order)
        runner.train()
    network.model.eval()
    for parameter in network.model.parameters():
        parameter.grad = None


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


def _optimizer(options: MmdetDetector, network: Network) -> dict[str, Any]:
    """The config's optimizer with the learning rate for the batch size (Goyal et al. 2017: in proportion)."""
    config = network.config
    assert config is not None
    wrapper: dict[str, Any] = config.optim_wrapper.to_dict()
    wrapper["type"] = "OptimWrapper"  # what the config's hardware had, half precision among it, is not this one's
    wrapper.pop("loss_scale", None)
    wrapper["optimizer"]["lr"] *= _rate_factor(options, config)
    if options.clip_norm is not None:
        wrapper["clip_grad"] = {"max_norm": options.clip_norm, "norm_type": 2}
    return wrapper


def _rate_factor(options: MmdetDetector, config: Any) -> float:
    """What every rate of the config is multiplied by: to the rate asked for, or in proportion to the batch size."""
    if options.lr is not None:
        return float(options.lr / config.optim_wrapper.optimizer.lr)
    name = options.config_file.stem if options.config_file is not None else options.config
    return options.batch_size / batch_size_of(config, name)


def _schedule(options: MmdetDetector, network: Network, steps: int) -> list[dict[str, Any]]:
    """Warm-up by step, then the config's schedule stretched to the epochs, a cosine, or nothing."""
    made: list[dict[str, Any]] = []
    warmup = min(options.warmup_iters, int(_WARMUP_SHARE * steps * options.epochs))
    if warmup:
        made.append({"type": "LinearLR", "start_factor": 0.001, "by_epoch": False, "begin": 0, "end": warmup})
    if options.schedule == "cosine":
        made.append({"type": "CosineAnnealingLR", "by_epoch": True, "T_max": options.epochs, "eta_min": 0.0})
    elif options.schedule == "config":
        made += _stretched(network.config, options.epochs, _rate_factor(options, network.config))
    return made


def _stretched(config: Any, epochs: int, factor: float) -> list[dict[str, Any]]:
    """The falling part of the config's schedule; milestones move in proportion to the number of epochs.

    Args:
        config: as it was read.
        epochs: how many there are.
        factor: what the learning rate was multiplied by, and so is the rate that a cosine ends at.
    """
    own = [one.to_dict() for one in config.get("param_scheduler", [])]
    before = (config.get("train_cfg") or {}).get("max_epochs") or 12
    made = []
    for one in own:
        if one["type"] == "MultiStepLR":
            marks = one["milestones"]
            of = before if one.get("by_epoch", True) else max(one.get("end", 0), *marks)
            places = sorted({min(max(round(mark / of * epochs), 1), epochs) for mark in marks})
            made.append({"type": "MultiStepLR", "by_epoch": True, "milestones": places, "gamma": one.get("gamma", 0.1)})
        elif one["type"] == "CosineAnnealingLR":
            made.append(
                {
                    "type": "CosineAnnealingLR",
                    "by_epoch": True,
                    "T_max": epochs,
                    "eta_min": one.get("eta_min", 0.0) * factor,
                }
            )
    return made


class Task:
    """What the loop trains, and how it goes on after an interruption."""

    def __init__(
        self, options: MmdetDetector, network: Network, ctx: Context, pictures: Pictures, order: Order
    ) -> None:
        self.options, self.network, self.ctx, self.pictures, self.order = options, network, ctx, pictures, order
        self.best = BestEpoch(network.model, "mAP", options.keep)


class Epochs(EpochBasedTrainLoop):
    """A loop over the epochs that the context says are still to do."""

    def run(self) -> nn.Module:
        task: Task = self.runner.task
        ctx, options = task.ctx, task.options
        self.runner.call_hook("before_train")
        if state := ctx.resume():
            self._resume(state)
        for epoch in ctx.epochs(self._max_epochs):
            if options.early_stopping is not None and task.best.waited >= options.early_stopping:
                break
            task.pictures.epoch = task.order.epoch = epoch
            # What transforms draw outside of a picture (which ones a mosaic is made of) comes from the workers' seeds.
            self.dataloader.generator = ctx.generator("loader", epoch)
            _forget(self.runner.model, self.dataloader.dataset)
            self._epoch = epoch - 1
            self.run_epoch()
            task.network.model.eval()
            task.best.see(epoch, ctx.evaluate(task.network, epoch))
            ctx.checkpoint(epoch, self._state(epoch))
        task.best.restore()
        self.runner.call_hook("after_train")
        return self.runner.model

    def _state(self, epoch: int) -> dict[str, Any]:
        return {
            "network": self.runner.model.state_dict(),
            "optimizer": self.runner.optim_wrapper.state_dict(),
            "schedules": [_plain_state(one.state_dict()) for one in self.runner.param_schedulers or ()],
            "step": self._iter,
            "best": self.runner.task.best.state_dict(epoch),
        }

    def _resume(self, state: Mapping[str, Any]) -> None:
        self.runner.model.load_state_dict(state["network"])
        self.runner.optim_wrapper.load_state_dict(state["optimizer"])
        for schedule, kept in zip(self.runner.param_schedulers or (), state["schedules"], strict=True):
            schedule.load_state_dict(kept)
        self._iter = state["step"]
        self.runner.optim_wrapper.initialize_count_status(self.runner.model, self._iter, self._max_iters)
        self.runner.task.best.load_state_dict(state["best"])


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


def _plain_state(state: Mapping[str, Any]) -> dict[str, Any]:
    """The numbers of a schedule's state: functions and the like are made anew."""
    plain = (bool, int, float, str, type(None), list, tuple, dict)
    return {name: value for name, value in state.items() if isinstance(value, plain)}


class Steps(Hook):
    """Shows each step's progress and gives the losses of each epoch as the train curve."""

    def __init__(self, options: MmdetDetector, pictures: int, ctx: Context) -> None:
        self._options, self._pictures, self._ctx = options, pictures, ctx
        self._sums: dict[str, torch.Tensor] = {}
        self._boxes = 0
        self._bar: Any = None

    def before_train_epoch(self, runner: Runner) -> None:
        self._sums, self._boxes = {}, 0
        self._bar = self._ctx.progress(f"epoch {runner.epoch + 1}/{self._options.epochs}", self._pictures)
        self._shown = self._bar.__enter__()

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        count = len(data_batch["inputs"])
        self._boxes += sum(len(sample.gt_instances) for sample in data_batch["data_samples"])
        for name, value in (outputs or {}).items():
            if torch.is_tensor(value) and name.startswith("loss"):
                # Kept on the device: reading them at each step would have the processor wait for it.
                self._sums[name] = self._sums.get(name, 0.0) + value.detach() * count
        self._shown.advance(count)

    def after_train_epoch(self, runner: Runner) -> None:
        self._bar.__exit__(None, None, None)
        epoch = runner.epoch + 1
        if not self._boxes:
            raise PluginError(
                f"in epoch {epoch} no box was left in any picture after the config's augmentation",
                where=WHERE,
                hint="Is image_scale too small for it?",
            )
        values = {name: float(value) / self._pictures for name, value in self._sums.items()}
        if not math.isfinite(values.get("loss", math.nan)):
            rate = runner.optim_wrapper.get_lr()["lr"][0]
            raise PluginError(
                f"the loss of epoch {epoch} is not finite ({values.get('loss')})",
                where=WHERE,
                hint=f"Try a lower lr (it is {rate:g}), more warmup_iters, or clip_norm: 10.",
            )
        self._ctx.log(epoch, **values, lr=runner.optim_wrapper.get_lr()["lr"][0])
