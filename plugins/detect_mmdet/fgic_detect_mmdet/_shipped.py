"""The configs that mmdet ships, found without importing it: a spec is checked by their names."""

from __future__ import annotations

from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path


def folder_of(package: str) -> Path | None:
    """Where a package lies; None where there is none of that name."""
    try:
        found = find_spec(package) if package.isidentifier() else None
    except (ImportError, ValueError):
        return None
    return Path(found.origin).parent if found is not None and found.origin is not None else None


def configs_of(package: str) -> Path | None:
    """The folder of configs that a package of OpenMMLab ships; None where there is none."""
    home = folder_of(package)
    places = (home / ".mim" / "configs", home.parent / "configs") if home is not None else ()
    return next((place for place in places if place.is_dir()), None)


def config_of_package(name: str) -> tuple[Path, str]:
    """The file that a base ``mmdet::retinanet/retinanet_r50_fpn_1x_coco.py`` means, and the package.

    MMEngine asks setuptools' ``pkg_resources`` where packages lie, which is no more.

    Raises:
        ValueError: no such package, or none that ships configs, is installed.
    """
    package, _, config = name.partition("::")
    folder = configs_of(package)
    if folder is None:
        raise ValueError(f"{name} is a config of {package or 'no package'}, which is not installed with its configs")
    return folder / (config if Path(config).suffix else f"{config}.py"), package


@lru_cache(maxsize=1)
def shipped_configs() -> dict[str, Path]:
    """Files by name, such as ``faster-rcnn_r50_fpn_1x_coco`` or ``faster_rcnn/faster-rcnn_r50_fpn_1x_coco``.

    Empty where mmdet, or its folder of configs, is not there.
    """
    folder = configs_of("mmdet")
    known: dict[str, Path] = {}
    for path in sorted(folder.glob("*/*.py")) if folder is not None else ():
        if path.parent.name != "_base_":
            known.setdefault(path.stem, path)
            known[f"{path.parent.name}/{path.stem}"] = path
    return known
