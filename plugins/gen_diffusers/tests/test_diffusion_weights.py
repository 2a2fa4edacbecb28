"""Training may start from an earlier generator's weights, and from nothing that runs code."""

from __future__ import annotations

import json
import pickle
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from diffusers.models.unets.unet_2d import UNet2DModel
from fgic_gen_diffusers import DiffusionGenerator
from fgic_gen_diffusers._network import Network, Shape, save
from fgic_gen_diffusers._weights import load_into
from safetensors.torch import load_file, save_file

from fgic_core import Dataset, PluginError, StepContext

EMBEDDING = "class_embedding.weight"
NAMES = tuple(f"colour {number}" for number in range(5))


@pytest.fixture
def saved(tmp_path: Path, network: Callable[..., Network]) -> Path:
    """The file of a generator of three classes."""
    (tmp_path / "saved").mkdir()
    made = network()
    made.classes = NAMES[:3]
    save(made, tmp_path / "saved")
    return tmp_path / "saved" / "model.safetensors"


def _other(tiny: Callable[..., DiffusionGenerator], classes: int = 3, **options: object) -> Network:
    torch.manual_seed(8)
    return Network(Shape.of(tiny(**options), classes), frozenset(range(classes)))


def test_the_weights_are_taken(
    saved: Path, tiny: Callable[..., DiffusionGenerator], context: Callable[..., StepContext]
) -> None:
    other, ctx = _other(tiny), context()
    load_into(other.unet, other.shape, saved, NAMES[: other.shape.classes], ctx)
    found = load_file(saved)
    assert all(torch.equal(value, found[name]) for name, value in other.unet.state_dict().items())
    assert not ctx.warnings


def test_a_training_starts_from_them(
    saved: Path,
    tiny: Callable[..., DiffusionGenerator],
    colours: Callable[..., Dataset],
    context: Callable[..., StepContext],
    tmp_path: Path,
) -> None:
    generator = tiny(weights=saved, lr=1e-12)
    generator.save(generator.fit(colours(), context()), tmp_path)
    found, first = load_file(tmp_path / "model.safetensors"), load_file(saved)
    assert all(torch.allclose(found[name], first[name], atol=1e-6) for name in first)


def test_embeddings_of_another_number_of_classes_start_new_but_for_the_null_class(
    saved: Path, tiny: Callable[..., DiffusionGenerator], context: Callable[..., StepContext]
) -> None:
    other, ctx = _other(tiny, classes=5), context()
    own = other.unet.state_dict()[EMBEDDING].clone()
    load_into(other.unet, other.shape, saved, NAMES[: other.shape.classes], ctx)
    found, first = other.unet.state_dict(), load_file(saved)
    assert torch.equal(found[EMBEDDING][:-1], own[:-1])
    assert torch.equal(found[EMBEDDING][-1], first[EMBEDDING][-1])
    assert torch.equal(found["conv_in.weight"], first["conv_in.weight"])
    assert ctx.warnings == [
        "the weights model.safetensors tell 3 classes apart (colour 0, colour 1, colour 2), the data "
        "set has 5 (colour 0, colour 1, colour 2, …): their embedding (all but the null class's) starts new"
    ]


def test_embeddings_go_to_the_classes_of_their_names(
    saved: Path, tiny: Callable[..., DiffusionGenerator], context: Callable[..., StepContext]
) -> None:
    other, ctx, path = _other(tiny), context(), saved.rename(saved.with_name("copied.safetensors"))
    load_into(other.unet, other.shape, path, ("colour 2", "colour 0", "colour 1"), ctx)
    assert torch.equal(other.unet.state_dict()[EMBEDDING], load_file(path)[EMBEDDING][[2, 0, 1, 3]])
    assert ctx.warnings == []


@pytest.mark.parametrize("shape", [(4, 3), (32,), (), (0, 32), (4, 32, 1)])
def test_an_embedding_of_another_model_is_refused(
    shape: tuple[int, ...], saved: Path, tiny: Callable[..., DiffusionGenerator], context: Callable[..., StepContext]
) -> None:
    save_file({**load_file(saved), EMBEDDING: torch.zeros(shape)}, saved)
    other = _other(tiny)
    own = tuple(other.unet.state_dict()[EMBEDDING].shape)
    said = f"class_embedding.weight has the shape {shape}, in the model it is {own}"
    with pytest.raises(PluginError, match=re.escape(said)):
        load_into(other.unet, other.shape, saved, NAMES[:3], context())


def test_equal_networks_are_saved_as_equal_bytes(tmp_path: Path, network: Callable[..., Network]) -> None:
    """What a file says of itself is one entry: safetensors writes several in random order."""
    contents = set()
    for number in range(6):
        (tmp_path / str(number)).mkdir()
        save(network(), tmp_path / str(number))
        contents.add((tmp_path / str(number) / "model.safetensors").read_bytes())
    assert len(contents) == 1


def test_weights_of_whole_numbers_are_refused(
    saved: Path, tiny: Callable[..., DiffusionGenerator], context: Callable[..., StepContext]
) -> None:
    save_file({name: value.to(torch.int8) for name, value in load_file(saved).items()}, saved)
    other = _other(tiny)
    with pytest.raises(PluginError, match="is int8, in the model it is float32"):
        load_into(other.unet, other.shape, saved, NAMES[:3], context())
    with pytest.raises(PluginError, match="is int8, in the model it is float32"):
        tiny().load(saved.parent, "cpu")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prediction": "epsilon"}, "trained with prediction: v, the options say epsilon"),
        ({"noise": "linear"}, "trained with noise: cosine, the options say linear"),
        ({"base_channels": 16}, "have another shape than the model's"),
        ({"layers": 2}, "lack .* tensors"),
    ],
)
def test_weights_of_another_kind_are_refused(
    options: dict[str, object],
    message: str,
    saved: Path,
    tiny: Callable[..., DiffusionGenerator],
    context: Callable[..., StepContext],
) -> None:
    other = _other(tiny, **options)
    with pytest.raises(PluginError, match=message):
        load_into(other.unet, other.shape, saved, NAMES[: other.shape.classes], context())


class _Bomb:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.mark,)


@pytest.mark.parametrize("by", ["pickle", "torch"])
def test_a_pickle_by_another_name_is_not_run(
    by: str, tmp_path: Path, tiny: Callable[..., DiffusionGenerator], context: Callable[..., StepContext]
) -> None:
    path, mark = tmp_path / "model.safetensors", tmp_path / "ran"
    if by == "pickle":
        path.write_bytes(pickle.dumps(_Bomb(mark)))
    else:
        torch.save(_Bomb(mark), path)
    other = _other(tiny)
    with pytest.raises(PluginError, match="not a safetensors file"):
        load_into(other.unet, other.shape, path, NAMES[: other.shape.classes], context())
    generator = tiny()
    (tmp_path / "model.json").write_text(
        json.dumps({"format": 1, "shape": Shape.of(generator, 3).__dict__, "learned": [0]})
    )
    with pytest.raises(PluginError, match="cannot be read"):
        generator.load(tmp_path, "cpu")
    assert not mark.exists()


def test_what_is_saved_is_a_network_of_diffusers(saved: Path, network: Callable[..., Network]) -> None:
    document = json.loads((saved.parent / "model.json").read_text())
    unet = UNet2DModel(**document["unet"]).eval()
    unet.load_state_dict(load_file(saved))
    x, t, labels = torch.randn(2, 3, 16, 16), torch.tensor([5, 700]), torch.tensor([0, 3])
    with torch.no_grad():
        torch.testing.assert_close(unet(x, t, labels).sample, network()(x, t, labels))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"resolution": 32}, "its resolution is 16, but the options say 32"),
        ({"prediction": "epsilon"}, "its prediction is v, but the options say epsilon"),
        ({"multipliers": [1, 1]}, r"its multipliers is \[1, 2\]"),
    ],
)
def test_a_model_of_other_options_is_not_loaded(
    options: dict[str, object], message: str, saved: Path, tiny: Callable[..., DiffusionGenerator]
) -> None:
    with pytest.raises(PluginError, match=message):
        tiny(**options).load(saved.parent, "cpu")


def test_a_damaged_model_is_named(saved: Path, tiny: Callable[..., DiffusionGenerator]) -> None:
    state = load_file(saved)
    state.pop("conv_in.weight")
    save_file(state, saved)
    with pytest.raises(PluginError, match="conv_in"):
        tiny().load(saved.parent, "cpu")
