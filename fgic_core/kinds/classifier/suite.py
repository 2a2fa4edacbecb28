"""What holds for a classifier."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fgic_core.kinds.classifier.contract import Classifier, FittedClassifier
from fgic_core.testing.component import ComponentSuite, assert_no_pickle, assert_saved_alike
from fgic_core.testing.data import tiny_context, tiny_dataset
from fgic_core.testing.ports import without_optional
from fgic_core.testing.training import TrainingChecks

if TYPE_CHECKING:
    import torch

    from fgic_core.steps.context import Ruler, Scores


class ClassifierSuite(TrainingChecks, ComponentSuite):
    """Logits from [0, 1], state on disk, and a training that an interruption does not change."""

    @pytest.fixture
    def component(self) -> Classifier:
        """The classifier under test, with options that train it for two epochs or more in seconds."""
        raise NotImplementedError(f"{type(self).__name__} must give its component: override the fixture `component`")

    _better, _worse = {"val": {"accuracy": 0.5}}, {"val": {"accuracy": 0.4}}

    def _few(self, component: Classifier, folder: Path, name: str, ruler: Ruler) -> FittedClassifier:
        train = tiny_dataset(folder / "data").split("train")
        train = train.take(range(0, len(train), 2))
        inputs = {"dataset": train, **self._inputs}
        context = tiny_context(folder, name=name, inputs=inputs)
        context.measure_by(ruler)
        context.seed_everything("step")
        return component.for_fit().fit(train, train, context)

    def _fit(
        self,
        component: Classifier,
        folder: Path,
        name: str = "out",
        *,
        stop_at: int | None = None,
        recipe: Classifier | None = None,
    ) -> tuple[FittedClassifier, list[int]]:
        """Train as the core does; ``stop_at`` interrupts when that epoch has been evaluated.

        Returns:
            What was fitted, and the epochs that were evaluated.
        """
        data = tiny_dataset(folder / "data")
        train = data.split("train")
        context = tiny_context(folder, name=name, inputs={"dataset": train, **self._inputs})
        seen: list[int] = []

        def ruler(fitted: object, epoch: int) -> Scores:
            assert isinstance(fitted, FittedClassifier), "ctx.evaluate is given what fit returns"
            seen.append(epoch)
            if epoch == stop_at:
                raise KeyboardInterrupt
            return {"val": {"accuracy": 0.5, "loss": 1.0}}

        context.measure_by(ruler)
        context.seed_everything("step")
        held = list(range(0, len(train), 6))
        rest = [i for i in range(len(train)) if i not in held]
        return (recipe or component.for_fit()).fit(train.take(rest), train.take(held), context), seen

    def test_the_network_maps_the_unit_range_to_one_logit_a_class(self, component: Classifier, tmp_path: Path) -> None:
        import torch

        fitted, _ = self._fit(component, tmp_path)
        data = tiny_dataset(tmp_path / "data")
        assert fitted.classes == data.classes
        batch = torch.stack([fitted.input.prepare(data.crop(i)) for i in range(3)])
        with torch.no_grad():
            logits = fitted.network.eval()(batch)
        assert logits.shape == (3, 3)
        assert torch.isfinite(logits).all()
        probabilities = bool((logits >= 0).all()) and torch.allclose(logits.sum(dim=1), torch.ones(3), atol=1e-4)
        assert not probabilities, "logits are wanted, before the softmax"
        self._check_built(component, fitted)

    def _check_built(self, component: Classifier, fitted: FittedClassifier) -> None:
        """What it builds has the input and the shapes of what it trains."""
        built = component.for_fit().build(fitted.classes)
        if built is None:
            return
        assert built.input == fitted.input, "build gives another input than fit"
        shapes = [{name: value.shape for name, value in one.network.state_dict().items()} for one in (built, fitted)]
        assert shapes[0] == shapes[1], "build gives another network than the one that is trained"

    def test_it_is_a_recipe_that_fit_and_load_leave_as_it_was(self, component: Classifier, tmp_path: Path) -> None:
        """A second training starts from the options alone, and leaves what the first one gave."""
        before, private = component.model_copy(deep=True), copy.deepcopy(component.__pydantic_private__)
        recipe = component.for_fit()
        one, _ = self._fit(component, tmp_path, "one", recipe=recipe)
        weights = {name: value.clone() for name, value in one.network.state_dict().items()}
        assert component == before, "fit changed the component"
        assert recipe == component.for_fit(), "fit changed an option"
        assert recipe.__pydantic_private__ == private, "fit left something in the component"
        two, _ = self._fit(component, tmp_path, "two", recipe=recipe)
        assert one.network is not two.network, "two trainings gave one network"
        for name, value in one.network.state_dict().items():
            assert bool((value == weights[name]).all()), f"a second training changed {name} of the first one's network"
        (tmp_path / "saved").mkdir()
        recipe.save(one, tmp_path / "saved")
        recipe.load(tmp_path / "saved", "cpu")
        assert recipe == component.for_fit(), "load changed an option"
        assert recipe.__pydantic_private__ == private, "load left something in the component"

    def test_a_picture_has_the_same_logits_alone_and_in_a_batch(self, component: Classifier, tmp_path: Path) -> None:
        import torch

        fitted, _ = self._fit(component, tmp_path)
        data = tiny_dataset(tmp_path / "data")
        network = fitted.network.eval()
        batch = torch.stack([fitted.input.prepare(data.crop(i)) for i in range(0, 18, 3)])
        with torch.no_grad():
            torch.testing.assert_close(
                network(batch), torch.cat([network(one[None]) for one in batch]), atol=1e-4, rtol=1e-3
            )

    def test_gradients_reach_the_picture(self, component: Classifier, tmp_path: Path) -> None:
        """What explainers and attackers stand on."""
        import torch

        fitted, _ = self._fit(component, tmp_path)
        batch = self._noise(fitted)
        logits = fitted.network.eval()(batch.requires_grad_())
        assert logits.requires_grad, "the network cuts its graph"
        (gradient,) = torch.autograd.grad(logits.logsumexp(dim=1).sum(), batch)
        assert torch.isfinite(gradient).all()

    def _noise(self, fitted: FittedClassifier) -> torch.Tensor:
        import torch

        size = fitted.input.size
        return torch.rand((2, 3, size.height, size.width), generator=torch.Generator().manual_seed(0))

    def test_what_is_saved_and_loaded_gives_the_same_logits(self, component: Classifier, tmp_path: Path) -> None:
        import torch

        fitted, _ = self._fit(component, tmp_path)
        (tmp_path / "saved").mkdir()
        component.save(fitted, tmp_path / "saved")
        assert_no_pickle(tmp_path / "saved")
        assert_saved_alike(lambda folder: component.save(fitted, folder), tmp_path)
        again = component.load(tmp_path / "saved", "cpu")
        assert (again.input, again.classes) == (fitted.input, fitted.classes)
        with torch.no_grad():
            batch = self._noise(fitted)
            assert torch.equal(fitted.network.eval()(batch), again.network.eval()(batch))

    def test_it_does_without_what_its_ports_call_optional(self, component: Classifier, tmp_path: Path) -> None:
        """One without optional ports has nothing to show."""
        needed = without_optional(component, self._inputs)
        if needed.keys() != self._inputs.keys():
            self._inputs = needed
            self._fit(component, tmp_path)

    def test_an_interrupted_training_ends_with_the_same_weights(self, component: Classifier, tmp_path: Path) -> None:
        import torch

        whole, _ = self._fit(component, tmp_path, "whole")
        with pytest.raises(KeyboardInterrupt):
            self._fit(component, tmp_path, "cut", stop_at=2)
        resumed, seen = self._fit(component, tmp_path, "cut")
        assert seen, "it evaluates every epoch"
        assert seen[0] == 2, "it goes on after the last checkpoint"
        one, two = whole.network.state_dict(), resumed.network.state_dict()
        assert one.keys() == two.keys()
        assert all(torch.equal(one[name], two[name]) for name in one)
