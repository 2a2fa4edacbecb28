"""Where words go: tables to stdout; messages, progress and errors to stderr. Nothing else of fgic prints."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import typer

from fgic_core.errors import DataError, FgicError, Interrupted, StepError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

#: Columns of a table that goes into a file or a pipe, where nobody's window ends.
_WIDE = 200


def console(stderr: bool = False) -> Console:
    """A console that prints text as it is: brackets in a path are not markup, colons no emoji."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() or "COLUMNS" in os.environ else _WIDE
    return Console(stderr=stderr, markup=False, highlight=False, emoji=False, width=width, soft_wrap=False)


def table(*columns: str) -> Table:
    """A table with rules under its head alone, so that it can be copied and searched."""
    from rich import box
    from rich.table import Table

    made = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="bold")
    for column in columns:
        made.add_column(column, overflow="fold")
    return made


def note(message: str) -> None:
    """A message for the user."""
    typer.echo(message, err=True)


def warn(message: str) -> None:
    """A message that the user should not miss."""
    typer.secho("warning", fg="yellow", bold=True, nl=False, err=True)
    typer.echo(f": {printable(message, lines=True)}", err=True)


def fail(error: FgicError | str) -> None:
    """An error's message, in colour where it knows how and a person looks on."""
    problems = len(getattr(error, "problems", ()))
    typer.secho("error", fg="red", bold=True, nl=False, err=True)
    typer.echo(f": {problems} problems in the spec\n" if problems > 1 else ": ", nl=False, err=True)
    if sys.stderr.isatty() and hasattr(error, "__rich__"):
        console(stderr=True).print(error, soft_wrap=True)
    else:
        typer.echo(printable(str(error), lines=True), err=True)


def printable(text: str, lines: bool = False) -> str:
    """The text with control characters escaped: a file's name must not steer the terminal.

    Args:
        text: what to print.
        lines: leave line breaks as they are.
    """
    kept = "\n\N{NO-BREAK SPACE}" if lines else "\N{NO-BREAK SPACE}"
    return "".join(c if c.isprintable() or c in kept else ascii(c)[1:-1] for c in text)


def exit_code(error: BaseException) -> int:
    """The exit code that an exception ends the process with."""
    if isinstance(error, (KeyboardInterrupt, Interrupted)):
        return 130
    if isinstance(error, FgicError) and not isinstance(error, (StepError, DataError)):
        return 2
    return 1


def report_exception(error: BaseException) -> int:
    """Tell the user of an exception; returns the exit code."""
    if isinstance(error, BrokenPipeError):
        return _pipe_closed()
    if os.environ.get("FGIC_DEBUG", "0") not in ("", "0"):
        import traceback

        traceback.print_exception(error)
    elif isinstance(error, Interrupted):
        note("Stopped." + (f" {error.hint}" if error.hint else ""))
    elif isinstance(error, FgicError):
        fail(error)
    elif isinstance(error, Exception):
        _report_bug(error)
    return exit_code(error)


def _report_bug(error: Exception) -> None:
    import platform
    import tempfile
    import traceback

    from fgic_core import __version__

    what = "".join(traceback.format_exception_only(type(error), error)).strip()
    with tempfile.NamedTemporaryFile(
        "w", prefix="fgic-crash-", suffix=".txt", delete=False, encoding="utf-8", errors="backslashreplace"
    ) as file:
        file.write(f"fgic {__version__}, Python {platform.python_version()}, {platform.platform()}\n")
        file.write(f"command: {' '.join(sys.argv)}\n\n")
        file.writelines(traceback.format_exception(error))
    fail(
        f"{what}\n  This is a fault of fgic or of a plugin, not of your input. The whole traceback is in {file.name}\n"
        "  Please report it with that file; its second line is the command you typed."
    )


def flush(code: int) -> int:
    """Write out what is buffered; a reader that has gone (``fgic plugins | head -1``) is no error to shout about."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        return _pipe_closed()
    return code


def _pipe_closed() -> int:
    # The interpreter flushes stdout once more when it exits; let that go nowhere.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 1
