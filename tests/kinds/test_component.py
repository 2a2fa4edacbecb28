"""What a component's class says of its options."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel

from fgic_core import Cropper, InputFile, InputFolder
from fgic_core.kinds.component import plain_paths


class Below(BaseModel):
    """Options of an option."""

    file: InputFile | None = None
    plain: Path | None = None
    again: list[Below] = []


@dataclass
class Within:
    """The same, as a dataclass."""

    files: tuple[InputFile, ...] = ()
    below: Below | None = None


class Files(Cropper):
    """Options of all kinds."""

    number: int = 1
    file: InputFile | None = None
    several: list[InputFile] = []
    by_name: dict[str, InputFolder] = {}
    plain: Path = Path()
    perhaps: Path | None = None
    many: tuple[Path, ...] = ()
    below: Below = Below()
    within: dict[str, Within] = {}

    def region(self, box, image):
        return box


def test_options_of_plain_paths_are_named_and_no_others() -> None:
    assert plain_paths(Files) == ["plain", "perhaps", "many", "below", "within"]
