"""Batched inference: the one way from pictures to logits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from fgic_core.data.geometry import Size
from fgic_core.errors import PluginError
from fgic_core.kit.best import evaluation

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image
    from torch import nn

    from fgic_core.data.input_spec import InputSpec

BATCH_SIZE = 32


class Batch(NamedTuple):
    """Some pictures and what the network says of them, in their order.

    Attributes:
        images: the inputs, (n, 3, height, width) in [0, 1], on the device.
        logits: (n, classes) float32, on the device.
        sizes: width and height of each picture before it was fitted into the input.
    """

    images: torch.Tensor
    logits: torch.Tensor
    sizes: list[Size]


def infer(
    network: nn.Module,
    spec: InputSpec,
    picture: Callable[[int], Image],
    count: int,
    *,
    device: str = "cpu",
    batch_size: int = BATCH_SIZE,
    workers: int = 0,
    classes: int | None = None,
    uses: str | None = None,
) -> Iterator[Batch]:
    """Classify pictures, batch by batch, with the network in evaluation mode; its modes are put back at the end.

    Args:
        network: on the device.
        spec: of its input.
        picture: gives the picture (8-bit RGB) of a row, from 0; with workers it is called in other processes.
        count: how many there are.
        device: torch's name of it.
        batch_size: how many pictures are in memory at once.
        workers: processes that decode; 0 is none.
        classes: how many logits the network should give, where that is known.
        uses: the component whose network it is, for errors.

    Raises:
        PluginError: the network gives no logits of that shape, or some that are not finite, or switches its own mode.
    """
    import torch
    from torch.utils.data import DataLoader

    rows: Any = _Inputs(spec, picture, count)
    # A generator of its own: else each pass would draw from the global one, and measuring would change the training.
    loader: DataLoader[Any] = DataLoader(rows, batch_size=batch_size, num_workers=workers, generator=torch.Generator())
    with evaluation(network):
        for prepared, sizes in loader:
            images = prepared.to(device)
            found = logits_of(network, images, classes=classes, uses=uses)
            yield Batch(images, check_finite(found, uses), [Size(*size) for size in sizes.tolist()])
        if any(module.training for module in network.modules()):
            raise PluginError("network switches itself to training mode", where=uses)


def check_finite(logits: torch.Tensor, uses: str | None = None) -> torch.Tensor:
    """The logits; raises PluginError where they are not finite."""
    import torch

    if not torch.isfinite(logits).all():
        raise PluginError(
            "network gave logits that are not finite", where=uses, hint="Did the training diverge? Lower its rate."
        )
    return logits


def logits_of(
    network: nn.Module, images: torch.Tensor, *, classes: int | None = None, uses: str | None = None
) -> torch.Tensor:
    """Logits (n, classes) float32 of inputs (n, 3, height, width), without a graph; see `infer`."""
    import torch

    # Not inference_mode: what a network caches in it could not be trained through afterwards.
    with torch.no_grad():
        logits = network(images)
    found = tuple(logits.shape) if isinstance(logits, torch.Tensor) else type(logits).__name__
    if len(found) != 2 or found[0] != len(images) or found[1] != (classes or found[1]):
        shape = f"({len(images)}, {classes or 'classes'})"
        raise PluginError(f"network gave {found} for a batch", where=uses, hint=f"It is logits of shape {shape}.")
    scores: torch.Tensor = logits.float()
    return scores


class _Inputs:
    """The prepared inputs of pictures, as torch's DataLoader wants them."""

    def __init__(self, spec: InputSpec, picture: Callable[[int], Image], count: int) -> None:
        self._spec, self._picture, self._count = spec, picture, count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, row: int) -> tuple[torch.Tensor, torch.Tensor]:
        import torch

        picture = self._picture(row)
        return self._spec.prepare(picture), torch.tensor(picture.size)
