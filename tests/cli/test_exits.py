"""Every way in which a plugin, an observer or the user can end a run: it never passes for success."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from fgic_core.cli import app
from fgic_core.errors import FgicError
from fgic_core.hooks import hookimpl
from fgic_core.pipeline import Pipeline, Run
from fgic_core.run import watching, workers

PLUGIN = '''
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from fgic_core import Box, Cropper, DatasetReader, ObjectBox, Sample, Size


class Unprintable(Exception):
    def __str__(self):
        raise RuntimeError("no text")


class Few(DatasetReader):
    """Four grey pictures."""

    def classes(self):
        return ("a", "b")

    def samples(self, ctx):
        from PIL import Image

        Path("processes").open("a").write(f"{os.getpid()}\\n")
        for i in range(4):
            Image.new("RGB", (16, 16), (60 * i, 9, 200)).save(ctx.folder / f"{i}.png")
            box = ObjectBox(Box(2.0, 2.0, 9.0, 9.0))
            yield Sample(id=str(i), path=f"{i}.png", label=i % 2, split=("train", "test")[i // 2], boxes=(box,))


class Ending(Cropper):
    """Crops, and ends the program in one of many ways."""

    how: str = "crop"

    def region(self, box, image):
        Path("processes").open("a").write(f"{os.getpid()}\\n")
        if self.how == "exit":
            sys.exit(0)
        if self.how == "os-exit":
            left = subprocess.Popen(["sleep", "600"])
            Path("processes").open("a").write(f"{left.pid}\\n")
            os._exit(0)
        if self.how == "base":
            raise BaseException("planted")
        if self.how == "generator":
            raise GeneratorExit
        if self.how == "interrupt":
            raise KeyboardInterrupt
        if self.how in ("sigint", "sigterm", "swallowed"):
            try:
                os.kill(os.getpid(), signal.SIGTERM if self.how == "sigterm" else signal.SIGINT)
            except KeyboardInterrupt:
                if self.how != "swallowed":
                    raise
        if self.how == "segfault":
            os.kill(os.getpid(), signal.SIGSEGV)
        if self.how == "fork":
            os.fork()
        if self.how == "daemon" and os.fork():
            os._exit(0)
        if self.how == "unprintable":
            raise type("Odd", (BaseException,), {"__str__": Unprintable.__str__})
        if self.how == "surrogate":
            raise BaseException("odd \\udcff")
        if self.how == "print":
            print('{"event": "finished", "answer": null}', flush=True)
        if self.how == "input":
            signal.alarm(60)  # in case somebody has connected it
            try:
                input()
            finally:
                signal.alarm(0)
        if self.how == "child" and os.fork() == 0:
            sys.exit(0)
        while self.how == "hang":
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            Path("hanging").touch()
            time.sleep(0.02)
        while self.how in ("sleep", "doze"):
            Path("a" + self.how).touch()
            time.sleep(0.02)
        if self.how == "think" and not Path("thought").exists():
            Path("thought").touch()
            time.sleep(3.0)
        if self.how == "stop" and not Path("stopped").exists():
            Path("stopped").touch()
            os.kill(os.getpid(), signal.SIGSTOP)
        return box
'''
#: What is said of each way to end; None where the step is computed all the same.
WAYS = {
    "exit": "SystemExit: sys.exit(0) was called",
    "os-exit": "the process that computed it ended with status 0 in the middle of it, as os._exit(0) does",
    "base": "BaseException: planted",
    "generator": "GeneratorExit",
    "interrupt": "KeyboardInterrupt, although nobody stopped the run",
    "sigint": "KeyboardInterrupt, although nobody stopped the run",
    "sigterm": "KeyboardInterrupt, although nobody stopped the run",
    "swallowed": "KeyboardInterrupt, although nobody stopped the run",
    "segfault": "the process that computed it was ended by SIGSEGV",
    "fork": "it made a copy of its process with os.fork(), and the copy went on with the step",
    "daemon": "the process that computed it ended with status 0 in the middle of it, as os._exit(0) does",
    "unprintable": "Odd: (its text cannot be printed: RuntimeError)",
    "surrogate": "BaseException: odd \\udcff",
    "input": "EOFError",
    "print": None,
    "child": None,
    "crop": None,
}


def spec_of(*ways: str) -> str:
    steps = [f"  {way}: {{uses: cropper/ending, with: {{how: {way}}}, from: {{dataset: few}}}}\n" for way in ways]
    return "version: 1\nname: ways\nsteps:\n  few: {uses: dataset/few}\n" + "".join(steps)


@pytest.fixture
def here(install, site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, whose spec ends in no odd way."""
    install("exits", PLUGIN, {"dataset": ["few = exits:Few"], "cropper": ["ending = exits:Ending"]})
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.chdir(tmp_path)
    for name in ("FGIC_STORE", "FGIC_DEBUG", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "spec.yaml").write_text(spec_of("crop"))
    yield tmp_path
    sys.modules.pop("exits", None)


def pipeline(*arguments: str) -> int:
    return app.run(["pipeline", "spec.yaml", "--no-report", "-q", *arguments])


def latest() -> Run:
    return Run.open(max(path for path in Path.cwd().joinpath("runs", "ways").iterdir() if not path.is_symlink()))


def processes() -> list[int]:
    return [int(line) for line in Path("processes").read_text().split()]


def runs(process: int) -> bool:
    """Whether it does; one that ended may still be listed until somebody asks for its status."""
    try:
        return psutil.Process(process).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def started(here: Path, environment: dict[str, str], *ways: str) -> subprocess.Popen[str]:
    (here / "spec.yaml").write_text(spec_of(*ways))
    jobs = ["--jobs", str(len(ways))]
    command = [sys.executable, "-m", "fgic_core", "pipeline", "spec.yaml", "--no-report", *jobs]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, cwd=here, env=environment, **pipes)  # type: ignore[call-overload,no-any-return]


def test_however_a_step_ends_it_is_failed_and_named_and_the_others_run_on(here: Path, capfd) -> None:
    Path("spec.yaml").write_text(spec_of(*WAYS))
    assert pipeline() == 1
    run = latest()
    said = capfd.readouterr()
    assert said.out == f"{run.folder}\n"
    assert run.record.status == "failed"
    statuses = {step.name: step.status for step in run.record.steps}
    assert statuses == {"few": "computed"} | {way: "failed" if words else "computed" for way, words in WAYS.items()}
    for way, words in WAYS.items():
        assert (words or "") in run.record.step(way).error
        assert (way + ": failed: " in said.err) == (words is not None)
    assert "exits.py" in (run.folder / "errors" / "segfault.txt").read_text()
    assert not [process for process in processes() if runs(process)]


def test_of_two_steps_at_once_one_that_ends_its_process_leaves_the_other_alone(here: Path, capfd) -> None:
    """Each way ends a process beside one that goes on: those that end in peace are slower to begin."""
    ways = ("os-exit", "crop", "segfault", "exit", "print", "interrupt")
    Path("spec.yaml").write_text(spec_of(*ways))
    assert app.run(["pipeline", "spec.yaml", "--no-report", "--jobs", "2", "--threads", "1"]) == 1
    run, said = latest(), capfd.readouterr()
    assert (run.record.jobs, run.record.threads) == (2, 1)
    wanted = {way: "failed" if WAYS[way] else "computed" for way in ways}
    assert {step.name: step.status for step in run.record.steps} == {"few": "computed"} | wanted
    for way in ways:
        assert (WAYS[way] or "") in run.record.step(way).error
    assert not [process for process in processes() if runs(process)]
    assert "4 steps failed: os-exit, segfault, exit, interrupt." in said.out


def test_a_process_that_gives_no_sign_of_life_is_said_to(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Wakes:
        said = ""

        @hookimpl
        def warning(self, node: str, message: str) -> None:
            self.said += f"{node}: {message}"
            os.kill(processes()[-1], signal.SIGCONT)

    monkeypatch.setattr(workers, "BEAT", 0.05)
    monkeypatch.setattr(watching, "SILENCE", 1.0)
    Path("spec.yaml").write_text(spec_of("stop"))
    wakes = Wakes()
    in_the_end = threading.Timer(60, lambda: os.kill(processes()[-1], signal.SIGCONT))  # if nobody says anything
    in_the_end.start()
    assert Pipeline.from_yaml("spec.yaml").run(isolation="run", report=False, observers=[wakes]).ok
    in_the_end.cancel()
    assert "stop: its process has given no sign of life for 1 s: it is stopped, or hangs" in wakes.said


def test_a_process_that_is_at_work_is_not_said_to_be_silent(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever it computes: the heartbeat comes from a thread of its own."""
    said: list[str] = []

    class Keeps:
        @hookimpl
        def warning(self, message: str) -> None:
            said.append(message)

    monkeypatch.setattr(workers, "BEAT", 0.05)
    monkeypatch.setattr(watching, "SILENCE", 1.5)
    Path("spec.yaml").write_text(spec_of("think"))
    assert Pipeline.from_yaml("spec.yaml").run(isolation="run", report=False, observers=[Keeps()]).ok
    assert said == []


def test_one_process_is_kept_for_all_steps_or_one_is_taken_for_each(here: Path) -> None:
    assert pipeline() == 0
    assert len(set(processes())) == 1
    assert os.getpid() not in processes()
    Path("processes").unlink()
    assert pipeline("--fresh", "--isolate") == 0
    assert len(set(processes())) == 2


def test_nothing_to_compute_starts_no_process(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert pipeline() == 0
    monkeypatch.setattr(workers, "_Worker", None)
    assert pipeline() == 0
    assert pipeline("--fresh") == 1


def test_an_unchanged_run_imports_nothing_heavy(here: Path, environment: dict[str, str]) -> None:
    assert app.run(["pipeline", "spec.yaml", "-q"]) == 0
    code = (
        "import sys; from fgic_core.cli.app import run; code = run(['pipeline', 'spec.yaml', '-q']); "
        "print([n for n in ('torch', 'numpy', 'pyarrow', 'matplotlib', 'scipy', 'PIL') if n in sys.modules], code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=here, env=environment
    )
    assert done.stdout.splitlines()[-1] == "[] 0"
    assert (latest().folder / "report.html").exists()
    assert {step.status for step in latest().record.steps} == {"reused"}


def test_a_component_that_no_other_process_knows_is_not_computed_in_one(here: Path) -> None:
    from exits import Ending

    from fgic_core.registry import Registry

    registry = Registry()
    registry.register("mine", Ending)
    spec = Path("spec.yaml")
    spec.write_text(spec_of("crop").replace("cropper/ending", "cropper/mine"))
    run = Pipeline.from_yaml(spec, registry=registry).run(isolation="run", report=False)
    assert "cropper/mine is known to this process alone" in run.record.step("crop").error
    assert Pipeline.from_yaml(spec, registry=registry).run(report=False).ok


@pytest.mark.slow
def test_a_second_ctrl_c_ends_a_step_that_does_not_listen(
    here: Path, environment: dict[str, str], wait_for: Callable[..., None]
) -> None:
    process = started(here, environment, "hang")
    wait_for(Path("hanging").exists, "the hang", process)
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    while "stopping; it is killed in" not in (line := process.stderr.readline()):
        assert line
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Stopped." in err
    assert latest().record.status == "interrupted"
    assert not runs(processes()[-1])


def test_ctrl_c_ends_all_processes_and_says_where_to_go_on(
    here: Path, environment: dict[str, str], wait_for: Callable[..., None]
) -> None:
    process = started(here, environment, "sleep", "doze")
    for name in ("asleep", "adoze"):
        wait_for(Path(name).exists, name, process)
    assert len(set(processes())) == 2
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Stopped. What is finished is kept. The same command goes on with step sleep and with step doze." in err
    assert [step.status for step in latest().record.steps] == ["computed", "interrupted", "interrupted"]
    assert not [one for one in processes() if runs(one)]
    assert not list(Path(".fgic/store/unfinished").glob("*"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_process_that_is_stopped_while_it_starts_ends_without_a_word(
    number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ask(worker: Any, request: Any, listener: Any) -> Any:
        worker._process.send_signal(number)  # it is a new-born interpreter, without a handler
        return worker._process.wait(timeout=60), worker.watched.output.read()

    monkeypatch.setattr(workers._Worker, "ask", ask)
    executor = workers.WorkerProcesses()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    assert executor._request({}, None) == (130, b"")
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == before
    executor.close()


@pytest.mark.parametrize("swallowed", [False, True])
def test_ctrl_c_while_the_command_line_is_imported_is_130_without_a_word(
    site: Path, fgic: Any, swallowed: bool
) -> None:
    stop = "import os, signal\ntry:\n    os.kill(os.getpid(), signal.SIGINT)\nexcept {}: pass\n"
    (site / "typer.py").write_text(stop.format("BaseException" if swallowed else "OSError"))
    done = fgic("--help")
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_a_ctrl_c_that_a_destructor_eats_is_no_traceback(install: Any, fgic: Any) -> None:
    eats = "class Eats:\n    def __del__(self): raise {}\nEats()\nfrom fgic_core import Cropper\n"
    for error, said in (("KeyboardInterrupt", ""), ("ValueError", "Exception ignored in")):
        source = eats.format(error) + 'class Whole(Cropper):\n    """All."""\n    def region(self, box, image): ...\n'
        install(f"eats-{error.lower()}", source, {"cropper": [f"{error.lower()} = eats_{error.lower()}:Whole"]})
        done = fgic("plugins", "show", f"cropper/{error.lower()}")
        assert done.returncode == 0
        assert said in done.stderr
        assert ("Traceback" in done.stderr) is bool(said)


def test_a_ctrl_c_that_is_eaten_while_the_spec_is_read_stops_the_run(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def eats(*arguments: Any, **options: Any) -> Any:
        with contextlib.suppress(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
        return read(*arguments, **options)

    read = Pipeline.from_yaml
    monkeypatch.setattr(Pipeline, "from_yaml", eats)
    assert pipeline() == 130
    assert "Stopped." in capsys.readouterr().err
    assert latest().record.status == "interrupted"


def test_a_killed_run_is_told_apart_and_its_process_ends(
    here: Path, environment: dict[str, str], wait_for: Callable[..., None]
) -> None:
    process = started(here, environment, "sleep")
    wait_for(Path("asleep").exists, "the sleep", process)
    worker = psutil.Process(processes()[-1])
    assert latest().record.status == "running"
    process.kill()
    process.communicate()
    worker.wait(timeout=60)
    assert latest().record.status == "killed"
    assert json.loads((latest().folder / "run.json").read_text())["status"] == "running"


def test_an_observer_that_ends_the_program_is_left_out(here: Path) -> None:
    class Exits:
        @hookimpl
        def step_started(self, step: Any) -> None:
            sys.exit(0)

    run = Pipeline.from_yaml("spec.yaml").run(report=False, observers=[Exits()])
    assert run.ok
    assert [problem for problem in run.problems if "SystemExit: sys.exit(0) was called" in problem]


def test_whatever_ends_a_run_its_record_says_so_and_the_exit_code_is_not_0(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    def end(self: Any) -> None:
        self.branches[0].record.steps[0].status = "running"
        sys.exit(0)

    monkeypatch.setattr("fgic_core.run.scheduler.Scheduler.run", end)
    monkeypatch.setattr("tempfile.tempdir", str(here))
    assert pipeline() == 1
    assert "sys.exit(0) was called" in capsys.readouterr().err
    record = json.loads((latest().folder / "run.json").read_text())
    assert record["status"] == "failed"
    assert record["finished"]
    assert [step["status"] for step in record["steps"]] == ["failed", "skipped"]


def test_a_plugin_that_exits_in_another_command_does_not_end_it_with_0(here: Path, monkeypatch, capsys) -> None:
    monkeypatch.setattr("fgic_core.cli.check.print_plan", lambda *arguments, **named: sys.exit(0))
    assert app.run(["check", "spec.yaml"]) == 1
    assert "sys.exit(0) was called" in capsys.readouterr().err


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
@pytest.mark.parametrize("arguments", [("--store", "st\udcffore"), ("--runs", "ru\udcffns")])
def test_a_path_that_is_no_utf_8_is_refused_before_anything_runs(
    here: Path, capsys, arguments: tuple[str, ...]
) -> None:
    assert pipeline(*arguments) == 2
    said = capsys.readouterr().err
    assert "has bytes that are no UTF-8" in said
    assert said.count("error") == 1
    assert not Path("processes").exists()
    assert not [path for path in here.iterdir() if path.name in ("runs", arguments[1])]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_a_spec_in_a_folder_that_is_no_utf_8_is_refused(here: Path) -> None:
    odd = here / "sp\udcffec"
    odd.mkdir()
    (odd / "spec.yaml").write_text(spec_of("crop"))
    with pytest.raises(FgicError, match=r"sp\\udcffec/spec.yaml: the path of the spec has bytes that are no UTF-8"):
        Pipeline.from_yaml(odd / "spec.yaml").run(report=False)
