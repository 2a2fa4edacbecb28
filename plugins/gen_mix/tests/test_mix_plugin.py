from __future__ import annotations

import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
from fgic_gen_mix import MixGenerator

from fgic_core import Box, Dataset, ObjectBox, Registry, Sample
from fgic_core.data.dataset import DatasetWriter, Header
from fgic_core.testing.data import tiny_context

DATA = Path(os.environ.get("FGIC_REAL_DATA", Path(__file__).parents[3] / "../shared/data")).resolve()
DOGS = DATA / "stanford_dogs"


def test_it_is_installed_under_its_name():
    assert Registry().get("generator/mix") is MixGenerator


def test_importing_it_imports_nothing_heavy():
    code = "import sys, fgic_gen_mix; print([m for m in ('torch', 'numpy', 'pyarrow', 'PIL') if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def real_box(file: Path) -> Box:
    edges = ET.parse(file).getroot().find("object/bndbox")
    assert edges is not None
    return Box(*(float(edges.findtext(name, "")) for name in ("xmin", "ymin", "xmax", "ymax")))


@pytest.mark.skipif(not (DOGS / "Annotation").is_dir(), reason=f"no real data at {DATA} (set FGIC_REAL_DATA)")
def test_real_dogs_are_pasted_whole_over_others(tmp_path: Path) -> None:
    breeds = sorted(folder.name for folder in (DOGS / "Images").iterdir())[:3]
    samples = []
    for label, breed in enumerate(breeds):
        for file in sorted((DOGS / "Images" / breed).iterdir())[:6]:
            box = ObjectBox(real_box(DOGS / "Annotation" / breed / file.stem), label)
            path = file.relative_to(DOGS).as_posix()
            samples.append(Sample(id=path, path=path, label=label, split="train", boxes=(box,)))
    with DatasetWriter(tmp_path, Header(tuple(breeds), {"dogs": DOGS})) as writer:
        writer.write_samples(samples, "dogs")
    component = MixGenerator(resolution=96, scale_jitter=0.0)
    mixer = component.fit(Dataset.open(tmp_path), tiny_context(tmp_path))
    labels, seeds = [0, 1, 2] * 5, list(range(15))
    pictures = mixer.sample(labels, seeds)
    own = {one.id: one.label for one in samples}
    assert [own[first] for first, _ in mixer.parents(labels, seeds)] == labels
    assert pictures.std(axis=(1, 2, 3)).min() > 0.05
    backgrounds = {
        seed: component.prepare(mixer.data.crop(mixer.draw(label, seed).second)).numpy()
        for label, seed in zip(labels, seeds, strict=True)
    }
    assert all(np.abs(pictures[row] - backgrounds[row]).mean() > 0.02 for row in seeds)
