"""``fgic data convert``: a data set of any source as COCO files."""

from __future__ import annotations

import json
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fgic_core.cli.output import console, note, printable, table, warn
from fgic_core.errors import FgicError, Interrupted
from fgic_core.hooks import hookimpl
from fgic_core.kinds.ports import all_steps

if TYPE_CHECKING:
    from fgic_core.data.coco import CocoFolder
    from fgic_core.data.dataset import Dataset
    from fgic_core.registry import Registry
    from fgic_core.spec import Spec
    from fgic_core.store.record import RunRecord

#: What a conversion that names a reader calls its only step.
_STEP = "data"
_EVERY = 10.0


def convert(
    source: str, output: Path, overrides: Sequence[str], *, step: str | None, store: Path | None, copy_pictures: bool
) -> int:
    """Write a data set as COCO files; returns 1 where a step that it comes from failed, else 0.

    Args:
        source: a spec; a reader such as ``dataset/coco``; or the folder of a run or of a data set.
        output: a folder that is empty or does not exist.
        overrides: assignments of ``--set``, which for a reader are ``option=value``.
        step: the step whose data set is meant, of a spec or a run; by default the first that reads one.
        store: where artifacts are kept.
        copy_pictures: copy the pictures beside the annotations.

    Raises:
        Interrupted: the user pressed Ctrl-C; nothing is left of the output.
        FgicError: the source holds no data set, an option is wrong, or the output cannot be written.
    """
    from fgic_core.data.coco import check_free, require_sahi, write_coco
    from fgic_core.run.interrupts import Interrupts

    require_sahi()
    check_free(output)
    dataset = _open(source, overrides, step, store)
    if dataset is None:
        return 1
    try:
        with Interrupts(), _progress("writing", "images") as progress:
            written = write_coco(dataset, output, copy_pictures=copy_pictures, progress=progress)
    except KeyboardInterrupt:
        raise Interrupted("stopped", hint=f"Nothing was left in {output}.") from None
    _print(written)
    return 0


def _open(source: str, overrides: Sequence[str], step: str | None, store: Path | None) -> Dataset | None:
    """The data set of any source; None where a step failed, of which the user was told."""
    from fgic_core.kinds.table import KINDS
    from fgic_core.registry import Registry
    from fgic_core.spec import load_spec

    registry, path = Registry(), Path(source)
    kind, slash, _ = source.partition("/")
    if source in registry.names() or (slash and kind in KINDS and not path.exists()):
        if kind != "dataset":
            raise FgicError(f"{source} reads no data set", hint="Give a reader, such as dataset/image-folder.")
        if step is not None:
            raise FgicError(f"--step {step}: a reader has no steps", hint="Leave the option out, or give a spec.")
        return _run(_of_reader(source, overrides, registry), _STEP, registry, store)
    if not path.is_dir():
        spec = load_spec(path, registry, overrides)
        return _run(spec, _chosen(spec, step), registry, store)
    if overrides:
        raise FgicError("a folder has no options to --set", where=source, hint="Give a spec or a reader.")
    return _of_folder(path, step, store)


def _of_reader(uses: str, overrides: Sequence[str], registry: Registry) -> Spec:
    """The spec of one step that reads the data set."""
    from fgic_core.description import options_of
    from fgic_core.spec import from_dict

    required = [option for option in options_of(registry.get(uses)) if option.required]
    if required and not overrides:
        names = " and ".join(option.name for option in required)
        about = "\n".join(f"  --set {option.name}=...  {option.description}" for option in required)
        raise FgicError(
            f"{uses} needs the option{'s' * (len(required) > 1)} {names}",
            hint=f"Give {'them' if len(required) > 1 else 'it'} with\n{about}",
        )
    document = {"version": 1, "name": "convert", "steps": {_STEP: {"uses": uses}}}
    return from_dict(document, registry, None, [f"{_STEP}.with.{assignment}" for assignment in overrides])


def _of_folder(path: Path, step: str | None, store: Path | None) -> Dataset:
    from fgic_core.data.dataset import Dataset
    from fgic_core.finished import Run

    if (path / "run.json").exists():
        run = Run.open(path, store)
        reads = (record.name for record in run.record.steps if record.uses.startswith("dataset/"))
        return run.dataset(step or next(reads, None))
    if not (path / "dataset.json").exists():
        raise FgicError(
            "this is neither a run directory nor a data set",
            where=str(path),
            hint="Give a spec, a reader such as dataset/image-folder, or a folder such as runs/<name>/latest.",
        )
    if step is not None:
        raise FgicError(f"--step {step}: the folder of a data set has no steps", where=str(path))
    return Dataset.open(path)


def _chosen(spec: Spec, name: str | None) -> str:
    """The step that was asked for, or the first that reads a data set."""
    where = str(spec.path)
    gives = [step.name for step in spec.steps if step.described.manifest.gives == "dataset"]
    if name is None:
        reads = [step.name for step in spec.steps if step.described.kind == "dataset"]
        if not reads:
            raise FgicError("no step of this spec reads a data set", where=where)
        return reads[0]
    if name not in gives:
        known = any(step.name == name for step in spec.steps)
        what = f"step {name} gives no data set" if known else f"the spec has no step {name!r}"
        raise FgicError(what, where=where, hint=f"Steps that give one: {', '.join(gives)}.")
    return name


def _run(spec: Spec, name: str, registry: Registry, store: Path | None) -> Dataset | None:
    """The data set of a step, which is run, with those before it, where the store does not have it.

    The run's own directory is a temporary one, kept if a step fails: the spec's last run stays its last.
    """
    from fgic_core.cli.pipeline import choose_terminal
    from fgic_core.pipeline import Pipeline, Run, argv

    spec = _needed(spec, name)
    runs = tempfile.mkdtemp(prefix="fgic-convert-")
    terminal = choose_terminal(quiet=False)
    failed = False
    try:
        run = Pipeline(spec, registry).run(
            store=store,
            runs=runs,
            report=False,
            observers=[_Steps(terminal)] if terminal is not None else [],
            command=argv(),
            isolation="run",
        )
        assert isinstance(run, Run)
        failed = not run.ok
        for problem in run.problems:
            warn(problem)
        return None if failed else run.dataset(name)
    finally:
        if terminal is not None:
            terminal.close()
        if not failed:
            shutil.rmtree(runs, ignore_errors=True)


def _needed(spec: Spec, name: str) -> Spec:
    """The spec with a step and those that it is made from alone."""
    needed = {name}
    for step in reversed(spec.steps):
        if step.name in needed:
            needed.update(all_steps(step.inputs))
    return replace(spec, steps=tuple(step for step in spec.steps if step.name in needed), study=None)


class _Steps:
    """Passes a run's events on to a terminal, which says that they go to the store: the run's folder goes away."""

    def __init__(self, terminal: Any) -> None:
        self._terminal = terminal
        for name in ("started", "reused", "finished", "failed"):
            setattr(self, f"step_{name}", getattr(terminal, f"step_{name}"))
        for name in ("progress", "metric", "point", "warning"):
            setattr(self, name, getattr(terminal, name))

    @hookimpl
    def run_started(self, run: RunRecord) -> None:
        self._terminal.run_started(run, run.store)


@contextmanager
def _progress(description: str, unit: str) -> Iterator[Callable[[int, int], None]]:
    """Shows how far some work is: on a line of its own where a person looks on, else in a line now and then."""
    from fgic_core.cli.terminal import Bar

    bar, out = Bar(description, time.monotonic()), console(stderr=True)
    live = out.status(description) if sys.stderr.isatty() else None
    said = time.monotonic()

    def show(done: int, total: int) -> None:
        nonlocal said
        now = time.monotonic()
        bar.done, bar.total, bar.unit = done, total, unit
        if now - said >= (_EVERY if live is None else 0.25):
            said = now
            text = f"{description}: {bar.text(now)}"
            if live is None:
                note(text)
            else:
                live.update(text)

    if live is None:
        yield show
    else:
        with live:
            yield show


def _print(written: CocoFolder) -> None:
    """What was written and where, and how a spec reads it."""
    for what in written.left_out:
        warn(f"left out, as COCO has no place for them: {what}")
    if (written.pictures / "artifact.json").exists():
        warn(f"the pictures lie in fgic's store ({written.pictures}); with --copy-pictures they lie beside the files.")
    files = table("split", "images", "boxes", "file")
    for column in files.columns[1:3]:
        column.justify = "right"
    for split, one in written.splits.items():
        files.add_row(split, f"{one.images:,}", f"{one.boxes:,}", printable(str(one.file)))
    out = console()
    out.print(files)
    if missing := [split for split in ("train", "test") if split not in written.splits]:
        note(f"dataset/coco wants a {' and a '.join(missing)} file too, which this data set has no samples for.")
    paths = [("images", written.pictures), *((split, one.file) for split, one in written.splits.items())]
    out.print("\nA spec in this folder reads it with:\n\n  coco:\n    uses: dataset/coco\n    with:")
    for name, path in paths:
        out.print(f"      {name}: {_as_yaml(_from_here(path))}", soft_wrap=True)


def _from_here(path: Path) -> str:
    """Relative to the working directory for what lies below it, else absolute."""
    path, here = path.resolve(), Path.cwd().resolve()
    return path.relative_to(here).as_posix() if path.is_relative_to(here) else str(path)


def _as_yaml(text: str) -> str:
    """The text as a scalar of YAML; a JSON string is one."""
    return text if re.fullmatch(r"[\w.-]*/[\w./-]*", text) else json.dumps(text, ensure_ascii=not text.isprintable())
