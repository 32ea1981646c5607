"""A part of a study that later runs complete; keys changed where it is opened; what may be shared of its folder."""

from __future__ import annotations

import json
import re
import socket
import time
from pathlib import Path

import pandas as pd
import pytest
import tiny
from typer.testing import CliRunner

from traitscope.cli import app
from traitscope.config import load_config
from traitscope.errors import TraitscopeError
from traitscope.matrix import ScoreMatrix
from traitscope.report.tables import csv_text
from traitscope.store.hub import without_waiting
from traitscope.store.models import shared_name
from traitscope.study import Study
from traitscope.texts import guarded, unguarded

SMALL = tiny.STUDY.replace("controls: {{tone: [mislabel]}}\n", "")


def invoke(*arguments: object) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, [str(a) for a in arguments], env={"COLUMNS": "400"})
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.stdout, done.stderr


def test_a_part_is_grown_into_the_same_study_as_one_run_makes(tmp_path: Path, base: Path) -> None:
    whole = Study.open(tiny.make_study(tmp_path / "whole", base, SMALL))
    whole.run()
    study = tiny.make_study(tmp_path / "parts", base, SMALL)
    status, _, err = invoke("run", study, "--limit", "3", "--models", "base,tone", "--tasks", "tone,sums", "-q")
    assert status == 0 and "1 adapter trained, 4 cells evaluated" in err
    assert "incomplete: 1 of 3 adapters, 0 of 12 cells, 4 more on a part of their rows" in err
    table = Study.open(study).score_table()
    assert set(table["n"]) == {3} and set(table["model"]) == {"base", "tone-s0"}
    status, out, err = invoke("eval", study, "--tasks", "story", "--models", "base", "--json", "-q")
    found = json.loads(out)
    assert found["evaluated"] == ["cells/base/story"] and not found["complete"]
    assert invoke("run", study, "-q")[0] == 0
    opened = Study.open(study)
    assert opened.plan().complete
    keys = ["model", "task", "metric"]
    grown, made = (s.score_table().set_index(keys)[["value", "n"]].sort_index() for s in (opened, whole))
    pd.testing.assert_frame_equal(grown, made)


def test_changed_keys_stay_with_the_folder(tmp_path: Path, base: Path) -> None:
    study = tiny.make_study(tmp_path, base, SMALL)
    out = tmp_path / "rank3"
    changes = ("--set", "recipe.rank=3", "--set", "tasks.tone.data.eval=4", "--set", "compute.threads=1")
    assert invoke("run", study, "--out", out, *changes, "--tasks", "tone", "--models", "base,tone", "-q")[0] == 0
    assert json.loads((out / "adapters/tone-s0/adapter_config.json").read_text())["r"] == 3
    assert json.loads((out / "cells/base/tone/cell.json").read_text())["n"] == 4
    kept = load_config(out / "study.yaml")
    assert kept.recipe.rank == 3 and load_config(study).recipe.rank == 2
    assert "--set recipe.rank=3" in (out / "study.yaml").read_text()
    state = Study.open(out).plan().state
    assert not state.changed and "adapters/tone-s0" not in {unit.unit for unit in state.missing_adapters}
    status, _, err = invoke("run", study, "--out", out)
    assert status == 2 and "recipe.rank: 3 -> 2" in err


def test_values_are_read_as_the_file_reads_them(tmp_path: Path, base: Path) -> None:
    study = tiny.make_study(tmp_path, base, SMALL)
    changes = [
        "recipe.lr=2e-4",
        "recipe.seeds=[0, 1]",
        "tasks.tone.answer.choice[1]= no",
        "tasks.tone.answer.gold=no",
        "models.other=some/model",
        "tasks.tone.tags.source=007",
    ]
    config = load_config(study, changes=changes)
    assert config.recipe.lr == 2e-4 and config.recipe.seeds == (0, 1) and config.models["other"].model == "some/model"
    assert config.tasks["tone"].answer.gold == "no" and config.tasks["tone"].tags["source"] == "007"
    assert load_config(study).changed(["recipe.rank=5"]).recipe.rank == 5
    with pytest.raises(TraitscopeError, match=r"--set recipe\.rank: 'rank' must be"):
        load_config(study).changed(["recipe.rank=-5"])
    with pytest.raises(TraitscopeError, match=r"study\.yaml:4, key tasks\.tone.*|--set tasks\.tone\.prompt"):
        load_config(study, changes=["tasks.tone.prompt={{ text"])


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("embedded", "embedded"),
        ("meta-llama/Llama-3.2-3B", "meta-llama/Llama-3.2-3B"),
        ("models/tiny", "models/tiny"),
        ("./mine/tone", "./mine/tone"),
        ("/home/somebody/models/tiny", "tiny@0123456789ab"),
        ("~/models/tiny.gguf", "tiny.gguf@0123456789ab"),
        ("../../somebody/tiny", "tiny@0123456789ab"),
    ],
)
def test_a_path_of_this_machine_is_shared_as_its_name_and_hash(model: str, name: str) -> None:
    assert shared_name(model, "0123456789abcdef") == name


def test_nothing_that_is_shared_holds_the_path_of_the_base(tmp_path: Path, base: Path) -> None:
    study = tiny.make_study(tmp_path / "one", base, SMALL)
    assert Study.open(study).run() is not None
    page = Study.open(study).report()
    Study.open(study).effects()
    folder = page.parent
    # PEFT loads the base by its own configuration; the study file is the user's own text.
    own = {"study.yaml", "local.json", "adapter_config.json"}
    files = [path for path in folder.rglob("*") if path.is_file() and path.name not in own]
    assert len(files) > 30
    assert [path for path in files if str(base.parent).encode() in path.read_bytes()] == []
    lock = json.loads((folder / "lock.json").read_text())
    assert lock["base"]["model"] == base.name
    cells = pd.read_csv(folder / "tables/cells.csv")
    assert set(cells["base"]) == {f"{base.name}@{lock['base']['fingerprint'][:12]}"}
    config = json.loads((folder / "adapters/tone-s0/adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == str(base)
    (tmp_path / "one").rename(tmp_path / "two")
    assert Study.open(tmp_path / "two/study.yaml").run() is None


def test_a_folder_of_an_earlier_version_names_its_base_by_path(tmp_path: Path, base: Path) -> None:
    from traitscope.store.models import ModelSource, locked

    entry = {"model": str(base), "asked": None, "revision": None, "dtype": "fp32", "fingerprint": "f", "adapter": False}
    for model in (str(base), base.name):
        found = locked({**entry, "model": model}, ModelSource(str(base), root=tmp_path))
        assert found is not None and found.model == str(base)
    assert locked({**entry, "model": "another"}, ModelSource(str(base), root=tmp_path)) is None


FORMULAS = ["=1+1", "+cmd", "-2+3", "@SUM(A1)", "'=quoted", "''=twice", "＝wide", "\t=tab", "plain", "a=b", "'plain"]


@pytest.mark.parametrize("text", FORMULAS)
def test_no_text_cell_begins_like_a_formula_and_all_are_read_back(text: str) -> None:
    assert guarded(text)[0] not in "=+-@\t\r＝＋－＠" and unguarded(guarded(text)) == text


def test_a_matrix_of_formulas_comes_back_with_its_names_and_numbers(tmp_path: Path) -> None:
    names = [text for text in FORMULAS if text == text.strip()]
    frame = pd.DataFrame([[-1.5 - i, 2.0] for i in range(len(names))], index=names, columns=["=task", "-other"])
    text = csv_text(frame.rename_axis("model"), index=True)
    (tmp_path / "scores.csv").write_text(text)
    assert "\n=" not in text and ",=" not in text and ",-1.5" in text
    read = ScoreMatrix.read(tmp_path / "scores.csv")
    assert list(read.models) == names and list(read.tasks) == ["=task", "-other"]
    assert read.scores_IN[:, 0].tolist() == frame["=task"].tolist()


@pytest.mark.parametrize("answers", [False, True], ids=["refused", "silent"])
def test_a_hub_that_does_not_answer_is_told_within_five_seconds(
    answers: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"):
        monkeypatch.setenv(name, "0")
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        if answers:
            server.listen(5)
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{server.getsockname()[1]}")
        begun = time.monotonic()
        with pytest.raises(TraitscopeError, match=r"model some/model: the Hub .* does not answer.*\n  fix: "):
            without_waiting([("some/model", None, None)])
        assert time.monotonic() - begun < 5 and constants.HF_HUB_OFFLINE


@pytest.mark.parametrize("named", ["base", "models", "hub"])
def test_a_filled_folder_looks_at_the_network_once_where_something_must_be_asked(
    named: str, copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    from traitscope.cli.common import open_study
    from traitscope.store import hub
    from traitscope.store.reading import load_tokenizer

    asked: list[object] = []
    monkeypatch.setattr(hub, "without_waiting", lambda needed=(): asked.append(list(needed)))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    open_study(copy, None, quiet=True)
    assert asked == []
    text = copy.read_text()
    if named == "base":
        text = re.sub(r"model: [^,]*", "model: some-org/none-model", text, count=1)
    elif named == "models":
        text += "models: {more: some-org/none-model}\n"
    else:
        text = text.replace(
            "path: {train: tone-train.jsonl, eval: tone-eval.jsonl}",
            "hub: some-org/none, splits: {train: train, eval: test}",
        )
    copy.write_text(text)
    opened, _ = open_study(copy, None, quiet=True)
    # What was filled is read without its models, so none is needed.
    assert asked == [[]]
    if named != "hub":
        begun = time.monotonic()
        with pytest.raises(
            TraitscopeError, match=r"^(base )?model some-org/none-model: the Hub .* does not answer.*\n  fix: "
        ):
            load_tokenizer(opened.asked(opened.config.base)) if named == "base" else opened.units()
        assert time.monotonic() - begun < 5
