"""What a component takes beyond its kind, made by the suites."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fgic_core.errors import nearest
from fgic_core.kinds.classifier.model import Model
from fgic_core.kinds.component import Component
from fgic_core.kinds.ports import Input
from fgic_core.kinds.table import KINDS
from fgic_core.testing.data import tiny_context, tiny_dataset
from fgic_core.testing.networks import SmallCnn


def further_ports(component: Component) -> dict[str, Input]:
    """The ports that learning sees and that the component's kind does not have."""
    own = KINDS[component.kind].interface.inputs
    return {name: port for name, port in component.inputs.items() if name not in own and port.at == "fit"}


def tiny_inputs(component: Component, folder: Path) -> dict[str, Any]:
    """Something for each further port, the optional ones too, as a step finds it in ``ctx.inputs``.

    Args:
        component: whose ports.
        folder: files are written here.

    Returns:
        By port: a `Model` of random weights with the classes of `tiny_dataset`, on the CPU and in evaluation mode; a
        `Dataset`; of a port of many a list of two.
    """

    def made(name: str, port: Input, number: int) -> Any:
        data = tiny_dataset(folder / f"{name}-{number}", seed=number)
        return data if port.type == "dataset" else _model(data, folder / f"{name}-{number}", number)

    return {
        name: [made(name, port, number) for number in (1, 2)] if port.many else made(name, port, 1)
        for name, port in further_ports(component).items()
    }


def check_given(component: Component, inputs: Mapping[str, Any]) -> None:
    """Fail where the fixture ``inputs`` names a port that there is not, or leaves out one that learning needs."""
    import pytest

    ports, name = further_ports(component), type(component).__name__
    known = f"its ports are {', '.join(component.inputs)}"
    for port in inputs:
        if port not in component.inputs:
            close = nearest(port, list(ports))
            hint = f"did you mean {' or '.join(close)}?" if close else known
            pytest.fail(f"the fixture `inputs` gives {port}, and {name} has no such port; {hint}", pytrace=False)
    for port, about in ports.items():
        if about.required and port not in inputs:
            pytest.fail(f"the fixture `inputs` gives nothing for {port}, which {name} requires; {known}", pytrace=False)


def without_optional(component: Component, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """What the component cannot do without."""
    ports = further_ports(component)
    return {name: given for name, given in inputs.items() if name not in ports or ports[name].required}


def _model(data: Any, folder: Path, seed: int) -> Model:
    fitted = SmallCnn().fit(data, data, tiny_context(folder, seed=seed))
    fitted.network.eval()
    return Model(fitted)
