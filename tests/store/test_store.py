from __future__ import annotations

import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fgic_core.data.artifact import ArtifactRecord
from fgic_core.errors import StoreError
from fgic_core.store.contents import files_of
from fgic_core.store.store import Store

KEY = "ab" * 16


def fill(store: Store, text: str = "whole") -> Path:
    folder = store.begin(KEY)
    (folder / "data.txt").write_text(text)
    (folder / "below").mkdir()
    (folder / "below" / "more.txt").write_text("more")
    ArtifactRecord(
        type="dataset",
        key=KEY,
        uses="dataset/x",
        package="p",
        version="1",
        options={},
        seed=0,
        inputs={},
        files=files_of(folder),
    ).write(folder)
    return store.commit(KEY, folder)


def test_an_artifact_is_absent_until_it_is_committed_and_then_whole(tmp_path: Path) -> None:
    store = Store(tmp_path)
    folder = store.begin(KEY)
    (folder / "data.txt").write_text("half")
    assert store.record(KEY) is None
    store.discard(KEY, folder)
    place = fill(store)
    assert place == store.folder(KEY)
    assert (place / "data.txt").read_text() == "whole"
    record = store.record(KEY)
    assert record is not None
    assert record.key == KEY


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda f: (f / "data.txt").unlink(), "data.txt is missing"),
        (lambda f: (f / "data.txt").write_text("cut"), "data.txt has another size"),
        (lambda f: (f / "data.txt").write_text("whale"), "data.txt has another content"),
        (lambda f: (f / "below" / "more.txt").write_text("less"), "below/more.txt has another content"),
        (lambda f: shutil.rmtree(f / "below"), "below/more.txt is missing"),
        (lambda f: (f / "artifact.json").write_text("{"), "the record of this artifact is damaged"),
        (lambda f: edit(f, '"seed": 0', '"seed": 1'), "the record of this artifact was changed"),
        (lambda f: edit(f, KEY, "cd" * 16), "the record of this artifact was changed"),
        (lambda f: edit(f, '"format": 3', '"format": 1'), "this artifact has format 1"),
        (lambda f: f.rename(Store(f.parents[2]).folder("ab" * 15 + "cd")), ""),
    ],
)
def test_a_damaged_artifact_counts_as_absent_and_what_is_wrong_is_said(
    tmp_path: Path, damage: Callable[[Path], object], said: str
) -> None:
    store = Store(tmp_path)
    damage(fill(store))
    record, wrong = store.look(KEY)
    assert record is None
    assert store.record(KEY) is None
    assert said in wrong
    assert bool(wrong) == bool(said)


def test_an_artifact_under_another_key_is_none_of_it(tmp_path: Path) -> None:
    store = Store(tmp_path)
    other = "ab" * 15 + "cd"
    fill(store).rename(store.folder(other))
    assert store.look(other) == (None, "its record is of another artifact")


def edit(folder: Path, before: str, after: str) -> None:
    file = folder / "artifact.json"
    assert before in file.read_text()
    file.write_text(file.read_text().replace(before, after))


def test_committing_again_replaces_the_artifact(tmp_path: Path) -> None:
    store = Store(tmp_path)
    fill(store, "first")
    place = fill(store, "second")
    assert (place / "data.txt").read_text() == "second"
    assert not store.scratch(KEY).exists()


def test_beginning_again_clears_what_a_killed_run_left_but_keeps_its_checkpoint(tmp_path: Path) -> None:
    store = Store(tmp_path)
    left = store.begin(KEY)
    (store.scratch(KEY) / "checkpoint.json").write_text('{"epoch": 4}')
    fresh = store.begin(KEY)
    assert not left.exists()
    assert fresh.exists()
    assert store.interrupted_after(KEY) == 4
    store.forget_checkpoints(KEY)
    assert store.interrupted_after(KEY) == 0


def test_of_two_who_want_to_compute_a_key_one_may_and_the_other_may_after_it(tmp_path: Path) -> None:
    store = Store(tmp_path)
    found: list[bool] = []

    def second() -> None:
        lock = Store(tmp_path).take(KEY)
        found.append(lock is not None)
        if lock is not None:
            lock.release()

    first = store.take(KEY)
    assert first is not None
    with ThreadPoolExecutor() as threads:
        threads.submit(second).result(10)
        first.release()
        threads.submit(second).result(10)
    assert found == [False, True]


def test_a_store_that_cannot_be_written_is_one_message(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="the store cannot be written"):
        Store(tmp_path / "file").take(KEY)


def test_the_last_key_document_of_a_step_is_remembered(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert store.last("spec", "step") is None
    store.remember("spec", "step", {"seed": 1})
    assert store.last("spec", "step") == {"seed": 1}
