"""What a component's class says of its options."""

from __future__ import annotations

from pathlib import Path

from fgic_core import Cropper, InputFile, InputFolder
from fgic_core.interfaces.component import plain_paths


class Files(Cropper):
    """Options of all kinds."""

    number: int = 1
    file: InputFile | None = None
    several: list[InputFile] = []
    by_name: dict[str, InputFolder] = {}
    plain: Path = Path()
    perhaps: Path | None = None
    many: tuple[Path, ...] = ()

    def region(self, box, image):
        return box


def test_options_of_plain_paths_are_named_and_no_others() -> None:
    assert plain_paths(Files) == ["plain", "perhaps", "many"]
