"""What the bird's parts look like: colours, feather textures, wing patterns, beaks, tails, crests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter

from fgic_data_birds._shapes import Pixels, Points, ellipse, mix, ramp, rotate, smooth
from fgic_data_birds.latents import Latents


def rgb(text: str) -> Pixels:
    return np.array([int(text[i : i + 2], 16) for i in (0, 2, 4)], np.float32) / 255


#: Back, breast, belly, wing. Independent of the species.
_PLUMAGE = [
    tuple(map(rgb, colours))
    for colours in (
        ("7d6148", "cf6f35", "efe3cf", "54402f"),  # russet, as a robin
        ("4f7299", "e3bd58", "f5ecd2", "34486a"),  # blue and yellow, as a tit
        ("75814b", "c3bd6b", "efeccb", "47502f"),  # olive, as a greenfinch
        ("6d7682", "b9b5b0", "efedea", "3f464f"),  # slate, as a nuthatch
        ("8b5f5a", "cf7b74", "f0ddd2", "573c3b"),  # rose, as a rosefinch
        ("a17f57", "d9bd8f", "f3e9d4", "6a5138"),  # sand, as a lark
    )
]
PALE, INK = rgb("f7f1e0"), rgb("1c1a1d")
FOOT_COLOURS = {"dark": rgb("3b3432"), "yellow": rgb("f2b21c"), "red": rgb("d8342a")}
BEAK_COLOURS = {"cone": rgb("e8953a"), "hooked": rgb("4a4a50"), "needle": rgb("2c2a2d"), "spoon": rgb("a9927f")}


@dataclass(frozen=True)
class Plumage:
    """The colours of one bird."""

    back: Pixels
    breast: Pixels
    belly: Pixels
    wing: Pixels

    @classmethod
    def of(cls, latents: Latents) -> Plumage:
        towards, bright, _ = latents.nuance
        one, other = _PLUMAGE[latents.plumage], _PLUMAGE[(latents.plumage + 1) % len(_PLUMAGE)]
        return cls(*(np.clip(mix(a, b, towards) * bright, 0, 1) for a, b in zip(one, other, strict=True)))


def blurred(cover: Pixels, radius: float) -> Pixels:
    pad = int(2.5 * radius) + 2
    image = Image.fromarray(np.pad((cover * 255).astype(np.uint8), pad)).filter(ImageFilter.GaussianBlur(radius))
    return np.asarray(image, np.float32)[pad:-pad, pad:-pad] / 255


def scallops(x: Pixels, y: Pixels, size: float, strength: float) -> Pixels:
    """Rows of small rounded feathers, about 1; (h, w, 1)."""
    row = np.floor((x * 0.9 + y * 0.3) / (size * 0.55))
    a = (x * 0.9 + y * 0.3) / (size * 0.55) - row
    b = np.mod((y - 0.3 * x) / size + 0.5 * row, 1.0) - 0.5
    edge = np.hypot(a, 1.6 * b)
    return np.asarray(1 + strength * (0.5 - ramp(edge, 0.55, 1.05)), np.float32)[..., None]


def quills(u: Pixels, v: Pixels) -> Pixels:
    """The long feathers of the folded wing, dark between them; (h, w, 1)."""
    phase = np.mod((v - 0.10 * u) / 0.026, 1.0)
    return np.asarray(0.80 + 0.28 * ramp(phase, 0.05, 0.35) * (1 - 0.35 * phase), np.float32)[..., None]


# Wing patterns: how pale a pixel is, (h, w). u runs from shoulder to tip, v across.


def _plain(u: Pixels, v: Pixels, cover: Pixels, unit: float) -> Pixels:
    return np.zeros_like(u)


def _barred(u: Pixels, v: Pixels, cover: Pixels, unit: float) -> Pixels:
    along = u - 8 * v * v + 0.5 * v
    wave = np.abs(np.mod(along / 0.17 + 0.1, 1.0) - 0.5)
    return np.asarray((1 - ramp(wave, 0.15, 0.23)) * ramp(u, 0.12, 0.16) * (1 - ramp(u, 0.86, 0.92)), np.float32)


def _spotted(u: Pixels, v: Pixels, cover: Pixels, unit: float) -> Pixels:
    row = np.floor(v / 0.05 + 0.5)
    a = np.mod(u / 0.15 + 0.5 * row, 1.0) - 0.5
    b = v / 0.05 + 0.5 - row - 0.5
    return np.asarray((1 - ramp(np.hypot(a * 0.073, b * 0.05), 0.013, 0.019)) * (1 - ramp(u, 0.80, 0.9)), np.float32)


def _edged(u: Pixels, v: Pixels, cover: Pixels, unit: float) -> Pixels:
    depth = blurred(cover, 0.016 * unit)
    return np.asarray(1 - ramp(depth, 0.74, 0.90), np.float32)


def _patched(u: Pixels, v: Pixels, cover: Pixels, unit: float) -> Pixels:
    return np.asarray(1 - ramp(np.hypot((u - 0.40 - 1.2 * v) / 0.15, (v - 0.012) / 0.056), 0.85, 1.02), np.float32)


PATTERNS: dict[str, Callable[[Pixels, Pixels, Pixels, float], Pixels]] = {
    "plain": _plain,
    "barred": _barred,
    "spotted": _spotted,
    "edged": _edged,
    "patched": _patched,
}

# Beaks: upper and lower mandible, from the head's middle (whose radius is 0.105).
BEAKS = {
    "cone": (
        [(0.06, -0.058), (0.115, -0.046), (0.165, -0.014), (0.190, 0.012), (0.13, 0.010), (0.06, 0.012)],
        [(0.06, 0.0), (0.13, 0.004), (0.180, 0.010), (0.14, 0.040), (0.095, 0.056), (0.06, 0.055)],
    ),
    "hooked": (
        [
            (0.06, -0.060),
            (0.12, -0.062),
            (0.178, -0.036),
            (0.204, 0.012),
            (0.194, 0.062),
            (0.176, 0.032),
            (0.15, 0.018),
            (0.06, 0.016),
        ],
        [(0.06, 0.0), (0.14, 0.012), (0.160, 0.030), (0.12, 0.048), (0.06, 0.046)],
    ),
    "needle": (
        [(0.07, -0.030), (0.13, -0.020), (0.20, -0.006), (0.285, 0.026), (0.20, 0.010), (0.07, 0.008)],
        [(0.07, 0.0), (0.20, 0.006), (0.280, 0.026), (0.19, 0.022), (0.12, 0.022), (0.07, 0.026)],
    ),
    "spoon": (
        [
            (0.07, -0.032),
            (0.14, -0.014),
            (0.19, -0.016),
            (0.225, -0.034),
            (0.268, -0.022),
            (0.285, 0.010),
            (0.22, 0.012),
            (0.07, 0.012),
        ],
        [
            (0.07, 0.0),
            (0.19, 0.006),
            (0.285, 0.006),
            (0.268, 0.042),
            (0.225, 0.052),
            (0.19, 0.030),
            (0.13, 0.026),
            (0.07, 0.030),
        ],
    ),
}


# Tails: feathers as (outline from the tail's root, share of the light colour), the farthest first.

Feathers = list[tuple[Points, float]]


def _feather(angle: float, length: float, width: float, tip: float = 0.9) -> Points:
    """A feather that points back, turned down by ``angle`` degrees, rounded at its end."""
    half = width / 2
    points = [(0.0, -half * 0.55), (-length * 0.5, -half * 0.95), (-length * tip, -half), (-length, -half * 0.15)]
    points += [(-length * 0.98, half * 0.5), (-length * tip, half), (-length * 0.5, half * 0.95), (0.0, half * 0.55)]
    return rotate(smooth(points), angle)


def _short_tail() -> Feathers:
    return [(_feather(a, 0.17, 0.055, 0.92), s) for a, s in ((-9, 0.2), (9, 0.3), (0, 0.8))]


def _fan_tail() -> Feathers:
    return [(_feather(a, 0.255, 0.072, 0.88), 0.3 + 0.5 * (abs(a) < 20)) for a in (-34, 34, -20, 20, -7, 7)]


def _forked_tail() -> Feathers:
    def prong(side: float) -> Points:
        points = [(0.03, -0.03), (-0.12, 0.028), (-0.22, 0.055), (-0.32, 0.100), (-0.352, 0.124)]
        points += [(-0.345, 0.092), (-0.29, 0.052), (-0.205, 0.012), (-0.145, -0.010), (-0.10, -0.022)]
        return smooth(np.array(points) * (1.0, side))

    return [(_feather(0, 0.15, 0.075, 0.8), 0.2), (prong(1.0), 0.3), (prong(-1.0), 0.7)]


def _long_tail() -> Feathers:
    return [(_feather(a, n, 0.058, 0.95), s) for a, n, s in ((-3.5, 0.29, 0.2), (3.5, 0.325, 0.3), (0, 0.36, 0.8))]


TAILS: dict[str, Callable[[], Feathers]] = {
    "short": _short_tail,
    "fan": _fan_tail,
    "forked": _forked_tail,
    "long": _long_tail,
}

# Crests: (outline from the head's middle, colour), the farthest first.

Plumes = list[tuple[Points, Pixels]]


def _no_crest(plumage: Plumage) -> Plumes:
    return []


def _tuft(plumage: Plumage) -> Plumes:
    points = [(0.085, -0.05), (0.05, -0.115), (-0.02, -0.150), (-0.11, -0.185), (-0.235, -0.195)]
    points += [(-0.165, -0.130), (-0.115, -0.06), (-0.095, 0.0), (0.0, 0.0)]
    return [(smooth(points), mix(plumage.wing, plumage.back, 0.25))]


def _spikes(plumage: Plumage) -> Plumes:
    plumes: Plumes = []
    for angle, length in ((12, 0.235), (98, 0.225), (32, 0.265), (76, 0.260), (54, 0.275)):
        upper = [(0.02, -0.02), (-length * 0.6, -0.014), (-length * 0.8, -0.030), (-length, 0.0)]
        shaft = smooth([*upper, (-length * 0.8, 0.030), (-length * 0.6, 0.014), (0.02, 0.02)])
        plumes.append((rotate(shaft, -angle), mix(plumage.back, rgb("d98b3f"), 0.6)))
        plumes.append((rotate(ellipse(-length * 0.90, 0, 0.034, 0.022), -angle), INK))
    return plumes


def _crown(plumage: Plumage) -> Plumes:
    plumes: Plumes = []
    for length, colour in ((0.205, rgb("c42a1d")), (0.165, rgb("ee8a2a"))):
        angles = np.linspace(-4, 150, 49)
        edge = (
            length
            * (1 - 0.10 * np.abs(np.cos(np.linspace(0, 6.5 * np.pi, 49))) ** 3)
            * (1 - 0.35 * ramp(angles, 95, 150))
        )
        angles = np.radians(angles)
        fan = np.stack([-np.cos(angles) * edge - 0.008, -np.sin(angles) * edge + 0.02], 1)
        plumes.append((np.concatenate([fan, [(0.06, 0.03), (-0.06, 0.06)]]), colour))
    return plumes


CRESTS: dict[str, Callable[[Plumage], Plumes]] = {
    "none": _no_crest,
    "tuft": _tuft,
    "spikes": _spikes,
    "crown": _crown,
}
