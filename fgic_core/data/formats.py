"""Which files are pictures, by how their names end, and what it would take to read the others."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from importlib.util import find_spec
from pathlib import Path


def _suffixes(words: str) -> frozenset[str]:
    return frozenset(f".{word}" for word in words.split())


#: HEIF pictures, as phones make them. They need pillow-heif, which is an extra: ``fgic[heif]``.
HEIF_SUFFIXES = _suffixes("heic heif hif")

#: How the names of picture files end, in small letters: what Pillow opens, and HEIF. Written out, because it is needed
#: where Pillow's plugins, which know it, would be slow to import, and because a folder's fingerprint may not depend on
#: how a machine's Pillow was built. Left out is what is no single raster picture (films, pages, containers of science).
PICTURE_SUFFIXES = HEIF_SUFFIXES | _suffixes(
    "apng avif avifs blp bmp bw cur dcx dds dib ftc ftu gbr gif icb icns ico im j2c j2k jfif jp2 jpc jpe jpeg jpf jpg "
    "jpx mpo msp pbm pcd pcx pfm pgm png pnm ppm psd pxr qoi ras rgb rgba sgi tga tif tiff vda vst webp xbm xpm"
)

#: What lies beside pictures without being one: annotations, notes, archives, what systems and programs leave.
_SIDE_SUFFIXES = _suffixes(
    "aae bak cfg crdownload csv db gz html htm ini ipynb json jsonl lnk log lst mat md md5 npy npz parquet part pkl py "
    "rst sha256 tar tmp toml tsv txt url xml xmp yaml yml zip"
)
_RAW_SUFFIXES = _suffixes("3fr arw cr2 cr3 dng erf nef nrw orf pef raf raw rw2 srw x3f")

#: How many bytes a file may have for its format to be looked for: some of Pillow's plugins read it whole.
_LARGEST = 256 << 20

HEIF_NEEDED = 'HEIF, which needs pillow-heif: pip install "fgic[heif]"'


@cache
def has_heif() -> bool:
    """Whether pillow-heif is installed."""
    return find_spec("pillow_heif") is not None


def is_picture(name: str) -> bool:
    """Whether a file is a picture that this installation reads, by its name."""
    suffix = Path(name).suffix.lower()
    return suffix in PICTURE_SUFFIXES and (suffix not in HEIF_SUFFIXES or has_heif())


def why_left_out(path: Path) -> str | None:
    """Why a file that is no picture by its name may be one all the same, and what it would take to read it.

    Returns:
        None for what ordinarily lies beside pictures, such as text.
    """
    suffix = path.suffix.lower()
    if suffix in HEIF_SUFFIXES:
        return HEIF_NEEDED
    if suffix in _SIDE_SUFFIXES:
        return None
    if suffix in _RAW_SUFFIXES:
        return "a camera's raw file: export it as TIFF, PNG or JPEG"
    found = _format(path)
    named = {"JPEG2000": ".jp2"}.get(found, f".{found.lower()}")
    if named in PICTURE_SUFFIXES:
        return f"{found} by what is in it: name it {named}"
    return "no picture that can be read: convert it to PNG or JPEG, or remove it" if suffix else None


def summary(left_out: Iterable[tuple[str, str]]) -> str:
    """How many files were left out, by suffix and reason, each with a few names.

    Args:
        left_out: paths, and why each was left out.
    """
    groups: dict[tuple[str, str], list[str]] = {}
    for path, reason in left_out:
        groups.setdefault((Path(path).suffix.lower() or "without a suffix", reason), []).append(path)
    return "; ".join(
        f"{len(paths):,} {suffix} ({', '.join(paths[:3])}{', …' if len(paths) > 3 else ''}): {reason}"
        for (suffix, reason), paths in groups.items()
    )


def _format(path: Path) -> str:
    """The format that Pillow finds in the file; empty where it finds none."""
    from PIL import Image

    from fgic_core.data.files import regular_file

    try:
        with Image.open(regular_file(path, _LARGEST)) as image:
            return image.format or ""
    except Exception:  # what is no picture makes Pillow raise nearly anything
        return ""
