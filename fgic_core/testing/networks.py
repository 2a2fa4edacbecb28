"""What holds for classifiers, explainers and attackers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import PrivateAttr

from fgic_core.data.geometry import Size
from fgic_core.interfaces import Attacker, Classifier, Context, Explainer
from fgic_core.testing.component import ComponentSuite, assert_no_pickle, assert_saved_alike
from fgic_core.testing.data import tiny_context, tiny_dataset

if TYPE_CHECKING:
    import torch
    from torch import nn

    from fgic_core.data.dataset import Dataset


class SmallCnn(Classifier):
    """A small network with BatchNorm and dropout, for explainers and attackers to work on. It is not trained."""

    _network: Any = PrivateAttr(None)

    def fit(self, train: Dataset, val: Dataset, ctx: Context) -> None:
        """Draw the weights."""
        import torch
        from torch import nn

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(ctx.seed)
            self._network = nn.Sequential(
                nn.Conv2d(3, 8, 3, padding=1),
                nn.BatchNorm2d(8),
                nn.ReLU(),
                nn.MaxPool2d(2),
                nn.Conv2d(8, 16, 3, padding=1),
                nn.ReLU(),
                nn.AdaptiveAvgPool2d(1),
                nn.Flatten(),
                nn.Dropout(0.5),
                nn.Linear(16, len(train.classes)),
            )

    def network(self) -> nn.Module:
        found: nn.Module = self._network
        return found

    def input_size(self) -> Size:
        return Size(32, 32)

    def save(self, folder: Path) -> None:
        """It is never saved."""
        raise NotImplementedError

    def load(self, folder: Path, device: str) -> None:
        """It is never loaded."""
        raise NotImplementedError


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


def _case(folder: Path) -> tuple[SmallCnn, torch.Tensor, torch.Tensor]:
    import torch

    data = tiny_dataset(folder / "data")
    classifier = SmallCnn()
    classifier.fit(data, data, tiny_context(folder))
    classifier.network().eval()
    test = data.split("test").take(range(0, 18, 3))
    images = torch.stack([classifier.prepare(test.image(i)) for i in range(len(test))])
    return classifier, images, torch.from_numpy(test.labels)


class ClassifierSuite(ComponentSuite):
    """Logits from [0, 1], state on disk, and a training that an interruption does not change."""

    @pytest.fixture
    def component(self) -> Classifier:
        """The classifier under test, with options that train it for two epochs or more in seconds."""
        raise NotImplementedError(f"{type(self).__name__} must give its component: override the fixture `component`")

    def _fresh(self, component: Classifier) -> Classifier:
        return type(component).model_validate(component.model_dump())

    def _fit(self, component: Classifier, folder: Path, name: str, *, stop_at: int | None = None) -> list[int]:
        """Train as the core does; ``stop_at`` interrupts when that epoch has been evaluated. Gives those evaluated."""
        data = tiny_dataset(folder / "data")
        train = data.split("train")
        context = tiny_context(folder, name=name)
        seen: list[int] = []

        def ruler(_: object, epoch: int) -> dict[str, dict[str, float]]:
            seen.append(epoch)
            if epoch == stop_at:
                raise KeyboardInterrupt
            return {"val": {"accuracy": 0.5, "loss": 1.0}}

        context.measure_by(ruler)
        context.seed_everything("step")
        held = list(range(0, len(train), 6))
        rest = [i for i in range(len(train)) if i not in held]
        component.fit(train.take(rest), train.take(held), context)
        return seen

    def test_the_network_maps_the_unit_range_to_one_logit_a_class(self, component: Classifier, tmp_path: Path) -> None:
        import torch

        self._fit(component, tmp_path, "out")
        data = tiny_dataset(tmp_path / "data")
        batch = torch.stack([component.prepare(data.image(i)) for i in range(3)])
        size = component.input_size()
        assert batch.shape == (3, 3, size.height, size.width)
        assert batch.min() >= 0
        assert batch.max() <= 1
        with torch.no_grad():
            logits = component.network().eval()(batch)
        assert logits.shape == (3, 3)
        assert torch.isfinite(logits).all()
        probabilities = bool((logits >= 0).all()) and torch.allclose(logits.sum(dim=1), torch.ones(3), atol=1e-4)
        assert not probabilities, "logits are wanted, before the softmax"
        self._check_untrained(component)

    def _check_untrained(self, component: Classifier) -> None:
        """What it is before any training has the size and the shapes of what it is afterwards."""
        before = self._fresh(component).untrained(3)
        if before is None:
            return
        assert before.input_size() == component.input_size(), "untrained has another input_size than what was trained"
        shapes = [
            {name: value.shape for name, value in one.network().state_dict().items()} for one in (before, component)
        ]
        assert shapes[0] == shapes[1], "untrained gives another network than the one that is trained"

    def test_a_picture_is_prepared_the_same_every_time(self, component: Classifier, tmp_path: Path) -> None:
        import torch

        self._fit(component, tmp_path, "out")
        data = tiny_dataset(tmp_path / "data")
        for i in range(3):
            assert torch.equal(component.prepare(data.image(i)), component.prepare(data.image(i)))

    def test_a_picture_has_the_same_logits_alone_and_in_a_batch(self, component: Classifier, tmp_path: Path) -> None:
        import torch

        self._fit(component, tmp_path, "out")
        data = tiny_dataset(tmp_path / "data")
        network = component.network().eval()
        batch = torch.stack([component.prepare(data.image(i)) for i in range(0, 18, 3)])
        with torch.no_grad():
            torch.testing.assert_close(
                network(batch), torch.cat([network(one[None]) for one in batch]), atol=1e-4, rtol=1e-3
            )

    def test_gradients_reach_the_picture(self, component: Classifier, tmp_path: Path) -> None:
        """What explainers and attackers stand on."""
        import torch

        self._fit(component, tmp_path, "out")
        size = component.input_size()
        batch = torch.rand((2, 3, size.height, size.width), generator=torch.Generator().manual_seed(0))
        logits = component.network().eval()(batch.requires_grad_())
        assert logits.requires_grad, "the network cuts its graph"
        (gradient,) = torch.autograd.grad(logits.logsumexp(dim=1).sum(), batch)
        assert torch.isfinite(gradient).all()

    def test_what_is_saved_and_loaded_gives_the_same_logits(self, component: Classifier, tmp_path: Path) -> None:
        import torch

        self._fit(component, tmp_path, "out")
        (tmp_path / "saved").mkdir()
        component.save(tmp_path / "saved")
        assert_no_pickle(tmp_path / "saved")
        assert_saved_alike(component.save, tmp_path)
        again = self._fresh(component)
        again.load(tmp_path / "saved", "cpu")
        size = component.input_size()
        batch = torch.rand((2, 3, size.height, size.width), generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            assert torch.equal(component.network().eval()(batch), again.network().eval()(batch))

    def test_an_interrupted_training_ends_with_the_same_weights(self, component: Classifier, tmp_path: Path) -> None:
        import torch

        whole, stopped, resumed = (self._fresh(component) for _ in range(3))
        self._fit(whole, tmp_path, "whole")
        with pytest.raises(KeyboardInterrupt):
            self._fit(stopped, tmp_path, "cut", stop_at=2)
        seen = self._fit(resumed, tmp_path, "cut")
        assert seen, "it evaluates every epoch"
        assert seen[0] == 2, "it goes on after the last checkpoint"
        one, two = whole.network().state_dict(), resumed.network().state_dict()
        assert one.keys() == two.keys()
        assert all(torch.equal(one[name], two[name]) for name in one)


class ExplainerSuite(ComponentSuite):
    """Shape, finiteness, dependence on the weights, and a network that is left alone."""

    @pytest.fixture
    def component(self) -> Explainer:
        """The explainer under test."""
        raise NotImplementedError(f"{type(self).__name__} must give its component: override the fixture `component`")

    def test_it_gives_a_finite_map_for_each_picture(self, component: Explainer, tmp_path: Path) -> None:
        import torch

        classifier, images, labels = _case(tmp_path)
        maps = component.explain(classifier, images, labels)
        assert maps.ndim == 3
        assert len(maps) == len(images)
        assert torch.isfinite(maps).all()

    def test_it_leaves_the_network_as_it_found_it(self, component: Explainer, tmp_path: Path) -> None:
        classifier, images, labels = _case(tmp_path)
        before = network_state(classifier.network())
        component.explain(classifier, images, labels)
        assert_untouched(before, network_state(classifier.network()))

    def test_a_picture_gives_the_same_map_alone_and_in_a_batch(self, component: Explainer, tmp_path: Path) -> None:
        import torch

        classifier, images, labels = _case(tmp_path)
        together = component.explain(classifier, images, labels)
        alone = torch.cat([component.explain(classifier, images[i : i + 1], labels[i : i + 1]) for i in range(3)])
        torch.testing.assert_close(together[:3], alone, atol=1e-5, rtol=1e-3)

    def test_other_weights_give_another_map(self, component: Explainer, tmp_path: Path) -> None:
        import torch

        classifier, images, labels = _case(tmp_path)
        before = component.explain(classifier, images, labels)
        with torch.no_grad():
            for parameter in classifier.network().parameters():
                values = parameter.flatten()
                order = torch.randperm(len(values), generator=torch.Generator().manual_seed(1))
                parameter.copy_(values[order].view_as(parameter) * -1.0)
        after = component.explain(classifier, images, labels)
        assert not torch.allclose(before, after, rtol=1e-2), "the map does not depend on the weights"


class AttackerSuite(ComponentSuite):
    """The ball, the range, what decides the result, and a network that is left alone."""

    @pytest.fixture
    def component(self) -> Attacker:
        """The attacker under test."""
        raise NotImplementedError(f"{type(self).__name__} must give its component: override the fixture `component`")

    def _perturb(self, component: Attacker, case: Any, eps: float, batch: int | None = None) -> torch.Tensor:
        import torch

        classifier, images, labels = case
        generator = torch.Generator().manual_seed(0)
        size = batch or len(images)
        parts = [
            component.perturb(classifier.network(), images[i : i + size].clone(), labels[i : i + size], eps, generator)
            for i in range(0, len(images), size)
        ]
        return torch.cat(parts)

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

        classifier, images, labels = case = _case(tmp_path)
        given, before = images.clone(), network_state(classifier.network())
        generator = torch.Generator().manual_seed(0)
        component.perturb(classifier.network(), given, labels, 8 / 255, generator)
        assert_untouched(before, network_state(classifier.network()))
        assert torch.equal(given, case[1]), "the images given were changed in place"

    def test_it_raises_the_loss(self, component: Attacker, tmp_path: Path) -> None:
        import torch

        classifier, images, labels = case = _case(tmp_path)
        adversarial = self._perturb(component, case, 16 / 255)
        with torch.no_grad():
            before = torch.nn.functional.cross_entropy(classifier.network()(images), labels)
            after = torch.nn.functional.cross_entropy(classifier.network()(adversarial), labels)
        assert after > before
