"""Latent vectors, augmentation, and the import of MMagic."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest
import torch
from fgic_gen_biggan._augment import CUTOUT, SHIFT, augment, color, cutout, translation
from fgic_gen_biggan._network import draw_noise


@pytest.mark.parametrize("bound", [0.3, 1.0, 2.0])
def test_truncated_noise_is_normal_within_its_bound_and_not_pinned_to_it(bound: float) -> None:
    drawn = torch.cat([draw_noise(seed, 128, bound) for seed in range(400)]).double().numpy()
    assert np.abs(drawn).max() <= bound
    density = math.exp(-(bound**2) / 2) / math.sqrt(2 * math.pi)
    variance = 1 - 2 * bound * density / math.erf(bound / math.sqrt(2))  # of a doubly truncated normal
    assert abs(drawn.mean()) < 5 * math.sqrt(variance / len(drawn))
    assert drawn.var() == pytest.approx(variance, rel=0.02)
    near = (np.abs(drawn) > 0.98 * bound).mean()
    assert near < 1.5 * 0.02 * bound * 2 * density / math.erf(bound / math.sqrt(2)) + 0.01


def test_without_a_bound_noise_is_standard_normal_and_the_seeds_own() -> None:
    drawn = torch.cat([draw_noise(seed, 128, None) for seed in range(400)])
    assert drawn.mean().item() == pytest.approx(0, abs=0.02)
    assert drawn.std().item() == pytest.approx(1, abs=0.02)
    assert torch.equal(draw_noise(7, 16, None), draw_noise(7, 16, None))
    assert not torch.equal(draw_noise(7, 16, None), draw_noise(8, 16, None))
    before = torch.get_rng_state()
    draw_noise(2**63 - 1, 16, 0.5)
    assert torch.equal(before, torch.get_rng_state())


@pytest.fixture
def pictures() -> torch.Tensor:
    return torch.rand(16, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1


def test_augmentation_is_nothing_without_a_policy(pictures: torch.Tensor) -> None:
    assert augment(pictures, ()) is pictures


@pytest.mark.parametrize("policy", ["color", "translation", "cutout"])
def test_gradients_go_through_and_pictures_are_changed_each_by_itself(policy: str, pictures: torch.Tensor) -> None:
    torch.manual_seed(0)
    leaf = pictures.clone().requires_grad_()
    changed = augment(leaf, [policy])
    assert changed.shape == pictures.shape
    assert not torch.equal(changed, pictures)
    (grad,) = torch.autograd.grad(changed[3].sum(), leaf)
    assert grad[3].abs().sum() > 0
    assert grad[[0, 1, 2, *range(4, 16)]].abs().sum() == 0


def test_translation_moves_by_whole_pixels_and_brings_in_zeros(pictures: torch.Tensor) -> None:
    torch.manual_seed(1)
    moved = translation(pictures)
    most = round(32 * SHIFT)
    seen = set()
    for before, after in zip(pictures, moved, strict=True):
        found = []
        for y in range(-most, most + 1):
            for x in range(-most, most + 1):
                expected = torch.zeros_like(before)
                rows, columns = (slice(max(-s, 0), 32 + min(-s, 0)) for s in (y, x))
                into = (slice(max(s, 0), 32 + min(s, 0)) for s in (y, x))
                expected[:, next(into), next(into)] = before[:, rows, columns]
                if torch.equal(expected, after):
                    found.append((y, x))
        assert len(found) == 1
        seen.add(found[0])
    assert len(seen) > 8


def test_cutout_takes_a_square_away_and_leaves_the_rest(pictures: torch.Tensor) -> None:
    torch.manual_seed(2)
    cut = cutout(pictures)
    gone = (cut == 0).all(dim=1) & (pictures != 0).all(dim=1)
    assert torch.equal(cut.permute(0, 2, 3, 1)[~gone], pictures.permute(0, 2, 3, 1)[~gone])
    side = round(32 * CUTOUT)
    for hole in gone:
        rows, columns = hole.any(1).sum().item(), hole.any(0).sum().item()
        assert hole.sum() == rows * columns
        assert side // 2 <= rows <= side
        assert side // 2 <= columns <= side


def test_colour_changes_keep_what_a_picture_shows(pictures: torch.Tensor) -> None:
    torch.manual_seed(3)
    changed = color(pictures)
    for before, after in zip(pictures.mean(1).flatten(1), changed.mean(1).flatten(1), strict=True):
        assert torch.corrcoef(torch.stack([before, after]))[0, 1] > 0.999  # grey values, up to contrast and brightness


def test_mmagic_comes_without_its_other_editors_and_leaves_no_stand_ins() -> None:
    code = (
        "import sys\nfrom fgic_gen_biggan._mmagic import import_mmagic\nparts = import_mmagic()\n"
        "assert parts.BigGAN.__module__ == 'mmagic.models.editors.biggan.biggan'\n"
        "assert 'mmagic.models' not in sys.modules and 'mmagic.models.editors' not in sys.modules\n"
        "print([n for n in ('diffusers', 'transformers', 'mediapipe', 'pandas', 'tensorboard') if n in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
    assert done.stderr == ""


def test_the_class_is_read_without_torch() -> None:
    code = (
        "import sys, fgic_gen_biggan\n"
        "print([n for n in ('torch', 'numpy', 'mmengine', 'mmagic') if n in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
