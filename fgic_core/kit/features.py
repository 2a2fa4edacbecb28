"""Features of a frozen backbone, computed once for each picture and kept: what is trained is the head alone."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn import functional

from fgic_core.kit.best import evaluation
from fgic_core.kit.shared import SHARED

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
        recipe: what tells networks apart that have the same weights: of one recipe and equal weights they give the
            same features. Where it is empty, no other training's features are used.
    """

    frozen: bool = False
    recipe: str = ""
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


def shared_by(network: FrozenBackbone, spec: InputSpec, device: str, precision: str = "32-true") -> Hashable | None:
    """What features of a network are shared by; None where they are not.

    On a processor one picture after the other takes no longer than a batch. Elsewhere it does.
    """
    if device != "cpu" or not network.recipe:
        return None
    whose = f"{type(network).__module__}.{type(network).__qualname__}", network.recipe, network.backbone_digest()
    return *whose, repr(spec), precision, torch.get_num_threads()


class FeatureStore:
    """Features by picture and its changes, on the CPU, computed where they are missing.

    Args:
        network: whose backbone is frozen.
        device: torch's name of the one it is on.
        shared: by what they are shared with other trainings; see `shared_by`.
        pictures: what tells rows apart; see `pictures_of`. Without it nothing is shared.
    """

    def __init__(
        self,
        network: FrozenBackbone,
        device: str,
        shared: Hashable | None = None,
        pictures: Sequence[Hashable] | None = None,
    ) -> None:
        self._network, self._device = network, device
        self._by, self._pictures = shared, pictures if shared is not None else None
        self._kept: dict[Hashable, torch.Tensor] = {}

    @property
    def shares(self) -> bool:
        """Whether other trainings use these features: each is then to be added by itself."""
        return self._pictures is not None

    def __getitem__(self, name: Hashable) -> torch.Tensor:
        return self._kept[name]

    def knows(self, name: tuple[int, Hashable]) -> bool:
        """Whether they were computed: of a row, with some changes."""
        if name not in self._kept and (found := SHARED.get(self._shared(name)) if self.shares else None) is not None:
            self._kept[name] = found
        return name in self._kept

    def add(self, names: Sequence[tuple[int, Hashable]], images: torch.Tensor) -> None:
        """Compute those of some inputs."""
        with torch.no_grad(), evaluation(self._network):
            found = self._network.features(images.to(self._device)).cpu()
        self._kept.update(zip(names, found.unbind(), strict=True))
        if self.shares:
            for name in names:
                SHARED.put(self._shared(name), self._kept[name])

    def _shared(self, name: tuple[int, Hashable]) -> Hashable:
        assert self._pictures is not None
        return self._by, self._pictures[name[0]], name[1]


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
        self,
        network: nn.Module,
        spec: InputSpec,
        picture: Callable[[int], Image],
        count: int,
        *,
        pictures: Sequence[Hashable] | None = None,
        **more: Any,
    ) -> Iterator[torch.Tensor]:
        """Logits, batch by batch.

        Args:
            network, spec, picture, count, more: see `fgic_core.kit.infer`.
            pictures: what tells the pictures apart, so that features which another training had computed are used.
        """
        from fgic_core.kit.inference import check_finite, infer

        layer = network.head_layer() if isinstance(network, FrozenBackbone) and network.frozen else None
        if layer is None:
            yield from (batch.logits for batch in infer(network, spec, picture, count, **more))
            return
        assert isinstance(network, FrozenBackbone)
        digest = network.backbone_digest()
        known: Iterable[torch.Tensor] | None = self._features if digest == self._backbone else None
        if known is None and pictures is not None and count:
            known = _shared(network, spec, picture, pictures, more)
        self._backbone, self._features, room = "", [], self._most
        kept: list[torch.Tensor] = []
        if known is not None:
            for features in known:
                if room >= 0:
                    kept.append(features)
                    room -= features.nbytes
                with torch.no_grad(), evaluation(network):
                    logits = network.logits(features.to(more.get("device", "cpu"))).float()
                yield check_finite(logits, more.get("uses"))
            if room >= 0:
                self._backbone, self._features = digest, kept
            return
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


def _shared(
    network: FrozenBackbone,
    spec: InputSpec,
    picture: Callable[[int], Image],
    pictures: Sequence[Hashable],
    more: Mapping[str, Any],
) -> Iterator[torch.Tensor] | None:
    """Features in batches, which other trainings may have computed; None where they are not shared, or not enough."""
    from fgic_core.kit.inference import check_finite, logits_of

    by = shared_by(network, spec, more.get("device", "cpu"))
    if by is None:
        return None
    uses, first = more.get("uses"), spec.prepare(picture(0))[None]
    with evaluation(network), torch.no_grad():
        whole = check_finite(logits_of(network, first, classes=more.get("classes"), uses=uses), uses)
        if not _are_of(network, [network.features(first)], whole):
            return None
    return _one_by_one(network, spec, picture, [(by, one) for one in pictures])


def _one_by_one(
    network: FrozenBackbone,
    spec: InputSpec,
    picture: Callable[[int], Image],
    names: Sequence[tuple[Hashable, Hashable]],
) -> Iterator[torch.Tensor]:
    """Features of pictures in batches, each picture's by itself, and only where they are not known."""
    from fgic_core.kit.augment import Changes
    from fgic_core.kit.inference import BATCH_SIZE

    unchanged = Changes()
    for start in range(0, len(names), BATCH_SIZE):
        found = []
        for row, (by, one) in enumerate(names[start : start + BATCH_SIZE], start):
            features = SHARED.get((by, one, unchanged))
            if features is None:
                with torch.no_grad(), evaluation(network):
                    features = network.features(spec.prepare(picture(row))[None])[0].cpu()
                SHARED.put((by, one, unchanged), features)
            found.append(features)
        yield torch.stack(found)


def _are_of(network: FrozenBackbone, given: list[torch.Tensor], logits: torch.Tensor) -> bool:
    """Whether what the head was given is all that these logits need."""
    if len(given) != 1 or len(given[0]) != len(logits):
        return False
    features = given[0]
    with torch.no_grad(), evaluation(network):
        own = network.logits(features)
    return own.shape == logits.shape and torch.allclose(own.float(), logits, _TOLERANCE, _TOLERANCE)
