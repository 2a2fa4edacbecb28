"""What holds for classifiers, explainers and attackers."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from fgic_core.data.geometry import Size
from fgic_core.data.input_spec import InputSpec
from fgic_core.interfaces import Attacker, Classifier, Context, Explainer, FittedClassifier, Maps
from fgic_core.testing.component import ComponentSuite, assert_no_pickle, assert_saved_alike
from fgic_core.testing.data import tiny_context, tiny_dataset
from fgic_core.testing.ports import without_optional

if TYPE_CHECKING:
    import torch
    from torch import nn

    from fgic_core.data.dataset import Dataset
    from fgic_core.steps.context import Scores


class SmallCnn(Classifier):
    """A small network with BatchNorm and dropout, for explainers and attackers to work on. It is not trained."""

    def build(self, classes: Sequence[str]) -> FittedClassifier:
        """A network of random weights."""
        from torch import nn

        network = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(8, 16, 3, padding=1),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Dropout(0.5),
            nn.Linear(16, len(classes)),
        )
        return FittedClassifier(network, InputSpec(Size(32, 32)), tuple(classes))

    def fit(self, train: Dataset, val: Dataset, ctx: Context) -> FittedClassifier:
        """Draw the weights."""
        import torch

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(ctx.seed)
            return self.build(train.classes)


def network_state(network: nn.Module) -> dict[str, Any]:
    """Everything about a network and torch's generator that a guest must leave as it was."""
    import torch

    return {
        "modes": [module.training for module in network.modules()],
        "requires_grad": [parameter.requires_grad for parameter in network.parameters()],
        "gradients": [parameter.grad is None for parameter in network.parameters()],
        "hooks": [
            len(m._forward_hooks) + len(m._backward_hooks) + len(m._forward_pre_hooks) for m in network.modules()
        ],
        "weights": [value.clone() for value in network.state_dict().values()],
        "generator": torch.get_rng_state(),
    }


def assert_untouched(before: dict[str, Any], after: dict[str, Any]) -> None:
    """Fail where the two states of `network_state` differ, and say in what."""
    import torch

    for name in ("modes", "requires_grad", "gradients", "hooks"):
        assert before[name] == after[name], f"the network's {name} were changed"
    assert torch.equal(before["generator"], after["generator"]), "torch's global generator was used"
    pairs = zip(before["weights"], after["weights"], strict=True)
    assert all(torch.equal(one, two) for one, two in pairs), "weights or buffers were changed"


def _case(folder: Path) -> tuple[nn.Module, torch.Tensor, torch.Tensor]:
    """A network in evaluation mode, some of its inputs, and their labels."""
    import torch

    data = tiny_dataset(folder / "data")
    fitted = SmallCnn().fit(data, data, tiny_context(folder))
    test = data.split("test").take(range(0, 18, 3))
    images = torch.stack([fitted.input.prepare(test.image(i)) for i in range(len(test))])
    return fitted.network.eval(), images, torch.from_numpy(test.labels)


class ClassifierSuite(ComponentSuite):
    """Logits from [0, 1], state on disk, and a training that an interruption does not change."""

    @pytest.fixture
    def component(self) -> Classifier:
        """The classifier under test, with options that train it for two epochs or more in seconds."""
        raise NotImplementedError(f"{type(self).__name__} must give its component: override the fixture `component`")

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
        batch = torch.stack([fitted.input.prepare(data.image(i)) for i in range(3)])
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
        batch = torch.stack([fitted.input.prepare(data.image(i)) for i in range(0, 18, 3)])
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


class ExplainerSuite(ComponentSuite):
    """Shape, finiteness, dependence on the weights, and a network that is left alone."""

    @pytest.fixture
    def component(self) -> Explainer:
        """The explainer under test."""
        raise NotImplementedError(f"{type(self).__name__} must give its component: override the fixture `component`")

    def _explain(self, component: Explainer, case: Any, rows: slice = slice(None)) -> torch.Tensor:
        import torch

        network, images, labels = case
        given = component.explain(network, images[rows], labels[rows], torch.Generator().manual_seed(0))
        assert isinstance(given, Maps)
        assert given.maps.ndim == 4
        assert given.maps.shape[:2] == (len(images[rows]), len(given.names)), "a map of each picture for each name"
        assert len(set(given.names)) == len(given.names) >= 1
        return given.maps

    def test_it_gives_finite_maps_of_each_picture(self, component: Explainer, tmp_path: Path) -> None:
        import torch

        assert torch.isfinite(self._explain(component, _case(tmp_path))).all()

    def test_it_leaves_the_network_as_it_found_it(self, component: Explainer, tmp_path: Path) -> None:
        case = _case(tmp_path)
        before = network_state(case[0])
        self._explain(component, case)
        assert_untouched(before, network_state(case[0]))

    def test_the_generator_decides_the_maps(self, component: Explainer, tmp_path: Path) -> None:
        import torch

        case = _case(tmp_path)
        assert torch.equal(self._explain(component, case), self._explain(component, case))

    def test_a_picture_gives_the_same_map_alone_and_in_a_batch(self, component: Explainer, tmp_path: Path) -> None:
        import torch

        case = _case(tmp_path)
        together = self._explain(component, case)
        first = self._explain(component, case, slice(1))
        torch.testing.assert_close(together[:1], first, atol=1e-5, rtol=1e-3)

    def test_other_weights_give_another_map(self, component: Explainer, tmp_path: Path) -> None:
        import torch

        case = _case(tmp_path)
        before = self._explain(component, case)
        with torch.no_grad():
            for parameter in case[0].parameters():
                values = parameter.flatten()
                order = torch.randperm(len(values), generator=torch.Generator().manual_seed(1))
                parameter.copy_(values[order].view_as(parameter) * -1.0)
        after = self._explain(component, case)
        assert not torch.allclose(before, after, rtol=1e-2), "the map does not depend on the weights"


class AttackerSuite(ComponentSuite):
    """The ball, the range, what decides the result, and a network that is left alone."""

    @pytest.fixture
    def component(self) -> Attacker:
        """The attacker under test."""
        raise NotImplementedError(f"{type(self).__name__} must give its component: override the fixture `component`")

    def _perturb(self, component: Attacker, case: Any, eps: float, batch: int | None = None) -> torch.Tensor:
        import torch

        network, images, labels = case
        generator = torch.Generator().manual_seed(0)
        size = batch or len(images)
        parts = [
            component.perturb(network, images[i : i + size].clone(), labels[i : i + size], eps, generator)
            for i in range(0, len(images), size)
        ]
        return torch.cat(parts)

    def test_it_knows_the_norm_that_it_is_set_to(self, component: Attacker) -> None:
        assert component.norm in component.norms
        assert set(component.norms) <= {"Linf", "L2"}, "the core can measure no other norm"

    @pytest.mark.parametrize("eps", [1e-4, 1 / 255, 8 / 255, 0.5, 1.0])
    def test_it_stays_in_the_ball_and_in_the_unit_range(self, component: Attacker, tmp_path: Path, eps: float) -> None:
        case = _case(tmp_path)
        adversarial = self._perturb(component, case, eps)
        change = (adversarial - case[1]).flatten(1)
        distance = change.abs().amax(1) if component.norm == "Linf" else change.norm(dim=1)
        assert distance.max() <= eps + 1e-5
        assert adversarial.min() >= 0
        assert adversarial.max() <= 1
        assert not adversarial.requires_grad

    def test_the_generator_decides_the_result(self, component: Attacker, tmp_path: Path) -> None:
        import torch

        case = _case(tmp_path)
        assert torch.equal(self._perturb(component, case, 8 / 255), self._perturb(component, case, 8 / 255))

    def test_the_batch_size_does_not_matter(self, component: Attacker, tmp_path: Path) -> None:
        import torch

        case = _case(tmp_path)
        whole, split = self._perturb(component, case, 8 / 255), self._perturb(component, case, 8 / 255, batch=2)
        differing = ((whole - split).abs() > 1e-5).float().mean()
        assert differing < 0.01, "a sign of a rounded gradient may flip, no more than that"
        assert torch.isfinite(whole).all()

    def test_it_leaves_the_network_and_the_images_as_it_found_them(self, component: Attacker, tmp_path: Path) -> None:
        import torch

        network, images, labels = case = _case(tmp_path)
        given, before = images.clone(), network_state(network)
        generator = torch.Generator().manual_seed(0)
        component.perturb(network, given, labels, 8 / 255, generator)
        assert_untouched(before, network_state(network))
        assert torch.equal(given, case[1]), "the images given were changed in place"

    def test_it_raises_the_loss(self, component: Attacker, tmp_path: Path) -> None:
        import torch

        network, images, labels = case = _case(tmp_path)
        adversarial = self._perturb(component, case, 16 / 255)
        with torch.no_grad():
            before = torch.nn.functional.cross_entropy(network(images), labels)
            after = torch.nn.functional.cross_entropy(network(adversarial), labels)
        assert after > before
