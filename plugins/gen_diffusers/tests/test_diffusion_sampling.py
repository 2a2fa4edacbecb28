"""What is asked for is what is made: the class, the colours, the guidance, and nothing besides."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from fgic_gen_diffusers import DiffusionGenerator
from fgic_gen_diffusers._network import Network
from fgic_gen_diffusers._sampling import guided, sample

from fgic_core import Dataset, PluginError, StepContext

Make = Callable[..., DiffusionGenerator]
#: A training of seconds that learns the colours.
LEARNS: dict[str, Any] = {"base_channels": 16, "epochs": 30, "lr": 2e-3, "ema_decay": 0.95, "sampling_steps": 10}


def _colours(pictures: np.ndarray) -> np.ndarray:
    return pictures.mean(axis=(2, 3))


def _nearest(found: np.ndarray, rgb: np.ndarray) -> list[int]:
    return np.linalg.norm(found[:, None] - rgb[None], axis=2).argmin(axis=1).tolist()


@pytest.mark.slow
def test_a_class_has_the_colour_that_it_had_in_train(
    tiny: Make, colours: Callable[..., Dataset], context: Callable[..., StepContext], rgb: np.ndarray
) -> None:
    """Neither labels off by one nor BGR: red and blue are among the colours."""
    fitted = tiny(**LEARNS).fit(colours([8, 8, 8, 8]), context())
    labels = [3, 0, 2, 1, 0, 1, 2, 3]
    for sampler in ("dpmsolver++", "ddim"):
        found = _colours(sample(tiny(**LEARNS, sampler=sampler), fitted.network, labels, list(range(8))))
        assert _nearest(found, rgb) == labels
        assert np.abs(found - rgb[labels]).max() < 0.2


def test_guidance_draws_pictures_towards_their_class(
    tiny: Make, colours: Callable[..., Dataset], context: Callable[..., StepContext], rgb: np.ndarray
) -> None:
    """After a short training the classes are not apart yet; guidance takes them apart."""
    generator = tiny(**{**LEARNS, "epochs": 12}, guidance_scale=1, drop_labels=0.3)
    fitted = generator.fit(colours([8, 8, 8]), context())
    labels, seeds = [0, 1, 2] * 4, list(range(12))

    def apart(scale: float) -> float:
        options = tiny(**LEARNS, guidance_scale=scale)
        found = _colours(sample(options, fitted.network, labels, seeds)).reshape(4, 3, 3)
        return float(np.linalg.norm(found - found.mean(axis=1, keepdims=True), axis=2).mean())

    assert apart(3) > 1.05 * apart(1)


def test_the_guided_prediction_is_that_of_the_paper(network: Callable[..., Network]) -> None:
    untrained = network()
    x, t, labels = torch.randn(2, 3, 16, 16), torch.tensor(400), torch.tensor([0, 2])
    of_class, of_none = untrained(x, t, labels), untrained(x, t, torch.tensor([3, 3]))
    torch.testing.assert_close(guided(untrained, x, t, labels, 1.0), of_class)
    w = 1.5
    torch.testing.assert_close(guided(untrained, x, t, labels, 1 + w), (1 + w) * of_class - w * of_none)
    assert not torch.allclose(of_class, of_none, atol=1e-4)


def test_without_guidance_the_null_class_is_never_asked(network: Callable[..., Network], tiny: Make) -> None:
    untrained, asked = network(), []
    whole = untrained.forward
    untrained.forward = lambda x, t, labels: (asked.append(labels.tolist()), whole(x, t, labels))[1]  # type: ignore
    sample(tiny(guidance_scale=1), untrained, [0, 2], [1, 2])
    assert asked == [[0, 2]] * 4
    asked.clear()
    sample(tiny(guidance_scale=2), untrained, [0, 2], [1, 2])
    assert asked == [[0, 2, 3, 3]] * 4


def test_the_null_class_cannot_be_asked_for(network: Callable[..., Network], tiny: Make) -> None:
    untrained = network()
    assert untrained.unet.class_embedding.num_embeddings == 4
    with pytest.raises(PluginError, match="there is no class 3: the classes are 0 to 2"):
        sample(tiny(), untrained, [0, untrained.null], [1, 2])


def test_a_class_without_pictures_is_refused(
    tiny: Make, colours: Callable[..., Dataset], context: Callable[..., StepContext], tmp_path: Any
) -> None:
    generator = tiny()
    fitted = generator.fit(colours([3, 0, 3]), context())
    generator.save(fitted, tmp_path)
    for one in (fitted, generator.load(tmp_path, "cpu")):
        assert one.sample([0, 2], [1, 2]).shape == (2, 3, 16, 16)
        with pytest.raises(PluginError, match="no picture of the class 1 was learned from"):
            one.sample([0, 1], [1, 2])


def test_there_must_be_something_to_learn_from(
    tiny: Make, colours: Callable[..., Dataset], context: Callable[..., StepContext]
) -> None:
    with pytest.raises(PluginError, match="no train picture"):
        tiny().fit(colours().take([]), context())


def test_no_labels_give_no_pictures(network: Callable[..., Network], tiny: Make) -> None:
    assert sample(tiny(), network(), [], []).shape == (0, 3, 16, 16)


@pytest.mark.parametrize("sampler", ["ddim", "dpmsolver++"])
def test_a_picture_does_not_depend_on_what_else_is_asked_for(
    sampler: str, network: Callable[..., Network], tiny: Make
) -> None:
    untrained, options = network(), tiny(sampler=sampler, batch_size=3, sampling_steps=20)
    labels, seeds = [0, 1, 2, 0, 1], [7, 7, 8, 2**63 - 1, 0]
    together = sample(options, untrained, labels, seeds)
    for row in range(5):
        alone = sample(options, untrained, labels[row : row + 1], seeds[row : row + 1])
        np.testing.assert_allclose(together[row], alone[0], atol=1e-4)
    other = sample(options, untrained, labels[::-1], seeds[::-1])
    np.testing.assert_allclose(together, other[::-1], atol=1e-4)


def test_sampling_leaves_random_numbers_and_modes_alone(network: Callable[..., Network], tiny: Make) -> None:
    untrained = network()
    before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()
    sample(tiny(), untrained, [0], [1])
    assert random.getstate() == before[0]
    assert np.random.get_state()[1].tolist() == before[1]
    assert torch.equal(torch.get_rng_state(), before[2])
    assert torch.is_grad_enabled()
    assert not torch.is_inference_mode_enabled()
    assert not any(module.training for module in untrained.modules())
