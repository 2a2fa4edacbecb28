"""MMDetection, imported with its operators in place, its scope entered and left, and its words kept to itself."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from uuid import uuid4

from fgic_core import PluginError

WHERE = "detector/mmdet"


@lru_cache(maxsize=1)
def import_mmdet() -> None:
    """Import mmdet and register all that it has.

    Raises:
        PluginError: a package is missing, or is of a version that mmdet refuses.
    """
    # They warn of torch's and their own old names, at every step. A filter set once: see `fgic_core.data.images`.
    warnings.filterwarnings("ignore", module=r"(mmdet|mmcv|mmengine)\.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from fgic_detect_mmdet import _mmcv_ext

            _mmcv_ext.install()
            from mmdet.utils import register_all_modules

            register_all_modules(init_default_scope=False)
    except (ImportError, AssertionError) as error:
        raise PluginError(
            f"mmdet cannot be imported: {error}",
            where=WHERE,
            hint="It needs mmdet 3.3.0, mmengine 0.10.7 and mmcv-lite 2.1.0: pip install --force-reinstall "
            "fgic-detect-mmdet",
        ) from error


@contextmanager
def scope() -> Iterator[str]:
    """mmdet's registries as the default ones, under a name of its own, and no word of mmengine's.

    Yields the name. Objects that mmengine keeps by that name (scope, logger, message hub, visualiser) go at the end.
    """
    from mmengine.logging import MessageHub, MMLogger
    from mmengine.registry import DefaultScope
    from mmengine.visualization import Visualizer

    kept = (DefaultScope, MMLogger, MessageHub, Visualizer)
    before = {kind: set(kind._instance_dict) for kind in kept}
    name = f"fgic-{uuid4().hex}"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        DefaultScope.get_instance(name, scope_name="mmdet")
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
