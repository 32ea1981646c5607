"""Fixtures of the engine's tests."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def lifted_casts(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """fp64 tensors stay fp64 where transformers casts to fp32 (softmax, norms, rotary tables), on both sides alike."""
    softmax = torch.nn.functional.softmax
    to, to_float = torch.Tensor.to, torch.Tensor.float

    def kept_softmax(x, dim=None, _stacklevel=3, dtype=None):
        return softmax(x, dim=dim, dtype=None if x.dtype == torch.float64 else dtype)

    def kept_to(self, *args, **kwargs):
        if self.dtype == torch.float64 and args and args[0] == torch.float32:
            return self
        return to(self, *args, **kwargs)

    monkeypatch.setattr(torch.nn.functional, "softmax", kept_softmax)
    monkeypatch.setattr(torch.Tensor, "to", kept_to)
    monkeypatch.setattr(torch.Tensor, "float", lambda self: self if self.dtype == torch.float64 else to_float(self))
    return
