"""Where models are: relative paths start from the study file's folder, and a study moves with its models."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import tiny
from tiny_gguf import tiny_qwen, write_gguf
from typer.testing import CliRunner

from traitscope.cli import app
from traitscope.cli.reporter import Quiet
from traitscope.errors import TraitscopeError
from traitscope.store.models import ModelSource, locate
from traitscope.study import Study

SMALL = tiny.STUDY.replace("controls: {{tone: [mislabel]}}\nmixes: {{all: {{of: sources, per_task: 6}}}}\n", "")
assert "controls" not in SMALL


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory that holds nothing."""
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    return tmp_path / "elsewhere"


def test_a_study_moves_with_its_models_and_its_adapters(tmp_path: Path, base: Path, elsewhere: Path) -> None:
    folder = tmp_path / "one"
    study = tiny.make_study(folder, Path("models/tiny"), SMALL)
    shutil.copytree(base, folder / "models/tiny")
    tiny.make_base(folder / "models/other", seed=1)
    Study.open(study).train()
    shutil.copytree(folder / "runs/tiny/adapters/tone-s0", folder / "mine/tone")
    study.write_text(study.read_text() + "models: {other: models/other, again: ./mine/tone}\n")
    assert Study.open(study).run() is not None

    lock = json.loads((folder / "runs/tiny/lock.json").read_text())
    assert lock["base"]["model"] == "models/tiny" and "root" not in lock["base"]
    assert {name: (entry["model"], entry["adapter"]) for name, entry in lock["models"].items()} == {
        "other": ("models/other", False),
        "again": ("./mine/tone", True),
    }
    config = json.loads((folder / "runs/tiny/adapters/tone-s0/adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == str(folder / "models/tiny")
    table = Study.open(study).score_table()
    values = table.set_index(["model", "task", "metric"])["value"]
    assert values["again"].equals(values["tone-s0"]) and not values["other"].equals(values["base"])

    folder.rename(tmp_path / "two")
    moved = Study.open(tmp_path / "two/study.yaml")
    assert moved.plan().complete and moved.run() is None
    # From the run folder alone as well: it remembers where the study file was found last.
    assert Study.open(tmp_path / "two/runs/tiny").plan().complete


@pytest.mark.verify
def test_check_and_two_processes_find_a_relative_base(tmp_path: Path, base: Path, elsewhere: Path) -> None:
    study = tiny.make_study(tmp_path / "one", Path("../models/tiny"), SMALL)
    shutil.copytree(base, tmp_path / "models/tiny")
    done = CliRunner().invoke(app, ["check", str(study)])
    assert done.exit_code == 0, done.output
    assert "on this processor" in done.output
    tiny.change(study, "threads: 1", "threads: 1, workers: 2")
    work = Study.open(study).run()
    assert work is not None and len(work.trained) == 2


def test_a_folder_of_the_working_directory_is_none_of_the_study(
    tmp_path: Path, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = tiny.make_study(tmp_path / "one", "./tiny")
    monkeypatch.chdir(base.parent)
    base.rename(base.with_name("tiny"))
    try:
        with pytest.raises(TraitscopeError, match=rf"model ./tiny: there is no model folder.*\n.*{tmp_path / 'one'}"):
            Study.open(study).plan()
        assert locate("tiny") == base.with_name("tiny")
    finally:
        base.with_name("tiny").rename(base)


@pytest.mark.parametrize(
    ("model", "says"),
    [("models/gone/deep", "no model folder"), ("~/gone", "no model folder"), ("gone.gguf", "no GGUF file")],
)
def test_what_can_be_no_hub_id_is_missed_on_the_disk(tmp_path: Path, model: str, says: str) -> None:
    with pytest.raises(TraitscopeError, match=rf"{says}(.|\n)*start in {tmp_path}"):
        locate(model, tmp_path)


def test_what_may_be_a_hub_id_is_one(tmp_path: Path) -> None:
    assert locate("org/name", tmp_path) == "org/name" and locate("gpt2", tmp_path) == "gpt2"
    (tmp_path / "org/name").mkdir(parents=True)
    assert locate("org/name", tmp_path) == tmp_path / "org/name"
    assert ModelSource("org/name", root=tmp_path).located() == tmp_path / "org/name"


def test_a_gguf_file_fills_a_study_as_base_and_as_a_row(
    tmp_path: Path, tokenizers: dict[str, Any], elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRAITSCOPE_CACHE", str(tmp_path / "cache"))
    tokenizer = tokenizers["gpt2"]
    study = tiny.make_study(tmp_path / "one", Path("tiny.gguf"), SMALL)
    write_gguf(study.with_name("tiny.gguf"), tiny_qwen(len(tokenizer)), tokenizer)
    write_gguf(study.with_name("small.gguf"), tiny_qwen(len(tokenizer)), tokenizer, kind="Q8_0")
    study.write_text(study.read_text() + "models: {small: small.gguf}\n")
    assert Study.open(study).run() is not None
    run = study.parent / "runs/tiny"
    config = json.loads((run / "adapters/tone-s0/adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == str(study.with_name("tiny.gguf"))
    card = (run / "adapters/tone-s0/README.md").read_text()
    assert 'from_pretrained("FOLDER", gguf_file="tiny.gguf"' in card
    losses = Study.open(study).score_table().query("metric == 'loss'").groupby("model")["value"].mean()
    # Eight bits a weight are nearly the same model, and not the same.
    assert 0 < abs(losses["small"] - losses["base"]) < 0.05 < abs(losses["tone-s0"] - losses["base"])
    shutil.rmtree(tmp_path / "cache")
    assert Study.open(study).plan().complete


def test_the_demos_base_is_relative_to_the_working_directory(
    tmp_path: Path, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import importlib

    demo = importlib.import_module("traitscope.cli.demo")
    monkeypatch.chdir(base.parent)
    study = demo._on(base.name, "demo-x")
    assert study.base.model == str(base) and study.study == "demo-x" and len(study.tasks) == 10
    opened: list[Any] = []
    run = importlib.import_module("traitscope.cli.run")
    monkeypatch.setattr(run, "fill", lambda source, out, *_, **__: opened.append((source, out)) or Filled())
    for args in ([], ["--base", "smollm2-135m"], ["--base", str(base)]):
        assert CliRunner().invoke(app, ["demo", *args]).exit_code == 0
    assert [(getattr(source, "name", None), str(out)) for source, out in opened[:2]] == [
        ("demo.yaml", "runs/demo"),
        ("demo-smollm2-135m.yaml", "runs/demo-smollm2-135m"),
    ]
    assert opened[2][0].base.model == str(base) and str(opened[2][1]) == f"runs/demo-{base.name}"
    refused = CliRunner().invoke(app, ["demo", "--full", "--base", "smollm2-135m"])
    assert refused.exit_code == 2 and "--full" in refused.output


class Filled:
    """A study with a report."""

    report_to = Quiet()

    def report(self) -> Path:
        return Path("report.html")
