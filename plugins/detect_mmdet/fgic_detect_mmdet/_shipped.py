"""The configs that mmdet ships, found without importing it: a spec is checked by their names."""

from __future__ import annotations

from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path


@lru_cache(maxsize=1)
def shipped_configs() -> dict[str, Path]:
    """Files by name, such as ``faster-rcnn_r50_fpn_1x_coco`` or ``faster_rcnn/faster-rcnn_r50_fpn_1x_coco``.

    Empty where mmdet, or its folder of configs, is not there.
    """
    found = find_spec("mmdet")
    if found is None or found.origin is None:
        return {}
    home = Path(found.origin).parent
    folder = next((place for place in (home / ".mim" / "configs", home.parent / "configs") if place.is_dir()), None)
    known: dict[str, Path] = {}
    for path in sorted(folder.glob("*/*.py")) if folder is not None else ():
        if path.parent.name != "_base_":
            known.setdefault(path.stem, path)
            known[f"{path.parent.name}/{path.stem}"] = path
    return known
