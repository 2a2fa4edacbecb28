"""The one epoch loop around MMEngine's Runner: resume, best epoch, early stopping, rates, progress, log, checkpoint."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from tempfile import TemporaryDirectory
from typing import Any, Literal

import torch
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.runner import EpochBasedTrainLoop
from mmengine.visualization import Visualizer
from torch import nn
from torch.utils.data import DataLoader

from fgic_core import Context, PluginError
from fgic_core.kit import BestEpoch, TrainingOptions, rate_factor
from fgic_openmmlab.batches import Order
from fgic_openmmlab.runner import QuietRunner

_HOOKS = ("logger", "checkpoint", "timer", "sampler_seed", "param_scheduler")


class Task:
    """What is trained, and what it does around an epoch.

    Args:
        options: of the training.
        fitted: what `fit` will return, which is measured after each epoch.
        kept: whose weights of the best epoch are kept.
        order: of the rows.
        ctx: of the step.

    Attributes:
        score, better: the quantity that an epoch is chosen by, and which is: the largest or the smallest.
        measured_first: measure before the first epoch too, as a generator is.
    """

    score: str = "mAP"
    better: Literal["max", "min"] = "max"
    measured_first: bool = False

    def __init__(self, options: TrainingOptions, fitted: object, kept: nn.Module, order: Order, ctx: Context) -> None:
        self.options, self.fitted, self.kept, self.order, self.ctx = options, fitted, kept, order, ctx

    def begin(self, epoch: int) -> None:
        """An epoch begins."""
        self.order.epoch = epoch

    def factor(self, epoch: int, step: int, steps: int) -> float:
        """What every first learning rate is multiplied by; see `fgic_core.kit.rate_factor`."""
        return rate_factor(self.options, epoch, step, steps)

    def losses(self, outputs: Mapping[str, Any]) -> Mapping[str, torch.Tensor]:
        """Of what a step gave, the numbers that are logged, by the names that they are logged by."""
        return {name: value for name, value in outputs.items() if name.startswith("loss") and torch.is_tensor(value)}

    def see(self, batch: Mapping[str, Any]) -> None:
        """A batch was trained on."""

    def check(self, epoch: int) -> None:
        """An epoch was trained; raises PluginError where it could not teach anything."""

    def advice(self, rates: Mapping[str, float]) -> str:
        """What to try where a loss is no longer finite, given the rates that are logged."""
        return f"Try a lower lr (it is {rates['lr']:g}), a warmup, or clip_norm: 10."

    def rates(self, wrappers: Mapping[str, OptimWrapper]) -> Mapping[str, float]:
        """The learning rates that are logged."""
        (only,) = wrappers.values()
        return {"lr": only.optimizer.param_groups[0]["lr"]}

    def settle(self, epoch: int) -> None:
        """Make what was trained ready to be measured."""

    def measured(self, epoch: int, losses: Mapping[str, float], scores: Mapping[str, float]) -> None:
        """An epoch was measured."""

    def state_dict(self) -> dict[str, Any]:
        """What of the task goes through a checkpoint."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take it back."""


def train(task: Task, library: str, name: str, model: nn.Module, loader: DataLoader[Any], optimizers: Any) -> None:
    """Train a model of a library in place, and leave the chosen epoch's weights in ``task.kept``.

    Args:
        task: what is trained.
        library: ``mmdet``, ``mmagic``, …
        name: that `scope` gave; the loop runs inside.
        model: with MMEngine's ``train_step``.
        loader: of `make_loader`.
        optimizers: what `wrapped` gave, or an `OptimWrapperDict` of such.

    Raises:
        PluginError: a loss is no longer finite.
    """
    with TemporaryDirectory(prefix=f"fgic-{library}-") as folder:
        runner = QuietRunner(
            device=task.ctx.device,
            model=model,
            work_dir=folder,
            train_dataloader=loader,
            train_cfg={"type": Epochs, "max_epochs": task.options.epochs},
            optim_wrapper=optimizers,
            default_scope=library,
            experiment_name=name,
            default_hooks=dict.fromkeys(_HOOKS),
            custom_hooks=[Steps(task)],
            visualizer=Visualizer.get_instance(name),  # built: libraries' own ones need packages
            log_level="CRITICAL",
        )
        runner.task = task
        runner.train()
    model.eval()
    for parameter in model.parameters():
        parameter.grad = None


class Epochs(EpochBasedTrainLoop):  # type: ignore[misc]
    """A loop over the epochs that the context says are still to do."""

    def run(self) -> nn.Module:
        task: Task = self.runner.task
        ctx, options = task.ctx, task.options
        best = BestEpoch(task.kept, task.score, options.keep, task.better)
        self.runner.call_hook("before_train")
        for group in self._groups():
            group["first"] = group["lr"]
        if state := ctx.resume():
            self._resume(state, best)
        elif task.measured_first:
            task.settle(0)
            ctx.evaluate(task.fitted, 0)
        for one in self._wrappers().values():  # it divides by how many gradients it adds up, once it knows how many
            one.initialize_count_status(self.runner.model, self._iter, self._max_iters)
        for epoch in ctx.epochs(self._max_epochs):
            if best.waited_for(options.early_stopping):
                break
            task.begin(epoch)
            # What is drawn outside of a picture (which ones a mosaic is made of) comes from the workers' seeds.
            self.dataloader.generator = ctx.generator("loader", epoch)
            self._epoch = epoch - 1
            self.run_epoch()
            self.runner.model.eval()
            task.settle(epoch)
            scores = ctx.evaluate(task.fitted, epoch)
            best.see(epoch, scores)
            task.measured(epoch, self.runner.losses, scores)
            ctx.checkpoint(epoch, self._state(epoch, best))
        best.restore()
        self.runner.call_hook("after_train")
        model: nn.Module = self.runner.model
        return model

    def run_iter(self, idx: int, data_batch: Any) -> None:
        factor = self.runner.task.factor(self._epoch + 1, self._iter, self._max_iters)
        for group in self._groups():
            group["lr"] = group["first"] * factor
        super().run_iter(idx, data_batch)

    def _wrappers(self) -> dict[str, OptimWrapper]:
        found = self.runner.optim_wrapper
        return dict(found.items()) if isinstance(found, OptimWrapperDict) else {"": found}

    def _groups(self) -> Iterator[dict[str, Any]]:
        for one in self._wrappers().values():
            yield from one.optimizer.param_groups

    def _state(self, epoch: int, best: BestEpoch) -> dict[str, Any]:
        return {
            "model": self.runner.model.state_dict(),
            "optimizers": {name: one.state_dict() for name, one in self._wrappers().items()},
            "step": self._iter,
            "best": best.state_dict(epoch),
            "task": self.runner.task.state_dict(),
        }

    def _resume(self, state: Mapping[str, Any], best: BestEpoch) -> None:
        self.runner.model.load_state_dict(state["model"])
        for name, one in self._wrappers().items():
            one.load_state_dict(state["optimizers"][name])
        self._iter = state["step"]
        best.load_state_dict(state["best"])
        self.runner.task.load_state_dict(state["task"])


class Steps(Hook):  # type: ignore[misc]
    """Shows each step's progress and gives the losses of each epoch as the train curve."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._sums: dict[str, torch.Tensor] = {}
        self._counts: dict[str, int] = {}
        self._bar: Any = None

    def before_train_epoch(self, runner: QuietRunner) -> None:
        self._sums, self._counts = {}, {}
        task = self._task
        self._bar = task.ctx.progress(f"epoch {runner.epoch + 1}/{task.options.epochs}", len(task.order))
        self._shown = self._bar.__enter__()

    def after_train_iter(
        self, runner: QuietRunner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        count = len(data_batch["data_samples"])
        self._task.see(data_batch)
        for name, value in self._task.losses(outputs or {}).items():
            # Kept on the device: reading them at each step would have the processor wait for it.
            self._sums[name] = self._sums.get(name, 0.0) + value.detach() * count
            self._counts[name] = self._counts.get(name, 0) + count
        self._shown.advance(count)

    def after_train_epoch(self, runner: QuietRunner) -> None:
        self._bar.__exit__(None, None, None)
        task, epoch = self._task, runner.epoch + 1
        task.check(epoch)
        found = runner.optim_wrapper
        rates = task.rates(dict(found.items()) if isinstance(found, OptimWrapperDict) else {"": found})
        values = {name: float(value) / self._counts[name] for name, value in self._sums.items()}
        wrong = [name for name, value in values.items() if not math.isfinite(value)]
        if wrong or not values:
            name = "loss" if "loss" in wrong or not wrong else wrong[0]
            what = f"the {name} of epoch {epoch} is not finite ({values.get(name)})"
            raise PluginError(what, hint=task.advice(rates))
        runner.losses = values
        task.ctx.log(epoch, **values, **rates)
