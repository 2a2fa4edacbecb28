"""The data set: species, splits, files."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, field_validator

from fgic_core import Box, Context, DatasetReader, ObjectBox, Part, Sample, Size, Split
from fgic_data_birds.species import PARTS, VARIANTS, Code, describe, name, slug, species_codes

if TYPE_CHECKING:
    from fgic_data_birds.latents import Latents
    from fgic_data_birds.render import Rendering

Share = Annotated[float, Field(ge=0.1, le=1.0, allow_inf_nan=False)]


class SyntheticBirds(DatasetReader):
    """Birds drawn on the spot, whose species differ in one or two parts: beak, crest, wing pattern, tail, eye, feet.

    Pose, size, place, light, plumage and background vary from picture to picture and tell nothing of the class. Every
    picture has its box, part locations and part mask; ``birds.json`` beside the pictures holds each species' parts
    and each picture's true factors. The species depend on ``family`` and not on the seed, so that another seed gives
    another sample of the same task. In the spirit of FunnyBirds (Hesse, Schaub-Meyer and Roth, ICCV 2023).
    """

    num_classes: int = Field(8, ge=2, le=200, description="How many species; more leave the first ones as they are.")
    train_per_class: int = Field(30, ge=1, le=100_000, description="Train pictures of each species.")
    test_per_class: int = Field(15, ge=0, le=100_000, description="Test pictures of each species.")
    size: int = Field(96, ge=32, le=512, description="Width and height of the pictures in pixels.")
    object_scale: tuple[Share, Share] = Field(
        (0.45, 0.9),
        description="Smallest and largest length of the bird as a share of the picture's side, for a beak and tail of "
        "middling length.",
    )
    clutter: float = Field(
        0.5,
        ge=0,
        le=1,
        allow_inf_nan=False,
        description="How many twigs, leaves, berries, flowers and bird-coloured pods there are.",
    )
    lighting: float = Field(
        0.5,
        ge=0,
        le=1,
        allow_inf_nan=False,
        description="How much the light's brightness, colour and hardness vary.",
    )
    differing_parts: Literal[1, 2] = Field(
        1,
        description="In how many parts a species differs from its genus' type. With 1, any two of the eight species "
        "of a genus differ in one or two parts.",
    )
    family: int = Field(0, ge=0, le=9999, description="Which species there are: another number gives others.")

    @field_validator("object_scale")
    @classmethod
    def _in_order(cls, scale: tuple[float, float]) -> tuple[float, float]:
        if scale[0] > scale[1]:
            raise ValueError(f"the smallest length {scale[0]} is above the largest {scale[1]}")
        return scale

    def codes(self) -> tuple[Code, ...]:
        """The variants of the parts of each class, in the order of `fgic_data_birds.species.VARIANTS`."""
        return _codes(self.num_classes, self.differing_parts, self.family)

    def classes(self) -> Sequence[str]:
        return [name(code) for code in self.codes()]

    def part_names(self) -> Sequence[str]:
        return PARTS

    def notes(self) -> Sequence[str]:
        return (
            f"Synthetic pictures: procedural birds of family {self.family}; no number made from them holds for "
            "photographs.",
        )

    def samples(self, ctx: Context) -> Iterator[Sample]:
        codes = self.codes()
        counts: dict[Split, int] = {"train": self.train_per_class, "test": self.test_per_class}
        wanted = [
            (split, label, index)
            for split, count in counts.items()
            for label in range(len(codes))
            for index in range(count)
        ]
        pictures: dict[str, dict[str, Any]] = {}
        for split, label, index in ctx.track(wanted, "draw birds"):
            sample, latents = self._picture(ctx, codes[label], split, label, index)
            pictures[sample.id] = asdict(latents)
            yield sample
        document = {
            "format": 1,
            "parts": list(PARTS),
            "variants": {part: list(variants) for part, variants in VARIANTS.items()},
            "species": describe(codes),
            "pictures": pictures,
        }
        (ctx.folder / "birds.json").write_text(json.dumps(document) + "\n", encoding="utf-8")

    def _picture(self, ctx: Context, code: Code, split: Split, label: int, index: int) -> tuple[Sample, Latents]:
        """Draw one bird, write its files, and say what is known of it."""
        from PIL import Image

        from fgic_data_birds.latents import draw
        from fgic_data_birds.render import render

        latents = draw(ctx.rng("birds", split, label, index), self.object_scale, self.clutter, self.lighting)
        rendering = render(code, latents, self.size)
        id = f"{split}/{slug(name(code))}/{index:03d}"
        for kind, pixels in (("images", rendering.image), ("masks", rendering.mask)):
            file = ctx.folder / kind / f"{id}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(file)
        sample = Sample(
            id=id,
            path=f"images/{id}.png",
            label=label,
            split=split,
            size=Size(self.size, self.size),
            boxes=(ObjectBox(Box(*map(float, rendering.box)), label=label),),
            parts=tuple(_parts(rendering)),
            part_mask=f"masks/{id}.png",
        )
        return sample, latents


@lru_cache(maxsize=8)
def _codes(count: int, differing_parts: int, family: int) -> tuple[Code, ...]:
    return tuple(species_codes(count, differing_parts, family))


def _parts(rendering: Rendering) -> Iterator[Part]:
    """Every part; one that is not there, or hidden, stands at (0, 0) and is not visible."""
    for number, part in enumerate(PARTS, 1):
        place = rendering.location(number)
        yield Part(part, *(place or (0.0, 0.0)), visible=place is not None)
