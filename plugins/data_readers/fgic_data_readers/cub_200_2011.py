"""Caltech-UCSD Birds-200-2011 (Wah et al., CNS-TR-2011-001)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from unicodedata import normalize

from pydantic import Field

from fgic_core import Box, Context, DataError, DatasetReader, InputFolder, ObjectBox, Part, Sample, Split
from fgic_data_readers._files import inside, number, readable, rows, whole, without_suffix

LAYOUT = (
    "The folder should hold images/, images.txt, classes.txt, image_class_labels.txt, train_test_split.txt and "
    "bounding_boxes.txt, or hold the folder CUB_200_2011 that does."
)
_COLUMNS = {
    "images.txt": "image_id image_name",
    "classes.txt": "class_id class_name",
    "image_class_labels.txt": "image_id class_id",
    "train_test_split.txt": "image_id is_training_image",
    "bounding_boxes.txt": "image_id x y width height",
    "parts/parts.txt": "part_id part_name",
    "parts/part_locs.txt": "image_id part_id x y visible",
}
#: A line of a table: its place, and its columns after the first.
_Row = tuple[str, list[str]]


class Cub200(DatasetReader):
    """CUB-200-2011: 200 bird species with boxes and 15 part locations, or any subset of it in the same layout.

    ``images.txt`` says which pictures there are; lines of other files about other pictures do not matter. Class ids
    need not be contiguous. Part locations are read where ``parts/`` is there.
    """

    root: InputFolder = Field(description="The folder CUB_200_2011, or the one that holds it.")

    def source(self) -> Path:
        for folder in (self.root, self.root / "CUB_200_2011"):
            if (folder / "images.txt").exists():
                return folder
        raise DataError("this is no CUB-200-2011 data set: there is no images.txt", where=str(self.root), hint=LAYOUT)

    def notes(self) -> Sequence[str]:
        return (
            "CUB-200-2011 pictures overlap with ImageNet's, as the data set's web page warns: weights pretrained on "
            "ImageNet may have seen test pictures.",
        )

    def classes(self) -> Sequence[str]:
        return readable([name for _, name in sorted(self._classes().items())], r"\d{1,3}\.")

    def part_names(self) -> Sequence[str]:
        return [name for _, name in sorted(self._parts().items())]

    def samples(self, ctx: Context) -> Iterator[Sample]:
        pictures = self._table("images.txt")
        classes = self._table("image_class_labels.txt")
        splits = self._table("train_test_split.txt")
        boxes = self._table("bounding_boxes.txt")
        names = self._classes()
        labels = {class_id: label for label, class_id in enumerate(sorted(names))}
        folders = _Folders(names)
        parts = self._part_locations()
        places: dict[str, str] = {}
        seen: set[Split] = set()
        for image_id, (where, (name,)) in pictures.items():
            path = inside(name, where)
            if path in places:
                raise DataError(f"{path} is listed twice, first at {places[path]}", where=where)
            places[path] = where
            class_id = self._class_id(self._row(classes, image_id, where, "image_class_labels.txt"), labels)
            folders.check(path, class_id, classes[image_id][0])
            label = labels[class_id]
            split = _split(self._row(splits, image_id, where, "train_test_split.txt"))
            seen.add(split)
            box = _box(self._row(boxes, image_id, where, "bounding_boxes.txt"))
            yield Sample(
                id=without_suffix(path),
                path=f"images/{path}",
                label=label,
                split=split,
                boxes=(ObjectBox(box, label),),
                parts=tuple(parts.get(image_id, ())),
            )
        folders.check_others()
        for wanted in ("train", "test"):
            if wanted not in seen:
                raise DataError(
                    f"no picture is in the {wanted} split", where=str(self.source() / "train_test_split.txt")
                )

    def _table(self, name: str) -> dict[int, _Row]:
        """The lines of a table by the id in their first column, in the order of the file."""
        path = self.source() / name
        table: dict[int, _Row] = {}
        for where, (first, *rest) in rows(path, _COLUMNS[name], LAYOUT):
            key = whole(first, _COLUMNS[name].split()[0], where)
            if key in table:
                raise DataError(f"id {key} is listed twice, first at {table[key][0]}", where=where)
            table[key] = (where, rest)
        return table

    def _row(self, table: dict[int, _Row], image_id: int, where: str, name: str) -> _Row:
        if image_id not in table:
            raise DataError(f"image {image_id} has no line in {self.source() / name}", where=where, hint=LAYOUT)
        return table[image_id]

    def _classes(self) -> dict[int, str]:
        return {class_id: name for class_id, (_, (name,)) in self._table("classes.txt").items()}

    def _class_id(self, row: _Row, labels: dict[int, int]) -> int:
        where, (text,) = row
        class_id = whole(text, "class_id", where)
        if class_id not in labels:
            raise DataError(f"class {class_id} is not in {self.source() / 'classes.txt'}", where=where)
        return class_id

    def _parts(self) -> dict[int, str]:
        if not (self.source() / "parts" / "part_locs.txt").exists():
            return {}
        return {part_id: name for part_id, (_, (name,)) in self._table("parts/parts.txt").items()}

    def _part_locations(self) -> dict[int, list[Part]]:
        names = self._parts()
        located: dict[int, list[Part]] = {}
        seen: set[tuple[int, int]] = set()
        if not names:
            return located
        path = self.source() / "parts" / "part_locs.txt"
        for where, (image, part, x, y, visible) in rows(path, _COLUMNS["parts/part_locs.txt"], LAYOUT):
            key = whole(image, "image_id", where), whole(part, "part_id", where)
            if key[1] not in names:
                raise DataError(f"part {key[1]} is not in {path.parent / 'parts.txt'}", where=where)
            if key in seen:
                raise DataError(f"part {key[1]} of image {key[0]} is listed twice", where=where)
            seen.add(key)
            part_at = Part(
                names[key[1]], number(x, "x", where), number(y, "y", where), _flag(visible, "visible", where)
            )
            located.setdefault(key[0], []).append(part_at)
        return located


class _Folders:
    """Checks the folders that pictures lie in, which may say their classes a second time, against the labels.

    A folder says a class by its name, case and underscores aside, with the number or without, or by a number of three
    digits, as CUB-200-2011 has them; else the folder above it may. Where no folder of a picture does, most folders may
    still hold one class each: then they are class folders too, and none of them holds two.

    Args:
        names: the classes' names by their ids.
    """

    def __init__(self, names: dict[int, str]) -> None:
        self._names = names
        self._ids = {f"{class_id:03d}": class_id for class_id in names if class_id < 1000}
        for key in _KEYS[::-1]:
            said = Counter(key(name) for name in names.values())  # what more than one class is called says none
            self._ids |= {key(name): class_id for class_id, name in names.items() if said[key(name)] == 1}
        self._ids.pop("", None)
        #: Of the folders that say no class, by path: how often each class is in them, and where first.
        self._others: dict[str, dict[int, tuple[int, str, str]]] = {}

    def check(self, path: str, class_id: int, where: str) -> None:
        """Raises DataError where the folder says another class."""
        folder = PurePosixPath(path).parent
        for name in reversed(folder.parts):
            named = next((self._ids[key(name)] for key in _KEYS if key(name) in self._ids), None)
            if named == class_id:
                return
            if named is not None:
                raise DataError(
                    f"{path} has class {class_id} ({self._names[class_id]}), but its folder is class {named}",
                    where=where,
                    hint="Correct the label, or move the picture to the folder of its class.",
                )
        if folder.parts:
            count, *first = self._others.setdefault(str(folder), {}).get(class_id, (0, path, where))
            self._others[str(folder)][class_id] = (count + 1, first[0], first[1])

    def check_others(self) -> None:
        """Raises DataError where folders that say no class hold one each, but for a few that hold two."""
        main = [max(classes, key=lambda class_id: classes[class_id][0]) for classes in self._others.values()]
        mixed = [classes for classes in self._others.values() if len(classes) > 1]
        if not mixed or len(set(main)) < len(main) or 2 * len(mixed) >= len(main):
            return
        often, *_, rare = sorted(mixed[0].items(), key=lambda item: -item[1][0])
        (class_id, (_, path, where)), (of_other, (_, other, _)) = rare, often
        raise DataError(
            f"{path} has class {class_id}, but {other} has class {of_other}",
            where=where,
            hint="Most folders hold one class. Correct the label, or move the picture to the folder of its class.",
        )


def _plain(name: str) -> str:
    """A class's or folder's name without case, underscores and spaces."""
    return re.sub(r"[\s_-]+", "", normalize("NFC", name).casefold())


def _bare(name: str) -> str:
    """The same without the number."""
    return _plain(re.sub(r"^\d{1,3}\.", "", name))


def _number(name: str) -> str:
    """The three digits that a name starts with; empty where it does not."""
    match = re.match(r"\d{3}(?!\d)", name)
    return match[0] if match else ""


#: By what a folder is known to be a class's, the surest first.
_KEYS = (_plain, _bare, _number)


def _flag(text: str, what: str, where: str) -> bool:
    if text not in ("0", "1"):
        raise DataError(f"{what} should be 0 or 1 and is {text!r}", where=where)
    return text == "1"


def _split(row: _Row) -> Split:
    where, (text,) = row
    return "train" if _flag(text, "is_training_image", where) else "test"


def _box(row: _Row) -> Box:
    where, texts = row
    x, y, width, height = (
        number(text, what, where) for text, what in zip(texts, ("x", "y", "width", "height"), strict=True)
    )
    if width <= 0 or height <= 0:
        raise DataError(f"the box is empty: {width:g} x {height:g} pixels", where=where)
    return Box.from_xywh(x, y, width, height)
