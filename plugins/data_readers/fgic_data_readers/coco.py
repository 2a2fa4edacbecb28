"""COCO object annotations (Lin et al., ECCV 2014) read as a classification data set."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from fgic_core import (
    Box,
    Context,
    DataError,
    DatasetReader,
    InputFile,
    InputFolder,
    ObjectBox,
    Sample,
    Size,
    Split,
    regular_file,
)
from fgic_data_readers._files import believable, inside, without_suffix

#: How many bytes an annotation file may have: COCO's own have 470 MB, and a parsed one takes some 10 times that.
_LARGEST = 8 << 30


@dataclass(frozen=True, slots=True)
class _File:
    """One annotation file: its categories by id, its images as they are written, the boxes of each image by id."""

    path: Path
    notes: list[str] = field(default_factory=list)
    categories: dict[int, str] = field(default_factory=dict)
    images: dict[int, dict[str, Any]] = field(default_factory=dict)
    boxes: dict[int, list[_Annotated]] = field(default_factory=dict)
    flat: list[int] = field(default_factory=list)

    def place(self, part: str, position: int) -> str:
        return f"{self.path}, {part}[{position}]"


@dataclass(frozen=True, slots=True)
class _Annotated:
    box: Box
    category: int
    crowd: bool
    id: int
    agnostic: bool


class Coco(DatasetReader):
    """Pictures with COCO object annotations.

    A picture's label is the category of its largest box (crowds do not count; of equal boxes the one with the smallest
    annotation id). All its boxes are kept, with their own labels and crowd flags. Labels are the categories in the
    order of their ids, which need not be contiguous.

    A picture without annotations is empty, as COCO means it: somebody looked, and there is no object. Where that is not
    so, `without_annotation` says it.

    What `fgic data convert` and `fgic_core.write_coco` wrote comes back as it was: an image's ``category_id`` is then
    its label, and ``sample_id`` its id.
    """

    images: InputFolder = Field(
        description="Folder that file names start at, or whose folders (train2017/, …) they start at."
    )
    train: InputFile = Field(description="Annotations (JSON) of the train split.")
    val: InputFile | None = Field(
        None, description="Annotations of the validation split; by default it is cut from train."
    )
    test: InputFile = Field(
        description="Annotations of the test split. COCO's own are not public: give those of val2017."
    )
    without_object: Literal["error", "skip"] = Field(
        "error",
        description="What a picture without an object (and so without a label) does: stop, or be left out. One whose "
        "entry has a `category_id` of its own has a label.",
    )

    without_annotation: Literal["empty", "unknown"] = Field(
        "empty",
        description="What is in a picture without annotations: no object (`empty`: what a detector finds there is "
        "wrong, and it can learn so), or nobody knows (`unknown`: detectors neither learn from it nor are measured on "
        "it). One whose entry says `not_annotated: true` is unknown in any case.",
    )

    def source(self) -> Path:
        return self.images

    def classes(self) -> Sequence[str]:
        return list(self._categories(self._files()).values())

    def notes(self) -> Sequence[str]:
        return list(dict.fromkeys(note for file in self._files().values() for note in file.notes))

    def samples(self, ctx: Context) -> Iterator[Sample]:
        files = self._files()
        labels = {category: label for label, category in enumerate(self._categories(files))}
        places: dict[str, str] = {}
        for split, file in files.items():
            if file.flat:
                ctx.warn(f"{len(file.flat)} boxes of {file.path.name} have no width or no height and were left out")
            folder = self._folder(split, file)
            looked_at = self.without_annotation == "empty"
            hidden = set(file.flat)  # there is an object, whose box is lost
            skipped = 0
            for position, image in enumerate(file.images.values()):
                where = file.place("images", position)
                path = f"{folder}{inside(image['file_name'], where)}"
                if path in places:
                    raise DataError(f"{path} is listed twice, first in {places[path]}", where=where)
                places[path] = where
                boxes = file.boxes.get(image["id"], [])
                if "category_id" in image or any(not box.crowd for box in boxes):
                    empty = looked_at and not boxes and image["id"] not in hidden and not _is_unknown(image)
                    yield _sample(path, split, image, boxes, empty, labels)
                elif self.without_object == "error":
                    raise DataError(
                        f"{path} has {'crowds alone' if boxes else 'no annotated object'}, so it has no label",
                        where=where,
                        hint="Set without_object: skip to leave such pictures out.",
                    )
                else:
                    skipped += 1
            if skipped:
                ctx.warn(f"{skipped} pictures of {file.path.name} have no annotated object and were left out")

    def _files(self) -> dict[Split, _File]:
        given: dict[Split, Path | None] = {"train": self.train, "val": self.val, "test": self.test}
        return {split: _read(path) for split, path in given.items() if path is not None}

    def _categories(self, files: dict[Split, _File]) -> dict[int, str]:
        names: dict[int, str] = {}
        for file in files.values():
            for category, name in file.categories.items():
                if names.setdefault(category, name) != name:
                    raise DataError(
                        f"category {category} is {name!r} here and {names[category]!r} in another split",
                        where=str(file.path),
                    )
        taken: dict[str, int] = {}
        for category, name in names.items():
            if taken.setdefault(name, category) != category:
                raise DataError(
                    f"categories {taken[name]} and {category} are both named {name!r}", where=str(self.train)
                )
        return dict(sorted(names.items()))

    def _folder(self, split: Split, file: _File) -> str:
        """The folder below `images` that the file's names start at: "", or one named after the file or the split."""
        folders = ["", f"{file.path.stem.removeprefix('instances_')}/", f"{split}/"]
        for position, image in enumerate(file.images.values()):
            name = inside(image["file_name"], file.place("images", position))
            for folder in folders:
                if (self.images / folder / name).exists():
                    return folder
        raise DataError(
            f"none of the {len(file.images)} pictures lies below {self.images}",
            where=str(file.path),
            hint=f"Looked in {', '.join(str(self.images / folder) for folder in folders)}.",
        )


def _sample(
    path: str, split: Split, image: dict[str, Any], boxes: list[_Annotated], empty: bool, labels: dict[int, int]
) -> Sample:
    """The sample of an image, whose label is its own, or else that of its largest object."""
    category = image.get("category_id")
    if category is None:
        category = min((one for one in boxes if not one.crowd), key=lambda one: (-one.box.area, one.id)).category
    return Sample(
        id=image.get("sample_id", without_suffix(path)),
        path=path,
        label=labels[category],
        split=split,
        size=believable(_size(image), (one.box for one in boxes)),
        boxes=tuple(
            ObjectBox(one.box, None if one.agnostic else labels[one.category], crowd=one.crowd) for one in boxes
        ),
        empty=empty,
        origin=image.get("sample_origin", "real"),
        parents=tuple(image.get("sample_parents", ())),
    )


def _read(path: Path) -> _File:
    document = _load(path)
    file = _File(path, _notes(document))
    for position, category in _entries(document, "categories", path):
        where = file.place("categories", position)
        key, name = _get(category, "id", int, where), _get(category, "name", str, where)
        if key in file.categories:
            raise DataError(f"category {key} is defined twice", where=where)
        file.categories[key] = name
    for position, image in _entries(document, "images", path):
        where = file.place("images", position)
        key = _get(image, "id", int, where)
        _get(image, "file_name", str, where)
        if key in file.images:
            raise DataError(f"image {key} is listed twice", where=where)
        _check_own(image, file, where)
        file.images[key] = image
    for position, annotation in _entries(document, "annotations", path):
        _add(file, annotation, file.place("annotations", position))
    if not file.images:
        raise DataError("this file lists no images", where=str(path))
    _check_crowds(file)
    return file


def _check_crowds(file: _File) -> None:
    """That not every object is a crowd, as mask tools (CVAT's brush, RLE masks) write them, where boxes give labels."""
    boxes = [box for boxes in file.boxes.values() for box in boxes]
    if boxes and all(box.crowd for box in boxes) and not any("category_id" in image for image in file.images.values()):
        raise DataError(
            f"all {len(boxes)} objects of this file are crowds (iscrowd 1), which give a picture no label",
            where=str(file.path),
            hint='Where each is one object, as mask tools export them, write "iscrowd": 0 in the annotations.',
        )


def _check_own(image: dict[str, Any], file: _File, where: str) -> None:
    """The keys that fgic adds to an image's entry, each of which may be missing."""
    for key in ("sample_id", "sample_origin"):
        if key in image and not _get(image, key, str, where):
            raise DataError(f"{key} is empty", where=where)
    if not isinstance(image.get("not_annotated", False), bool):
        raise DataError(f"not_annotated should be true or false and is {image['not_annotated']!r:.80}", where=where)
    if "category_id" in image and _get(image, "category_id", int, where) not in file.categories:
        raise DataError(f"category_id {image['category_id']} is no category of this file", where=where)
    if "sample_parents" in image:
        parents = _get(image, "sample_parents", list, where)
        if not all(isinstance(parent, str) for parent in parents):
            raise DataError(f"sample_parents should be a list of ids and is {parents!r:.80}", where=where)


def _notes(document: dict[str, Any]) -> list[str]:
    """The notes that fgic wrote into ``info``; whatever others put there is theirs."""
    info = document.get("info")
    notes = info.get("notes") if isinstance(info, dict) else None
    return notes if isinstance(notes, list) and all(isinstance(note, str) for note in notes) else []


def _add(file: _File, annotation: dict[str, Any], where: str) -> None:
    image, category = _get(annotation, "image_id", int, where), _get(annotation, "category_id", int, where)
    if image not in file.images:
        raise DataError(f"image_id {image} is no image of this file", where=where)
    if _is_unknown(file.images[image]):
        raise DataError(f"image {image} is marked not_annotated and has an annotation", where=where)
    if category not in file.categories:
        raise DataError(f"category_id {category} is no category of this file", where=where)
    numbers = _get(annotation, "bbox", list, where)
    if len(numbers) != 4 or not all(_is_number(value) for value in numbers):
        raise DataError(f"bbox should be four numbers x, y, width, height and is {numbers}", where=where)
    box = Box.from_xywh(*map(float, numbers))
    key = annotation.get("id", 0)
    crowd, agnostic = (_flag(annotation, name, where) for name in ("iscrowd", "class_agnostic"))
    if box.is_empty:
        file.flat.append(image)  # COCO's own files have a few
    else:
        one = _Annotated(box, category, crowd, key if _is_whole(key) else 0, agnostic)
        file.boxes.setdefault(image, []).append(one)


def _load(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(regular_file(path, _LARGEST).read_bytes())
    except json.JSONDecodeError as error:
        raise DataError(f"this is not JSON: {error.msg}", where=f"{path}:{error.lineno}:{error.colno}") from None
    except (OSError, ValueError, RecursionError) as error:  # a ValueError of a number of thousands of digits
        raise DataError(f"this file cannot be read as JSON: {error}", where=str(path)) from None
    if not isinstance(document, dict):
        raise DataError(
            "this is no COCO file: its top should be an object with images, annotations, categories", where=str(path)
        )
    return document


def _entries(document: dict[str, Any], key: str, path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    entries = document.get(key)
    if not isinstance(entries, list):
        raise DataError(
            f"this file has no list of {key}",
            where=str(path),
            hint="A COCO file has images, annotations and categories.",
        )
    for position, entry in enumerate(entries):
        if not isinstance(entry, dict):
            raise DataError(f"an entry should be an object and is {entry!r:.80}", where=f"{path}, {key}[{position}]")
        yield position, entry


def _get(entry: dict[str, Any], key: str, kind: type, where: str) -> Any:
    if key not in entry:
        raise DataError(f"this entry has no {key}", where=where)
    value = entry[key]
    if not isinstance(value, kind) or isinstance(value, bool):
        words = {int: "a whole number", str: "a string", list: "a list"}
        raise DataError(f"{key} should be {words[kind]} and is {value!r:.80}", where=where)
    return value


def _flag(entry: dict[str, Any], key: str, where: str) -> bool:
    """A key that may be missing, which is false. Not by truth: "0" would be true, and so would any other mistake."""
    value = entry.get(key, 0)
    if not isinstance(value, (bool, int, float)) or value not in (0, 1):
        raise DataError(f"{key} should be 0, 1, false or true and is {json.dumps(value):.80}", where=where)
    return bool(value)


def _size(image: dict[str, Any]) -> Size | None:
    width, height = image.get("width"), image.get("height")
    return Size(width, height) if isinstance(width, int) and isinstance(height, int) else None


def _is_unknown(image: dict[str, Any]) -> bool:
    """Whether fgic marked the image as one that nobody annotated."""
    return image.get("not_annotated") is True


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    # By comparison: a whole number of hundreds of digits is no float.
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= sys.float_info.max
