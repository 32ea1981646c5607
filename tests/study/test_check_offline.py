"""``check`` without the Hub: what is valid is said, what could not be looked at is named, the exit status is 2."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from traitscope.cli import app
from traitscope.config import load_config

STUDY = """\
study: far
base: {model: some-org/far-base}
tasks:
  near: {data: {path: near.jsonl, train: 1, eval: 1}, prompt: "{{ a }}", answer: {choice: [x, y], gold: x}}
  far: {data: {hub: some-org/far-data, splits: test}, prompt: "{{ a }}", answer: {choice: [x, y], gold: x}}
mixes: {all: {of: sources}}
models: {other: some-org/far-model}
"""


@pytest.fixture(autouse=True)
def no_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


def check(file: Path) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, ["check", str(file)], env={"COLUMNS": "200"})
    assert done.exception is None or isinstance(done.exception, SystemExit)
    return done.exit_code, done.stdout, " ".join(done.stderr.split())


def test_what_is_valid_and_what_nobody_looked_at_is_told(tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text(STUDY)
    (tmp_path / "near.jsonl").write_text('{"a": "1"}\n{"a": "2"}\n')
    status, out, err = check(tmp_path / "study.yaml")
    assert status == 2 and out == ""
    assert "model some-org/far-base" in err and "does not answer" in err and "fix: " in err
    # near and far train and evaluate; two sources and the mix.
    assert "the study file is valid (2 tasks, 2 targets, 3 adapters)" in err
    assert "not looked at: model some-org/far-base, model some-org/far-model, dataset some-org/far-data" in err


def test_a_mistake_in_the_file_is_told_without_the_hub(tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text(STUDY.replace("splits: test", "split: test"))
    status, _, err = check(tmp_path / "study.yaml")
    assert status == 2 and "tasks.far.data" in err and "split" in err and "valid" not in err


@pytest.mark.parametrize("name", ["latent-traits", "layer-by-layer", "latent-traits-small", "layer-by-layer-small"])
def test_the_papers_presets_are_validated_without_the_hub(tmp_path: Path, name: str) -> None:
    file = tmp_path / "study.yaml"
    small = ["--small"] if name.endswith("-small") else []
    done = CliRunner().invoke(app, ["init", str(file), "--preset", name.removesuffix("-small"), *small])
    assert done.exit_code == 0
    config = load_config(file)
    status, _, err = check(file)
    assert status == 2 and f"the study file is valid ({len(config.tasks)} tasks, " in err
    assert f"not looked at: model {config.base.model}, dataset " in err
