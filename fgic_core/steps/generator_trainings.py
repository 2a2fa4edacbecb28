"""Trainings that steps share. With a node of its own for each training, this file goes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from fgic_core.data.artifact import Point
from fgic_core.steps.context import StepContext


def take(ctx: StepContext) -> bool:
    """Take what a step with the same training left: what it learned, its curves, its warnings and its grids."""
    kept = ctx.trained
    if kept is None or (record := _read(kept)) is None:
        return False
    shutil.copytree(kept / "component", ctx.folder / "component")
    ctx.curves = []
    for point in record["curves"]:
        ctx.add_point(Point(**point))
    for warning in record["warnings"]:
        ctx.warn(warning)
    if (kept / "grids").is_dir():
        shutil.copytree(kept / "grids", ctx.folder / "grids")
    return True


def _read(kept: Path) -> dict[str, Any] | None:
    """What is known of a training that is kept; None where there is none, or it is damaged."""
    try:
        record: dict[str, Any] = json.loads((kept / "training.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not {"curves", "warnings", "files"} <= record.keys():
        return None
    found = {name: (kept / name).stat().st_size if (kept / name).is_file() else -1 for name in record["files"]}
    return record if found == record["files"] else None


def keep(ctx: StepContext) -> None:
    """Copy the training to where other steps find it, whole or not at all."""
    kept = ctx.trained
    if kept is None or not ctx.curves:  # what trained nothing is quickly had again
        return
    fresh = kept.with_suffix(".new")  # whoever gets here holds the lock of the training
    shutil.rmtree(fresh, ignore_errors=True)
    for name in ("component", "grids"):
        if (ctx.folder / name).is_dir():
            shutil.copytree(ctx.folder / name, fresh / name)
    files = {str(file.relative_to(fresh)): file.stat().st_size for file in sorted(fresh.rglob("*")) if file.is_file()}
    record = {"curves": [point.model_dump() for point in ctx.curves], "warnings": ctx.warnings, "files": files}
    (fresh / "training.json").write_text(json.dumps(record) + "\n", encoding="utf-8")
    shutil.rmtree(kept, ignore_errors=True)
    fresh.rename(kept)
