"""Choosing the device a run computes on."""

from __future__ import annotations

import re

from fgic_core.errors import FgicError


def check_device(asked: str) -> None:
    """Raises FgicError where no machine has a device of that name."""
    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", asked):
        raise FgicError(f"{asked!r} is no device", hint="Devices are auto, cpu, cuda, cuda:0 and mps.")


def choose_device(asked: str, devices: int = 1) -> str:
    """torch's name of the device.

    Args:
        asked: ``auto``, ``cpu``, ``cuda``, ``cuda:<n>`` or ``mps``.
        devices: how many are wanted. On ``cpu`` that is a number of processes that compute side by side: slower than
            one, but a way to try on any machine what trains on several GPUs.

    Raises:
        FgicError: this machine does not have it, or not that many.
    """
    check_device(asked)
    if asked == "cpu":
        return asked
    import torch

    cuda = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if asked == "auto" and (cuda or devices > 1):
        asked = "cuda"
    if asked == "auto":
        return "mps" if torch.backends.mps.is_available() else "cpu"
    if asked == "mps" and not torch.backends.mps.is_available():
        raise FgicError("torch finds no mps device on this machine", hint="Use --device cpu.")
    if asked == "mps" and devices > 1:
        raise FgicError(f"{devices} mps devices are asked for, but a machine has one", hint="Use --devices 1.")
    if asked.startswith("cuda"):
        number = int(asked.partition(":")[2] or 0)
        if number + devices > cuda:
            raise FgicError(
                f"{asked} with {devices} device(s) is asked for, but torch finds {cuda} CUDA device(s) on this machine",
                hint="Use --device auto or --device cpu." if devices == 1 else "Ask for fewer, or use --device cpu.",
            )
    return asked


def devices_from(device: str, several: int = 1) -> list[str]:
    """The devices of this machine that jobs can have one each, beginning with the one that was chosen.

    Args:
        device: as `choose_device` gives it. Of ``cuda`` these are all GPUs, of ``cuda:1`` that one alone; on ``cpu``
            jobs share the processors.
        several: how many of them a job may use, of which there are as many.
    """
    kind, _, first = device.partition(":")
    if kind != "cuda":
        return [device]
    import torch

    start = int(first or 0)
    end = start + several if first else torch.cuda.device_count()
    return [f"cuda:{number}" for number in range(start, end)] if end - start > 1 else [device]
