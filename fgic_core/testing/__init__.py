"""The conformance kit: what a plugin's author runs to see that a component keeps its interface's contract.

::

    import pytest
    from fgic_core.testing import CropperSuite
    from fgic_crop_golden import GoldenCropper


    class TestGoldenCropper(CropperSuite):
        @pytest.fixture
        def component(self):
            return GoldenCropper(margin=0.1)

Every suite fails, rather than passing with nothing collected, where the fixture ``component`` is not given.
What a component takes beyond its kind (a teacher) the suite makes; the fixture ``inputs`` gives others.
It needs pytest; import it from tests alone.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from fgic_core.errors import PluginError
from fgic_core.kinds.table import CORE, KINDS, named
from fgic_core.testing.component import ComponentSuite
from fgic_core.testing.data import tiny_context, tiny_dataset
from fgic_core.testing.ports import tiny_inputs

if TYPE_CHECKING:
    from fgic_core.kinds.attacker.suite import AttackerSuite
    from fgic_core.kinds.classifier.suite import ClassifierSuite
    from fgic_core.kinds.cropper.suite import CropperSuite
    from fgic_core.kinds.dataset.suite import DatasetReaderSuite
    from fgic_core.kinds.detector.suite import DetectorSuite
    from fgic_core.kinds.explainer.suite import ExplainerSuite
    from fgic_core.kinds.generator.suite import GeneratorSuite

#: Where the suites of the core's kinds live: beside what they hold a component to. They stand on this package, and are
#: imported on use.
_HOME = {row.suite.partition(":")[2]: row.suite.partition(":")[0] for row in CORE}

__all__ = [
    "AttackerSuite",
    "ClassifierSuite",
    "ComponentSuite",
    "CropperSuite",
    "DatasetReaderSuite",
    "DetectorSuite",
    "ExplainerSuite",
    "GeneratorSuite",
    "tiny_context",
    "tiny_dataset",
    "tiny_inputs",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    said = f"module {__name__!r} has no attribute {name!r}"
    for kind in KINDS:
        try:
            suite = KINDS[kind].suite
        except PluginError as error:  # whose suite it may be; it stops no other kind
            said += f"; {error.what}"
            continue
        if suite.endswith(f":{name}"):
            return named(suite, f"the suite of the kind {kind}")
    raise AttributeError(said)
