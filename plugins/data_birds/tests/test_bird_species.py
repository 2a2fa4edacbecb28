"""Species and what of a picture depends on them."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from fgic_data_birds import SyntheticBirds
from fgic_data_birds.latents import Latents, draw
from fgic_data_birds.render import render
from fgic_data_birds.species import GENUS, PARTS, VARIANTS, Code, differences, name, species_codes


def latents(seed: int, scale: float = 0.8) -> Latents:
    return draw(np.random.default_rng(seed), (scale, scale), clutter=0.5, lighting=0.5)


@pytest.mark.parametrize("family", range(5))
def test_any_two_of_eight_species_differ_in_one_or_two_parts(family: int) -> None:
    for one, other in combinations(species_codes(8, 1, family), 2):
        assert len(differences(one, other)) in (1, 2)


@pytest.mark.parametrize("differing_parts", [1, 2])
@pytest.mark.parametrize("family", range(5))
def test_two_hundred_species_are_distinct_and_each_has_a_near_relative(family: int, differing_parts: int) -> None:
    codes = species_codes(200, differing_parts, family)
    assert len({name(code) for code in codes}) == len(set(codes)) == 200
    for index, code in enumerate(codes):
        kind = codes[index // GENUS * GENUS]
        if code != kind:
            assert len(differences(code, kind)) == differing_parts
    assert all(variant in VARIANTS[part] for code in codes for part, variant in zip(VARIANTS, code, strict=True))


def test_more_species_leave_the_first_as_they_are_and_another_family_has_others() -> None:
    assert species_codes(200)[:8] == species_codes(8)
    assert species_codes(8, family=1) != species_codes(8)
    assert SyntheticBirds(num_classes=20).classes()[:5] == SyntheticBirds(num_classes=5).classes()


def test_every_part_tells_some_species_of_a_genus_apart() -> None:
    codes = species_codes(GENUS)
    assert {part for code in codes[1:] for part in differences(code, codes[0])} == set(VARIANTS)


def test_a_name_says_what_the_species_has() -> None:
    assert (
        name(("hooked", "none", "barred", "forked", "masked", "red")) == "Masked Red-footed Barred Fork-tailed Hookbill"
    )
    assert name(("cone", "none", "plain", "short", "dark", "dark")) == "Conebill"


def _one_part_pairs() -> list[tuple[str, Code, Code]]:
    base = tuple(variants[0] for variants in VARIANTS.values())
    found = []
    for place, (part, variants) in enumerate(VARIANTS.items()):
        for variant in variants[1:]:
            found.append((part, base, (*base[:place], variant, *base[place + 1 :])))
    return found


@pytest.mark.parametrize(("part", "one", "other"), _one_part_pairs())
def test_species_drawn_alike_differ_in_their_differing_part_alone(part: str, one: Code, other: Code) -> None:
    number = PARTS.index(part) + 1
    for seed in range(2):
        a, b = (render(code, latents(seed), 96) for code in (one, other))
        changed = np.abs(a.image.astype(int) - b.image.astype(int)).max(-1) > 0
        region = _grown((a.mask == number) | (b.mask == number), 2)
        assert changed.any()
        assert not (changed & ~region).any()


def _grown(mask: np.ndarray, pixels: int) -> np.ndarray:
    for _ in range(pixels):
        padded = np.pad(mask, 1)
        height, width = mask.shape
        mask = np.any([padded[y : y + height, x : x + width] for y in range(3) for x in range(3)], axis=0)
    return mask


def test_every_difference_of_eight_species_shows_at_the_default_size() -> None:
    """At least a few pixels change strongly even at the smallest default scale."""
    images = [render(code, latents(3, scale=0.45), 96).image.astype(int) for code in species_codes(8)]
    for a, b in combinations(images, 2):
        assert (np.abs(a - b).max(-1) > 40).sum() >= 4


def test_left_and_right_are_mirror_images_of_pose() -> None:
    code = species_codes(1)[0]
    right, left = (render(code, replace(latents(0), facing=way), 64) for way in ("right", "left"))
    assert np.array_equal(right.image, left.image[:, ::-1])
    assert np.array_equal(right.mask, left.mask[:, ::-1])
    (beak, tail) = (right.location(PARTS.index(part) + 1) for part in ("beak", "tail"))
    assert beak is not None
    assert tail is not None
    assert beak[0] > tail[0]
