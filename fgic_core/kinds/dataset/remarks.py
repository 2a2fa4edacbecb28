"""What the files of a whole data set say that no single picture can: ranges that were not used, frames in doubt."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fgic_core.data.checks import Problems
from fgic_core.data.images import Facts
from fgic_core.errors import DataError

#: As a share of white. 14-bit pictures in 16-bit files reach a quarter.
_DARK = 0.25
#: So many pictures that are nearly black are no accident, where they are such a share of the data set.
_MANY, _MOST = 8, 0.5


class Depths:
    """Looks at the largest values of pictures with more than 8 bits whose files do not say their range.

    A few dark pictures may be of the night; a data set in which none is brighter than a sixteenth of white has 12 bits
    in 16. Of the 256 steps that a network sees 16 are left then: that is an error and no warning, because nobody wants
    it, a training on it says nothing, and it costs the user one line to say the range.
    """

    def __init__(self) -> None:
        self.total = 0
        self.count = 0
        self.black = 0
        self._cut = 0
        self._largest, self._white = 0.0, 1.0

    def add(self, facts: Facts) -> None:
        self.total += 1
        if not facts.largest:  # without a bright pixel nothing can be said of the range
            return
        self.count += 1
        self.black += facts.is_nearly_black
        self._cut += facts.is_cut
        if facts.largest / facts.white > self._largest / self._white:
            self._largest, self._white = facts.largest, facts.white

    def _said(self) -> str:
        bits = int(self._largest).bit_length()
        like = f", as {bits}-bit cameras give" if 8 < bits < 16 and self._white == 65535 else ""
        return f"{self._largest:,.6g} of {self._white:,.6g}{like}"

    def raise_if_black(self, where: str) -> None:
        """Raises DataError where all of them come out nearly black, and most of the data set is of them."""
        if self.black == self.count >= max(_MANY, _MOST * self.total):
            raise DataError(
                f"the largest value in {self.count:,} of {self.count:,} pictures with more than 8 bits is "
                f"{self._said()}: they come out nearly black",
                where=where,
                hint=self._hint(),
            )

    def _hint(self) -> str:
        if self._cut == self.count:  # of colour the upper 8 bits are read, whatever the file says
            return "Save them in 8 bits, or scaled to all 16."
        which = "grey" if self._cut else "the"
        return (
            f"Save them in 8 bits, or scaled to all 16; or let {which} files say their range: TIFF with the tag "
            "SMaxSampleValue (4095 for 12 bits), PNG with the chunk sBIT."
        )

    def remarks(self) -> Iterator[str]:
        if self.black:
            yield (
                f"{self.black:,} of {self.count:,} pictures with more than 8 bits have no value above a sixteenth of "
                f"white, as 12 bits have in 16, and come out nearly black (the largest value of the {self.count:,} is "
                f"{self._said()}; the data set has {self.total:,} pictures)."
            )
        elif self.count and self._largest <= _DARK * self._white:
            yield (
                f"The largest value in {self.count:,} of {self.count:,} pictures with more than 8 bits is "
                f"{self._said()}: they come out dark."
            )


class Frames:
    """Looks at pictures that EXIF turns: are their annotations of the upright picture, or of the file's pixels?

    The size that an annotation gives settles it, but for squares and for half a turn.
    """

    def __init__(self) -> None:
        self.unturned = Problems()
        self.unsettled: list[str] = []

    def add(self, path: str, found: Any, width: int | None, height: int | None) -> bool:
        """Whether the picture's annotations are of its pixels as they lie in the file.

        Args:
            path: of a picture with annotations.
            found: its size upright, and its `facts`.
            width: what the annotation says; None where it says nothing.
            height: the same.
        """
        if found.facts.orientation == 1:
            return False
        size = (found.width, found.height)
        settles = found.facts.turns and found.width != found.height
        if settles and (width, height) == size[::-1]:
            self.unturned.add(f"{path}: the annotation says {width}x{height}, upright it is {size[0]}x{size[1]}")
            return True
        if not settles or (width, height) != size:
            self.unsettled.append(path)
        return False

    def raise_if_unturned(self, where: str) -> None:
        """Raises DataError where annotations are of pictures before EXIF turned them."""
        self.unturned.raise_if_any(
            f"{_pictures(self.unturned.count)} turned by EXIF, and the annotations give the size from before",
            where,
            "Boxes are of the upright picture. If these are of the file's pixels as they lie, take the orientation out "
            "of the files (exiftool -Orientation= FILE); if they are of the upright picture, correct width and height.",
        )

    def remarks(self) -> Iterator[str]:
        if self.unsettled:
            yield (
                f"{_pictures(len(self.unsettled), ' with annotations')} turned by EXIF, and nothing says whether the "
                f"annotations are of the upright picture: so they are taken, such as {self.unsettled[0]}."
            )


def _pictures(count: int, which: str = "") -> str:
    return f"{count:,} picture{which} is" if count == 1 else f"{count:,} pictures{which} are"
