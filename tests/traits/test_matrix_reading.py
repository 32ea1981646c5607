"""Reading matrices that somebody else made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from traitscope.errors import TraitscopeError
from traitscope.matrix import ScoreMatrix

WIDE = "model,imdb,gsm,imdb_stderr\nbase,50,10,2\nx,90,,1\ny,70,30,1.5\n"


@pytest.fixture
def wide_csv(tmp_path: Path) -> Path:
    path = tmp_path / "wide.csv"
    path.write_text(WIDE)
    return path


def test_wide_file_first_column_names_the_models(wide_csv: Path) -> None:
    scores = ScoreMatrix.read(wide_csv)
    assert scores.models == ("base", "x", "y") and scores.tasks == ("imdb", "gsm")
    assert scores.stderr_IN[:, 0].tolist() == [2.0, 1.0, 1.5]
    assert np.isnan(scores.scores_IN[1, 1]) and scores.base_index == 0
    assert "1 of 6 cells is missing" in scores.notes and "all scores read as percent" in scores.notes


def test_parquet_and_tsv_and_long_give_the_same_matrix(wide_csv: Path, tmp_path: Path) -> None:
    scores = ScoreMatrix.read(wide_csv)
    pd.read_csv(wide_csv).to_parquet(tmp_path / "m.parquet")
    pd.read_csv(wide_csv).to_csv(tmp_path / "m.tsv", sep="\t", index=False)
    scores.to_long().to_csv(tmp_path / "long.csv", index=False)
    for name in ("m.parquet", "m.tsv", "long.csv"):
        other = ScoreMatrix.read(tmp_path / name)
        np.testing.assert_array_equal(other.scores_IN, scores.scores_IN)
        np.testing.assert_array_equal(other.stderr_IN, scores.stderr_IN)
        assert other.models == scores.models


def grid(tmp_path: Path) -> Path:
    rows = []
    for model, lift in (("A", 0.0), ("B", 0.2)):
        rows.append({"model_name": model, "tuned_on": "none", "epoch": 0, "lora": np.nan, "s": 0.1 + lift, "t": 0.2})
        for tuned in ("maths", "code"):
            for epoch in (1, 2):
                rows.append(
                    {
                        "model_name": model,
                        "tuned_on": tuned,
                        "epoch": epoch,
                        "lora": True,
                        "s": 0.1 * epoch + lift + 0.05 * len(tuned),
                        "t": 0.3,
                    }
                )
    path = tmp_path / "grid.csv"
    pd.DataFrame(rows).to_csv(path)
    return path


def test_rows_values_filters_and_families(tmp_path: Path) -> None:
    path = grid(tmp_path)
    scores = ScoreMatrix.read(
        path, rows="tuned_on", values=["s", "t"], where=["epoch=0,2", "lora=True,NA"], family="model_name", base="none"
    )
    assert scores.models == ("A/none", "A/maths", "A/code", "B/none", "B/maths", "B/code")
    np.testing.assert_allclose(scores.gains().values_IN[:, 0], [0, 0.35, 0.3, 0, 0.35, 0.3])
    one = ScoreMatrix.read(path, rows="tuned_on", values=["s"], where=["model_name=B", "epoch!=1"], base="none")
    assert one.models == ("none", "maths", "code") and one.base_index == 0
    assert "dropped the first column: row numbers without a name" in one.notes


def test_a_seed_column_keeps_repeated_rows_apart(tmp_path: Path) -> None:
    scores = ScoreMatrix.read(
        grid(tmp_path), rows="tuned_on", values=["s", "t"], where=["model_name=A"], seed_column="epoch", base="none"
    )
    assert scores.models == ("none", "maths-s1", "maths-s2", "code-s1", "code-s2")
    known = scores.seed_variance
    assert known is not None
    np.testing.assert_allclose(known.variance_N, [0.005, 0.0], atol=1e-12)
    assert scores.by_source().models == ("none", "maths", "code")


def test_duplicates_can_be_averaged(tmp_path: Path) -> None:
    scores = ScoreMatrix.read(
        grid(tmp_path),
        rows="tuned_on",
        values=["s"],
        where=["model_name=A"],
        duplicates="mean",
        base="none",
    )
    assert scores.scores_IN[1, 0] == pytest.approx(0.4)
    assert any("averaged" in note for note in scores.notes)


def test_examples_per_task_give_binomial_errors(wide_csv: Path) -> None:
    scores = ScoreMatrix.read(wide_csv, values=["gsm"], n={"gsm": 98})
    share = (0.1 * 98 + 1) / 100
    assert scores.stderr_IN[0, 0] == pytest.approx(100 * np.sqrt(share * (1 - share) / 98))


def test_lower_is_better_turns_gains(wide_csv: Path) -> None:
    scores = ScoreMatrix.read(wide_csv, lower_is_better=["im*"])
    assert scores.gains().values_IN[1, 0] == -40.0


def test_patterns_choose_and_leave_out(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text("model,a-0,b-0,b-5,note\nbase,1,2,3,x\ny,2,3,4,z\n")
    assert ScoreMatrix.read(path, values=["*-0", "!a*"]).tasks == ("b-0",)
    assert ScoreMatrix.read(path, values=["!*-0"]).tasks == ("b-5",)
    assert ScoreMatrix.read(path, values=["b-5", "a-0"]).tasks == ("b-5", "a-0")
    with pytest.raises(TraitscopeError, match="'c\\*' matches none"):
        ScoreMatrix.read(path, values=["*-0", "!c*"])


def test_copied_rows_are_noticed(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text("model,a,b,c,d\nbase,1.5,2.5,3.5,4\nx,1.5,2.5,3.5,5\ny,3,1,2,70\n")
    assert any("base and x have 3 identical scores" in note for note in ScoreMatrix.read(path).notes)


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        (None, {}, "no such file"),
        ("", {}, "cannot be read"),
        ("model,a\n", {}, "no rows"),
        ("a,b\n1,2\n3,4\n", {}, "holds numbers, not model names"),
        ("model,a\nx,high\ny,low\n", {}, "no numeric score columns"),
        ("model,a\nx,high\ny,2\n", {"values": ["a"]}, "'high' is not a number"),
        ("model,a\nx,1\nx,2\n", {}, "has 2 values for task 'a'"),
        ("model,a\nx,1\n,2\n", {}, "line 3, row 2 has no model"),
        (WIDE, {"base": "plain"}, "no row is named 'plain'"),
        (WIDE, {"values": ["mmlu"]}, "'mmlu' matches none of: imdb, gsm"),
        (WIDE, {"rows": "name"}, "no column name"),
        (WIDE, {"where": ["gsm"]}, "cannot read the filter 'gsm'"),
        (WIDE, {"where": ["size=3"]}, "no column 'size'"),
        (WIDE, {"where": ["gsm=77"]}, "no row passes 'gsm=77'"),
        (WIDE, {"where": ["model>3"]}, "not a number"),
        (WIDE, {"layout": "deep"}, "unknown layout 'deep'"),
        (WIDE, {"duplicates": "first"}, "unknown 'first'"),
        (WIDE, {"units": "points"}, "unknown unit 'points'"),
        (WIDE, {"n": {"mmlu": 10}}, "'mmlu' is not a task"),
        (WIDE, {"layout": "long"}, "no column task, value"),
        ("model,f,a\nbase,A,1\nx,A,2\nbase,B,3\n", {"rows": ["model", "f"], "base": "base"}, "2 rows are named 'base'"),
    ],
)
def test_bad_files_say_what_to_write_instead(
    tmp_path: Path, text: str | None, options: dict[str, Any], message: str
) -> None:
    path = tmp_path / "m.csv"
    if text is not None:
        path.write_text(text)
    with pytest.raises(TraitscopeError, match=message) as error:
        ScoreMatrix.read(path, **options)
    assert error.value.fix


def test_an_unknown_file_type_is_named(tmp_path: Path) -> None:
    path = tmp_path / "m.xlsx"
    path.write_text("x")
    with pytest.raises(TraitscopeError, match=r"unknown file type '\.xlsx'"):
        ScoreMatrix.read(path)
