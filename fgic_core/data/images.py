"""Where pictures are decoded, cut and resized: the only place of fgic that does."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from fgic_core.data.depth import Depth, eight_bit
from fgic_core.data.files import UnfitFileError, regular_file
from fgic_core.data.formats import HEIF_NEEDED
from fgic_core.data.geometry import Box, Size
from fgic_core.errors import DataError

if TYPE_CHECKING:
    import torch
    from PIL import Image as Pillow
    from PIL.Image import Image
    from PIL.ImageFile import ImageFile

# Pillow warns of odd metadata, once for each odd file. What cannot be read raises all the same. A filter, set once, and
# not `warnings.catch_warnings` around each picture: that swaps global state and is not safe between threads.
warnings.filterwarnings("ignore", module=r"PIL\.")

_REPLACE = "Replace or remove it."
#: Text chunks that Pillow writes stand before the pixels.
ORIGIN_BEFORE = 65_536

#: How many bytes a picture's file may have. Pillow allows 179 million pixels, which are 1.4 GB at 16 bits and RGBA.
LARGEST_PICTURE = 2 << 30

#: What the first box of a HEIF file names.
_HEIF_BRANDS = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"hevm", b"hevs", b"mif1", b"msf1")

Interpolation = Literal["nearest", "bilinear", "bicubic", "lanczos"]

#: Grey that letterboxed borders, and what is masked, are filled with, in 8-bit RGB.
BORDER = (128, 128, 128)


def decode(source: Path | bytes, name: str | None = None) -> Image:
    """Read a picture as 8-bit RGB, upright. Safe to call from several threads.

    EXIF rotation is applied; palette, greyscale, CMYK and 16-bit pictures are converted (see `fgic_core.data.depth`);
    transparency is laid on white; of an animation the first frame is taken. HEIF needs the extra ``fgic[heif]``.

    Args:
        source: a file, or the bytes of one.
        name: what errors call the picture; the path by default.

    Raises:
        DataError: the file is missing, is not a picture, is cut short, or is larger than Pillow's safety limit.
    """
    return examine(source, name)[0]


@dataclass(frozen=True, slots=True)
class Facts:
    """What a picture's file says and its pixels no longer do.

    Attributes:
        orientation: EXIF's, 1 to 8, by which the picture was turned; 1 is upright.
        largest: of a picture with more than 8 bits whose file does not say its range, the largest value, counted from
            black; else None. (Of 16-bit colour to within 255: Pillow gives 8 bits alone.)
        white: the value that was taken for white.
        is_cut: whether it is 16-bit colour, of which nothing that the file says of its range can be followed.
    """

    orientation: int = 1
    largest: float | None = None
    white: float = 255.0
    is_cut: bool = False

    @property
    def is_nearly_black(self) -> bool:
        """Whether nothing in the picture is brighter than a sixteenth of white, as 12 bits are in 16."""
        return self.largest is not None and 0 < self.largest <= self.white / 16

    @property
    def turns(self) -> bool:
        """Whether the upright picture has the width that the file's has as height."""
        return self.orientation in (5, 6, 7, 8)


def examine(source: Path | bytes, name: str | None = None) -> tuple[Image, Facts]:
    """As `decode`, with what the file says."""
    name = name or (str(source) if isinstance(source, Path) else "picture")
    with _reading(name), _open(source) as image:
        return _examine(image, source)


def examine_opened(image: Image, name: str = "picture") -> tuple[Image, Facts]:
    """As `examine`, of a picture that Pillow has opened or made, of any mode. It stays as it is.

    Raises:
        DataError: its file is broken, or closed before it was read.
    """
    with _reading(name):
        file = Path(str(getattr(image, "filename", "")))
        return _examine(image, file if file.is_file() else b"")


def _examine(image: Image, source: Path | bytes) -> tuple[Image, Facts]:
    from PIL import ImageOps

    # Pillow turns a TIFF itself, and takes the tag away; a PNG may say it behind its pixels.
    early = _orientation(image) if image.format == "TIFF" else 1
    coarse = _is_cut_to_8_bits(image)
    image.load()
    late = _orientation(image)
    upright, depth = _rgb(ImageOps.exif_transpose(image) if late != 1 else image, image, source, coarse)
    return upright, Facts(max(early, late), *depth, coarse)


def read_size(path: Path) -> Size:
    """Width and height of a picture after its EXIF rotation, from its header.

    (PNG alone may carry the rotation behind its pixels, so that these are decoded.)

    Raises:
        DataError: the file is missing or not a picture.
    """
    return read_header(path)[0]


def read_header(path: Path) -> tuple[Size, Facts]:
    """As `read_size`, with the orientation."""
    with _reading(str(path)), _open(path) as image:
        width, height = image.size
        facts = Facts(_orientation(image))
        # Pillow turns the size of a TIFF itself when it opens the file.
        turned = image.format != "TIFF" and facts.turns
    return (Size(height, width) if turned else Size(width, height)), facts


#: The PNG text chunk in which a made picture says what it was made by.
ORIGIN = "fgic-origin"


def read_origin(content: bytes) -> tuple[str, tuple[str, ...]] | None:
    """What a picture's file says made it, such as ``generator/biggan``, and its parents; None for most pictures.

    A file that says so in words that cannot be read was made by something ``unknown``.

    Args:
        content: the file's bytes.
    """
    import json

    from PIL import Image

    if not says_origin(content):
        return None
    try:
        with Image.open(BytesIO(content)) as image:
            about = json.loads(image.info[ORIGIN])
            return str(about["uses"]), tuple(str(name) for name in about["parents"])
    except Exception:
        return "unknown", ()


def says_origin(head: bytes) -> bool:
    """Whether a file says that it was made, by its first `ORIGIN_BEFORE` bytes."""
    return head.startswith(b"\x89PNG") and b"tEXt" + ORIGIN.encode() + b"\0" in head[:ORIGIN_BEFORE]


def _open(source: Path | bytes) -> ImageFile:
    from PIL import Image, UnidentifiedImageError

    def opened() -> ImageFile:
        return Image.open(regular_file(source, LARGEST_PICTURE) if isinstance(source, Path) else BytesIO(source))

    try:
        return opened()
    except UnidentifiedImageError:
        head = _head(source, 12)
        if head[4:8] != b"ftyp" or head[8:12] not in _HEIF_BRANDS:
            raise
        if not _register_heif():
            raise ValueError(f"it is {HEIF_NEEDED}") from None
    try:
        return opened()
    except UnidentifiedImageError:
        raise ValueError("this HEIF file is damaged, or of a kind that pillow-heif does not read") from None


def _head(source: Path | bytes, count: int) -> bytes:
    if isinstance(source, bytes):
        return source[:count]
    with source.open("rb") as file:
        return file.read(count)


@cache
def _register_heif() -> bool:
    """Let Pillow read HEIF, where pillow-heif is installed."""
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        return False
    register_heif_opener()
    return True


@contextmanager
def _reading(name: str) -> Iterator[None]:
    """Give every way in which a decoder fails on a broken file as a DataError that names the file."""
    from PIL import Image, UnidentifiedImageError

    try:
        yield
    except FileNotFoundError:
        raise DataError("the picture is missing", where=name, hint="Restore the file or remove it.") from None
    except UnfitFileError as error:
        raise DataError(f"the picture cannot be read: {error}", where=name, hint=_REPLACE) from None
    except UnidentifiedImageError:
        raise DataError("this file is not a picture that can be read", where=name, hint=_REPLACE) from None
    except Image.DecompressionBombError as error:
        raise DataError(f"the picture is too large: {error}", where=name, hint="Scale it down or remove it.") from None
    except Exception as error:  # broken bytes make decoders raise nearly anything: struct.error, KeyError, zlib.error
        raise DataError(
            f"the picture cannot be decoded: {str(error) or type(error).__name__}", where=name, hint=_REPLACE
        ) from None


def _orientation(image: Pillow.Image) -> int:
    """EXIF's orientation, 1 to 8; 1 where it is missing or senseless. Broken metadata does not spoil a picture."""
    try:
        value = image.getexif().get(0x0112, 1)
    except Exception:
        return 1
    return value if value in range(1, 9) else 1


def _rgb(image: Pillow.Image, file: Pillow.Image, source: Path | bytes, coarse: bool) -> tuple[Image, Depth]:
    """The picture in 8-bit RGB, and `Facts.largest` and `Facts.white`.

    Args:
        image: upright.
        file: what it was opened as.
        source: of the file.
        coarse: whether Pillow has cut 16 bits to 8.
    """
    from PIL import Image as Pillow

    if image.mode.startswith("I") or image.mode == "F":
        values, depth = eight_bit(image, file, source)
        return Pillow.fromarray(values).convert("RGB"), depth
    rgb = _flat(image)
    if not coarse:
        return rgb, (None, 255.0)
    top = max(int(high) for _, high in rgb.getextrema())  # type: ignore[misc]
    # Of PPM Pillow rounds the value, of others it cuts it: in both ways 4095 of 12 bits comes back as that.
    return rgb, (256.0 * (top if file.format == "PPM" else top + 1) - 1.0 if top else 0.0, 65535.0)


def _is_cut_to_8_bits(image: Pillow.Image) -> bool:
    """Whether Pillow reads a colour picture of 16 bits by the upper 8, as its raw mode (``RGB;16B``) says.

    PPM has no raw mode, but its largest value; where that is less, Pillow scales by it.
    """
    deep = "65535" if image.format == "PPM" else ";16"
    tiles = getattr(image, "tile", ())  # a picture that was made in memory has none
    return image.mode in ("RGB", "RGBA", "RGBX", "LA") and any(deep in str(tile.args) for tile in tiles)


def _flat(image: Pillow.Image) -> Image:
    from PIL import Image as Pillow

    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        white = Pillow.new("RGBA", rgba.size, (255, 255, 255, 255))
        return Pillow.alpha_composite(white, rgba).convert("RGB")
    return image.convert("RGB")


def cut(image: Image, region: Box | None, masked: bool = False) -> Image:
    """What is shown of a picture: its region, on whole pixels; the picture itself where the region is None.

    Args:
        image: the whole picture, 8-bit RGB. It stays as it is.
        region: what is looked at.
        masked: whether these pixels stay where they are in the picture, and all others are `BORDER`.

    Raises:
        DataError: the region holds no pixel of the picture.
    """
    if region is None:
        return image
    edges = cut_edges(region, Size(*image.size))
    if not masked:
        return image.crop(edges)
    from PIL import Image as Pillow

    shown = Pillow.new("RGB", image.size, BORDER)
    shown.paste(image.crop(edges), edges)
    return shown


def cut_edges(region: Box, image: Size) -> tuple[int, int, int, int]:
    """The whole pixels ``(left, upper, right, lower)`` that `cut` shows of a picture of that size.

    A pixel that the region reaches in part is shown, whether the region is cut out or masked: both show the same ones.

    Raises:
        DataError: the region holds no pixel of it.
    """
    left, upper, right, lower = region.clip(image).outward()
    if right <= left or lower <= upper:
        raise DataError(f"the region {region.xyxy} holds no pixel of a {image.width}x{image.height} picture")
    return left, upper, right, lower


@dataclass(frozen=True, slots=True)
class Placement:
    """Where the pixels of a picture land in a network's input: scaled, then moved.

    A point (x, y) of the picture lands on ``(x * scale_x + left, y * scale_y + top)``.
    """

    scale_x: float
    scale_y: float
    left: float
    top: float
    source: Size
    size: Size

    def to_input(self, box: Box) -> Box:
        """A box of the picture in the pixels of the input."""
        return box.scale(self.scale_x, self.scale_y).shift(self.left, self.top)

    def to_image(self, box: Box) -> Box:
        """A box of the input in the pixels of the picture."""
        return box.shift(-self.left, -self.top).scale(1 / self.scale_x, 1 / self.scale_y)

    def apply(self, image: Image, interpolation: Interpolation = "bicubic", border: Sequence[int] = BORDER) -> Image:
        """Draw the picture where it belongs in an input of ``size``; what it does not cover is ``border``."""
        from PIL import Image as Pillow

        filters = Pillow.Resampling
        width = max(round(self.source.width * self.scale_x), 1)
        height = max(round(self.source.height * self.scale_y), 1)
        resized = image.resize((width, height), filters[interpolation.upper()])
        if (width, height, self.left, self.top) == (self.size.width, self.size.height, 0, 0):
            return resized
        canvas = Pillow.new("RGB", (self.size.width, self.size.height), (border[0], border[1], border[2]))
        canvas.paste(resized, (round(self.left), round(self.top)))
        return canvas

    def bring_back(self, values: np.ndarray[Any, Any]) -> np.ndarray[Any, np.dtype[np.float32]]:
        """A map of the input in the pixels of the picture, read bilinearly; 0 where the input has nothing of it.

        Args:
            values: (height, width) of the input.

        Returns:
            (height, width) of the picture.
        """
        from PIL import Image as Pillow

        # Pillow asks for the place in the input of each of the picture's pixels, by its centre, as `to_input` has it.
        places = (self.scale_x, 0.0, self.left, 0.0, self.scale_y, self.top)
        size, mode = (self.source.width, self.source.height), Pillow.Transform.AFFINE
        given = Pillow.fromarray(np.asarray(values, dtype=np.float32))
        return np.asarray(given.transform(size, mode, places, Pillow.Resampling.BILINEAR))


def letterbox(source: Size, size: Size) -> Placement:
    """The largest centred placement that keeps the picture's ratio and fits the input."""
    scale = min(size.width / source.width, size.height / source.height)
    width, height = max(round(source.width * scale), 1), max(round(source.height * scale), 1)
    return Placement(
        width / source.width,
        height / source.height,
        float((size.width - width) // 2),
        float((size.height - height) // 2),
        source,
        size,
    )


def squash(source: Size, size: Size) -> Placement:
    """The placement that fills the input and gives up the picture's ratio."""
    return Placement(size.width / source.width, size.height / source.height, 0.0, 0.0, source, size)


def center_crop(source: Size, size: Size, fraction: float = 0.875) -> Placement:
    """Scale the shorter side to ``size / fraction`` and keep the middle, as ImageNet evaluation does."""
    scale = max(size.width / source.width, size.height / source.height) / fraction
    width, height = round(source.width * scale), round(source.height * scale)
    return Placement(
        width / source.width,
        height / source.height,
        float((size.width - width) // 2),
        float((size.height - height) // 2),
        source,
        size,
    )


def to_tensor(image: Image) -> torch.Tensor:
    """An 8-bit RGB picture as float32 (3, height, width) in [0, 1]."""
    import torch

    return torch.from_numpy(np.array(image, dtype=np.uint8)).permute(2, 0, 1).to(torch.float32).div_(255.0)


def to_image(pixels: torch.Tensor) -> Image:
    """A float (3, height, width) tensor in [0, 1] as an 8-bit RGB picture."""
    from PIL import Image as Pillow

    values = pixels.detach().cpu().clamp(0, 1).mul(255.0).round().byte().permute(1, 2, 0)
    return Pillow.fromarray(values.contiguous().numpy())
