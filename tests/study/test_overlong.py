"""Rows that do not fit a model are refused before anything runs, cut, or left out for every model; and counted."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import tiny
from typer.testing import CliRunner

from traitscope.cli import app
from traitscope.errors import TraitscopeError
from traitscope.study import Study

# The tiny base has a byte tokenizer and 128 positions: "tone" prompts have about 20 tokens, three bytes behind them.
LONG = "a very long row " * 8


def lengthen(study: Path, name: str, *places: int) -> None:
    """Makes some rows of a file longer than any limit of the study."""
    path = study.parent / name
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    for place in places:
        key = "question" if "question" in rows[place] else "text"
        rows[place][key] = LONG + rows[place][key]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def rule(study: Path, value: str) -> None:
    tiny.change(study, "    metrics: [accuracy, macro_f1]", f"    metrics: [accuracy, macro_f1]\n    overlong: {value}")


def ids(study: Path, model: str, task: str = "tone") -> list[str]:
    return [record.id for record in Study.open(study).read_records(model, task)]


def summary(study: Path, model: str, task: str = "tone") -> dict[str, Any]:
    return dict(Study.open(study).folder.cells.read_json(model, task)["summary"])


@pytest.mark.parametrize(
    ("file", "says"),
    [
        ("tone-train.jsonl", r"key tasks\.tone: \d+ of 12 train rows are too long: train-\d+ has 1\d\d tokens "
         r"\(1\d\d of the prompt, [56] for the answer\), and the limit is 64"),
        ("tone-eval.jsonl", r"key tasks\.tone: \d+ of 8 eval rows are too long: .* limit is 128"),
        ("sums-eval.jsonl", r"key tasks\.sums: \d+ of 6 eval rows are too long: .* 4 for the answer\), .* is 128"),
        ("story-eval.jsonl", r"key tasks\.story: \d+ of 5 eval rows are too long"),
    ],
)  # fmt: skip
def test_rows_that_do_not_fit_stop_a_run_before_anything_is_made(study_file: Path, file: str, says: str) -> None:
    lengthen(study_file, file, *range(10 if "story" in file else 16))
    with pytest.raises(TraitscopeError, match=says):
        Study.open(study_file).run()
    assert not (study_file.parent / "runs/tiny").exists()
    checked = CliRunner().invoke(app, ["check", str(study_file)])
    assert checked.exit_code == 2
    assert "are too long: refused" in checked.output and "fix: write overlong: cut" in checked.output


def test_a_generated_answer_needs_its_room_too(study_file: Path) -> None:
    tiny.change(study_file, "max_tokens: 4, ", "max_tokens: 120, ")
    with pytest.raises(TraitscopeError, match=r"tasks\.sums: 6 of 6 eval rows .* 120 for the answer"):
        Study.open(study_file).run()


def test_solved_examples_count(study_file: Path) -> None:
    tiny.change(study_file, "    metrics: [accuracy, macro_f1]", "    metrics: [accuracy, macro_f1]\n    shots: {n: 5}")
    with pytest.raises(TraitscopeError, match=r"tasks\.tone: 12 of 12 train rows are too long"):
        Study.open(study_file).run()


def test_rows_that_are_left_out_are_so_for_every_model_and_counted(study_file: Path) -> None:
    plain = Study.open(study_file)
    before = [example.id for example in plain.data.load("tone").eval]
    rule(study_file, "drop")
    lengthen(study_file, "tone-eval.jsonl", *range(0, 16, 3))
    lengthen(study_file, "tone-train.jsonl", *range(0, 24, 5))
    study = Study.open(study_file)
    gone = {f"eval-{i}" for i in range(0, 16, 3)}
    kept = [name for name in before if name not in gone]
    assert 0 < len(kept) < 8
    loaded = study.data.load("tone")
    assert [example.id for example in loaded.eval] == kept
    assert not {example.id for example in loaded.train} & {f"train-{i}" for i in range(0, 24, 5)}
    study.run()
    for model in study.models():
        assert ids(study_file, model) == kept
        assert summary(study_file, model)["overlong"] == {"dropped": 8 - len(kept)}
        assert "overlong" not in summary(study_file, model, "sums")
    n_train = 12 - sum(name in {f"train-{i}" for i in range(0, 24, 5)} for name in _train_ids(plain))
    history = Study.open(study_file).folder.root / "adapters/tone-s0/README.md"
    assert f"| tone | {12 - n_train} of 12 train rows are too long: left out for every model |" in history.read_text()
    facts = dict(study.analyse().facts)
    assert facts["Rows that were too long"] == f"tone: {8 - len(kept)} evaluation rows left out for every model"
    # Found again without a tokenizer, and judged anew without losing the count.
    assert Study.open(study_file).plan().complete
    tiny.change(study_file, "[accuracy, macro_f1]", "[macro_f1, accuracy]")
    Study.open(study_file).run()
    assert summary(study_file, "base")["overlong"] == {"dropped": 8 - len(kept)}


def _train_ids(study: Study) -> list[str]:
    return [example.id for example in study.data.load("tone").train]


def test_a_model_with_less_room_decides_for_all(study_file: Path, tmp_path: Path, base: Path) -> None:
    narrow = tmp_path / "narrow"
    shutil.copytree(base, narrow)
    config = json.loads((narrow / "config.json").read_text())
    (narrow / "config.json").write_text(json.dumps({**config, "max_position_embeddings": 26}))
    text = study_file.read_text()
    study_file.write_text(text + f"models: {{narrow: {narrow}}}\ntargets: [tone, sums]\n")
    with pytest.raises(TraitscopeError, match=r"limit is 26 for the model narrow"):
        Study.open(study_file).run()
    rule(study_file, "drop")
    tiny.change(study_file, "  sums:\n", "  sums:\n    overlong: cut\n")
    tiny.change(study_file, "max_tokens: 4, ", "max_tokens: 20, ")
    study = Study.open(study_file)
    whole = study.data.tasks["tone"].load().eval
    left = [e.id for e in study.data.load("tone").eval]
    assert 0 < len(left) < len(whole)
    study.run()
    assert {tuple(ids(study_file, model)) for model in study.models()} == {tuple(left)}
    # What is cut is counted for the model that reads it cut.
    assert summary(study_file, "narrow", "sums")["overlong"] == {"cut": 6}
    assert "overlong" not in summary(study_file, "base", "sums")


def test_prompts_that_are_cut_are_counted(study_file: Path) -> None:
    rule(study_file, "cut")
    lengthen(study_file, "tone-eval.jsonl", *range(16))
    checked = CliRunner().invoke(app, ["check", str(study_file)])
    assert checked.exit_code == 0, checked.output
    assert "8 of 8 eval rows are too long: their prompts are cut in the middle" in checked.output
    Study.open(study_file).run()
    assert summary(study_file, "base")["overlong"] == {"cut": 8}
    assert len(ids(study_file, "base")) == 8


def test_an_answer_that_cannot_fit_is_not_cut(study_file: Path) -> None:
    rule(study_file, "cut")
    tiny.change(study_file, '[" bad", " good"]', f'[" bad", " good {LONG}"]')
    tiny.change(study_file, '"{{ label }}"}', '"{{ label }}", labels: {bad: " bad", good: " good ' + LONG + '"}}')
    with pytest.raises(TraitscopeError, match="the answer in the train rows leaves no room for a prompt"):
        Study.open(study_file).run()


def test_nothing_left_is_refused(study_file: Path) -> None:
    rule(study_file, "drop")
    lengthen(study_file, "tone-eval.jsonl", *range(16))
    with pytest.raises(TraitscopeError, match="all 8 eval rows are too long, so none is left"):
        Study.open(study_file).run()


def test_a_lower_limit_is_another_study_where_rows_are_left_out(study_file: Path) -> None:
    rule(study_file, "drop")
    study = Study.open(study_file)
    study.run()
    tiny.change(study_file, "max_tokens: 64", "max_tokens: 28")
    again = Study.open(study_file)
    assert len(again.data.load("tone").train) < 12
    assert "adapters/tone-s0" in again.plan().state.changed
