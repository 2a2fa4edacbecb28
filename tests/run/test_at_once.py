"""Several nodes at once: what is computed once, what stops what, and that nothing else changes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from fgic_core import Pipeline, Registry, Run, hookimpl
from fgic_core.data.artifact import ArtifactRecord
from fgic_core.errors import FgicError, Interrupted
from fgic_core.plan.graph import Branch, Devices
from fgic_core.run.documents import Resources
from fgic_core.run.executor import InProcess, Rehearsal
from fgic_core.run.interrupts import Interrupts
from fgic_core.run.job import Job
from fgic_core.run.observers import Observers
from fgic_core.run.scheduler import Scheduler
from fgic_core.run.threads import available
from fgic_core.steps.context import Listener
from fgic_core.store.record import RunRecord, StepRecord
from fgic_core.store.store import Store

CROPS = """\
version: 1
name: crops
steps:
  dots: {uses: dataset/dots}
  one: {uses: cropper/exact, from: {dataset: dots}}
  two: {uses: cropper/exact, with: {margin: 1}, from: {dataset: dots}}
  three: {uses: cropper/exact, with: {margin: 2}, from: {dataset: one}}
"""
SHARED = """\
version: 1
name: shared
steps:
  dots: {uses: dataset/dots}
  few: {uses: generator/tint, with: {per_class: 2}, from: {dataset: dots}}
  many: {uses: generator/tint, with: {per_class: 3}, from: {dataset: dots}}
"""


class TwoAtOnce(InProcess):
    """Takes two jobs, and computes the one that was given last first: whatever comes first must not matter."""

    slots = 2

    def __init__(self, registry: Registry, interrupts: Interrupts) -> None:
        super().__init__(registry, interrupts)
        self.given: list[tuple[Job | Rehearsal, Listener, Future[Any]]] = []
        self.together: list[list[str]] = []
        self.on: list[str] = []

    def submit(self, work: Job | Rehearsal, listener: Listener) -> Future[Any]:
        if isinstance(work, Job):
            self.on.append(work.device)
            work = work.model_copy(update={"device": "cpu"})
        future: Future[Any] = Future()
        self.given.append((work, listener, future))
        self.together.append([one.uses for one, _, _ in self.given if isinstance(one, Job)])
        assert len(self.given) <= self.slots
        return future

    def watch(self, seconds: float) -> None:
        if self.given:
            self._given = self.given[-1]
            super().watch(seconds)
            self.given.pop()

    def stop(self) -> None:
        for _, _, future in self.given:
            if not future.done():
                future.set_exception(KeyboardInterrupt())
        self.given = []


class Heard:
    """Keeps what happened in words."""

    def __init__(self) -> None:
        self.all: list[str] = []
        self.left: list[float | None] = []

    @hookimpl
    def node_started(self, node: str) -> None:
        self.all.append(f"{node} begun")

    @hookimpl
    def node_finished(self, node: str, seconds: float | None) -> None:
        self.all.append(f"{node} {'failed' if seconds is None else 'done'}")

    @hookimpl
    def time_left(self, seconds: float | None) -> None:
        self.left.append(seconds)


Go = Callable[..., Run]


@pytest.fixture
def executors(monkeypatch: pytest.MonkeyPatch) -> list[TwoAtOnce]:
    """The executors that were made: in place of worker processes, one of this process."""
    made: list[TwoAtOnce] = []

    def executor_of(isolation: str, registry: Registry, interrupts: Interrupts, jobs: int, threads: Any) -> TwoAtOnce:
        made.append(TwoAtOnce(registry, interrupts))
        made[-1].slots = jobs
        return made[-1]

    monkeypatch.setattr("fgic_core.run.engine.executor_of", executor_of)
    return made


@pytest.fixture
def go(toys: Path, tmp_path: Path, executors: list[TwoAtOnce]) -> Go:
    def run(spec: str = CROPS, *observers: object, jobs: int = 2, **more: Any) -> Run:
        (tmp_path / "spec.yaml").write_text(spec)
        folders: dict[str, Any] = {"store": tmp_path / "store", "runs": tmp_path / "runs"}
        arguments = {"device": "cpu", "report": False, **folders, **more}
        return Pipeline.from_yaml(tmp_path / "spec.yaml").run(observers=observers, jobs=jobs, **arguments)

    return run


def statuses(run: Run) -> dict[str, str]:
    return {step.name: step.status for step in run.record.steps}


def test_what_needs_nothing_of_each_other_is_computed_at_once(go: Go, executors: list[TwoAtOnce]) -> None:
    heard = Heard()
    result = go(CROPS, heard)
    assert set(statuses(result).values()) == {"computed"}
    crop = "cropper/exact"
    assert executors[0].together == [["dataset/dots"], [crop], [crop, crop], [crop]]
    assert heard.all[:4] == ["dots begun", "dots done", "one begun", "two begun"]
    assert (result.record.jobs, result.record.threads) == (2, max(1, available() // 2))


def test_one_at_a_time_they_come_in_the_order_of_the_spec(go: Go) -> None:
    heard = Heard()
    go(SHARED, heard, jobs=1, isolation="run")
    nodes = ("dots", "few.fit", "few", "many")
    assert heard.all == [f"{node} {what}" for node in nodes for what in ("begun", "done")]


def test_a_training_that_two_steps_need_at_the_same_time_is_computed_once(go: Go, executors: list[TwoAtOnce]) -> None:
    heard = Heard()
    result = go(SHARED, heard)
    assert statuses(result) == {"dots": "computed", "few": "computed", "many": "computed"}
    assert [said for said in heard.all if ".fit" in said] == ["few.fit begun", "few.fit done"]
    assert result.learned("few") == result.learned("many")
    assert executors[0].together[-1] == ["generator/tint", "generator/tint"], "what is done with it is"


def test_trainings_of_one_step_go_on_at_once_and_are_told_apart(go: Go, executors: list[TwoAtOnce]) -> None:
    heard = Heard()
    steps = "  dots: {uses: dataset/dots}\n  boxes: {uses: detector/bright, with: {crossfit: 3}}\n"
    result = go(f"version: 1\nname: folds\nsteps:\n{steps}", heard)
    assert statuses(result) == {"dots": "computed", "boxes": "computed"}
    folds = {f"boxes.fold {number} of 3" for number in (1, 2, 3)}
    begun = [said.removesuffix(" begun") for said in heard.all if said.endswith(" begun")]
    assert (begun[0], set(begun[1:5]), begun[5:]) == ("dots", {"boxes.fit", *folds}, ["boxes"])
    assert [len(together) for together in executors[0].together] == [1, 1, 2, 2, 2, 1]
    events = [json.loads(line) for line in (result.folder / "events.jsonl").read_text().splitlines()]
    assert folds <= {event["node"] for event in events if event["event"] == "progress"}


def test_of_a_training_that_failed_nothing_is_tried_again(
    go: Go, toys: Path, executors: list[TwoAtOnce], monkeypatch: pytest.MonkeyPatch
) -> None:
    import fgic_toys

    monkeypatch.setattr(fgic_toys.Tint, "fit", lambda *arguments: 1 / 0)
    heard = Heard()
    result = go(SHARED, heard)
    assert statuses(result) == {"dots": "computed", "few": "failed", "many": "skipped"}
    assert "ZeroDivisionError" in result.record.step("few").error
    assert result.record.step("many").reason == "needs what step few was to learn, which failed"
    assert heard.all[2:] == ["few.fit begun", "few.fit failed"]


def test_what_fails_stops_what_needs_it_alone(go: Go, monkeypatch: pytest.MonkeyPatch) -> None:
    import fgic_toys

    crop = fgic_toys.Exact.region
    monkeypatch.setattr(
        fgic_toys.Exact, "region", lambda self, *given: crop(self, *given) if self.margin == 1 else 1 / 0
    )
    result = go()
    assert statuses(result) == {"dots": "computed", "one": "failed", "two": "computed", "three": "skipped"}
    assert result.record.step("three").reason == "needs step one, which has no artifact"
    assert not list(result.record.store.glob("unfinished/*")), "what is half made is removed"


def test_two_plans_over_one_store_are_one_graph(toys: Path, tmp_path: Path) -> None:
    """As a study has them: what both need is computed once, and each has a record of its own."""
    store, branches, heard = Store(tmp_path / "store"), [], Heard()
    for number, spec in enumerate((SHARED, SHARED.replace("name: shared", "name: other").replace("3}", "4}"))):
        (tmp_path / "spec.yaml").write_text(spec)
        pipeline = Pipeline.from_yaml(tmp_path / "spec.yaml")
        plan = pipeline.plan(store.root)
        folder = tmp_path / str(number)
        folder.mkdir()
        steps = [StepRecord(name=one.name, uses=one.uses, key=one.key, inputs=dict(one.inputs)) for one in plan.steps]
        record = RunRecord(name=plan.spec.name, seed=0, started="", store=store.root, steps=steps)
        observers = Observers()
        observers.add(heard)
        branches.append(Branch(plan, [one.name for one in plan.steps], record, folder, observers))
    with Interrupts() as interrupts:
        executor = TwoAtOnce(Registry(), interrupts)
        Scheduler(branches, Registry(), executor, interrupts, resources=Resources()).run()
    begun = sorted(said for said in heard.all if said.endswith("begun"))
    assert begun == sorted(["dots begun", "few.fit begun", "few begun", "many begun", "many begun"])
    found = [{step.name: step.status for step in branch.record.steps} for branch in branches]
    assert found[0] == {"dots": "computed", "few": "computed", "many": "computed"}
    assert found[1] == {"dots": "reused", "few": "reused", "many": "computed"}
    assert branches[1].record.step("few").reason == "was computed for another step"
    assert json.loads((branches[1].folder / "run.json").read_text())["steps"][2]["status"] == "computed"


@pytest.mark.parametrize(("gpus", "most"), [(["cuda"], 1), (["cuda:0", "cuda:1"], 2)])
def test_each_node_that_uses_a_gpu_has_one_of_its_own(
    go: Go, executors: list[TwoAtOnce], monkeypatch: pytest.MonkeyPatch, gpus: list[str], most: int
) -> None:
    monkeypatch.setattr(TwoAtOnce, "devices", lambda self, asked, several: gpus)
    spec = SHARED + "  crops: {uses: cropper/exact, from: {dataset: dots}}\n"
    result = go(spec.replace("3}", "3, resolution: 8}"), device="auto")
    assert set(statuses(result).values()) == {"computed"}
    assert result.record.device == "cuda"
    ran = [together.count("generator/tint") for together in executors[0].together]
    assert max(ran) == most
    assert max(map(len, executors[0].together)) == 2, "a step without tensors runs beside it"
    assert set(executors[0].on) == set(gpus)


def test_devices_are_given_in_rows_and_come_back() -> None:
    devices = Devices([f"cuda:{number}" for number in range(4)])
    assert [devices.take(count) for count in (1, 2, 2, 1, 1, 0)] == ["cuda:0", "cuda:1", None, "cuda:3", None, "cuda:0"]
    devices.give_back("cuda:1", 2)
    assert [devices.take(count) for count in (3, 2)] == [None, "cuda:1"]
    assert [Devices(["cpu"]).take(2) for _ in range(3)] == ["cpu"] * 3


def test_ctrl_c_stops_all_of_it_and_says_how_to_go_on(go: Go, tmp_path: Path) -> None:
    class CtrlC:
        @hookimpl
        def progress(self, step: Any, node: str) -> None:
            if node == "two":
                raise KeyboardInterrupt

    with pytest.raises(Interrupted, match="The same command goes on with step one and with step two"):
        go(CROPS, CtrlC())
    with pytest.raises(Interrupted, match="The same command without --fresh goes on with step one and with step two"):
        go(CROPS, CtrlC(), fresh=True)
    record = Run.open(tmp_path / "runs" / "crops" / "latest").record
    found = [step.status for step in record.steps]
    assert found == ["computed", "interrupted", "interrupted", "skipped"]
    assert not list((tmp_path / "store").glob("unfinished/*")), "nothing is half written"
    assert set(statuses(go()).values()) == {"reused", "computed"}


def test_another_runs_lock_holds_up_what_needs_it_alone(go: Go, tmp_path: Path) -> None:
    first = go(CROPS, until="one")
    key = first.record.step("one").key
    lock = Store(tmp_path / "store").take(key)
    assert lock is not None

    class Releases:
        warned = ""

        @hookimpl
        def warning(self, node: str, message: str) -> None:
            self.warned += f"{node}: {message}"

        @hookimpl
        def step_finished(self, step: Any) -> None:
            if step.name == "two":
                lock.release()

    releases, heard = Releases(), Heard()
    result = go(CROPS, releases, heard, jobs=1, isolation="run", fresh=True)
    assert heard.all == [f"{node} {what}" for node in ("dots", "two", "one", "three") for what in ("begun", "done")]
    assert releases.warned == "one: another run is computing this step; waiting for it"
    assert result.ok


def test_the_time_that_is_left_is_said_where_each_step_was_computed_before(go: Go) -> None:
    first, again = Heard(), Heard()
    go(CROPS, first)
    assert set(first.left) == {None}
    result = go(CROPS, again, fresh=True)
    took = [step.seconds for step in result.record.steps]
    assert again.left[0] is not None
    assert 0 < again.left[0] < 10 * sum(took) + 1
    assert again.left == sorted(again.left, reverse=True)  # type: ignore[type-var]
    longer = Heard()
    go(CROPS.replace("margin: 1", "margin: 3"), longer, fresh=True)
    assert longer.left[0] is None, "step two was never computed so"


@pytest.mark.parametrize("wrong", [{"jobs": 2, "isolation": "none"}, {"jobs": 0}, {"threads": 0}])
def test_what_cannot_be_is_refused(go: Go, wrong: dict[str, Any]) -> None:
    with pytest.raises(FgicError, match="asked for"):
        go(CROPS, **wrong)


def test_what_was_learned_and_is_taken_out_of_the_store_at_once_is_not_learned_without_end(go: Go) -> None:
    class Tidies:
        @hookimpl
        def node_finished(self, step: StepRecord, node: str) -> None:
            if node == "few.fit":
                for folder in Path(step.folder).parents[1].glob("*/*"):
                    if ArtifactRecord.read(folder).type == "fitted":
                        shutil.rmtree(folder)

    result = go(SHARED, Tidies())
    assert statuses(result) == {"dots": "computed", "few": "failed", "many": "failed"}
    assert "was taken out of the store before it could be used" in result.record.step("few").error
