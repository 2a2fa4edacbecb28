"""Weight files: what they hold, whose they are, and of which classes."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard

from fgic_core.data.files import regular_file
from fgic_core.errors import PluginError, nearest

if TYPE_CHECKING:
    import torch
    from torch import nn

    from fgic_core.kinds.context import Context

_SHOWN = 3
#: Keys under which a checkpoint holds its weights.
_INSIDE = ("state_dict", "model")
#: How many of these lie in each other at most: a pickle may hold itself.
_DEEPEST = 8
#: The one entry of a safetensors file's metadata. Several are written in random order: equal content, other bytes.
_ABOUT = "fgic"
#: BatchNorm's count of batches: some files have none, some models take none, and no output depends on it.
_COUNT = "num_batches_tracked"
_DEQUANTISE = "They look like 8-bit quantised weights: dequantise them first."
#: What MMEngine's Runner saves with the tensors: the log of the training, of which nothing is made.
_LOG = (
    "mmengine.logging.history_buffer.HistoryBuffer",
    *(f"{module}.getattr" for module in ("builtins", "__builtin__")),
    *(f"numpy.{core}.multiarray.{name}" for core in ("core", "_core") for name in ("_reconstruct", "scalar")),
    "numpy.ndarray",
    "numpy.dtype",
)


@dataclass(frozen=True, slots=True)
class Weights:
    """What a weight file holds.

    Attributes:
        path: the file.
        tensors: by name, on the CPU.
        about: what the file says of itself: what `save_weights` was given, or the classes in a checkpoint of MMEngine.
    """

    path: Path
    tensors: dict[str, torch.Tensor]
    about: dict[str, Any] = field(default_factory=dict)

    @property
    def classes(self) -> tuple[str, ...] | None:
        """Names of the classes that the weights tell apart, in their order; None where the file names none."""
        found = self.about.get("classes")
        return None if found is None else tuple(found)

    def without(self, prefix: str) -> Weights:
        """The same but for the tensors whose names begin so, such as a head's."""
        kept = {name: value for name, value in self.tensors.items() if not name.startswith(prefix)}
        return replace(self, tensors=kept)


def save_weights(network: nn.Module, path: Path, **about: Any) -> None:
    """Write a network's tensors as safetensors, and beside them in the same file what is to be known of them.

    Equal content gives equal bytes.

    Args:
        network: its `state_dict` is written, without copies that share memory.
        path: the file, whose name ends in ``.safetensors``.
        about: JSON values that `read_weights` gives back; ``classes`` are the names that `class_order` matches.
    """
    save_tensors(network.state_dict(), path, **about)


def save_tensors(tensors: Mapping[str, torch.Tensor], path: Path, **about: Any) -> None:
    """As `save_weights`, of tensors by name."""
    from safetensors.torch import save_file

    state = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
    text = json.dumps(about, sort_keys=True, separators=(",", ":"), allow_nan=False)
    save_file(state, path, metadata={_ABOUT: text} if about else None)


def load_weights(network: nn.Module, path: Path) -> Weights:
    """Give a network what `save_weights` wrote of one like it.

    Raises:
        PluginError: the file is damaged, or its tensors are of another network.
    """
    weights = read_weights(path, pickles=False)
    put_weights(network, weights)
    return weights


def put_weights(network: nn.Module, weights: Weights) -> None:
    """As `load_weights`, of what was read already."""
    check_weights(weights, network.state_dict(), of="the network that the options describe")
    network.load_state_dict(weights.tensors)


@contextmanager
def undrawn() -> Iterator[None]:
    """Make tensors zero where they would be drawn at random: the first weights of a network that is given others.

    Drawing them is half of the time that it takes to open a network.
    """
    import torch
    from torch.nn import init
    from torch.overrides import TorchFunctionMode

    drawing: set[Any] = {torch.Tensor.normal_, torch.Tensor.uniform_, init.normal_, init.uniform_}
    drawing |= {init.kaiming_normal_, init.kaiming_uniform_}

    class Undrawn(TorchFunctionMode):
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if func not in drawing:
                return func(*args, **(kwargs or {}))
            tensor: torch.Tensor = args[0] if args else (kwargs or {})["tensor"]
            tensor.detach().zero_()
            return tensor

    with Undrawn():
        yield


def read_weights(path: Path, *, pickles: bool = True) -> Weights:
    """The tensors of a weight file and what it says of itself; nothing but tensors and plain values is unpickled.

    Args:
        path: a .safetensors file, or a .pth, .pt or .bin file. In the latter what lies under ``state_dict`` or
            ``model`` is taken, where it is a checkpoint, and the prefix ``module.`` of all names is dropped.
        pickles: whether other files than safetensors are read at all; where not, the suffix does not matter.

    Raises:
        PluginError: it is no such file.
    """
    import torch

    try:
        regular_file(path)
    except OSError as error:
        raise PluginError(f"these weights cannot be read: {error.strerror}", where=str(path)) from error
    if not pickles or path.suffix.lower() == ".safetensors":
        return _read_safetensors(path, pickles)
    try:
        with torch.serialization.safe_globals([(_Ignored, name) for name in _LOG]):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a pickle can be broken in any way
        # torch's own message is left out: it advises to let the file run code.
        code = re.search(r"GLOBAL (\S+)", str(error))
        why = f"they refer to {code[1]}" if code else "the file is none of torch.save, or damaged"
        raise PluginError(
            f"these weights cannot be read as tensors alone: {why}",
            where=str(path),
            hint="Save the tensors alone where they come from: safetensors.torch.save_file(model.state_dict(), path). "
            "Other pickles can run any code when they are read.",
        ) from error
    about = _about_checkpoint(content)
    for _ in range(_DEEPEST):
        inside = next((key for key in _INSIDE if key in content), None) if isinstance(content, Mapping) else None
        if inside is None:
            break
        content = content[inside]
        about = about or _about_checkpoint(content)
    tensors = content if isinstance(content, Mapping) else {}
    tensors = {str(name): value for name, value in tensors.items() if isinstance(value, torch.Tensor)}
    if not tensors:
        raise PluginError("this file holds no tensors by name", where=str(path))
    if all(name.startswith("module.") for name in tensors):
        tensors = {name.removeprefix("module."): value for name, value in tensors.items()}
    return Weights(path, tensors, about)


class _Ignored:
    """Stands for what a checkpoint holds beside its tensors, and does nothing."""

    def __init__(self, *_: Any) -> None: ...

    def __setstate__(self, _: Any) -> None: ...


def _read_safetensors(path: Path, pickles: bool) -> Weights:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            metadata = file.metadata() or {}
    except (OSError, SafetensorError) as error:
        hint = (
            "Pickled weights are not read here: they can run any code. Convert them with safetensors.torch.save_file."
        )
        raise PluginError(
            f"these weights cannot be read: not a safetensors file ({error})",
            where=str(path),
            hint=None if pickles else hint,
        ) from error
    try:
        about = json.loads(metadata.get(_ABOUT, "{}"))
        if not isinstance(about, dict) or not _are_names(about.get("classes", [])):
            raise ValueError
    except (ValueError, RecursionError):
        raise PluginError(f"what these weights say of themselves ({_ABOUT}) is damaged", where=str(path)) from None
    return Weights(path, tensors, about)


def _about_checkpoint(content: Any) -> dict[str, Any]:
    """The classes that a checkpoint names: MMEngine's in its meta (older ones in capitals), others beside weights."""
    if not isinstance(content, Mapping):
        return {}
    meta = content.get("meta")
    data = meta.get("dataset_meta") if isinstance(meta, Mapping) else None
    for place in (data, meta, content):
        for key in ("classes", "CLASSES"):
            names = place.get(key) if isinstance(place, Mapping) else None
            if _are_names(names) and len(names):
                return {"classes": list(names)}
    return {}


def _are_names(value: Any) -> TypeGuard[Sequence[str]]:
    return isinstance(value, (list, tuple)) and all(isinstance(name, str) for name in value)


def check_weights(
    weights: Weights,
    own: Mapping[str, torch.Tensor],
    free: Collection[str] = (),
    of: str = "this model",
    *,
    shapes: bool = True,
) -> None:
    """That a file's tensors are those of a model: by name, numbers of the same kind, and shape.

    Floats of any width may stand for others, but for those of 8 bits, which are codes without the scale that belongs to
    them; whole numbers may not stand for floats at all (``load_state_dict`` would cast them in silence). A NaN or an
    infinite number where the model's own tensor has none is of a training that diverged, or was too large for 16 bits:
    such a network says nothing.

    Args:
        weights: the file's content.
        own: the model's tensors by name.
        free: names of the model's that the file may lack, or have for another number of classes: with another first
            dimension, as a head's and an embedding's are.
        of: what the weights should be of, for the hint.
        shapes: whether shapes of those that are not free are looked at.

    Raises:
        PluginError: some are missing, unexpected, of another kind, not finite or of another shape; says how many,
            which, and what to do.
    """
    _check_kinds(weights, own)
    codes = any(name not in own and _kind(value) == "8-bit" for name, value in weights.tensors.items())
    check_weight_names(weights.path, weights.tensors, own, free, of, _DEQUANTISE if codes else "")
    theirs = weights.tensors
    there = [name for name in own if name in theirs]
    wrong = [name for name in there if name in free and not _alike(theirs[name], own[name])]
    if shapes:
        wrong = [
            name for name in there if name in wrong or (name not in free and theirs[name].shape != own[name].shape)
        ]
    if wrong:
        raise PluginError(
            f"{len(wrong)} tensors of these weights have another shape than the model's: {wrong[0]} has the shape "
            f"{tuple(theirs[wrong[0]].shape)}, in the model it is {tuple(own[wrong[0]].shape)}",
            where=str(weights.path),
            hint=f"Are they of {of}?",
        )


def _alike(found: torch.Tensor, own: torch.Tensor) -> bool:
    """Whether two tensors have the same shape but for the number of rows, and there are rows."""
    return found.dim() == own.dim() and found.shape[1:] == own.shape[1:] and (found.numel() > 0 or not own.numel())


def _check_kinds(weights: Weights, own: Mapping[str, torch.Tensor]) -> None:
    both = [name for name in weights.tensors if name in own and not name.endswith(_COUNT)]
    wrong = [name for name in both if not _stands_for(weights.tensors[name], own[name])]
    if wrong:
        found, wanted = (str(one[wrong[0]].dtype).removeprefix("torch.") for one in (weights.tensors, own))
        codes = _kind(weights.tensors[wrong[0]]) == "8-bit"
        raise PluginError(
            f"{len(wrong)} tensors of these weights are of another type than the model's: {wrong[0]} is {found}, in "
            f"the model it is {wanted}",
            where=str(weights.path),
            hint=_DEQUANTISE if codes else f"Convert them to {wanted} where they come from.",
        )
    lost = [name for name in both if not _finite(weights.tensors[name], own[name]) and _finite(own[name], own[name])]
    if lost:
        raise PluginError(
            f"{len(lost)} tensors of these weights hold NaN or infinite numbers: {_some(lost)}",
            where=str(weights.path),
            hint="Did their training diverge, or were they too large for 16 bits? Take an earlier checkpoint.",
        )


def _stands_for(found: torch.Tensor, own: torch.Tensor) -> bool:
    if own.is_floating_point():
        return _kind(found) == "float"
    return found.is_complex() == own.is_complex() and not found.is_floating_point()


def _kind(tensor: torch.Tensor) -> str:
    if tensor.element_size() == 1 and str(tensor.dtype) != "torch.bool":
        return "8-bit"
    return "float" if tensor.is_floating_point() else "other"


def _finite(tensor: torch.Tensor, like: torch.Tensor) -> bool:
    return not like.is_floating_point() or bool(tensor.to(like.dtype).isfinite().all())


def check_weight_names(
    path: Path,
    found: Collection[str],
    own: Collection[str],
    free: Collection[str] = (),
    of: str = "this model",
    advice: str = "",
) -> None:
    """The part of `check_weights` about names.

    Args:
        path: the file.
        found: names of its tensors.
        own: names of the model's.
        free: those of the model's that the file may lack, such as a head's.
        of: what the weights should be of, for the hint.
        advice: more of the hint.

    Raises:
        PluginError: some are missing or unexpected; says how many, which, and what the nearest name is.
    """
    found, own = ([name for name in names if not name.endswith(_COUNT)] for names in (found, own))
    known, there = set(own), set(found)
    missing = [name for name in own if name not in there and name not in free]
    unexpected = [name for name in found if name not in known]
    if not missing and not unexpected:
        return
    problems, hints = [], [f"Are they of {of}?"]
    if missing:
        problems.append(f"lack {len(missing)} of {len(own)} tensors ({_some(missing)})")
    if unexpected:
        problems.append(f"have {len(unexpected)} that the model has not ({_some(unexpected)})")
        close = nearest(unexpected[0], list(own), 1)
        hints += [f"The nearest name to {unexpected[0]} in the model is {close[0]}."] if close else []
    raise PluginError(
        f"these weights {' and '.join(problems)}", where=str(path), hint=" ".join([*hints, advice]).strip()
    )


def class_order(
    weights: Weights, count: int, classes: Sequence[str], ctx: Context, *, trained: bool, part: str = "the head"
) -> list[int] | None:
    """Where weights that tell classes apart have each class of a data set, by name.

    Names are the same where they look the same: an accent may be a character of its own or not (Unicode's NFC and NFD).

    Args:
        weights: what `read_weights` gave.
        count: how many classes their tensors tell apart.
        classes: the data set's, in its order.
        ctx: is told where the classes are others, or cannot be known.
        trained: whether the network is trained before it is used.
        part: what depends on the classes.

    Returns:
        For each of the data set's classes, its place among those of the weights: their order where nothing names them.
        None where they are other classes, so that ``part`` has to start new.

    Raises:
        PluginError: they are other classes, and nothing is trained; or not as many as the file names, which may also
            name one twice.
    """
    known, name = weights.classes, weights.path.name
    composed = [unicodedata.normalize("NFC", one) for one in classes]
    if known is not None and len(set(composed)) == len(classes):  # else only the exact names tell them apart
        known, classes = tuple(unicodedata.normalize("NFC", one) for one in known), composed
    if known is not None and len(known) != count:
        raise PluginError(
            f"these weights name {len(known)} classes, but tell {count} apart",
            where=str(weights.path),
            hint="What the file says of itself is not about these tensors.",
        )
    if twice := sorted({one for one in known or () if known and known.count(one) > 1}):
        raise PluginError(
            f"these weights name a class twice: {_some(twice)}",
            where=str(weights.path),
            hint="Which of its places is meant cannot be known: name each class once where they are saved.",
        )
    if known is None and count == len(classes):
        if count > 1:
            ctx.warn(
                f"nothing in the weights {name} says which {count} classes they tell apart: they are taken for the "
                "data set's own, in its order"
            )
        return list(range(count))
    if known is not None and sorted(known) == sorted(classes):
        return [known.index(one) for one in classes]
    if known is None or count != len(classes):
        differ = f"tell {count} classes apart{_named(known)}, the data set has {len(classes)}{_named(classes)}"
    else:
        theirs, ours = (
            [one for one in some if one not in other] for some, other in ((known, classes), (classes, known))
        )
        differ = f"tell other classes apart than the data set has: {_some(theirs)} and not {_some(ours)}"
    if not trained:
        raise PluginError(
            f"these weights {differ}", where=str(weights.path), hint="They need training: set epochs to 1 or more."
        )
    ctx.warn(f"the weights {name} {differ}: {part} starts new")
    return None


def _named(classes: Sequence[str] | None) -> str:
    return f" ({_some(classes)})" if classes else ""


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")
