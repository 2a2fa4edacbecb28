"""What the arithmetic of FID takes beside torch-fidelity and clean-fid, on the same features.

    python benchmarks/fid.py [--pictures 5000] [--features 2048] [--runs 5] [--threads 1] [--many 50000]

All start from the same two arrays of float32 features and end with the distance: moments, then distance, as a new set
of pictures needs both. torch-fidelity is ``fid_features_to_statistics`` and ``fid_statistics_to_metric``, clean-fid
``numpy.mean``, ``numpy.cov`` and ``frechet_distance``, as their own code calls them. They run in turn, in one process,
after a warm-up of each; other work on a machine can only make a run slower, so the fastest runs are compared, and the
medians are printed too. Aim: at most as long as either, and the same figure to a millionth, or to a hundred-thousandth
where pictures are fewer than features: there the others take roots of eigenvalues that are 0 but for rounding.

Then the moments of ``--many`` rows of features in a file, piece by piece and all at once: time, and peak memory of
Python and numpy (tracemalloc), which leaves out what the matrix products themselves work in.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

AIM, PIECE = 1.0, 1000
Features = Any


def make(pictures: int, features: int, seed: int) -> Features:
    """Features as networks have them: correlated, not negative, with a spectrum that falls."""
    import numpy as np

    mix = np.random.default_rng(0).normal(size=(features, features)) * np.arange(1, features + 1)[:, None] ** -0.7
    rows = np.random.default_rng(seed).normal(size=(pictures, features)) @ mix
    return np.maximum(rows + 0.1 * seed, 0).astype(np.float32)


def by_fgic(one: Features, other: Features) -> float:
    """Moments in float64, piece by piece, and the symmetric form of the trace."""
    from fgic_core.metrics.distances import Moments, frechet_distance

    moments = [Moments(), Moments()]
    for found, features in zip(moments, (one, other), strict=True):
        found.add(features)
    return frechet_distance(*moments)


def by_torch_fidelity(one: Features, other: Features) -> float:
    """As torch-fidelity does it."""
    import torch
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

    stats = [fid_features_to_statistics(torch.from_numpy(features)) for features in (one, other)]
    return float(fid_statistics_to_metric(*stats, verbose=False)["frechet_inception_distance"])


def by_clean_fid(one: Features, other: Features) -> float:
    """As clean-fid does it."""
    import warnings

    import numpy as np
    from cleanfid.fid import frechet_distance

    stats = [part for rows in (one, other) for part in (np.mean(rows, axis=0), np.cov(rows, rowvar=False))]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of SciPy's sqrtm
        return float(frechet_distance(*stats))


def all_ways() -> dict[str, Callable[[Features, Features], float]]:
    """Those that are installed, fgic first."""
    ways: dict[str, Callable[[Features, Features], float]] = {"fgic": by_fgic, "torch-fidelity": by_torch_fidelity}
    try:
        import cleanfid.fid  # noqa: F401
    except ImportError:
        print("clean-fid is not installed and left out: pip install clean-fid")
    else:
        ways["clean-fid"] = by_clean_fid
    return ways


def compare(one: Features, other: Features, runs: int, close: float) -> bool:
    """Time each in turn and print; whether the aims are met."""
    ways = all_ways()
    taken: dict[str, list[float]] = {name: [] for name in ways}
    figures: dict[str, float] = {}
    for run in range(runs + 1):
        for name, way in ways.items():
            start = time.perf_counter()
            figures[name] = way(one, other)
            if run:
                taken[name].append(time.perf_counter() - start)
    met = True
    for name, seconds in taken.items():
        times = f"fastest {min(seconds):6.2f} s, median {statistics.median(seconds):6.2f} s"
        if name == "fgic":
            print(f"{name:15} {times}, FID {figures[name]:.9g}")
            continue
        fast, usual = (of(taken["fgic"]) / of(seconds) for of in (min, statistics.median))
        apart = abs(figures["fgic"] / figures[name] - 1)
        met &= fast <= AIM and apart <= close
        print(f"{name:15} {times}, fgic takes {fast:.2f} (median {usual:.2f}) of that; figures differ by {apart:.1e}")
    return met


def piece_by_piece(file: Path, features: int) -> float:
    """The trace of the covariance of a file's features, as an extractor gives them."""
    import numpy as np

    from fgic_core.metrics.distances import Moments

    moments = Moments()
    with file.open("rb") as content:
        while len(rows := np.fromfile(content, np.float32, PIECE * features)):
            moments.add(rows.reshape(-1, features))
    return float(moments.covariance.trace())


def at_once(file: Path, features: int) -> float:
    """The same by `numpy.mean` and `numpy.cov`."""
    import numpy as np

    rows = np.fromfile(file, np.float32).reshape(-1, features)
    np.mean(rows, axis=0)
    return float(np.cov(rows, rowvar=False).trace())


def memory(many: int, features: int) -> None:
    """Time, then peak memory of both ways: to follow memory takes time too."""
    import numpy as np

    with tempfile.TemporaryDirectory() as place:
        file = Path(place) / "features"
        rng = np.random.default_rng(0)
        with file.open("wb") as out:
            for start in range(0, many, PIECE):
                rng.standard_normal((min(PIECE, many - start), features), dtype=np.float32).tofile(out)
        print(f"moments of {many:,} x {features} features, {file.stat().st_size / 2**20:.0f} MiB")
        for name, way in {"by piece": piece_by_piece, "at once": at_once}.items():
            begin = time.perf_counter()
            trace = way(file, features)
            seconds = time.perf_counter() - begin
            tracemalloc.start()
            way(file, features)
            peak = tracemalloc.get_traced_memory()[1] / 2**20
            tracemalloc.stop()
            print(f"{name:15} {seconds:6.2f} s, peak {peak:6.0f} MiB, trace of the covariance {trace:.9g}")


def main() -> int:
    """Compare; the exit status is 1 where an aim is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=5000)
    parser.add_argument("--features", type=int, default=2048)
    parser.add_argument("--runs", type=int, default=5, help="how often each is timed")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--many", type=int, default=50_000, help="rows whose memory is measured; 0 measures none")
    given = parser.parse_args()
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(given.threads)  # before numpy and torch are imported
    pair = [make(given.pictures, given.features, seed) for seed in (1, 2)]
    print(f"FID of {given.pictures:,} and {given.pictures:,} x {given.features} features, {given.threads} thread(s)")
    close = 1e-6 if given.pictures > given.features else 1e-5
    met = compare(*pair, given.runs, close)
    if given.many:
        memory(given.many, given.features)
    print(f"aim (at most as long, the same to {close:g}): {'met' if met else 'missed'}")
    return int(not met)


if __name__ == "__main__":
    sys.exit(main())
