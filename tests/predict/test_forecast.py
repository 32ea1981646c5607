"""What a user asks for: sources ranked for a target, with intervals, baselines and what must be known."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from predict_worlds import low_rank_world, matrix

import traitscope as ts
from traitscope.errors import TraitscopeError
from traitscope.matrix import Role
from traitscope.predict.forecast import below_zero
from traitscope.predict.protocols import PROTOCOLS
from traitscope.predict.ranking import mix_rule
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


def lower_is_better() -> ts.ScoreMatrix:
    """One base model, losses: s0 is best everywhere, its cell on t0 is open."""
    rng = np.random.default_rng(3)
    lines = [{"model": "base", "source": None, "task": f"t{n}", "value": 3.0} for n in range(6)]
    for i in range(8):
        for n in range(6):
            if (i, n) != (0, 0):
                value = 2.0 + 0.2 * i + 0.02 * rng.normal()
                lines.append({"model": f"s{i}", "source": f"s{i}", "task": f"t{n}", "value": value})
    return ts.ScoreMatrix.from_long(pd.DataFrame(lines).assign(higher_is_better=False), units="other")


def test_gain_and_harm_of_losses_have_the_right_sign() -> None:
    ranked = ts.fit_predictor(lower_is_better()).rank_sources("t0").set_index("source")
    assert ranked.loc["s0", "status"] == "predicted"
    assert ranked.loc["s0", "expected"] == pytest.approx(1.0, abs=0.15)
    assert ranked.loc["s0", "harm"] < 0.05
    assert ranked.loc["s3", "expected"] == pytest.approx(0.4, abs=0.1)
    assert ranked.index[0] == "s0" and ranked.index[-1] == "s7"


def test_the_chance_of_harm_is_that_of_the_normal_interval() -> None:
    expected, half = np.array([1.645, -1.645, 0.0]), np.array([1.645, 1.645, 2.0])
    np.testing.assert_allclose(below_zero(expected, half, 0.9), [0.05, 0.95, 0.5], atol=1e-3)


def test_measured_mixes_of_losses_teach_the_rule_in_gains() -> None:
    scores = lower_is_better()
    table = scores.table.copy()
    # A mix of s0 and s7 that gains half a point more than the mean of both.
    for n in range(1, 6):
        parts = [
            3.0 - float(table.loc[(table.model == s) & (table.task == f"t{n}"), "value"].iloc[0]) for s in ("s0", "s7")
        ]
        value = 3.0 - (0.25 * parts[0] + 0.75 * parts[1] + 0.5)
        table.loc[len(table)] = {**table.iloc[0], "model": "both", "source": "both", "task": f"t{n}", "value": value}
    roles = {f"s{i}": Role("source") for i in range(8)} | {"both": Role("mix")}
    matrix_ = ts.ScoreMatrix.from_long(table, base="base", units="other", roles=roles)
    found = ts.fit_predictor(matrix_)
    rule = mix_rule(found, {"both": {"s0": 100, "s7": 300}})
    assert rule.cells == 5
    spread = float(np.median(found.prediction.spread_N))
    assert 0 < rule.level < 0.5 / spread
    equal = mix_rule(found, {"both": {"s0": 300, "s7": 100}})
    assert equal.level < rule.level


def test_a_matrix_too_large_for_a_covariance_is_refused_with_what_takes_it() -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(1300, 4)), index=[f"s{i}" for i in range(1300)], columns=list("abcd"))
    frame.iloc[0, 0] = np.nan
    with pytest.raises(TraitscopeError, match="does not fit into memory") as error:
        ts.fit_predictor(ts.ScoreMatrix.from_wide(frame, units="other"))
    assert "additive" in str(error.value.fix)
    assert ts.fit_predictor(ts.ScoreMatrix.from_wide(frame, units="other"), predictor="additive").cells().shape[0] == 1
