"""Grey values of more than 8 bits in 8 bits."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from PIL import Image as Pillow

_Values = np.ndarray[Any, np.dtype[np.float64]]
#: The largest value, counted from black, of a picture whose file does not say its range (else None), and the one that
#: was taken for white.
Depth = tuple[float | None, float]
#: How far below 0 values may lie, as a fraction of the largest: what resampling overshoots.
_BELOW = 0.1
#: TIFF's tags.
_BITS_PER_SAMPLE, _SAMPLE_FORMAT, _S_MIN_SAMPLE_VALUE, _S_MAX_SAMPLE_VALUE = 258, 339, 340, 341
_UNSIGNED = 1
#: The largest values of 8 bits to 32: whoever writes one means a range.
_ENDS = frozenset(2.0**bits - 1 for bits in range(8, 33))


def eight_bit(
    image: Pillow.Image, file: Pillow.Image, source: Path | bytes
) -> tuple[np.ndarray[Any, np.dtype[np.uint8]], Depth]:
    """The grey values of a picture of mode I or F in 8 bits, and its depth.

    What the file says of its range is believed where all values lie within it: TIFF's BitsPerSample; SMaxSampleValue,
    if it is the end of a range of bits (255, 1023, 4095, …; 1 in a float file) and not merely the picture's largest
    value; PNG's sBIT. Else 16-bit pictures have 0 to 65535. 32-bit and float files are taken as 0 to 1 (float alone),
    0 to 255 or 0 to 65535, whichever is the first that holds the largest value. No picture of these is scaled by its
    own largest value: a dark one would be as bright as any other. Only a 32-bit or float file with values beyond 65535
    that does not say its range is: nothing else is known of it.

    Args:
        image: upright.
        file: what it was opened as.
        source: of the file.

    Raises:
        ValueError: values are not finite, or so far below 0 that nothing says which is black.
    """
    values = np.asarray(image).astype(np.float64)
    wrong = int((~np.isfinite(values)).sum())
    if wrong:
        raise ValueError(f"{wrong:,} of its {values.size:,} values are not finite (NaN or infinite)")
    smallest, largest = values.min(initial=0.0), values.max(initial=0.0)
    said = _said_by_tiff(file, values) if file.format == "TIFF" else _said_by_png(file, source, values)
    black, white = said or (0.0, _guess(image, file, largest))
    if not said and smallest < -_BELOW * largest:
        raise ValueError(f"its values go down to {smallest:.6g}, and nothing says which of them is black")
    scaled: np.ndarray[Any, np.dtype[np.uint8]] = np.clip(
        (values - black) / (white - black) * 255.0 + 0.5, 0, 255
    ).astype(np.uint8)
    return scaled, (None if said else float(largest), float(white))


def _guess(image: Pillow.Image, file: Pillow.Image, largest: float) -> float:
    is_float = image.mode == "F"  # PFM is one of Pillow's PPM; PGM it scales by the range that the file says
    if image.mode.startswith("I;16") or (file.format == "PPM" and not is_float):
        return 65535.0
    tops = [1.0, 255.0, 65535.0] if is_float else [255.0, 65535.0]
    return next((top for top in tops if largest <= top), largest)


def _said_by_tiff(file: Any, values: _Values) -> tuple[float, float] | None:
    tags = file.tag_v2
    low, high = (_first(tags.get(tag)) for tag in (_S_MIN_SAMPLE_VALUE, _S_MAX_SAMPLE_VALUE))
    bits = _first(tags.get(_BITS_PER_SAMPLE)) or 0
    said: list[tuple[float, float]] = []
    if high in _ENDS or (high == 1.0 and file.mode == "F"):
        # From black to white, or as far below 0 as above it; any other least value is merely the picture's own.
        said.append((low if low in (-high, -high - 1) else 0.0, high))
    if 8 < bits < 16 and _first(tags.get(_SAMPLE_FORMAT, _UNSIGNED)) == _UNSIGNED:
        said.append((0.0, 2.0**bits - 1))
    smallest, largest = values.min(initial=0.0), values.max(initial=0.0)
    return next(((black, white) for black, white in said if black <= smallest and largest <= white), None)


def _first(value: Any) -> float | None:
    """A tag's value, or the first of them."""
    value = value[0] if isinstance(value, tuple) and value else value
    try:
        return float(value)
    except (TypeError, ValueError, ZeroDivisionError):
        return None


def _said_by_png(file: Pillow.Image, source: Path | bytes, values: _Values) -> tuple[float, float] | None:
    """The range that sBIT says, if the values are in the lower bits.

    By the standard they should be in the upper ones, scaled to all 16, and then sBIT changes nothing; cameras' files
    often have them as they were measured.
    """
    bits = _significant_bits(source) if file.format == "PNG" else 16
    if not 8 < bits < 16 or values.max(initial=0.0) >= 2.0**bits:
        return None
    whole = values.astype(np.int64)
    lower = whole & ((1 << (16 - bits)) - 1)
    if np.all((lower == 0) | (lower == whole >> bits)):
        return None
    return 0.0, 2.0**bits - 1


def _significant_bits(source: Path | bytes) -> int:
    """What a PNG's sBIT chunk, which stands before the pixels, says of its first channel; 16 where there is none."""
    if isinstance(source, Path):
        with source.open("rb") as file:
            head = file.read(1 << 16)
    else:
        head = source[: 1 << 16]
    position = 8
    while position + 9 <= len(head):
        length, name = struct.unpack_from(">I4s", head, position)
        if name == b"sBIT":
            return head[position + 8] if length else 16
        if name == b"IDAT":
            break
        position += 12 + length
    return 16
