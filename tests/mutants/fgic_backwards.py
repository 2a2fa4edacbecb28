"""A plugin of pytest's: the tests in the other order, so that none can lean on one that usually runs before it."""

from __future__ import annotations

import pytest


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Turn the order round; with whole files turned, what a file's tests share is still made once."""
    items.reverse()
