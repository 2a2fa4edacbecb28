"""Class activation maps: right values, right layers, and no traces."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import timm
import torch
import torchvision
from fgic_explain_cam import CamExplainer
from fgic_explain_cam._cam import activation_and_gradient
from fgic_explain_cam._layers import find_layer
from pydantic import ValidationError
from timm.models import mlp_mixer
from torch import nn

from fgic_core import PluginError

METHODS = ("gradcam", "gradcam++", "layercam")


def explain(explainer: CamExplainer, network: nn.Module, images: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """The explainer's one map of each picture, (n, h, w)."""
    given = explainer.explain(network, images, targets, torch.Generator())
    assert len(given.names) == 1
    return given.maps.squeeze(1)


def small_cnn(seed: int = 0) -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        layers = [nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU(inplace=True), nn.Dropout(0.5)]
        layers += [nn.Conv2d(8, 12, 3, 2, 1), nn.BatchNorm2d(12), nn.ReLU(inplace=True)]
        return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, 4)).eval()


def batch(count: int = 3, side: int = 32) -> tuple[torch.Tensor, torch.Tensor]:
    images = torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(1))
    return images, torch.arange(count) % 4


@pytest.mark.parametrize("method", METHODS)
def test_maps_equal_those_of_the_library_grad_cam(method: str) -> None:
    library = pytest.importorskip("pytorch_grad_cam", reason="the library to compare with is not installed")
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    kinds = {"gradcam": library.GradCAM, "gradcam++": library.GradCAMPlusPlus, "layercam": library.LayerCAM}
    network, (images, targets) = small_cnn(), batch()
    maps = explain(CamExplainer(method=method, target_layer="4"), network, images, targets)
    with kinds[method](network, [network[4]]) as cam:
        cam(images, [ClassifierOutputTarget(int(target)) for target in targets])
        held = cam.activations_and_grads
        theirs = cam.get_cam_image(
            images, network[4], targets, held.activations[0].numpy(), held.gradients[0].numpy(), eigen_smooth=False
        )
    assert maps.amax() > 0
    np.testing.assert_allclose(maps.numpy(), np.maximum(theirs, 0), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("method", METHODS)
def test_a_batch_gives_what_its_images_give_alone(method: str) -> None:
    network, (images, targets) = small_cnn(), batch(5)
    explainer = CamExplainer(method=method)
    together = explain(explainer, network, images, targets)
    alone = [explain(explainer, network, images[[row]], targets[[row]]) for row in range(5)]
    torch.testing.assert_close(together, torch.cat(alone), atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("training", [False, True])
def test_the_network_is_left_as_it_was_found(training: bool) -> None:
    network = small_cnn().train(training)
    network[1].eval()
    network[0].weight.requires_grad_(False)
    network[4].weight.grad = torch.ones_like(network[4].weight)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    modes, state = [m.training for m in network.modules()], torch.get_rng_state()
    images, targets = batch()
    kept = images.clone()
    explain(CamExplainer(), network, images, targets)
    assert [m.training for m in network.modules()] == modes
    assert not any(m._forward_hooks or m._backward_hooks or m._forward_pre_hooks for m in network.modules())
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    grads = {name for name, p in network.named_parameters() if p.grad is not None}
    assert grads == {"4.weight"}
    assert torch.equal(network[4].weight.grad, torch.ones_like(network[4].weight))
    assert [p.requires_grad for p in network.parameters()][:2] == [False, True]
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(images, kept)
    assert not images.requires_grad


def test_train_mode_gives_the_maps_of_evaluation_mode() -> None:
    images, targets = batch()
    maps = explain(CamExplainer(), small_cnn().eval(), images, targets)
    assert torch.equal(explain(CamExplainer(), small_cnn().train(), images, targets), maps)


def test_frozen_networks_and_inference_mode_make_no_difference() -> None:
    images, targets = batch()
    expected = explain(CamExplainer(), small_cnn(), images, targets)
    frozen = small_cnn().requires_grad_(False)
    assert torch.equal(explain(CamExplainer(), frozen, images, targets), expected)
    with torch.no_grad():
        assert torch.equal(explain(CamExplainer(), small_cnn(), images, targets), expected)
    network = small_cnn()
    with torch.inference_mode():
        inside = explain(CamExplainer(), network, images * 1, targets * 1)
    assert torch.equal(inside, expected)


@pytest.mark.parametrize("method", METHODS)
def test_without_evidence_the_map_is_zero_and_not_nan(method: str) -> None:
    network = small_cnn()
    nn.init.zeros_(network[-1].weight)
    maps = explain(CamExplainer(method=method), network, *batch())
    assert torch.equal(maps, torch.zeros_like(maps))


@pytest.mark.parametrize("method", METHODS)
def test_the_evidence_of_a_planted_patch_is_found(method: str) -> None:
    look, head = nn.Conv2d(3, 2, 1), nn.Linear(2, 2)
    with torch.no_grad():
        look.weight.copy_(torch.tensor([[1.0, 0, 0], [0, 0, 1.0]])[:, :, None, None])
        look.bias.fill_(-0.5)
        head.weight.copy_(torch.eye(2))
    network = nn.Sequential(look, nn.ReLU(), nn.AvgPool2d(4), nn.AdaptiveAvgPool2d(1), nn.Flatten(), head)
    image = torch.zeros(1, 3, 32, 32)
    image[0, 0, 4:12, 20:28] = 1.0  # red speaks for class 0
    image[0, 2, 20:28, 4:12] = 1.0  # blue speaks for class 1
    maps = explain(CamExplainer(method=method), network, image.repeat(2, 1, 1, 1), torch.tensor([0, 1]))
    assert maps.shape == (2, 8, 8)
    assert {tuple(place.tolist()) for place in maps[0].nonzero()} == {(r, c) for r in (1, 2) for c in (5, 6)}
    assert {tuple(place.tolist()) for place in maps[1].nonzero()} == {(r, c) for r in (5, 6) for c in (1, 2)}


def test_random_weights_change_the_map() -> None:
    images, targets = batch()
    one = explain(CamExplainer(), small_cnn(0), images, targets)
    other = explain(CamExplainer(), small_cnn(1), images, targets)
    assert not torch.allclose(one, other, atol=1e-3)


class Nested(nn.Module):
    """A network inside another, as classifiers put theirs behind the normalisation."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.inner(images - 0.5)


def vit(**options: Any) -> nn.Module:
    return timm.models.VisionTransformer(img_size=64, patch_size=8, embed_dim=16, depth=2, num_heads=2, **options)


def swin() -> nn.Module:
    return timm.models.SwinTransformer(img_size=64, embed_dim=8, depths=(1, 1), num_heads=(1, 1), window_size=4)


@pytest.mark.parametrize(
    ("build", "layer", "shape"),
    [
        (lambda: timm.create_model("resnet10t"), "inner.layer4", (2, 2)),
        (lambda: timm.create_model("mobilenetv2_035"), "inner.bn2", (2, 2)),
        (lambda: timm.create_model("convnext_atto"), "inner.norm_pre", (2, 2)),
        (torchvision.models.squeezenet1_1, "inner.classifier.2", (3, 3)),
        (vit, "inner.blocks.1.norm1", (8, 8)),
        (lambda: vit(reg_tokens=4), "inner.blocks.1.norm1", (8, 8)),
        (lambda: vit(class_token=False, global_pool="avg"), "inner.blocks.1.norm1", (8, 8)),
        (swin, "inner.norm", (8, 8)),
    ],
)
def test_the_layer_is_found_by_itself(build: Any, layer: str, shape: tuple[int, int]) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = Nested(build()).eval()
    images, targets = batch(2, 64)
    found = find_layer(network, images[:1], None)
    assert found.name == layer
    assert explain(CamExplainer(), network, images, targets).shape == (2, *shape)
    assert activation_and_gradient(network, found, images, targets)[1].abs().amax() > 0


def test_class_and_register_tokens_are_not_taken_for_patches() -> None:
    network = vit(reg_tokens=4).eval()
    images, targets = batch(3, 64)
    assert network.num_prefix_tokens == 5
    activation, _ = activation_and_gradient(network, find_layer(network, images[:1], None), images, targets)
    tokens = network.blocks[1].norm1(network.blocks[0](network._pos_embed(network.patch_embed(images))))
    patches = tokens[:, 5:].reshape(3, 8, 8, 16).permute(0, 3, 1, 2)
    torch.testing.assert_close(activation, patches.detach())


@pytest.mark.parametrize(("registers", "size"), [(10, (64, 64)), (16, (64, 64)), (32, (64, 64)), (11, (64, 96))])
def test_however_many_tokens_are_before_them_the_patches_keep_their_places(
    registers: int, size: tuple[int, int]
) -> None:
    """Where an input of the patches changes, the layer's output changes there."""
    made = {"img_size": size, "patch_size": 16, "embed_dim": 16, "depth": 1, "num_heads": 2, "reg_tokens": registers}
    network = timm.models.VisionTransformer(num_classes=4, **made).eval()  # type: ignore[arg-type]
    plain = torch.full((1, 3, *size), 0.5)
    spotted = plain.clone()
    spotted[:, :, 16:32, 48:64] = torch.rand((3, 16, 16), generator=torch.Generator().manual_seed(0))
    layer, maps = find_layer(network, plain, None), []
    handle = layer.module.register_forward_hook(lambda _module, _inputs, output: maps.append(output.detach()))
    with torch.no_grad():
        network(plain)
        network(spotted)
    handle.remove()
    before, after = (layer.to_map(output, plain) for output in maps)
    change = (after - before).abs().sum(dim=1)[0]
    assert change.shape == (size[0] // 16, size[1] // 16)
    assert change.nonzero().tolist() == [[1, 3]]


def test_a_number_of_tokens_that_fits_no_map_is_not_guessed_at() -> None:
    """63 tokens before 4 patches: as likely something else; 67 tokens are no grid of 8 by 8 either."""
    network = timm.models.VisionTransformer(
        img_size=32, patch_size=16, embed_dim=16, depth=1, num_heads=2, reg_tokens=62, num_classes=4
    ).eval()
    with pytest.raises(PluginError, match=r"norm1: its output has the shape .* which is no map"):
        explain(CamExplainer(target_layer="blocks.0.norm1"), network, *batch(1, 32))


def test_strides_of_tokens_that_no_map_shows_are_halves_of_the_map_before() -> None:
    class Pooled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.norm, self.head = nn.Conv2d(3, 6, 4, 4), nn.LayerNorm(6), nn.Linear(6, 4)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            tokens = nn.functional.avg_pool2d(self.stem(images), 2, ceil_mode=True).flatten(2).transpose(1, 2)
            return self.head(self.norm(tokens).mean(1))

    images, targets = torch.rand((1, 3, 36, 60)), torch.zeros(1, dtype=torch.int64)
    assert explain(CamExplainer(), Pooled().eval(), images, targets).shape == (1, 5, 8)


@pytest.mark.parametrize(("layer", "last"), [("blocks.1.attn.attn_drop", 65), ("blocks.1.attn.q_norm", 8)])
def test_parts_of_attention_are_no_maps(layer: str, last: int) -> None:
    """A matrix of 65 by 65 tokens has the ratio of a picture, whose sides are longer."""
    network = timm.models.VisionTransformer(img_size=128, patch_size=16, embed_dim=16, depth=2, num_heads=2).eval()
    for block in network.blocks:
        block.attn.fused_attn = False
    with pytest.raises(PluginError, match=rf"{layer}: its output has the shape \(1, 2, 65, {last}\)") as refused:
        explain(CamExplainer(target_layer=layer), network, *batch(1, 128))
    assert "such as blocks.0.norm1 (1, 65, 16), blocks.1.norm1 (1, 65, 16)." in str(refused.value)


def test_a_matrix_of_tokens_by_fewer_tokens_is_no_map_and_the_maps_inside_attention_are() -> None:
    """Attention of a pyramid sees its tokens (32 x 48) and those of a coarser map (4 x 6)."""
    network, (images, targets) = small("pvt"), (torch.rand((1, 3, 128, 192)), torch.zeros(1, dtype=torch.int64))
    attention = "stages.0.blocks.0.attn"
    network.get_submodule(attention).fused_attn = False
    with pytest.raises(PluginError, match=r"shape \(1, 1, 1536, 24\), which is a part of attention and no map"):
        explain(CamExplainer(target_layer=f"{attention}.attn_drop"), network, images, targets)
    assert explain(CamExplainer(target_layer=f"{attention}.sr"), network, images, targets).shape == (1, 4, 6)


def test_a_network_without_maps_is_refused_with_advice() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 4))
    with pytest.raises(PluginError, match="no layer of this network suits"):
        explain(CamExplainer(), network, *batch())


class Latent(nn.Module):
    """Five latent tokens, which have no places, are made of the patches."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.mix, self.head = nn.Conv2d(3, 4, 8, 8), nn.LayerNorm(4), nn.Linear(4, 4)
        self.queries = nn.Parameter(torch.ones(1, 5, 16))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        tokens = self.stem(images).flatten(2).transpose(1, 2)
        return self.head(self.mix(self.queries @ tokens).mean(1))


def test_a_map_that_tokens_without_places_follow_is_not_taken_for_the_last() -> None:
    with pytest.raises(PluginError, match=r"no layer of this network suits(.|\n)*stem \(1, 4, 4, 4\)"):
        find_layer(Latent().eval(), batch(1)[0], None)


def test_a_mixer_is_mapped_at_its_last_tokens() -> None:
    network = timm.models.MlpMixer(num_classes=4, img_size=32, patch_size=8, num_blocks=1, embed_dim=16).eval()
    layer = find_layer(network, batch(1)[0], None)
    assert layer.name == "norm"
    assert explain(CamExplainer(), network, *batch(1)).shape == (1, 4, 4)


def small(kind: str) -> nn.Module:
    """A small network of a family, for pictures of 64 pixels (height) by 96."""
    made: dict[str, Any] = {
        "cait": lambda: timm.models.Cait(img_size=(64, 96), patch_size=16, embed_dim=24, depth=2, num_heads=2),
        "xcit": lambda: timm.models.Xcit(img_size=(64, 96), patch_size=16, embed_dim=32, depth=2, num_heads=2),
        "deit": lambda: timm.models.VisionTransformerDistilled(
            img_size=(64, 96), patch_size=16, embed_dim=24, depth=2, num_heads=2
        ),
        "registers": lambda: timm.models.VisionTransformer(
            img_size=(64, 96), patch_size=16, embed_dim=24, depth=2, num_heads=2, reg_tokens=4
        ),
        "resmlp": lambda: timm.models.MlpMixer(
            img_size=64, patch_size=16, num_blocks=1, embed_dim=24, block_layer=mlp_mixer.ResBlock, mlp_ratio=4
        ),
        "swin": lambda: timm.models.SwinTransformer(
            img_size=(64, 96), embed_dim=8, depths=(1, 1), num_heads=(1, 1), window_size=4
        ),
        "pvt": lambda: timm.models.PyramidVisionTransformerV2(
            depths=(1, 1, 1, 1), embed_dims=(8, 8, 16, 16), num_heads=(1, 1, 1, 1)
        ),
        "poolformer": lambda: timm.models.MetaFormer(depths=(1, 1, 1, 1), dims=(8, 12, 16, 20)),
        "convnext": lambda: timm.models.ConvNeXt(depths=(1, 1, 1, 1), dims=(8, 8, 16, 16)),
    }
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network: nn.Module = made[kind]().eval()
    return network


@pytest.mark.parametrize(
    ("kind", "size", "grid"),
    [
        ("cait", (64, 96), (4, 6)),
        ("xcit", (64, 96), (4, 6)),
        ("deit", (64, 96), (4, 6)),
        ("registers", (64, 96), (4, 6)),
        ("resmlp", (64, 64), (4, 4)),
        ("swin", (64, 96), (8, 12)),
        ("pvt", (128, 192), (4, 6)),
        ("poolformer", (128, 192), (4, 6)),
        ("convnext", (128, 192), (4, 6)),
    ],
)
def test_a_map_has_the_grid_of_the_picture_and_its_places(kind: str, size: tuple[int, int], grid: Any) -> None:
    """What is changed in the upper right corner of a picture changes the upper right of the map most."""
    network = small(kind)
    plain = torch.full((1, 3, *size), 0.5)
    spotted = plain.clone()
    height, width = size[0] // 4, size[1] // 4
    spotted[:, :, :height, -width:] = torch.rand((3, height, width))
    layer = find_layer(network, plain, None)
    maps = []
    handle = layer.module.register_forward_hook(lambda _module, _inputs, output: maps.append(output.detach()))
    with torch.no_grad():
        network(plain)
        network(spotted)
    handle.remove()
    before, after = (layer.to_map(output, plain) for output in maps)
    change = (after - before).abs().mean(dim=1)[0]
    assert tuple(change.shape) == grid
    quarters = change.unflatten(1, (2, -1)).unflatten(0, (2, -1)).mean(dim=(1, 3))
    assert int(quarters.argmax()) == 1, quarters


def test_a_layer_after_the_last_attention_of_a_class_token_is_refused_and_gives_no_empty_map() -> None:
    network = vit().eval()
    with pytest.raises(PluginError, match=r"depend on no place of this layer's output(.|\n)*norm1 of the last block"):
        explain(CamExplainer(target_layer="norm"), network, *batch(2, 64))


@pytest.mark.parametrize(
    ("layer", "message"),
    [("layer5", "no module 'layer5'"), ("fc", "is no map"), ("", "no module ''")],
)
def test_a_layer_that_does_not_suit_is_refused(layer: str, message: str) -> None:
    network = torchvision.models.resnet18(num_classes=4).eval()
    with pytest.raises(PluginError, match=message):
        explain(CamExplainer(target_layer=layer), network, *batch(1, 64))
    assert not any(module._forward_hooks for module in network.modules())


def test_a_misspelt_layer_is_answered_with_the_nearest() -> None:
    network = torchvision.models.resnet18(num_classes=4).eval()
    with pytest.raises(PluginError, match=r"layer4 \(1, 512, 2, 2\)"):
        explain(CamExplainer(target_layer="layr4"), network, *batch(1, 64))


def test_a_layer_that_the_logits_do_not_use_is_refused() -> None:
    network = small_cnn()
    network.side = nn.Conv2d(4, 4, 1)
    network.forward = lambda images: (
        network.side(images.new_ones(len(images), 4, 2, 2)),
        nn.Sequential(*network[:10])(images),
    )[1]
    with pytest.raises(PluginError, match="do not depend on the output of this layer"):
        explain(CamExplainer(target_layer="side"), network, *batch())


def test_an_unknown_method_is_no_option() -> None:
    with pytest.raises(ValidationError, match="gradcam"):
        CamExplainer(method="cam")


def test_importing_the_component_does_not_import_torch() -> None:
    code = "import fgic_explain_cam, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
