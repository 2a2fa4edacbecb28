"""Draws charts in one style and gives them for the page; what they show is in `charts`."""

from __future__ import annotations

import warnings
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, MUTED, LINE = "#1d2433", "#566171", "#dfe3e8"
#: Width and height of a usual chart, in inches.
SMALL = (4.7, 3.0)

_STYLE: dict[str, Any] = {
    "svg.fonttype": "none",  # text stays text: the page's fonts, and small files
    "svg.hashsalt": "fgic",  # the same chart has the same bytes
    "text.parse_math": False,  # a class may be called $x$
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 8.5,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 10,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": MUTED,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "grid.color": LINE,
    "grid.linewidth": 0.7,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.major.size": 3,
    "ytick.major.size": 0,
    "lines.linewidth": 1.8,
    "lines.markersize": 4.5,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "legend.handlelength": 2.6,
}
#: The SVG names the first font that was found; readers' browsers take their own.
_FONTS = "system-ui, 'Segoe UI', Helvetica, Arial, 'Liberation Sans', 'DejaVu Sans', sans-serif"


@dataclass(frozen=True)
class Chart:
    """A chart of the page.

    Attributes:
        src: data URI of an SVG.
        alt: what it shows, in words.
        caption: what a reader must know beside it.
        wide: takes the whole width of the page.
    """

    src: str
    alt: str
    caption: str = ""
    wide: bool = False


class Figures:
    """Draws charts, writes each as an SVG file into the run's ``figures`` folder, and gives it for the page.

    Attributes:
        written: the files.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.written: list[Path] = []

    def draw(
        self,
        name: str,
        plot: Callable[[Axes], None],
        alt: str,
        *,
        size: tuple[float, float] = SMALL,
        caption: str = "",
        wide: bool = False,
    ) -> Chart:
        """A chart that ``plot`` draws.

        Args:
            name: of the file, without suffix.
            plot: draws onto the axes it is given.
            alt: what the chart shows, in words.
            size: width and height in inches.
            caption: what a reader must know beside it.
            wide: takes the whole width of the page.
        """
        import matplotlib
        from matplotlib.figure import Figure

        style: Any = {**matplotlib.rcParamsDefault, **_STYLE}  # whatever the user's own settings are
        with matplotlib.rc_context(style), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of glyphs that the measuring font lacks; the browser has them
            figure = Figure(figsize=size, layout="constrained")
            plot(figure.add_subplot())
            svg = _svg(figure)
        self._folder.mkdir(parents=True, exist_ok=True)
        file = self._folder / f"{name}.svg"
        file.write_bytes(svg)
        self.written.append(file)
        return Chart(f"data:image/svg+xml;base64,{b64encode(svg).decode('ascii')}", alt, caption, wide)


def _svg(figure: Figure) -> bytes:
    file = BytesIO()
    figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None}, facecolor="white")
    return (
        file.getvalue()
        .replace(b"'DejaVu Sans', sans-serif", _FONTS.encode())
        .replace(b'"DejaVu Sans"', b'"sans-serif"')
    )
