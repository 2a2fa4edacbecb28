"""For plugins on OpenMMLab's libraries: MMEngine's Runner and registries without what they do to a whole process.

MMEngine is no dependency of the core: import this module where it is at hand.
"""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

from mmengine.logging import MessageHub, MMLogger
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from mmengine.visualization import Visualizer
from torch import nn

__all__ = ["QuietRunner", "scope"]


@contextmanager
def scope(library: str) -> Iterator[str]:
    """A library's registries as the default ones, under a name of its own, and no word of mmengine's.

    Args:
        library: ``mmdet``, ``mmagic``, …

    Yields the name. Objects that mmengine keeps by that name (scope, logger, message hub, visualiser) go at the end.
    """
    kept = (DefaultScope, MMLogger, MessageHub, Visualizer)
    before = {kind: set(kind._instance_dict) for kind in kept}
    name = f"fgic-{uuid4().hex}"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        DefaultScope.get_instance(name, scope_name=library)
        MMLogger.get_instance(name, logger_name="mmengine", log_level="CRITICAL")
        try:
            yield name
        finally:
            for kind in kept:
                for made in set(kind._instance_dict) - before[kind]:
                    _close(kind._instance_dict.pop(made))


def _close(one: object) -> None:
    if isinstance(one, logging.Logger):
        for handler in list(one.handlers):
            handler.close()
            one.removeHandler(handler)


class QuietRunner(Runner):  # type: ignore[misc]
    """MMEngine's Runner on the device that it is given, without a global seed, and without a word.

    Attributes:
        task: what its loop works for; for the plugin to set.
    """

    task: Any

    def __init__(self, device: str, **arguments: Any) -> None:
        self._device = device
        super().__init__(**arguments)

    def setup_env(self, env_cfg: Any) -> None:
        """Leave the process's threads, limits and start methods as they are."""
        self._timestamp = time.strftime("%Y%m%d_%H%M%S")
        self._rank, self._world_size = 0, 1

    def wrap_model(self, model_wrapper_cfg: Any, model: nn.Module) -> nn.Module:
        return model.to(self._device)

    def set_randomness(self, seed: Any = None, diff_rank_seed: bool = False, deterministic: bool = False) -> None:
        self._seed, self._deterministic = 0, False  # the context seeds each epoch

    def _init_model_weights(self) -> None:
        """The network has its first weights already."""

    def _log_env(self, env_cfg: Any) -> None:
        """Collecting it runs compilers and takes seconds."""

    def dump_config(self) -> None:
        """The artifact has it."""
