"""What benchmarks share: two ways to do one thing take turns in one process, and a ratio is printed."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

AIM = 1.03


def compare(title: str, pictures: int, ways: dict[str, Callable[[], object]], runs: int) -> None:
    """Run each in turn, after a warm-up, and print the ratio of the fastest runs, and of the medians.

    Args:
        title: of the lines.
        pictures: in one run.
        ways: the plain one, then ours. One that returns a float gives its own seconds, of a part of what it does.
        runs: of each.
    """
    rows: dict[str, list[tuple[float, ...]]] = {name: [] for name in ways}
    for run in range(runs + 1):
        for name, way in ways.items():
            wall, processor = time.perf_counter(), time.process_time()
            own = way()
            taken = (time.perf_counter() - wall, time.process_time() - processor)
            if run:
                rows[name].append((own,) if isinstance(own, float) else taken)
    plain, ours = rows.values()
    for column, clock in enumerate(("wall", "processor")[: len(plain[0])]):
        for word, summary in (("fastest", min), ("median", statistics.median)):
            one, other = (summary([row[column] for row in found]) for found in (plain, ours))
            rates = f"{pictures / one:7.2f} against {pictures / other:7.2f} pictures/s"
            print(f"{title:10} {clock:10} {word:8} {rates}, fgic takes {other / one:.3f} times as long (aim {AIM})")
