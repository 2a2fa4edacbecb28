"""Puts deliberate mistakes into a copy of the code, one at a time, and sees whether a test notices: ``make mutants``.

The mistakes stand in the lists beside this file, each with the tests that should fail. Tools that mutate every operator
(mutmut, cosmic-ray) make tens of thousands of mutants of this code, most of which mean nothing to a number, and none of
which is "the epoch is chosen on test". So the list is ours, and short enough to be run whole.
"""

from __future__ import annotations

import argparse
import ast
import os
import queue
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field
from rich.console import Console
from rich.progress import Progress
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
#: Seconds after which a test is taken to run for ever: far more than any needs on a busy machine.
LIMIT = 600
#: The same for all the tests together, without a mistake.
WHOLE = 3600
#: A test that ends so has not seen the mistake: the mutant is no sensible program, or the machine is full.
_NONSENSE = re.compile(
    r"^E +(NameError|UnboundLocalError|ImportError|ModuleNotFoundError|SyntaxError|AttributeError|TypeError)\b"
    r"|^E +MemoryError"
    r"|No space left on device|Cannot allocate memory",
    re.MULTILINE,
)

T = TypeVar("T")
R = TypeVar("R")
Outcome = Literal["caught", "survived", "hung", "nonsense"]
_WORDS: dict[Outcome, str] = {
    "caught": "a test fails",
    "survived": "no test notices",
    "hung": f"a test still ran after {LIMIT} s: give it an end of its own",
    "nonsense": "the tests could not run, or failed because the mutant is no sensible program",
}


class Mutant(BaseModel):
    """One deliberate mistake."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    mistake: str = Field(min_length=1, description="What is wrong, in words.")
    file: str = Field(description="The file, relative to the project.")
    old: str = Field(min_length=1, description="Text that occurs exactly once in it.")
    new: str = Field(description="What takes its place.")
    tests: list[str] = Field(min_length=1, description="pytest's ids of the tests that should fail.")
    pitfall: str = Field("", description="The known pitfall that it stands for.")

    def changed(self, root: Path) -> str:
        """The file's text with the mistake in it.

        Raises:
            ValueError: the mistake cannot be put in any more; says why.
        """
        path = root / self.file
        if not path.is_file():
            raise ValueError("the file is not there")
        text = path.read_text(encoding="utf-8")
        if (count := text.count(self.old)) != 1:
            raise ValueError(f"`old` occurs {count} times in it, not once")
        mutated = text.replace(self.old, self.new)
        if mutated == text:
            raise ValueError("`new` is the same as `old`")
        if path.suffix == ".py":
            try:
                ast.parse(mutated)
            except SyntaxError as error:
                raise ValueError(f"with `new` it is no Python: {error.msg}, line {error.lineno}") from None
        for test in self.tests:
            _check_test(root, test)
        return mutated


def _check_test(root: Path, test: str) -> None:
    file, *names = test.partition("[")[0].split("::")
    if not (root / file).is_file():
        raise ValueError(f"the test file {file} is not there")
    text = (root / file).read_text(encoding="utf-8")
    for name in names:
        inherited = "Suite)" in text and name.startswith("test_")  # a conformance suite's test stands elsewhere
        if not inherited and not re.search(rf"(def|class) {re.escape(name)}\b", text):
            raise ValueError(f"{file} has no {name}")


@dataclass(frozen=True)
class Listed:
    """A mutant and where it is listed."""

    area: str
    mutant: Mutant

    def __str__(self) -> str:
        return f"{self.mutant.file}: {self.mutant.mistake} ({self.area}.yaml)"


def chosen(everything: Sequence[Listed], words: Sequence[str]) -> list[Listed]:
    """The mutants that are meant: by the name of their list, else by part of their file or mistake; without words, all.

    The name of a list means that list alone, whatever files have it in their paths.
    """
    areas = {entry.area for entry in everything}

    def is_meant(entry: Listed, word: str) -> bool:
        return word == entry.area if word in areas else word in entry.mutant.file or word in entry.mutant.mistake

    return [entry for entry in everything if not words or any(is_meant(entry, word) for word in words)]


def read_lists(folder: Path) -> list[Listed]:
    """Every mutant of the lists in a folder.

    Raises:
        ValueError: an entry is not what a mutant is.
    """
    found: list[Listed] = []
    for file in sorted(folder.glob("*.yaml")):
        try:
            entries = YAML(typ="safe", pure=True).load(file.read_text(encoding="utf-8")) or []
        except MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else "?"
            raise ValueError(f"{file.name}, line {line}: {error.problem}: quote what YAML takes for its own") from None
        for number, entry in enumerate(entries, 1):
            try:
                found.append(Listed(file.stem, Mutant.model_validate(entry)))
            except ValueError as error:
                raise ValueError(f"{file.name}, entry {number}: {error}") from None
    return found


class Copy:
    """A copy of the project, in which mistakes do no harm.

    Args:
        root: the project; what git ignores is left out.
        folder: an empty folder.
    """

    def __init__(self, root: Path, folder: Path) -> None:
        self.folder = folder
        command = ["git", "-C", str(root), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        listed = subprocess.run(command, check=True, capture_output=True).stdout
        for name in filter(None, os.fsdecode(listed).split("\0")):
            if (root / name).is_file():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(root / name, folder / name)
        data = os.environ.get("FGIC_REAL_DATA", "../shared/data")
        homes = [folder, *sorted(folder.glob("plugins/*")), HERE]
        self.environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(map(str, homes)),  # goes before the editable installs
            "FGIC_REAL_DATA": str((root / data).resolve()),
            "OMP_NUM_THREADS": "1",
        }
        self._running: subprocess.Popen[str] | None = None
        self._check()

    def _check(self) -> None:
        """That Python takes every package from the copy: a mutant of a file that nobody imports would survive."""
        packages = [home.name for home in [*self.folder.glob("*/"), *self.folder.glob("plugins/*/*/")]]
        packages = [name for name in packages if name.startswith("fgic_")]
        code = "import importlib.util as u, sys; print(*(u.find_spec(name).origin for name in sys.argv[1:]), sep='\\n')"
        command = [sys.executable, "-c", code, *packages]
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True, check=True
        )
        wrong = [line for line in done.stdout.split() if not Path(line).is_relative_to(self.folder)]
        if wrong:
            raise RuntimeError(f"the tests would import {wrong[0]}, which is not in the copy")

    @contextmanager
    def with_mistake(self, mutant: Mutant) -> Iterator[None]:
        """The copy with the mistake in it."""
        path = self.folder / mutant.file
        before = path.read_bytes()
        try:
            path.write_text(mutant.changed(self.folder), encoding="utf-8")
            self._forget(path)
            yield
        finally:
            path.write_bytes(before)
            self._forget(path)

    def _forget(self, path: Path) -> None:
        """Python goes by size and second: of two texts of one size it may take the older one's bytecode."""
        for compiled in (path.parent / "__pycache__").glob(f"{path.stem}.*.pyc"):
            compiled.unlink()

    def pytest(self, tests: Sequence[str], *options: str, limit: float | None = None) -> tuple[int | None, str]:
        """The exit status, None where there was none within the limit (seconds), and what was printed."""
        command = [sys.executable, "-m", "pytest", "-q", "-rfE", "--tb=short", "-p", "no:cacheprovider"]
        process = subprocess.Popen(
            [*command, *options, *tests],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        self._running = process
        try:
            printed, _ = process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            return None, ""
        finally:
            self.stop()
            process.wait()
        return process.returncode, printed

    def alone(self, tests: Sequence[str]) -> tuple[int | None, str]:
        """What the tests say without a mistake, in the other order than usual.

        A test that passes only behind one that usually runs before it would fail by itself, mistake or not.
        """
        return self.pytest(tests, "-p", "fgic_backwards", limit=WHOLE)

    def stop(self) -> None:
        """Kill the tests that run, and whatever they started."""
        if self._running is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._running.pid, signal.SIGKILL)

    def try_out(self, mutant: Mutant) -> tuple[Outcome, str]:
        """What the mutant's tests say of it, and what they print."""
        with self.with_mistake(mutant):
            status, printed = self.pytest(mutant.tests, "-x", limit=LIMIT)
        if status is None:
            return "hung", printed
        if status == 0:
            return "survived", printed
        failed = re.search(r"^FAILED ", printed, re.MULTILINE)
        if status != 1 or not failed or _NONSENSE.search(printed):
            return "nonsense", printed
        return "caught", printed


class Trial:
    """Tries mutants, several at a time, each in a copy of the project.

    Args:
        root: the project.
        folder: an empty folder for the copies.
        jobs: how many at a time.
    """

    def __init__(self, root: Path, folder: Path, jobs: int) -> None:
        self._copies = []
        self._free: queue.SimpleQueue[Copy] = queue.SimpleQueue()
        for number in range(jobs):
            (folder / str(number)).mkdir()
            self._copies.append(Copy(root, folder / str(number)))
            self._free.put(self._copies[-1])

    def map(self, task: Callable[[Copy, T], R], items: Sequence[T]) -> Iterator[tuple[T, R]]:
        """Each item with what the task gives for it in some copy, as they come."""

        def one(item: T) -> R:
            copy = self._free.get()
            try:
                return task(copy, item)
            finally:
                self._free.put(copy)

        pool = ThreadPoolExecutor(len(self._copies))
        try:
            waiting = {pool.submit(one, item): item for item in items}
            for done in as_completed(waiting):
                yield waiting[done], done.result()
        finally:  # also where the user stops it in the middle
            pool.shutdown(wait=False, cancel_futures=True)
            for copy in self._copies:
                copy.stop()
            pool.shutdown()


def run(listed: list[Listed], root: Path, jobs: int, console: Console) -> Counter[Outcome]:
    """Try every mutant; prints those that are not caught. Empty where the tests fail without any.

    Args:
        listed: mutants that can be put in.
        root: the project.
        jobs: how many at a time.
        console: where to say what was found.
    """
    found: Counter[Outcome] = Counter()
    tests = sorted({test for entry in listed for test in entry.mutant.tests})
    shares = [share for share in (tests[number::jobs] for number in range(jobs)) if share]
    with (
        tempfile.TemporaryDirectory(prefix="fgic-mutants-") as folder,
        Progress(console=console, transient=True) as bar,
    ):
        trial = Trial(root, Path(folder), jobs)
        first = bar.add_task("the tests without a mistake", total=None)
        for _, (status, printed) in trial.map(Copy.alone, shares):
            if status != 0:
                console.print(printed, markup=False, highlight=False)
                console.print("The tests fail without any mistake: they can tell nothing.")
                return found
        bar.remove_task(first)
        task = bar.add_task("mutants", total=len(listed))
        for entry, (outcome, printed) in trial.map(lambda copy, entry: copy.try_out(entry.mutant), listed):
            found[outcome] += 1
            bar.advance(task)
            if outcome != "caught":
                console.print(f"{outcome}: {entry}", markup=False, highlight=False, soft_wrap=True)
                console.print(f"    {_WORDS[outcome]}: {' '.join(entry.mutant.tests)}", markup=False, soft_wrap=True)
            if outcome == "nonsense":
                console.print(printed[-2000:], markup=False, highlight=False)
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """0 where every mutant could be put in and was caught, else 1."""
    parser = argparse.ArgumentParser(description="See whether the tests notice deliberate mistakes.")
    parser.add_argument("words", nargs="*", help="names of lists, or parts of a file or a mistake")
    parser.add_argument("--jobs", type=int, default=min(os.cpu_count() or 1, 2), help="how many at a time")
    parser.add_argument("--root", type=Path, default=ROOT, help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    console, started = Console(), time.monotonic()
    root = given.root.resolve()
    try:
        everything = read_lists(root / "tests" / "mutants")
    except ValueError as error:
        console.print(str(error), markup=False, highlight=False, soft_wrap=True)
        return 1
    meant = chosen(everything, given.words)
    if not meant:
        console.print(f"None of {len(everything)} mutants is meant by {' '.join(given.words)!r}.")
        return 1
    ready, lost = [], 0
    for entry in meant:
        try:
            entry.mutant.changed(root)
            ready.append(entry)
        except ValueError as error:
            lost += 1
            console.print(f"no longer applies: {entry}\n    {error}", markup=False, highlight=False, soft_wrap=True)
    found = run(ready, root, given.jobs, console) if ready else Counter()
    if ready and not found:
        return 1
    minutes = (time.monotonic() - started) / 60
    said = ", ".join(f"{found[outcome]} {outcome}" for outcome in _WORDS if found[outcome])
    also = f"; {lost} no longer apply" if lost else ""
    count = f"{len(meant)} mutant{'s' * (len(meant) != 1)}"
    console.print(f"{count} in {minutes:.1f} min: {said or 'none was tried'}{also}")
    return int(found["caught"] != len(meant))


def _stop(*_: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    for name in ("SIGTERM", "SIGHUP"):  # end as with Ctrl-C: no test runs on, no copy stays
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), _stop)
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("stopped; the project is as it was")
