"""``fgic store``: what lies there, what is damaged, and what nothing needs any more."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fgic_core.cli import app
from fgic_core.pipeline import Pipeline

SPEC = """\
version: 1
name: shop
steps:
  dots: {uses: dataset/dots}
  boxes: {uses: detector/bright}
"""


@pytest.fixture
def store(toys: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store with a data set, a detector and its boxes, in the working directory."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shop.yaml").write_text(SPEC)
    assert Pipeline.from_yaml(tmp_path / "shop.yaml").run(device="cpu", report=False).ok
    return tmp_path / ".fgic" / "store"


def test_it_lists_what_there_is_and_who_uses_it(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run(["store", "ls", "--json"]) == 0
    found = {(one["uses"], one["type"]): one["used_by"] for one in json.loads(capsys.readouterr().out)}
    assert found == {
        ("dataset/dots", "dataset"): ["shop/dots"],
        ("detector/bright", "dataset"): ["shop/boxes"],
        ("detector/bright", "fitted"): ["shop/boxes.fit"],
    }
    assert app.run(["store", "ls"]) == 0
    assert "3 artifacts (" in capsys.readouterr().out


def test_what_lies_where_a_step_is_remembered_and_is_no_key_document_is_as_good_as_none(
    store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = store / "last" / "shop" / "boxes.json"
    whole = json.loads(place.read_text())
    fields = ("uses", "options", "package", "stands_on", "inputs")
    others = [[], "boxes", None, {"uses": "detector/bright"}, {**whole, "package": {"within": {"attack": 3}}}]
    for other in [*others, *({**whole, name: 3} for name in fields), "[" * 100_000]:
        place.write_text(other if isinstance(other, str) and other[0] == "[" else json.dumps(other))
        assert app.run(["check", "shop.yaml", "--json", "--set", "boxes.with.threshold=71"]) == 0
        assert json.loads(capsys.readouterr().out)[1]["reason"] == "was never computed"
    assert app.run(["store", "ls"]) == 0


def test_it_names_what_is_damaged_and_the_next_run_mends_that_alone(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert app.run(["store", "verify"]) == 0
    assert capsys.readouterr().out == "All 3 artifacts are whole.\n"
    plan = Pipeline.from_yaml(tmp_path / "shop.yaml").plan()
    file = plan.step("dots").folder / "images" / "train-0-0.png"
    content = bytearray(file.read_bytes())
    content[40] ^= 1
    file.write_bytes(content)
    assert app.run(["store", "verify"]) == 1
    said = capsys.readouterr()
    assert said.out == f"{plan.step('dots').key} (of shop/dots): images/train-0-0.png has another content\n"
    assert "1 of 3 artifacts are damaged" in said.err
    result = Pipeline.from_yaml(tmp_path / "shop.yaml").run(device="cpu", report=False)
    assert [step.status for step in result.record.steps] == ["computed", "reused"]
    assert app.run(["store", "verify"]) == 0


def test_it_removes_what_neither_a_spec_nor_a_run_needs(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = Pipeline.from_yaml(tmp_path / "shop.yaml", ["boxes.with.threshold=70"])
    assert other.run(device="cpu", report=False, runs=tmp_path / "elsewhere").ok
    assert app.run(["store", "gc"]) == 0
    assert "Everything in the store is needed." in capsys.readouterr().out  # the run directory of before names it
    assert app.run(["store", "gc", "--runs", "elsewhere"]) == 0
    assert "Nothing needs 2 artifacts" in capsys.readouterr().out
    assert app.run(["store", "gc", "--runs", "elsewhere", "--delete"]) == 0
    assert "Removed 2 artifacts" in capsys.readouterr().out
    assert all(step.reused for step in other.plan().steps)
    assert not Pipeline.from_yaml(tmp_path / "shop.yaml").plan().step("boxes").reused
    assert app.run(["store", "verify"]) == 0


def test_it_removes_nothing_where_a_run_it_is_to_keep_is_not_found_or_not_readable(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert app.run(["store", "forget", "shop"]) == 0
    assert app.run(["store", "gc", "--runs", "rusn", "--delete"]) == 2
    assert "rusn: there is no such folder of runs" in capsys.readouterr().err
    (record,) = (tmp_path / "runs" / "shop").glob("2*/run.json")
    whole = record.read_text()
    for text in ("", whole[:100], "[]", '{"steps": [{"name": "dots"}]}'):
        record.write_text(text)
        for named in ("runs", str(record.parent)):
            assert app.run(["store", "gc", "--runs", named, "--delete"]) == 2
            said = capsys.readouterr().err
            assert "run.json: what this run needs is not known" in said
    record.write_text(whole)
    assert app.run(["store", "gc", "--delete"]) == 0
    assert capsys.readouterr().out == "Nothing to remove. Everything in the store is needed.\n"


def test_checkpoints_of_a_training_that_is_not_finished_are_needed(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until a run of the spec has trained something else."""
    import fgic_toys

    spec = "version: 1\nname: long\nsteps:\n  dots: {uses: dataset/dots}\n  net: {uses: classifier/linear}\n"
    (tmp_path / "long.yaml").write_text(spec)

    def run(*overrides: str) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(fgic_toys.Linear, "_wait", lambda self, epoch: 1 / 0 if epoch == 2 else None)
            pipeline = Pipeline.from_yaml(tmp_path / "long.yaml", overrides)
            assert not pipeline.run(device="cpu", report=False, runs=tmp_path / "elsewhere").ok

    run()
    (checkpoint,) = (store / "unfinished").glob("*/checkpoint-1")
    assert app.run(["store", "gc", "--delete"]) == 0
    assert checkpoint.is_dir()
    run("net.with.lr=0.125")
    assert app.run(["store", "gc", "--delete"]) == 0
    assert not checkpoint.exists()
    assert list((store / "unfinished").glob("*/checkpoint-1")), "of the training that the spec asks for now"


def test_what_an_old_spec_kept_is_removed_once_it_is_forgotten(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("elsewhere").mkdir()
    assert app.run(["store", "gc", "--runs", "elsewhere"]) == 0
    assert capsys.readouterr().out == "Nothing to remove. Everything in the store is needed.\n"
    for name in ("shpo", "..", "../last/shop"):
        assert app.run(["store", "forget", "shop", name]) == 2
        assert f"knows no spec named '{name}'" in capsys.readouterr().err
    assert app.run(["store", "forget", "shop"]) == 0
    assert "Forgot shop." in capsys.readouterr().out
    assert app.run(["store", "gc", "--runs", "elsewhere", "--delete"]) == 0
    assert "Removed 3 artifacts" in capsys.readouterr().out
    assert app.run(["store", "forget", "shop"]) == 2
    assert "It knows none." in capsys.readouterr().err


def test_a_store_that_is_not_there_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("ls", "verify", "gc"):
        assert app.run(["store", command, "--store", str(tmp_path / "none")]) == 2
        assert "there is no store" in capsys.readouterr().err
