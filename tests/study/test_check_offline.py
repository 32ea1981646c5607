"""``check`` without the Hub: what is valid is said, what could not be looked at is named, the exit status is 2."""

from __future__ import annotations

import json
import re
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
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


def check(file: Path, *more: str, verb: tuple[str, ...] = ("check",)) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, [*verb, str(file), *more], env={"COLUMNS": "200"})
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
    assert f"not looked at: model {config.base.model}, dataset " in err and "with --offline" in err
    status, out, err = check(file, "--offline")
    assert status == 0 and f"the study file is valid ({len(config.tasks)} tasks, " in out
    assert f"model {config.base.model}, dataset " in out
    assert {f"dataset {task.data.hub}" for task in config.tasks.values()} <= set(
        re.findall(r"dataset [^,\s]+", " ".join(out.split()))
    )
    # What papers.md sends its readers to.
    status, out, err = check(file, "--json", verb=("ls", "tasks"))
    rows = {row["task"]: row for row in json.loads(out)}
    assert status == 0 and set(rows) == set(config.tasks)
    assert {name: row["eval"] for name, row in rows.items() if config.tasks[name].data.part_is_named("eval")} == {
        name: task.data.eval or "all" for name, task in config.tasks.items() if task.data.part_is_named("eval")
    }


def test_offline_what_is_here_is_validated_and_the_rest_is_named(tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text(STUDY)
    (tmp_path / "near.jsonl").write_text('{"a": "1"}\n{"a": "2"}\n')
    status, out, err = check(tmp_path / "study.yaml", "--offline")
    assert status == 0, err
    assert (
        "not looked at, for it is not on this disk: model some-org/far-base, model some-org/far-model, dataset" in out
    )
    status, out, _ = check(tmp_path / "study.yaml", "--offline", "--json")
    assert status == 0 and json.loads(out)["not_looked_at"][-1] == "dataset some-org/far-data"
    (tmp_path / "near.jsonl").write_text('{"b": "1"}\n{"b": "2"}\n')
    status, out, err = check(tmp_path / "study.yaml", "--offline")
    assert status == 2 and out == "" and "near" in err and "far-data" not in err
    (tmp_path / "near.jsonl").unlink()
    assert check(tmp_path / "study.yaml", "--offline")[0] == 2


def test_offline_with_all_of_it_here_is_a_check_like_any_other(tmp_path: Path) -> None:
    far = [line for line in STUDY.splitlines(keepends=True) if "far-data" in line or "far-model" in line]
    text = STUDY.replace("some-org/far-base", "embedded")
    for line in far:
        text = text.replace(line, "")
    (tmp_path / "study.yaml").write_text(text)
    (tmp_path / "near.jsonl").write_text('{"a": "1"}\n{"a": "2"}\n')
    found = [check(tmp_path / "study.yaml", "--json", *more) for more in ((), ("--offline",))]
    assert found[0][0] == found[1][0] == 0
    assert json.loads(found[0][1])["tasks"] == json.loads(found[1][1])["tasks"]
