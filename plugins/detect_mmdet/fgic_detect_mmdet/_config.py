"""From options to a config of mmdet, changed for the data, for local weights or none, and for the size."""

from __future__ import annotations

import inspect
import re
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fgic_core import PluginError, regular_file
from fgic_detect_mmdet._mmdet import WHERE, import_mmdet
from fgic_detect_mmdet._overrides import override
from fgic_detect_mmdet._reading import reading
from fgic_detect_mmdet._shipped import shipped_configs

if TYPE_CHECKING:
    from mmengine.config import ConfigDict

    from fgic_detect_mmdet import MmdetDetector

#: Parts of a model that need more than boxes to learn from.
_MASKS = ("mask_head", "semantic_head", "panoptic_head", "panoptic_fusion_head", "mask_roi_extractor", "track_head")
#: Boxes below that score may be cut, in training and where nothing else is asked for.
WEAK = 0.05
_SCALES = ("scale", "scales", "img_scale", "crop_size")


def read_config(options: MmdetDetector) -> ConfigDict:
    """The config as it is shipped or lies in the file.

    Raises:
        PluginError: it cannot be read.
    """
    from mmengine.config import Config, ConfigDict

    path = options.config_file or shipped_configs()[options.config]
    try:
        with reading():
            _check_files(path)
            config = ConfigDict(Config.fromfile(str(path), import_custom_modules=False).to_dict())
    except PluginError:
        raise
    except Exception as error:  # a config in Python raises whatever it likes
        raise PluginError(f"this config cannot be read: {type(error).__name__}: {error}", where=str(path)) from error
    if not isinstance(config.get("model"), Mapping) or "type" not in config.model:
        raise PluginError(
            "this config describes no model", where=str(path), hint="It should have model = dict(type=…)."
        )
    return config


def _check_files(path: Path, above: tuple[Path, ...] = ()) -> None:
    """That a config and all that it is based on are regular files: MMEngine waits where one is a pipe.

    Args:
        path: the config.
        above: the configs that are based on it, from the outermost.

    Raises:
        PluginError: one is none, is not there, or is based on itself.
    """
    from mmengine.config import Config

    hint = f"It is a _base_ of {above[-1]}." if above else None
    try:
        regular_file(path)
    except OSError as error:
        raise PluginError(f"this config cannot be read: {error.strerror}", where=str(path), hint=hint) from error
    if (itself := path.resolve()) in above:
        raise PluginError("this config is based on itself", where=str(path), hint=hint)
    if path.suffix not in (".py", ".yaml", ".yml", ".json") or Config._is_lazy_import(str(path)):
        return  # MMEngine refuses the former; of the latter it looks at each file itself
    with tempfile.TemporaryDirectory() as folder:  # what it substitutes may be in the names of the bases
        copy = str(Path(folder) / f"copy{path.suffix}")
        Config._substitute_predefined_vars(str(path), copy)
        Config._substitute_env_variables(copy, copy)
        Config._pre_substitute_base_vars(copy, copy)
        bases = Config._get_base_files(copy)
    for base in bases:
        found, _ = Config._get_cfg_path(base, str(path.absolute()))
        _check_files(Path(found).expanduser(), (*above, itself))


def fit_model(config: ConfigDict, options: MmdetDetector, classes: int | None, norm: str | None) -> None:
    """Change the model for the data's classes, for no network access, for the proposals, and for the overrides.

    Args:
        config: changed in place.
        options: what the user asked for.
        classes: how many there are; None leaves the config's own.
        norm: the backbone's normalisation, all trained; None leaves it as it is.

    Raises:
        PluginError: the model needs masks; an override names nothing or is of the wrong type.
    """
    model = config.model
    masks = sorted({key for node in nodes(model) for key in _MASKS if node.get(key) is not None})
    if masks:
        raise PluginError(
            f"this config's model predicts more than boxes ({', '.join(masks)})",
            where=WHERE,
            hint="Choose a box detector, such as faster-rcnn_r50_fpn_1x_coco or retinanet_r50_fpn_1x_coco.",
        )
    for node in nodes(model):
        _forget_download(node)
        kind = node.get("norm_cfg")
        if isinstance(kind, Mapping) and kind.get("type") in ("SyncBN", "MMSyncBN"):
            node.norm_cfg.type = "BN"  # there is one process
    if norm is not None:
        _normalise(model, norm)
    if classes is not None:
        _set_classes(model, classes)
    if options.proposals is not None:
        _set_proposals(model, options.proposals)
    for node in nodes(model.get("test_cfg")):
        if "score_thr" in node:  # weak boxes count for average precision
            node.score_thr = min(node.score_thr, WEAK)
    if options.image_scale is not None:
        _set_scale(config, options.image_scale)
    override(config, options.overrides)


def let_in(test_cfg: Any, score: float) -> None:
    """Have boxes of that score through: those that are to go into the data set must not be cut before.

    A bound above `WEAK` is one that overrides asked for, and stays.
    """
    for node in nodes(test_cfg):
        if "score_thr" in node and node["score_thr"] <= WEAK:
            node["score_thr"] = min(node["score_thr"], score)


def nodes(value: Any) -> Iterator[Any]:
    """Every mapping in nested mappings and lists, outer ones first."""
    if isinstance(value, Mapping):
        yield value
        for child in value.values():
            yield from nodes(child)
    elif isinstance(value, (list, tuple)):
        for child in value:
            yield from nodes(child)


def _forget_download(node: Any) -> None:
    """Weights that mmengine would fetch from the network: they come from `weights` or from nowhere."""
    node.pop("pretrained", None)
    init = node.get("init_cfg")
    if isinstance(init, Mapping) and (init.get("type") == "Pretrained" or init.get("checkpoint")):
        node.pop("init_cfg")


def frozen_norm(config: ConfigDict) -> bool:
    """Whether the backbone relies on statistics of weights that it is not given here."""
    backbone = config.model.get("backbone") or {}
    norm = backbone.get("norm_cfg") or {}
    return (
        bool(backbone.get("norm_eval")) or norm.get("requires_grad") is False or backbone.get("frozen_stages", -1) >= 0
    )


def _normalise(model: Any, norm: str) -> None:
    """Give the backbone, and a head that shares its last stage, this normalisation, and freeze nothing of them."""
    import_mmdet()
    from fgic_openmmlab import scope
    from mmdet.registry import MODELS

    for node in (model.get("backbone"), (model.get("roi_head") or {}).get("shared_head")):
        if not isinstance(node, Mapping):
            continue
        with scope("mmdet"):  # at first it says that it imports mmdet's models
            takes = inspect.signature(MODELS.get(node["type"]).__init__).parameters
        none = 0 if node["type"] == "EfficientNet" else -1  # how many stages it freezes; the others: up to which
        for key, value in (("frozen_stages", none), ("norm_eval", False)):
            if key in takes:
                node[key] = value
        node.norm_cfg = {"type": norm, "requires_grad": True, **({"num_groups": 32} if norm == "GN" else {})}


def _set_classes(model: Any, classes: int) -> None:
    """The number of classes wherever a head that tells classes apart has one; a proposal head has always one."""
    heads = [model.get("bbox_head"), (model.get("roi_head") or {}).get("bbox_head")]
    changed = 0
    for head in heads:
        for node in nodes(head):
            if "num_classes" in node:
                node.num_classes = classes
                changed += 1
    if not changed:
        raise PluginError(
            "this config's model has no bbox_head with num_classes", where=WHERE, hint="Choose a box detector."
        )


def _set_proposals(model: Any, count: int) -> None:
    changed = False
    for part, key in (("train_cfg", "rpn_proposal"), ("test_cfg", "rpn")):
        node = (model.get(part) or {}).get(key)
        if node is not None:
            changed = True
            node.max_per_img = count
            node.nms_pre = min(node.get("nms_pre", count), 2 * count)
    rcnn = (model.get("train_cfg") or {}).get("rcnn")
    for stage in rcnn if isinstance(rcnn, list) else [rcnn]:
        if stage is not None and "sampler" in stage and "num" in stage.sampler:
            stage.sampler.num = min(stage.sampler.num, count)
    if not changed:
        raise PluginError(
            f"{model.type} is no two-stage detector with proposals", where=WHERE, hint="Leave out the option proposals."
        )


def _set_scale(config: ConfigDict, scale: int | tuple[int, int]) -> None:
    """Resize to the asked size wherever the config has a size for pictures; sizes of augmentations in proportion."""
    wanted = (scale, scale) if isinstance(scale, int) else tuple(scale)
    pipelines = [pipeline_of(config, "train"), pipeline_of(config, "test")]
    own = next((step["scale"] for step in flat(pipelines[1]) if step.get("type") == "Resize" and "scale" in step), None)
    if own is None:
        raise PluginError("this config does not resize pictures", where=WHERE, hint="Leave out image_scale.")
    own = (own, own) if isinstance(own, int) else tuple(own)
    factor = max(wanted) / max(own)
    for step in (step for pipeline in pipelines for step in flat(pipeline)):
        for key in _SCALES:
            if key in step:
                step[key] = wanted if step[key] == own else _scaled(step[key], factor)
        if step.get("type") == "Pad" and isinstance(step.get("size"), (list, tuple)):
            step["size"] = wanted if tuple(step["size"]) == own else _scaled(step["size"], factor)
        if "border" in step:  # what RandomAffine cuts off a mosaic: half of its size, below zero
            step["border"] = tuple(round(side * factor) for side in step["border"])
    for augment in flat((config.model.get("data_preprocessor") or {}).get("batch_augments")):
        for key in ("random_size_range", "size"):  # of whole batches, in steps of 32 pixels
            if key in augment:
                augment[key] = tuple(max(round(side * factor / 32), 1) * 32 for side in augment[key])


def _scaled(value: Any, factor: float) -> Any:
    if isinstance(value, (list, tuple)):
        return type(value)(_scaled(one, factor) for one in value)
    return max(round(value * factor), 32) if isinstance(value, (int, float)) and value > 1 else value


def flat(pipeline: Any) -> Iterator[Any]:
    """The steps of a pipeline, with those inside others (RandomChoice, TestTimeAug)."""
    return (node for node in nodes(pipeline) if "type" in node)


def train_dataset(config: ConfigDict) -> Any:
    """The innermost data set of the train loader: the one that reads annotations (of several, the first)."""
    return _chain(config)[-1]


def _chain(config: ConfigDict) -> list[Any]:
    """The data sets of the train loader from the outermost to the innermost."""
    found = [config.train_dataloader.dataset]
    while True:
        inner = found[-1].get("dataset") or (found[-1].get("datasets") or [None])[0]
        if not isinstance(inner, Mapping):
            return found
        found.append(inner)


def mixing(config: ConfigDict) -> Any:
    """The data set that mixes several pictures into one, if there is one."""
    return next((one for one in _chain(config) if one.get("type") == "MultiImageMixDataset"), None)


def pipeline_of(config: ConfigDict, part: str) -> Any:
    """The pipeline that reads pictures in training or in testing.

    Raises:
        PluginError: the config has none.
    """
    loader = config.get(f"{part}_dataloader")
    found: list[Any] = []
    if loader is not None:
        chain = _chain(config) if part == "train" else [loader.dataset]
        found = [step for one in reversed(chain) for step in one.get("pipeline") or []]
    if not found:
        raise PluginError(
            f"this config has no pipeline of {part} pictures", where=WHERE, hint="Choose one that trains and tests."
        )
    return found


def batch_size_of(config: ConfigDict, name: str) -> int:
    """How many pictures of all devices together the config's learning rate is made for.

    Its name says so (``8xb32``: eight times 32); where it does not, what it would scale the rate by.
    """
    said = re.search(r"(\d+)xb(\d+)", name)
    if said:
        return int(said[1]) * int(said[2])
    return int((config.get("auto_scale_lr") or {}).get("base_batch_size", 16))
