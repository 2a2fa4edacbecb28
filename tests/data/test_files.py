from __future__ import annotations

import socket
from pathlib import Path

import pytest

from fgic_core import regular_file
from fgic_core.data.files import UnfitFileError, in_bytes


def test_a_file_and_a_link_to_one_are_opened(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("here")
    (tmp_path / "link").symlink_to("file")
    assert regular_file(tmp_path / "file").read_text() == "here"
    assert regular_file(tmp_path / "link").read_text() == "here"


def test_what_waits_or_never_ends_is_not_opened(tmp_path: Path, monkeypatch, pipe) -> None:
    pipe(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    for name in ("pipe", "link"):
        with pytest.raises(UnfitFileError, match=r"^it is a named pipe and not a file$"):
            regular_file(tmp_path / name)
    with pytest.raises(UnfitFileError, match=r"^it is a device and not a file$"):
        regular_file(Path("/dev/zero"))
    monkeypatch.chdir(tmp_path)  # a socket's path may have about 100 letters
    with socket.socket(socket.AF_UNIX) as one:
        one.bind("socket")
        with pytest.raises(UnfitFileError, match=r"^it is a socket and not a file$"):
            regular_file(tmp_path / "socket")


def test_what_is_not_there_and_a_folder_fail_as_they_do_when_opened(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        regular_file(tmp_path / "nothing")
    with pytest.raises(IsADirectoryError):
        regular_file(tmp_path)


def test_a_file_that_is_larger_than_it_should_be_is_refused_before_it_is_read(tmp_path: Path) -> None:
    with (tmp_path / "holes").open("wb") as file:
        file.truncate(3 << 40)
    with pytest.raises(UnfitFileError, match=r"^it has 3 TiB, and such a file has 1.5 GiB at most$"):
        regular_file(tmp_path / "holes", 3 << 29)
    assert regular_file(tmp_path / "holes", 3 << 40)
    assert in_bytes(20) == "20 bytes"
