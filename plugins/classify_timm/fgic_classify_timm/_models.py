"""The models that timm has, found in its sources and without importing it, which takes seconds: a spec is checked."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

_REGISTERED = re.compile(rb"@register_model\s+def (\w+)\(")


@lru_cache(maxsize=64)
def has_model(name: str) -> bool:
    """Whether timm has a model of that name, an old one among them; True where its sources are not there to be read."""
    defined, renamed = f"def {name}(".encode(), (f"'{name}':".encode(), f'"{name}":'.encode())
    nothing = True
    for file in _sources(name):
        nothing = False
        text = file.read_bytes()
        if defined in text or any(one in text for one in renamed):
            return True
    return nothing


def models() -> list[str]:
    """The names of all."""
    return sorted({name.decode() for file in _sources("") for name in _REGISTERED.findall(file.read_bytes())})


def _sources(name: str) -> Iterator[Path]:
    """The files that define models, first those whose own name the model's begins with."""
    found = find_spec("timm")
    if found is None or found.origin is None:
        return
    files = sorted((Path(found.origin).parent / "models").glob("*.py"))
    yield from sorted(files, key=lambda file: not name.startswith(file.stem))
