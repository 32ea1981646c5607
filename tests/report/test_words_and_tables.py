"""Words and tables of the report on inputs small enough to be read off."""

from __future__ import annotations

import io
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from traitscope.findings import Findings
from traitscope.layers import LayersResult
from traitscope.matrix import ScoreMatrix
from traitscope.report.changes import Changes
from traitscope.report.page import render_page
from traitscope.report.sections import cells as every_cell
from traitscope.report.tables import cells_frame, csv_files
from traitscope.report.words import trait_rows
from traitscope.stats import DatasetStats, label_collisions


def test_a_trait_past_those_that_predict_is_a_yes_with_a_but() -> None:
    names = [SimpleNamespace(label=None, tasks="x, y", specific=False)] * 3
    traits = SimpleNamespace(
        trait_names=("T1", "T2", "T3"),
        names=names,
        explained_K=np.array([0.503, 0.25, 0.0449]),
        above_null_K=np.array([True, True, False]),
        stability=SimpleNamespace(figure_K=np.array([0.951, 0.5, np.nan])),
        count=SimpleNamespace(predictive=1),
    )
    rows = trait_rows(traits)
    assert [row["verdict"] for row in rows] == ["yes", "yes, but of no help in predicting held-out cells", "no"]
    assert [row["explained"] for row in rows] == ["50.3 %", "25.0 %", "4.5 %"]
    assert [row["stability"] for row in rows] == ["0.95", "0.50", "not known"]
    assert rows[1]["proposed"] == "too unstable to be named (below 0.85)"


def test_a_value_that_is_missing_was_not_imported() -> None:
    scores = ScoreMatrix.from_wide(pd.DataFrame({"t": [50.0, np.nan], "u": [61.5, 70.25]}, index=["base", "a"]))
    found = every_cell.view(Findings(name="s", scores=scores), [], {})
    told = {
        (line.items[0].text, line.items[1].text): (line.items[3].text, line.items[9].text) for line in found.table.lines
    }
    assert told["a", "t"] == ("missing", "missing") and told["a", "u"] == ("70.25 %", "imported")
    assert found.answer.endswith("; 3 values over all metrics.")
    changes = Changes(Findings(name="s", scores=scores))
    assert [changes.of("a", task, "base")[0].to_json()["model"] for task in scores.tasks] == ["–", "70.2 %"]


def two_metrics() -> ScoreMatrix:
    """A task with accuracy (n = 100) as its metric and a length beside it, without standard errors of its own."""
    rows = [
        {"model": model, "source": source, "task": "t", "metric": metric, "value": value, "stderr": stderr, "n": 100}
        for model, source in (("base", None), ("a", "a"))
        for metric, value, stderr in (("accuracy", 0.25, 0.0433), ("length", 0.75, np.nan))
    ]
    return ScoreMatrix.from_long(pd.DataFrame(rows), metric="accuracy")


def test_percent_is_of_the_shown_metric_that_is_a_share_and_of_its_standard_error() -> None:
    lines = every_cell.view(Findings(name="s", scores=two_metrics()), [], {}).table.lines
    told = {
        line.items[2].text: (*(item.text for item in line.items[3:6]), line.tone)
        for line in lines
        if line.items[0].text == "a"
    }
    assert len(lines) == 4
    assert told == {"accuracy": ("25 %", "4.3", "100", ""), "length": ("0.75", "–", "100", "grey")}


def test_a_standard_error_that_is_missing_is_filled_for_the_shown_metric_alone() -> None:
    right = np.repeat([1.0, 0.0], [25, 75])
    table = two_metrics().to_long().assign(stderr=np.nan)
    matrix = ScoreMatrix.from_long(table, metric="accuracy", records={"t": {"base": right, "a": right}})
    stderr = cells_frame(matrix).set_index(["model", "metric"])["stderr"]
    # The variance of 25 ones and 75 zeros, 0.25 x 0.75, over 100 less one.
    assert stderr["a", "accuracy"] == pytest.approx((0.25 * 0.75 / 99) ** 0.5)
    assert np.isnan(stderr["a", "length"])


def test_the_layers_file_holds_what_is_over_all_tasks() -> None:
    table = pd.DataFrame({"task": ["x", "(all)", "y", "(unseen)", "(null)"], "value": [0.1, 0.2, 0.3, 0.4, 0.5]})
    layers = LayersResult(table=table, maps={}, sections={}, separability=pd.DataFrame({"layer": [0]}), embeddings=())
    written = pd.read_csv(io.StringIO(csv_files(Findings(name="s", scores=two_metrics(), layers=layers))["layers"]))
    assert dict(zip(written["task"], written["value"], strict=True)) == {"(all)": 0.2, "(unseen)": 0.4, "(null)": 0.5}


def test_words_that_datasets_share_in_one_meaning_are_no_collision() -> None:
    labels = pd.DataFrame(
        [
            (d, i, word, None)
            for d in ("d", "e")
            for i, word in enumerate(["agreeing", "clashing" if d == "d" else "other"])
        ]
        + [("e", 7, "clashing", None)],
        columns=["dataset", "index", "word", "meaning"],
    )
    frame = pd.DataFrame({"n_examples": 2.0}, index=["d", "e"])
    stats = DatasetStats(frame=frame, labels=labels, collisions=label_collisions(labels), similarity={})
    page = render_page(Findings(name="s", scores=two_metrics(), stats=stats), [], [])
    assert "“clashing” is class 1 of d and class 7 of e (index)" in page and "agreeing" not in page
