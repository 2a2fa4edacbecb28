"""Digests of content: BLAKE2b of 128 bits, as 32 hexadecimal digits."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from fgic_core.data.files import regular_file

_BLOCK = 1 << 20


def digest_bytes(content: bytes) -> str:
    """The digest of bytes."""
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def digest_of(value: Any) -> str:
    """The digest of JSON values, whatever the order of their keys."""
    return digest_bytes(json_of(value).encode())


def json_of(value: Any) -> str:
    """JSON values as `digest_of` reads them: in ASCII, sorted, without a blank."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def digest_file(path: Path) -> str:
    """The digest of a file's content.

    Raises:
        OSError: it cannot be read, or is no regular file.
    """
    digest = hashlib.blake2b(digest_size=16)
    with regular_file(path).open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
