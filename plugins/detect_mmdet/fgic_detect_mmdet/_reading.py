"""MMEngine reads configs, and two of its ways to do so are not ours: what it does instead while it reads one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from fgic_detect_mmdet._shipped import config_of_package, folder_of
from fgic_detect_mmdet._yaml import PlainLoader


@contextmanager
def reading() -> Iterator[None]:
    """Have MMEngine find packages' configs without setuptools' ``pkg_resources``, and build no objects from YAML.

    Its own loader of YAML runs what a document says (``!!python/object/apply:os.mkdir``).
    """
    from mmengine.config import Config, config
    from mmengine.fileio.handlers import yaml_handler

    with ExitStack() as stack:
        for holder, name, value in (
            (Config, "_get_cfg_path", staticmethod(_config_path)),
            (config, "get_installed_path", _installed_path),
            (yaml_handler, "Loader", PlainLoader),
        ):
            stack.callback(setattr, holder, name, vars(holder)[name])
            setattr(holder, name, value)
        yield


def _config_path(name: str, config: str) -> tuple[str, str | None]:
    """The file of a base, and the scope of its classes where it is a package's."""
    if "::" not in name:
        return os.path.join(os.path.dirname(config), name), None
    path, package = config_of_package(name)
    return str(path), package


def _installed_path(package: str) -> str:
    if (folder := folder_of(package)) is None:
        raise ValueError(f"no package {package} is installed")
    return str(folder)
