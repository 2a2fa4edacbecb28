"""Options that do not go together are refused when the spec is checked, with what would do."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from fgic_gen_diffusers import DiffusionGenerator


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"resolution": 70}, "resolution should be a multiple of 8 for 4 multipliers .* such as 64 or 72; 70 is not"),
        ({"resolution": 20, "multipliers": [1, 1, 1, 1, 1]}, "a multiple of 16 for 5 multipliers .* such as 16 or 32"),
        ({"resolution": 32, "multipliers": [1] * 7}, "a multiple of 64 .* such as 64; 32 is not"),
        ({"drop_labels": 0}, "guidance_scale should be 1 with drop_labels: 0"),
        ({"guidance_scale": 0.5}, "guidance_scale"),
        ({"base_channels": 20}, "base_channels"),
        ({"multipliers": []}, "multipliers"),
        ({"multipliers": [0, 1]}, "multipliers"),
        ({"sampler": "dpm"}, "sampler"),
        ({"sampling_steps": 0}, "sampling_steps"),
        ({"ema_decay": 1.0}, "ema_decay"),
    ],
)
def test_bad_options_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DiffusionGenerator.model_validate(options)


@pytest.mark.parametrize("side", [16, 24, 48, 64, 256])
def test_the_defaults_go_with_every_multiple_of_eight(side: int) -> None:
    assert DiffusionGenerator(resolution=side).resolution == side


def test_a_pickle_is_refused_as_weights(tmp_path: Path) -> None:
    (tmp_path / "model.pth").write_bytes(b"")
    with pytest.raises(ValueError, match=r"should be a .safetensors file; .pth files are pickles"):
        DiffusionGenerator(weights=tmp_path / "model.pth")


def test_without_guidance_no_label_needs_be_dropped(tiny: Callable[..., DiffusionGenerator]) -> None:
    assert tiny(drop_labels=0, guidance_scale=1).drop_labels == 0


def test_checking_a_spec_imports_neither_torch_nor_diffusers() -> None:
    code = "import sys, fgic_gen_diffusers as g; g.DiffusionGenerator(); print({'torch', 'diffusers'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
