"""The bird: its anatomy in body units (about a bird's length), looking right, y downwards, the body's middle at 0."""

from __future__ import annotations

from typing import Any

import numpy as np

from fgic_data_birds._anatomy import (
    BEAK_COLOURS,
    BEAKS,
    CRESTS,
    FOOT_COLOURS,
    INK,
    PALE,
    PATTERNS,
    TAILS,
    Plumage,
    blurred,
    quills,
    rgb,
    scallops,
)
from fgic_data_birds._shapes import Canvas, Colour, Pixels, Points, Window, ellipse, mix, ramp, rotate, smooth, stroke
from fgic_data_birds.latents import FEET, Latents
from fgic_data_birds.species import PARTS, VARIANTS, Code

NUMBER = {part: number for number, part in enumerate(PARTS, 1)}

_NECK = (0.13, -0.10)
_HEAD = (0.185, -0.185)
_HIPS = ((-0.035, 0.12), (0.05, 0.125))
_TAIL = (-0.20, 0.02)

_BODY_TOP = [(-0.285, 0.045), (-0.19, -0.045), (-0.06, -0.12), (0.07, -0.15), (0.18, -0.10)]
_BODY = smooth([*_BODY_TOP, (0.222, 0.0), (0.175, 0.10), (0.06, 0.158), (-0.08, 0.145), (-0.20, 0.09)])
_WING_TOP = [(0.125, -0.055), (0.06, -0.098), (-0.06, -0.085), (-0.17, -0.03), (-0.30, 0.045), (-0.345, 0.078)]
_WING = smooth([*_WING_TOP, (-0.26, 0.085), (-0.13, 0.098), (0.0, 0.095), (0.10, 0.055), (0.14, 0.0)])


class Bird:
    """Paints one bird on a canvas.

    Args:
        canvas: what it is painted on.
        code: the species.
        latents: pose, light, plumage.
        unit: canvas pixels to one body unit.
        at: the body's middle in canvas pixels.
    """

    def __init__(self, canvas: Canvas, code: Code, latents: Latents, unit: float, at: tuple[float, float]) -> None:
        self.canvas, self.latents, self.unit, self.at = canvas, latents, unit, at
        self.variant = dict(zip(VARIANTS, code, strict=True))
        self.plumage = Plumage.of(latents)
        light = np.radians(latents.light)
        self._light = np.array([np.sin(light), -np.cos(light)], np.float32)

    def paint(self) -> None:
        """All parts, the farthest first."""
        self._tail()
        self._feet()
        self._crest()
        self._beak()
        self._trunk()
        self._wing()
        self._eye()

    # Where things are.

    def body(self, points: Any) -> Points:
        """Canvas pixels of points in body units."""
        return rotate(points, self.latents.tilt) * self.unit + self.at

    def head(self, points: Any) -> Points:
        """Canvas pixels of points given from the head's middle, which turns with the head."""
        return self.body(rotate(np.asarray(points, dtype=float) + _HEAD, self.latents.head, _NECK))

    def _local(self, window: Window, head: bool = False) -> tuple[Pixels, Pixels]:
        """Body units (from the head's middle with ``head``) of a window's pixels, each (h, w)."""
        h, w = window.cover.shape
        x = (np.arange(w, dtype=np.float32)[None] + (window.x + 0.5 - self.at[0])) / self.unit
        y = (np.arange(h, dtype=np.float32)[:, None] + (window.y + 0.5 - self.at[1])) / self.unit
        c, s = np.cos(np.radians(self.latents.tilt)), np.sin(np.radians(self.latents.tilt))
        x, y = x * c - y * s, x * s + y * c
        if head:
            c, s = np.cos(np.radians(self.latents.head)), np.sin(np.radians(self.latents.head))
            x, y = x - _NECK[0], y - _NECK[1]
            x, y = x * c - y * s + _NECK[0] - _HEAD[0], x * s + y * c + _NECK[1] - _HEAD[1]
        return x.astype(np.float32), y.astype(np.float32)

    def _fill(self, points: Points, colour: Colour, part: str = "", **options: Any) -> None:
        self.canvas.fill(points, np.clip(colour, 0, 1), NUMBER.get(part, 0), **options)

    def _shade(self, cover: Pixels, radius: float) -> Pixels:
        """How bright a rounded body of that outline is, about 1; ``radius`` says how far its edges bend, in units."""
        height = blurred(cover, radius * self.unit)
        gy, gx = np.gradient(height)
        slope = (gx * self._light[0] + gy * self._light[1]) * (radius * self.unit * 2.0)
        lit = -slope * (0.35 + 0.55 * self.latents.contrast)
        return np.asarray(0.68 + 0.36 * ramp(height, 0.25, 1.0) + lit, np.float32)[..., None]

    # The parts.

    def _trunk(self) -> None:
        """Body, neck and head as one silhouette, so that no seam shows."""
        head = self.head(ellipse(0, 0, 0.108, 0.102))
        neck = [*self.body([(-0.02, -0.13)]), *self.head([(-0.095, -0.035), (-0.03, 0.03), (0.097, 0.045)])]
        neck += [*self.body([(0.218, -0.01), (0.10, 0.05), (0.0, 0.0)])]
        outlines = [self.body(_BODY), head, smooth(neck)]
        window = self.canvas.window(np.concatenate(outlines))
        layer = Canvas(np.zeros((*window.cover.shape, 1), np.float32))
        for outline in outlines:
            layer.fill(outline - (window.x, window.y), 1.0)
        window.cover = layer.rgb[..., 0]
        if not window.empty:
            self.canvas.paint(
                window, np.clip(self._coat(window) * self._shade(window.cover, 0.075), 0, 1), NUMBER["body"]
            )

    def _coat(self, window: Window) -> Pixels:
        """Colours of the trunk's feathers."""
        p = self.plumage
        x, y = self._local(window)
        hx, hy = self._local(window, head=True)
        extent = 0.03 * self.latents.nuance[2]
        belly = ramp(y + 0.28 * x, 0.03 - extent, 0.13 - extent)
        breast = ramp(x + 0.25 * y, 0.05, 0.15) * ramp(-y, -0.15, -0.06) * ramp(y, -0.14, -0.05)
        flank = ramp(y + 0.12 * x, -0.05, 0.03)
        coat = mix(p.back, mix(p.belly, p.breast, 0.45), flank[..., None])
        coat = mix(coat, p.belly, belly[..., None])
        coat = mix(coat, p.breast, breast[..., None])
        face = ramp(hx + 0.5 * hy, -0.02, 0.05) * ramp(hy, -0.03, 0.04) * ramp(-hx * hx - hy * hy, -0.015, -0.008)
        cap = ramp(-hy - 0.25 * hx, 0.018, 0.05) * ramp(-hx * hx - hy * hy, -0.02, -0.008)
        coat = mix(coat, p.breast, (0.9 * face)[..., None])
        coat = mix(coat, p.wing, (0.75 * cap)[..., None])
        return np.asarray(coat * scallops(x, y, 0.052, 0.07) * self._down(x, y), np.float32)

    def _down(self, x: Pixels, y: Pixels) -> Pixels:
        """A streaky unevenness that runs along the body."""
        rng = np.random.default_rng([self.latents.seed, 1])
        a = rng.uniform(0, 2 * np.pi, 3)
        wave = np.sin(90 * x + 40 * y + a[0]) * np.sin(170 * y - 25 * x + a[1]) + np.sin(60 * y + 30 * x + a[2])
        return np.asarray(1 + 0.018 * wave, np.float32)[..., None]

    def _tail(self) -> None:
        dark, light = self.plumage.wing, mix(self.plumage.wing, self.plumage.back, 0.7)
        feathers = TAILS[self.variant["tail"]]()
        for number, (points, share) in enumerate(feathers):
            outline = self.body(rotate(points, -4.0) + _TAIL)
            window = self.canvas.window(outline)
            if window.empty:
                continue
            x, y = self._local(window)
            colour = mix(dark, light, share) * (0.92 + 0.10 * (number % 2))
            tip = ramp(-x, 0.26, 0.62)[..., None]
            colour = np.clip(mix(colour * self._shade(window.cover, 0.018), dark * 0.75, tip * 0.5), 0, 1)
            self.canvas.paint(window, colour, NUMBER["tail"])
            r = np.hypot(x - _TAIL[0], y - _TAIL[1])
            if self.variant["tail"] == "fan":
                window.cover = window.cover * ramp(r, 0.185, 0.20) * (1 - ramp(r, 0.225, 0.235))
                self.canvas.paint(window, PALE * 0.95)
            elif self.variant["tail"] == "long":
                window.cover = window.cover * ramp(r, 0.27, 0.29)
                self.canvas.paint(window, PALE * 0.9, alpha=0.85)

    def _feet(self) -> None:
        colour = FOOT_COLOURS[self.variant["feet"]]
        floor = self.at[1] + FEET * self.unit
        for hip, tint in zip(_HIPS, (0.66, 0.92), strict=True):
            top = self.body([hip])[0]
            foot = np.array([top[0] + 0.012 * self.unit, floor])
            knee = mix(top, foot, 0.45) + np.array([-0.016, 0.0]) * self.unit
            leg = stroke([top, knee, foot], np.array([0.030, 0.024, 0.024]) * self.unit)
            self._fill(leg, colour * tint, "feet")
            for dx, dy in ((0.078, 0.010), (0.045, 0.022), (-0.045, 0.008)):
                mid = foot + np.array([dx * 0.55, dy - 0.016]) * self.unit
                toe = smooth([foot - (0, 0.012 * self.unit), mid, foot + np.array([dx, dy]) * self.unit], closed=False)
                self._fill(stroke(toe, np.linspace(0.026, 0.013, len(toe)) * self.unit), colour * tint, "feet")
            shine = stroke([top, knee, foot], 0.007 * self.unit) + np.array([0.004, 0]) * self.unit
            self._fill(shine, mix(colour, 1.0, 0.45), alpha=0.5 * tint)

    def _crest(self) -> None:
        for outline, colour in CRESTS[self.variant["crest"]](self.plumage):
            points = self.head(outline)
            window = self.canvas.window(points)
            if not window.empty:
                self.canvas.paint(window, np.clip(colour * self._shade(window.cover, 0.02), 0, 1), NUMBER["crest"])

    def _beak(self) -> None:
        kind = self.variant["beak"]
        colour = BEAK_COLOURS[kind]
        upper, lower = BEAKS[kind]
        for outline, tint in ((lower, 0.78), (upper, 1.0)):
            window = self.canvas.window(self.head(smooth(outline)))
            if not window.empty:
                shade = self._shade(window.cover, 0.02) * tint * 1.08
                self.canvas.paint(window, np.clip(colour * shade, 0, 1), NUMBER["beak"])
        if kind == "hooked":
            self._fill(self.head(ellipse(0.098, -0.018, 0.034, 0.030)), rgb("e9c04a"), "beak")
            self._fill(self.head(ellipse(0.118, -0.026, 0.006, 0.004)), INK, alpha=0.8)
        if kind == "spoon":
            self._fill(self.head(ellipse(0.245, 0.014, 0.022, 0.020)), rgb("d8c15f"), "beak", soft=0.006 * self.unit)

    def _wing(self) -> None:
        p = self.plumage
        outline = self.body(_WING)
        under = outline + np.array([0.004, 0.016]) * self.unit
        self._fill(under, p.wing * 0.4, alpha=0.35, soft=0.012 * self.unit, within=NUMBER["body"])
        window = self.canvas.window(outline)
        if window.empty:
            return
        x, y = self._local(window)
        u = (0.14 - x) / 0.485  # 0 at the shoulder, 1 at the tip
        v = y - 0.02 - 0.10 * (u - 0.35)  # across, about -0.09 to 0.09
        colour = mix(mix(p.wing, p.back, 0.55), p.wing, ramp(u, 0.25, 0.6)[..., None])
        colour = colour * mix(scallops(x, y, 0.05, 0.16), quills(u, v), ramp(u, 0.38, 0.5)[..., None])
        pale = mix(PALE, p.belly, 0.4)
        marks = PATTERNS[self.variant["wing"]](u, v, window.cover, self.unit)
        colour = mix(colour, pale, marks[..., None])
        self.canvas.paint(window, np.clip(colour * self._shade(window.cover, 0.035), 0, 1), NUMBER["wing"])

    def _eye(self) -> None:
        kind = self.variant["eye"]
        spot = (0.042, -0.022)
        if kind == "masked":
            stripe = smooth(
                [
                    (0.098, -0.012),
                    (0.05, -0.054),
                    (-0.02, -0.042),
                    (-0.098, -0.006),
                    (-0.09, 0.026),
                    (0.0, 0.018),
                    (0.06, 0.016),
                ]
            )
            brow = smooth([(0.085, -0.045), (0.03, -0.073), (-0.08, -0.045), (-0.085, -0.03), (0.03, -0.056)])
            self._fill(self.head(brow), PALE, "eye", alpha=0.9)
            self._fill(self.head(stripe), INK, "eye", alpha=0.95)
        if kind == "ringed":
            self._fill(self.head(ellipse(*spot, 0.044, 0.043)), PALE * 0.97, "eye")
        if kind == "masked":
            self._fill(self.head(ellipse(*spot, 0.030, 0.030)), rgb("b03a1e"), "eye")
        self._fill(self.head(ellipse(*spot, 0.0265, 0.0265)), mix(INK, rgb("5a3a22"), 0.35), "eye")
        self._fill(self.head(ellipse(*spot, 0.019, 0.019)), INK * 0.6, "eye")
        self._fill(self.head(ellipse(spot[0] + 0.008, spot[1] - 0.010, 0.008, 0.008)), np.ones(3), "eye")
