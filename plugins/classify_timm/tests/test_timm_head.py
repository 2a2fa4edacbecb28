from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch
from fgic_classify_timm import TimmClassifier
from fgic_classify_timm._network import build
from safetensors.torch import save_file

from fgic_core import PluginError, read_weights
from fgic_core.kit.weights import save_tensors
from fgic_core.testing import tiny_context

MODEL = "test_resnet"


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "seven.safetensors"
    save_file(timm.create_model(MODEL, num_classes=7).state_dict(), path)
    return path


def test_a_head_for_other_classes_starts_at_zero_and_so_with_equal_logits(weights: Path, tmp_path: Path) -> None:
    network = build(TimmClassifier(model=MODEL, weights=weights), "abc", tiny_context(tmp_path)).network.eval()
    with torch.no_grad():
        assert torch.equal(network(torch.rand(2, 3, 160, 160)), torch.zeros(2, 3))


def test_a_head_for_the_same_number_of_classes_is_kept(weights: Path, tmp_path: Path) -> None:
    network = build(TimmClassifier(model=MODEL, weights=weights), "abcdefg", tiny_context(tmp_path)).network.eval()
    with torch.no_grad():
        assert network(torch.rand(2, 3, 160, 160)).abs().sum() > 0


def test_without_weights_the_head_is_drawn(tmp_path: Path) -> None:
    network = build(TimmClassifier(model=MODEL, pretrained=False), "abc", tiny_context(tmp_path)).network.eval()
    with torch.no_grad():
        assert network(torch.rand(2, 3, 160, 160)).abs().sum() > 0


def saved(tmp_path: Path, classes: str = "abc") -> tuple[Path, torch.Tensor]:
    """The file of a classifier of these classes, as a step writes it, and its head's rows."""
    classifier = TimmClassifier(model=MODEL, pretrained=False)
    fitted = build(classifier, classes, tiny_context(tmp_path, name="saved"))
    classifier.save(fitted, tmp_path)
    return tmp_path / "model.safetensors", fitted.network.state_dict()["fc.weight"]


def test_a_heads_rows_go_to_the_classes_of_their_names(tmp_path: Path) -> None:
    """Also where the file alone was copied elsewhere."""
    path, rows = saved(tmp_path)
    path = path.rename(tmp_path / "copied.safetensors")
    ctx = tiny_context(tmp_path)
    head = build(TimmClassifier(model=MODEL, weights=path), "cab", ctx).network.model.state_dict()
    assert torch.equal(head["fc.weight"], rows[[2, 0, 1]])
    assert ctx.warnings == []


def test_a_head_for_as_many_other_classes_starts_new_and_they_are_named(tmp_path: Path) -> None:
    path, _ = saved(tmp_path)
    ctx = tiny_context(tmp_path)
    head = build(TimmClassifier(model=MODEL, weights=path), "abx", ctx).network.model.state_dict()
    assert not head["fc.weight"].any()
    assert ctx.warnings == [
        "the weights model.safetensors tell other classes apart than the data set has: c and not x: the head starts new"
    ]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"fc.weight": (3, 5)}, r"fc\.weight has the shape \(3, 5\), in the model it is \(3, {width}\)\n  Are they of"),
        ({"fc.weight": (0, 0)}, r"fc\.weight has the shape \(0, 0\), in the model it is \(3, {width}\)"),
        ({"fc.bias": ()}, r"fc\.bias has the shape \(\), in the model it is \(3,\)"),
        ({"fc.bias": (5,)}, r"does not fit together: fc\.(bias|weight) has the shape .*, fc\.(bias|weight) has "),
    ],
)
def test_a_head_that_does_not_fit_the_model_is_refused(
    changed: dict[str, tuple[int, ...]], said: str, tmp_path: Path
) -> None:
    state = timm.create_model(MODEL, num_classes=3).state_dict()
    path, width = tmp_path / "odd.safetensors", state["fc.weight"].shape[1]
    save_file({**state, **{name: torch.zeros(shape) for name, shape in changed.items()}}, path)
    with pytest.raises(PluginError, match=said.replace("{width}", str(width))):
        build(TimmClassifier(model=MODEL, weights=path), "abc", tiny_context(tmp_path))


def test_a_head_on_its_side_is_refused(tmp_path: Path) -> None:
    state = timm.create_model(MODEL, num_classes=3).state_dict()
    save_file({**state, "fc.weight": state["fc.weight"].T.contiguous()}, tmp_path / "odd.safetensors")
    with pytest.raises(PluginError, match=r"fc\.weight has the shape \(\d+, 3\), in the model it is \(3, \d+\)"):
        build(TimmClassifier(model=MODEL, weights=tmp_path / "odd.safetensors"), "abc", tiny_context(tmp_path))


def test_weights_of_whole_numbers_or_nan_are_refused(tmp_path: Path) -> None:
    state = timm.create_model(MODEL, num_classes=3).state_dict()
    for value, said in (
        (
            torch.zeros_like(state["fc.weight"], dtype=torch.int8),
            r"fc\.weight is int8, in the model it is float32\n.*dequant",
        ),
        (torch.full_like(state["fc.weight"], torch.nan), r"hold NaN or infinite numbers: fc\.weight\n"),
    ):
        save_file({**state, "fc.weight": value}, tmp_path / "odd.safetensors")
        with pytest.raises(PluginError, match=said):
            build(TimmClassifier(model=MODEL, weights=tmp_path / "odd.safetensors"), "abc", tiny_context(tmp_path))


def test_a_saved_model_of_whole_numbers_is_not_loaded(tmp_path: Path) -> None:
    path, _ = saved(tmp_path)
    whole = read_weights(path)
    save_tensors({name: value.to(torch.int8) for name, value in whole.tensors.items()}, path, **whole.about)
    with pytest.raises(PluginError, match="are of another type than the model's"):
        TimmClassifier(model=MODEL, pretrained=False).load(tmp_path, "cpu")
