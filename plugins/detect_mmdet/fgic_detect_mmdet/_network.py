"""The network: a model of mmdet with its test pipeline, its first weights, and its files."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from fgic_openmmlab import scope
from torch import nn
from torchvision.ops import nms

from fgic_core import Detections, FittedDetector, PluginError
from fgic_core.kit import (
    Weights,
    check_weights,
    class_order,
    evaluation,
    load_weights,
    read_weights,
    save_weights,
    seeded,
)
from fgic_detect_mmdet._config import fit_model, frozen_norm, let_in, nodes, pipeline_of, read_config
from fgic_detect_mmdet._mmdet import WHERE, import_mmdet
from fgic_detect_mmdet._weights import load_into, new_heads

if TYPE_CHECKING:
    from mmengine.config import ConfigDict
    from PIL.Image import Image

    from fgic_core import Context
    from fgic_detect_mmdet import MmdetDetector

FORMAT = 2
#: A picture's longer side is at most that many times the shorter one when it is resized.
THINNEST = 32
#: IoU above which two boxes of different classes of the weights are one object.
SUPPRESSION = 0.5
#: The steps of a pipeline that get the picture and the boxes: both are here already.
_LOADERS = ("LoadImageFromFile", "LoadImageFromNDArray")


class Network(FittedDetector):
    """A detector that finds boxes in pictures of any size.

    Attributes:
        model, network: mmdet's model; its data preprocessor normalises.
        config: the whole config that training takes; None for a network that was loaded.
    """

    def __init__(self, model: nn.Module, document: Mapping[str, Any], config: ConfigDict | None = None) -> None:
        from mmcv.transforms import Compose

        self.model = self.network = model
        self.config = config
        self._document = dict(document)
        with scope("mmdet"):
            self._pipeline = Compose(_tuples(document["pipeline"]))

    def name_classes(self, names: Sequence[str], order: Sequence[int] | None = None) -> None:
        """Say which classes the network tells apart.

        Args:
            names: of the data's classes; with ``order`` None, in the network's order.
            order: for each of them, its label in the network.
        """
        labels = range(len(names)) if order is None else np.argsort(order).tolist()
        self._document["classes"] = [names[label] for label in labels]
        self._document["labels"] = None if order is None else labels

    @property
    def order(self) -> Sequence[int] | None:
        """For each of the data's classes, its label in the network; None where they are the same."""
        labels = self._document["labels"]
        return None if labels is None else np.argsort(labels).tolist()

    def to(self, device: str) -> Network:
        self.model.to(device)
        return self

    def detect(self, images: Sequence[Image]) -> list[Detections]:
        """The objects in each picture; those of one size are looked at together, so that none is padded for another."""
        found: list[Detections | None] = [None] * len(images)
        sizes: dict[tuple[int, int], list[int]] = {}
        for place, image in enumerate(images):
            sizes.setdefault(image.size, []).append(place)
        with evaluation(self.model), torch.no_grad():
            for places in sizes.values():
                for place, one in zip(places, self._together([images[p] for p in places]), strict=True):
                    found[place] = one
        return [one for one in found if one is not None]

    def _together(self, images: Sequence[Image]) -> list[Detections]:
        rows = [self._pipeline({"img": bgr(image), "img_id": place}) for place, image in enumerate(images)]
        batch = {"inputs": [row["inputs"] for row in rows], "data_samples": [row["data_samples"] for row in rows]}
        samples = self.model.test_step(batch)  # type: ignore[operator]
        found = [_detections(sample.pred_instances) for sample in samples]
        if self._document["foreign"]:
            return [self._as_objects(one) for one in found]
        labels = self._document["labels"]
        return found if labels is None else [replace(one, labels=np.array(labels)[one.labels]) for one in found]

    def try_out(self, picture: Image) -> None:
        """Detect once before hours of training.

        Raises:
            PluginError: the config's pipeline or model does not work on this picture.
        """
        try:
            self.detect([picture])
        except PluginError:
            raise
        except Exception as error:  # transforms and models raise whatever they like
            raise PluginError(
                f"this config does not detect in a picture of {picture.width}x{picture.height} pixels: "
                f"{type(error).__name__}: {error}",
                where=WHERE,
                hint="Is image_scale too small for the model? Else choose another config.",
            ) from error

    def check_objects(self, objects: Sequence[int]) -> None:
        """Raises PluginError where the labels are none of the weights' own classes."""
        if not self._document["foreign"]:
            raise PluginError(
                "objects picks classes of the weights, but these know one alone", where=WHERE, hint="Leave it out."
            )
        counts = [node["num_classes"] for node in nodes(self._document["model"]) if "num_classes" in node]
        if max(objects) >= max(counts):
            raise PluginError(
                f"objects has the label {max(objects)}, but the weights have {max(counts)} classes, counted from 0",
                where=WHERE,
            )

    def _as_objects(self, found: Detections) -> Detections:
        """Of the weights' own classes those that count, as one: each place is found once."""
        objects = self._document["objects"]
        held = np.isin(found.labels, objects) if objects is not None else np.ones(len(found.labels), dtype=bool)
        boxes, scores = found.boxes[held], found.scores[held]
        kept = nms(torch.from_numpy(boxes), torch.from_numpy(scores), SUPPRESSION).numpy()
        return Detections(boxes[kept], scores[kept], np.zeros(len(kept), dtype=np.int64))

    def save(self, folder: Path) -> None:
        """Write ``model.safetensors`` and ``model.json``.

        The former has mmdet's own names and those of the classes, the latter the model's config and pipeline.
        """
        classes = self._document["classes"]
        save_weights(self.model, folder / "model.safetensors", **({} if classes is None else {"classes": classes}))
        (folder / "model.json").write_text(json.dumps(self._document, indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path, min_score: float) -> Network:
        """The network that `save` wrote, on the CPU.

        Args:
            folder: where it lies.
            min_score: boxes of that score are not cut.

        Raises:
            PluginError: a file is missing or damaged.
        """
        import_mmdet()
        try:
            document = json.loads((folder / "model.json").read_text(encoding="utf-8"))
            if document["format"] != FORMAT:
                raise ValueError(f"format {document['format']} is not format {FORMAT}")
            config = _tuples(document["model"])
            let_in(config.get("test_cfg"), min_score)
            model = make_model(config)
            load_weights(model, folder / "model.safetensors")
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise PluginError(
                f"this detector cannot be read: {error}", where=str(folder), hint="Train it again."
            ) from error
        return cls(model, document)


def bgr(image: Image) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """An 8-bit RGB picture as mmdet takes it: (height, width, 3), blue first.

    One that is so thin that resizing would leave no pixel of it is extended in grey, to the right or below: places in
    it stay where they are.
    """
    pixels = np.asarray(image, dtype=np.uint8)[..., ::-1]
    least = -(-max(pixels.shape[:2]) // THINNEST)
    more = [(0, max(least - side, 0)) for side in pixels.shape[:2]]
    return np.ascontiguousarray(np.pad(pixels, [*more, (0, 0)], constant_values=128))


def _detections(found: Any) -> Detections:
    scores = found.scores.detach().float().cpu().numpy()
    boxes = found.bboxes.detach().float().cpu().numpy().reshape(-1, 4)
    return Detections(boxes, np.clip(scores, 0.0, 1.0), found.labels.detach().cpu().numpy())


def build(options: MmdetDetector, names: Sequence[str], ctx: Context) -> Network:
    """The network to train: the config's model for the classes, with its first weights, on the context's device.

    What is initialised at random depends on the step's seed alone.

    Args:
        options: the detector.
        names: of the data's classes.
        ctx: is told what starts new.

    Raises:
        PluginError: the config does not fit the options, its model cannot be built, or the weights are of another.
    """
    import_mmdet()
    classes = len(names) if options.per_class else 1
    weights = None if options.weights is None else read_weights(options.weights)
    # Of a whole detector the backbone's tell, of a classifier all.
    tensors = {} if weights is None else weights.tensors
    backbone = [name for name in tensors if name.startswith("backbone.")] or tensors
    statistics = any(name.endswith("running_mean") for name in backbone)
    network = _build(options, classes, statistics, ctx)
    if options.per_class:
        network.name_classes(names)
    if weights is None:
        return network.to(ctx.device)
    # A tensor depends on the classes if it has another shape with one class more.
    free = _differing(network, _build(options, classes + 1, statistics, ctx))
    if options.per_class:
        heads = _match_classes(network, weights, free, names, ctx, trained=options.learns())
    else:
        heads = new_heads(network.model, tensors, set(free))
        if heads and not options.learns():
            # Weights of other classes are used as they are: what they find is an object, whatever its class.
            network = _build(options, None, statistics, ctx)
            if weights.classes is not None:
                network.name_classes(weights.classes)
            if heads := new_heads(network.model, tensors, set(free)):
                raise PluginError(
                    f"these weights tell other classes apart than the config's model ({', '.join(heads)})",
                    where=str(options.weights),
                    hint="Train them with epochs: 1 or more, or set num_classes in overrides.",
                )
        elif heads:
            ctx.warn(f"the weights {weights.path.name} tell other classes apart: {', '.join(heads)} start new")
    if options.objects is not None:
        network.check_objects(options.objects)
    load_into(network.model, weights, heads, ctx, trained=options.learns())
    return network.to(ctx.device)


def _match_classes(
    network: Network, weights: Weights, free: Mapping[str, int], names: Sequence[str], ctx: Context, *, trained: bool
) -> list[str]:
    """Have the network keep the order that the weights have the classes in; the tensors to start new where it has none.

    Rows are not moved: how a head lays its classes out differs from model to model.
    """
    there = sorted(name for name in free if name in weights.tensors)
    if not there:
        return []
    own, first = network.model.state_dict(), there[0]
    check_weights(
        replace(weights, tensors={name: weights.tensors[name] for name in there}),
        {name: own[name] for name in there},
        there,
        "this config",
    )
    more = {name: (len(weights.tensors[name]) - len(own[name])) / free[name] for name in there}
    if odd := [name for name in there if more[name] != int(more[first])]:
        raise PluginError(
            f"the head of these weights fits no number of classes: {odd[0]} has the shape "
            f"{tuple(weights.tensors[odd[0]].shape)}, {first} has {tuple(weights.tensors[first].shape)}",
            where=str(weights.path),
            hint="Is the file damaged?",
        )
    count = len(names) + int(more[first])
    order = class_order(weights, count, names, ctx, trained=trained)
    if order is None:
        return there
    if order != list(range(len(names))):
        network.name_classes(names, order)
    return new_heads(network.model, weights.tensors, set(free))


def _differing(one: Network, other: Network) -> dict[str, int]:
    """The tensors whose shapes differ, and by how many rows."""
    own, theirs = one.model.state_dict(), other.model.state_dict()
    return {name: len(theirs[name]) - len(own[name]) for name in own if own[name].shape != theirs[name].shape}


def _build(options: MmdetDetector, classes: int | None, statistics: bool, ctx: Context) -> Network:
    """The network with random weights; with ``classes`` None it tells the config's own classes apart.

    Its normalisation is the one that was asked for, or the config's. But where that is frozen BatchNorm and the weights
    bring no statistics for it, GroupNorm is trained, or (where 32 groups do not divide the channels) BatchNorm.
    """
    if options.norm is not None or statistics:
        return _assemble(options, classes, options.norm, ctx)
    norms = ["GN", "BN"] if frozen_norm(read_config(options)) else [None, "GN", "BN"]
    for norm in norms:
        try:
            network = _assemble(options, classes, norm, ctx)
        except PluginError as error:
            if norm != "GN" or "divisible by num_groups" not in error.what:
                raise
            ctx.warn("the backbone's channels cannot be cut into 32 groups: BatchNorm is trained and not GroupNorm")
            continue
        if not _frozen(network.model):
            break
    return network


def _frozen(model: nn.Module) -> bool:
    """Whether some BatchNorm is not trained, or keeps to its first statistics in training."""
    model.train()
    norms = [module for module in model.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    return any(not one.training or not all(p.requires_grad for p in one.parameters()) for one in norms)


def _assemble(options: MmdetDetector, classes: int | None, norm: str | None, ctx: Context) -> Network:
    config = read_config(options)
    fit_model(config, options, classes, norm)
    # Through JSON, so that what is trained is what `load` will build.
    document = json.loads(
        json.dumps(
            {
                "format": FORMAT,
                "config": str(options.config_file.name if options.config_file else options.config),
                "foreign": classes is None,
                "objects": options.objects,
                "classes": None,
                "labels": None,
                "model": _plain(config.model),
                "pipeline": _plain(for_detection(pipeline_of(config, "test"))),
            }
        )
    )
    with seeded(ctx):
        model = make_model(_tuples(document["model"]), initialise=True)
    return Network(model, document, config)


def for_detection(pipeline: Any) -> list[Any]:
    """The test pipeline for a picture in memory: without files and annotations."""
    return [
        picture_step(pipeline),
        *(step for step in pipeline if step.get("type") not in (*_LOADERS, "LoadAnnotations")),
    ]


def picture_step(pipeline: Any) -> dict[str, Any]:
    """The step that takes a picture in memory, in numbers as the pipeline's own step for files gives them."""
    own = next((step for step in pipeline if step.get("type") == "LoadImageFromFile"), {})
    return {"type": "LoadImageFromNDArray", "to_float32": bool(own.get("to_float32", False))}


def make_model(config: Mapping[str, Any], initialise: bool = False) -> nn.Module:
    """mmdet's model from its part of a config.

    Raises:
        PluginError: mmdet cannot build it.
    """
    from mmdet.registry import MODELS
    from mmengine.config import ConfigDict

    with scope("mmdet"):
        try:
            model: nn.Module = MODELS.build(ConfigDict(config))
            if initialise:
                model.init_weights()  # type: ignore[operator]
        except PluginError:
            raise
        except Exception as error:  # whatever a constructor makes of options that it was not written for
            raise PluginError(
                f"mmdet cannot build {config['type']}: {type(error).__name__}: {error}",
                where=WHERE,
                hint="Check config, overrides and norm (GN wants channels that 32 divides).",
            ) from error
    return model


_TUPLE = "__tuple__"


def _plain(value: Any) -> Any:
    """A config as JSON can hold it; tuples are marked, for mmdet tells them from lists."""
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, tuple):
        return {_TUPLE: [_plain(one) for one in value]}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, np.generic):
        return value.item()
    raise PluginError(f"the config holds a {type(value).__name__}, which cannot be kept", where=WHERE)


def _tuples(value: Any) -> Any:
    """What `_plain` was given."""
    if isinstance(value, Mapping):
        if set(value) == {_TUPLE}:
            return tuple(_tuples(one) for one in value[_TUPLE])
        return {key: _tuples(one) for key, one in value.items()}
    return [_tuples(one) for one in value] if isinstance(value, list) else value
