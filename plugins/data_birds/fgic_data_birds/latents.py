"""What varies from picture to picture, and has nothing to do with the class."""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, pi, radians, sin
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

SCENES = ("forest", "meadow", "sky", "water", "dusk")
PERCHES = ("branch", "ground", "post")
PLUMAGES = 6

#: The length in body units (see `_bird`) of a bird of middling beak and tail, which is what ``scale`` tells.
LENGTH = 0.92
#: Where the feet stand below the body's middle, in body units.
FEET = 0.265
#: The outermost points of any species about the body's middle when level, in body units.
_REACH = ((-0.555, 0.06), (-0.45, -0.10), (0.05, -0.43), (0.20, -0.43), (0.46, -0.15), (0.0, FEET + 0.03))


@dataclass(frozen=True)
class Latents:
    """The true factors of one picture; lengths are shares of the image side, angles degrees.

    Attributes:
        facing: ``right`` or ``left``.
        tilt: how far the body points up.
        head: how far the head points up against the body.
        scale: the bird's length, for middling beak and tail.
        x, y: the body's middle.
        light: direction the light comes from, counted from above towards the side the bird looks to.
        contrast: how directed the light is, 0 is overcast.
        exposure: brightness as a factor.
        warmth: colour of the light, negative is blue, positive is yellow.
        plumage: which of the plumages.
        nuance: departure from that plumage: hue towards the next plumage in [0, 1], brightness as a factor, belly's
            extent.
        scene: what the background shows.
        perch: what the bird stands on.
        clutter: how many distractors there are, 0 to 1.
        seed: of everything else (where leaves hang, how feathers lie).
    """

    facing: str
    tilt: float
    head: float
    scale: float
    x: float
    y: float
    light: float
    contrast: float
    exposure: float
    warmth: float
    plumage: int
    nuance: tuple[float, float, float]
    scene: str
    perch: str
    clutter: float
    seed: int


def draw(rng: np.random.Generator, object_scale: tuple[float, float], clutter: float, lighting: float) -> Latents:
    """Latents of one picture; the number of draws does not depend on the options."""
    scene = SCENES[int(rng.integers(len(SCENES)))]
    perch = PERCHES[int(rng.choice(len(PERCHES), p=_PERCH_SHARES[scene]))]
    facing = "left" if rng.random() < 0.5 else "right"
    tilt = float(rng.uniform(-6, 12) if perch == "ground" else rng.uniform(-6, 30))
    head = float(rng.uniform(-14, 12))
    scale = object_scale[0] + float(rng.random()) * (object_scale[1] - object_scale[0])
    x, y = _place(float(rng.random()), float(rng.random()), scale, tilt)
    return Latents(
        facing=facing,
        tilt=tilt,
        head=head,
        scale=scale,
        x=x,
        y=y,
        light=float(rng.uniform(-70, 70)),
        contrast=float(0.55 + lighting * rng.uniform(-0.5, 0.5)),
        exposure=float(2.0 ** (lighting * rng.uniform(-0.75, 0.6))),
        warmth=float(lighting * rng.uniform(-1, 1)),
        plumage=int(rng.integers(PLUMAGES)),
        nuance=(float(rng.uniform(0, 0.35)), float(rng.uniform(0.88, 1.12)), float(rng.uniform(-1, 1))),
        scene=scene,
        perch=perch,
        clutter=clutter,
        seed=int(rng.integers(2**31)),
    )


_PERCH_SHARES = {
    "forest": (0.7, 0.1, 0.2),
    "meadow": (0.3, 0.5, 0.2),
    "sky": (0.75, 0.0, 0.25),
    "water": (0.2, 0.3, 0.5),
    "dusk": (0.6, 0.2, 0.2),
}


def _place(along: float, down: float, scale: float, tilt: float) -> tuple[float, float]:
    """A place for the body's middle where any species is whole, for numbers in [0, 1]; the best there is otherwise."""
    c, s, unit = cos(tilt * pi / 180), sin(radians(tilt)), scale / LENGTH
    xs = [unit * (x * c + y * s) for x, y in _REACH]
    ys = [unit * (y * c - x * s) for x, y in _REACH]
    return _between(-min(xs), 1 - max(xs), along), _between(-min(ys), 1 - max(ys), down)


def _between(low: float, high: float, share: float) -> float:
    return (low + high) / 2 if high < low else low + share * (high - low)
