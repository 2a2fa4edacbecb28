"""Overrides of a config: values by dotted key, each of the type of what it replaces."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from fgic_core import PluginError, nearest
from fgic_detect_mmdet._mmdet import WHERE

if TYPE_CHECKING:
    from mmengine.config import ConfigDict


def override(config: ConfigDict, overrides: Mapping[str, Any]) -> None:
    """Set values by dotted key, each of the type of what it replaces.

    Raises:
        PluginError: a key does not exist, or a value is of another type.
    """
    for key, value in _flat(overrides):
        new = key.startswith("+")
        parts = key.removeprefix("+").split(".")
        _check_used(config, parts)
        node: Any = config
        for depth, part in enumerate(parts[:-1]):
            node = _child(node, part, ".".join(parts[: depth + 1]))
        last = parts[-1]
        if isinstance(node, list):
            node[_index(node, last, key)] = _typed(node[_index(node, last, key)], value, key)
        elif not isinstance(node, Mapping):
            raise PluginError(f"{'.'.join(parts[:-1])} in the config holds no keys", where=f"{WHERE}, overrides")
        elif last in node:
            node[last] = _typed(node[last], value, key)
        elif new:
            node[last] = copy.deepcopy(value)
        else:
            raise _unknown(node, last, key, f"To add a new key write +{key}.")


#: What of a config is used; the rest is fgic's, by the options named.
_USED = (
    ("model",),
    ("train_dataloader", "dataset"),
    ("test_dataloader", "dataset"),
    ("optim_wrapper",),
    ("param_scheduler",),
    ("auto_scale_lr",),
)
_INSTEAD = {
    "train_cfg": "Use the option epochs.",
    "train_dataloader": "Use the option batch_size; how many workers load pictures is the machine's business.",
    "train_pipeline": "The pipeline that is used stands in train_dataloader.dataset.pipeline.",
    "test_pipeline": "The pipeline that is used stands in test_dataloader.dataset.pipeline.",
    "load_from": "Use the option weights.",
}


def _check_used(config: ConfigDict, parts: list[str]) -> None:
    """Raises PluginError for a key that is there and changes nothing."""
    if parts[0] in config and not any(tuple(parts[: len(used)]) == used for used in _USED):
        used = ", ".join(".".join(one) for one in _USED)
        raise PluginError(
            f"{'.'.join(parts)} of the config is not used",
            where=f"{WHERE}, overrides",
            hint=_INSTEAD.get(parts[0], f"Used are {used}."),
        )


def _flat(overrides: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Nested mappings as dotted keys: they change what they name, and leave the rest as it is."""
    for key, value in overrides.items():
        if isinstance(value, Mapping) and value and not (above + key).startswith("+"):
            yield from _flat(value, f"{above}{key}.")
        else:
            yield above + key, value


def _child(node: Any, part: str, path: str) -> Any:
    if isinstance(node, list):
        return node[_index(node, part, path)]
    if not isinstance(node, Mapping) or part not in node:
        raise _unknown(node, part, path, "")
    return node[part]


def _index(node: list[Any], part: str, path: str) -> int:
    if not part.isdigit() or int(part) >= len(node):
        raise PluginError(f"{path} is no index of a list of {len(node)}, counted from 0", where=f"{WHERE}, overrides")
    return int(part)


def _unknown(node: Any, part: str, path: str, more: str) -> PluginError:
    known = list(node) if isinstance(node, Mapping) else []
    close = nearest(part, known)
    hint = (
        f"Did you mean {' or '.join(close)}?" if close else f"Known there: {', '.join(map(str, known)) or 'nothing'}."
    )
    return PluginError(f"the config has no {path}", where=f"{WHERE}, overrides", hint=f"{hint} {more}".strip())


def _typed(old: Any, new: Any, path: str) -> Any:
    """The new value as the type of the old one."""
    if isinstance(old, tuple) and isinstance(new, (list, tuple)):
        return tuple(new)
    same: list[Callable[[Any], bool]] = [
        lambda value: value is None,
        lambda value: isinstance(value, bool),
        lambda value: isinstance(value, (int, float)) and not isinstance(value, bool),
        lambda value: isinstance(value, str),
        lambda value: isinstance(value, (list, tuple)),
        lambda value: isinstance(value, Mapping),
    ]
    if old is None or new is None or any(test(old) and test(new) for test in same):
        return copy.deepcopy(new)
    raise PluginError(
        f"{path} is {type(old).__name__} in the config ({old!r:.60}), not {type(new).__name__}",
        where=f"{WHERE}, overrides",
    )
