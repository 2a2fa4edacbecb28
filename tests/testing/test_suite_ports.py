"""A suite gives a component what its ports ask for, or what the author's fixture says."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from fgic_core import Classifier, StepContext
from fgic_core.data.dataset import Dataset
from fgic_core.kinds.classifier.model import Model
from fgic_core.testing import ClassifierSuite, ComponentSuite, tiny_inputs
from fgic_core.testing.ports import check_given


@pytest.fixture
def student(toys: Path) -> Classifier:
    """With a teacher that it needs, and ports that are optional, of many, of a data set and for use alone."""
    import fgic_toy_student

    return fgic_toy_student.Student()


@pytest.fixture
def leaning(student: Classifier) -> Classifier:
    """One that takes its advisers for granted, though they are optional."""

    class Leaning(type(student)):
        """See `leaning`."""

        def fit(self, train: Any, val: Any, ctx: Any) -> Any:
            assert len(ctx.inputs["advisers"]) == 2
            return super().fit(train, val, ctx)

    return Leaning()


def test_every_further_port_that_learning_sees_is_given_something(student: Classifier, tmp_path: Path) -> None:
    given = tiny_inputs(student, tmp_path)
    assert given.keys() == {"teacher", "advisers", "more"}
    assert isinstance(given["more"], Dataset)
    one, two = given["advisers"]
    assert all(isinstance(model, Model) and not model.fitted.network.training for model in (given["teacher"], one, two))
    picture = given["more"].crop(0)
    assert (one.predict(picture) != two.predict(picture)).any()


def test_one_that_takes_an_optional_port_for_granted_fails(leaning: Classifier, tmp_path: Path) -> None:
    suite = ClassifierSuite()
    suite._inputs = tiny_inputs(leaning, tmp_path / "inputs")
    suite._fit(leaning, tmp_path, "all")
    with pytest.raises(KeyError, match="advisers"):
        suite.test_it_does_without_what_its_ports_call_optional(leaning, tmp_path)


def test_fit_is_given_the_data_set_too(student: Classifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = {}
    monkeypatch.setattr(type(student), "fit", lambda self, train, val, ctx: seen.update(ctx.inputs))
    suite = ClassifierSuite()
    suite._inputs = {"teacher": "a teacher"}
    suite._fit(student, tmp_path)
    assert seen["teacher"] == "a teacher"
    assert set(seen["dataset"].table.column("split").to_pylist()) == {"train"}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"techer": 1}, "gives techer, and Student has no such port; did you mean teacher?"),
        ({"advisers": []}, "gives nothing for teacher, which Student requires; its ports are dataset, teacher"),
    ],
)
def test_a_port_that_the_authors_fixture_misspells_or_leaves_out_is_named(
    given: Mapping[str, Any], message: str, student: Classifier
) -> None:
    with pytest.raises(pytest.fail.Exception) as caught:
        check_given(student, given)
    assert message in str(caught.value)


class TestTheAuthorsFixture:
    """Of a suite no more than what hands on its fixture."""

    _inputs: Mapping[str, Any] = {}
    _given = ComponentSuite._given

    @pytest.fixture
    def component(self, student: Classifier) -> Classifier:
        return student

    @pytest.fixture
    def inputs(self) -> Mapping[str, Any]:
        return {"teacher": "mine"}

    def test_what_it_says_is_what_there_is(self) -> None:
        assert self._inputs == {"teacher": "mine"}


def test_a_context_in_a_notebook_hands_on_what_it_is_given(tmp_path: Path) -> None:
    context = StepContext(tmp_path, inputs={"teacher": "mine"})
    assert context.inputs == context.training("fold").inputs == {"teacher": "mine"}
    assert StepContext(tmp_path).inputs == {}
