"""The attackers and their options."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from fgic_core import Attacker, Epsilon

if TYPE_CHECKING:
    import torch
    from torch import nn


class FgsmAttacker(Attacker):
    """Fast gradient sign method: one step of size eps up the cross-entropy (Goodfellow et al. 2015).

    With `norm: L2` the step goes along the gradient itself (the fast gradient method).
    """

    def perturb(
        self, network: nn.Module, images: torch.Tensor, labels: torch.Tensor, eps: float, generator: torch.Generator
    ) -> torch.Tensor:
        """See `Attacker.perturb`; uses no randomness."""
        from fgic_attack_pgd._descent import ascend, gradient

        images = images.detach().clone()
        return ascend(images, images, gradient(network, images, labels, "ce"), eps, eps, self.norm)


class PgdAttacker(Attacker):
    """Projected gradient descent from a random start in the ball (Madry et al. 2018)."""

    steps: int = Field(20, ge=1, description="Gradient steps from each start.")
    alpha: Epsilon | None = Field(
        None, description="Size of one step, for images in [0, 1], in `norm`; by default 2.5 * eps / steps."
    )
    random_start: bool = Field(True, description="Start at a random place in the ball instead of the picture itself.")
    restarts: int = Field(1, ge=1, description="How many starts; the one that fools, or comes closest to it, is kept.")
    loss: Literal["ce", "margin"] = Field(
        "ce",
        description="What is maximised: cross-entropy, or the margin of the best wrong logit over the right one, which "
        "does not vanish where the network is very sure.",
    )

    def perturb(
        self, network: nn.Module, images: torch.Tensor, labels: torch.Tensor, eps: float, generator: torch.Generator
    ) -> torch.Tensor:
        """See `Attacker.perturb`; randomness is drawn image by image, so that batching does not matter."""
        from fgic_attack_pgd._descent import ascend, gradient, random_starts, score

        images = images.detach().clone()
        alpha = 2.5 * eps / self.steps if self.alpha is None else self.alpha
        starts = random_starts(images, self.restarts, eps, self.norm, generator) if self.random_start else [images]
        best, best_score = images, None
        for start in starts:
            current = start
            for _ in range(self.steps):
                current = ascend(current, images, gradient(network, current, labels, self.loss), alpha, eps, self.norm)
            if len(starts) == 1:
                return current
            reached = score(network, current, labels)
            if best_score is None:
                best, best_score = current, reached
            else:
                better = reached > best_score
                best = best.where(~better[:, None, None, None], current)
                best_score = best_score.where(~better, reached)
        return best
