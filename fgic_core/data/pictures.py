"""Pictures as users have them: files, pictures that Pillow opened or made, arrays."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from fgic_core.data.images import Facts, examine, examine_opened
from fgic_core.errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image

#: A file; a picture of Pillow's, of any mode; an array (height, width, 3), RGB, or (height, width), grey, of uint8 or
#: of floats in [0, 1].
AnyPicture: TypeAlias = "Path | str | Image | np.ndarray[Any, Any]"

_HINT = "An array is (height, width, 3) or (height, width), uint8 or floats in [0, 1]."


def examine_any(picture: AnyPicture, name: str = "picture") -> tuple[Image, Facts]:
    """Any picture as 8-bit RGB, upright, and what its file says.

    Args:
        picture: see `AnyPicture`.
        name: what errors call one that is no file.

    Raises:
        DataError: it cannot be read, or is none.
    """
    from PIL.Image import Image

    if isinstance(picture, (str, Path)):
        return examine(Path(picture))
    if isinstance(picture, Image):
        return examine_opened(picture, str(getattr(picture, "filename", "")) or name)
    if isinstance(picture, np.ndarray):
        return _of_array(picture, name), Facts()
    what = f"a {type(picture).__name__} is no picture"
    raise DataError(what, where=name, hint=f"Give a path, a Pillow picture or an array. {_HINT}")


def as_list(pictures: AnyPicture | Iterable[AnyPicture]) -> list[AnyPicture]:
    """The pictures; one that stands alone is a list of one."""
    from PIL.Image import Image

    if isinstance(pictures, (str, Path, Image)):
        return [pictures]
    if isinstance(pictures, np.ndarray):
        return [pictures] if pictures.ndim < 4 else [*pictures]
    return list(pictures)


def _of_array(values: np.ndarray[Any, Any], name: str) -> Image:
    from PIL import Image as Pillow

    if values.ndim not in (2, 3) or (values.ndim == 3 and values.shape[2] != 3) or not values.size:
        raise DataError(f"an array of shape {values.shape} is no picture", where=name, hint=_HINT)
    if values.dtype.kind == "f":
        if not ((values >= 0) & (values <= 1)).all():  # of NaN neither is true
            low, high = values.min(), values.max()
            raise DataError(f"the array's floats reach from {low:.6g} to {high:.6g}", where=name, hint=_HINT)
        values = np.rint(values.astype(np.float64) * 255).astype(np.uint8)
    if values.dtype != np.uint8:
        raise DataError(f"an array of {values.dtype} is no picture", where=name, hint=_HINT)
    return Pillow.fromarray(np.ascontiguousarray(values)).convert("RGB")
