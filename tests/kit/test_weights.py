"""Weight files: what they hold, whose they are, and of which classes."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from fgic_core import (
    PluginError,
    StepContext,
    Weights,
    check_weight_names,
    check_weights,
    class_order,
    load_weights,
    read_weights,
    save_weights,
)
from fgic_core.testing.component import assert_saved_alike

OWN = {"layer.weight": torch.zeros(2, 2), "layer.index": torch.zeros(2, dtype=torch.int64)}


def test_weights_of_another_model_are_told_by_their_names() -> None:
    own = ["stem.weight", "stem.num_batches_tracked", "head.weight"]
    check_weight_names(Path("w"), ["stem.weight"], own, free=["head.weight"])
    check_weight_names(Path("w"), ["stem.weight", "head.weight", "x.num_batches_tracked"], own)
    with pytest.raises(PluginError) as caught:
        check_weight_names(Path("w"), ["stm.weight"], own, of="this config")
    assert str(caught.value) == (
        "w: these weights lack 2 of 2 tensors (stem.weight, head.weight) and have 1 that the model has not "
        "(stm.weight)\n"
        "  Are they of this config? The nearest name to stm.weight in the model is stem.weight."
    )


def checked(**tensors: torch.Tensor) -> None:
    """Check weights in which these tensors stand for `OWN`'s."""
    named = {name.replace("_", "."): value for name, value in tensors.items()}
    check_weights(Weights(Path("w"), {**OWN, **named}), OWN)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_floats_of_another_width_are_taken(dtype: torch.dtype) -> None:
    checked(layer_weight=torch.ones(2, 2, dtype=dtype))


@pytest.mark.parametrize(
    ("name", "dtype", "said"),
    [
        (
            "layer_weight",
            torch.int8,
            "weight is int8, in the model it is float32\n  They look like 8-bit quantised",
        ),
        ("layer_weight", torch.uint8, "is uint8, in the model it is float32\n  They look like 8-bit quantised weights"),
        ("layer_weight", torch.float8_e4m3fn, "is float8_e4m3fn, in the model it is float32\n  They look like 8-bit"),
        ("layer_weight", torch.int64, "is int64, in the model it is float32\n  Convert them to float32"),
        ("layer_weight", torch.bool, "is bool, in the model it is float32\n  Convert them to float32"),
        ("layer_weight", torch.complex64, "is complex64, in the model it is float32\n  Convert them to float32"),
        ("layer_index", torch.float16, "layer.index is float16, in the model it is int64\n  Convert them to int64"),
    ],
)
def test_numbers_of_another_kind_are_refused_and_never_cast(name: str, dtype: torch.dtype, said: str) -> None:
    shape = OWN[name.replace("_", ".")].shape
    with pytest.raises(PluginError) as caught:
        checked(**{name: torch.zeros(shape).to(dtype)})
    assert said in str(caught.value)


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_numbers_that_are_not_finite_are_refused_where_the_model_has_finite_ones(value: float) -> None:
    with pytest.raises(PluginError, match=r"hold NaN or infinite numbers: layer.weight\n.*diverge"):
        checked(layer_weight=torch.tensor([[0.0, value], [0.0, 0.0]]))
    mask = {"mask": torch.tensor([0.0, -torch.inf])}
    check_weights(Weights(Path("w"), mask), mask)


def test_float64_that_overflows_in_the_model_is_not_finite() -> None:
    with pytest.raises(PluginError, match="NaN or infinite"):
        checked(layer_weight=torch.full((2, 2), 1e300, dtype=torch.float64))


def test_quantised_weights_under_names_of_their_own_are_told() -> None:
    codes = {"layer.weight.q": torch.zeros(2, 2, dtype=torch.int8), "layer.index": OWN["layer.index"]}
    with pytest.raises(PluginError, match=r"have 1 that the model has not(.|\n)*8-bit quantised weights: dequantise"):
        check_weights(Weights(Path("w"), codes), OWN)


def test_counts_of_batches_may_be_anything() -> None:
    own = {"bn.num_batches_tracked": torch.tensor(0)}
    check_weights(Weights(Path("w"), {"bn.num_batches_tracked": torch.tensor(3.0)}), own)


def test_what_is_saved_is_loaded_with_what_is_said_of_it(tmp_path: Path) -> None:
    network, other, path = nn.Linear(2, 3), nn.Linear(2, 3), tmp_path / "w.safetensors"
    save_weights(network, path, classes=["é", "b", "c"], noise="cosine")
    weights = load_weights(other, path)
    assert torch.equal(network.weight, other.weight)
    assert weights.classes == ("é", "b", "c")
    assert weights.about["noise"] == "cosine"
    assert load_file(path).keys() == network.state_dict().keys()
    with pytest.raises(PluginError, match=r"weight has the shape \(3, 2\), in the model it is \(4, 2\)"):
        load_weights(nn.Linear(2, 4), path)


def test_equal_content_is_saved_as_equal_bytes(tmp_path: Path) -> None:
    network = nn.Linear(2, 3)
    (tmp_path / "ours").mkdir()
    assert_saved_alike(
        lambda folder: save_weights(network, folder / "w.safetensors", b=1, a=2, classes=["x"]), tmp_path / "ours"
    )


def test_the_conformance_suites_notice_metadata_in_random_order(tmp_path: Path) -> None:
    metadata = {str(number): "x" for number in range(8)}
    with pytest.raises(AssertionError, match=r"saved again, w\.safetensors has other bytes"):
        assert_saved_alike(
            lambda folder: save_file({"a": torch.zeros(1)}, folder / "w.safetensors", metadata=metadata), tmp_path
        )


@pytest.mark.parametrize("said", ["no json", "[1]", '{"classes": 3}', '{"classes": [1, 2]}', "[" * 100_000])
def test_what_a_file_says_of_itself_is_checked(tmp_path: Path, said: str) -> None:
    save_file({"a": torch.zeros(1)}, tmp_path / "w.safetensors", metadata={"fgic": said})
    with pytest.raises(PluginError, match="what these weights say of themselves"):
        read_weights(tmp_path / "w.safetensors")


def test_metadata_of_others_says_nothing(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(1)}, tmp_path / "w.safetensors", metadata={"format": "pt", "classes": "a,b"})
    assert read_weights(tmp_path / "w.safetensors").about == {}


def test_the_prefix_of_parallel_training_is_dropped(tmp_path: Path) -> None:
    torch.save({"state_dict": {"module.a": torch.zeros(1)}, "epoch": 3}, tmp_path / "w.pth")
    assert list(read_weights(tmp_path / "w.pth").tensors) == ["a"]


def order(classes: list[str] | None, count: int, wanted: str, folder: Path, **options: Any) -> tuple[Any, list[str]]:
    ctx = StepContext(folder)
    weights = Weights(Path("w.pth"), {}, {} if classes is None else {"classes": classes})
    return class_order(weights, count, wanted, ctx, **{"trained": True, **options}), ctx.warnings


@pytest.mark.parametrize("trained", [True, False])
def test_classes_are_matched_by_name(tmp_path: Path, trained: bool) -> None:
    assert order(["a", "b", "c"], 3, "cab", tmp_path, trained=trained) == ([2, 0, 1], [])


def test_names_are_the_same_however_their_accents_are_written(tmp_path: Path) -> None:
    composed, apart = "\u00e4", "a\u0308"
    weights, ctx = Weights(Path("w"), {}, {"classes": ["b", apart]}), StepContext(tmp_path)
    assert class_order(weights, 2, [composed, "b"], ctx, trained=False) == [1, 0]
    both = Weights(Path("w"), {}, {"classes": [composed, apart]})
    assert class_order(both, 2, [apart, composed], ctx, trained=False) == [1, 0], (
        "where both are there, each is its own"
    )
    assert ctx.warnings == []


def test_a_class_that_is_named_twice_is_named_in_the_message(tmp_path: Path) -> None:
    for known in (["a", "a"], ["\u00e4", "a\u0308"]):
        with pytest.raises(PluginError, match=r"these weights name a class twice: [a\u00e4]\n"):
            order(known, 2, "ab", tmp_path)


def test_other_classes_start_new_or_are_refused(tmp_path: Path) -> None:
    for known, wanted, said in (
        ("ab", "ax", "tell other classes apart than the data set has: b and not x"),
        ("abcd", "ab", "tell 4 classes apart (a, b, c, …), the data set has 2 (a, b)"),
    ):
        found, warnings = order(list(known), len(known), wanted, tmp_path, part="it")
        assert (found, warnings) == (None, [f"the weights w.pth {said}: it starts new"])
        with pytest.raises(PluginError) as caught:
            order(list(known), len(known), wanted, tmp_path, trained=False)
        assert str(caught.value) == f"w.pth: these weights {said}\n  They need training: set epochs to 1 or more."


def test_classes_without_names_are_taken_as_they_come_and_that_is_said(tmp_path: Path) -> None:
    found, warnings = order(None, 2, "ab", tmp_path)
    assert found == [0, 1]
    assert warnings == [
        "nothing in the weights w.pth says which 2 classes they tell apart: they are taken for the data set's own, in "
        "its order"
    ]
    assert order(None, 1, "a", tmp_path) == ([0], []), "one class is in no order"


def test_names_that_are_not_of_these_tensors_are_refused(tmp_path: Path) -> None:
    with pytest.raises(PluginError, match="name 3 classes, but tell 2 apart"):
        order(["a", "b", "c"], 2, "ab", tmp_path)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_weights_that_are_a_pipe_are_not_waited_for(tmp_path: Path, pipe, suffix: str) -> None:
    with pytest.raises(PluginError, match=r"these weights cannot be read: it is a named pipe and not a file"):
        read_weights(pipe(tmp_path / f"weights{suffix}"))


class Malicious:
    """Makes a folder when it is unpickled."""

    def __init__(self, trap: Path) -> None:
        self.trap = trap

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.trap),)


@pytest.mark.parametrize("name", ["weights.pth", "weights.pt", "weights.bin", "weights.safetensors"])
def test_what_a_pickle_would_run_is_not_run(tmp_path: Path, name: str) -> None:
    trap, file = tmp_path / "sprung", tmp_path / name
    for content in (Malicious(trap), {"state_dict": {"a": torch.zeros(2)}, "meta": Malicious(trap)}):
        torch.save(content, file)
        with pytest.raises(PluginError, match="these weights cannot be read"):
            read_weights(file)
        file.write_bytes(pickle.dumps(content, protocol=2))
        with pytest.raises(PluginError, match="these weights cannot be read"):
            read_weights(file)
    assert not trap.exists()


def test_tensors_are_read_from_either_kind_of_file(tmp_path: Path) -> None:
    tensors = {"a": torch.arange(3.0), "b": torch.ones(2, 2)}
    save_file(tensors, tmp_path / "plain.safetensors")
    torch.save(tensors, tmp_path / "plain.pth")
    torch.save({"state_dict": tensors, "epoch": 3}, tmp_path / "checkpoint.pth")
    torch.save({"model": {"state_dict": tensors}}, tmp_path / "deep.bin")
    for file in sorted(tmp_path.iterdir()):
        found = read_weights(file).tensors
        assert found.keys() == tensors.keys()
        assert all(torch.equal(found[name], value) for name, value in tensors.items())


@pytest.mark.parametrize(
    "content",
    [
        {"model": {"a": torch.zeros(2)}, "classes": ["x", "y"]},
        {"state_dict": {"a": torch.zeros(2)}, "CLASSES": ("x", "y")},
        {"a": torch.zeros(2), "classes": ["x", "y"]},
        {"model": {"state_dict": {"a": torch.zeros(2)}, "classes": ["x", "y"]}},
        {"state_dict": {"a": torch.zeros(2)}, "meta": {"dataset_meta": {"classes": ("x", "y")}}, "classes": ["z", "x"]},
    ],
)
def test_a_checkpoints_names_of_classes_are_read_where_it_has_them(tmp_path: Path, content: Any) -> None:
    torch.save(content, tmp_path / "weights.pth")
    found = read_weights(tmp_path / "weights.pth")
    assert (found.classes, list(found.tensors)) == (("x", "y"), ["a"])


def test_a_tensor_that_is_called_classes_is_no_list_of_names(tmp_path: Path) -> None:
    torch.save({"classes": torch.zeros(3)}, tmp_path / "weights.pth")
    assert read_weights(tmp_path / "weights.pth").classes is None


def test_a_checkpoint_that_holds_itself_ends(tmp_path: Path) -> None:
    content: dict[str, Any] = {}
    content["model"] = content
    torch.save(content, tmp_path / "weights.pth")
    with pytest.raises(PluginError, match="holds no tensors by name"):
        read_weights(tmp_path / "weights.pth")


@pytest.mark.parametrize("content", [[torch.zeros(1)], {"a": 1}, {"state_dict": {"b": "text"}}])
def test_a_file_without_tensors_by_name_is_refused(tmp_path: Path, content: Any) -> None:
    torch.save(content, tmp_path / "weights.pth")
    with pytest.raises(PluginError, match="holds no tensors by name"):
        read_weights(tmp_path / "weights.pth")


def test_a_file_that_was_cut_short_is_one_message(tmp_path: Path) -> None:
    torch.save({"a": torch.arange(1000.0)}, tmp_path / "cut.pth")
    whole = (tmp_path / "cut.pth").read_bytes()
    (tmp_path / "cut.pth").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(PluginError, match="these weights cannot be read") as caught:
        read_weights(tmp_path / "cut.pth")
    assert "\n" not in caught.value.what


@pytest.mark.parametrize(
    ("found", "message"),
    [(["a"], r"lack 1 of 2 tensors \(b\)"), (["a", "b", "c"], r"have 1 that the model has not \(c\)")],
)
def test_weights_that_only_lack_or_only_have_too_much_are_refused(found: list[str], message: str) -> None:
    with pytest.raises(PluginError, match=message):
        check_weight_names(Path("w"), found, ["a", "b"])


def test_a_network_that_is_given_weights_is_not_drawn_first() -> None:
    from fgic_core.kit.weights import undrawn

    state = torch.random.get_rng_state()
    with undrawn():
        network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 2), nn.Embedding(3, 2))
        nn.init.trunc_normal_(network[2].weight)
        nn.init.xavier_normal_(network[0].weight)
    assert torch.equal(torch.random.get_rng_state(), state)
    values = network.state_dict()
    assert all(value.isfinite().all() for value in values.values())
    assert values["1.weight"].tolist() == [1.0] * 4
    assert values["0.weight"].abs().max() == 0
    assert all(parameter.requires_grad for parameter in network.parameters())
