"""Published weights in MMagic's generator: the same pictures as by an independent network of their layout."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from fgic_gen_biggan._convert import Layout, convert, generator_options, layout_of, new_embedding
from fgic_gen_biggan._network import build_generator
from torch import Tensor, nn
from torch.nn.utils import spectral_norm

from fgic_core import PluginError

pytestmark = pytest.mark.filterwarnings("ignore:Unnecessary conv bias")

WIDTH, SIZE, CLASSES, ROWS, EPS = 4, 6, 7, 51, 1e-4
#: Of each layer but attention: channels before and after, in channel widths, and whether it doubles the resolution.
LAYERS = {
    128: "16-16 16-16x2 16-16 16-8x2 8-8 8-4x2 4-4 4-2x2 2-2 2-1x2",
    256: "16-16 16-16x2 16-16 16-8x2 8-8 8-8x2 8-8 8-4x2 4-4 4-2x2 2-2 2-1x2",
    512: "16-16 16-16x2 16-16 16-8x2 8-8 8-8x2 8-8 8-4x2 4-4 4-2x2 2-2 2-1x2 1-1 1-1x2",
}

State = dict[str, Tensor]


def conv(before: int, after: int, kernel: int, bias: bool = True) -> nn.Module:
    return spectral_norm(nn.Conv2d(before, after, kernel, padding=kernel // 2, bias=bias), eps=EPS)


def linear(before: int, after: int, bias: bool) -> nn.Module:
    return spectral_norm(nn.Linear(before, after, bias=bias), eps=EPS)


class Norm(nn.Module):
    """Normalises with the statistics of a truncation; scale and offset are learned, or come from noise and class."""

    def __init__(self, width: int, conditional: bool = True) -> None:
        super().__init__()
        self.register_buffer("running_means", torch.randn(ROWS, width) * 0.3)
        self.register_buffer("running_vars", torch.rand(ROWS, width) + 0.3)
        if conditional:
            self.scale, self.offset = (linear(2 * SIZE, width, bias=False) for _ in range(2))
        else:
            self.weight = nn.Parameter(torch.rand(width) + 0.5)
            self.bias = nn.Parameter(torch.randn(width) * 0.3)

    def forward(self, x: Tensor, truncation: float, code: Tensor | None = None) -> Tensor:
        at = np.linspace(0, 1, ROWS)
        mean, var = (
            torch.tensor([np.interp(truncation, at, row) for row in rows.T.numpy()], dtype=torch.float32)
            for rows in (self.running_means, self.running_vars)
        )
        if code is None:
            return F.batch_norm(x, mean, var, self.weight, self.bias, eps=EPS)
        scale, offset = (part(code)[:, :, None, None] for part in (self.scale, self.offset))
        return F.batch_norm(x, mean, var, eps=EPS) * (1 + scale) + offset


class Block(nn.Module):
    def __init__(self, before: int, after: int, times: int) -> None:
        super().__init__()
        inner = before // 4
        sizes = ((before, inner, 1), (inner, inner, 3), (inner, inner, 3), (inner, after, 1))
        for index, (ins, outs, kernel) in enumerate(sizes):
            self.add_module(f"bn_{index}", Norm(ins))
            self.add_module(f"conv_{index}", conv(ins, outs, kernel))
        self.after, self.times = after, times

    def forward(self, x: Tensor, truncation: float, code: Tensor) -> Tensor:
        made = x
        for index in range(4):
            made = F.relu(self.get_submodule(f"bn_{index}")(made, truncation, code))
            if index == 1:
                made = grown(made, self.times)
            made = self.get_submodule(f"conv_{index}")(made)
        return made + grown(x[:, : self.after], self.times)


def grown(x: Tensor, times: int) -> Tensor:
    return x.repeat_interleave(times, 2).repeat_interleave(times, 3)


class Attention(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.snconv1x1_theta = conv(width, width // 8, 1, bias=False)
        self.snconv1x1_phi = conv(width, width // 8, 1, bias=False)
        self.snconv1x1_g = conv(width, width // 2, 1, bias=False)
        self.snconv1x1_o_conv = conv(width // 2, width, 1, bias=False)
        self.gamma = nn.Parameter(torch.tensor([0.7]))

    def forward(self, x: Tensor) -> Tensor:
        query = self.snconv1x1_theta(x).flatten(2)
        key, value = (F.max_pool2d(part(x), 2).flatten(2) for part in (self.snconv1x1_phi, self.snconv1x1_g))
        weights = torch.einsum("ncq,nck->nqk", query, key).softmax(-1)
        read = torch.einsum("nck,nqk->ncq", value, weights).unflatten(2, x.shape[2:])
        return x + self.gamma * self.snconv1x1_o_conv(read)


class Published(nn.Module):
    """The network that published weights are of, from the paper's description, with their names."""

    def __init__(self, resolution: int) -> None:
        super().__init__()
        self.embeddings = nn.Linear(CLASSES, SIZE, bias=False)
        layers: list[nn.Module] = []
        for layer in LAYERS[resolution].split():
            sides, _, times = layer.partition("x")
            before, after = (int(side) * WIDTH for side in sides.split("-"))
            if len(layers) == 8:
                layers.append(Attention(before))
            layers.append(Block(before, after, int(times or 1)))
        self.generator = nn.Module()
        self.generator.gen_z = linear(2 * SIZE, 4 * 4 * 16 * WIDTH, bias=True)
        self.generator.layers = nn.ModuleList(layers)
        self.generator.bn = Norm(WIDTH, conditional=False)
        self.generator.conv_to_rgb = conv(WIDTH, WIDTH, 3)

    def forward(self, noise: Tensor, labels: Tensor, truncation: float) -> Tensor:
        code = torch.cat([noise, self.embeddings(F.one_hot(labels, CLASSES).float())], 1)
        x = self.generator.gen_z(code).unflatten(1, (4, 4, -1)).movedim(3, 1).contiguous()
        for layer in self.generator.layers:
            x = layer(x) if isinstance(layer, Attention) else layer(x, truncation, code)
        made = self.generator.conv_to_rgb(F.relu(self.generator.bn(x, truncation)))
        return torch.tanh(made[:, :3])


def published(resolution: int, exact: bool = False) -> Published:
    """With random weights and statistics, and u and v after one power iteration, or the singular vectors."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(resolution)
        network = Published(resolution)
    for module in network.modules():
        if not hasattr(module, "weight_u"):
            continue
        matrix = module.weight_orig.detach().flatten(1)
        left, _, right = torch.linalg.svd(matrix, full_matrices=False)
        v = right[0] if exact else F.normalize(matrix.T @ module.weight_u, dim=0)
        module.weight_v.copy_(v)
        module.weight_u.copy_(left[:, 0] if exact else F.normalize(matrix @ v, dim=0))
    return network.eval()


def built(state: State, truncation: float = 1.0) -> Any:
    layout = layout_of(state)
    assert layout is not None
    with torch.random.fork_rng(devices=[]):
        generator = build_generator(generator_options(layout))
    generator.load_state_dict(convert(state, truncation), strict=True)
    return generator.eval()


def inputs(n: int = 2) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(n, SIZE, generator=generator), torch.randint(CLASSES, (n,), generator=generator)


@pytest.fixture(scope="module")
def state() -> State:
    return published(128).state_dict()


@pytest.mark.parametrize("resolution", [128, 256, 512])
def test_the_pictures_are_those_of_the_published_network(resolution: int) -> None:
    network = published(resolution)
    noise, labels = inputs(1)
    pictures = []
    for truncation in (1.0, 0.43, 0.6, 0.413):  # on a row of statistics, midway between two, on a row, between two
        generator = built(network.state_dict(), truncation)
        with torch.no_grad():
            expected, made = network(noise, labels, truncation), generator(noise, label=labels)
        assert made.shape == (1, 3, resolution, resolution)
        assert (made - expected).abs().max() < 1e-5
        pictures.append(made)
    # They are pictures, and each truncation has its own.
    assert all(picture.std() > 0.02 for picture in pictures)
    assert all((pictures[0] - other).abs().max() > 0.01 for other in pictures[1:])


@pytest.mark.parametrize("resolution", [128, 256, 512])
def test_the_layout_is_read_off_the_weights(resolution: int) -> None:
    layout = layout_of(published(resolution).state_dict())
    assert layout == Layout(resolution, channels=WIDTH, classes=CLASSES, noise_size=SIZE, shared_dim=SIZE)
    options = generator_options(layout)
    assert json.loads(json.dumps(options)) == options


def test_training_goes_on_where_the_weights_are() -> None:
    network = published(128, exact=True)
    generator = built(network.state_dict())
    noise, labels = inputs()
    with torch.no_grad():
        expected = network(noise, labels, 1.0)
    generator.train()
    for module in generator.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()  # its batch statistics would be others; spectral norm iterates
    made = [generator(noise, label=labels) for _ in range(3)]
    assert all((pictures - expected).abs().max() < 1e-4 for pictures in made)
    made[-1].square().mean().backward()
    # Gradients get everywhere, but for embeddings of classes that are not in the batch.
    grads = {name: value.grad for name, value in generator.named_parameters()}
    assert all(grad is not None and grad.isfinite().all() for grad in grads.values())
    learned = grads["shared_embedding.weight"].abs().sum(1) > 0
    assert learned.nonzero().flatten().tolist() == sorted(set(labels.tolist()))


def test_a_class_has_its_published_embedding(state: State) -> None:
    made = convert(state)["shared_embedding.weight"]
    assert torch.equal(made, state["embeddings.weight"].T)


def test_other_weights_are_of_no_layout(state: State) -> None:
    other = built(state).state_dict()
    assert layout_of(other) is None
    with pytest.raises(PluginError, match="not of Hugging Face's biggan-deep"):
        convert(other)


def without(name: str) -> Callable[[State], State]:
    return lambda state: {key: value for key, value in state.items() if key != name}


def with_(name: str, value: Tensor) -> Callable[[State], State]:
    return lambda state: {**state, name: value}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without("embeddings.weight"), r"lack 1 of \d+ tensors \(embeddings.weight\)[^§]*biggan-deep-128"),
        (without("generator.layers.3.conv_1.weight_v"), r"lack 1 of \d+ tensors \(generator.layers.3.conv_1.weight_v"),
        (with_("generator.head.weight", torch.zeros(1)), r"have 1 that the model has not \(generator.head.weight\)"),
        (with_("generator.layers.11.gamma", torch.zeros(1)), "have 12 layers"),
        (with_("embeddings.weight", torch.zeros(SIZE + 1, CLASSES)), "gen_z.weight_orig has the shape"),
        (with_("embeddings.weight", torch.zeros(SIZE)), "embeddings.weight has the shape"),
        (with_("generator.bn.weight", torch.zeros(2 * WIDTH)), "gen_z.weight_orig has the shape"),
        (with_("generator.layers.2.bn_1.running_means", torch.zeros(9, 16)), r"bn_1.running_means .*\(9, 16\).*51"),
        (with_("generator.conv_to_rgb.weight_u", torch.zeros(WIDTH)), "no positive spectral norm"),
    ],
)
def test_weights_that_do_not_go_together_are_refused(
    change: Callable[[State], State], message: str, state: State
) -> None:
    with pytest.raises(PluginError, match=message) as caught:
        convert(change(state))
    assert caught.value.where == "weights"
    assert caught.value.hint


def test_attention_of_another_size_is_refused(state: State) -> None:
    larger = {**state, **{k: v for k, v in published(256).state_dict().items() if k.startswith("generator.layers.8.")}}
    with pytest.raises(PluginError, match=r"layers.8.snconv1x1_theta.weight_orig has the shape \(2, 16, 1, 1\)"):
        layout_of(larger)


@pytest.mark.parametrize("truncation", [0.0, 1.5])
def test_there_are_statistics_for_some_truncations_only(truncation: float, state: State) -> None:
    with pytest.raises(PluginError, match="truncations from 0 to 1"):
        convert(state, truncation)


def test_new_classes_have_embeddings_like_the_old() -> None:
    seeded = torch.Generator().manual_seed(0)
    old = torch.randn(1000, 16, generator=seeded) * torch.linspace(0.1, 2, 16) + torch.linspace(-3, 3, 16)
    made = new_embedding(old, 4000, torch.Generator().manual_seed(1))
    assert made.shape == (4000, 16)
    assert made.dtype == old.dtype
    torch.testing.assert_close(made.mean(0), old.mean(0), atol=0.15, rtol=0)
    torch.testing.assert_close(made.std(0), old.std(0), atol=0, rtol=0.05)
    assert torch.equal(made, new_embedding(old, 4000, torch.Generator().manual_seed(1)))
    assert len(new_embedding(old, 3, seeded).unique(dim=0)) == 3
    assert torch.equal(new_embedding(old[:1], 3, seeded), old[:1].expand(3, -1))  # one row has no deviation
