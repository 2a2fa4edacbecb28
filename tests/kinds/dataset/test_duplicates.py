from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageFilter

from fgic_core.kinds.dataset.near_duplicates import NEAR, _count_bits, find_exact, find_near, perceptual_hash


def brute_force(hashes: np.ndarray) -> set[tuple[int, int]]:
    return {
        (a, b)
        for a in range(len(hashes))
        for b in range(a + 1, len(hashes))
        if bin(int(hashes[a] ^ hashes[b])).count("1") <= NEAR
    }


def flip(value: int, bits: list[int]) -> int:
    for bit in bits:
        value ^= 1 << int(bit)
    return value


def test_near_pairs_are_those_of_a_brute_force_search() -> None:
    rng = np.random.default_rng(0)
    hashes = [int(value) for value in rng.integers(0, 2**63, 60)]
    for base in hashes[:30]:  # planted at every distance from 1 to 9, bits anywhere
        hashes.append(flip(base, rng.choice(64, rng.integers(1, 10), replace=False).tolist()))
    values = np.array(hashes, np.uint64)
    pairs = find_near(values, np.zeros(len(values), np.int64))
    found = list(zip(pairs.a.tolist(), pairs.b.tolist(), strict=True))
    assert len(found) == len(set(found))
    assert {tuple(sorted(pair)) for pair in found} == brute_force(values)
    assert brute_force(values)
    assert [bin(hashes[a] ^ hashes[b]).count("1") for a, b in found] == pairs.distance.tolist()


def test_a_group_of_equal_files_gives_one_pair_less_than_files_train_first() -> None:
    digests = np.array([b"x", b"y", b"x", b"x", b"z", b"y"])
    split = np.array([2, 0, 0, 2, 0, 0])  # test, train, train, test, train, train
    pairs = find_exact(digests, split)
    assert sorted(zip(pairs.a.tolist(), pairs.b.tolist(), strict=True)) == [(1, 5), (2, 0), (2, 3)]
    assert pairs.distance.tolist() == [0, 0, 0]


def test_ten_thousand_equal_hashes_do_not_give_their_square() -> None:
    hashes = np.append(np.full(10_000, 7, np.uint64), np.uint64(flip(7, [40])))
    pairs = find_near(hashes, np.zeros(10_001, np.int64))
    assert len(pairs.a) == 10_000
    assert pairs.distance.max() == 1


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_rows_have_no_duplicates(count: int) -> None:
    assert len(find_exact(np.full(count, b"x"), np.zeros(count, int)).a) == 0
    assert len(find_near(np.ones(count, np.uint64), np.zeros(count, int)).a) == 0


def test_bits_are_counted_right() -> None:
    values = np.array([0, 1, 2**63, 2**64 - 1, 0xF0F0], np.uint64)
    assert _count_bits(values).tolist() == [0, 1, 1, 64, 8]


def textured(seed: int) -> Image.Image:
    noise = np.random.default_rng(seed).integers(0, 256, (24, 24, 3)).astype(np.uint8)
    return Image.fromarray(noise).resize((160, 120), Image.Resampling.BICUBIC).filter(ImageFilter.GaussianBlur(2))


def test_a_picture_saved_again_smaller_is_near_and_another_one_is_not() -> None:
    hashes = [perceptual_hash(image) for image in (textured(1), textured(1).resize((80, 60)), textured(2))]
    assert all(value is not None for value in hashes)
    near, far = (bin(hashes[0] ^ other).count("1") for other in hashes[1:])  # type: ignore[operator]
    assert near <= NEAR < far


def test_a_flat_picture_has_no_hash() -> None:
    assert perceptual_hash(Image.new("RGB", (50, 50), (120, 120, 120))) is None
