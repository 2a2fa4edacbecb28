"""The operators that stand in for mmcv's compiled ones give what the papers and torchvision say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torchvision
from fgic_detect_mmdet._mmdet import import_mmdet
from torch.nn import functional

from fgic_core import PluginError


@pytest.fixture(scope="module", autouse=True)
def _mmdet() -> None:
    import_mmdet()


def boxes(count: int, seed: int, side: float = 60.0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    corner = torch.rand((count, 2), generator=generator) * side * 0.6
    return torch.cat([corner, corner + 2 + torch.rand((count, 2), generator=generator) * side * 0.4], dim=1)


def greedy(candidates: torch.Tensor, scores: torch.Tensor, threshold: float, offset: int) -> list[int]:
    """Non-maximum suppression as one writes it down."""
    kept: list[int] = []
    for row in scores.argsort(descending=True).tolist():
        x1, y1, x2, y2 = candidates[row].tolist()
        for other in kept:
            a1, b1, a2, b2 = candidates[other].tolist()
            width = max(0.0, min(x2, a2) - max(x1, a1) + offset)
            height = max(0.0, min(y2, b2) - max(y1, b1) + offset)
            area = (x2 - x1 + offset) * (y2 - y1 + offset) + (a2 - a1 + offset) * (b2 - b1 + offset)
            if width * height / (area - width * height) > threshold:
                break
        else:
            kept.append(row)
    return kept


@pytest.mark.parametrize("offset", [0, 1])
@pytest.mark.parametrize("threshold", [0.1, 0.5, 0.7])
def test_nms_equals_brute_force(threshold: float, offset: int) -> None:
    from mmcv.ops import nms

    for seed in range(10):
        candidates, scores = boxes(40, seed), torch.rand(40, generator=torch.Generator().manual_seed(seed))
        kept, places = nms(candidates, scores, threshold, offset=offset)
        assert places.tolist() == greedy(candidates, scores, threshold, offset)
        assert torch.equal(kept, torch.cat([candidates, scores[:, None]], dim=1)[places])


def test_nms_of_nothing_is_nothing_and_classes_do_not_suppress_each_other() -> None:
    from mmcv.ops import batched_nms, nms

    assert nms(torch.zeros(0, 4), torch.zeros(0), 0.5)[1].tolist() == []
    twins = boxes(1, 0).repeat(2, 1)
    _, places = batched_nms(
        twins, torch.tensor([0.9, 0.8]), torch.tensor([0, 1]), {"type": "nms", "iou_threshold": 0.5}
    )
    assert sorted(places.tolist()) == [0, 1]


def test_nms_match_groups_each_box_once() -> None:
    from mmcv.ops import nms_match

    candidates, scores = boxes(30, 3), torch.rand(30, generator=torch.Generator().manual_seed(3))
    groups = nms_match(torch.cat([candidates, scores[:, None]], dim=1), 0.4)
    assert sorted(row for group in groups for row in group.tolist()) == list(range(30))
    assert [int(group[0]) for group in groups] == greedy(candidates, scores, 0.4, 0)


def rois(seed: int, count: int = 6) -> torch.Tensor:
    """Regions well inside of a picture of 64 pixels, in two pictures."""
    inside = boxes(count, seed, side=48.0) + 6
    return torch.cat([(torch.arange(count) % 2)[:, None].float(), inside], dim=1)


def aligned_by_grid_sample(features: torch.Tensor, regions: torch.Tensor, size: int, scale: float) -> torch.Tensor:
    """RoIAlign (He et al. 2017) with two by two samples a bin, half-pixel aligned, by bilinear grid sampling."""
    height, width = features.shape[2:]
    made = []
    for region in regions:
        image, x1, y1, x2, y2 = region.tolist()
        place = (torch.arange(2 * size) + 0.5) / (2 * size)
        xs = x1 * scale - 0.5 + place * (x2 - x1) * scale
        ys = y1 * scale - 0.5 + place * (y2 - y1) * scale
        grid = torch.stack(torch.meshgrid(ys, xs, indexing="ij")[::-1], dim=-1)
        grid = grid * 2 / torch.tensor([width - 1, height - 1]) - 1
        sampled = functional.grid_sample(features[int(image)][None], grid[None], align_corners=True)
        made.append(functional.avg_pool2d(sampled, 2))
    return torch.cat(made)


def test_roi_align_forward_and_backward_equal_grid_sample_and_torchvision() -> None:
    from mmcv.ops import RoIAlign

    features = torch.rand((2, 3, 16, 16), generator=torch.Generator().manual_seed(0), dtype=torch.float32)
    regions, scale = rois(1), 0.25
    weights = torch.rand((6, 3, 4, 4), generator=torch.Generator().manual_seed(2))
    layer = RoIAlign(4, scale, sampling_ratio=2, aligned=True)
    ways = {
        "mmcv": lambda x: layer(x, regions),
        "grid_sample": lambda x: aligned_by_grid_sample(x, regions, 4, scale),
        "torchvision": lambda x: torchvision.ops.roi_align(x, regions, 4, scale, 2, True),
    }
    outputs, gradients = {}, {}
    for name, way in ways.items():
        leaf = features.clone().requires_grad_()
        outputs[name] = way(leaf)
        (gradients[name],) = torch.autograd.grad((outputs[name] * weights).sum(), leaf)
    for name in ("grid_sample", "torchvision"):
        torch.testing.assert_close(outputs["mmcv"], outputs[name], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(gradients["mmcv"], gradients[name], atol=1e-5, rtol=1e-5)


def test_roi_align_is_differentiable_by_the_definition() -> None:
    from mmcv.ops import roi_align

    features = torch.rand((1, 1, 8, 8), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    region = torch.tensor([[0.0, 4.0, 4.0, 20.0, 24.0]], dtype=torch.float64)
    assert torch.autograd.gradcheck(
        lambda x: roi_align(x, region, (2, 2), 0.25, 2, "avg", True), (features.requires_grad_(),)
    )


def test_max_pooling_in_roi_align_is_refused() -> None:
    from mmcv.ops import roi_align

    with pytest.raises(PluginError, match="pool_mode max"):
        roi_align(torch.zeros(1, 1, 8, 8), torch.tensor([[0.0, 0, 0, 8, 8]]), (2, 2), 1.0, 2, "max", True)


def test_roi_pool_equals_torchvision_forward_and_backward() -> None:
    from mmcv.ops import RoIPool

    features = torch.rand((2, 3, 16, 16), generator=torch.Generator().manual_seed(0))
    gradients = []
    for way in (RoIPool(3, 0.25), torchvision.ops.RoIPool(3, 0.25)):
        leaf = features.clone().requires_grad_()
        gradients.append(torch.autograd.grad(way(leaf, rois(4)).square().sum(), leaf)[0])
    assert torch.equal(*gradients)


def test_the_focal_loss_and_its_gradient_follow_the_paper() -> None:
    from mmcv.ops import sigmoid_focal_loss

    generator = torch.Generator().manual_seed(0)
    logits = torch.randn((20, 3), generator=generator, dtype=torch.float64)
    target = torch.randint(0, 4, (20,), generator=generator)  # 3 is the background
    leaf, other = logits.clone().requires_grad_(), logits.clone().requires_grad_()
    loss = sigmoid_focal_loss(leaf, target, 2.0, 0.25, None, "none")
    hot = functional.one_hot(target, 4)[:, :3].double()
    p = other.sigmoid()
    expected = -(0.25 * (1 - p) ** 2 * p.log() * hot + 0.75 * p**2 * (1 - p).log() * (1 - hot))
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(torch.autograd.grad(loss.sum(), leaf)[0], torch.autograd.grad(expected.sum(), other)[0])


def test_an_operator_that_is_not_there_says_its_name_when_it_is_called() -> None:
    from mmcv.ops import border_align

    with pytest.raises(PluginError, match="the operator border_align_forward of mmcv is not there"):
        border_align(torch.zeros(1, 4, 8, 8), torch.zeros(1, 64, 4), 2)


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize(("groups", "offset_groups"), [(1, 1), (2, 1), (1, 2)])
def test_deformable_convolution_equals_torchvision_forward_and_backward(groups: int, offset_groups: int) -> None:
    from mmcv.ops import deform_conv2d, modulated_deform_conv2d

    features, weight, bias = random(2, 4, 9, 8), random(6, 4 // groups, 3, 3, seed=1), random(6, seed=2)
    offset, mask = random(2, 18 * offset_groups, 5, 4, seed=3), random(2, 9 * offset_groups, 5, 4, seed=4).sigmoid()
    inputs = (features, offset, weight, mask, bias)
    ways = {
        "mmcv v1": lambda x, o, w, m, b: deform_conv2d(x, o, w, 2, 1, 1, groups, offset_groups),
        "v1": lambda x, o, w, m, b: torchvision.ops.deform_conv2d(x, o, w, None, 2, 1, 1),
        "mmcv v2": lambda x, o, w, m, b: modulated_deform_conv2d(x, o, m, w, b, 2, 1, 1, groups, offset_groups),
        "v2": lambda x, o, w, m, b: torchvision.ops.deform_conv2d(x, o, w, b, 2, 1, 1, m),
    }
    outputs, gradients = {}, {}
    for name, way in ways.items():
        leaves = [one.clone().requires_grad_() for one in inputs]
        outputs[name] = way(*leaves)
        used = leaves[:3] if "v1" in name else leaves
        gradients[name] = torch.autograd.grad(outputs[name].square().sum(), used)
    for version in ("v1", "v2"):
        torch.testing.assert_close(outputs[f"mmcv {version}"], outputs[version])
        torch.testing.assert_close(gradients[f"mmcv {version}"], gradients[version])


def test_deformable_convolution_without_offsets_is_convolution_and_a_whole_offset_a_shift() -> None:
    from mmcv.ops import deform_conv2d

    features, weight = random(1, 3, 8, 8), random(2, 3, 3, 3, seed=1)
    still = torch.zeros(1, 18, 8, 8, dtype=torch.float64)
    torch.testing.assert_close(
        deform_conv2d(features, still, weight, 1, 1), functional.conv2d(features, weight, padding=1)
    )
    down = still.clone()
    down[:, 0::2] = 1.0  # offsets are y before x
    shifted = functional.conv2d(functional.pad(features, (1, 1, 0, 2)), weight)
    torch.testing.assert_close(deform_conv2d(features, down, weight, 1, 1), shifted)


def test_a_compiled_mmcv_goes_before(tmp_path: Path) -> None:
    """With an ``mmcv._ext`` that can be imported, nothing is put in its place."""
    code = f"""
import sys, mmcv
mmcv.__path__.append({str(tmp_path)!r})
from fgic_detect_mmdet._mmcv_ext import install
assert install() is False
import mmcv._ext
print(mmcv._ext.nms)
"""
    (tmp_path / "_ext.py").write_text("nms = 'compiled'\n")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "compiled"), done.stderr
