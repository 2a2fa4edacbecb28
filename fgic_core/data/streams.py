"""What a seed draws, told apart: streams of random numbers that a study varies one by one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

#: First weights; batches, augmentations, dropout, made pictures and all else; the validation part and folds that are
#: cut from train; the rows of train: those that are used of more, or drawn again with replacement.
Stream = Literal["init", "order", "split", "resample"]
STREAMS: tuple[Stream, ...] = ("init", "order", "split", "resample")

#: The stream of what is drawn under a name; under any other it is ``order``.
_NAMES: Mapping[str, Stream] = {
    "init": "init",
    "val": "split",
    "folds": "split",
    "fewer": "resample",
    "resample": "resample",
}


def stream_of(names: Sequence[str | int]) -> Stream:
    """The stream that ``ctx.rng(*names)`` draws from. The global generators draw weights before the first epoch."""
    if tuple(names[:2]) == ("global", "step"):
        return "init"
    return _NAMES.get(str(names[0]), "order") if names else "order"
