"""How a picture becomes a network's input."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from PIL import Image

from fgic_core import Box, InputSpec, Size


def test_it_is_a_value_that_survives_the_trip_through_json() -> None:
    spec = InputSpec(Size(32, 24), "lanczos", "center_crop", 0.75, (1, 2, 3))
    again = InputSpec.from_dict(json.loads(json.dumps(spec.to_dict())))
    assert again == spec
    assert hash(again) == hash(spec)
    assert InputSpec.from_dict({"size": [8, 8]}) == InputSpec(Size(8, 8))
    with pytest.raises(AttributeError):
        spec.fraction = 1.0  # type: ignore[misc]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"size": [0, 8]}, "has none"),
        ({"size": 8}, "no InputSpec"),
        ({"interpolation": "cubic"}, "interpolation should be one of nearest, bilinear, bicubic, lanczos"),
        ({"fit": "stretch"}, "fit should be one of letterbox, squash, center_crop"),
        ({"fraction": 0.0}, "fraction should be above 0"),
        ({"border": [0, 0, 256]}, "border should be three numbers"),
        ({"mean": 0.5}, "mean is unknown"),
    ],
)
def test_what_is_no_input_is_refused(change: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        InputSpec.from_dict({**InputSpec(Size(8, 8)).to_dict(), **change})


def test_a_picture_is_prepared_as_the_values_say_and_the_same_every_time() -> None:
    image = Image.new("RGB", (40, 20), (255, 0, 0))
    image.paste((0, 0, 255), (10, 5, 30, 15))  # the middle half of each side
    red, blue, green = (torch.tensor(colour) for colour in ((1.0, 0, 0), (0, 0, 1.0), (0, 1.0, 0)))
    boxed = InputSpec(Size(20, 20), "nearest", border=(0, 255, 0))
    pixels = boxed.prepare(image)
    assert (pixels.dtype, tuple(pixels.shape)) == (torch.float32, (3, 20, 20))
    assert torch.equal(pixels[:, 0, 0], green)
    assert torch.equal(pixels[:, 6, 1], red)
    assert torch.equal(pixels[:, 10, 10], blue)
    assert all(torch.equal(boxed.prepare(image), pixels) for _ in range(3))
    squashed = InputSpec(Size(20, 20), "nearest", "squash").prepare(image)
    assert torch.equal(squashed[:, 0, 0], red)
    assert torch.equal(squashed[:, 6, 6], blue)
    cropped = InputSpec(Size(20, 20), "nearest", "center_crop", 0.5).prepare(image)
    assert torch.equal(cropped, blue[:, None, None].expand(3, 20, 20)), "the middle half of the shorter side"


def test_a_box_lands_where_its_pixels_do() -> None:
    spec = InputSpec(Size(20, 20))
    assert spec.placement(Size(40, 20)).to_input(Box(10, 5, 30, 15)).xyxy == (5, 7.5, 15, 12.5)
