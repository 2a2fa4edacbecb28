"""Which made pictures go on: the filters of a generator's options."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fgic_core.errors import DataError
from fgic_core.kinds.generator.reference import Floats, Numbers, Pixels, Reference, hash_of
from fgic_core.metrics.distances import nearest

if TYPE_CHECKING:
    from fgic_core.kinds.classifier.model import Model
    from fgic_core.kinds.generator.contract import Generator
    from fgic_core.kinds.generator.features import Extractor

#: The options that drop pictures, in the order in which they are asked.
FILTERS = ("drop_copies", "min_confidence", "min_distance", "max_distance")


@dataclass
class FilterResult:
    """What is known of a batch of made pictures, (n,) each; None is what was not looked at.

    Attributes:
        refused: the option that drops each picture; empty for those that stay.
        hashes: perceptual hashes, None of flat pictures.
        copies: position of a real picture that looks the same, -1 for none.
        features: (n, d).
        distances: from the nearest real picture of the class, in that class's units.
        nearest: distance from the nearest real picture of any class, and its position.
        confidence: the classifier's, of the picture's own class.
    """

    refused: list[str]
    hashes: list[int | None]
    copies: Numbers
    features: Floats | None = None
    distances: Floats | None = None
    nearest: tuple[Any, Any] | None = None
    confidence: Floats | None = None


def check_classes(model: Model | None, classes: tuple[str, ...]) -> None:
    """Raises DataError where the classifier tells other classes apart than the data set has."""
    if model is not None and model.classes != classes:
        raise DataError(
            f"the classifier for min_confidence knows {len(model.classes)} classes, and they are not the "
            f"{len(classes)} of the data set in their order",
            hint="Name a classifier that was trained on this data set.",
        )


class Filters:
    """Looks at made pictures and says which go on.

    Args:
        component: its options.
        reference: the real train pictures.
        extractor: for distances.
        model: the classifier for `min_confidence`.
        classes: of the data set.

    Raises:
        DataError: the classifier tells other classes apart than the data set has.
    """

    def __init__(
        self,
        component: Generator,
        reference: Reference,
        extractor: Extractor | None,
        model: Model | None,
        classes: tuple[str, ...],
    ) -> None:
        self.component, self.reference, self.extractor, self.model = component, reference, extractor, model
        self.far = component.min_distance is not None or component.max_distance is not None
        check_classes(model, classes)

    @property
    def active(self) -> bool:
        """Whether any option drops pictures."""
        return any(getattr(self.component, name) not in (None, False) for name in FILTERS)

    def look(self, pictures: Pixels, labels: Numbers, measured: np.ndarray[Any, Any]) -> FilterResult:
        """Look at a batch.

        Args:
            pictures: (n, h, w, 3).
            labels: (n,).
            measured: (n,) which pictures' features are wanted whatever the options.
        """
        hashes = [hash_of(picture) for picture in pictures]
        seen = FilterResult([""] * len(pictures), hashes, self.reference.copied(hashes))
        if self.extractor is not None and (self.far or measured.any()):
            seen.features = self.extractor(pictures)
            seen.distances = self.reference.distances(seen.features, labels)
            assert self.reference.features is not None
            seen.nearest = nearest(seen.features, self.reference.features)
        if self.model is not None:
            seen.confidence = self._confidence(pictures, labels)
        for row in range(len(pictures)):
            seen.refused[row] = next((name for name in FILTERS if self._refuses(name, seen, row)), "")
        return seen

    def _refuses(self, name: str, seen: FilterResult, row: int) -> bool:
        bound = getattr(self.component, name)
        if bound is None or bound is False:
            return False
        if name == "drop_copies":
            return bool(seen.copies[row] >= 0)
        if name == "min_confidence":
            assert seen.confidence is not None
            return bool(seen.confidence[row] < bound)
        assert seen.distances is not None
        return bool(seen.distances[row] < bound if name == "min_distance" else seen.distances[row] > bound)

    def _confidence(self, pictures: Pixels, labels: Numbers) -> Floats:
        from PIL import Image

        assert self.model is not None
        found = self.model.predict([Image.fromarray(picture) for picture in pictures])
        return np.asarray(found[np.arange(len(labels)), labels], dtype=np.float32)
