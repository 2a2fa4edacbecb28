"""Stanford Dogs (Khosla et al., FGVC workshop at CVPR 2011)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

from pydantic import Field

from fgic_core import Box, Context, DataError, DatasetReader, InputFolder, ObjectBox, Sample, Size, Split
from fgic_data_readers._files import believable, inside, number, readable, rows, whole, without_suffix
from fgic_data_readers._mat import load_mat
from fgic_data_readers._xml import Annotation

LAYOUT = (
    "The folder should hold Images/<class>/<picture>.jpg, Annotation/<class>/<picture> (XML without a suffix) and "
    "lists/train_list.mat, lists/test_list.mat."
)
_SPLITS: tuple[Split, ...] = ("train", "test")
_VARIABLES = ("file_list", "annotation_list", "labels")
_WORDNET = r"n\d{8}-"


@dataclass(frozen=True, slots=True)
class _Entry:
    """One entry of a list: paths below Images/ and Annotation/, the class id as it is written, and its place."""

    picture: str
    annotation: str
    class_id: int
    where: str

    @property
    def folder(self) -> str:
        return self.picture.rpartition("/")[0]


class StanfordDogs(DatasetReader):
    """Stanford Dogs: 120 breeds with boxes, or any subset of it in the same layout.

    Class names come from ``lists/classes.txt`` (lines of id and name) where there is one; the original archive has
    none, and the names are those of the picture folders. ``n02094114-Norfolk_terrier`` becomes ``Norfolk terrier``.
    """

    root: InputFolder = Field(description="Folder with Images/, Annotation/ and lists/.")

    def source(self) -> Path:
        return self.root

    def notes(self) -> Sequence[str]:
        return (
            "Stanford Dogs pictures are ImageNet training pictures (Khosla et al. 2011): weights pretrained on "
            "ImageNet have seen them, the test pictures too.",
        )

    def classes(self) -> Sequence[str]:
        return readable(list(self._folders(self._lists()).values()), _WORDNET)

    def samples(self, ctx: Context) -> Iterator[Sample]:
        lists = self._lists()
        folders = self._folders(lists)
        labels = {class_id: label for label, class_id in enumerate(folders)}
        classes = {_plain(name): class_id for class_id, name in folders.items()}
        first: dict[str, str] = {}
        for split, entries in lists.items():
            for entry in entries:
                if entry.picture in first:
                    raise DataError(
                        f"{entry.picture} is listed twice, first in {first[entry.picture]}",
                        where=entry.where,
                        hint="Remove one of the two.",
                    )
                first[entry.picture] = entry.where
                yield self._sample(entry, split, labels[entry.class_id], classes)

    def _lists(self) -> dict[Split, list[_Entry]]:
        lists: dict[Split, list[_Entry]] = {}
        for split in _SPLITS:
            path = self.root / "lists" / f"{split}_list.mat"
            lists[split] = _read_list(path)
            if not lists[split]:
                raise DataError(f"the {split} split is empty", where=str(path), hint=LAYOUT)
        return lists

    def _folders(self, lists: dict[Split, list[_Entry]]) -> dict[int, str]:
        """Class names as they are written, by class id, in the order of ids; checked against the pictures' folders."""
        path = self.root / "lists" / "classes.txt"
        names = _read_classes(path) if path.exists() else {}
        folder_of: dict[int, _Entry] = {}
        id_of: dict[str, _Entry] = {}
        for entry in (entry for entries in lists.values() for entry in entries):
            if names and entry.class_id not in names:
                raise DataError(
                    f"label {entry.class_id} of {entry.picture} is no class of {path.name}",
                    where=entry.where,
                    hint=f"{path.name} has ids {min(names)} to {max(names)}.",
                )
            for other in (id_of.setdefault(entry.folder, entry), folder_of.setdefault(entry.class_id, entry)):
                if (other.class_id, other.folder) != (entry.class_id, entry.folder):
                    raise DataError(
                        f"{entry.picture} has label {entry.class_id}, but {other.picture} has label {other.class_id}",
                        where=entry.where,
                        hint="Pictures of one folder have one label, and no other folder has it.",
                    )
        for class_id, name in names.items():
            used = folder_of.get(class_id)
            if used and name in id_of and used.folder != name:
                raise DataError(
                    f"{path.name} calls class {class_id} {name}, but its pictures lie in {used.folder}",
                    where=used.where,
                    hint="The labels and the class names are shifted against each other.",
                )
        if not names:
            names = {class_id: entry.folder for class_id, entry in folder_of.items()}
        return dict(sorted(names.items()))

    def _sample(self, entry: _Entry, split: Split, label: int, classes: dict[str, int]) -> Sample:
        annotation = Annotation(self.root / "Annotation" / entry.annotation)
        _check_names(annotation, entry, classes)
        size = _size(annotation)
        boxes = [_box(annotation, element, size) for element in annotation.root.iter("bndbox")]
        return Sample(
            id=without_suffix(entry.picture),
            path=f"Images/{entry.picture}",
            label=label,
            split=split,
            size=believable(size, boxes),
            boxes=tuple(ObjectBox(box, label) for box in boxes),
        )


def _read_classes(path: Path) -> dict[int, str]:
    names: dict[int, str] = {}
    for where, (class_id, name) in rows(path, "class_id class_name", LAYOUT):
        key = whole(class_id, "the class id", where)
        if key in names or name in names.values():
            raise DataError(f"class {key} {name} is named twice", where=where)
        names[key] = name
    return names


def _read_list(path: Path) -> list[_Entry]:
    content = load_mat(path, _VARIABLES, LAYOUT)
    for key in _VARIABLES:
        if key not in content:
            raise DataError(f"the list has no variable {key}", where=str(path), hint=LAYOUT)
    pictures, annotations, labels = (content[key].ravel() for key in _VARIABLES)
    if not len(pictures) == len(annotations) == len(labels):
        raise DataError(
            f"file_list has {len(pictures)} entries, annotation_list {len(annotations)}, labels {len(labels)}",
            where=str(path),
        )
    return [
        _entry(*values, where=f"{path}, entry {position}")
        for position, values in enumerate(zip(pictures, annotations, labels, strict=True), 1)
    ]


def _entry(picture: Any, annotation: Any, label: Any, where: str) -> _Entry:
    """An entry from MATLAB cells, which hold the string as an array of one element."""
    words = [str(cell.item()) if getattr(cell, "size", 0) == 1 else str(cell) for cell in (picture, annotation)]
    written = f"{label:g}" if isinstance(label, float) else str(label)
    entry = _Entry(inside(words[0], where), inside(words[1], where), whole(written, "the label", where), where)
    if entry.annotation.removesuffix(".xml") != without_suffix(entry.picture):
        raise DataError(
            f"the picture is {entry.picture}, but its annotation {entry.annotation}",
            where=where,
            hint="The two lists are shifted against each other: a picture and its annotation have one name.",
        )
    return entry


def _plain(name: str) -> str:
    return re.sub(f"^{_WORDNET}", "", name)


def _check_names(annotation: Annotation, entry: _Entry, classes: dict[str, int]) -> None:
    """That no object of the annotation bears the name of another class than the picture's."""
    for element in annotation.root.iter("object"):
        name = (element.findtext("name") or "").strip()
        if classes.get(_plain(name), entry.class_id) != entry.class_id:
            raise DataError(
                f"this object is a {name}, but the lists give {entry.picture} label {entry.class_id}",
                where=annotation.place(element),
                hint="Is it the annotation of another picture, or is the label wrong?",
            )


def _size(annotation: Annotation) -> Size | None:
    """The picture's size as the XML gives it; None where it gives none."""
    element = annotation.root.find("size")
    if element is None:
        return None
    width, height = (whole(*_named(annotation, element, tag)) for tag in ("width", "height"))
    return Size(width, height)


def _named(annotation: Annotation, element: Element, tag: str) -> tuple[str, str, str]:
    text, where = annotation.text(element, tag)
    return text, tag, where


def _box(annotation: Annotation, element: Element, size: Size | None) -> Box:
    """Edges from the corners of a ``<bndbox>``.

    Unlike PASCAL VOC's, the corners count from 0 and name the first and the last pixel of the object. (In the 1,191
    annotations that were looked at xmin is 0 in every tenth, and xmax reaches width - 1.) Copies of the data
    set whose boxes were rescaled may round the last pixel up to the width; that pixel is the border.
    """
    xmin, ymin, xmax, ymax = (number(*_named(annotation, element, tag)) for tag in ("xmin", "ymin", "xmax", "ymax"))
    if xmax < xmin or ymax < ymin:
        raise DataError(
            f"the box ends before it starts: ({xmin:g}, {ymin:g}) to ({xmax:g}, {ymax:g})",
            where=annotation.place(element),
        )
    x2, y2 = xmax + 1, ymax + 1
    if size is not None:
        x2, y2 = (xmax if xmax == size.width else x2), (ymax if ymax == size.height else y2)
    return Box(xmin, ymin, x2, y2)
