"""Checking that a component leaves the network, and the global generators, as it found them."""

from __future__ import annotations

import hashlib
import os
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from fgic_core.errors import PluginError

if TYPE_CHECKING:
    import torch
    from torch import nn

_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


@dataclass(frozen=True, slots=True)
class NetworkState:
    """What an explainer or an attacker must not change.

    Attributes:
        mode: training flag of every module.
        requires_grad: of every parameter.
        grad: digest of every parameter's ``.grad``, None where there is none.
        hooks: the hooks of every module.
        weights: digest of parameters and buffers, or their in-place version counters (see `capture`).
        generators: digest of the global generators of Python, NumPy and torch.
    """

    mode: tuple[bool, ...]
    requires_grad: tuple[bool, ...]
    grad: tuple[str | None, ...]
    hooks: tuple[tuple[int, ...], ...]
    weights: tuple[Any, ...]
    generators: str

    @classmethod
    def capture(cls, network: nn.Module, content: bool = True) -> NetworkState:
        """The state as it is now.

        Args:
            network: the network.
            content: read all weights. False takes their version counters alone, which is quick and misses only
                changes that go around autograd (``parameter.data``).
        """
        modules, parameters = list(network.modules()), list(network.parameters())
        tensors = [*parameters, *network.buffers()]
        return cls(
            tuple(module.training for module in modules),
            tuple(parameter.requires_grad for parameter in parameters),
            tuple(None if p.grad is None else tensor_digest(p.grad) for p in parameters),
            tuple(tuple(key for word in _HOOKS for key in getattr(module, word, ())) for module in modules),
            tuple(tensor_digest(t) if content else (t.data_ptr(), _version(t)) for t in tensors),
            _generators(),
        )

    def changes(self, after: NetworkState) -> list[str]:
        """What differs, in words."""
        words = {
            "mode": "the training mode of its modules",
            "requires_grad": "requires_grad of its parameters",
            "grad": "the .grad of its parameters",
            "hooks": "the hooks of its modules",
            "weights": "its parameters or buffers",
            "generators": "the state of a global random generator",
        }
        return [words[f.name] for f in fields(self) if getattr(self, f.name) != getattr(after, f.name)]


@contextmanager
def untouched(network: nn.Module, uses: str, method: str, content: bool = False) -> Iterator[None]:
    """Runs a component's method that must leave everything as it is.

    Raises:
        PluginError: it did not; names the component and what it changed.
    """
    before = NetworkState.capture(network, content)
    yield
    changed = before.changes(NetworkState.capture(network, content))
    if changed:
        raise PluginError(
            f"{method} changed {', '.join(changed)}",
            where=uses,
            hint="It must leave the network as it found it: restore modes, remove hooks, take gradients with "
            "torch.autograd.grad, and draw from a generator of its own.",
        )


def tensor_digest(tensor: torch.Tensor) -> str:
    """A digest of a tensor's values."""
    import torch

    flat = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
    return hashlib.blake2b(flat.numpy().data, digest_size=16).hexdigest()


def _version(tensor: torch.Tensor) -> int:
    return 0 if tensor.is_inference() else int(tensor._version)


def _generators() -> str:
    import numpy as np
    import torch

    digest = hashlib.blake2b(repr(random.getstate()).encode(), digest_size=16)
    numbers: Any = np.random.get_state(legacy=False)
    for value in (*numbers["state"].values(), numbers.get("has_gauss", 0), numbers.get("gauss", 0)):
        digest.update(np.asarray(value).tobytes())
    digest.update(torch.get_rng_state().numpy().tobytes())
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        for each in torch.cuda.get_rng_state_all():
            digest.update(each.numpy().tobytes())
    return digest.hexdigest()


@contextmanager
def own_randomness() -> Iterator[None]:
    """Leave the global generators of Python, NumPy and torch (on the CPU) as they were, whatever is drawn within."""
    import numpy as np
    import torch

    state, numpy_state = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        random.setstate(state)
        np.random.set_state(numpy_state)


@contextmanager
def own_settings() -> Iterator[None]:
    """Leave the settings of this process as they were, whatever is set within: torch's, the folder, the environment."""
    before = [(get, put, get()) for get, put in _settings()]
    try:
        yield
    finally:
        for get, put, value in before:
            if value is not None and get() != value:
                put(value)


def _settings() -> list[tuple[Callable[[], Any], Callable[[Any], object]]]:
    """How each setting is read and put back."""
    import torch

    def flag(of: object, name: str) -> tuple[Callable[[], Any], Callable[[Any], object]]:
        return lambda: getattr(of, name), lambda value: setattr(of, name, value)

    def put_environment(before: dict[str, str]) -> None:
        os.environ.clear()
        os.environ.update(before)

    return [
        (torch.get_default_dtype, torch.set_default_dtype),
        (torch.get_default_device, torch.set_default_device),
        (torch.is_grad_enabled, torch.set_grad_enabled),
        (torch.is_anomaly_enabled, torch.autograd.set_detect_anomaly),
        (torch.get_deterministic_debug_mode, torch.set_deterministic_debug_mode),
        (torch.get_float32_matmul_precision, torch.set_float32_matmul_precision),
        (torch.get_num_threads, torch.set_num_threads),
        *(flag(torch.backends.cudnn, name) for name in ("enabled", "benchmark", "deterministic")),
        (lambda: dict(os.environ), put_environment),
        (_folder, os.chdir),
    ]


def _folder() -> str | None:
    """The working directory; None where it is gone."""
    try:
        return os.getcwd()
    except FileNotFoundError:
        return None
