"""Networks of classifier/timm: their normalisation, sizes, first weights and files."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import timm
import torch
from fgic_classify_timm import TimmClassifier
from fgic_classify_timm._models import has_model, models
from fgic_classify_timm._network import build
from pydantic import ValidationError
from safetensors.torch import load_file, save_file

from fgic_core import Dataset, PluginError, Size
from fgic_core.steps.context import StepContext

Make = Callable[..., TimmClassifier]
MakeContext = Callable[..., StepContext]
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@pytest.mark.parametrize(
    ("model", "mean", "std"),
    [
        ("test_efficientnet", *IMAGENET),
        ("vit_tiny_patch16_224.augreg_in21k_ft_in1k", (0.5,) * 3, (0.5,) * 3),
        ("mobilevitv2_050.cvnets_in1k", (0.0,) * 3, (1.0,) * 3),
    ],
)
def test_mean_and_deviation_are_the_models_own_and_stand_inside_the_network(
    tiny: Make, context: MakeContext, model: str, mean: tuple[float, ...], std: tuple[float, ...]
) -> None:
    fitted = build(tiny(model=model, image_size=None), "abc", context())
    network = fitted.network.eval()
    images = torch.rand(1, 3, fitted.input.size.height, fitted.input.size.width)
    normalised = (images - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)
    with torch.no_grad():
        assert torch.allclose(network(images), network.model(normalised), atol=1e-5)


def test_size_and_interpolation_are_the_models_own_unless_a_size_is_given(tiny: Make, context: MakeContext) -> None:
    spec = build(tiny(model="test_resnet", image_size=None), "abc", context()).input
    assert (spec.size, spec.interpolation, spec.fit) == (Size(160, 160), "bilinear", "letterbox")
    spec = build(tiny(model="test_efficientnet", image_size=48), "abc", context()).input
    assert (spec.size, spec.interpolation, spec.fit) == (Size(48, 48), "bicubic", "letterbox")


def test_a_transformer_takes_another_size_that_its_patches_divide(tiny: Make, context: MakeContext) -> None:
    network = build(tiny(model="test_vit", image_size=96), "abc", context()).network.eval()
    with torch.no_grad():
        assert network(torch.rand(1, 3, 96, 96)).shape == (1, 3)


def test_a_size_that_the_patches_do_not_divide_is_refused_and_legal_ones_named(
    tiny: Make, context: MakeContext
) -> None:
    with pytest.raises(PluginError) as caught:
        build(tiny(model="test_vit", image_size=100), "abc", context())
    assert "not a multiple of the 16-pixel patches" in caught.value.what
    assert "96 or 112" in (caught.value.hint or "")


def test_a_size_that_a_model_cannot_take_for_another_reason_is_refused(tiny: Make, context: MakeContext) -> None:
    with pytest.raises(PluginError, match="test_maxvit"):
        build(tiny(model="test_maxvit", image_size=50), "abc", context())


def test_an_unknown_model_is_refused_with_the_nearest_names(tiny: Make, context: MakeContext) -> None:
    with pytest.raises(ValidationError, match=r"model of timm's, and resnet5O is none; did you mean resnet50"):
        tiny(model="resnet5O.a1_in1k")
    trusted = TimmClassifier.model_validate({"model": "resnet5O"}, context={"trusted": True})  # as of an older artifact
    with pytest.raises(PluginError, match="no model 'resnet5O'") as caught:
        build(trusted, "abc", context())
    assert "resnet50" in (caught.value.hint or "")


def test_every_model_of_timms_is_known_without_importing_it() -> None:
    assert set(timm.list_models()) - set(models()) == set()
    assert all(map(has_model, [*timm.list_models()[::50], "resnetv2_50x1_bitm"]))
    assert not has_model("resnet")


@pytest.mark.parametrize("model", ["hf-hub:someone/something", "local-dir:/tmp/x", "../resnet18", ""])
def test_a_model_is_named_and_not_addressed(model: str) -> None:
    with pytest.raises(ValueError, match="model"):
        TimmClassifier(model=model)


def test_model_options_reach_the_model_and_wrong_ones_are_refused(tiny: Make, context: MakeContext) -> None:
    plain = build(tiny(), "abc", context()).network.eval()
    same = build(tiny(model_options={"pad_type": "same"}), "abc", context()).network.eval()
    same.load_state_dict(plain.state_dict())
    images = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        assert not torch.allclose(plain(images), same(images))
    with pytest.raises(PluginError, match=r"cannot be built.*no_such_option"):
        build(tiny(model_options={"no_such_option": 1}), "abc", context())


@pytest.mark.parametrize("name", ["checkpoint_path", "num_classes", "img_size", "drop_rate"])
def test_model_options_that_fgic_sets_itself_or_that_unpickle_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"should not set {name}"):
        TimmClassifier(model_options={name: "x"})


def test_a_saved_model_is_read_again_bit_by_bit_without_the_network(
    tiny: Make, colours: Dataset, context: MakeContext, tmp_path: Path
) -> None:
    classifier = tiny(model_options={"pad_type": "same"}, dropout=0.1, epochs=1)
    fitted = classifier.fit(colours.split("train"), colours.split("val"), context())
    folder = tmp_path / "saved"
    folder.mkdir()
    classifier.save(fitted, folder)
    assert [file.name for file in folder.iterdir()] == ["model.safetensors"]
    again = TimmClassifier.model_validate({**classifier.model_dump(), "pretrained": True}).load(folder, "cpu")
    images = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(again.network(images), fitted.network(images))
    assert (again.input, again.classes) == (fitted.input, ("red", "green", "blue"))
    # timm alone reads the file too.
    timm.create_model(classifier.model, num_classes=3).load_state_dict(load_file(folder / "model.safetensors"))


def test_a_damaged_or_foreign_model_is_refused(tiny: Make, context: MakeContext, tmp_path: Path) -> None:
    tiny().save(build(tiny(), "abc", context()), tmp_path)
    with pytest.raises(PluginError, match="Are they of the network that the options describe"):
        tiny(model="test_resnet").load(tmp_path, "cpu")
    whole = (tmp_path / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(PluginError, match="cannot be read"):
        tiny().load(tmp_path, "cpu")
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(PluginError, match="cannot be read"):
        tiny().load(tmp_path, "cpu")


def local(tmp_path: Path, model: str = "test_efficientnet", **options: object) -> tuple[Path, dict[str, torch.Tensor]]:
    torch.manual_seed(5)
    state = timm.create_model(model, **options).state_dict()
    path = tmp_path / "local.safetensors"
    save_file(state, path)
    return path, state


def test_local_weights_with_another_head_are_taken_and_the_new_head_is_said(
    tiny: Make, context: MakeContext, tmp_path: Path
) -> None:
    path, state = local(tmp_path)
    ctx = context()
    found = build(tiny(weights=path), "abc", ctx).network.state_dict()
    assert all(torch.equal(found[name], value) for name, value in state.items() if not name.startswith("classifier."))
    assert found["classifier.weight"].shape[0] == 3
    (warning,) = ctx.warnings
    assert "tell 1000 classes apart, the data set has 3 (a, b, c): the head starts new" in warning


def test_local_weights_with_the_same_number_of_classes_keep_their_head(
    tiny: Make, context: MakeContext, tmp_path: Path
) -> None:
    path, state = local(tmp_path, num_classes=3)
    ctx = context()
    found = build(tiny(weights=path), "abc", ctx).network.state_dict()
    assert all(torch.equal(found[name], value) for name, value in state.items())
    (warning,) = ctx.warnings
    assert "nothing in the weights local.safetensors says which 3 classes they tell apart" in warning


def test_position_embeddings_of_local_weights_are_resampled_to_the_size(
    tiny: Make, context: MakeContext, tmp_path: Path
) -> None:
    path, state = local(tmp_path, "test_vit")
    for classes in (3, 1000):
        names = [str(number) for number in range(classes)]
        found = build(tiny(model="test_vit", image_size=96, weights=path), names, context()).network.state_dict()
        assert found["pos_embed"].shape != state["pos_embed"].shape
        assert torch.equal(found["blocks.0.attn.qkv.weight"], state["blocks.0.attn.qkv.weight"])
        assert torch.equal(found["head.weight"], state["head.weight"]) == (classes == 1000)


def test_local_weights_of_another_model_are_refused_with_the_nearest_name(
    tiny: Make, context: MakeContext, tmp_path: Path
) -> None:
    path, state = local(tmp_path)
    save_file({name.replace("conv_stem", "conv_stm"): value for name, value in state.items()}, path)
    with pytest.raises(PluginError) as caught:
        build(tiny(weights=path), "abc", context())
    assert "lack 1 of" in caught.value.what
    assert "conv_stm.weight" in caught.value.what
    assert "conv_stem.weight" in (caught.value.hint or "")


def test_local_weights_of_another_shape_are_refused(tiny: Make, context: MakeContext, tmp_path: Path) -> None:
    path, state = local(tmp_path)
    save_file({**state, "conv_head.weight": torch.zeros(7, 7, 1, 1)}, path)
    with pytest.raises(PluginError, match=r"conv_head\.weight has the shape"):
        build(tiny(weights=path), "abc", context())


class _Malicious:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (os.environ["FGIC_TEST_TRAP"],)


def test_pickled_weights_are_refused_and_never_run(
    tiny: Make, context: MakeContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trap = tmp_path / "sprung"
    monkeypatch.setenv("FGIC_TEST_TRAP", str(trap))
    for name in ("weights.pth", "weights.bin"):
        (tmp_path / name).write_bytes(pickle.dumps(_Malicious()))
        with pytest.raises(ValueError, match=r"should be a \.safetensors file.*pickles"):
            tiny(weights=tmp_path / name)
    renamed = tmp_path / "weights.safetensors"
    renamed.write_bytes(pickle.dumps(_Malicious()))
    with pytest.raises(PluginError, match="not a safetensors file"):
        build(tiny(weights=renamed), "abc", context())
    assert not trap.exists()


def test_hub_weights_that_do_not_exist_are_refused_with_those_that_do(tiny: Make, context: MakeContext) -> None:
    with pytest.raises(PluginError, match="no weights test_vit4") as caught:
        build(tiny(model="test_vit4", pretrained=True, image_size=None), "abc", context())
    assert "pretrained: false" in (caught.value.hint or "")


def test_without_a_network_hub_weights_fail_with_the_way_out(
    tiny: Make, context: MakeContext, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    with pytest.raises(PluginError, match="could not be downloaded") as caught:
        build(tiny(pretrained=True), "abc", context())
    assert "weights: x.safetensors" in (caught.value.hint or "")
    assert "pretrained: false" in (caught.value.hint or "")


def test_importing_the_component_imports_no_torch() -> None:
    code = "import sys, fgic_classify_timm; print(sorted({'torch', 'timm', 'numpy', 'pyarrow'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_option_has_a_description() -> None:
    assert all(field.description for field in TimmClassifier.model_fields.values())
