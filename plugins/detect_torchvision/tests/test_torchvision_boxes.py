"""What detector/torchvision learns from: boxes, labels, flips, batches."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from fgic_detect_torchvision import TorchvisionDetector
from fgic_detect_torchvision._data import Objects, Pictures, lists, objects, widened
from fgic_detect_torchvision._network import build
from fgic_detect_torchvision._training import learnable

from fgic_core import Box, Dataset, ObjectBox, PluginError, Sample, Size
from fgic_core.kit.batches import in_batches, loader, shuffled
from fgic_core.steps.context import StepContext

Make = Callable[..., TorchvisionDetector]
MakeContext = Callable[..., StepContext]
Write = Callable[..., Dataset]


def sample(*boxes: ObjectBox, label: int = 1, name: str = "a") -> Sample:
    return Sample(id=name, path=f"{name}.png", label=label, split="train", boxes=boxes)


def some_objects() -> Objects:
    return Objects(np.array([[3, 4, 20, 30], [0, 0, 48, 40.5]]), np.array([1, 2]))


def test_boxes_of_crowds_of_another_detector_and_without_area_are_not_learnt() -> None:
    found = objects(
        sample(
            ObjectBox(Box(1, 2, 30, 20)),
            ObjectBox(Box(0, 0, 40, 40), crowd=True),
            ObjectBox(Box(5, 5, 9, 9), score=0.9, origin="predicted:detector/other"),
            ObjectBox(Box(7, 7, 7, 20)),
        ),
        per_class=False,
    )
    assert found.boxes.tolist() == [[1, 2, 30, 20]]


def test_labels_start_at_one_and_an_unlabelled_box_has_its_samples_label() -> None:
    row = sample(ObjectBox(Box(0, 0, 9, 9), 0), ObjectBox(Box(0, 0, 9, 9), None), label=1)
    assert objects(row, per_class=True).labels.tolist() == [1, 2]
    assert objects(row, per_class=False).labels.tolist() == [1, 1]


def test_flipped_twice_is_the_identity_and_once_mirrors_the_edges() -> None:
    once = some_objects().flipped(48)
    assert once.boxes.tolist() == [[28, 4, 45, 30], [0, 0, 48, 40.5]]
    assert np.array_equal(once.flipped(48).boxes, some_objects().boxes)


def test_boxes_are_cut_to_the_picture_and_slivers_left_out() -> None:
    found = Objects(np.array([[-5, 10, 60, 20], [48.2, 0, 60, 9], [1, 1, 1.1, 30]]), np.array([1, 2, 3]))
    inside = found.inside(Size(48, 40))
    assert inside.boxes.tolist() == [[0, 10, 48, 20]]
    assert inside.labels.tolist() == [1]


def test_a_flipped_picture_has_its_box_where_the_object_is(rectangles: Write, tiny: Make, context: MakeContext) -> None:
    data = rectangles(6)
    found = [objects(row, False) for row in data]
    for flip in (0.0, 1.0):
        for index, (image, target) in enumerate(Pictures(data, found, flip, 53, context(), 1)):
            x1, y1, x2, y2 = (int(edge) for edge in target["boxes"][0])
            colour = torch.tensor([230, 60, 60] if index % 2 == 0 else [60, 60, 230]) / 255
            inside = (image - colour.view(3, 1, 1)).abs().amax(0) < 0.01
            assert inside[y1:y2, x1:x2].all()
            assert inside.sum() == (y2 - y1) * (x2 - x1)


def test_a_flip_depends_on_seed_epoch_and_row_and_not_on_the_batch_size(
    rectangles: Write, tiny: Make, context: MakeContext
) -> None:
    data = rectangles(8)
    found = [objects(row, False) for row in data]

    def seen(epoch: int, batch_size: int, workers: int = 0) -> torch.Tensor:
        ctx = context()
        ctx.workers = workers
        pictures = Pictures(data, found, 0.5, 53, ctx, epoch)
        batches = loader(pictures, shuffled(len(pictures), batch_size, ctx, epoch), ctx, epoch, lists)
        return torch.stack([target["boxes"][0] for _, targets in batches for target in targets])

    assert torch.equal(seen(1, 2), seen(1, 5))
    assert torch.equal(seen(1, 2), seen(1, 2, workers=1))
    assert not torch.equal(seen(1, 2), seen(2, 2))


def test_loading_leaves_the_global_generator_alone(rectangles: Write, tiny: Make, context: MakeContext) -> None:
    data, ctx = rectangles(4), context()
    before = torch.get_rng_state()
    pictures = Pictures(data, [objects(row, False) for row in data], 0.5, 53, ctx, 1)
    list(loader(pictures, shuffled(len(pictures), 4, ctx, 1), ctx, 1, lists))
    assert torch.equal(torch.get_rng_state(), before)


def test_a_picture_left_over_joins_the_batch_before_it() -> None:
    assert [len(batch) for batch in in_batches(range(9), 4)] == [4, 5]
    assert [len(batch) for batch in in_batches(range(10), 4)] == [4, 4, 2]
    assert [len(batch) for batch in in_batches(range(3), 1)] == [1, 1, 1]
    assert in_batches([7], 4) == [[7]]


@pytest.mark.parametrize(("shape", "wide"), [((40, 48), (40, 48)), ((1, 4000), (97, 4000)), ((900, 2), (900, 22))])
def test_a_picture_too_thin_to_resize_is_extended_to_the_right_or_below(
    shape: tuple[int, int], wide: tuple[int, int]
) -> None:
    image = torch.rand(3, *shape)
    extended = widened(image, 1333)
    assert extended.shape[-2:] == wide
    assert torch.equal(extended[:, : shape[0], : shape[1]], image)


def test_pictures_with_crowds_alone_are_left_out_and_said(write: Write, tiny: Make, context: MakeContext) -> None:
    crowd = ObjectBox(Box(2, 2, 30, 30), 1, crowd=True)
    data = write([sample(crowd, name="a"), sample(ObjectBox(Box(4, 4, 30, 30), 1), crowd, name="b")])
    detector, ctx = tiny(), context()
    kept, found = learnable(data, detector, build(detector, "ab", ctx), ctx)
    assert kept.ids == ["b"]
    assert [one.boxes.tolist() for one in found] == [[[4, 4, 30, 30]]]
    assert ctx.warnings == ["train pictures without a box of a single object were left out: 1"]


def test_nothing_to_learn_from_is_said(write: Write, tiny: Make, context: MakeContext) -> None:
    data = write([sample(ObjectBox(Box(2, 2, 30, 30), 1, crowd=True))])
    with pytest.raises(PluginError, match="none of the 1 train pictures has an annotated box"):
        tiny().fit(data, data, context())


def test_what_is_not_to_be_learnt_leaves_the_weights_as_they_are_without_it(
    write: Write, tiny: Make, context: MakeContext
) -> None:
    crowd = ObjectBox(Box(0, 0, 48, 20), 0, crowd=True)
    predicted = ObjectBox(Box(20, 20, 40, 40), 0, score=0.9, origin="predicted:detector/other")
    found = []
    for name, more in (("plain", ()), ("poisoned", (crowd, predicted))):
        data = write([sample(ObjectBox(Box(4, 4, 30, 30), 1), *more, name=row) for row in "ab"], name)
        found.append(tiny(per_class=True).fit(data, data, context()).network.state_dict())
    assert all(torch.equal(value, found[1][name]) for name, value in found[0].items())
