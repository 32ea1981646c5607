"""A tiny base, and processes forked from one that has everything imported: a run costs its work alone."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import tiny
from processes import Forks
from several import copied as copied
from several import models as models
from several import two as two

from traitscope.study import Study


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny random Llama."""
    return tiny.make_base(tmp_path_factory.mktemp("base"))


@pytest.fixture
def study_file(tmp_path: Path, base: Path) -> Path:
    """The tiny study, in a folder of its own."""
    return tiny.make_study(tmp_path / "study", base)


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory, base: Path) -> Path:
    """A folder with the study file, its rows and its filled run folder ``runs/tiny``: not to be changed."""
    folder = tmp_path_factory.mktemp("filled")
    Study.open(tiny.make_study(folder, base)).run()
    return folder


@pytest.fixture
def copy(filled: Path, tmp_path: Path) -> Path:
    """A copy of the filled study that a test may change; its study file."""
    shutil.copytree(filled, tmp_path / "copy")
    return tmp_path / "copy" / "study.yaml"


@pytest.fixture(scope="session")
def forks() -> Iterator[Forks]:
    """The parent of study processes."""
    parent = Forks()
    yield parent
    parent.close()
