"""The features that FID and its kin compare: of the original FID's InceptionV3, or of a timm model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fgic_core.errors import PluginError, nearest
from fgic_core.kit.weights import Weights, check_weights, read_weights

if TYPE_CHECKING:
    import torch
    from torch import nn

    from fgic_core.kinds.generator.contract import Generator

WHERE = "fid_model"
INCEPTION = "inception"
BATCH_SIZE = 32


class Extractor:
    """A network up to its pooled features, on a device, in evaluation mode and without gradients.

    Args:
        name: what reports call it.
        dims: how many features a picture has.
        network: from what `prepare` gives to (n, dims), or a tuple with that in front.
        prepare: from uint8 pictures (n, 3, h, w), RGB, to what the network takes.
        device: where it runs.

    Attributes:
        name: such as ``mobilenetv2_100 (weights mobilenetv2_100.imagenet1k), 1280 features at 64 px``.
        dims: how many features a picture has.
    """

    def __init__(
        self,
        name: str,
        dims: int,
        network: nn.Module,
        prepare: Callable[[torch.Tensor], torch.Tensor],
        device: str,
    ) -> None:
        self.name, self.dims = name, dims
        self._prepare, self._device = prepare, device
        self._network = network.eval().requires_grad_(False).to(device)

    def __call__(self, pictures: np.ndarray[Any, Any]) -> np.ndarray[Any, np.dtype[np.float32]]:
        """Features of pictures.

        Args:
            pictures: (n, h, w, 3) uint8, RGB.

        Returns:
            (n, dims) float32.

        Raises:
            ValueError: the pictures are not such an array.
        """
        import torch

        if pictures.dtype != np.uint8 or pictures.ndim != 4 or pictures.shape[3] != 3:
            raise ValueError(f"pictures should be (n, h, w, 3) uint8, not {pictures.shape} {pictures.dtype}")
        found = np.empty((len(pictures), self.dims), dtype=np.float32)
        with torch.no_grad():
            for start in range(0, len(pictures), BATCH_SIZE):
                batch = np.moveaxis(pictures[start : start + BATCH_SIZE], 3, 1).copy()
                features = self._network(self._prepare(torch.from_numpy(batch).to(self._device)))
                features = features[0] if isinstance(features, tuple) else features
                found[start : start + BATCH_SIZE] = features.float().cpu().numpy()
        return found


def extractor_of(component: Generator, device: str) -> Extractor | None:
    """The extractor that a generator's options name: `fid_model`, `fid_weights`, `fid_pretrained` and `fid_size`.

    It is downloaded only where `fid_pretrained` says so and no `fid_weights` are given. Nothing but tensors is
    unpickled, and torch's random numbers go on as if nothing had been built.

    Returns:
        None where no weights are given: without them features mean nothing.

    Raises:
        PluginError: timm has no such model; the weights are not its weights, cannot be read or cannot be downloaded;
            the model does not take pictures of that size.
    """
    import torch

    if component.fid_weights is None and not component.fid_pretrained:
        return None
    with torch.random.fork_rng(devices=[]):
        if component.fid_model == INCEPTION:
            return _inception(component, device)
        return _timm(component, device)


def _inception(component: Generator, device: str) -> Extractor:
    """torch-fidelity's InceptionV3. It resizes as TensorFlow did for the original FID, without antialiasing."""
    path = component.fid_weights
    found = Weights(Path(WHERE), dict(_download(_inception_state, INCEPTION))) if path is None else read_weights(path)
    weights = "" if path is None else f" (weights {path.stem})"
    network = _inception_network(found)
    return Extractor(f"InceptionV3 of torch-fidelity{weights}, 2048 features", 2048, network, lambda x: x, device)


def _inception_state() -> Mapping[str, torch.Tensor]:
    """torch-fidelity's weights, downloaded once into torch's cache and checked by the hash in the file's name."""
    from torch.hub import load_state_dict_from_url
    from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3

    return load_state_dict_from_url(
        URL_INCEPTION_V3, map_location="cpu", progress=False, check_hash=True, weights_only=True
    )


def _inception_network(found: Weights) -> nn.Module:
    """The network with these weights.

    Its constructor would unpickle any file. What it reads here is one in memory with nothing in it, and the tensors,
    which were read safely, come in where it loads that.
    """
    import torch
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    class Inception(FeatureExtractorInceptionV3):  # type: ignore[misc]
        def load_state_dict(self, *_: object, **__: object) -> object:
            check_weights(found, self.state_dict(), of="torch-fidelity's InceptionV3")
            return super().load_state_dict(found.tensors)

    nothing = BytesIO()
    torch.save({}, nothing)
    nothing.seek(0)
    network: nn.Module = Inception("inception-v3-compat", ["2048"], feature_extractor_weights_path=nothing)
    return network


def _timm(component: Generator, device: str) -> Extractor:
    """A timm model without its head, on pictures of its own size or of `fid_size`."""
    import timm
    from timm.data.config import resolve_model_data_config

    name, path = component.fid_model, component.fid_weights
    base = name.partition(".")[0]
    if not timm.is_model(base):
        close = nearest(base, [INCEPTION, *timm.list_models()])
        hint = f"Did you mean {' or '.join(close)}?" if close else f"It is {INCEPTION} or one of timm.list_models()."
        raise PluginError(f"timm {timm.__version__} has no model {base!r}", where=WHERE, hint=hint)
    if path is None:
        network = _download(lambda: timm.create_model(name, pretrained=True, num_classes=0), name)
        weights = "timm's weights"
    else:
        try:
            network = timm.create_model(name, pretrained=False, num_classes=0)
        except RuntimeError as error:  # a tag that timm does not know
            raise PluginError(f"timm cannot build it: {error}", where=WHERE) from error
        _load(network, path)
        weights = f"weights {path.stem}"
    config = resolve_model_data_config(network)  # type: ignore[no-untyped-call]
    size = config["input_size"][1:] if component.fid_size is None else (component.fid_size, component.fid_size)
    dims = _dims(network.eval(), size, name)
    pixels = f"{size[0]} px" if size[0] == size[1] else f"{size[1]} by {size[0]} px"
    title = f"{name} ({weights}), {dims} features at {pixels}"
    return Extractor(title, dims, network, Resized(size, config["mean"], config["std"]), device)


class Resized:
    """Pictures as a timm model takes them.

    They are resized by antialiased bicubic interpolation, in floats: without antialiasing, and by rounding to 8 bits,
    FID measures the resizing too (Parmar, Zhang and Zhu, CVPR 2022).

    Args:
        size: height and width.
        mean, std: of the model's input, for colours in [0, 1].
    """

    def __init__(self, size: tuple[int, int], mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        self.size, self.mean, self.std = size, mean, std

    def __call__(self, pictures: torch.Tensor) -> torch.Tensor:
        """From uint8 (n, 3, h, w) to normalised float32 of the size that the model takes."""
        from torch.nn.functional import interpolate

        colours = pictures.float() / 255
        if tuple(colours.shape[2:]) != tuple(self.size):
            colours = interpolate(colours, self.size, mode="bicubic", antialias=True).clamp(0, 1)
        mean, std = (colours.new_tensor(values).view(1, -1, 1, 1) for values in (self.mean, self.std))
        return (colours - mean) / std


def _load(network: nn.Module, path: Path) -> None:
    """Give a timm model the weights of a file, all but those of a head, which may be for any number of classes."""
    heads = network.pretrained_cfg.get("classifier") or ()  # type: ignore[union-attr, operator]
    heads = tuple(f"{head.partition('.')[0]}." for head in ([heads] if isinstance(heads, str) else heads))
    own = network.state_dict()
    found = read_weights(path).tensors
    state = {key: value for key, value in found.items() if key in own or not key.startswith(heads)}
    check_weights(Weights(path, state), own, of="this timm model")
    network.load_state_dict({**own, **state})


def _dims(network: nn.Module, size: tuple[int, int], name: str) -> int:
    """How many features a picture of that size has.

    Raises:
        PluginError: the model does not take the size, or gives no vector of features.
    """
    import torch

    try:
        with torch.no_grad():
            shape = network(torch.zeros(1, 3, *size)).shape
    except Exception as error:  # each model has its own way to refuse a size
        own = network.pretrained_cfg["input_size"][1]  # type: ignore[index]
        raise PluginError(
            f"{name} does not take pictures of {size[0]} pixels: {error}",
            where=WHERE,
            hint=f"Leave fid_size out (its own size is {own}), or name a model that takes any size.",
        ) from error
    if len(shape) != 2:
        raise PluginError(f"{name} gives features of the shape {tuple(shape[1:])}, not a vector", where=WHERE)
    return int(shape[1])


def _download(get: Callable[[], Any], name: str) -> Any:
    """What ``get`` downloads.

    Raises:
        PluginError: it could not.
    """
    try:
        return get()
    except Exception as error:  # each layer below (DNS, TLS, proxy, hub, disk) has errors of its own
        raise PluginError(
            f"the weights of {name} could not be downloaded: {type(error).__name__}: {error}",
            where=WHERE,
            hint="Without a network give a local file (fid_weights), or leave fid_pretrained out and have no FID.",
        ) from error
