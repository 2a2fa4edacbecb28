"""What the core hands to a component's methods: device, folder, randomness, progress, metrics, checkpoints."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sized
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    import numpy as np
    import torch

T = TypeVar("T")

#: Nested dicts (string keys) and lists of tensors, numbers, strings, booleans and None.
Tree = Any


class Progress(Protocol):
    """A running count that the terminal shows as a bar with rate and time left."""

    def advance(self, n: int = 1) -> None:
        """``n`` more units are done."""


class Context(ABC):
    """Everything a component needs from outside.

    A component never prints, picks a device, seeds a global generator or makes up a folder: it asks its context.

    Attributes:
        device: torch's name of the device to use, such as ``cpu`` or ``cuda:0``.
        devices: how many devices of that type to use. More than one only for a component that says
            ``several_devices``: its step then runs in that many processes at once, which torchrun has started, and
            each has a context with a device of its own.
        rank: which of these processes this is, from 0. All do the same on the same data, unless the component shares
            the work out; the artifact, the events and the checkpoints are those of rank 0.
        inputs: what the step is given, by port (`Component.inputs`): a `Dataset`, a `Model`, or a list of them.
        folder: the step's own folder; what is written below it becomes part of the artifact.
        seed: the step's seed.
        workers: how many processes a data loader should use; 0 is none.
    """

    device: str
    devices: int
    rank: int
    inputs: Mapping[str, Any]
    folder: Path
    seed: int
    workers: int

    @abstractmethod
    def rng(self, *names: str | int) -> np.random.Generator:
        """A NumPy generator that depends on the step's seed and on ``names`` alone.

        ``ctx.rng("augment", epoch, index)`` gives a sample the same random numbers whatever came before it.
        """

    @abstractmethod
    def generator(self, *names: str | int) -> torch.Generator:
        """The same for torch, on the CPU."""

    @abstractmethod
    def progress(
        self, description: str, total: int | None = None, unit: str = "images"
    ) -> AbstractContextManager[Progress]:
        """A progress bar for work of ``total`` units, as a context manager."""

    def track(
        self, items: Iterable[T], description: str, total: int | None = None, unit: str = "images"
    ) -> Iterator[T]:
        """The items, one by one, with a progress bar."""
        if total is None and isinstance(items, Sized):
            total = len(items)
        with self.progress(description, total, unit) as progress:
            for item in items:
                yield item
                progress.advance()

    @abstractmethod
    def log(self, epoch: int, **values: float) -> None:
        """Report the plugin's own running numbers of an epoch (``loss=…``, ``lr=…``); they become the train curve.

        Raises:
            PluginError: one is no number, or not finite, as of a training that diverged.
        """

    @abstractmethod
    def evaluate(self, fitted: object, epoch: int) -> Mapping[str, float]:
        """Have the core measure on the validation split what `fit` will return, as it is now.

        Where it has a ``network`` the core keeps that epoch's weights too, from which the report's test curve is
        measured when the training is over: neither the test split nor a number of it is here.

        Args:
            fitted: what `fit` will return, such as a `FittedClassifier`.
            epoch: after which it is as it is.

        Returns:
            The numbers on the validation split (``accuracy``, ``loss``, …), for early stopping and model choice,
            without those that could not be computed.
        """

    @abstractmethod
    def epochs(self, count: int) -> Iterator[int]:
        """The epochs still to do, counted from 1: all of them, or those after the last `checkpoint`.

        At the start of each, the global generators of Python, NumPy and torch are seeded from the step's seed and the
        epoch, so that a training that was interrupted goes on as if it had not been.
        """

    @abstractmethod
    def checkpoint(self, epoch: int, state: Tree) -> None:
        """Keep the state at the end of an epoch, replacing the one before it, whole or not at all.

        Args:
            epoch: the epoch that is finished.
            state: whatever `resume` must give back: nested dicts and lists of tensors and plain values.
        """

    @abstractmethod
    def resume(self) -> Tree | None:
        """The state that the last `checkpoint` of this step kept; None at a first start."""

    @abstractmethod
    def leave_out(self, path: str, reason: str) -> None:
        """Count a picture that a reader finds and cannot give; the core says how many, and which.

        Args:
            path: relative to the reader's `source()`.
            reason: why, and what it would take.
        """

    @abstractmethod
    def warn(self, message: str) -> None:
        """Tell the reader of the report something that bears on the numbers."""
