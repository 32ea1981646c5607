"""Frames and data sets of a filled study: held against the Parquet and JSON files that the run folder holds."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from datasets import Dataset, Features, List, Value, load_from_disk

from traitscope.errors import TraitscopeError
from traitscope.study import Study
from traitscope.study import tables as study_tables

TABLES = ("scores", "records", "findings", "examples", "training")
TARGETS = ["tone", "sums", "story"]


@pytest.fixture(scope="module")
def study(filled: Path, tmp_path_factory: pytest.TempPathFactory) -> Study:
    # Findings and gathered records are written into the folder.
    folder = tmp_path_factory.mktemp("tables") / "copy"
    shutil.copytree(filled, folder)
    return Study.open(folder / "study.yaml")


def cells(study: Study) -> dict[tuple[str, str], Path]:
    return {(path.parent.name, path.name): path for path in study.folder.root.glob("cells/*/*") if path.is_dir()}


# ---- frames


def test_records_are_the_rows_of_all_cells(study: Study) -> None:
    frame = study.frame("records")
    assert frame[["model", "task"]].drop_duplicates().itertuples(index=False, name=None)
    for (model, task), path in cells(study).items():
        stored = pd.read_parquet(path / "examples.parquet")
        mine = frame[(frame["model"] == model) & (frame["task"] == task)].reset_index(drop=True)
        for column in ("id", "gold", "pred", "correct", "output", "n_output", "loss", "tags"):
            pd.testing.assert_series_equal(mine[column], stored[column], check_dtype=False)
        head = json.loads((path / "cell.json").read_text())
        assert mine["source"].dropna().unique().tolist() == ([head["source"]] if head["source"] else [])
    assert len(frame) == 5 * (8 + 6 + 5)
    # In the study's order, whatever that of the folder is.
    assert frame["task"].unique().tolist() == TARGETS
    assert frame["model"].unique().tolist() == list(study.models())


def test_scores_are_those_of_the_cells_and_whole_numbers_stay_whole(study: Study) -> None:
    frame = study.frame()
    assert frame["seed"].dtype == "Int64" and frame["n"].dtype.kind == "i"
    for (model, task), path in cells(study).items():
        for score in json.loads((path / "cell.json").read_text())["scores"]:
            (row,) = frame[
                (frame["model"] == model) & (frame["task"] == task) & (frame["metric"] == score["metric"])
            ].to_dict("records")
            assert row["value"] == score["value"] and row["n"] == score["n"]


def test_training_is_every_step_of_every_adapter(study: Study) -> None:
    frame = study.frame("training")
    for model, part in frame.groupby("model"):
        stored = pd.read_parquet(study.folder.root / "adapters" / str(model) / "train.parquet")
        pd.testing.assert_frame_equal(part.drop(columns="model").reset_index(drop=True), stored)
    assert frame["model"].unique().tolist() == ["tone-s0", "tone.mislabel-s0", "sums-s0", "all-s0"]


def test_examples_have_the_ids_of_the_records(study: Study) -> None:
    examples = study.frame("examples")
    joined = study.frame("records").merge(examples[examples["split"] == "eval"], on=["task", "id"], validate="m:1")
    assert len(joined) == len(study.frame("records"))
    assert joined[joined["task"] == "tone"]["prompt"].str.endswith(" is").all()


@pytest.mark.parametrize("table", TABLES)
def test_a_polars_frame_holds_what_the_pandas_one_does(study: Study, table: str) -> None:
    one, other = study.frame(table, backend="polars"), study.frame(table)
    assert isinstance(one, pl.DataFrame) and one.columns == list(other.columns)
    assert [*map(plain, one.to_dicts())] == [*map(plain, other.to_dict("records"))]


def plain(row: dict[Any, Any]) -> dict[Any, Any]:
    """A row with lists as lists, and None for whatever says that there is nothing."""
    listed = {name: v.tolist() if isinstance(v, np.ndarray) else v for name, v in row.items()}
    return {name: None if v is pd.NA or v != v else v for name, v in listed.items()}


@pytest.mark.parametrize("table", TABLES)
def test_tasks_and_models_choose_rows(study: Study, table: str) -> None:
    whole = study.frame(table)
    columns = {"tasks": "task", "models": "model"}
    for option, names in (("tasks", ["sums"]), ("models", ["all-s0", "base"])):
        column = columns[option]
        part = study.frame(table, **{option: names})
        if column in whole.columns:
            expected = whole[whole[column].isin(names)].reset_index(drop=True)
            pd.testing.assert_frame_equal(part, expected, check_dtype=False)
        else:
            assert len(part) == len(whole)


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("option", ["tasks", "models"])
def test_of_nothing_chosen_the_columns_are_left(study: Study, table: str, option: str) -> None:
    whole = study.frame(table, backend="polars")
    none = study.frame(table, backend="polars", **{option: []})
    assert none.columns == whole.columns
    assert len(none) == (0 if {"tasks": "task", "models": "model"}[option] in whole.columns else len(whole))
    assert study.to_dataset(table, **{option: []}).num_rows == len(none)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"models": [None]}, "None names no model"),
        ({"tasks": [7]}, "7 names no task"),
        ({"table": "record"}, "no table is named 'record'(.|\n)*records"),
        ({"tasks": ["tne"]}, "no task is named 'tne'(.|\n)*tone"),
        ({"models": ["tone"]}, "no model is named 'tone'"),
        ({"tasks": "tone"}, r"'tone' is one text(.|\n)*\['tone'\]"),
        ({"backend": "arrow"}, "no backend is named 'arrow'(.|\n)*pandas, polars"),
    ],
)
def test_a_wrong_name_is_told(study: Study, arguments: dict[str, Any], says: str) -> None:
    with pytest.raises(TraitscopeError, match=says):
        study.frame(**arguments)


def test_without_polars_the_fix_installs_it(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "polars", None)
    for made in (lambda: study.frame("scores", backend="polars"), lambda: study.scores().to_polars()):
        with pytest.raises(TraitscopeError, match=r"pip install 'traitscope\[polars\]'"):
            made()


def test_an_empty_folder_says_what_fills_it(study_file: Path) -> None:
    with pytest.raises(TraitscopeError, match="traitscope run"):
        Study.open(study_file).frame("records")


# ---- data sets


@pytest.mark.parametrize("table", TABLES)
def test_a_data_set_is_saved_and_reads_back(study: Study, table: str, tmp_path: Path) -> None:
    dataset = study.to_dataset(table)
    dataset.save_to_disk(tmp_path / "saved")
    back = load_from_disk(tmp_path / "saved")
    assert isinstance(back, Dataset) and back.features == dataset.features
    assert back.to_list() == dataset.to_list() == study.frame(table, backend="polars").to_dicts()


def test_features_have_their_types(study: Study) -> None:
    features: Features = study.to_dataset().features
    expected = {
        **dict.fromkeys(("model", "source", "task", "id", "gold", "pred", "output", "tags"), Value("string")),
        **dict.fromkeys(("seed", "n_output", "n_gold"), Value("int64")),
        **dict.fromkeys(("correct", "loss"), Value("float64")),
        "valid": Value("bool"),
        "logprobs": List(Value("float64")),
    }
    assert {name: features[name] for name in expected} == expected


def test_a_data_set_can_be_mapped_filtered_and_grouped(study: Study) -> None:
    wrong = study.to_dataset(tasks=["tone"]).filter(lambda row: row["correct"] == 0.0)
    cell = dict(zip(*study_column(study, "tone", "accuracy"), strict=True))
    for model, value in cell.items():
        assert sum(name == model for name in wrong["model"]) == round(8 * (1 - value))


def study_column(study: Study, task: str, metric: str) -> tuple[list[str], list[float]]:
    frame = study.frame()
    part = frame[(frame["task"] == task) & (frame["metric"] == metric)]
    return part["model"].tolist(), part["value"].tolist()


def test_many_records_lie_on_the_disk_and_are_the_same(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    held = study.to_dataset()
    monkeypatch.setattr(study_tables, "HELD", 10)
    spooled = study.to_dataset()
    assert not held.cache_files and spooled.cache_files
    assert spooled.features == held.features and spooled.to_list() == held.to_list()
    assert study.to_dataset(tasks=["sums"], models=["base"]).to_list() == [
        row for row in held.to_list() if (row["model"], row["task"]) == ("base", "sums")
    ]


def test_records_of_an_older_version_get_the_columns_of_today(copy: Path) -> None:
    import hashlib

    import pyarrow.parquet as pq

    from traitscope.store.seal import sealed

    study = Study.open(copy)
    path = cells(study)["base", "tone"]
    older = pq.read_table(path / "examples.parquet").drop_columns(["tags", "finish"])
    pq.write_table(older, path / "examples.parquet")
    head = json.loads((path / "cell.json").read_text())
    head["examples_sha256"] = hashlib.sha256((path / "examples.parquet").read_bytes()).hexdigest()
    (path / "cell.json").write_bytes(sealed({k: v for k, v in head.items() if k != "sha256"}, "cell.json"))
    frame = study.frame("records")
    mine = frame[(frame["model"] == "base") & (frame["task"] == "tone")]
    assert len(mine) == 8 and mine["tags"].isna().all() and mine["gold"].notna().all()


# ---- results


def test_the_main_table_is_the_first(study: Study) -> None:
    scores = study.scores()
    pd.testing.assert_frame_equal(scores.to_pandas(), scores.to_long(), check_dtype=False)
    wide = scores.to_pandas("wide")
    assert wide["model"].tolist() == list(scores.models) and wide["tone"].tolist() == scores.scores_IN[:, 0].tolist()
    effects = study.effects()
    assert effects.to_pandas()["sentence"].tolist() == effects.sentences().tolist()
    similarity = study.dataset_stats().to_pandas("similarity")
    (style,) = similarity[
        (similarity["kind"] == "style") & (similarity["dataset"] == "tone") & (similarity["other"] == "sums")
    ]["value"]
    assert style == study.dataset_stats().similarity["style"].frame.loc["tone", "sums"]


def test_a_result_names_the_tables_that_it_has(study: Study) -> None:
    with pytest.raises(TraitscopeError, match=r"ScoreMatrix: no table is named 'wid'(.|\n)*wide"):
        study.scores().to_pandas("wid")
