"""What holds for an attacker."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from fgic_core.kinds.attacker.contract import Attacker
from fgic_core.testing.component import ComponentSuite
from fgic_core.testing.networks import assert_untouched, network_state, small_case

if TYPE_CHECKING:
    import torch


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
        batches = [
            component.perturb(network, images[i : i + size].clone(), labels[i : i + size], eps, generator)
            for i in range(0, len(images), size)
        ]
        return torch.cat(batches)

    def test_it_knows_the_norm_that_it_is_set_to(self, component: Attacker) -> None:
        assert component.norm in component.norms
        assert set(component.norms) <= {"Linf", "L2"}, "the core can measure no other norm"

    @pytest.mark.parametrize("eps", [1e-4, 1 / 255, 8 / 255, 0.5, 1.0])
    def test_it_stays_in_the_ball_and_in_the_unit_range(self, component: Attacker, tmp_path: Path, eps: float) -> None:
        case = small_case(tmp_path)
        adversarial = self._perturb(component, case, eps)
        change = (adversarial - case[1]).flatten(1)
        distance = change.abs().amax(1) if component.norm == "Linf" else change.norm(dim=1)
        assert distance.max() <= eps + 1e-5
        assert adversarial.min() >= 0
        assert adversarial.max() <= 1
        assert not adversarial.requires_grad

    def test_the_generator_decides_the_result(self, component: Attacker, tmp_path: Path) -> None:
        import torch

        case = small_case(tmp_path)
        assert torch.equal(self._perturb(component, case, 8 / 255), self._perturb(component, case, 8 / 255))

    def test_the_batch_size_does_not_matter(self, component: Attacker, tmp_path: Path) -> None:
        import torch

        case = small_case(tmp_path)
        whole, split = self._perturb(component, case, 8 / 255), self._perturb(component, case, 8 / 255, batch=2)
        differing = ((whole - split).abs() > 1e-5).float().mean()
        assert differing < 0.01, "a sign of a rounded gradient may flip, no more than that"
        assert torch.isfinite(whole).all()

    def test_it_leaves_the_network_and_the_images_as_it_found_them(self, component: Attacker, tmp_path: Path) -> None:
        import torch

        network, images, labels = case = small_case(tmp_path)
        given, before = images.clone(), network_state(network)
        generator = torch.Generator().manual_seed(0)
        component.perturb(network, given, labels, 8 / 255, generator)
        assert_untouched(before, network_state(network))
        assert torch.equal(given, case[1]), "the images given were changed in place"

    def test_it_raises_the_loss(self, component: Attacker, tmp_path: Path) -> None:
        import torch

        network, images, labels = case = small_case(tmp_path)
        adversarial = self._perturb(component, case, 16 / 255)
        with torch.no_grad():
            before = torch.nn.functional.cross_entropy(network(images), labels)
            after = torch.nn.functional.cross_entropy(network(adversarial), labels)
        assert after > before
