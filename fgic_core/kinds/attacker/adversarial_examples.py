"""The few adversarial images that are kept to be looked at."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

MOST = 12


class Examples:
    """Keeps the images fooled at the smallest eps, over many classes, in bounded memory.

    An image is kept once, at the smallest eps that fools it. Among equals the first of its class goes before any
    class's second.
    """

    def __init__(self) -> None:
        self._kept: dict[int, tuple[tuple[float, int, int], dict[str, Any], torch.Tensor, torch.Tensor]] = {}
        self._seen: Counter[tuple[float, int]] = Counter()
        self._fooled: set[int] = set()

    def offer(self, row: int, about: dict[str, Any], clean: torch.Tensor, adversarial: torch.Tensor) -> None:
        """An image that was right and is fooled; for each image, smaller eps are offered before larger ones.

        Args:
            row: its place among the attacked images.
            about: its row of ``robustness.parquet``.
            clean: (3, h, w) in [0, 1].
            adversarial: the same.
        """
        if row in self._fooled:
            return
        self._fooled.add(row)
        kind = (about["eps"], about["label"])
        rank = (about["eps"], self._seen[kind], row)
        self._seen[kind] += 1
        self._kept[row] = (rank, about, clean.cpu().clone(), adversarial.cpu().clone())
        if len(self._kept) > MOST:
            del self._kept[max(self._kept, key=lambda key: self._kept[key][0])]

    def write(self, folder: Path) -> None:
        """Write ``examples/<row>_{clean,adversarial,perturbation}.png`` and ``examples/examples.json``."""
        from fgic_core.data.images import to_image

        folder = folder / "examples"
        folder.mkdir()
        listed = []
        for row, (_, about, clean, adversarial) in sorted(self._kept.items(), key=lambda item: item[1][0]):
            to_image(clean).save(folder / f"{row}_clean.png")
            to_image(adversarial).save(folder / f"{row}_adversarial.png")
            to_image(magnified(adversarial - clean)).save(folder / f"{row}_perturbation.png")
            words = ("id", "eps", "label", "clean", "adversarial", "confidence")
            listed.append({"row": row, **{word: about[word] for word in words}})
        (folder / "examples.json").write_text(json.dumps(listed, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def magnified(perturbation: torch.Tensor) -> torch.Tensor:
    """A perturbation (3, h, w) around grey, its largest value at the end of [0, 1]."""
    largest = float(perturbation.abs().max())
    return 0.5 + perturbation / (2 * largest) if largest > 0 else perturbation + 0.5
