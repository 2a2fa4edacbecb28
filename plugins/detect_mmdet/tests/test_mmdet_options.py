"""What a spec can ask of detector/mmdet, and what is said of what it cannot."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fgic_detect_mmdet import MmdetDetector
from fgic_detect_mmdet._config import fit_model, frozen_norm, let_in, pipeline_of, read_config
from fgic_detect_mmdet._shipped import shipped_configs

from fgic_core import PluginError, Registry
from fgic_core.spec import SpecError, parse_spec

START = "version: 1\nsteps:\n  birds: {uses: dataset/synthetic-birds}\n  boxes: {uses: detector/mmdet, with: {"


def said(options: str) -> str:
    with pytest.raises(SpecError) as caught:
        parse_spec(f"{START}{options}}}}}\n", Registry(), path=Path("s.yaml"))
    return str(caught.value)


def changed(classes: int = 3, norm: str | None = None, **options: Any) -> Any:
    """The config as the detector would train it."""
    detector = MmdetDetector(**options)
    config = read_config(detector)
    fit_model(config, detector, classes, norm)
    return config


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("config: faster-rcnn_r101_fpn", "did you mean faster-rcnn_r101_fpn_1x_coco"),
        ("config: retina_r50", "is none; did you mean"),
        ("config: zzzzzzzz", "should be a config that mmdet ships, and zzzzzzzz is none"),
        ("config_file: none.py", "should be a file that exists"),
        ("weights: none.pth", "should be a file that exists"),
        ("epochs: 0", "epochs should be at least 1 where there are no weights to use as they are"),
        ("objects: [16]", "objects should be left out where epochs is not 0"),
        ("image_scale: 8", "should be at least 32 pixels"),
        ("proposals: 2", "option proposals should be at least 8, not 2"),
        ("norm: LN", "option norm should be 'GN' or 'BN'"),
        ("overides: {}", "Did you mean overrides?"),
    ],
)
def test_a_wrong_option_is_named_before_anything_runs(options: str, message: str) -> None:
    assert message in said(options)


def test_weights_of_another_kind_of_file_are_refused(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"x")
    assert "should be a .safetensors, .pth or .pt file; .onnx is none" in said(f"weights: {tmp_path}/model.onnx")


def test_checking_a_spec_imports_neither_mmdet_nor_torch() -> None:
    code = f"""
import sys
from fgic_core import Registry
from fgic_core.spec import parse_spec
parse_spec({START + "config: retinanet_r18_fpn_1x_coco}}"!r}, Registry())
print([name for name in ("mmdet", "mmengine", "mmcv", "torch") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.returncode) == ("[]", 0), done.stderr


def test_shipped_configs_are_found_by_name_with_and_without_their_folder() -> None:
    known = shipped_configs()
    assert len(known) > 600
    assert known["faster-rcnn_r101_fpn_1x_coco"] == known["faster_rcnn/faster-rcnn_r101_fpn_1x_coco"]
    assert MmdetDetector(config="faster_rcnn/faster-rcnn_r101_fpn_1x_coco.py").config.endswith("1x_coco")


def test_nothing_is_downloaded_and_every_head_tells_the_datas_classes_apart() -> None:
    config = changed(config="cascade-rcnn_r101_fpn_1x_coco", classes=7)
    text = str(config.model)
    assert "torchvision://" not in text
    assert "Pretrained" not in text
    assert [head.num_classes for head in config.model.roi_head.bbox_head] == [7, 7, 7]
    assert changed(config="retinanet_r18_fpn_1x_coco", classes=5).model.bbox_head.num_classes == 5
    for name in (
        "fcos_r50-caffe_fpn_gn-head_1x_coco",
        "retinanet_pvtv2-b0_fpn_1x_coco",
        "retinanet_swin-t-p4-w7_fpn_1x_coco",
    ):
        text = str(changed(config=name).model)
        assert "checkpoint" not in text
        assert "://" not in text


def test_from_scratch_frozen_batchnorm_becomes_trained_groupnorm() -> None:
    config = read_config(MmdetDetector(config="faster-rcnn_r101_fpn_1x_coco"))
    assert frozen_norm(config)
    backbone = changed(config="faster-rcnn_r101_fpn_1x_coco", norm="GN").model.backbone
    assert dict(backbone.norm_cfg) == {"type": "GN", "requires_grad": True, "num_groups": 32}
    assert (backbone.frozen_stages, backbone.norm_eval) == (-1, False)
    assert not frozen_norm(read_config(MmdetDetector(config="yolox_tiny_8xb8-300e_coco")))


def test_proposals_bound_both_stages(small: Callable[..., MmdetDetector]) -> None:
    model = changed(config="faster-rcnn_r50_fpn_1x_coco", proposals=50).model
    assert (model.train_cfg.rpn_proposal.max_per_img, model.test_cfg.rpn.max_per_img) == (50, 50)
    assert (model.train_cfg.rpn_proposal.nms_pre, model.train_cfg.rcnn.sampler.num) == (100, 50)
    with pytest.raises(PluginError, match="RetinaNet is no two-stage detector with proposals"):
        changed(config="retinanet_r18_fpn_1x_coco", proposals=50)


@pytest.mark.parametrize(("given", "scale"), [(320, (320, 320)), ((400, 240), (400, 240))])
def test_the_image_scale_is_set_in_both_pipelines(given: Any, scale: tuple[int, int]) -> None:
    config = changed(config="faster-rcnn_r50_fpn_1x_coco", image_scale=given)
    for part in ("train", "test"):
        assert [step.scale for step in pipeline_of(config, part) if step.type == "Resize"] == [scale]


def test_sizes_of_augmentations_change_in_proportion() -> None:
    config = changed(config="yolox_tiny_8xb8-300e_coco", image_scale=208)
    mosaic = next(step for step in pipeline_of(config, "train") if step.type == "Mosaic")
    assert tuple(mosaic.img_scale) == (320, 320), "640 by 208/416"
    resize = next(step for step in pipeline_of(config, "test") if step.type == "Resize")
    assert tuple(resize.scale) == (208, 208)


def test_overrides_change_what_is_there_in_the_type_it_has() -> None:
    config = changed(
        overrides={
            "model.backbone.depth": 18,
            "model.neck.in_channels": [64, 128, 256, 512],
            "model.test_cfg.rcnn.score_thr": 0,
            "model.backbone.out_indices": [0, 1],
            "train_dataloader.dataset.pipeline.2.scale": [640, 400],
            "+model.backbone.deep_stem": True,
        }
    )
    assert config.model.backbone.depth == 18
    assert config.model.backbone.out_indices == (0, 1)
    assert config.train_dataloader.dataset.pipeline[2].scale == (640, 400)
    assert config.model.backbone.deep_stem is True


def test_nested_overrides_are_the_same_as_dotted_ones() -> None:
    model = changed(overrides={"model": {"backbone": {"depth": 18}, "neck.out_channels": 64}}).model
    assert (model.type, model.backbone.depth, model.backbone.num_stages) == ("FasterRCNN", 18, 4)
    assert model.neck.out_channels == 64


def test_no_box_that_min_score_lets_in_is_cut_before() -> None:
    """Training does not know of min_score; where a detector is opened for use, what it lets in is let through."""
    assert changed(min_score=0.001).model.test_cfg.rcnn.score_thr == 0.05
    asked = changed(overrides={"model.test_cfg.rcnn.score_thr": 0.3})
    for config, min_score, bound in ((changed(), 0.001, 0.001), (changed(), 0.5, 0.05), (asked, 0.001, 0.3)):
        let_in(config.model.test_cfg, min_score)
        assert config.model.test_cfg.rcnn.score_thr == bound


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ({"model.backbone.dept": 18}, r"the config has no model.backbone.dept\n  Did you mean depth"),
        ({"modle.backbone.depth": 18}, r"the config has no modle\n  Did you mean model"),
        ({"model.backbone.depth": "18"}, r"model.backbone.depth is int in the config \(50\), not str"),
        ({"model.backbone.depth": True}, "not bool"),
        ({"model.neck.in_channels": 64}, r"is list in the config .* not int"),
        ({"model.neck.in_channels.9": 64}, "is no index of a list of 4"),
        ({"model.backbone.depth.x": 1}, "model.backbone.depth in the config holds no keys"),
        ({"train_cfg.max_epochs": 24}, r"train_cfg.max_epochs of the config is not used\n  Use the option epochs"),
        ({"train_dataloader.batch_size": 8}, r"is not used\n  Use the option batch_size"),
        ({"model": {"backbone": {"dept": 18}}}, r"the config has no model.backbone.dept"),
        ({"model.backbone.new": 1}, r"To add a new key write \+model.backbone.new"),
    ],
)
def test_an_override_that_does_not_fit_is_refused(override: dict[str, Any], message: str) -> None:
    with pytest.raises(PluginError, match=message):
        changed(overrides=override)


@pytest.mark.parametrize("name", ["mask-rcnn_r50_fpn_1x_coco", "htc_r50_fpn_1x_coco"])
def test_a_model_of_masks_is_refused(name: str) -> None:
    with pytest.raises(PluginError, match=r"predicts more than boxes \(mask_head"):
        changed(config=name)


@pytest.mark.parametrize("base", ["pipe.py", "pipe.yaml", "{{ fileDirname }}/pipe.json", "between.py", "between.yaml"])
def test_a_config_that_is_based_on_a_pipe_does_not_wait_for_it(
    base: str, tmp_path: Path, pipe: Callable[[Path], Path]
) -> None:
    for ending in ("py", "yaml", "json"):
        pipe(tmp_path / f"pipe.{ending}")
    (tmp_path / "between.py").write_text("_base_ = ['./pipe.py']\n")
    (tmp_path / "between.yaml").write_text("_base_: pipe.yaml\n")
    own = tmp_path / "own.py"
    own.write_text(f"_base_ = {base!r}\n")
    with pytest.raises(
        PluginError, match=r"pipe\.\w+: this config cannot be read: it is a named pipe and not"
    ) as caught:
        read_config(MmdetDetector(config_file=own))
    assert caught.value.hint == f"It is a _base_ of {tmp_path / (base if 'between' in base else 'own.py')}."


def test_a_config_that_is_based_on_itself_is_told(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text("_base_ = 'other.py'\n")
    (tmp_path / "other.py").write_text("_base_ = 'own.py'\n")
    with pytest.raises(PluginError, match=r"own\.py: this config is based on itself"):
        read_config(MmdetDetector(config_file=tmp_path / "own.py"))


def test_a_config_file_of_ones_own_is_read_and_a_broken_one_named(tmp_path: Path) -> None:
    own = tmp_path / "own.py"
    own.write_text(
        f"_base_ = {str(shipped_configs()['retinanet_r18_fpn_1x_coco'])!r}\n"
        "model = dict(bbox_head=dict(stacked_convs=1))\n"
    )
    assert changed(config_file=own).model.bbox_head.stacked_convs == 1
    for text, message in (("model = 3", "describes no model"), ("def f(:", "cannot be read"), ("1/0", "ZeroDivision")):
        own.write_text(text)
        with pytest.raises(PluginError, match=message):
            changed(config_file=own)
