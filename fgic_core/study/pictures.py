"""The test pictures of a study: that all runs have the same ones, and which of them are not independent."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray[Any, Any]


class Rows(NamedTuple):
    """Samples of a data set that lies in the store, by id.

    Attributes:
        about: digest of the picture and label of each.
        classes: the names that labels stand for.
    """

    about: dict[str, tuple[str, int]]
    classes: tuple[str, ...]


def rows_of(folder: Path) -> Rows:
    """The samples of a data set.

    Args:
        folder: of the artifact.

    Raises:
        OSError, DataError: they cannot be read.
    """
    import pyarrow.parquet as pq

    from fgic_core.data.header import Header

    table = pq.read_table(folder / "samples.parquet", columns=["id", "digest", "label"])
    digests = (digest or "" for digest in table.column("digest").to_pylist())
    about = zip(digests, table.column("label").to_pylist(), strict=True)
    return Rows(dict(zip(table.column("id").to_pylist(), about, strict=True)), Header.read(folder).classes)


def pairs_of(folder: Path) -> list[tuple[str, str]]:
    """The samples of a reader's data set that are duplicates of one another, near ones too."""
    import pyarrow.parquet as pq

    path = folder / "duplicates.parquet"
    if not path.is_file():
        return []
    table = pq.read_table(path, columns=["a", "b"])
    return list(zip(table.column("a").to_pylist(), table.column("b").to_pylist(), strict=True))


def clusters_of(ids: tuple[str, ...], rows: Rows | None, pairs: Iterable[tuple[str, str]]) -> Array:
    """(n,) a number for each picture, the same for those that are not independent: of the same file, or duplicates.

    Args:
        ids: of the pictures; rows: what is known of them; pairs: of duplicates.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    place = {name: number for number, name in enumerate(ids)}
    links = [(place[a], place[b]) for a, b in pairs if a in place and b in place]
    first: dict[str, int] = {}
    for number, name in enumerate(ids):
        digest = rows.about[name][0] if rows is not None and name in rows.about else ""
        if digest:
            links.append((first.setdefault(digest, number), number))
    one, other = zip(*links, strict=True) if links else ((), ())
    graph = coo_array((np.ones(len(links)), (one, other)), shape=(len(ids), len(ids)))
    return np.asarray(connected_components(graph, directed=False)[1], dtype=np.int64)


class Counted(NamedTuple):
    """How many train pictures there are; means over seeds where these differ.

    Attributes:
        real: as they were read; synthetic: that a generator made.
    """

    real: float
    synthetic: float


def counted_in(folder: Path) -> Counted:
    """The train pictures of a data set, by where they come from.

    Args:
        folder: of the artifact.

    Raises:
        OSError, ValueError: they cannot be read.
    """
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    table = pq.read_table(folder / "samples.parquet", columns=["split", "origin"])
    split, origin = (table.column(name).cast(pa.string()) for name in ("split", "origin"))
    held = origin.filter(pc.fill_null(pc.equal(split, "train"), False))
    made = pc.sum(pc.fill_null(pc.starts_with(held, "synthetic"), False)).as_py() or 0
    return Counted(float(len(held) - made), float(made))
