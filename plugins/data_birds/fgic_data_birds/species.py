"""Species: which variants of the six parts exist, and how the classes are made of them."""

from __future__ import annotations

import random
from collections.abc import Sequence

#: The parts that tell species apart and their variants. The first variant of each is the unmarked one: a species'
#: name is silent about it (the beak is always named).
VARIANTS: dict[str, tuple[str, ...]] = {
    "beak": ("cone", "hooked", "needle", "spoon"),
    "crest": ("none", "tuft", "spikes", "crown"),
    "wing": ("plain", "barred", "spotted", "edged", "patched"),
    "tail": ("short", "fan", "forked", "long"),
    "eye": ("dark", "ringed", "masked"),
    "feet": ("dark", "yellow", "red"),
}

#: Every part that masks and part locations know, in the order of the mask's values from 1.
PARTS = ("body", *VARIANTS)

#: A species: one variant for each part, in the order of `VARIANTS`.
Code = tuple[str, ...]

#: Species in a genus. Those of one genus differ from its first species, the type, in one (or two) parts.
GENUS = 8

_NAMES = {
    "cone": "Conebill", "hooked": "Hookbill", "needle": "Needlebill", "spoon": "Spoonbill",
    "tuft": "Tufted", "spikes": "Spiky", "crown": "Crowned",
    "barred": "Barred", "spotted": "Spotted", "edged": "Edged", "patched": "Patched",
    "fan": "Fan-tailed", "forked": "Fork-tailed", "long": "Long-tailed",
    "ringed": "Ringed", "masked": "Masked",
    "yellow": "Yellow-footed", "red": "Red-footed",
}  # fmt: skip
#: Parts that are mostly unmarked in a type, so that names stay short.
_RARELY_MARKED = ("crest", "eye", "feet")
_NAME_ORDER = ("eye", "feet", "crest", "wing", "tail", "beak")


def species_codes(count: int, differing_parts: int = 1, family: int = 0) -> list[Code]:
    """The codes of the first ``count`` species of a family, all different.

    Species come in genera of `GENUS`. Within a genus every species differs from the type in exactly
    ``differing_parts`` parts, so that any two of its species differ in at most twice as many; types of different
    genera differ in three parts or more. More species of the same family leave the first ones as they are.

    Raises:
        ValueError: the parts do not give that many species.
    """
    rng = random.Random(f"birds {family} {differing_parts}")  # noqa: S311 (no secret)
    codes: list[Code] = []
    types: list[Code] = []
    misses = 0
    while len(codes) < count:
        genus = _genus(rng, differing_parts)
        clash = any(code in codes for code in genus) or any(len(differences(genus[0], known)) < 3 for known in types)
        if clash:
            misses += 1
            if misses > 20_000:
                raise ValueError(f"the parts give {len(codes)} species in genera that stand apart, not {count}")
            continue
        types.append(genus[0])
        codes += genus
    return codes[:count]


def _pick(rng: random.Random, items: Sequence[str]) -> str:
    """One of the items, by `random()` alone: Python promises its numbers for all versions, and so class names stay."""
    return items[int(rng.random() * len(items))]


def _genus(rng: random.Random, differing_parts: int) -> list[Code]:
    """A type and its relatives. Parts take turns, so that every part is what tells some species of the genus."""
    kind = [
        variants[0] if part in _RARELY_MARKED and rng.random() < 0.7 else _pick(rng, variants)
        for part, variants in VARIANTS.items()
    ]
    genus: list[Code] = [tuple(kind)]
    order: list[int] = []
    while len(genus) < GENUS:
        if len(order) < differing_parts:
            left = list(range(len(VARIANTS)))
            while left:
                order.append(left.pop(int(rng.random() * len(left))))
        changed, order = order[:differing_parts], order[differing_parts:]
        code = list(kind)
        for index in changed:
            variants = list(VARIANTS.values())[index]
            code[index] = _pick(rng, [variant for variant in variants if variant != kind[index]])
        if len(set(changed)) == differing_parts and tuple(code) not in genus:
            genus.append(tuple(code))
    return genus


def differences(one: Code, other: Code) -> list[str]:
    """The parts in which two species differ."""
    return [part for part, a, b in zip(VARIANTS, one, other, strict=True) if a != b]


def name(code: Code) -> str:
    """The species' name, which tells its code: ``Masked Barred Fork-tailed Hookbill``. No two codes share one."""
    variant = dict(zip(VARIANTS, code, strict=True))
    words = [_NAMES.get(variant[part], "") for part in _NAME_ORDER if variant[part] != "dark"]
    return " ".join(word for word in words if word)


def slug(name: str) -> str:
    """A class name as a folder's name."""
    return name.lower().replace(" ", "-")


def describe(codes: Sequence[Code]) -> list[dict[str, object]]:
    """Each species as a JSON-able record: name, its parts' variants, and the number of its genus."""
    return [
        {"class": index, "name": name(code), "genus": index // GENUS, **dict(zip(VARIANTS, code, strict=True))}
        for index, code in enumerate(codes)
    ]
