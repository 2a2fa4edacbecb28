"""Configs in YAML, read without building objects: MMEngine's own loader runs what a document says."""

from __future__ import annotations

from typing import Any

import yaml


class PlainLoader(yaml.SafeLoader):
    """Plain values, and tuples as MMEngine writes them."""


PlainLoader.add_constructor(
    "tag:yaml.org,2002:python/tuple", lambda loader, node: tuple(loader.construct_sequence(node, deep=True))
)


def read_yaml(text: str) -> Any:
    """A document in YAML, of plain values.

    Raises:
        ValueError: it is none.
    """
    try:
        return yaml.load(text, Loader=PlainLoader)  # noqa: S506 (it is a safe loader)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from None
