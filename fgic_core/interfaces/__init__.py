"""The seven interfaces: what a component of each kind is and must do."""

from fgic_core.kinds.attacker.contract import Attacker
from fgic_core.kinds.classifier.contract import Classifier, FittedClassifier
from fgic_core.kinds.component import Component, Epsilon, InputFile, InputFolder, UseOnly
from fgic_core.kinds.context import Context
from fgic_core.kinds.cropper.contract import Cropper
from fgic_core.kinds.dataset.contract import DatasetReader
from fgic_core.kinds.detector.contract import Detections, Detector, FittedDetector
from fgic_core.kinds.explainer.contract import Explainer, Maps
from fgic_core.kinds.generator.contract import FittedGenerator, Generator
from fgic_core.kinds.ports import Input, Wiring

#: Every interface by its kind, in the order in which steps usually stand.
KINDS: dict[str, type[Component]] = {
    interface.kind: interface
    for interface in (DatasetReader, Detector, Cropper, Generator, Classifier, Explainer, Attacker)
}

__all__ = [
    "KINDS",
    "Attacker",
    "Classifier",
    "Component",
    "Context",
    "Cropper",
    "DatasetReader",
    "Detections",
    "Detector",
    "Epsilon",
    "Explainer",
    "FittedClassifier",
    "FittedDetector",
    "FittedGenerator",
    "Generator",
    "Input",
    "InputFile",
    "InputFolder",
    "Maps",
    "UseOnly",
    "Wiring",
]
