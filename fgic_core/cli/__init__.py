"""The command line, ``fgic``. Nothing is imported here: a command imports what it needs when it is called."""

from __future__ import annotations


def main() -> None:
    """Run the command that ``sys.argv`` asks for, and exit.

    Exit codes: 0 done; 1 a step, a picture or fgic itself failed; 2 a mistake in the spec or the options;
    130 interrupted.
    """
    import sys

    from fgic_core.cli.app import run

    sys.exit(run())
