"""Components with one mistake each, and sound ones beside them; `test_broken_components` says what each should fail."""

from __future__ import annotations

import json
import os
import pickle
import random
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import fgic_toys
import numpy as np
import pytest
from pydantic import PrivateAttr

from fgic_core import Context, Detections, FittedClassifier, InputSpec, ObjectBox, Sample, Size
from fgic_core.testing import ClassifierSuite, DatasetReaderSuite, DetectorSuite, GeneratorSuite


def _suite(base: type[Any], name: str, made: Any) -> type[Any]:
    class Suite(base):  # type: ignore[misc]
        @pytest.fixture
        def component(self) -> Any:
            return made

    Suite.__name__ = Suite.__qualname__ = name
    return Suite


def _try(base: type[Any], *components: Any) -> None:
    for made in components:
        name = f"Test{type(made).__name__}"
        globals()[name] = _suite(base, name, made)


# Readers.


class SoundReader(fgic_toys.Dots):
    """Nothing is wrong with it."""

    def changed(self, sample: Sample, number: int) -> Sample:
        return sample

    def samples(self, ctx: Context) -> Iterator[Sample]:
        for number, sample in enumerate(super().samples(ctx)):
            yield self.changed(sample, number)


class RepeatedIds(SoundReader):
    """Two samples have one id."""

    def changed(self, sample: Sample, number: int) -> Sample:
        return replace(sample, id="train-0-0") if number == 1 else sample


class OnePictureTwice(SoundReader):
    """A train picture is a test picture too."""

    def changed(self, sample: Sample, number: int) -> Sample:
        return replace(sample, path="images/train-0-0.png") if number == 7 else sample


class LabelsFromOne(SoundReader):
    """Counts classes from 1."""

    def changed(self, sample: Sample, number: int) -> Sample:
        return replace(sample, label=sample.label + 1)


class OneNameTwice(SoundReader):
    """Two classes have one name."""

    def classes(self) -> Sequence[str]:
        return ["colour"] * self.count


class UnknownSplit(SoundReader):
    """Calls the test split something else."""

    def changed(self, sample: Sample, number: int) -> Sample:
        return replace(sample, split="dev") if sample.split == "test" else sample  # type: ignore[arg-type]


class BoxOutside(SoundReader):
    """Boxes in another unit."""

    def changed(self, sample: Sample, number: int) -> Sample:
        (box,) = sample.boxes
        return replace(sample, boxes=(ObjectBox(box.box.scale(100, 100)),))


class WrongSize(SoundReader):
    """Width and height are another picture's."""

    def changed(self, sample: Sample, number: int) -> Sample:
        return replace(sample, size=Size(self.side, self.side + 1))


class OutOfTheFolder(SoundReader):
    """Pictures lie elsewhere."""

    def changed(self, sample: Sample, number: int) -> Sample:
        return replace(sample, path=f"../{number}.png")


class NoSuchPicture(SoundReader):
    """A listed picture is not there."""

    def changed(self, sample: Sample, number: int) -> Sample:
        return replace(sample, path=f"images/{number}.gone.png")


class AtRandom(SoundReader):
    """Draws labels anew at every reading."""

    def changed(self, sample: Sample, number: int) -> Sample:
        return replace(sample, label=random.SystemRandom().randrange(self.count))


class NoSamples(SoundReader):
    """Gives nothing."""

    def samples(self, ctx: Context) -> Iterator[Sample]:
        yield from ()


class ClassesByListing(fgic_toys.Shelf):
    """Labels are positions in the order in which the folder is listed."""

    def classes(self) -> Sequence[str]:
        return list(dict.fromkeys(name.partition("-")[0] for name in os.listdir(self.root)))


class SamplesByListing(fgic_toys.Shelf):
    """Samples come in the order in which the folder is listed."""

    def samples(self, ctx: Context) -> Iterator[Sample]:
        by_name = {sample.path: sample for sample in super().samples(ctx)}
        yield from (by_name[name] for name in os.listdir(self.root))


def _shelf() -> Path:
    from PIL import Image

    folder = Path(tempfile.mkdtemp(dir=Path.cwd()))
    for name in ("crow-1", "crow-2", "owl-1", "owl-2", "tit-1", "tit-2"):
        Image.new("RGB", (8, 8)).save(folder / f"{name}.png")
    return folder


_READERS = (RepeatedIds, OnePictureTwice, LabelsFromOne, OneNameTwice, UnknownSplit, BoxOutside, WrongSize)
_try(DatasetReaderSuite, *(reader(per_class=2) for reader in (SoundReader, *_READERS)))
_try(DatasetReaderSuite, *(reader(per_class=2) for reader in (OutOfTheFolder, NoSuchPicture, AtRandom, NoSamples)))
_try(DatasetReaderSuite, *(reader(root=_shelf()) for reader in (ClassesByListing, SamplesByListing)))


# Detectors.


class Reaching(fgic_toys.Threshold):
    """What `SoundDetector` learns: how far its boxes reach beyond what it sees."""

    def __init__(self, recipe: SoundDetector, reach: float) -> None:
        super().__init__(recipe.threshold, [])
        self.recipe, self.reach = recipe, reach

    def detect(self, images: Sequence[Any]) -> list[Detections]:
        found = super().detect(images)
        return [self.recipe.changed(replace(one, boxes=one.boxes + self.reach), images) for one in found]


class SoundDetector(fgic_toys.Bright):
    """Learns how far its boxes reach beyond what it sees: a pixel an epoch."""

    def fit(self, train: Any, val: Any, ctx: Context) -> Any:
        fitted = Reaching(self, (ctx.resume() or {}).get("reach", 0.0))
        for epoch in ctx.epochs(3):
            fitted.reach += 1.0
            ctx.evaluate(fitted, epoch)
            ctx.checkpoint(epoch, {"reach": fitted.reach})
        return fitted

    def changed(self, found: Detections, images: Sequence[Any]) -> Detections:
        return found

    def save(self, fitted: Any, folder: Path) -> None:
        (folder / "reach.json").write_text(json.dumps(fitted.reach))

    def load(self, folder: Path, device: str) -> Any:
        return Reaching(self, json.loads((folder / "reach.json").read_text()))


class RememberingDetector(SoundDetector):
    """Keeps what it learned in itself as well."""

    _last: Any = PrivateAttr(None)

    def fit(self, train: Any, val: Any, ctx: Context) -> Any:
        self._last = super().fit(train, val, ctx)
        return self._last

    def load(self, folder: Path, device: str) -> Any:
        self._last = super().load(folder, device)
        return self._last


class LabelsWithoutClasses(SoundDetector):
    """Tells classes apart where it should not."""

    def changed(self, found: Detections, images: Sequence[Any]) -> Detections:
        return replace(found, labels=found.labels + 1)


class LabelsBeyond(SoundDetector):
    """Counts classes from 1, and the last lies outside."""

    def changed(self, found: Detections, images: Sequence[Any]) -> Detections:
        return replace(found, labels=found.labels + 3)


class ShapesApart(SoundDetector):
    """A score too many."""

    def changed(self, found: Detections, images: Sequence[Any]) -> Detections:
        return replace(found, scores=np.append(found.scores, 0.5))


class ScoresBeyond(SoundDetector):
    """Scores are logits."""

    def changed(self, found: Detections, images: Sequence[Any]) -> Detections:
        return replace(found, scores=found.scores + 3)


class NotFinite(SoundDetector):
    """A box is not a number."""

    def changed(self, found: Detections, images: Sequence[Any]) -> Detections:
        return replace(found, boxes=found.boxes * np.nan)


class BoxesByBatch(SoundDetector):
    """Boxes are in the pixels of the batch's largest picture."""

    def changed(self, found: Detections, images: Sequence[Any]) -> Detections:
        return replace(found, boxes=found.boxes * max(image.size[1] for image in images) / 64)


class ScoresByBatch(SoundDetector):
    """Scores are shared out over the batch."""

    def changed(self, found: Detections, images: Sequence[Any]) -> Detections:
        return replace(found, scores=found.scores / len(images))


class ForgetfulDetector(SoundDetector):
    """Does not save what it learned."""

    def save(self, fitted: Any, folder: Path) -> None: ...

    def load(self, folder: Path, device: str) -> Any:
        return Reaching(self, 0.0)


class PicklingDetector(SoundDetector):
    """Saves a pickle, by another name."""

    def save(self, fitted: Any, folder: Path) -> None:
        (folder / "reach.json").write_bytes(pickle.dumps(fitted.reach))

    def load(self, folder: Path, device: str) -> Any:
        return Reaching(self, pickle.loads((folder / "reach.json").read_bytes()))


class BlindDetector(SoundDetector):
    """Finds nothing, so that there is nothing to compare."""

    def changed(self, found: Detections, images: Sequence[Any]) -> Detections:
        return Detections(np.zeros((0, 4)), np.zeros(0), np.zeros(0, int))


class DetectorThatStartsAnew(SoundDetector):
    """Trains from the start after an interruption, to the same end."""

    def fit(self, train: Any, val: Any, ctx: Context) -> Any:
        fitted = Reaching(self, 0.0)
        for epoch in (1, 2, 3):
            fitted.reach += 1.0
            ctx.evaluate(fitted, epoch)
        return fitted


class DetectorThatLosesItsWay(SoundDetector):
    """Goes on after an interruption without what it had learned."""

    def fit(self, train: Any, val: Any, ctx: Context) -> Any:
        fitted = Reaching(self, 0.0)
        for epoch in ctx.epochs(3):
            fitted.reach += 1.0
            ctx.evaluate(fitted, epoch)
            ctx.checkpoint(epoch, {})
        return fitted


_DETECTORS = (LabelsWithoutClasses, ShapesApart, ScoresBeyond, NotFinite, BoxesByBatch, ScoresByBatch)
_try(DetectorSuite, *(detector() for detector in (SoundDetector, *_DETECTORS)))
_try(DetectorSuite, LabelsBeyond(per_class=True), ForgetfulDetector(), PicklingDetector(), BlindDetector())
_try(DetectorSuite, RememberingDetector(), DetectorThatStartsAnew(), DetectorThatLosesItsWay())


# Generators.


class SoundGenerator(fgic_toys.Tint):
    """Nothing is wrong with it."""

    Made: ClassVar[type[fgic_toys.Means]] = fgic_toys.Means

    def made(self, means: Any) -> Any:
        return self.Made(means, self.resolution)


class SeedIgnored(SoundGenerator):
    """One picture a class."""

    class Made(fgic_toys.Means):
        def sample(self, labels: Sequence[int], seeds: Sequence[int]) -> Any:
            return super().sample(labels, [0] * len(seeds))


class LabelIgnored(SoundGenerator):
    """One class for all."""

    class Made(fgic_toys.Means):
        def sample(self, labels: Sequence[int], seeds: Sequence[int]) -> Any:
            super().sample(labels, seeds)
            return super().sample([0] * len(labels), seeds)


class PicturesByBatch(SoundGenerator):
    """Colours are stretched over the batch."""

    class Made(fgic_toys.Means):
        def sample(self, labels: Sequence[int], seeds: Sequence[int]) -> Any:
            made = super().sample(labels, seeds)
            return (made - made.min()) / (made.max() - made.min())


class BeyondTheRange(SoundGenerator):
    """From -1 to 1."""

    class Made(fgic_toys.Means):
        def sample(self, labels: Sequence[int], seeds: Sequence[int]) -> Any:
            return super().sample(labels, seeds) * 2 - 1


class Doubles(SoundGenerator):
    """In float64."""

    class Made(fgic_toys.Means):
        def sample(self, labels: Sequence[int], seeds: Sequence[int]) -> Any:
            return super().sample(labels, seeds).astype(np.float64)


class WrongResolution(SoundGenerator):
    """Half as large as it says."""

    class Made(fgic_toys.Means):
        def sample(self, labels: Sequence[int], seeds: Sequence[int]) -> Any:
            return super().sample(labels, seeds)[:, :, ::2, ::2]


class AnyLabel(SoundGenerator):
    """Makes pictures of classes that there are not."""

    class Made(fgic_toys.Means):
        def sample(self, labels: Sequence[int], seeds: Sequence[int]) -> Any:
            return super().sample([label % len(self.means) for label in labels], seeds)


class StrangeParents(SoundGenerator):
    """Names parents that it was not shown."""

    class Made(fgic_toys.Means):
        def parents(self, labels: Sequence[int], seeds: Sequence[int]) -> list[tuple[str, ...]]:
            return [("test-0-0",)] * len(labels)


class PicklingGenerator(SoundGenerator):
    """Saves with torch.save, by another name."""

    def save(self, fitted: Any, folder: Path) -> None:
        import torch

        torch.save(fitted.means, folder / "tint.dat")

    def load(self, folder: Path, device: str) -> Any:
        import torch

        return self.made(torch.load(folder / "tint.dat"))


class ForgetfulGenerator(SoundGenerator):
    """Saves the half of what it learned."""

    def load(self, folder: Path, device: str) -> Any:
        means = super().load(folder, device).means
        return self.made([[2 * colour / 3 for colour in mean] for mean in means])


class RememberingGenerator(SoundGenerator):
    """Keeps what it learned in itself as well."""

    _last: Any = PrivateAttr(None)

    def fit(self, train: Any, ctx: Context) -> Any:
        self._last = super().fit(train, ctx)
        return self._last

    def load(self, folder: Path, device: str) -> Any:
        self._last = super().load(folder, device)
        return self._last


class UnmeasuredAtFirst(SoundGenerator):
    """Is measured after the first epoch, not before it."""

    def fit(self, train: Any, ctx: Context) -> Any:
        fitted = self.made([[60.0 * label + 20, 90, 90] for label in range(3)])
        for epoch in ctx.epochs(3):
            ctx.evaluate(fitted, epoch)
            ctx.checkpoint(epoch, {})
        return fitted


class GeneratorThatStartsAnew(SoundGenerator):
    """Trains from the start after an interruption, to the same end."""

    def fit(self, train: Any, ctx: Context) -> Any:
        fitted = self.made([[60.0 * label + 20, 90, 90] for label in range(3)])
        for epoch in (0, 1, 2, 3):
            ctx.evaluate(fitted, epoch)
        return fitted


class GeneratorThatLosesItsWay(SoundGenerator):
    """Goes on after an interruption without what it had learned."""

    def fit(self, train: Any, ctx: Context) -> Any:
        fitted = self.made([[50.0 * label, 90, 90] for label in range(3)])
        if ctx.resume() is None:
            ctx.evaluate(fitted, 0)
        for epoch in ctx.epochs(3):
            fitted.means[0][0] += 20
            ctx.evaluate(fitted, epoch)
            ctx.checkpoint(epoch, {})
        return fitted


_GENERATORS = (SoundGenerator, SeedIgnored, LabelIgnored, PicturesByBatch, BeyondTheRange, Doubles, WrongResolution)
_MORE = (AnyLabel, StrangeParents, PicklingGenerator, ForgetfulGenerator, UnmeasuredAtFirst, RememberingGenerator)
_LAST = (GeneratorThatStartsAnew, GeneratorThatLosesItsWay)
_try(GeneratorSuite, *(generator(epochs=3) for generator in (*_GENERATORS, *_MORE, *_LAST)))


# Classifiers.


class SoundClassifier(fgic_toys.Linear):
    """Nothing is wrong with it."""


class OtherInput(SoundClassifier):
    """Builds for pictures of another size than it trains with."""

    def build(self, classes: Sequence[str]) -> FittedClassifier:
        return replace(super().build(classes), input=InputSpec(Size(12, 12)))

    def fit(self, train: Any, val: Any, ctx: Context) -> FittedClassifier:
        return replace(super().fit(train, val, ctx), input=InputSpec(Size(16, 16)))


class OneNetworkForAll(SoundClassifier):
    """Goes on with the network of the training before."""

    _kept: list[FittedClassifier] = PrivateAttr(default_factory=list)

    def build(self, classes: Sequence[str]) -> FittedClassifier:
        if not self._kept:
            self._kept.append(super().build(classes))
        return self._kept[0]


class RemembersItself(SoundClassifier):
    """Keeps in itself what it learned."""

    _fitted: FittedClassifier | None = PrivateAttr(None)

    def fit(self, train: Any, val: Any, ctx: Context) -> FittedClassifier:
        self._fitted = super().fit(train, val, ctx)
        return self._fitted


class OneLogitTooMany(SoundClassifier):
    """Keeps a class for the background."""

    def _build(self, classes: int) -> Any:
        return super()._build(4)


class Probabilities(SoundClassifier):
    """Gives probabilities for logits."""

    def _build(self, classes: int) -> Any:
        from torch import nn

        return nn.Sequential(*super()._build(classes), nn.Softmax(dim=1))


class LogitsByBatch(SoundClassifier):
    """Logits are centred over the batch."""

    def _build(self, classes: int) -> Any:
        from torch import nn

        class Centred(nn.Module):
            def forward(self, logits: Any) -> Any:
                return logits - logits.mean(dim=0)

        return nn.Sequential(*super()._build(classes), Centred())


class NoGradients(SoundClassifier):
    """Cuts the graph outside of training."""

    def _build(self, classes: int) -> Any:
        from torch import nn

        class Cut(nn.Module):
            def forward(self, logits: Any) -> Any:
                return logits if self.training else logits.detach()

        return nn.Sequential(*super()._build(classes), Cut())


class ForgetfulClassifier(SoundClassifier):
    """Does not load what it saved."""

    def load(self, folder: Path, device: str) -> FittedClassifier:
        return self.build(super().load(folder, device).classes)


class PicklingClassifier(SoundClassifier):
    """Saves with torch.save, by another name."""

    def save(self, fitted: FittedClassifier, folder: Path) -> None:
        import torch

        super().save(fitted, folder)
        torch.save(fitted.network.state_dict(), folder / "linear.weights")


class _OwnLoop(SoundClassifier):
    def train_on(self, fitted: FittedClassifier, train: Any) -> Any:
        import torch

        images = torch.stack([fitted.input.prepare(train.crop(i)) for i in range(len(train))])
        return lambda: torch.nn.functional.cross_entropy(fitted.network(images), torch.from_numpy(train.labels))


class ClassifierThatStartsAnew(_OwnLoop):
    """Trains from the start after an interruption, to the same end."""

    def fit(self, train: Any, val: Any, ctx: Context) -> FittedClassifier:
        import torch

        fitted = self.build(train.classes)
        optimizer = torch.optim.SGD(fitted.network.parameters(), lr=0.5, momentum=0.9)
        loss = self.train_on(fitted, train)
        for epoch in (1, 2, 3):
            optimizer.zero_grad()
            loss().backward()
            optimizer.step()
            ctx.evaluate(fitted, epoch)
        return fitted


class ClassifierThatLosesItsMomentum(_OwnLoop):
    """Goes on after an interruption with a new optimizer."""

    def fit(self, train: Any, val: Any, ctx: Context) -> FittedClassifier:
        import torch

        fitted = self.build(train.classes)
        if state := ctx.resume():
            fitted.network.load_state_dict(state)
        optimizer = torch.optim.SGD(fitted.network.parameters(), lr=0.5, momentum=0.9)
        loss = self.train_on(fitted, train)
        for epoch in ctx.epochs(3):
            optimizer.zero_grad()
            loss().backward()
            optimizer.step()
            ctx.evaluate(fitted, epoch)
            ctx.checkpoint(epoch, fitted.network.state_dict())
        return fitted


_CLASSIFIERS = (SoundClassifier, OtherInput, OneLogitTooMany, Probabilities, LogitsByBatch, NoGradients)
_try(ClassifierSuite, *(classifier() for classifier in _CLASSIFIERS))
_try(ClassifierSuite, RemembersItself(), OneNetworkForAll(), ForgetfulClassifier(), PicklingClassifier())
_try(ClassifierSuite, ClassifierThatStartsAnew(), ClassifierThatLosesItsMomentum())
