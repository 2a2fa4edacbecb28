"""An option that names a component, through the command line: what is computed, kept, opened again, and said."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fgic_core.cli.app import run
from fgic_core.pipeline import Pipeline, Run

#: A classifier that no attack is part of, and an attack that knows no classifier.
HARDENED = '''
from pydantic import Field

from fgic_core import Attacker, Classifier, ComponentOption, FittedClassifier, InputFile, InputSpec, Size, UseOnly


class Hardened(Classifier):
    """Softmax regression on pictures that an attack made hard."""

    attack: ComponentOption[Attacker] = Field(description="Makes the pictures hard.")
    note: dict[str, object] = Field({}, description="Says what it likes.")
    judge: UseOnly[ComponentOption[Attacker] | None] = Field(None, description="Plays no part in fit.")

    def build(self, classes):
        from torch import nn

        network = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, len(classes)))
        return FittedClassifier(network, InputSpec(Size(16, 16)), tuple(classes))

    def fit(self, train, val, ctx):
        import torch

        fitted = self.build(train.classes)
        optimizer = torch.optim.SGD(fitted.network.parameters(), lr=0.5)
        images = torch.stack([fitted.input.prepare(train.crop(row)) for row in range(len(train))])
        labels, eps = torch.from_numpy(train.labels), max(self.attack.eps)
        for epoch in ctx.epochs(2):
            hard = self.attack.perturb(fitted.network.eval(), images, labels, eps, ctx.generator("attack", epoch))
            ctx.log(epoch, moved=(hard - images).abs().max().item())
            loss = torch.nn.functional.cross_entropy(fitted.network.train()(hard), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            ctx.evaluate(fitted, epoch)
        return fitted
'''
NUDGE = '''
from pydantic import Field

from fgic_core import Attacker, ComponentOption, InputFile
from nudge_helper import direction


class Nudge(Attacker):
    """All pixels brighter."""

    table: InputFile | None = Field(None, description="A file.")
    inner: ComponentOption[Attacker] | None = Field(None, description="Another one first.")

    def draws(self):
        return False

    def perturb(self, network, images, labels, eps, generator):
        if self.inner is not None:
            images = self.inner.perturb(network, images, labels, eps / 2, generator)
            eps /= 2
        return (images + direction() * eps).clamp(0, 1).detach()
'''
HELPER = "def direction():\n    return 1.0\n"
SPEC = """\
version: 1
name: hard
steps:
  dots: {uses: dataset/dots}
  net:
    uses: classifier/hardened
    with:
      attack:
        uses: attacker/nudge
        with: {eps: [8/255], table: tables/one.txt, inner: {uses: attacker/pgd, with: {steps: 2}}}
      note: {uses: sugar, with: [milk]}
"""
Say = Callable[..., dict[str, str]]


@pytest.fixture(scope="module")
def project(module_toys: Path) -> Iterator[Path]:
    """A project whose spec was run, in a worker process, by a classifier and an attack of two packages."""
    site, place = module_toys, module_toys.parent
    with pytest.MonkeyPatch.context() as patch:
        for name, source, points in (
            ("fgic-hardened", HARDENED, "[fgic.classifier]\nhardened = fgic_hardened:Hardened\n"),
            ("fgic-nudge", NUDGE, "[fgic.attacker]\nnudge = fgic_nudge:Nudge\n"),
        ):
            module = name.replace("-", "_")
            (site / f"{module}.py").write_text(source, encoding="utf-8")
            info = site / f"{module}-0.1.0.dist-info"
            info.mkdir()
            (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.1.0\n")
            (info / "entry_points.txt").write_text(points)
        (site / "nudge_helper.py").write_text(HELPER, encoding="utf-8")
        (place / "tables").mkdir()
        (place / "tables" / "one.txt").write_text("1")
        (place / "hard.yaml").write_text(SPEC, encoding="utf-8")
        patch.chdir(place)
        command = [sys.executable, "-m", "fgic_core", "pipeline", "hard.yaml", "--device", "cpu"]
        done = subprocess.run(
            [*command, "--no-report", "--quiet"],
            capture_output=True,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            timeout=600,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        yield place
    for name in ("fgic_hardened", "fgic_nudge", "nudge_helper"):
        sys.modules.pop(name, None)


@pytest.fixture
def check(project: Path, capsys: pytest.CaptureFixture[str]) -> Say:
    """What ``fgic check`` says of each step."""

    def said(*overrides: str, spec: str = "hard.yaml", store: str = ".fgic/store") -> dict[str, str]:
        capsys.readouterr()
        sets = (word for one in overrides for word in ("--set", one))
        code = run(["check", spec, "--json", "--store", store, *sets])
        told = capsys.readouterr()
        assert code == 0, told.err
        return {row["step"]: row["reason"] for row in json.loads(told.out)}

    return said


def test_what_an_unchanged_run_computed_is_in_the_store(check: Say) -> None:
    assert check() == {"dots": "in the store", "net": "in the store"}


@pytest.mark.parametrize(
    ("file", "old", "new", "reason"),
    [
        ("site/nudge_helper.py", "1.0", "1.0  # a comment", ""),
        ("site/fgic_nudge.py", "All pixels", "Every pixel", ""),
        ("site/nudge_helper.py", "1.0", "-1.0", "fgic-nudge: its source changed (attack)"),
        ("site/fgic_nudge.py", "/ 2, generator", "/ 3, generator", "fgic-nudge: its source changed (attack)"),
        ("tables/one.txt", "1", "2", "what lies at attack.with.table changed"),
    ],
)
def test_what_an_attack_is_counts_for_the_training_that_uses_it(
    project: Path, check: Say, file: str, old: str, new: str, reason: str
) -> None:
    place = project / file
    before = place.read_text(encoding="utf-8")
    assert before.count(old) == 1
    place.write_text(before.replace(old, new), encoding="utf-8")
    try:
        assert check()["net"] == (reason or "in the store")
    finally:
        place.write_text(before, encoding="utf-8")


@pytest.mark.parametrize(
    ("override", "reason"),
    [
        ("net.with.attack.with.inner.with.steps=3", "attack.with.inner.with.steps changed from 2 to 3"),
        (
            "net.with.attack.with.inner.uses=attacker/fgsm",
            "attack.with.inner changed from attacker/pgd to attacker/fgsm",
        ),
        ("net.with.attack=attacker/pgd", "attack changed from attacker/nudge to attacker/pgd"),
        ("net.with.judge=attacker/pgd", "judge changed from null to"),
        ("net.seed=4", "seed changed from 0 to 4"),
    ],
)
def test_its_options_count_and_are_named(check: Say, override: str, reason: str) -> None:
    overrides = [override]
    if override.endswith("fgsm"):
        overrides.insert(0, "net.with.attack.with.inner.with={}")
    said = check(*overrides)["net"]
    assert said.startswith(reason)
    # What learning does not see trains nothing.
    assert ("what it learned is in the store" in said) is ("judge" in override)


def test_the_artifact_names_it_as_a_spec_does_and_holds_no_path_of_the_project(project: Path) -> None:
    records = [json.loads(file.read_text()) for file in (project / ".fgic" / "store").rglob("artifact.json")]
    ours = [record for record in records if record["uses"] == "classifier/hardened"]
    assert len(ours) == 2
    for record in ours:
        attack = record["options"]["attack"]
        assert (attack["uses"], attack["with"]["table"]) == ("attacker/nudge", "tables/one.txt")
        assert (attack["with"]["inner"]["uses"], attack["with"]["inner"]["with"]["steps"]) == ("attacker/pgd", 2)
        assert str(project) not in json.dumps(record)


def test_a_job_says_which_components_its_options_name(project: Path) -> None:
    """What only looks like one is none."""
    (folder,) = (project / "runs" / "hard").glob("2*")
    for name in ("net", "net.fit"):
        job = json.loads((folder / "jobs" / f"{name}.json").read_text())
        assert (job["options"]["note"], job["named"]) == (
            {"uses": "sugar", "with": ["milk"]},
            ["attacker/nudge", "attacker/pgd"],
        )


def test_the_resolved_spec_of_a_run_means_the_same(project: Path, check: Say) -> None:
    (spec,) = (project / "runs" / "hard").glob("2*/resolved.yaml")
    assert "uses: attacker/nudge" in spec.read_text()
    assert check(spec=str(spec)) == {"dots": "in the store", "net": "in the store"}


def test_what_was_trained_with_it_is_opened_again(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In this process, by the record alone; the attack was given to the training, and the training moved by it."""
    (folder,) = (project / "runs" / "hard").glob("2*")
    opened = Run.open(folder)
    assert opened.model("net").classes == ("colour 0", "colour 1")
    moved = [point.value for point in opened.artifact("net").curves if point.name == "moved"]
    assert moved == pytest.approx([8 / 255] * 2, rel=1e-4)


def test_computed_in_this_process_it_gives_the_same_weights(project: Path) -> None:
    store = project / "other"
    done = Pipeline.from_yaml("hard.yaml").run(store=store, runs=project / "others", device="cpu", report=False)
    assert [step.status for step in done.record.steps] == ["computed", "computed"]

    def weights(place: Path) -> list[bytes]:
        return [file.read_bytes() for file in place.rglob("component/model.safetensors")]

    assert len(weights(store)) == 1
    assert weights(store) == weights(project / ".fgic" / "store")


def test_what_cannot_be_had_is_said_with_its_place(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = SPEC.replace("uses: attacker/pgd", "uses: explainer/cam").replace("8/255", "8")
    (project / "wrong.yaml").write_text(text)
    column = text.splitlines()[9].index("explainer/cam") + 1
    assert run(["check", "wrong.yaml"]) == 2
    said = capsys.readouterr().err
    assert "wrong.yaml:10:22: option attack.with.eps[0] is 8, but images are in [0, 1]" in said
    assert f"wrong.yaml:10:{column}: explainer/cam stands where an attacker is wanted" in said
    assert "Traceback" not in said
