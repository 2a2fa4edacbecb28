"""The data set that suites are tested with."""

from __future__ import annotations

from pathlib import Path

from fgic_core.testing import tiny_dataset


def test_it_is_written_once_and_anew_where_something_was_done_to_it(tmp_path: Path) -> None:
    first = tiny_dataset(tmp_path, classes=1, per_class=1)
    file, row = first.file(0), first[0]
    content, written = file.read_bytes(), file.stat().st_mtime_ns
    assert tiny_dataset(tmp_path, classes=1, per_class=1)[0] == row
    assert file.stat().st_mtime_ns == written
    file.write_bytes(b"no picture")
    assert tiny_dataset(tmp_path, classes=1, per_class=1)[0] == row
    assert file.read_bytes() == content
    assert tiny_dataset(tmp_path, classes=1, per_class=1, seed=1)[0].boxes != row.boxes
    assert tiny_dataset(tmp_path, classes=1, per_class=1)[0] == row, "the other one lies there in between"
