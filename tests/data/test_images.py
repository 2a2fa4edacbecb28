from __future__ import annotations

import struct
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps, features

from fgic_core import Box, DataError, Size
from fgic_core.data.images import cut, decode, read_size, to_image, to_tensor

RED, GREEN, BLUE, YELLOW = (200, 20, 20), (20, 200, 20), (20, 20, 200), (200, 200, 20)


def quarters(width: int = 48, height: int = 32) -> Image.Image:
    """Red, green over blue, yellow: every rotation and mirroring looks different."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[: height // 2, : width // 2], pixels[: height // 2, width // 2 :] = RED, GREEN
    pixels[height // 2 :, : width // 2], pixels[height // 2 :, width // 2 :] = BLUE, YELLOW
    return Image.fromarray(pixels)


def corners(image: Image.Image) -> list[tuple[int, ...]]:
    width, height = image.size
    return [image.getpixel((x, y)) for y in (3, height - 4) for x in (3, width - 4)]  # type: ignore[misc]


def near(found: list[tuple[int, ...]], expected: list[tuple[int, ...]], tolerance: int = 12) -> bool:
    return bool(np.abs(np.array(found) - np.array(expected)).max() <= tolerance)


def png(path: Path, bits: int, kind: int, rows: np.ndarray, *extra: tuple[bytes, bytes]) -> None:
    """A PNG that Pillow cannot write itself: 16-bit RGB, chunks behind the pixels."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    height, width = rows.shape[:2]
    raw = b"".join(b"\0" + row.astype(f">u{bits // 8}").tobytes() for row in rows)
    head = struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0)
    parts = [(b"IHDR", head), (b"IDAT", zlib.compress(raw)), *extra, (b"IEND", b"")]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_a_picture_is_upright_whatever_its_exif_orientation(tmp_path: Path, kind: str, orientation: int) -> None:
    if kind == "WEBP" and not features.check("webp"):
        pytest.skip("this Pillow was built without WebP")
    upright = quarters()
    undo = {1: None, 2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}[orientation]  # Image.Transpose that stores it so
    stored = upright if undo is None else upright.transpose(Image.Transpose(undo))
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"picture.{kind.lower()}"
    stored.save(path, kind, exif=exif, **({"quality": 95} if kind in ("JPEG", "WEBP") else {}))
    image = decode(path)
    assert image.size == (48, 32)
    assert near(corners(image), [RED, GREEN, BLUE, YELLOW])
    assert read_size(path) == Size(48, 32)


def test_the_orientation_of_a_png_may_stand_behind_its_pixels(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    png(tmp_path / "late.png", 8, 2, np.zeros((4, 6, 3), np.uint8), (b"eXIf", exif.tobytes()[6:]))
    assert decode(tmp_path / "late.png").size == (4, 6)
    assert read_size(tmp_path / "late.png") == Size(4, 6)


def test_broken_exif_does_not_spoil_a_picture(tmp_path: Path) -> None:
    quarters().save(tmp_path / "a.jpg", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff\x01\x12")
    assert decode(tmp_path / "a.jpg").size == (48, 32)
    assert read_size(tmp_path / "a.jpg") == Size(48, 32)


def test_a_cmyk_jpeg_keeps_its_colours(tmp_path: Path) -> None:
    quarters().convert("CMYK").save(tmp_path / "a.jpg", quality=95)
    with Image.open(tmp_path / "a.jpg") as image:
        assert image.mode == "CMYK"
        assert image.info.get("adobe_transform") is not None  # Adobe's files hold inverted values
    assert near(corners(decode(tmp_path / "a.jpg")), [RED, GREEN, BLUE, YELLOW])


def test_a_palette_picture_keeps_its_colours(tmp_path: Path) -> None:
    quarters().quantize(4).save(tmp_path / "a.png")
    assert near(corners(decode(tmp_path / "a.png")), [RED, GREEN, BLUE, YELLOW])


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "1", "L", "RGB"])
def test_transparency_is_laid_on_white(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "a.png"
    if mode in ("RGBA", "LA"):
        image = Image.new(mode, (2, 1), (0,) * len(mode))
        image.putpixel((1, 0), (*(90,) * (len(mode) - 1), 255))
        image.save(path)
    elif mode == "P":
        image = Image.new("P", (2, 1), 0)
        image.putpalette([0, 0, 0, 90, 90, 90])
        image.putpixel((1, 0), 1)
        image.save(path, transparency=0)
    else:
        shown = {"1": 1, "L": 90, "RGB": (90, 90, 90)}[mode]
        image = Image.new(mode, (2, 1), 0)
        image.putpixel((1, 0), shown)
        image.save(path, transparency=(0, 0, 0) if mode == "RGB" else 0)
    decoded = decode(path)
    assert decoded.getpixel((0, 0)) == (255, 255, 255)
    assert decoded.getpixel((1, 0)) == ((255,) * 3 if mode == "1" else (90, 90, 90))


def test_half_transparent_is_half_white(tmp_path: Path) -> None:
    Image.new("RGBA", (1, 1), (0, 0, 0, 128)).save(tmp_path / "a.png")
    assert decode(tmp_path / "a.png").getpixel((0, 0)) == (127, 127, 127)


@pytest.mark.parametrize(
    ("values", "expected"), [([0, 32768, 65535], [0, 128, 255]), ([0, 100, 200], [0, 0, 1])], ids=["full", "dark"]
)
def test_sixteen_bit_grey_spans_its_whole_range(tmp_path: Path, values: list[int], expected: list[int]) -> None:
    Image.fromarray(np.array([values], np.uint16)).save(tmp_path / "a.png")
    Image.fromarray(np.array([values], np.uint16)).save(tmp_path / "a.tif")
    for name in ("a.png", "a.tif"):
        assert [decode(tmp_path / name).getpixel((x, 0)) for x in range(3)] == [(v, v, v) for v in expected]


def test_sixteen_bit_rgb_is_scaled_and_not_wrapped(tmp_path: Path) -> None:
    png(tmp_path / "a.png", 16, 2, np.array([[[65535, 0, 32768], [255, 256, 65280]]], np.uint16))
    assert [decode(tmp_path / "a.png").getpixel((x, 0)) for x in range(2)] == [(255, 0, 128), (0, 1, 255)]


@pytest.mark.parametrize("top", [1.0, 255.0, 65535.0])
def test_a_float_tiff_is_scaled_by_the_range_it_uses(tmp_path: Path, top: float) -> None:
    Image.fromarray(np.array([[0.0, top / 2, top]], np.float32)).save(tmp_path / "a.tif")
    assert [decode(tmp_path / "a.tif").getpixel((x, 0))[0] for x in range(3)] == [0, 128, 255]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_float_tiff_with_values_that_are_no_numbers_is_refused(tmp_path: Path, value: float) -> None:
    for name, values in (("one", [0.5, value, 0.1]), ("all", [value] * 3)):
        Image.fromarray(np.array([values], np.float32)).save(tmp_path / f"{name}.tif")
        count = 1 if name == "one" else 3
        with pytest.raises(
            DataError, match=rf"{name}.tif: .*: {count} of its 3 values are not finite \(NaN or infinite"
        ):
            decode(tmp_path / f"{name}.tif")


def test_values_below_black_are_refused_unless_the_file_says_which_is_black(tmp_path: Path) -> None:
    values = np.array([[-1.0, 0.0, 1.0]], np.float32)
    Image.fromarray(values).save(tmp_path / "a.tif")
    with pytest.raises(DataError, match="its values go down to -1, and nothing says which of them is black"):
        decode(tmp_path / "a.tif")
    Image.fromarray(np.array([[-5, 0, 9]], np.int32)).save(tmp_path / "b.tif")
    with pytest.raises(DataError, match="its values go down to -5"):
        decode(tmp_path / "b.tif")
    Image.fromarray(values).save(tmp_path / "c.tif", tiffinfo={340: -1.0, 341: 1.0})
    assert [decode(tmp_path / "c.tif").getpixel((x, 0))[0] for x in range(3)] == [0, 128, 255]


def test_what_resampling_overshoots_is_cut_off(tmp_path: Path) -> None:
    Image.fromarray(np.array([[-0.02, 0.0, 1.0]], np.float32)).save(tmp_path / "a.tif")
    assert [decode(tmp_path / "a.tif").getpixel((x, 0))[0] for x in range(3)] == [0, 0, 255]


MEASURED = np.array([[0, 2048, 4095, 1234]], np.uint16)  # as a camera of 12 bits gives them
SEEN = [0, 128, 255, 77]


def grey(path: Path) -> list[int]:
    image = decode(path)
    return [image.getpixel((x, 0))[0] for x in range(image.width)]


def test_the_range_that_a_tiff_says_is_honoured(tmp_path: Path) -> None:
    Image.fromarray(MEASURED).save(tmp_path / "a.tif", tiffinfo={341: 4095})
    assert grey(tmp_path / "a.tif") == SEEN
    Image.fromarray(MEASURED).save(tmp_path / "b.tif", tiffinfo={281: 4095})  # MaxSampleValue is not for showing
    assert grey(tmp_path / "b.tif") == [0, 8, 16, 5]


@pytest.mark.parametrize(
    ("values", "said", "seen"),
    [
        ([0, 32768, 65535], 4095, [0, 128, 255]),  # values beyond it: it is wrong
        ([0, 300, 500], 500, [0, 1, 2]),  # merely the largest value of a dark picture
        ([0, 300, 500], 511, [0, 150, 250]),
        ([0, 32768, 65535], 65535, [0, 128, 255]),
    ],
)
def test_a_range_that_a_tiff_says_is_believed_where_it_can_be_one(
    tmp_path: Path, values: list[int], said: int, seen: list[int]
) -> None:
    Image.fromarray(np.array([values], np.uint16)).save(tmp_path / "a.tif", tiffinfo={341: said})
    assert grey(tmp_path / "a.tif") == seen


def test_a_float_tiff_that_says_its_own_largest_value_is_not_scaled_by_it(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0.0, 0.1, 0.2]], np.float32)).save(tmp_path / "a.tif", tiffinfo={341: 0.2})
    assert grey(tmp_path / "a.tif") == [0, 26, 51]


@pytest.mark.parametrize("top", [1.0, 255.0, 65535.0])
def test_a_float_picture_is_scaled_by_the_range_it_uses_in_pfm_too(tmp_path: Path, top: float) -> None:
    Image.fromarray(np.array([[0.0, top / 2, top]], np.float32)).save(tmp_path / "a.pfm")
    assert grey(tmp_path / "a.pfm") == [0, 128, 255]


def test_the_bits_that_a_png_says_are_honoured_where_the_values_have_no_more(tmp_path: Path) -> None:
    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    for name, values in {
        "low": MEASURED,
        "high": MEASURED << 4,
        "dark": (MEASURED >> 4) << 4,
        "full": MEASURED * 16,
    }.items():
        Image.fromarray(values.astype(np.uint16)).save(tmp_path / f"{name}.png")
        content = (tmp_path / f"{name}.png").read_bytes()
        (tmp_path / f"{name}.png").write_bytes(content[:33] + chunk(b"sBIT", b"\x0c") + content[33:])
    assert grey(tmp_path / "low.png") == SEEN
    assert grey(tmp_path / "high.png") == [0, 128, 255, 77]  # scaled to 16 bits, as the standard wants it
    assert grey(tmp_path / "dark.png") == [0, 8, 16, 5]  # a dark picture of 12 bits that were scaled


def test_a_pgm_says_its_range(tmp_path: Path) -> None:
    (tmp_path / "a.pgm").write_bytes(b"P5 3 1 4095\n" + np.array([0, 16, 4095], ">u2").tobytes())
    (tmp_path / "b.pgm").write_bytes(b"P5 3 1 4095\n" + np.array([0, 8, 15], ">u2").tobytes())
    assert grey(tmp_path / "a.pgm") == [0, 1, 255]
    assert grey(tmp_path / "b.pgm") == [0, 0, 1]  # and is not made brighter because nothing in it is bright


def test_a_32_bit_tiff_is_scaled_by_the_range_it_uses(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0, 128, 255]], np.int32)).save(tmp_path / "a.tif")
    assert [decode(tmp_path / "a.tif").getpixel((x, 0))[0] for x in range(3)] == [0, 128, 255]


def test_greyscale_and_one_bit_pictures_become_rgb(tmp_path: Path) -> None:
    Image.new("L", (8, 8), 77).save(tmp_path / "a.jpg")
    Image.new("1", (8, 8), 1).save(tmp_path / "a.png")
    assert decode(tmp_path / "a.jpg").getpixel((4, 4)) == (77, 77, 77)
    assert decode(tmp_path / "a.png").getpixel((4, 4)) == (255, 255, 255)


def test_of_an_animation_the_first_frame_is_taken(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (4, 4), colour) for colour in (RED, GREEN)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert near([decode(tmp_path / "a.gif").getpixel((1, 1))], [RED])  # type: ignore[list-item]


def test_files_that_are_no_pictures_are_named(tmp_path: Path) -> None:
    quarters(200, 200).save(tmp_path / "whole.jpg")
    (tmp_path / "short.jpg").write_bytes((tmp_path / "whole.jpg").read_bytes()[:1500])
    quarters(200, 200).save(tmp_path / "whole.png")
    (tmp_path / "short.png").write_bytes((tmp_path / "whole.png").read_bytes()[:-40])
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "text.jpg").write_text("<html>404 not found</html>")
    (tmp_path / "folder.jpg").mkdir()
    for name, words in {
        "short.jpg": "truncated",
        "short.png": "decoded",
        "empty.jpg": "not a picture",
        "text.jpg": "not a picture",
        "folder.jpg": "directory",
        "gone.jpg": "missing",
    }.items():
        with pytest.raises(DataError, match=words) as caught:
            decode(tmp_path / name)
        assert str(tmp_path / name) in str(caught.value)
    for name in ("empty.jpg", "text.jpg", "gone.jpg"):
        with pytest.raises(DataError, match=name):
            read_size(tmp_path / name)


def test_a_decompression_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    head = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    body = struct.pack(">I", 13) + b"IHDR" + head + struct.pack(">I", zlib.crc32(b"IHDR" + head))
    (tmp_path / "bomb.png").write_bytes(b"\x89PNG\r\n\x1a\n" + body + b"\0\0\0\0IDAT" + struct.pack(">I", 0x35AF061E))
    with pytest.raises(DataError, match="too large"):
        decode(tmp_path / "bomb.png")


def test_random_damage_is_read_or_reported_and_never_crashes(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for kind in ("JPEG", "PNG", "GIF", "TIFF", "BMP"):
        path = tmp_path / f"a.{kind}"
        quarters().save(path, kind)
        whole = np.frombuffer(path.read_bytes(), np.uint8)
        for _ in range(40):
            damaged = whole.copy()
            damaged[rng.integers(0, len(whole), 6)] = rng.integers(0, 256, 6)
            with suppress(DataError):
                assert decode(damaged.tobytes(), "damaged").mode == "RGB"


def test_many_threads_read_alike(tmp_path: Path) -> None:
    for number in range(16):
        Image.effect_noise((64, 64), number + 1).quantize(8).save(tmp_path / f"{number}.png")
    paths = sorted(tmp_path.iterdir()) * 8
    alone = [decode(path).tobytes() for path in paths]
    with ThreadPoolExecutor(8) as pool:
        assert [image.tobytes() for image in pool.map(decode, paths)] == alone


def test_a_cut_takes_whole_pixels_inside_the_picture() -> None:
    image = quarters()
    assert cut(image, None) is image
    assert cut(image, Box(23.5, -9, 99, 16)).size == (25, 16)
    assert cut(image, Box(24, 0, 48, 16)).getcolors() == [(24 * 16, GREEN)]
    with pytest.raises(DataError, match="no pixel"):
        cut(image, Box(48, 0, 60, 10))


def test_tensors_and_pictures_convert_without_loss() -> None:
    image = ImageOps.mirror(quarters(7, 5))
    pixels = to_tensor(image)
    assert tuple(pixels.shape) == (3, 5, 7)
    assert float(pixels.max()) <= 1.0
    assert to_image(pixels).tobytes() == image.tobytes()
