"""A detector that is small enough to be trained in a test, and pictures to train it on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from fgic_detect_mmdet import MmdetDetector

#: Faster R-CNN with a ResNet-18 and narrow heads.
SMALL = {
    "model.backbone.depth": 18,
    "model.neck.in_channels": [64, 128, 256, 512],
    "model.neck.out_channels": 32,
    "model.rpn_head.in_channels": 32,
    "model.rpn_head.feat_channels": 32,
    "model.rpn_head.anchor_generator.scales": [4],
    "model.roi_head.bbox_roi_extractor.out_channels": 32,
    "model.roi_head.bbox_head.in_channels": 32,
    "model.roi_head.bbox_head.fc_out_channels": 64,
}


@pytest.fixture
def small() -> Callable[..., MmdetDetector]:
    """``small(epochs=2, …)`` is a Faster R-CNN that is trained on 64-pixel pictures in seconds."""

    def make(overrides: dict[str, Any] | None = None, **options: Any) -> MmdetDetector:
        given = {"config": "faster-rcnn_r50_fpn_1x_coco", "image_scale": 64, "proposals": 32, "batch_size": 4}
        return MmdetDetector(**{**given, "overrides": {**SMALL, **(overrides or {})}, **options})

    return make
