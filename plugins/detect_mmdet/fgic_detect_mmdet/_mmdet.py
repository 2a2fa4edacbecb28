"""MMDetection, imported with its operators in place, its scope entered and left, and its words kept to itself."""

from __future__ import annotations

import warnings
from functools import lru_cache

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
