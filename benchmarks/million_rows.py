"""One million rows: seconds and memory to read, check, open and plan a data set, beside a plain read of the table.

    python benchmarks/million_rows.py [--rows 1000000]

Makes a Parquet table with boxes in a temporary folder, then measures each job in a process of its own, so that one's
memory does not count as another's. The pictures themselves are not looked at (`verify: none`). Aim: 5 s and 500 MB.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

CLASSES = 200
PIECE = 100_000
AIM_SECONDS, AIM_MB = 5.0, 500.0


def make(folder: Path, rows: int) -> dict[str, float]:
    """Write ``table.parquet``: ids, paths, labels, splits, sizes and one annotated box a row."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    rng = np.random.default_rng(0)
    (folder / "pictures").mkdir()
    writer = None
    for start in range(0, rows, PIECE):
        count = min(PIECE, rows - start)
        numbers = np.arange(start, start + count)
        labels = rng.permutation(numbers) % CLASSES
        width, height = rng.integers(300, 700, (2, count))
        x, y = (rng.random((2, count)) * 0.4 * [width, height]).astype(np.float32)
        corners = {"x1": x, "y1": y, "x2": x + width * np.float32(0.5), "y2": y + height * np.float32(0.5)}
        arrays = [pa.array(values.astype(np.float32)) for values in corners.values()]
        boxes = pa.ListArray.from_arrays(
            pa.array(np.arange(count + 1, dtype=np.int32)), pa.StructArray.from_arrays(arrays, list(corners))
        )
        names = [f"{label:03d}/{number:08d}" for label, number in zip(labels, numbers, strict=True)]
        columns = {
            "id": names,
            "path": [f"{name}.jpg" for name in names],
            "label": pa.array(labels, pa.int32()),
            "split": np.where(numbers % 5 == 0, "test", "train"),
            "width": pa.array(width, pa.int32()),
            "height": pa.array(height, pa.int32()),
            "boxes": boxes,
        }
        table = pa.table(columns)
        writer = writer or pq.ParquetWriter(folder / "table.parquet", table.schema)
        writer.write_table(table)
    if writer:
        writer.close()
    return {}


def plain(folder: Path, rows: int) -> dict[str, float]:
    """Read the table with PyArrow and nothing else."""
    import pyarrow.parquet as pq

    start = time.perf_counter()
    table = pq.read_table(folder / "table.parquet")
    assert table.num_rows == rows
    return {"seconds": time.perf_counter() - start}


def fgic(folder: Path, rows: int) -> dict[str, float]:
    """Check a spec with the table, plan and run its data set step, open what it gave, and plan again."""
    from fgic_core import Pipeline

    document = {
        "version": 1,
        "name": "million",
        "steps": {
            "rows": {
                "uses": "dataset/parquet",
                "with": {
                    "table": str(folder / "table.parquet"),
                    "root": str(folder / "pictures"),
                    "class_names": [f"class {label}" for label in range(CLASSES)],
                    "verify": "none",
                },
            }
        },
    }
    start = time.perf_counter()
    store = folder / "store"
    run = Pipeline.from_dict(document).run(store=store, runs=folder / "runs", device="cpu", report=False)
    assert run.ok, run.record.steps[0].error
    read = time.perf_counter()
    opened = run.dataset()
    assert len(opened) == rows
    assert opened[rows - 1].boxes
    end = time.perf_counter()
    (again,) = Pipeline.from_dict(document).plan(store).steps
    assert again.reused, again.reason
    planned = time.perf_counter()
    return {"seconds": planned - start, "run": read - start, "open": end - read, "plan again": planned - end}


#: What is measured, each in its own process. A job gives seconds, in all and (by any name) of its parts.
JOBS: dict[str, Callable[[Path, int], dict[str, float]]] = {"plain": plain, "fgic": fgic}


def measure(job: str, folder: Path, rows: int) -> dict[str, float]:
    """Run a job in a new interpreter; its figures, with ``mb``, the peak of its resident memory."""
    command = [sys.executable, __file__, "--rows", str(rows), "--job", job, "--folder", str(folder)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def run_job(job: str, folder: Path, rows: int) -> None:
    """Run one job here and print its figures as JSON."""
    figures = dict({"make": make, **JOBS}[job](folder, rows))
    used = resource.getrusage(resource.RUSAGE_SELF)
    figures["mb"] = used.ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)
    figures["CPU with imports"] = used.ru_utime + used.ru_stime
    print(json.dumps(figures))


def main() -> int:
    """Print the figures; the exit status is 1 where the aim for one million rows is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--job", choices=["make", *JOBS], help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.job:
        run_job(given.job, given.folder, given.rows)
        return 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        measure("make", folder, given.rows)
        print(f"{given.rows:,} rows, {(folder / 'table.parquet').stat().st_size / 1e6:.0f} MB of Parquet")
        results = {job: measure(job, folder, given.rows) for job in JOBS}
    for job, figures in results.items():
        parts = ", ".join(f"{part} {value:.2f} s" for part, value in figures.items() if part not in ("seconds", "mb"))
        print(f"{job:>6}: {figures['seconds']:6.2f} s  {figures['mb']:5.0f} MB peak  {parts}")
    ratio = results["fgic"]["seconds"] / results["plain"]["seconds"]
    print(
        f"fgic takes {ratio:.1f} times as long as a plain read (aim: {AIM_SECONDS:g} s, {AIM_MB:g} MB a million rows)"
    )
    share = given.rows / 1e6
    return int(results["fgic"]["seconds"] > AIM_SECONDS * share or results["fgic"]["mb"] > AIM_MB)


if __name__ == "__main__":
    sys.exit(main())
