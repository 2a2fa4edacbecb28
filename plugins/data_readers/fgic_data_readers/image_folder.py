"""Pictures in folders that are named after their classes."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from pathlib import Path
from unicodedata import normalize

from pydantic import Field

from fgic_core import (
    Context,
    DataError,
    DatasetReader,
    InputFolder,
    Sample,
    Split,
    is_junk,
    is_picture,
    nearest,
    why_left_out,
)
from fgic_data_readers._files import ClassNames

LAYOUT = (
    "The folder should hold train/<class>/ and test/<class>/ (and val/<class>/ if you like), or <class>/ alone with "
    "the option test_fraction."
)
_SPLIT_OF: dict[str, Split] = {
    "train": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
}
#: The splits that a layout without split folders is cut into.
_CUT: tuple[Split, Split] = ("train", "test")


class ImageFolder(DatasetReader):
    """A folder for each class, below a folder for each split or, with ``test_fraction``, without.

    Classes are sorted by name. Pictures may lie in folders below their class's; hidden files, and what ordinarily lies
    beside pictures (text, tables, archives), are passed over. Other files that cannot be read are counted and named.
    """

    root: InputFolder = Field(description="Folder with train/, test/ and perhaps val/, or with the class folders.")
    test_fraction: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="Share of each class's pictures that becomes the test split where there is no test folder; decided "
        "by each file's name, so that a picture stays in its split when others are added.",
    )
    class_names: ClassNames = Field(
        None, min_length=1, description="The class folders' names in the order of their labels; sorted by default."
    )

    def source(self) -> Path:
        return self.root

    def classes(self) -> Sequence[str]:
        return list(self._classes(self._layout()))

    def samples(self, ctx: Context) -> Iterator[Sample]:
        layout = self._layout()
        classes = self._classes(layout)
        self._report_ignored(layout, ctx)
        seen: set[Split] = set()
        others: list[str] = []
        for label, name in enumerate(classes):
            for folder in layout:
                files = _files(self.root, self.root / folder / name) if name in layout[folder] else []
                pictures = [file for file in files if is_picture(file)]
                others += [file for file in files if not is_picture(file)]
                for path, split in self._splits(pictures, folder, layout):
                    seen.add(split)
                    yield Sample(id=path, path=path, label=label, split=split)
        for file in others:
            if reason := why_left_out(self.root / file):
                ctx.leave_out(file, reason)
        for wanted in _CUT:
            if wanted not in seen:
                raise DataError(f"no picture is in the {wanted} split", where=str(self.root), hint=LAYOUT)

    def _layout(self) -> dict[str, list[str]]:
        """Class folders by the folder they lie in: a split's, or "" where the classes lie in the root."""
        top = _folders(self.root)
        splits: dict[Split, str] = {}
        for name in top:
            split = _SPLIT_OF.get(name.casefold())
            if split is not None and split in splits:
                raise DataError(
                    f"{splits[split]}/ and {name}/ are both the {split} split", where=str(self.root), hint=LAYOUT
                )
            if split is not None:
                splits[split] = name
        if splits and "train" not in splits:
            raise DataError(f"there is {next(iter(splits.values()))}/ but no train/", where=str(self.root), hint=LAYOUT)
        if "test" not in splits and self.test_fraction is None:
            raise DataError(
                "there is no test folder" if splits else "there are no split folders and no test_fraction",
                where=str(self.root),
                hint=f"{LAYOUT} Set test_fraction (0.2, say) to cut a test split from the train pictures.",
            )
        if "test" in splits and self.test_fraction is not None:
            raise DataError(
                f"there is {splits['test']}/ and test_fraction too",
                where=str(self.root),
                hint="Leave test_fraction out.",
            )
        layout = {name: _folders(self.root / name) for name in splits.values()} if splits else {"": top}
        if not any(layout.values()):
            raise DataError("there are no class folders", where=str(self.root), hint=LAYOUT)
        return layout

    def _classes(self, layout: dict[str, list[str]]) -> Sequence[str]:
        found = sorted({name for names in layout.values() for name in names}, key=_order)
        if self.class_names is None:
            return found
        for name in self.class_names:
            if name not in found:
                close = nearest(name, found) or found[:5]
                raise DataError(
                    f"class_names has {name!r}, but no folder has that name",
                    where=str(self.root),
                    hint=f"There is {', '.join(close)}.",
                )
        for name in found:
            if name not in self.class_names:
                raise DataError(
                    f"the folder {name!r} is not in class_names",
                    where=str(self.root),
                    hint="Add it there, or move the folder away.",
                )
        return self.class_names

    def _splits(self, pictures: list[str], folder: str, layout: dict[str, list[str]]) -> Iterator[tuple[str, Split]]:
        """The split of each picture of one class in one folder."""
        split = _SPLIT_OF.get(folder.casefold(), "train")
        if split == "train" and self.test_fraction is not None:
            test = _cut(pictures, self.test_fraction)
            yield from ((path, _CUT[path in test]) for path in pictures)
        else:
            yield from ((path, split) for path in pictures)

    def _report_ignored(self, layout: dict[str, list[str]], ctx: Context) -> None:
        if "" not in layout:
            others = [name for name in _folders(self.root) if name not in layout]
            if others:
                ctx.warn(f"these folders of {self.root.name} are no splits and were left out: {', '.join(others)}")
        for folder in layout:
            loose = sum(is_picture(entry.name) and not _is_folder(entry) for entry in _entries(self.root / folder))
            if loose:
                ctx.warn(f"{loose} pictures lie in {folder or self.root.name}/ itself, in no class, and were left out")


def _cut(pictures: list[str], fraction: float) -> set[str]:
    """The pictures of a class that are held out for testing.

    Each is chosen by the digest of its own path: adding or removing one moves no other. But at least one is chosen,
    and at least one is not, where there are two.
    """
    draw = {
        path: int.from_bytes(blake2b(normalize("NFC", path).encode(), digest_size=8).digest(), "big") / 2**64
        for path in pictures
    }
    ordered = sorted(pictures, key=lambda path: draw[path])
    chosen = sum(draw[path] < fraction for path in pictures)
    return set(ordered[: min(max(chosen, 1), len(pictures) - 1)]) if pictures else set()


def _order(name: str) -> tuple[str, str]:
    """Sorts names alike on every system, whichever way it writes accents."""
    return normalize("NFC", name), name


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    """What lies in a folder, sorted by name, hidden entries and junk left out.

    Raises:
        DataError: the folder cannot be listed.
    """
    try:
        with os.scandir(folder) as entries:
            seen = (entry for entry in entries if not entry.name.startswith(".") and not is_junk(entry.name))
            return sorted(seen, key=lambda entry: _order(entry.name))
    except OSError as error:
        raise DataError(f"this folder cannot be listed: {error.strerror}", where=str(folder)) from None


def _folders(folder: Path) -> list[str]:
    return [entry.name for entry in _entries(folder) if _is_folder(entry)]


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether a folder, or a link to one, lies there.

    Raises:
        DataError: it is a link that leads back to itself.
    """
    try:
        return entry.is_dir()
    except OSError as error:
        raise DataError(f"this link leads nowhere: {error.strerror}", where=entry.path, hint="Remove it.") from None


def _files(root: Path, folder: Path) -> list[str]:
    """Paths of the files below a class folder, relative to the root, sorted.

    Raises:
        DataError: a link leads out of the root.
    """
    if not folder.resolve().is_relative_to(root.resolve()):
        raise _escape(folder)
    found: list[str] = []
    for entry in _entries(folder):
        is_folder = _is_folder(entry)
        if entry.is_symlink() and not Path(entry.path).resolve().is_relative_to(root.resolve()):
            raise _escape(Path(entry.path))
        if entry.is_dir(follow_symlinks=False):
            found += _files(root, folder / entry.name)
        elif not is_folder:  # a link to nothing is a missing picture
            found.append((folder / entry.name).relative_to(root).as_posix())
    return sorted(found, key=_order)


def _escape(path: Path) -> DataError:
    return DataError(
        "this link leads out of the data set's folder",
        where=str(path),
        hint="Copy the pictures into the data set's folder, or give the folder they lie in as root.",
    )
