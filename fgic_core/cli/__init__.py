"""The command line, ``fgic``. Nothing is imported here: a command imports what it needs when it is called."""

from __future__ import annotations


def main() -> None:
    """Run the command that ``sys.argv`` asks for, and exit.

    Exit codes: 0 done; 1 a step, a picture or fgic itself failed; 2 a mistake in the spec or the options;
    130 interrupted.
    """
    import os
    import signal
    import sys

    told = sys.unraisablehook
    # One that a destructor ate is kept in mind (see `fgic_core.run.interrupts`) and is no fault to show a traceback of.
    sys.unraisablehook = lambda about: None if about.exc_type is KeyboardInterrupt else told(about)
    handled = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if handled:  # an exception in the middle of an import would be a traceback, or whoever imports eats it
        signal.signal(signal.SIGINT, lambda number, frame: os._exit(130))
    from fgic_core.cli.app import run

    try:
        if handled:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        code = run()
    except KeyboardInterrupt:  # before the command began, or when it was over
        code = 130
    sys.exit(code)
