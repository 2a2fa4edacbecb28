"""The context of a running step: what a component sees of it, and what its driver records through it."""

from __future__ import annotations

import hashlib
import json
import math
import os
import random
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fgic_core.data.artifact import Metric, OnSplit, Point
from fgic_core.data.digest import digest_file, digest_of
from fgic_core.data.quantities import QUANTITIES
from fgic_core.data.streams import stream_of
from fgic_core.data.tree import load_tree, save_tree
from fgic_core.errors import PluginError, nearest
from fgic_core.kinds.context import Context, Progress, Tree
from fgic_core.steps.snapshots import Snapshots

if TYPE_CHECKING:
    import numpy as np
    import torch

    from fgic_core.data.dataset import Dataset

#: The numbers of one evaluation by split (``val``; empty for what a generator makes), then by quantity.
Scores = Mapping[OnSplit, Mapping[str, float]]
#: A driver's way to measure what a component fits in the middle of its training: that and the epoch.
Ruler = Callable[[Any, int], Scores]


class Listener:
    """Where a step's events go; does nothing itself. The executor's listener calls the hooks."""

    def progress(self, description: str, done: int, total: int | None, unit: str) -> None:
        """Work advanced."""

    def metric(self, metric: Metric) -> None:
        """A number was measured."""

    def point(self, point: Point) -> None:
        """A curve has a new point."""

    def warning(self, message: str) -> None:
        """Something bears on the numbers."""


class _Bar:
    def __init__(self, listener: Listener, description: str, total: int | None, unit: str) -> None:
        self._listener, self._what, self._total, self._unit = listener, description, total, unit
        self._done = 0
        listener.progress(description, 0, total, unit)

    def advance(self, n: int = 1) -> None:
        self._done += n
        self._listener.progress(self._what, self._done, self._total, self._unit)


class _TrainingListener(Listener):
    """Shows the progress of one of several trainings under its name."""

    def __init__(self, whole: StepContext, name: str) -> None:
        self._whole, self._name = whole, name

    def progress(self, description: str, done: int, total: int | None, unit: str) -> None:
        self._whole.listener.progress(f"{self._name}: {description}", done, total, unit)

    def warning(self, message: str) -> None:
        self._whole.warn(message)


class StepContext(Context):
    """The context of one running step.

    Args:
        folder: an empty folder whose content becomes the artifact.
        uses: the step's component, such as ``classifier/timm``.
        scratch: a folder of this step that outlives a crash, for checkpoints; None keeps none.
        key: the digest of what decides the step's output.
        seed: the step's seed; streams: of streams whose seed is another one (`fgic_core.data.streams`), that.
        device: torch's name of the device.
        devices: how many of them.
        rank: which of the processes that run this step together; only the first, 0, writes checkpoints.
        workers: data loader processes.
        listener: where events go.
        lesson: the name of the training, where it is one of several of a step (`fgic_core.steps.lesson`).
        inputs: what the step is given, by port.

    Attributes:
        metrics, curves, warnings, left_out: what was recorded so far.
        last_epoch: of the training that `epochs` counts; None before it begins.
    """

    def __init__(
        self,
        folder: Path,
        *,
        uses: str = "",
        scratch: Path | None = None,
        key: str = "",
        seed: int = 0,
        streams: Mapping[str, int] | None = None,
        device: str = "cpu",
        devices: int = 1,
        rank: int = 0,
        workers: int = 0,
        listener: Listener | None = None,
        lesson: str = "",
        inputs: Mapping[str, Any] | None = None,
    ) -> None:
        self.folder = folder
        self.uses = uses
        self.key = key
        self.seed = seed
        self.streams: Mapping[str, int] = streams or {}
        self.device = device
        self.devices = devices
        self.rank = rank
        self.workers = workers
        self.metrics: list[Metric] = []
        self.curves: list[Point] = []
        self.warnings: list[str] = []
        self.left_out: list[tuple[str, str]] = []
        self._scratch = scratch
        self.listener = listener or Listener()
        self.inputs: Mapping[str, Any] = inputs if inputs is not None else {}
        self._ruler: Ruler | None = None
        self._keeps_snapshots = False
        self._is_one_of_several = bool(lesson)
        self._resumed = 0
        self.last_epoch: int | None = None
        if (state := self._state()) is not None:
            self._resumed = state["epoch"]
            self.curves = [Point(**point) for point in state["curves"]]
            self.warnings = list(state.get("warnings", ()))

    def _state(self) -> dict[str, Any] | None:
        """What the last checkpoint says; one that was damaged is said to be, and goes."""
        file = self._state_file
        if file is None or not file.exists():
            return None
        try:
            state: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
            folder = file.parent / state["folder"]
            if state["digests"] != _digests(folder):
                raise ValueError
        except (OSError, ValueError, KeyError, TypeError):
            if not self.rank:
                self.warn("The checkpoint of a training that was interrupted is damaged: the training starts anew.")
                file.unlink(missing_ok=True)
            return None
        return state

    # What a component sees.

    def rng(self, *names: str | int) -> np.random.Generator:
        import numpy as np

        return np.random.default_rng(self._number(names))

    def generator(self, *names: str | int) -> torch.Generator:
        import torch

        return torch.Generator().manual_seed(self._number(names))

    def _number(self, names: tuple[str | int, ...]) -> int:
        return _drawn(self.streams.get(stream_of(names), self.seed), names)

    @contextmanager
    def progress(self, description: str, total: int | None = None, unit: str = "images") -> Iterator[Progress]:
        yield _Bar(self.listener, description, total, unit)

    def log(self, epoch: int, **values: float) -> None:
        for name, value in values.items():
            self.add_point(Point(epoch=epoch, split="train", name=name, value=self._logged(epoch, name, value)))

    def _logged(self, epoch: int, name: str, value: Any) -> float:
        """A plugin's number as a float; what is none would make the step's record unreadable."""
        number = _number(value)
        if number is None:
            shape = f" of shape {tuple(value.shape)}" if hasattr(value, "shape") else ""
            raise PluginError(
                f"what it logged as {name} in epoch {epoch} is no number ({type(value).__name__}{shape})",
                where=self.uses or None,
                hint="It is one number: a float, or a tensor or array with a single value.",
            )
        if not math.isfinite(number):
            diverged = "loss" in name.lower()
            raise PluginError(
                f"logged {name} {number} in epoch {epoch}" + (": the training diverged" if diverged else ""),
                where=self.uses or None,
                hint="Lower its learning rate, or clip its gradients."
                if diverged
                else "Leave out what cannot be computed. If the training diverged, lower its learning rate.",
            )
        return number

    def evaluate(self, fitted: object, epoch: int) -> Mapping[str, float]:
        if self._ruler is None:
            return {}
        scores: dict[OnSplit, dict[str, float]] = {}
        for split, values in self._ruler(fitted, epoch).items():
            scores[split] = {name: float(value) for name, value in values.items() if math.isfinite(value)}
            for name, value in scores[split].items():
                self.add_point(Point(epoch=epoch, split=split, name=name, value=value))
            if lost := [name for name in values if name not in scores[split]]:
                of = f" of {split}" if split else ""
                self.warn(f"In epoch {epoch} {' and '.join(lost)}{of} could not be computed: not finite.")
        network: Any = getattr(fitted, "network", None)
        if self._keeps_snapshots and not self.rank and _is_module(network):
            self.snapshots.keep(network, epoch)
        return scores.get("val", scores.get("", {}))

    def epochs(self, count: int) -> Iterator[int]:
        self.last_epoch = count
        for epoch in range(self._resumed + 1, count + 1):
            self.seed_everything("epoch", epoch)
            yield epoch

    def checkpoint(self, epoch: int, state: Tree) -> None:
        if self._scratch is None or self.rank:
            return
        self._scratch.mkdir(parents=True, exist_ok=True)
        fresh = self._scratch / f"checkpoint-{epoch}"
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir()
        save_tree(fresh, state)
        for file in fresh.iterdir():
            with file.open("rb") as handle:
                os.fsync(handle.fileno())
        record = {
            "epoch": epoch,
            "folder": fresh.name,
            "curves": [point.model_dump() for point in self.curves],
            "warnings": self.warnings,
            "digests": _digests(fresh),
        }
        beside = self._scratch / "checkpoint.json.new"
        beside.write_text(json.dumps(record, allow_nan=False), encoding="utf-8")
        beside.replace(self._scratch / "checkpoint.json")
        for old in self._scratch.glob("checkpoint-*"):
            if old != fresh:
                shutil.rmtree(old, ignore_errors=True)

    def resume(self) -> Tree | None:
        if self._state_file is None or not self._state_file.exists():
            return None
        record = json.loads(self._state_file.read_text(encoding="utf-8"))
        return load_tree(self._state_file.parent / record["folder"])

    def leave_out(self, path: str, reason: str) -> None:
        self.left_out.append((path, reason))

    def warn(self, message: str) -> None:
        if message not in self.warnings:
            self.warnings.append(message)
            self.listener.warning(message)

    # What a driver adds.

    @property
    def _state_file(self) -> Path | None:
        return self._scratch / "checkpoint.json" if self._scratch is not None else None

    def training(self, name: str) -> StepContext:
        """The context of a training that is one of several of this step, such as a fold.

        Its seed and its checkpoints are its own, its progress is shown under its name, and it keeps no snapshots. Its
        warnings are this step's; its metrics and curves are kept with it alone.
        """
        folder = self.folder / f".{name}"
        folder.mkdir()
        return StepContext(
            folder,
            uses=self.uses,
            scratch=self._scratch / name if self._scratch is not None else None,
            seed=self.seed_of(name),
            streams=self.streams_of(name),
            device=self.device,
            workers=self.workers,
            listener=_TrainingListener(self, name),
            lesson=name,
            inputs=self.inputs,
        )

    def seed_of(self, name: str) -> int:
        """The seed of a training that is one of several of this step."""
        return _drawn(self.seed, ("part", name))

    def streams_of(self, name: str) -> dict[str, int]:
        """The seeds of that training's streams, where they are others."""
        return {stream: _drawn(seed, ("part", name)) for stream, seed in self.streams.items()}

    def own_root(self, dataset: Dataset) -> str:
        """A name for the step's own folder, as root of files that it adds to a data set; by content alone.

        Another one where the data set has it already. In the header its place is ``Path()``, the data set's own folder.
        """
        # The key tells steps of equal options on different inputs apart: files are looked up by the root's name.
        for turn in range(len(dataset.header.roots) + 1):
            name = f"made-{digest_of([self.key, self.uses, self.seed, turn])[:16]}"
            if name not in dataset.header.roots:
                break
        return name

    @property
    def scratch(self) -> Path:
        """A folder of this step for what a crash should not take; in a step without one, a hidden one of its own."""
        return self._scratch if self._scratch is not None else self.folder / ".scratch"

    @property
    def resumed(self) -> int:
        """The epoch that the training goes on after; 0 for a first start."""
        return self._resumed

    @property
    def snapshots(self) -> Snapshots:
        """What `evaluate` keeps of the network, beside the checkpoints; without a scratch folder in the artifact."""
        return Snapshots((self._scratch or self.folder) / "snapshots")

    def measure_by(self, ruler: Ruler, *, snapshots: bool = True) -> None:
        """From now on `evaluate` asks this ruler.

        Args:
            ruler: is given what `evaluate` is.
            snapshots: keep the weights of ``fitted.network`` at each evaluation, to measure test by afterwards: see
                `snapshots`. A training that is one of several (`training`) keeps none.
        """
        self._ruler, self._keeps_snapshots = ruler, snapshots and not self._is_one_of_several

    def metric(self, name: str, value: float | None, **about: Any) -> None:
        """Record a measured number; keywords are the fields of `Metric`.

        One that came out as NaN or infinite is absent, and its note says so.

        Raises:
            PluginError: the quantity has no row in `fgic_core.data.quantities`, which says what a reader needs to know.
        """
        if name not in QUANTITIES:
            close = nearest(name, list(QUANTITIES))
            raise PluginError(
                f"{name} is no quantity that is known, so that nobody could read its number",
                hint=(f"Did you mean {' or '.join(close)}? " if close else "")
                + "Otherwise add it to the `quantities` of your fgic_core.Kind: a label, a unit, which way is better.",
            )
        if value is not None and not math.isfinite(value):
            why = "there is nothing to measure it on" if about.get("n") == 0 else f"it came out as {value}"
            note = "; ".join(filter(None, (f"could not be computed: {why}", about.get("note"))))
            value, about = None, {**about, "low": None, "high": None, "note": note, "verdict": ""}
        for end in ("low", "high"):
            if about.get(end) is not None and not math.isfinite(about[end]):
                about[end] = None
        metric = Metric(name=name, value=value, **about)
        self.metrics.append(metric)
        self.listener.metric(metric)

    def add_point(self, point: Point) -> None:
        """Add a point to a curve."""
        self.curves.append(point)
        self.listener.point(point)

    def seed_everything(self, *names: str | int) -> None:
        """Seed the global generators of Python, NumPy and (where it is imported) torch; the core's right alone."""
        import numpy as np

        # Of the processes that train together each draws other numbers: one dropout mask for all would be noise shared.
        number = self._number(("global", *names, *(("rank", self.rank) if self.rank else ())))
        random.seed(number)
        np.random.seed(number % 2**32)
        if "torch" in sys.modules:
            sys.modules["torch"].manual_seed(number)


class WatchedContext(StepContext):
    """A context that takes note whether its seed is read.

    Attributes:
        drew: whether it was.
    """

    drew = False

    if not TYPE_CHECKING:  # a type checker would take every name for an attribute

        def __getattribute__(self, name: str) -> Any:
            if name in ("seed", "streams"):
                self.drew = True
            return super().__getattribute__(name)


def _drawn(seed: int, names: tuple[str | int, ...]) -> int:
    """A number that a seed and names decide."""
    digest = hashlib.blake2b(json.dumps([seed, *names]).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def _digests(folder: Path) -> dict[str, str]:
    """The digests of the files in a folder, by name."""
    return {file.name: digest_file(file) for file in sorted(folder.iterdir())}


def _is_module(value: object) -> bool:
    """Whether it is a torch.nn.Module; where torch was never imported there is none."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.nn.Module)


def _number(value: Any) -> float | None:
    """A number, or what holds a single one, as a float; None for anything else, and for what is masked out."""
    import numpy as np

    try:
        if isinstance(value, np.ma.MaskedArray) and np.any(value.mask):  # its item() is what lies under the mask
            return None
        value = value.item() if hasattr(value, "item") else value
        return float(value) if isinstance(value, Real) else None
    except (TypeError, ValueError, RuntimeError, OverflowError):  # torch and NumPy refuse several values in their ways
        return None
