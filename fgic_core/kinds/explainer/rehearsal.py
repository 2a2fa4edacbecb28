"""Whether an explainer can work on a classifier, found out before hours of training."""

from __future__ import annotations

from fgic_core.errors import PluginError
from fgic_core.kinds.classifier.contract import Classifier
from fgic_core.kinds.explainer.contract import Explainer
from fgic_core.kinds.explainer.driver import explain_checked
from fgic_core.kit.best import evaluation
from fgic_core.steps.untouched import own_randomness, own_settings


def rehearse(classifier: Classifier, explainer: Explainer, classes: int, uses: str) -> PluginError | None:
    """What an explainer will refuse, by having it explain one picture with the network as it is before any training.

    The checks are those of the step itself, but for finite values, which the trained network may give. Both components
    are copies; global generators and settings are left as they are.

    Args:
        classifier: not trained; one that cannot be built without data (`Classifier.build`) is not looked at.
        explainer: with its options.
        classes: how many there are.
        uses: the explainer's name, for its errors.

    Returns:
        The explainer's error; None where it has none. Whatever else happens is left to the steps themselves.

    Raises:
        KeyboardInterrupt: the user stopped the run.
    """
    import torch

    with own_randomness(), own_settings():
        try:
            classifier, explainer = classifier.model_copy(deep=True), explainer.model_copy(deep=True)
            built = classifier.for_fit().build([f"class {number}" for number in range(classes)])
            if built is None:
                return None
            network, size = built.network, built.input.size
            images = torch.rand((1, 3, size.height, size.width))
            with evaluation(network), torch.no_grad():
                network(images)
        except KeyboardInterrupt:
            raise
        except BaseException:  # a model that cannot be built, or used, says so itself, as soon as its step begins
            return None
        try:
            with evaluation(network):
                target, generator = torch.zeros(1, dtype=torch.int64), torch.Generator().manual_seed(0)
                explain_checked(explainer, network, images, target, generator, uses, finite=False)
        except PluginError as error:
            return error
        except KeyboardInterrupt:
            raise
        except BaseException:  # (sys.exit() too) of a network without training this need not mean anything
            return None
    return None
