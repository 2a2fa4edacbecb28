"""The learning rate of each training step."""

from __future__ import annotations

import math

from fgic_core.kit.options import TrainingOptions

#: Where the schedule `step` falls without a step_size, as in the 1x schedule of 12 epochs.
_STEPS = (8 / 12, 11 / 12)


def rate_factor(options: TrainingOptions, epoch: int, step: int, steps: int) -> float:
    """What the learning rate is multiplied by: the schedule goes by the epoch, the warm-up by the step.

    Args:
        options: schedule, step_size, gamma, warmup and epochs count.
        epoch: from 1.
        step: training steps done so far, in all epochs.
        steps: of the whole training.
    """
    factor = 1.0
    if options.schedule == "step":
        if options.step_size is not None:
            falls = (epoch - 1) // options.step_size
        else:
            falls = sum(epoch > round(options.epochs * share) for share in _STEPS)
        factor = options.gamma**falls
    elif options.schedule == "cosine":
        factor = (1 + math.cos(math.pi * (epoch - 1) / options.epochs)) / 2
    warm = int(options.warmup * steps)
    return factor * min((step + 1) / (warm + 1), 1.0)
