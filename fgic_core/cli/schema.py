"""``fgic schema``: the JSON Schema of specs."""

from __future__ import annotations

import json
from pathlib import Path

from fgic_core.cli.output import note
from fgic_core.errors import FgicError


def print_schema(output: Path | None) -> None:
    """Print the schema, or write it to a file.

    Raises:
        FgicError: the file cannot be written.
    """
    from fgic_core.plan.descriptions import Remembered
    from fgic_core.registry import Registry
    from fgic_core.spec import spec_schema

    registry = Registry()
    text = json.dumps(spec_schema(registry, Remembered(registry)), indent=2, ensure_ascii=False)
    if output is None:
        print(text)
        return
    try:
        output.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise FgicError(f"the schema cannot be written: {error.strerror}", where=str(output)) from None
    note(f"Wrote {output}. A spec names it in its first line: # yaml-language-server: $schema={output.name}")
