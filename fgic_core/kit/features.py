"""Features of a frozen backbone, computed once for each picture and kept: what is trained is the head alone."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn import functional

from fgic_core.kit.best import evaluation

if TYPE_CHECKING:
    from PIL.Image import Image

    from fgic_core.data.input_spec import InputSpec

#: Bytes that the features of one training take at most; where they would take more none are kept.
MOST = 2**30
#: How far logits from kept features may be from the network's own, relative to the largest.
_TOLERANCE = 1e-4


class FrozenBackbone(nn.Module):
    """Base of a network whose head is one layer, and all before it can be frozen.

    Attributes:
        frozen: whether nothing but the head is trained.
        dropout: the share of features that is dropped before the head in training.
    """

    frozen: bool = False
    dropout: float = 0.0

    def head_layer(self) -> nn.Module | None:
        """The layer that makes logits of features; None where there is no single one."""
        raise NotImplementedError

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """What the head is given for inputs (n, 3, height, width), first axis n."""
        layer = self.head_layer()
        found: list[torch.Tensor] = []
        assert layer is not None
        with layer.register_forward_pre_hook(lambda _, given: found.append(given[0])):
            self(images)
        features: torch.Tensor = found[0]
        return features

    def logits(self, features: torch.Tensor) -> torch.Tensor:
        """Logits (n, classes) of features; with dropout where the head is in training mode."""
        layer = self.head_layer()
        assert layer is not None
        if self.dropout and layer.training:
            features = functional.dropout(features, self.dropout)
        found: torch.Tensor = layer(features)
        return found

    def splits(self, images: torch.Tensor, training_mode: Callable[[], None]) -> bool:
        """Whether features and head, one after the other, do what the network does: else nothing may be kept.

        Args:
            images: some inputs.
            training_mode: sets what is trained to training mode.
        """
        if not self.frozen or self.head_layer() is None:
            return False
        with torch.no_grad(), evaluation(self), torch.random.fork_rng(devices=[]):
            whole, features = self(images), self.features(images)
            if len(features) != len(images):
                return False
            own = self.logits(features)
            if own.shape != whole.shape or (own - whole).abs().max() > _TOLERANCE * whole.abs().max().clamp(min=1.0):
                return False
            training_mode()
            dropped = self.features(images)
            kept = features / (1 - self.dropout)
            return bool((((dropped == 0) & (self.dropout > 0)) | torch.isclose(dropped, kept, 1e-3, 1e-5)).all())

    def backbone_digest(self) -> str:
        """The digest of all weights but the head's."""
        layer = self.head_layer()
        head = {id(value) for value in layer.state_dict(keep_vars=True).values()} if layer is not None else set()
        digest = hashlib.blake2b(digest_size=16)
        for module in self.modules():
            for value in (*module._parameters.values(), *module._buffers.values()):
                if value is not None and id(value) not in head:
                    digest.update(value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
        return digest.hexdigest()


class FrozenHead(nn.Module):
    """The head of a `FrozenBackbone` alone, as a network of features."""

    def __init__(self, whole: FrozenBackbone) -> None:
        super().__init__()
        layer = whole.head_layer()
        assert layer is not None
        self.layer = layer
        self._whole = [whole]  # in a list: it is no part of this module

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return self._whole[0].logits(features)


class FeatureStore:
    """Features by picture, on the CPU, computed where they are missing.

    Args:
        network: whose backbone is frozen.
        device: torch's name of the one it is on.
    """

    def __init__(self, network: FrozenBackbone, device: str) -> None:
        self._network, self._device = network, device
        self._kept: dict[Hashable, torch.Tensor] = {}

    def __getitem__(self, name: Hashable) -> torch.Tensor:
        return self._kept[name]

    def knows(self, name: Hashable) -> bool:
        """Whether they were computed."""
        return name in self._kept

    def add(self, names: Sequence[Hashable], images: torch.Tensor) -> None:
        """Compute those of some inputs."""
        with torch.no_grad(), evaluation(self._network):
            found = self._network.features(images.to(self._device)).cpu()
        self._kept.update(zip(names, found.unbind(), strict=True))


class SameAgain:
    """Logits of the same pictures again and again, while a network learns: with a frozen backbone, its head's alone.

    What was computed is used as long as the weights of the backbone are the same to the bit.

    Args:
        most: bytes of features that are kept at most.
    """

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._backbone = ""
        self._features: list[torch.Tensor] = []

    def logits(
        self, network: nn.Module, spec: InputSpec, picture: Callable[[int], Image], count: int, **more: Any
    ) -> Iterator[torch.Tensor]:
        """Logits, batch by batch; the arguments are those of `fgic_core.kit.infer`."""
        from fgic_core.kit.inference import check_finite, infer

        layer = network.head_layer() if isinstance(network, FrozenBackbone) and network.frozen else None
        if layer is None:
            yield from (batch.logits for batch in infer(network, spec, picture, count, **more))
            return
        assert isinstance(network, FrozenBackbone)
        digest = network.backbone_digest()
        if digest == self._backbone:
            for features in self._features:
                with torch.no_grad(), evaluation(network):
                    logits = network.logits(features.to(more.get("device", "cpu"))).float()
                yield check_finite(logits, more.get("uses"))
            return
        self._backbone, self._features, room = "", [], self._most
        kept: list[torch.Tensor] = []
        given: list[torch.Tensor] = []
        with layer.register_forward_pre_hook(lambda _, inputs: given.append(inputs[0].detach())):
            for batch in infer(network, spec, picture, count, **more):
                if room >= 0 and _are_of(network, given, batch.logits):
                    kept.append(given[0].cpu())
                    room -= kept[-1].nbytes
                else:
                    room = -1
                given.clear()
                yield batch.logits
        if room >= 0:
            self._backbone, self._features = digest, kept


def _are_of(network: FrozenBackbone, given: list[torch.Tensor], logits: torch.Tensor) -> bool:
    """Whether what the head was given is all that these logits need."""
    if len(given) != 1 or len(given[0]) != len(logits):
        return False
    features = given[0]
    with torch.no_grad(), evaluation(network):
        own = network.logits(features)
    return own.shape == logits.shape and torch.allclose(own.float(), logits, _TOLERANCE, _TOLERANCE)
