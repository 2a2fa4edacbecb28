"""Whole runs over pictures of one grey each and networks whose answers are known beforehand."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from pydantic import Field

from fgic_core import (
    Attacker,
    Classifier,
    Context,
    DatasetReader,
    Explainer,
    FittedClassifier,
    InputSpec,
    Pipeline,
    Registry,
    Run,
    Sample,
    Size,
)

SIDE = 4

#: The label, the grey level from 0 to 255, and the part of each picture.
Pictures = Sequence[tuple[int, int, str]]


class Greys(DatasetReader):
    """Pictures of one grey each. Their ids are part and row."""

    pictures: list[tuple[int, int, str]] = Field(description="Label, grey level and part of each.")
    count: int = Field(2, description="How many classes.")
    first: int = Field(0, description="The number in the first class's name; the others follow in a circle.")
    copies: bool = Field(False, description="Pictures of one grey are one file again and again.")

    def classes(self) -> Sequence[str]:
        return [f"class {(self.first + number) % self.count}" for number in range(self.count)]

    def samples(self, ctx: Context) -> Iterator[Sample]:
        from PIL import Image
        from PIL.PngImagePlugin import PngInfo

        for row, (label, level, split) in enumerate(self.pictures):
            name, own = f"{split}-{row}", PngInfo()
            own.add_text("Comment", "" if self.copies else str(row))
            Image.new("RGB", (SIDE, SIDE), (level, level, level)).save(ctx.folder / f"{name}.png", pnginfo=own)
            yield Sample(id=name, path=f"{name}.png", label=label, split=split)


class Ready(Classifier):
    """A network that is there from the start; `make` says which."""

    def make(self, classes: int) -> Any:
        raise NotImplementedError

    def build(self, classes: Sequence[str]) -> FittedClassifier:
        return FittedClassifier(self.make(len(classes)), InputSpec(Size(SIDE, SIDE)), tuple(classes))

    def fit(self, train: Any, val: Any, ctx: Context) -> FittedClassifier:
        return self.build(train.classes)


@pytest.fixture
def measure(tmp_path: Path) -> Callable[..., Run]:
    """``measure(pictures, network)`` is a finished run of `data`, `classifier` and, where given, `attack` and `map`.

    Instead of a ready network a ``kind`` of classifier may be given. Without ``learn`` no train pictures are added.
    With ``other``, options of the data set, a second one comes after the classifier, for attack and map.
    """

    def go(
        pictures: Pictures,
        network: Callable[[int], Any] | None = None,
        *,
        classes: int = 2,
        attack: Attacker | None = None,
        explain: Explainer | None = None,
        learn: bool = True,
        copies: bool = False,
        kind: type[Classifier] | None = None,
        other: dict[str, Any] | None = None,
        fails: bool = False,
        **options: Any,
    ) -> Run:
        class Chosen(Ready):
            def make(self, classes: int) -> Any:
                assert network is not None
                return network(classes)

        registry = Registry()
        registry.register("greys", Greys)
        registry.register("ready", kind or Chosen)
        # Two of each class to learn from, of which one is held out to choose by.
        lessons = [(label, 90 + label, "train") for label in range(classes) for _ in range(2)] if learn else []
        data = {"pictures": [*pictures, *lessons], "count": classes, "copies": copies}
        steps: dict[str, Any] = {
            "data": {"uses": "dataset/greys", "with": data},
            "classifier": {"uses": "classifier/ready", "with": options},
        }
        if other is not None:
            steps["other"] = {"uses": "dataset/greys", "with": {**data, **other}}
        for name, guest in (("attack", attack), ("map", explain)):
            if guest is not None:
                registry.register(name, type(guest))
                own = guest.model_dump(mode="json", exclude_unset=True)
                steps[name] = {"uses": f"{guest.kind}/{name}", "with": own}
        pipeline = Pipeline.from_dict({"version": 1, "name": "greys", "steps": steps}, tmp_path, registry)
        run = pipeline.run(store=tmp_path / "store", runs=tmp_path / "runs", device="cpu", report=False)
        assert fails or [step.error for step in run.record.steps if step.error] == []
        return run

    return go
