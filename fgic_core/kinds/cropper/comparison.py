"""Whether train and test crops show the same: how much of the picture they keep, and whose boxes they are cut to.

What is masked is compared as what is cut: it shows the same pixels.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from fgic_core.data.geometry import Box
from fgic_core.data.sample import CropSource, View

#: Kept areas differ clearly where their geometric means do by this factor and the ranks would by chance as rarely as
#: this (Mann and Whitney 1947). Between the official splits of Stanford Dogs and CUB-200-2011, and between annotated
#: boxes and those of YOLOX-Nano there, the factor is at most 1.1; where heads are annotated and whole dogs found, 2.3.
FACTOR, BY_CHANCE = 1.4, 0.01
#: Found boxes are not the annotated ones where they overlap these by less on average, in as many pictures at least.
#: YOLOX-Nano's do by 0.81 on Stanford Dogs and by 0.83 on CUB-200-2011.
OVERLAP, ENOUGH = 0.5, 5

_WORDS: dict[CropSource, str] = {"annotated": "annotated", "predicted": "predicted", "crossfit": "cross-fitted"}
#: What pictures become in a view, and what is done to one.
_MADE: dict[View, tuple[str, str]] = {"crop": ("crops", "cropped to"), "mask": ("masked pictures", "masked around")}


@dataclass
class Crops:
    """The crops of one split.

    Attributes:
        areas: the share of its picture that each crop keeps; pictures that are used whole are none.
        overlaps: IoU of the predicted with the best annotated box, of each picture that has both: which of several
            objects a detector is most confident of says nothing of what its boxes mean.
    """

    areas: list[float] = field(default_factory=list)
    overlaps: list[float] = field(default_factory=list)

    def add(self, area: float | None, predicted: Box | None, annotated: Iterable[Box]) -> None:
        """Take note of a picture.

        Args:
            area: the share that is kept; None: it is used whole.
            predicted: the box that cropping would use.
            annotated: every object.
        """
        if area is not None:
            self.areas.append(area)
        overlaps = [predicted.iou(box) for box in annotated] if predicted is not None else []
        if overlaps:
            self.overlaps.append(max(overlaps))


def difference(train: Crops, test: Crops, sources: Mapping[str, CropSource], view: View = "crop") -> str | None:
    """What a reader must know of train and test crops that clearly differ; None where they do not.

    Args:
        train, test: the crops of both splits.
        sources: the boxes that ``train`` and ``test`` are cropped to, if they are.
        view: what is shown of a picture.
    """
    if not train.areas or not test.areas:
        return None
    said = []
    made, how = _MADE[view]
    if _apart(train.areas, test.areas):
        shares = f"{np.mean(train.areas):.0%} of the picture, test {made} {np.mean(test.areas):.0%}"
        said.append(f"train {made} keep {shares} on average (n = {len(train.areas):,} and {len(test.areas):,})")
    whose = sources["train"], sources["test"]
    if whose.count("annotated") == 1 and "whole" not in whose:
        # The split that tells more: heads that are annotated in train alone do not show in test.
        known = [
            (float(np.mean(crops.overlaps)), split, len(crops.overlaps))
            for split, crops in (("test", test), ("train", train))
            if len(crops.overlaps) >= ENOUGH
        ]
        mean, split, n = min(known, default=(1.0, "", 0))
        if n and (said or mean < OVERLAP):
            said.append(f"predicted boxes overlap annotated ones by IoU {mean:.2f} on average ({split}, n = {n:,})")
    if not said:
        return None
    return (
        f"Train and test {made} do not show the same: {'; '.join(said)}. "
        f"Train pictures {_used(whose[0], 'boxes', how)}, test pictures {_also(*whose, how)}, so that a classifier is "
        "tested on other views than it learned from."
    )


def _used(source: CropSource, boxes: str, how: str) -> str:
    return "are used whole" if source == "whole" else f"are {how} {_WORDS[source]} {boxes}"


def _also(train: CropSource, test: CropSource, how: str) -> str:
    said = _used(test, "boxes" if train == "whole" else "ones", how)
    return said if "whole" in (train, test) else said.removeprefix(f"are {how.partition(' ')[0]} ")


def _apart(one: Sequence[float], other: Sequence[float]) -> bool:
    if abs(float(np.mean(np.log(one)) - np.mean(np.log(other)))) < np.log(FACTOR):
        return False
    from scipy.stats import mannwhitneyu  # takes seconds to import, and hardly any crops come this far

    return float(mannwhitneyu(one, other).pvalue) < BY_CHANCE
