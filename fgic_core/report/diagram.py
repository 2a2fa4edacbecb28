"""Where the boxes and arrows of the pipeline's diagram stand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fgic_core.kinds.ports import all_steps, steps_of
from fgic_core.report.names import shorten
from fgic_core.report.view import StepView

HEIGHT = 68
#: How wide a box may be, its padding, and how wide a character of its two lines is, in pixels.
_NARROWEST, _WIDEST, _PADDING, _NAME, _USES = 150, 212, 13, 8.0, 6.65
_LANE = 26  # room for an arrow that passes a step by


@dataclass(frozen=True)
class Node:
    """A step's box; x and y of its upper left corner in pixels, and its two lines, shortened to fit."""

    step: StepView
    x: float
    y: float
    name: str
    uses: str


@dataclass(frozen=True)
class Edge:
    """An arrow from a step to one that takes its artifact."""

    path: str
    type: str
    title: str


@dataclass(frozen=True)
class Diagram:
    """Boxes and arrows, and the size of the drawing and of each box in pixels."""

    name: str
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    width: float
    height: float
    box: tuple[float, float]


@dataclass(frozen=True)
class _Place:
    layer: int
    start: float
    size: float

    @property
    def middle(self) -> float:
        return self.start + self.size / 2


def layout(steps: Sequence[StepView], *, across: bool) -> Diagram:
    """The diagram of a run, from left to right (``across``) or from top to bottom.

    From left to right each step stands one layer after the last of its inputs; from top to bottom, for narrow screens,
    each has a layer of its own. An arrow that skips layers runs in a lane beside the steps.
    """
    box = (_width(steps), HEIGHT)
    along, beside = box if across else box[::-1]
    gap, spread = (46, 18) if across else (38, 14)
    layers = _layers(steps) if across else {step.name: layer for layer, step in enumerate(steps)}
    places = _places(steps, layers, beside, spread)
    margin = 2.0

    def point(a: float, b: float) -> str:
        return f"{a:g},{b:g}" if across else f"{b:g},{a:g}"

    def bend(a: tuple[float, float], b: tuple[float, float]) -> str:
        half = (a[0] + b[0]) / 2
        return f"C{point(half, a[1])} {point(half, b[1])} {point(*b)}"

    pitch = along + gap
    edges = []
    for step in steps:
        sources = [
            (name, source)
            for name, given in step.record.inputs.items()
            for source in steps_of(given)
            if source in layers
        ]
        for number, (name, source) in enumerate(sources, 1):
            here, target = places[source], places[step.name]
            at = (margin + here.layer * pitch + along, margin + here.middle)
            path = f"M{point(*at)}"
            for layer in range(here.layer + 1, target.layer):
                lane = places[f"{source}\n{layer}"]
                first, last = margin + layer * pitch - gap / 4, margin + layer * pitch + along + gap / 4
                path += bend(at, (first, margin + lane.middle)) + f"L{point(last, margin + lane.middle)}"
                at = (last, margin + lane.middle)
            end = (margin + target.layer * pitch - 7, margin + target.start + beside * number / (len(sources) + 1))
            edges.append(Edge(path + bend(at, end), name, f"{source} gives the {name} of {step.name}"))
    nodes = []
    for step in steps:
        a, b = margin + layers[step.name] * pitch, margin + places[step.name].start
        room = box[0] - 2 * _PADDING
        name, uses = shorten(step.name, int(room / _NAME)), shorten(step.record.uses, int(room / _USES))
        nodes.append(Node(step, *((a, b) if across else (b, a)), name, uses))
    length = (max(layers.values(), default=0) + 1) * pitch - gap + 2 * margin
    breadth = max((place.start + place.size for place in places.values()), default=0) + 2 * margin
    size = (length, breadth) if across else (breadth, length)
    return Diagram("across" if across else "down", tuple(nodes), tuple(edges), *size, box)


def _width(steps: Sequence[StepView]) -> float:
    """How wide the boxes are, so that the longest name fits."""
    text = [max(len(step.name) * _NAME, len(step.record.uses) * _USES) for step in steps]
    return float(min(max(round(max(text, default=0)) + 2 * _PADDING, _NARROWEST), _WIDEST))


def _layers(steps: Sequence[StepView]) -> dict[str, int]:
    layers: dict[str, int] = {}
    for step in steps:
        sources = [layers[source] for source in all_steps(step.record.inputs) if source in layers]
        layers[step.name] = max(sources, default=-1) + 1
    return layers


def _places(steps: Sequence[StepView], layers: dict[str, int], beside: float, spread: float) -> dict[str, _Place]:
    """Where each step and each lane (``source`` and layer) lies across its layer, boxes first."""
    places: dict[str, _Place] = {}
    filled: dict[int, float] = {}

    def put(name: str, layer: int, size: float) -> None:
        start = filled.get(layer, 0.0)
        places[name] = _Place(layer, start, size)
        filled[layer] = start + size + spread

    for step in steps:
        put(step.name, layers[step.name], beside)
    for step in steps:
        for source in all_steps(step.record.inputs):
            for layer in range(layers.get(source, layers[step.name]) + 1, layers[step.name]):
                if f"{source}\n{layer}" not in places:
                    put(f"{source}\n{layer}", layer, _LANE)
    return places
