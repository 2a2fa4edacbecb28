"""What is learned is a node of its own: what computes it anew, and what does not."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from pydantic import Field

from fgic_core import Classifier, Context, FittedClassifier, Input, InputSpec, Registry, Size
from fgic_core.pipeline import Pipeline, Run
from fgic_core.spec import SpecError

SPEC = """\
version: 1
name: nodes
steps:
  dots: {uses: dataset/dots}
  boxes: {uses: detector/bright}
  crops: {uses: cropper/exact}
  made: {uses: generator/tint, with: {epochs: 1, per_class: 2}}
  net: {uses: classifier/linear, with: {epochs: 2}, from: {dataset: crops}}
  look: {uses: explainer/saliency, with: {samples: 2}, from: {dataset: crops}}
"""


@pytest.fixture
def trained(toys: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The name of each toy that is trained, as it is."""
    import fgic_toys

    found: list[str] = []
    for kind in (fgic_toys.Bright, fgic_toys.Tint, fgic_toys.Linear):

        def counted(self: Any, *arguments: Any, kind: Any = kind, fit: Any = kind.fit) -> Any:
            found.append(kind.__name__)
            return fit(self, *arguments)

        monkeypatch.setattr(kind, "fit", counted)
    return found


Go = Callable[..., Run]


@pytest.fixture
def go(tmp_path: Path) -> Go:
    def run(*overrides: str, spec: str = SPEC, ok: bool = True, registry: Registry | None = None, **more: Any) -> Run:
        (tmp_path / "spec.yaml").write_text(spec)
        pipeline = Pipeline.from_yaml(tmp_path / "spec.yaml", overrides, registry)
        result = pipeline.run(store=tmp_path / "store", runs=tmp_path / "runs", device="cpu", report=False, **more)
        if ok:
            assert [step.error for step in result.record.steps if step.error] == []
        return result

    return run


@pytest.fixture
def first(trained: list[str], go: Go) -> Run:
    """All of it, computed once."""
    result = go()
    assert trained == ["Bright", "Tint", "Linear"]
    trained.clear()
    return result


def statuses(run: Run) -> dict[str, str]:
    return {step.name: step.status for step in run.record.steps}


@pytest.mark.parametrize(
    ("change", "computed"),
    [
        # The boxes are surer than that: what follows is given the same rows.
        ("boxes.with.min_score=0.5", {"boxes"}),
        ("boxes.with.test_curve=false", {"boxes"}),
        ("net.with.test_curve=false", {"net"}),
        ("made.with.per_class=3", {"made"}),
        ("made.with.drop_copies=true", {"made"}),
    ],
)
def test_options_for_use_alone_train_nothing(
    change: str, computed: set[str], first: Run, trained: list[str], go: Go
) -> None:
    result = go(change)
    assert trained == []
    assert {name for name, status in statuses(result).items() if status == "computed"} == computed


def test_a_step_upstream_that_comes_out_the_same_ends_the_recomputation(first: Run, trained: list[str], go: Go) -> None:
    """Another threshold is another detector, which finds the same boxes."""
    result = go("boxes.with.threshold=61")
    assert trained == ["Bright"]
    assert {name for name, status in statuses(result).items() if status == "computed"} == {"boxes"}


def test_columns_that_a_classifier_does_not_read_do_not_train_it_again(trained: list[str], go: Go) -> None:
    start = "version: 1\nsteps:\n  dots: {uses: dataset/dots}\n"
    net = "  net: {uses: classifier/linear, with: {epochs: 1}}\n"
    plain = go(spec=start + net)
    detected = go(spec=f"{start}  boxes: {{uses: detector/bright}}\n{net}")
    assert trained == ["Linear", "Bright"]
    assert plain.artifact("net").curves == detected.artifact("net").curves


def test_another_test_picture_measures_anew_and_trains_nothing(trained: list[str], go: Go, tmp_path: Path) -> None:
    from PIL import Image

    for name, level in (("a", 20), ("b", 120), ("c", 220)):
        for number in (1, 2):
            Image.new("RGB", (20, 20), (level, 5 * number, 9)).save(tmp_path / f"{name}-{number}.png")
    spec = (
        "version: 1\nsteps:\n  shelf: {uses: dataset/shelf, with: {root: .}}\n"
        "  net: {uses: classifier/linear, with: {epochs: 1}}\n"
    )
    before = go(spec=spec)
    Image.new("RGB", (20, 20), (9, 9, 9)).save(tmp_path / "c-2.png")
    after = go(spec=spec)
    assert trained == ["Linear"]
    assert statuses(after) == {"shelf": "computed", "net": "computed"}
    assert before.artifact("net").metrics != after.artifact("net").metrics
    Image.new("RGB", (20, 20), (9, 9, 9)).save(tmp_path / "c-1.png")
    go(spec=spec)
    assert trained == ["Linear", "Linear"]


def test_the_job_of_a_training_names_no_test_row(toys: Path, go: Go, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a plugin may open from what its job says, there is nothing of test in it."""
    from fgic_core.data.dataset import Dataset
    from fgic_core.run import processes

    seen = {}

    def look(job: Any, *arguments: Any, run: Any = processes.run_job) -> Any:
        if job.node == "fit":
            rows = job.inputs["dataset"]
            seen[job.uses] = (Dataset.open(rows).splits, "test-0-" in job.model_dump_json())
            for file in rows.iterdir():
                content = file.read_bytes()
                assert b"test-0-" not in content
        return run(job, *arguments)

    monkeypatch.setattr(processes, "run_job", look)
    go()
    assert seen == {
        "detector/bright": (["train"], False),
        "generator/tint": (["train"], False),
        "classifier/linear": (["train"], False),
    }


def test_a_crash_between_learning_and_using_loses_nothing(
    trained: list[str], go: Go, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fgic_core.kinds.classifier import driver as classifier

    with monkeypatch.context() as patch:
        patch.setattr(classifier, "use", lambda *arguments: 1 / 0)
        assert statuses(go(ok=False))["net"] == "failed"
    assert trained.count("Linear") == 1
    result = go()
    assert trained.count("Linear") == 1
    assert statuses(result)["net"] == "computed"
    assert [point.split for point in result.artifact("net").curves if point.name == "accuracy"] == ["val"] * 2 + [
        "test"
    ] * 2


def test_damaged_weights_are_named_and_trained_again_and_nothing_else_is_computed(
    first: Run, trained: list[str], go: Go, tmp_path: Path
) -> None:
    plan = Pipeline.from_yaml(tmp_path / "spec.yaml").plan(tmp_path / "store")
    main = plan.step("net").main
    assert main is not None
    file = main.folder / "component" / "model.safetensors"
    content = bytearray(file.read_bytes())
    content[-5] ^= 1
    file.write_bytes(content)
    said = Pipeline.from_yaml(tmp_path / "spec.yaml").plan(tmp_path / "store").step("net")
    assert said.reason == ("what it learned is damaged in the store: component/model.safetensors has another content")
    result = go()
    assert trained == ["Linear"]
    assert {name for name, status in statuses(result).items() if status == "computed"} == {"net"}
    assert file.read_bytes() != bytes(content)


def test_the_classifier_of_a_generators_filter_may_change(trained: list[str], go: Go) -> None:
    spec = SPEC.replace("per_class: 2}}", "per_class: 2, min_confidence: 0.01}, from: {model: net}}")
    lines = spec.splitlines(keepends=True)
    spec = "".join([*lines[:6], lines[7], lines[6], *lines[8:]])  # the classifier before the generator
    go(spec=spec)
    assert sorted(trained) == ["Bright", "Linear", "Tint"]
    trained.clear()
    result = go("net.with.lr=0.1", spec=spec)
    assert trained == ["Linear"]
    assert statuses(result)["made"] == "computed"


def test_trainings_that_are_equal_are_one(trained: list[str], go: Go) -> None:
    net = "{uses: classifier/linear, with: {epochs: 1}, from: {dataset: dots}}"
    spec = f"version: 1\nsteps:\n  dots: {{uses: dataset/dots}}\n  one: {net}\n  two: {net}\n"
    go(spec=spec, fresh=True)
    assert trained == ["Linear"]
    go("two.seed=1", spec=spec)
    assert trained == ["Linear", "Linear"]


class Student(Classifier):
    """Softmax regression that learns what a teacher says (Hinton et al. 2015)."""

    inputs: ClassVar[Mapping[str, Input]] = {**Classifier.inputs, "teacher": Input("model", auto=False)}
    temperature: float = Field(2.0, gt=0, description="Of the teacher's softmax.")

    def build(self, classes: Any) -> FittedClassifier:
        from torch import nn

        network = nn.Sequential(nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(48, len(classes)))
        return FittedClassifier(network, InputSpec(Size(16, 16)), tuple(classes))

    def fit(self, train: Any, val: Any, ctx: Context) -> FittedClassifier:
        import torch

        fitted, teacher = self.build(train.classes), ctx.inputs["teacher"]
        optimizer = torch.optim.SGD(fitted.network.parameters(), lr=1.0)
        soft = torch.from_numpy(teacher.predict([train.crop(i) for i in range(len(train))])) ** (1 / self.temperature)
        images = torch.stack([fitted.input.prepare(train.crop(i)) for i in range(len(train))])
        for epoch in ctx.epochs(20):
            loss = torch.nn.functional.cross_entropy(fitted.network(images), soft / soft.sum(1, keepdim=True))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            ctx.evaluate(fitted, epoch)
        return fitted


class Committee(Classifier):
    """The mean of several models' probabilities; it learns nothing of its own."""

    inputs: ClassVar[Mapping[str, Input]] = {**Classifier.inputs, "members": Input("model", many=True)}

    def fit(self, train: Any, val: Any, ctx: Context) -> FittedClassifier:
        members = [model.fitted.network for model in ctx.inputs["members"]]
        return FittedClassifier(_mean(members), InputSpec(Size(16, 16)), train.classes)

    def save(self, fitted: FittedClassifier, folder: Path) -> None:
        import torch

        rows = torch.stack([member[3].weight.detach() for member in fitted.network.members]).tolist()
        biases = [member[3].bias.tolist() for member in fitted.network.members]
        (folder / "committee.json").write_text(json.dumps([rows, biases, list(fitted.classes)]))

    def load(self, folder: Path, device: str) -> FittedClassifier:
        import fgic_toys
        import torch

        rows, biases, classes = json.loads((folder / "committee.json").read_text())
        members = []
        for weight, bias in zip(rows, biases, strict=True):
            member = fgic_toys.Linear()._build(len(classes))
            member[3].weight.data, member[3].bias.data = torch.tensor(weight), torch.tensor(bias)
            members.append(member)
        return FittedClassifier(_mean(members).eval(), InputSpec(Size(16, 16)), tuple(classes))


def _mean(members: list[Any]) -> Any:
    import torch
    from torch import nn

    class Mean(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.members = nn.ModuleList(members)

        def forward(self, images: Any) -> Any:
            return torch.stack([member(images).softmax(1) for member in self.members]).mean(0).log()

    return Mean()


TEACHER = """\
version: 1
name: teacher
steps:
  dots: {uses: dataset/dots}
  big: {uses: classifier/linear, with: {epochs: 2}}
  other: {uses: classifier/linear, with: {epochs: 1}}
  student: {uses: classifier/student, from: {teacher: big}}
  both: {uses: classifier/committee, from: {members: [big, other]}}
  look: {uses: explainer/saliency, with: {samples: 2}}
"""


@pytest.fixture
def registry(toys: Path) -> Registry:
    made = Registry()
    made.register("student", Student)
    made.register("committee", Committee)
    return made


def test_a_student_learns_from_the_teacher_that_from_names(trained: list[str], go: Go, registry: Registry) -> None:
    result = go(spec=TEACHER, registry=registry)
    assert result.record.step("student").inputs == {"dataset": "dots", "teacher": "big"}
    assert result.record.step("both").inputs == {"dataset": "dots", "members": ["big", "other"]}
    pictures = [result.dataset("dots").crop(row) for row in range(4)]
    of = {name: result.model(name, registry=registry).predict(pictures) for name in ("big", "other", "both")}
    assert np.allclose(of["both"], (of["big"] + of["other"]) / 2, atol=1e-5)
    trained.clear()
    again = go("student.from.teacher=other", spec=TEACHER, registry=registry)
    assert trained == []
    assert [(step.name, step.reason) for step in again.record.steps if step.status == "computed"] == [
        ("student", "its teacher (step other) is another one")
    ]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            ", from: {teacher: big}",
            "",
            "classifier/student needs a model as its teacher, and from names none\n"
            "  7 |   student: {uses: classifier/student}\n"
            "    |                   ^^^^^^^^^^^^^^^^^^\n"
            "  Write from: {teacher: name-of-a-step}. big or other before it give a model.",
        ),
        ("teacher: big", "teacher: dots", "step dots (dataset/dots) gives a dataset, not a model"),
        ("teacher: big", "techer: big", "classifier/student takes no techer"),
        ("[big, other]", "[big, big]", "step big is named twice"),
        ("[big, other]", "[]", "members should not be empty"),
        ("[big, other]", "[big, look]", "step look stands later, and steps run in order"),
    ],
)
def test_a_wrong_port_is_told_with_its_place(old: str, new: str, said: str, go: Go, registry: Registry) -> None:
    with pytest.raises(SpecError) as caught:
        go(spec=TEACHER.replace(old, new, 1), registry=registry)
    assert said in str(caught.value)


def test_a_port_of_many_takes_every_earlier_one_unless_from_says_otherwise(go: Go, registry: Registry) -> None:
    spec = TEACHER.replace(", from: {members: [big, other]}", "")
    pipeline = Pipeline.from_dict(__import__("ruamel.yaml").yaml.YAML(typ="safe").load(spec), registry=registry)
    assert pipeline.spec.step("both").inputs["members"] == ["big", "other", "student"]


FIXED = '''
import torch
from torch import nn

from fgic_core import Classifier, FittedClassifier, InputSpec, Size

SCALE = 1.0


class Scaled(nn.Linear):
    def forward(self, inputs):
        return SCALE * super().forward(inputs)


class Fixed(Classifier):
    """Learns nothing: its weights are always the same."""

    def build(self, classes):
        network = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), Scaled(3, len(classes)))
        return FittedClassifier(network, InputSpec(Size(16, 16)), tuple(classes))

    def fit(self, train, val, ctx):
        fitted = self.build(train.classes)
        with torch.no_grad():
            for parameter in fitted.network.parameters():
                parameter.copy_(torch.linspace(-1, 1, parameter.numel()).reshape(parameter.shape))
        return fitted
'''


def test_code_that_opens_a_model_counts_for_what_takes_it_although_the_weights_are_the_same(
    toys: Path, go: Go, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import importlib
    import sys

    (tmp_path / "own").mkdir()
    module = tmp_path / "own" / "fgic_fixed_head.py"
    monkeypatch.syspath_prepend(str(tmp_path / "own"))
    spec = (
        "version: 1\nsteps:\n  dots: {uses: dataset/dots}\n  net: {uses: classifier/fixed}\n"
        "  look: {uses: explainer/saliency, with: {samples: 2}}\n"
    )
    found = []
    for scale in ("1.0", "1.0  # as before", "-1.00"):
        module.write_text(FIXED.replace("1.0", scale))
        sys.modules.pop("fgic_fixed_head", None)
        importlib.invalidate_caches()
        registry = Registry()
        if module.exists():  # (a condition: this file has components that are traced, and can do without it)
            registry.register("fixed", importlib.import_module("fgic_fixed_head").Fixed)
        found.append(statuses(go(spec=spec, registry=registry)))
    assert [one["look"] for one in found] == ["computed", "reused", "computed"]
    assert [one["net"] for one in found] == ["computed", "reused", "computed"]


def test_a_damaged_checkpoint_is_said_and_the_training_starts_anew(
    trained: list[str], go: Go, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fgic_toys

    spec = "version: 1\nsteps:\n  dots: {uses: dataset/dots}\n  net: {uses: classifier/linear, with: {epochs: 3}}\n"
    with monkeypatch.context() as patch:
        patch.setattr(fgic_toys.Linear, "_wait", lambda self, epoch: 1 / 0 if epoch == 3 else None)
        go(spec=spec, ok=False)
    (file,) = (tmp_path / "store" / "unfinished").glob("*/checkpoint-2/*.safetensors")
    content = bytearray(file.read_bytes())
    content[-3] ^= 1
    file.write_bytes(content)
    said = "The checkpoint of a training that was interrupted is damaged: the training starts anew."
    result = go(spec=spec).artifact("net")
    assert said in result.warnings
    clean = go(spec=spec, fresh=True).artifact("net")
    assert result.curves == clean.curves
    assert said not in clean.warnings
