"""A tiny base for the studies that run through every verb."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "study"))
import tiny


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny random Llama, of four layers."""
    return tiny.make_base(tmp_path_factory.mktemp("base"), layers=4)
