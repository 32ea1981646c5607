"""What somebody asked for is read for the report and never made for it; what training took is the records'."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd

from traitscope.belt import BeltFindings, choose_belt
from traitscope.findings import Spent
from traitscope.matrix import ScoreMatrix
from traitscope.predict.forecast import fit_predictor
from traitscope.predict.ranking import to_json
from traitscope.study import asked


def folder(tmp_path: Path, log: list[dict[str, Any]] | None = None) -> Any:
    notes: list[str] = []
    place = SimpleNamespace(analysis=tmp_path, read_log=lambda: log or [])
    return SimpleNamespace(folder=place, report_to=SimpleNamespace(note=notes.append), notes=notes)


def scores() -> ScoreMatrix:
    wide = pd.DataFrame([[0.2, 0.3, 0.4], [0.6, 0.5, 0.4], [0.3, 0.7, 0.5], [0.4, 0.35, 0.9]])
    wide.index, wide.columns = ["base", "x", "y", "z"], ["x", "y", "z"]
    return ScoreMatrix.from_wide(wide)


def test_nothing_is_found_where_nothing_was_asked_for(tmp_path: Path) -> None:
    study = folder(tmp_path)
    assert asked.findings(study) == {} and asked.marks(study) == {} and not list(tmp_path.iterdir())


def test_what_was_written_is_read_again_and_marks_the_report(tmp_path: Path) -> None:
    study, matrix = folder(tmp_path), scores()
    forecast = fit_predictor(matrix, predictor="column mean")
    (tmp_path / "forecast.json").write_text(to_json(forecast, ["x", "y"]), encoding="utf-8")
    (tmp_path / "belt.json").write_text(BeltFindings(choice=choose_belt(matrix)).to_json(), encoding="utf-8")
    found = asked.findings(study)
    assert set(found) == {"forecast", "belt"} == set(asked.marks(study))
    ranked = forecast.rank_sources("x")
    table = found["forecast"].table
    assert table[table["task"] == "x"]["source"].tolist() == ranked["source"].tolist()
    assert found["forecast"].predictor == "column mean" and found["belt"].models == choose_belt(matrix).models
    before = asked.marks(study)
    (tmp_path / "forecast.json").write_text(to_json(forecast, ["x"]), encoding="utf-8")
    assert asked.marks(study) != before


def test_a_file_that_cannot_be_read_is_left_out_and_said(tmp_path: Path) -> None:
    study = folder(tmp_path)
    (tmp_path / "forecast.json").write_text('{"format": 99}')
    (tmp_path / "belt.json").write_text("{")
    assert asked.findings(study) == {} and len(study.notes) == 2


def test_what_training_took_is_of_the_last_training(tmp_path: Path) -> None:
    log = [
        {"event": "train", "time": "2026-01-01T00:00:00+00:00", "adapters": ["a-s0", "b-s0"]},
        {"event": "adapter", "time": "2026-01-01T00:01:00+00:00", "unit": "adapters/a-s0", "steps": 5, "tokens": 50},
        {"event": "adapter", "time": "2026-01-01T00:02:30+00:00", "unit": "adapters/b-s0", "steps": 7, "tokens": 70},
        {"event": "train", "time": "2026-01-01T01:00:00+00:00", "adapters": ["a-s0"]},
        {"event": "adapter", "time": "2026-01-01T01:00:09+00:00", "unit": "adapters/a-s0", "steps": 6, "tokens": 60},
        {"event": "cell", "time": "2026-01-01T01:00:10+00:00", "unit": "cells/a-s0/t", "n": 3},
    ]
    # Two banks side by side.
    log += [
        {"event": "train", "time": "2026-01-01T02:00:00+00:00", "adapters": ["c-s0"]},
        {"event": "train", "time": "2026-01-01T02:00:05+00:00", "adapters": ["d-s0"]},
        {"event": "adapter", "time": "2026-01-01T02:00:07+00:00", "unit": "adapters/c-s0", "steps": 2, "tokens": 20},
    ]
    last, other = Spent("one/a-s0", 6, 60, 9.0), Spent("one/b-s0", 7, 70, 150.0)
    assert asked.spent(folder(tmp_path, log), "one/") == (last, other, Spent("one/c-s0", 2, 20, 7.0))
