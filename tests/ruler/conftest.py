"""What the ruler says of planted data and planted components, through `Pipeline` alone.

Nothing here knows how the core is built inside: components are registered, a spec is run, and the figures of the run
and the rows that it gives are looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fgic_core import Component, Context, DatasetReader, Pipeline, Registry, Run, Sample

Picture = tuple[Sample, "np.ndarray[Any, Any]"]


def reader_of(pictures: Sequence[Picture], classes: int, notes: Sequence[str]) -> type[DatasetReader]:
    """A reader that gives these samples, and writes their pictures (h, w, 3) where they say."""
    told = notes

    class Planted(DatasetReader):
        """Planted pictures."""

        def classes(self) -> Sequence[str]:
            return [f"class {number}" for number in range(classes)]

        def samples(self, ctx: Context) -> Iterator[Sample]:
            for sample, pixels in pictures:
                Image.fromarray(np.asarray(pixels, dtype=np.uint8)).save(ctx.folder / sample.path)
                yield sample

        def notes(self) -> Sequence[str]:
            return told

    return Planted


@pytest.fixture
def bench(tmp_path: Path) -> Callable[..., Run]:
    """``bench(pictures, steps, **components)`` runs a spec and returns the run.

    The pictures are the step ``data`` before the steps given; components are those of this process, under the names
    that the steps use. Each run has a store of its own. A step that fails fails the test.
    """
    count = iter(range(1000))

    def run(
        pictures: Sequence[Picture],
        steps: dict[str, Any],
        *,
        classes: int = 2,
        notes: Sequence[str] = (),
        seed: int = 0,
        **components: type[Component],
    ) -> Run:
        registry = Registry()
        registry.register("planted", reader_of(pictures, classes, notes))
        for name, component in components.items():
            registry.register(name, component)
        spec = {"version": 1, "name": "planted", "seed": seed, "steps": {"data": {"uses": "dataset/planted"}, **steps}}
        folder = tmp_path / f"run-{next(count)}"
        done = Pipeline.from_dict(spec, tmp_path, registry).run(
            store=folder / "store", runs=folder / "runs", device="cpu", report=False
        )
        assert [f"{step.name}: {step.error}" for step in done.record.steps if step.error] == []
        assert done.ok
        return done

    return run
