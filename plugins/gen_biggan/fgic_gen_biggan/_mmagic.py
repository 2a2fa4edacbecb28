"""MMagic's BigGAN, imported without MMagic's other editors and what they need."""

from __future__ import annotations

import sys
import warnings
from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from fgic_core import PluginError

WHERE = "generator/biggan"
#: Packages whose own ``__init__`` imports every editor of MMagic.
_PACKAGES = ("mmagic.models", "mmagic.models.archs", "mmagic.models.editors", "mmagic.models.losses")


class Parts(NamedTuple):
    """Classes of MMagic."""

    BigGAN: Any
    Generator: Any
    Discriminator: Any
    DataPreprocessor: Any
    ExponentialMovingAverage: Any
    DataSample: Any


@lru_cache(maxsize=1)
def import_mmagic() -> Parts:
    """MMagic's BigGAN-deep and what it is trained with.

    Raises:
        PluginError: a package is missing, or is of a version that MMagic refuses.
    """
    # They warn of torch's and their own old names. A filter set once: see `fgic_core.data.images`.
    warnings.filterwarnings("ignore", module=r"(mmagic|mmcv|mmengine)\.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _narrowly()
    except (ImportError, AssertionError) as error:
        raise PluginError(
            f"mmagic cannot be imported: {error}",
            where=WHERE,
            hint="It needs mmagic 1.2.0, mmengine 0.10.7 and mmcv-lite 2.1.0: pip install --force-reinstall "
            "fgic-gen-biggan",
        ) from error


def _narrowly() -> Parts:
    """Import with names alone in the place of the packages that are not imported yet, and take the names away again.

    What was imported stays, under its own name, and the whole of MMagic can be imported after it.
    """
    spec = find_spec("mmagic")
    if spec is None or not spec.submodule_search_locations:
        raise ImportError("there is no package mmagic")
    root = Path(spec.submodule_search_locations[0])
    import_module("mmagic")
    stood_in = [name for name in _PACKAGES if name not in sys.modules]
    for name in stood_in:
        module = ModuleType(name)
        module.__path__ = [str(root.joinpath(*name.split(".")[1:]))]
        sys.modules[name] = module
    try:
        # The registry imports ``mmagic.models`` when it is first asked: while the name stands for little.
        import_module("mmagic.registry").MODELS.import_from_location()
        return Parts(
            import_module("mmagic.models.editors.biggan.biggan").BigGAN,
            import_module("mmagic.models.editors.biggan.biggan_deep_generator").BigGANDeepGenerator,
            import_module("mmagic.models.editors.biggan.biggan_deep_discriminator").BigGANDeepDiscriminator,
            import_module("mmagic.models.data_preprocessors.data_preprocessor").DataPreprocessor,
            import_module("mmagic.models.base_models.average_model").ExponentialMovingAverage,
            import_module("mmagic.structures").DataSample,
        )
    finally:
        for name in stood_in:
            sys.modules.pop(name, None)
