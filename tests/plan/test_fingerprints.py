"""What lies at a path, as it counts into a step's key."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fgic_core.plan.fingerprints import UNREAD, Fingerprints
from fgic_core.store.memory import Memory


def fingerprint(folder: Path) -> str:
    """As it is once the pictures are read."""
    found = Fingerprints(Memory())
    return found.read(folder) if found(folder).startswith(UNREAD) else found(folder)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "data" / "below").mkdir(parents=True)
    (tmp_path / "data" / "below" / "a.png").write_bytes(b"12345")
    (tmp_path / "data" / "list.txt").write_text("a\n")
    return tmp_path / "data"


def test_it_does_not_depend_on_the_place(folder: Path, tmp_path: Path) -> None:
    before = fingerprint(folder)
    assert fingerprint(folder.rename(tmp_path / "elsewhere")) == before


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("below/a.png", b"123456"),
        ("below/a.png", b"54321"),
        ("list.txt", b"b\n"),
        ("below/b.png", b"1"),
        ("new/x.csv", b""),
        (".hidden/b.png", b"1"),
        (".hidden.json", b"{}"),
    ],
)
def test_a_change_that_matters_changes_it(folder: Path, name: str, content: bytes) -> None:
    before = fingerprint(folder)
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_bytes(content)
    assert fingerprint(folder) != before


@pytest.mark.parametrize(
    "name",
    [
        *(".DS_Store", "below/.DS_Store", "below/._a.png", "Thumbs.db", ".git/HEAD", ".git/index", "__pycache__/a.png"),
        *(".fgic/a.png", "list.txt~", "below/.ipynb_checkpoints/list.txt"),
    ],
)
def test_junk_does_not_count(folder: Path, name: str) -> None:
    before = fingerprint(folder)
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_bytes(b"1")
    assert fingerprint(folder) == before


@pytest.mark.parametrize("name", ["below/b.png", "more.txt"])
def test_a_link_to_nothing_counts_as_such(folder: Path, name: str) -> None:
    before = fingerprint(folder)
    (folder / name).symlink_to("nowhere")
    broken = fingerprint(folder)
    assert broken != before
    (folder / name).unlink()
    (folder / name).write_bytes(b"")
    assert fingerprint(folder) not in (before, broken)


def test_a_link_to_a_folder_that_it_lies_in_is_not_followed_for_ever(folder: Path) -> None:
    for name in ("one", "two", "three"):
        (folder / "below" / name).symlink_to(folder, target_is_directory=True)
    assert fingerprint(folder) == fingerprint(folder)


def test_a_link_to_a_folder_that_it_lies_in_counts_by_which_one_wherever_that_is(folder: Path, tmp_path: Path) -> None:
    link, found = folder / "below" / "back", set()
    for target in ("..", ".", str(folder)):
        link.unlink(missing_ok=True)
        link.symlink_to(target, target_is_directory=True)
        found.add(fingerprint(folder))
    assert len(found) == 2
    moved = tmp_path / "moved"
    link.unlink()
    link.symlink_to("..", target_is_directory=True)
    before = fingerprint(folder)
    folder.rename(moved)
    assert fingerprint(moved) == before


def test_a_link_to_another_folder_counts_by_what_lies_there(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (folder / "link").symlink_to(other, target_is_directory=True)
    before = fingerprint(folder)
    (other / "x.txt").write_text("x")
    assert fingerprint(folder) != before


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no named pipes")
def test_a_pipe_is_not_waited_for(folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    assert fingerprint(folder)


def test_a_name_that_is_not_utf_8_counts_too(folder: Path) -> None:
    before = fingerprint(folder)
    try:
        Path(os.fsdecode(os.fsencode(folder) + b"/\xff.txt")).write_text("x")
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    assert fingerprint(folder) != before


def test_a_picture_that_cannot_be_read_here_is_another_one_where_it_can(folder: Path, monkeypatch) -> None:
    (folder / "a.heic").write_bytes(b"x")
    found = {}
    for there in (True, False):
        monkeypatch.setattr("fgic_core.plan.fingerprints.has_heif", lambda there=there: there)
        found[there] = fingerprint(folder)
    assert found[True] != found[False]


def test_a_folder_whose_pictures_were_never_read_has_none_of_content(folder: Path) -> None:
    found = Fingerprints(Memory())
    before = found(folder)
    assert before.startswith(UNREAD)
    assert found.unread == {folder}
    told: list[tuple[int, int]] = []
    after = found.read(folder, lambda done, total: told.append((done, total)))
    assert not after.startswith(UNREAD)
    assert told == [(0, 1), (1, 1)]
    assert found(folder) == after
    assert not found.unread


def test_what_was_read_is_remembered_in_another_process_until_a_file_changes(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fgic_core.store.memory.TICK", 0.0)  # else files this new are believed by nobody else
    memory = Memory(tmp_path / "memory.sqlite3")
    after = Fingerprints(memory).read(folder)
    memory.flush()
    assert Fingerprints(Memory(tmp_path / "memory.sqlite3"))(folder) == after
    assert Fingerprints(Memory(tmp_path / "memory.sqlite3", trusted=False))(folder).startswith(UNREAD)
    (folder / "below" / "a.png").write_bytes(b"54321")
    assert Fingerprints(Memory(tmp_path / "memory.sqlite3"))(folder).startswith(UNREAD)


def test_pictures_that_change_places_are_seen_although_no_size_changes(folder: Path) -> None:
    (folder / "below" / "b.png").write_bytes(b"98765")
    before = fingerprint(folder)
    (folder / "below" / "a.png").rename(folder / "c")
    (folder / "below" / "b.png").rename(folder / "below" / "a.png")
    (folder / "c").rename(folder / "below" / "b.png")
    assert fingerprint(folder) != before
