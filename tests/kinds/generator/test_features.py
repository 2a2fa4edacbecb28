"""The features are those of torch-fidelity's InceptionV3 or of a timm model, from weights that are read safely."""

from __future__ import annotations

import os
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import load_file, save_file

from fgic_core import Generator, PluginError
from fgic_core.kinds.generator.features import Extractor, Resized, extractor_of
from fgic_core.metrics.distances import Moments, frechet_distance

DATA = Path(os.environ.get("FGIC_REAL_DATA", Path(__file__).parents[3] / "../shared/data")).resolve()
REAL = DATA.parent / "weights" / "mobilenetv2_100.imagenet1k_dequantised.safetensors"
SMALL = "test_resnet"


class Nothing(Generator):
    """A generator with options alone."""

    def fit(self, train: Any, ctx: Any) -> Any: ...
    def save(self, fitted: Any, folder: Any) -> None: ...
    def load(self, folder: Any, device: Any) -> Any: ...


def extractor(**options: Any) -> Extractor:
    found = extractor_of(Nothing(**options), "cpu")
    assert found is not None
    return found


def pictures(n: int = 5, side: int = 48, seed: int = 0) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Soft colours with noise."""
    rng = np.random.default_rng(seed)
    colour = rng.integers(0, 256, (n, 1, 1, 3)) * np.linspace(0.2, 1, side)[:, None, None]
    return np.clip(colour + rng.normal(0, 20, (n, side, side, 3)), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of a tiny timm model with a head for seven classes."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = timm.create_model(SMALL, num_classes=7)
    file = tmp_path_factory.mktemp("weights") / "small.safetensors"
    save_file(model.state_dict(), file)
    return file


@pytest.fixture(scope="module")
def inception(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A file of random weights with torch-fidelity's names, as its .pth is."""
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    class Empty(FeatureExtractorInceptionV3):  # type: ignore[misc]
        def load_state_dict(self, *_: Any, **__: Any) -> Any: ...

    folder = tmp_path_factory.mktemp("inception")
    torch.save({}, folder / "nothing.pth")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = Empty("random", ["2048"], feature_extractor_weights_path=folder / "nothing.pth")
        for module in network.modules():
            if isinstance(module, torch.nn.Conv2d):
                torch.nn.init.kaiming_normal_(module.weight)
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.1)
    torch.save(network.state_dict(), folder / "random.pth")
    yield folder / "random.pth"
    (folder / "random.pth").unlink()


def test_without_weights_there_is_no_extractor() -> None:
    assert extractor_of(Nothing(), "cpu") is None
    assert extractor_of(Nothing(fid_model=SMALL), "cpu") is None


def test_inception_is_that_of_torch_fidelity_from_either_kind_of_file(inception: Path, tmp_path: Path) -> None:
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    theirs = FeatureExtractorInceptionV3("theirs", ["2048"], feature_extractor_weights_path=inception)
    some = pictures(3)
    expected = theirs(torch.from_numpy(some).permute(0, 3, 1, 2).contiguous())[0].numpy()
    assert expected.std() > 0.01
    save_file({name: value.contiguous() for name, value in torch.load(inception).items()}, tmp_path / "r.safetensors")
    for file in (inception, tmp_path / "r.safetensors"):
        ours = extractor(fid_weights=file)
        np.testing.assert_allclose(ours(some), expected, rtol=1e-5, atol=1e-6)
        assert ours.name == f"InceptionV3 of torch-fidelity (weights {file.stem}), 2048 features"
        assert ours.dims == 2048


def test_weights_without_the_count_of_batches_are_taken(inception: Path, tmp_path: Path) -> None:
    """As in torch-fidelity's own file."""
    state = {name: value for name, value in torch.load(inception).items() if "num_batches" not in name}
    torch.save(state, tmp_path / "weights.pth")
    some = pictures(1)
    np.testing.assert_array_equal(
        extractor(fid_weights=tmp_path / "weights.pth")(some), extractor(fid_weights=inception)(some)
    )


def test_timm_features_are_those_before_the_head(small: Path) -> None:
    ours = extractor(fid_model=SMALL, fid_weights=small, fid_size=48)
    assert ours.name == f"{SMALL} (weights small), {ours.dims} features at 48 px"
    model = timm.create_model(SMALL, num_classes=7).eval()
    model.load_state_dict(load_file(small))
    config = timm.data.resolve_model_data_config(model)
    some = pictures(4)
    mean, std = (torch.tensor(config[name]).view(1, 3, 1, 1) for name in ("mean", "std"))
    with torch.no_grad():
        x = (torch.from_numpy(some).permute(0, 3, 1, 2) / 255 - mean) / std
        expected = model.forward_head(model.forward_features(x), pre_logits=True).numpy()
    assert expected.shape == (4, ours.dims)
    np.testing.assert_allclose(ours(some), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["test_convnext", "test_efficientnet", "test_vit", "levit_128s"])
def test_heads_of_any_form_are_left_out(name: str, tmp_path: Path) -> None:
    """Under the names `head.fc`, `classifier`, `head`; two heads, each with a normalisation of its own."""
    save_file(timm.create_model(name, num_classes=7).state_dict(), tmp_path / "weights.safetensors")
    ours = extractor(fid_model=name, fid_weights=tmp_path / "weights.safetensors")
    assert ours(pictures(1)).shape == (1, ours.dims)


def test_a_pth_file_and_one_that_holds_more_are_read(small: Path, tmp_path: Path) -> None:
    expected = extractor(fid_model=SMALL, fid_weights=small)(pictures())
    for content in (load_file(small), {"state_dict": load_file(small), "epoch": 3}):
        torch.save(content, tmp_path / "weights.pth")
        found = extractor(fid_model=SMALL, fid_weights=tmp_path / "weights.pth")(pictures())
        np.testing.assert_array_equal(found, expected)


def test_batches_make_no_difference_and_no_picture_is_no_feature(small: Path) -> None:
    ours, some = extractor(fid_model=SMALL, fid_weights=small), pictures(70)
    whole = ours(some)
    assert whole.dtype == np.float32
    np.testing.assert_allclose(np.concatenate([ours(some[i : i + 1]) for i in range(70)]), whole, rtol=1e-4, atol=1e-5)
    assert ours(some[:0]).shape == (0, ours.dims)
    np.testing.assert_array_equal(ours(np.asarray(some[:, ::-1])), ours(some[:, ::-1].copy()))


def test_swapped_channels_change_the_distance(small: Path) -> None:
    ours, some = extractor(fid_model=SMALL, fid_weights=small), pictures(60)

    def moments(pixels: np.ndarray[Any, Any]) -> Moments:
        made = Moments()
        made.add(ours(pixels))
        return made

    own, swapped = moments(some), moments(some[..., ::-1])
    scale = float(np.trace(own.covariance))
    assert frechet_distance(own, moments(some.copy())) < 1e-7 * scale
    assert frechet_distance(own, swapped) > 1e-3 * scale


def test_pictures_are_resized_with_antialiasing() -> None:
    """A checkerboard of pixels is grey; without antialiasing, a size that does not divide it gives black and white."""
    board = (np.indices((64, 64)).sum(axis=0) % 2 * 255).astype(np.uint8)
    x = torch.from_numpy(np.broadcast_to(board, (1, 3, 64, 64)).copy())
    grey = Resized((24, 24), (0, 0, 0), (1, 1, 1))(x)
    assert grey.shape == (1, 3, 24, 24)
    assert (grey - 0.5).abs().max() < 0.05
    same = Resized((64, 64), (0.5, 0.5, 0.5), (0.25, 0.5, 1))(x)
    assert same[0, :, 0, 0].tolist() == [-2, -1, -0.5]
    assert same[0, :, 0, 1].tolist() == [2, 1, 0.5]


def test_enlarged_pictures_stay_between_black_and_white() -> None:
    edge = torch.zeros(1, 3, 16, 16, dtype=torch.uint8)
    edge[..., 8:] = 255
    found = Resized((64, 64), (0, 0, 0), (1, 1, 1))(edge)
    assert (float(found.min()), float(found.max())) == (0, 1)


def test_the_network_is_in_evaluation_mode_and_has_no_gradients(small: Path) -> None:
    ours = extractor(fid_model=SMALL, fid_weights=small)
    assert not ours._network.training
    assert not any(parameter.requires_grad for parameter in ours._network.parameters())
    np.testing.assert_array_equal(ours(pictures()), ours(pictures()))


def test_building_it_leaves_the_random_numbers_as_they_were(small: Path, inception: Path) -> None:
    """Else a generator would train differently with FID than without."""
    for options in ({"fid_model": SMALL, "fid_weights": small}, {"fid_weights": inception}):
        before = torch.get_rng_state()
        extractor(**options)(pictures())
        assert torch.equal(torch.get_rng_state(), before)


class Malicious:
    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> Any:
        return (Path.touch, (self.file,))


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("model", ["inception", SMALL])
def test_a_malicious_pickle_is_not_executed(model: str, tmp_path: Path) -> None:
    evil, file = tmp_path / "evil", tmp_path / "weights.pth"
    torch.save({"x": Malicious(evil)}, file)
    with pytest.raises(PluginError, match="these weights cannot be read"):
        extractor(fid_model=model, fid_weights=file)
    file.write_bytes(pickle.dumps(Malicious(evil)))
    with pytest.raises(PluginError, match=r"weights\.pth: these weights cannot be read(.|\n)*run any code"):
        extractor(fid_model=model, fid_weights=file)
    assert not evil.exists()
    pickle.loads(file.read_bytes())
    assert evil.exists(), "or it would not have been malicious"


def test_weights_of_another_network_are_refused_by_name(small: Path, tmp_path: Path) -> None:
    with pytest.raises(PluginError, match=r"lack \d+ of 472 tensors(.|\n)*Are they of torch-fidelity's InceptionV3\?"):
        extractor(fid_weights=small)
    with pytest.raises(PluginError, match=r"lack \d+ of \d+ tensors(.|\n)*Are they of this timm model\?"):
        extractor(fid_model="test_vit", fid_weights=small)
    state = load_file(small)
    name = next(key for key, value in state.items() if value.ndim == 4)
    state[name] = state[name][:-1].contiguous()
    save_file(state, tmp_path / "cut.safetensors")
    with pytest.raises(PluginError, match=rf"{name} has the shape"):
        extractor(fid_model=SMALL, fid_weights=tmp_path / "cut.safetensors")
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(PluginError, match="holds no tensors by name"):
        extractor(fid_model=SMALL, fid_weights=tmp_path / "list.pth")
    (tmp_path / "text.safetensors").write_text("no tensors")
    with pytest.raises(PluginError, match="cannot be read"):
        extractor(fid_model=SMALL, fid_weights=tmp_path / "text.safetensors")


def test_an_unknown_model_is_refused_with_the_nearest_names(small: Path) -> None:
    with pytest.raises(PluginError, match=r"has no model 'test_resnt'(.|\n)*Did you mean test_resnet"):
        extractor(fid_model="test_resnt", fid_pretrained=True)
    with pytest.raises(PluginError, match=r"Did you mean inception or"):
        extractor(fid_model="inceptoin", fid_pretrained=True)
    with pytest.raises(PluginError, match="Invalid pretrained tag"):
        extractor(fid_model=f"{SMALL}.nosuch", fid_weights=small)


def test_a_size_that_the_model_does_not_take_is_refused(tmp_path: Path, inception: Path) -> None:
    name, file = "vit_tiny_patch16_224", tmp_path / "vit.safetensors"
    save_file(timm.create_model(name, num_classes=3).state_dict(), file)
    assert extractor(fid_model=name, fid_weights=file).name == f"{name} (weights vit), 192 features at 224 px"
    with pytest.raises(PluginError, match=rf"{name} does not take pictures of 64 pixels(.|\n)*own size is 224"):
        extractor(fid_model=name, fid_weights=file, fid_size=64)
    with pytest.raises(ValueError, match="inception: it resizes pictures to 299 pixels itself"):
        extractor(fid_weights=inception, fid_size=64)


def test_a_download_that_fails_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise OSError("no network")

    monkeypatch.setattr("torch.hub.load_state_dict_from_url", refuse)
    monkeypatch.setattr("timm.create_model", refuse)
    for model in ("inception", SMALL):
        with pytest.raises(PluginError, match=r"could not be downloaded: OSError: no network(.|\n)*fid_weights"):
            extractor(fid_model=model, fid_pretrained=True)


def test_what_is_no_array_of_8_bit_pictures_is_refused(small: Path) -> None:
    ours = extractor(fid_model=SMALL, fid_weights=small)
    for wrong in (np.zeros((2, 8, 8, 3), np.float32), np.zeros((2, 3, 8, 8), np.uint8), np.zeros((8, 8, 3), np.uint8)):
        with pytest.raises(ValueError, match=r"should be \(n, h, w, 3\) uint8"):
            ours(wrong)


@pytest.mark.skipif(not REAL.is_file(), reason=f"no weights at {REAL} (set FGIC_REAL_DATA)")
def test_real_weights_tell_pictures_apart() -> None:
    ours = extractor(fid_model="mobilenetv2_100", fid_weights=REAL, fid_size=64)
    assert ours.name == f"mobilenetv2_100 (weights {REAL.stem}), 1280 features at 64 px"
    noise = np.random.default_rng(0).integers(0, 256, (8, 64, 64, 3), dtype=np.uint8)
    soft = pictures(8, 64)
    found = ours(np.concatenate([noise, soft]))
    assert found.shape == (16, 1280)
    within = np.linalg.norm(found[:4] - found[4:8], axis=1).mean()
    between = np.linalg.norm(found[:8] - found[8:], axis=1).mean()
    assert between > 1.3 * within
