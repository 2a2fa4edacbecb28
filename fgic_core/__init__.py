"""fgic: fine-grained image classification from plugins, every step measured with the same ruler."""

from __future__ import annotations

import time
from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
#: When this process began to import components, in nanoseconds: code that changed since may not be what it has.
BEGAN = time.time_ns()

if TYPE_CHECKING:
    from fgic_core.data.artifact import Metric as Metric
    from fgic_core.data.boxes import choose_box as choose_box
    from fgic_core.data.coco import CocoFolder as CocoFolder
    from fgic_core.data.coco import write_coco as write_coco
    from fgic_core.data.dataset import SCHEMA as SCHEMA
    from fgic_core.data.dataset import Dataset as Dataset
    from fgic_core.data.dataset import to_sample as to_sample
    from fgic_core.data.files import regular_file as regular_file
    from fgic_core.data.formats import PICTURE_SUFFIXES as PICTURE_SUFFIXES
    from fgic_core.data.formats import is_picture as is_picture
    from fgic_core.data.formats import why_left_out as why_left_out
    from fgic_core.data.geometry import Box as Box
    from fgic_core.data.geometry import Size as Size
    from fgic_core.data.groups import Grouping as Grouping
    from fgic_core.data.header import Column as Column
    from fgic_core.data.images import Placement as Placement
    from fgic_core.data.images import center_crop as center_crop
    from fgic_core.data.images import decode as decode
    from fgic_core.data.images import letterbox as letterbox
    from fgic_core.data.images import squash as squash
    from fgic_core.data.images import to_image as to_image
    from fgic_core.data.images import to_tensor as to_tensor
    from fgic_core.data.input_spec import InputSpec as InputSpec
    from fgic_core.data.junk import is_junk as is_junk
    from fgic_core.data.outcomes import Outcomes as Outcomes
    from fgic_core.data.quantities import Quantity as Quantity
    from fgic_core.data.quantities import quantity as quantity
    from fgic_core.data.sample import ObjectBox as ObjectBox
    from fgic_core.data.sample import Part as Part
    from fgic_core.data.sample import Sample as Sample
    from fgic_core.data.sample import Split as Split
    from fgic_core.errors import DataError as DataError
    from fgic_core.errors import FgicError as FgicError
    from fgic_core.errors import PluginError as PluginError
    from fgic_core.errors import nearest as nearest
    from fgic_core.finished import Run as Run
    from fgic_core.finished import StudyRun as StudyRun
    from fgic_core.finished import load_model as load_model
    from fgic_core.hooks import hookimpl as hookimpl
    from fgic_core.kinds.attacker.contract import Attacker as Attacker
    from fgic_core.kinds.classifier.contract import Classifier as Classifier
    from fgic_core.kinds.classifier.contract import FittedClassifier as FittedClassifier
    from fgic_core.kinds.classifier.model import Model as Model
    from fgic_core.kinds.component import Component as Component
    from fgic_core.kinds.component import Epsilon as Epsilon
    from fgic_core.kinds.component import InputFile as InputFile
    from fgic_core.kinds.component import InputFolder as InputFolder
    from fgic_core.kinds.component import UseOnly as UseOnly
    from fgic_core.kinds.context import Context as Context
    from fgic_core.kinds.cropper.contract import Cropper as Cropper
    from fgic_core.kinds.dataset.contract import DatasetReader as DatasetReader
    from fgic_core.kinds.detector.contract import Detections as Detections
    from fgic_core.kinds.detector.contract import Detector as Detector
    from fgic_core.kinds.detector.contract import FittedDetector as FittedDetector
    from fgic_core.kinds.explainer.contract import Explainer as Explainer
    from fgic_core.kinds.explainer.contract import Maps as Maps
    from fgic_core.kinds.generator.contract import FittedGenerator as FittedGenerator
    from fgic_core.kinds.generator.contract import Generator as Generator
    from fgic_core.kinds.ports import Input as Input
    from fgic_core.kinds.table import ArtifactType as ArtifactType
    from fgic_core.kinds.table import Kind as Kind
    from fgic_core.kit.best import BestEpoch as BestEpoch
    from fgic_core.kit.best import evaluation as evaluation
    from fgic_core.kit.weights import Weights as Weights
    from fgic_core.kit.weights import check_weight_names as check_weight_names
    from fgic_core.kit.weights import check_weights as check_weights
    from fgic_core.kit.weights import class_order as class_order
    from fgic_core.kit.weights import load_weights as load_weights
    from fgic_core.kit.weights import read_weights as read_weights
    from fgic_core.kit.weights import save_weights as save_weights
    from fgic_core.nested import ComponentOption as ComponentOption
    from fgic_core.pipeline import Pipeline as Pipeline
    from fgic_core.registry import Registry as Registry
    from fgic_core.steps.context import StepContext as StepContext
    from fgic_core.study.compare import compare as compare

#: Where each public name lives. They are imported on first use, so that ``from fgic_core import Box`` stays cheap.
_HOME = {
    "fgic_core.data.artifact": ("Metric",),
    "fgic_core.data.boxes": ("choose_box",),
    "fgic_core.data.coco": ("CocoFolder", "write_coco"),
    "fgic_core.data.dataset": ("SCHEMA", "Dataset", "to_sample"),
    "fgic_core.data.files": ("regular_file",),
    "fgic_core.data.formats": ("PICTURE_SUFFIXES", "is_picture", "why_left_out"),
    "fgic_core.data.geometry": ("Box", "Size"),
    "fgic_core.data.groups": ("Grouping",),
    "fgic_core.data.header": ("Column",),
    "fgic_core.data.images": ("Placement", "center_crop", "decode", "letterbox", "squash", "to_image", "to_tensor"),
    "fgic_core.data.input_spec": ("InputSpec",),
    "fgic_core.data.junk": ("is_junk",),
    "fgic_core.data.outcomes": ("Outcomes",),
    "fgic_core.kinds.classifier.model": ("Model",),
    "fgic_core.data.quantities": ("Quantity", "quantity"),
    "fgic_core.data.sample": ("ObjectBox", "Part", "Sample", "Split"),
    "fgic_core.errors": ("DataError", "FgicError", "PluginError", "nearest"),
    "fgic_core.hooks": ("hookimpl",),
    "fgic_core.finished": ("Run", "StudyRun", "load_model"),
    "fgic_core.kinds.attacker.contract": ("Attacker",),
    "fgic_core.kinds.classifier.contract": (
        "Classifier",
        "FittedClassifier",
    ),
    "fgic_core.kinds.component": (
        "Component",
        "Epsilon",
        "InputFile",
        "InputFolder",
        "UseOnly",
    ),
    "fgic_core.kinds.context": ("Context",),
    "fgic_core.kinds.cropper.contract": ("Cropper",),
    "fgic_core.kinds.dataset.contract": ("DatasetReader",),
    "fgic_core.kinds.detector.contract": (
        "Detections",
        "Detector",
        "FittedDetector",
    ),
    "fgic_core.kinds.explainer.contract": (
        "Explainer",
        "Maps",
    ),
    "fgic_core.kinds.generator.contract": (
        "FittedGenerator",
        "Generator",
    ),
    "fgic_core.kinds.ports": ("Input",),
    "fgic_core.kinds.table": ("ArtifactType", "Kind"),
    "fgic_core.nested": ("ComponentOption",),
    "fgic_core.pipeline": ("Pipeline",),
    "fgic_core.registry": ("Registry",),
    "fgic_core.steps.context": ("StepContext",),
    "fgic_core.study.compare": ("compare",),
    "fgic_core.kit.best": ("BestEpoch", "evaluation"),
    "fgic_core.kit.weights": (
        "Weights",
        "check_weight_names",
        "check_weights",
        "class_order",
        "load_weights",
        "read_weights",
        "save_weights",
    ),
}
_MODULE = {name: module for module, names in _HOME.items() for name in names}

__all__ = [*sorted(_MODULE), "__version__"]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    if name not in _MODULE:
        raise AttributeError(f"module 'fgic_core' has no attribute {name!r}")
    value = getattr(import_module(_MODULE[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
