"""What holds for every component that trains by the kit's options."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from fgic_core.kit.options import TrainingOptions

if TYPE_CHECKING:
    import torch

    from fgic_core.kinds.component import Component
    from fgic_core.steps.context import Ruler, Scores


class TrainingChecks:
    """That keep, early_stopping, warmup, clip_norm and precision do what they say, in trainings of a few steps.

    A component without the kit's options has nothing to show.
    """

    #: Scores of the ruler for an epoch that is better than the next one, by split.
    _better: ClassVar[Scores]
    _worse: ClassVar[Scores]

    def _few(self, component: Any, folder: Path, name: str, ruler: Ruler) -> Any:
        """Train on a few pictures, and give what was fitted."""
        raise NotImplementedError

    def _weights(self, component: Any, folder: Path, name: str, **options: Any) -> dict[str, torch.Tensor]:
        short = {"epochs": 1, "batch_size": 2, "schedule": "none", "warmup": 0.0, "clip_norm": None, "keep": "last"}
        made = component.model_copy(update={**short, **options})
        return _copied(self._few(made, folder, name, lambda fitted, epoch: {}))

    def test_a_training_obeys_the_options_of_every_training(self, component: Component, tmp_path: Path) -> None:
        if not isinstance(component, TrainingOptions) or not component.epochs:
            return
        plain = self._weights(component, tmp_path, "plain")
        for name, value in (("warmup", 0.9), ("clip_norm", 1e-12), ("precision", "bf16-mixed")):
            changed = self._weights(component, tmp_path, name, **{name: value})
            assert not _same(plain, changed), f"{name} changes nothing"
            assert all(changed[one].dtype == plain[one].dtype for one in plain), f"{name} changes the weights' type"

    def test_the_best_epoch_is_kept_and_waiting_for_a_better_one_ends(
        self, component: Component, tmp_path: Path
    ) -> None:
        if not isinstance(component, TrainingOptions) or not component.epochs:
            return
        seen: dict[int, dict[str, torch.Tensor]] = {}

        def ruler(fitted: Any, epoch: int) -> Scores:
            seen[epoch] = _copied(fitted)
            return self._better if epoch == 1 else self._worse if epoch else {}

        for keep in ("best", "last"):
            options = {"epochs": 4, "early_stopping": 1, "keep": keep, "batch_size": 2}
            fitted = _copied(self._few(component.model_copy(update=options), tmp_path, keep, ruler))
            assert max(seen) == 2, f"it stops after epoch 2, which is no better than epoch 1, not after {max(seen)}"
            assert not _same(seen[1], seen[2]), "an epoch changes nothing"
            assert _same(fitted, seen[1 if keep == "best" else 2]), f"keep: {keep} keeps another epoch's weights"


def _copied(fitted: Any) -> dict[str, torch.Tensor]:
    return {name: value.detach().cpu().clone() for name, value in fitted.network.state_dict().items()}


def _same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(bool((value == other[name]).all()) for name, value in one.items())
