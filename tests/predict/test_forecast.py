"""What a user asks for: sources ranked for a target, with intervals, baselines and what must be known."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from predict_worlds import low_rank_world, matrix

import traitscope as ts
from traitscope.errors import TraitscopeError
from traitscope.predict.protocols import PROTOCOLS
from traitscope.registry import registry


def test_sources_are_ranked_by_measured_and_predicted_gain() -> None:
    values_BIN, true_BIN = low_rank_world(np.random.default_rng(0), bases=4, noise=0.2)
    values_BIN[0, 5:, 0] = np.nan
    ranked = ts.fit_predictor(matrix(values_BIN, untuned=0.5), base="base0").rank_sources("task0")
    assert list(ranked.columns) == [
        *("source", "status", "expected", "lo", "hi", "harm"),
        *("column mean", "additive", "measured", "unit", "note"),
    ]
    assert ranked["expected"].is_monotonic_decreasing and set(ranked["unit"]) == {"gain"}
    measured = ranked[ranked["status"] == "measured"].set_index("source")
    assert set(measured.index) == {f"source{i}" for i in range(5)}
    np.testing.assert_allclose(measured.loc["source2", "expected"], values_BIN[0, 2, 0] - 0.5)
    np.testing.assert_allclose(ranked["column mean"], values_BIN[0, :5, 0].mean() - 0.5)
    predicted = ranked[ranked["status"] == "predicted"].set_index("source")
    assert (predicted["lo"] < predicted["expected"]).all() and (predicted["expected"] < predicted["hi"]).all()
    truth = [true_BIN[0, int(name.removeprefix("source")), 0] for name in predicted.index]
    assert np.corrcoef(predicted["expected"], truth)[0, 1] > 0.7


def test_a_target_without_a_measured_source_is_an_order_not_a_score() -> None:
    values_BIN, true_BIN = low_rank_world(np.random.default_rng(1), bases=4, noise=0.2)
    values_BIN[2, :, 3] = np.nan
    ranked = ts.fit_predictor(matrix(values_BIN), base="base2").rank_sources("task3")
    assert set(ranked["unit"]) == {"z"}
    assert ranked["note"].str.contains("an order, not a score").all()
    assert ranked["expected"].mean() == pytest.approx(0.0, abs=1e-9)
    truth = [true_BIN[2, int(name.removeprefix("source")), 3] for name in ranked["source"]]
    assert np.corrcoef(ranked["expected"], truth)[0, 1] > 0.7


def test_a_source_of_which_nothing_is_known_is_said_to_be_the_column_mean() -> None:
    values_BIN, _ = low_rank_world(np.random.default_rng(2))
    values_BIN[0, 4, 1:] = np.nan
    values_BIN[0, 7, 1:] = np.nan
    scores = matrix(values_BIN)
    # Measured on one task, which is its own: no transfer cell is known.
    scores = ts.ScoreMatrix.from_long(scores.table.replace({"task": {"task0": "source7"}}), base="base", units="other")
    ranked = ts.fit_predictor(scores).rank_sources("task3").set_index("source")
    assert "nothing is known of this source: it is the column mean" in ranked.loc["source7", "note"]
    assert ranked.loc["source7", "expected"] == pytest.approx(ranked.loc["source7", "column mean"])
    assert ranked.loc["source4", "note"] == ""


def test_own_cells_are_never_forecast() -> None:
    values_BIN, _ = low_rank_world(np.random.default_rng(3))
    values_BIN[0, 8:, 2] = np.nan
    scores = matrix(values_BIN)
    scores = ts.ScoreMatrix.from_long(scores.table.replace({"task": {"task2": "source5"}}), base="base", units="other")
    found = ts.fit_predictor(scores)
    assert "source5" not in set(found.rank_sources("source5")["source"])
    cells = found.cells()
    assert set(zip(cells["source"], cells["task"], strict=True)) == {(f"source{i}", "source5") for i in range(8, 12)}


def test_a_task_whose_losses_fall_is_ranked_from_the_lowest() -> None:
    values_BIN, _ = low_rank_world(np.random.default_rng(4))
    values_BIN[0, 6, 1] = np.nan
    table = matrix(values_BIN).table
    lower = table.assign(higher_is_better=table["task"] != "task1")
    ranked = ts.fit_predictor(ts.ScoreMatrix.from_long(lower, base="base", units="other")).rank_sources("task1")
    measured = ranked[ranked["status"] == "measured"]
    worst = values_BIN[0, :, 1]
    assert measured["source"].iloc[0] == f"source{int(np.nanargmin(worst))}"


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        (lambda s: ts.fit_predictor(s, base="base0").rank_sources("tusk1"), "did you mean 'task1'"),
        (lambda s: ts.fit_predictor(s), "2 base models"),
        (lambda s: ts.fit_predictor(s, base="base0", predictor="oracle"), "no predictor is named"),
        (lambda s: ts.fit_predictor(s, base="base0", level=90), "between 0 and 1"),
        (
            lambda s: ts.fit_predictor(s.select(models=list(s.models[:7])), predictor="other bases"),
            "no other base model is known",
        ),
    ],
)
def test_errors_say_what_to_write(ask, said: str) -> None:
    values_BIN, _ = low_rank_world(np.random.default_rng(5), bases=2, sources=6)
    with pytest.raises(TraitscopeError, match=said):
        ask(matrix(values_BIN))


def test_the_example_of_the_documents_runs(capsys: pytest.CaptureFixture[str]) -> None:
    page = (Path(__file__).parents[2] / "docs" / "prediction.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", page, flags=re.S)
    exec(compile(code, "prediction.md", "exec"), {})
    said = capsys.readouterr().out
    assert said.count("predicted") == 5 and said.count("measured") == 3 and "residual gp" in said


def test_every_predictor_and_protocol_has_its_line_in_the_documents() -> None:
    page = (Path(__file__).parents[2] / "docs" / "prediction.md").read_text()
    for name in (*registry("predictor").names(), *(protocol.name for protocol in PROTOCOLS)):
        assert re.search(rf"^\| {name} \|", page, flags=re.M), name
