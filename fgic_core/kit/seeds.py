"""First weights that the step's seed alone decides."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fgic_core.kinds.context import Context


@contextmanager
def seeded(ctx: Context, *names: str) -> Iterator[None]:
    """Torch's global generator, seeded for what is drawn inside, and left as it was: ``with seeded(ctx): …``.

    Args:
        ctx: of the step.
        names: what is drawn, where there are several networks.
    """
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(int(ctx.rng("init", *names).integers(2**62)))
        yield
