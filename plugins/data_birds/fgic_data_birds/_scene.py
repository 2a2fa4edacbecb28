"""Backgrounds, what lies about in them, and what the bird stands on. Nothing here knows the species."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from fgic_data_birds._shapes import Pixels, Points, Sketch, ellipse, mix, rotate, smooth, stroke
from fgic_data_birds.latents import FEET, LENGTH, Latents

# Upper colour, lower colour, ground, and the colours of what is out of focus; 8-bit RGB.
_COLOURS: dict[str, tuple[tuple[int, int, int], ...]] = {
    "forest": (
        (128, 142, 108),
        (66, 76, 58),
        (88, 78, 56),
        (92, 106, 70),
        (146, 154, 100),
        (62, 66, 54),
        (172, 170, 120),
    ),
    "meadow": (
        (188, 208, 196),
        (126, 154, 72),
        (112, 134, 60),
        (150, 176, 86),
        (214, 206, 110),
        (108, 142, 74),
        (196, 170, 190),
    ),
    "sky": (
        (122, 166, 212),
        (212, 226, 234),
        (120, 128, 92),
        (232, 238, 242),
        (164, 194, 222),
        (240, 240, 236),
        (190, 212, 228),
    ),
    "water": (
        (150, 184, 196),
        (84, 124, 144),
        (142, 130, 104),
        (112, 150, 166),
        (182, 206, 208),
        (68, 104, 124),
        (132, 160, 132),
    ),
    "dusk": (
        (112, 104, 142),
        (226, 168, 128),
        (96, 78, 70),
        (196, 138, 122),
        (238, 192, 140),
        (130, 104, 132),
        (168, 122, 118),
    ),
}
_LEAVES = ((94, 128, 52), (126, 152, 62), (72, 104, 50), (156, 150, 64), (178, 112, 50))
_BERRIES = ((190, 44, 38), (206, 92, 36), (72, 62, 110), (232, 196, 84))
_BLOBS = ((125, 97, 72), (79, 114, 153), (117, 129, 75), (109, 118, 130), (139, 95, 90), (161, 127, 87))


def backdrop(latents: Latents, size: int, factor: int) -> Sketch:
    """What is out of focus, ``factor`` pixels to one of the picture: colours of the scene, lights, distractors."""
    rng = np.random.default_rng([latents.seed, 2])
    n = max(size, 64)
    top, bottom, _, *rest = _COLOURS[latents.scene]
    jitter = rng.uniform(-7, 7, 3) + rng.uniform(-9, 9)
    ends = np.array([top, bottom]) + jitter + rng.uniform(-10, 10, (2, 1))
    share = np.linspace(0, 1, n)[:, None, None] ** rng.uniform(0.7, 1.5)
    image = Image.fromarray(
        np.clip(np.broadcast_to(ends[0] + (ends[1] - ends[0]) * share, (n, n, 3)), 0, 255).astype(np.uint8)
    )
    draw = ImageDraw.Draw(image, "RGBA")
    many = 10 + round(34 * latents.clutter)
    for _ in range(many):
        _far(draw, rng, latents.scene, rest, n, jitter)
    image = image.filter(ImageFilter.GaussianBlur(n * 0.022))
    draw = ImageDraw.Draw(image, "RGBA")
    for _ in range(round(rng.uniform(4, 14) * (0.3 + latents.clutter))):
        x, y, r = rng.uniform(0, n), rng.uniform(0, n * 0.85), n * rng.uniform(0.015, 0.05)
        light = tuple(int(v) for v in np.clip(np.array(rest[int(rng.integers(len(rest)))]) * 1.25 + 25, 0, 255))
        draw.ellipse((x - r, y - r, x + r, y + r), fill=(*light, int(rng.uniform(25, 80))))
    fine = Sketch(image.filter(ImageFilter.GaussianBlur(n * 0.006)).resize((2 * n, 2 * n), Image.Resampling.BILINEAR))
    for _ in range(round(9 * latents.clutter * rng.uniform(0.6, 1.2))):
        _distractor(fine, rng, fine.side)
    image = fine.image.filter(ImageFilter.GaussianBlur(2 * n * rng.uniform(0.003, 0.008)))
    return Sketch(image.resize((size * factor, size * factor), Image.Resampling.BILINEAR))


def _far(draw: Any, rng: np.random.Generator, scene: str, colours: Any, n: int, jitter: Any) -> None:
    """One shape of the scene."""
    colour = np.array(colours[int(rng.integers(len(colours)))]) + jitter + rng.uniform(-12, 12)
    fill = (*(int(v) for v in np.clip(colour, 0, 255)), int(rng.uniform(110, 210)))
    x, y = rng.uniform(-0.1, 1.1) * n, rng.uniform(-0.1, 1.1) * n
    rx, ry = rng.uniform(0.04, 0.16, 2) * n
    if scene == "water":
        rx, ry = 3.0 * rx, 0.18 * ry
    elif scene in ("sky", "dusk"):
        rx, ry = 1.6 * rx, 0.6 * ry
    elif scene == "forest" and rng.random() < 0.2:
        rx, ry, y = 0.25 * rx, 1.2 * n, 0.5 * n
    draw.ellipse((x - rx, y - ry, x + rx, y + ry), fill=fill)


def scenery(sketch: Sketch, latents: Latents, at: tuple[float, float], unit: float) -> None:
    """The perch, its line of feet under the bird whose body's middle is ``at``."""
    rng = np.random.default_rng([latents.seed, 3])
    side = sketch.side
    floor = at[1] + FEET * unit
    width = 0.9 * (latents.scale / LENGTH) * 0.066 * side
    if latents.perch == "branch":
        _branch(sketch, rng, floor, at[0], width, latents.clutter)
    elif latents.perch == "post":
        _post(sketch, rng, floor, at[0], unit)
    else:
        _ground(sketch, rng, floor, at[0], unit, latents)


def _tone(rng: np.random.Generator, colours: Any, spread: float = 0.05) -> Pixels:
    colour = np.array(colours[int(rng.integers(len(colours)))], np.float32) / 255
    return np.clip(colour + rng.uniform(-spread, spread, 3), 0, 1).astype(np.float32)


def _distractor(sketch: Sketch, rng: np.random.Generator, side: int) -> None:
    """A twig with leaves or berries, a flower, or a hanging pod of a bird's colours."""
    x, y = rng.uniform(0, side, 2)
    kind, turn = rng.random(), rng.uniform(0, 360)
    if kind < 0.55:
        edge = rng.random()
        start = ((-0.02 * side, y), (1.02 * side, y), (x, -0.02 * side))[int(edge * 3)]
        inwards = (0.0, 180.0, -90.0)[int(edge * 3)] + rng.uniform(-40, 40)
        _twig(sketch, rng, start, inwards, side)
    elif kind < 0.75:
        r = side * rng.uniform(0.018, 0.034)
        y = side * rng.uniform(0.35, 0.95)
        stem = smooth(
            [(x, y), (x + rng.uniform(-2, 2) * r, (y + side) / 2), (x + rng.uniform(-3, 3) * r, side * 1.02)],
            closed=False,
        )
        sketch.fill(stroke(stem, 0.009 * side), _tone(rng, _LEAVES[:3]))
        for petal in range(5):
            spot = rotate([(r, 0)], turn + 72 * petal)[0] + (x, y)
            sketch.fill(
                ellipse(spot[0], spot[1], r * 0.75, r * 0.5, turn + 72 * petal),
                _tone(rng, ((240, 236, 226), (222, 176, 200), (236, 206, 96))),
            )
        sketch.fill(ellipse(x, y, r * 0.55, r * 0.55), _tone(rng, ((222, 160, 48),)))
    else:
        colour, r = _tone(rng, _BLOBS), side * rng.uniform(0.03, 0.065)
        y, turn = y * 0.7, rng.uniform(60, 120)
        thread = smooth(
            [(x, y), (x + rng.uniform(-1, 1) * r, y / 2), (x + rng.uniform(-2, 2) * r, -0.02 * side)], closed=False
        )
        sketch.fill(stroke(thread, 0.008 * side), _tone(rng, ((88, 70, 52), (96, 110, 62))))
        outline = smooth(
            np.array([(1.3, 0.1), (0.6, -0.75), (-0.5, -0.7), (-1.3, 0.1), (-0.5, 0.65), (0.6, 0.7)])
            * rng.uniform(0.8, 1.2, (6, 1))
        )
        outline = rotate(outline * r, turn) + np.array((x, y))
        sketch.fill(outline, colour * 0.8)
        sketch.fill((outline - (x, y)) * 0.7 + (x - 0.12 * r, y - 0.2 * r), np.clip(colour * 1.12, 0, 1), soft=r * 0.25)


def _twig(sketch: Sketch, rng: np.random.Generator, at: tuple[float, float], turn: float, side: int) -> None:
    length = side * rng.uniform(0.15, 0.42)
    line = smooth(
        np.array([(0, 0), (0.5, rng.uniform(-0.1, 0.1)), (1, rng.uniform(-0.25, 0.25))]) * length, closed=False
    )
    line = rotate(line, turn) + at
    sketch.fill(stroke(line, np.linspace(0.014, 0.005, len(line)) * side), _tone(rng, ((88, 70, 52), (104, 86, 62))))
    berries = rng.random() < 0.4
    colour = _tone(rng, _BERRIES if berries else _LEAVES)
    for _ in range(int(rng.integers(4, 10))):
        spot = line[int(rng.integers(len(line) // 4, len(line)))] + rng.normal(0, 0.012, 2) * side
        if berries:
            r = side * rng.uniform(0.011, 0.019)
            sketch.fill(ellipse(spot[0], spot[1], r, r), colour * 0.85)
            sketch.fill(ellipse(spot[0] - 0.3 * r, spot[1] - 0.3 * r, r * 0.5, r * 0.5), mix(colour, 1.0, 0.35))
        else:
            leaf(sketch, rng, spot, side * rng.uniform(0.035, 0.075), rng.uniform(0, 360), colour)


def leaf(sketch: Sketch, rng: np.random.Generator, spot: Any, length: float, turn: float, colour: Pixels) -> None:
    """A pointed leaf with a midrib."""
    tone = np.clip(colour * rng.uniform(0.8, 1.2), 0, 1)
    blade = smooth(np.array([(0, 0), (0.35, -0.24), (0.75, -0.15), (1.08, 0.0), (0.75, 0.15), (0.35, 0.24)]) * length)
    sketch.fill(rotate(blade, turn) + spot, tone)
    half = smooth(np.array([(0, 0), (0.5, -0.02), (1.05, 0.0), (0.75, 0.14), (0.35, 0.22)]) * length)
    sketch.fill(rotate(half, turn) + spot, tone * 0.84)
    rib = stroke(rotate(np.array([(0, 0), (0.5, -0.01), (1.0, 0)]) * length, turn) + spot, max(length * 0.05, 1.0))
    sketch.fill(rib, mix(tone, 1.0, 0.2))


def _branch(sketch: Sketch, rng: np.random.Generator, floor: float, x: float, width: float, clutter: float) -> None:
    side = sketch.side
    slope, bend = rng.uniform(-0.06, 0.06), rng.uniform(-0.03, 0.03)
    xs = np.linspace(-0.05, 1.05, 24) * side
    off = (xs - x) / side
    ys = (
        floor
        + width * 0.42
        + (slope * off + bend * off * off * 4) * side
        + np.sin(xs / side * 17 + rng.uniform(0, 6)) * width * 0.05
    )
    line = np.stack([xs, ys], 1)
    widths = width * (1 + 0.12 * np.sin(xs / side * 23 + rng.uniform(0, 6)))
    bark = _tone(rng, ((98, 78, 58), (120, 100, 78), (84, 72, 62)))
    _rod(sketch, line, widths, bark)
    for _ in range(10):
        start = int(rng.integers(0, len(line) - 4))
        mark = line[start : start + 4] + np.array((0, rng.uniform(-0.35, 0.35) * width))
        sketch.fill(stroke(mark, width * 0.05), bark * 0.5, alpha=0.45)
    for _ in range(round(1 + 5 * clutter)):
        spot = line[int(rng.integers(len(line)))]
        if abs(spot[0] - x) > 0.13 * side:
            turn = rng.choice([1, -1]) * rng.uniform(20, 110)
            colour = _tone(rng, _LEAVES)
            for more in range(int(rng.integers(1, 4))):
                leaf(sketch, rng, spot, side * rng.uniform(0.06, 0.11), turn + 35 * more, colour)


def _rod(sketch: Sketch, line: Points, widths: Any, bark: Pixels) -> None:
    """A round stick, lit from above."""
    sketch.fill(stroke(line, widths), bark * 0.55)
    for share, up, tone in ((0.8, 0.08, 0.78), (0.55, 0.16, 0.98), (0.25, 0.24, 1.22)):
        sketch.fill(
            stroke(line - np.stack([0 * widths, widths * up], 1), widths * share),
            np.clip(bark * tone, 0, 1),
            soft=float(np.mean(widths)) * 0.07,
        )


def _post(sketch: Sketch, rng: np.random.Generator, floor: float, x: float, unit: float) -> None:
    side = sketch.side
    half = unit * rng.uniform(0.13, 0.17)
    wood = _tone(rng, ((134, 116, 96), (112, 98, 84), (140, 134, 126)))
    left, right, top = x - half, x + half + 0.02 * unit, floor + 0.03 * unit
    sketch.fill(np.array([(left, top), (right, top), (right, side + 4.0), (left, side + 4.0)]), wood * 0.72)
    for share, tone in ((0.82, 0.9), (0.6, 1.05), (0.3, 1.15)):
        middle = left + 0.42 * (right - left)
        a, b = middle - half * share, middle + half * share
        sketch.fill(
            np.array([(a, top), (b, top), (b, side + 4.0), (a, side + 4.0)]),
            np.clip(wood * tone, 0, 1),
            soft=half * 0.12,
            alpha=0.8,
        )
    sketch.fill(ellipse((left + right) / 2, top, (right - left) / 2, 0.036 * unit), np.clip(wood * 1.18, 0, 1))
    sketch.fill(ellipse((left + right) / 2, top, (right - left) / 3, 0.022 * unit), wood * 0.95, alpha=0.6)
    for _ in range(5):
        gx, gy = rng.uniform(left + 0.1 * half, right - 0.1 * half), top + rng.uniform(0.05, 0.5) * unit
        sketch.fill(
            stroke(np.array([(gx, gy), (gx + 1, gy + 0.12 * unit), (gx, gy + 0.25 * unit)]), 0.012 * unit),
            wood * 0.5,
            alpha=0.5,
        )


def _ground(sketch: Sketch, rng: np.random.Generator, floor: float, x: float, unit: float, latents: Latents) -> None:
    side = sketch.side
    tone = np.clip(np.array(_COLOURS[latents.scene][2], np.float32) / 255 + rng.uniform(-0.05, 0.05), 0, 1)
    top = floor - 0.10 * unit
    xs = np.linspace(-0.1, 1.1, 9) * side
    edge = np.stack([xs, top + rng.normal(0, 0.012, 9) * side], 1)
    land = np.concatenate([smooth(edge, closed=False), [(1.2 * side, 1.2 * side), (-0.2 * side, 1.2 * side)]])
    sketch.fill(land, tone, soft=0.02 * side)
    low = np.array(
        [
            (-0.1 * side, floor + 0.12 * unit),
            (1.1 * side, floor + 0.10 * unit),
            (1.1 * side, 1.1 * side),
            (-0.1 * side, 1.1 * side),
        ]
    )
    sketch.fill(low, tone * 0.78, soft=0.05 * side, alpha=0.8)
    for _ in range(round(14 + 26 * latents.clutter)):
        gx, gy = rng.uniform(0, side), rng.uniform(top, side)
        r = side * rng.uniform(0.004, 0.014)
        sketch.fill(ellipse(gx, gy, r * 1.7, r * 0.8), tone * rng.uniform(0.75, 1.25))
    if latents.scene in ("meadow", "forest"):
        for _ in range(round(16 + 30 * latents.clutter)):
            gx, gy = rng.uniform(0, side), rng.uniform(top, side * 1.02)
            _blade(sketch, rng, gx, gy, side * rng.uniform(0.03, 0.085))
    shadow = ellipse(x + 0.03 * unit, floor + 0.012 * unit, 0.24 * unit, 0.035 * unit)
    sketch.fill(shadow, tone * 0.3, soft=0.022 * unit, alpha=0.65)


def _blade(sketch: Sketch, rng: np.random.Generator, x: float, y: float, length: float) -> None:
    lean = rng.uniform(-0.4, 0.4)
    line = smooth(np.array([(0, 0), (0.3 * lean, -0.55), (lean, -1.0)]) * length + (x, y), closed=False)
    sketch.fill(
        stroke(line, np.linspace(0.11, 0.02, len(line)) * length),
        _tone(rng, ((122, 150, 66), (96, 126, 58), (160, 168, 84))),
    )
