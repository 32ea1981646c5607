"""A tiny base, and processes forked from one that has everything imported: a run costs its work alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import tiny
from processes import Forks


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny random Llama."""
    return tiny.make_base(tmp_path_factory.mktemp("base"))


@pytest.fixture
def study_file(tmp_path: Path, base: Path) -> Path:
    """The tiny study, in a folder of its own."""
    return tiny.make_study(tmp_path / "study", base)


@pytest.fixture(scope="session")
def forks() -> Iterator[Forks]:
    """The parent of study processes."""
    parent = Forks()
    yield parent
    parent.close()
