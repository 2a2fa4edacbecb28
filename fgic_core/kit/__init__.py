"""What plugins stand on: the options and the loop of every training, weight files, caches, batched inference.

Names are imported on first use: the options alone (`Trainable`, `option`, `NetworkClassifier`) need no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fgic_core.kit.augment import Changes as Changes
    from fgic_core.kit.augment import draw as draw
    from fgic_core.kit.batches import Items as Items
    from fgic_core.kit.best import BestEpoch as BestEpoch
    from fgic_core.kit.best import evaluation as evaluation
    from fgic_core.kit.classifier import NetworkClassifier as NetworkClassifier
    from fgic_core.kit.devices import check_precision as check_precision
    from fgic_core.kit.devices import in_precision as in_precision
    from fgic_core.kit.devices import make_fabric as make_fabric
    from fgic_core.kit.features import FrozenBackbone as FrozenBackbone
    from fgic_core.kit.generator import TrainedGenerator as TrainedGenerator
    from fgic_core.kit.inference import infer as infer
    from fgic_core.kit.options import Augmented as Augmented
    from fgic_core.kit.options import Flipped as Flipped
    from fgic_core.kit.options import Trainable as Trainable
    from fgic_core.kit.options import TrainingOptions as TrainingOptions
    from fgic_core.kit.options import ends_in as ends_in
    from fgic_core.kit.options import option as option
    from fgic_core.kit.pictures import KeptPictures as KeptPictures
    from fgic_core.kit.schedule import rate_factor as rate_factor
    from fgic_core.kit.seeds import seeded as seeded
    from fgic_core.kit.training import Learner as Learner
    from fgic_core.kit.training import learn as learn
    from fgic_core.kit.weights import Weights as Weights
    from fgic_core.kit.weights import check_weight_names as check_weight_names
    from fgic_core.kit.weights import check_weights as check_weights
    from fgic_core.kit.weights import class_order as class_order
    from fgic_core.kit.weights import load_weights as load_weights
    from fgic_core.kit.weights import put_weights as put_weights
    from fgic_core.kit.weights import read_weights as read_weights
    from fgic_core.kit.weights import save_weights as save_weights

_HOME = {
    "fgic_core.kit.augment": ("Changes", "draw"),
    "fgic_core.kit.batches": ("Items",),
    "fgic_core.kit.best": ("BestEpoch", "evaluation"),
    "fgic_core.kit.classifier": ("NetworkClassifier",),
    "fgic_core.kit.devices": ("check_precision", "in_precision", "make_fabric"),
    "fgic_core.kit.features": ("FrozenBackbone",),
    "fgic_core.kit.generator": ("TrainedGenerator",),
    "fgic_core.kit.inference": ("infer",),
    "fgic_core.kit.options": ("Augmented", "Flipped", "Trainable", "TrainingOptions", "ends_in", "option"),
    "fgic_core.kit.pictures": ("KeptPictures",),
    "fgic_core.kit.schedule": ("rate_factor",),
    "fgic_core.kit.seeds": ("seeded",),
    "fgic_core.kit.training": ("Learner", "learn"),
    "fgic_core.kit.weights": (
        "Weights",
        "check_weight_names",
        "check_weights",
        "class_order",
        "load_weights",
        "put_weights",
        "read_weights",
        "save_weights",
    ),
}
_MODULE = {name: module for module, names in _HOME.items() for name in names}

__all__ = [*sorted(_MODULE)]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    if name not in _MODULE:
        raise AttributeError(f"module 'fgic_core.kit' has no attribute {name!r}")
    value = getattr(import_module(_MODULE[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
