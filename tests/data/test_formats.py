from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, features

from fgic_core import PICTURE_SUFFIXES, DataError, Size, decode, is_picture, why_left_out
from fgic_core.data import formats
from fgic_core.data.formats import HEIF_SUFFIXES, has_heif, summary
from fgic_core.data.images import read_size

NAMES = "bufr emf eps fit fits flc fli grib h5 hdf iim mpeg mpg palm pdf ps wmf"
#: What Pillow opens and is no single raster picture: films, pages, drawings, containers of science.
NO_PICTURES = {f".{word}" for word in NAMES.split()}


@pytest.fixture
def without_heif(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where pillow-heif is not installed."""
    monkeypatch.setattr(formats, "has_heif", lambda: False)


def test_pictures_are_what_pillow_opens() -> None:
    Image.init()
    known = {suffix for suffix, kind in Image.registered_extensions().items() if kind in Image.OPEN or kind == "MPO"}
    if not features.check("avif"):
        known |= {".avif", ".avifs"}
    assert known - NO_PICTURES == PICTURE_SUFFIXES - HEIF_SUFFIXES
    assert not PICTURE_SUFFIXES & NO_PICTURES


def test_knowing_them_imports_no_pillow() -> None:
    code = "import sys, fgic_core; assert fgic_core.is_picture('a.avif'); assert 'PIL' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("suffix", [".avif", ".jfif", ".jpe", ".tga", ".jp2", ".qoi"])
def test_they_are_read_in_any_case(tmp_path: Path, suffix: str) -> None:
    if suffix == ".avif" and not features.check("avif"):
        pytest.skip("this Pillow was built without AVIF")
    path = tmp_path / f"a{suffix.upper()}"
    Image.new("RGB", (6, 4), (200, 20, 20)).save(path)
    assert is_picture(path.name)
    assert np.abs(np.array(decode(path).getpixel((2, 2))) - (200, 20, 20)).max() < 12
    assert read_size(path) == Size(6, 4)


def test_heif_is_read_where_pillow_heif_is_installed(tmp_path: Path) -> None:
    heif = pytest.importorskip("pillow_heif")
    pixels = np.zeros((32, 64, 3), np.uint8)
    pixels[:, :32] = 200
    heif.from_pillow(Image.fromarray(pixels)).save(tmp_path / "a.heic")
    image = decode(tmp_path / "a.heic")
    assert image.size == (64, 32)
    assert image.getpixel((8, 8))[0] > 180 > 40 > image.getpixel((56, 8))[0]
    assert decode((tmp_path / "a.heic").read_bytes()).tobytes() == image.tobytes()
    assert read_size(tmp_path / "a.heic") == Size(64, 32)
    assert is_picture("a.HEIC")


def test_without_it_the_error_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "a.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    code = (
        "import sys; sys.modules['pillow_heif'] = None\n"
        "from fgic_core import DataError, decode; from pathlib import Path\n"
        "try: decode(Path('a.heic'))\n"
        "except DataError as error: print(error)\n"
    )
    said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=tmp_path).stdout
    assert (
        'a.heic: the picture cannot be decoded: it is HEIF, which needs pillow-heif: pip install "fgic[heif]"' in said
    )


def test_a_heif_picture_that_is_cut_short_is_broken(tmp_path: Path) -> None:
    pytest.importorskip("pillow_heif")
    (tmp_path / "a.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    with pytest.raises(DataError, match=r"a\.heic: .*this HEIF file is damaged"):
        decode(tmp_path / "a.heic")


def test_what_is_left_out_is_explained(tmp_path: Path, without_heif: None) -> None:
    for name in ("photo", "photo.jpg_large", "b.mp4", "README", "c.CR2"):
        (tmp_path / name).write_bytes(b"x")
    for name in ("photo", "photo.jpg_large"):
        Image.new("RGB", (4, 4)).save(tmp_path / name, "JPEG")
    reasons = {path.name: why_left_out(path) for path in sorted(tmp_path.iterdir())}
    assert reasons == {
        "README": None,
        "b.mp4": "no picture that can be read: convert it to PNG or JPEG, or remove it",
        "c.CR2": "a camera's raw file: export it as TIFF, PNG or JPEG",
        "photo": "JPEG by what is in it: name it .jpeg",
        "photo.jpg_large": "JPEG by what is in it: name it .jpeg",
    }
    assert why_left_out(tmp_path / "x.HEIC") == 'HEIF, which needs pillow-heif: pip install "fgic[heif]"'
    assert not is_picture("x.HEIC")
    for name in ("Thumbs.db", "desktop.ini", "a.txt", "a.JSON", "a.xml", "a.csv"):
        assert why_left_out(tmp_path / name) is None


def test_a_pipe_of_an_odd_name_is_not_waited_for(tmp_path: Path, pipe) -> None:
    assert (
        why_left_out(pipe(tmp_path / "a.odd")) == "no picture that can be read: convert it to PNG or JPEG, or remove it"
    )


def test_the_summary_counts_by_suffix_and_names_some() -> None:
    left_out = [(f"a/{number}.HEIC", "needs it") for number in range(5)] + [("b/x.cr2", "raw")]
    said = "5 .heic (a/0.HEIC, a/1.HEIC, a/2.HEIC, …): needs it; 1 .cr2 (b/x.cr2): raw"
    assert summary(left_out) == said


def test_whether_heif_can_be_read_is_asked_of_the_environment() -> None:
    assert has_heif() == bool(__import__("importlib.util").util.find_spec("pillow_heif"))


def test_a_file_is_not_looked_into_where_it_is_too_large_for_a_picture(tmp_path: Path) -> None:
    path = tmp_path / "a.data"
    Image.new("RGB", (6, 4)).save(path, "PNG")
    assert why_left_out(path) == "PNG by what is in it: name it .png"
    with path.open("r+b") as file:
        file.truncate(300 << 20)  # a hole, which takes no room
    assert str(why_left_out(path)).startswith("no picture that can be read")
