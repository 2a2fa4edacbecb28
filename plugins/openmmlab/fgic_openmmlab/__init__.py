"""For plugins on OpenMMLab's libraries: MMEngine's Runner by fgic's rules, and the one epoch loop."""

from fgic_openmmlab.batches import Order, make_loader
from fgic_openmmlab.loop import Task, train
from fgic_openmmlab.optimizer import wrapped
from fgic_openmmlab.runner import QuietRunner, scope

__all__ = ["Order", "QuietRunner", "Task", "make_loader", "scope", "train", "wrapped"]
