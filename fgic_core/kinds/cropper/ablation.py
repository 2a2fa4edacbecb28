"""What a cropper crops to in a study's arms: where the step that found the boxes is left out, and with perfect ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

_FOUND = ("predicted", "crossfit")


def left_out(options: Mapping[str, Any], before: Sequence[str], now: Sequence[str]) -> dict[str, Any]:
    """The options that are others once steps before it are left out.

    Without its detector what was cropped to found boxes is used whole, and never in silence cropped to annotated ones.

    Args:
        options: every option of the cropper; a default that is worked out is still None.
        before: the kinds of the steps whose data came to it in the whole pipeline; now: of those that are left.
    """
    if "detector" not in before or "detector" in now:
        return {}
    found = {"train_boxes": "whole"} if options["train_boxes"] in _FOUND else {}
    return found | ({"test_boxes": "whole"} if options["test_boxes"] in (None, *_FOUND) else {})


def oracle(options: Mapping[str, Any], before: Sequence[str]) -> dict[str, Any]:
    """The options with which test pictures are cropped to annotated boxes; none where no detector finds them now."""
    return {"test_boxes": "annotated"} if "detector" in before and options["test_boxes"] in (None, *_FOUND) else {}
