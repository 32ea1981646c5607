"""Tiny studies of several base models."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import tiny
from typer.testing import CliRunner

from traitscope.cli import app
from traitscope.study import BasesStudy, Study

BASES = tiny.STUDY.replace("base: {{model: {base}, dtype: fp32}}", "bases: {base}")


def entry(model: Path, more: str = "") -> str:
    return f"{{model: {model}, dtype: fp32{more}}}"


def several(folder: Path, *entries: str) -> Path:
    return tiny.make_study(folder, f"[{', '.join(entries)}]", BASES)


def opened(path: Path, out: Path | None = None, **options: object) -> BasesStudy:
    found = Study.open(path, out, **options)  # type: ignore[arg-type]
    assert isinstance(found, BasesStudy)
    return found


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Three tiny base models."""
    root = tmp_path_factory.mktemp("models")
    return {name: tiny.make_base(root / name, seed) for seed, name in enumerate(("alpha", "beta", "gamma"))}


@pytest.fixture(scope="session")
def two(tmp_path_factory: pytest.TempPathFactory, models: dict[str, Path]) -> Path:
    """A filled study of two base models: not to be changed."""
    folder = tmp_path_factory.mktemp("two")
    opened(several(folder, entry(models["alpha"]), entry(models["beta"], ", recipe: {lr: 0.02}"))).run()
    return folder


@pytest.fixture
def copied(two: Path, tmp_path: Path) -> Path:
    """A copy that may be changed; its study file."""
    shutil.copytree(two, tmp_path / "copy")
    return tmp_path / "copy" / "study.yaml"


def invoke(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [str(a) for a in arguments], env={"COLUMNS": "160"})
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr
