"""What holds for an explainer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from fgic_core.kinds.explainer.contract import Explainer, Maps
from fgic_core.testing.component import ComponentSuite
from fgic_core.testing.networks import assert_untouched, network_state, small_case

if TYPE_CHECKING:
    import torch


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

        assert torch.isfinite(self._explain(component, small_case(tmp_path))).all()

    def test_it_leaves_the_network_as_it_found_it(self, component: Explainer, tmp_path: Path) -> None:
        case = small_case(tmp_path)
        before = network_state(case[0])
        self._explain(component, case)
        assert_untouched(before, network_state(case[0]))

    def test_the_generator_decides_the_maps(self, component: Explainer, tmp_path: Path) -> None:
        import torch

        case = small_case(tmp_path)
        assert torch.equal(self._explain(component, case), self._explain(component, case))

    def test_a_picture_gives_the_same_map_alone_and_in_a_batch(self, component: Explainer, tmp_path: Path) -> None:
        import torch

        case = small_case(tmp_path)
        together = self._explain(component, case)
        first = self._explain(component, case, slice(1))
        torch.testing.assert_close(together[:1], first, atol=1e-5, rtol=1e-3)

    def test_other_weights_give_another_map(self, component: Explainer, tmp_path: Path) -> None:
        import torch

        case = small_case(tmp_path)
        before = self._explain(component, case)
        with torch.no_grad():
            for parameter in case[0].parameters():
                values = parameter.flatten()
                order = torch.randperm(len(values), generator=torch.Generator().manual_seed(1))
                parameter.copy_(values[order].view_as(parameter) * -1.0)
        after = self._explain(component, case)
        assert not torch.allclose(before, after, rtol=1e-2), "the map does not depend on the weights"
