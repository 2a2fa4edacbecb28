"""Threads: shared out, and told to whoever computes."""

from __future__ import annotations

import os

import pytest

from fgic_core.run.threads import available, environment, limited, share


def test_threads_are_divided_unless_they_are_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "8")
    assert [share(None, 1), share(3, 1), share(3, 2), share(None, 2), share(None, 3), share(None, 20)] == [
        *(None, 3, 3),
        *(4, 2, 1),
    ]
    monkeypatch.setenv("OMP_NUM_THREADS", "")
    assert 1 <= available() <= (os.cpu_count() or 1)


def test_a_process_is_told_by_its_environment_and_torch_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setenv("OMP_NUM_THREADS", "8")
    assert environment(None) == dict(os.environ)
    assert [environment(3)[name] for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")] == ["3", "3"]
    before = torch.get_num_threads()
    with limited(before + 1):
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before
    with limited(None):
        assert torch.get_num_threads() == before
