"""The evaluation as a whole: what noise may claim, what is judged and how, and the real matrix of massive_sft."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from predict_worlds import low_rank_world, matrix, problem

from traitscope.cli import app
from traitscope.errors import TraitscopeError
from traitscope.matrix import ScoreMatrix
from traitscope.predict.conformal import Calibration
from traitscope.predict.evaluate import evaluate_predictors
from traitscope.predict.evaluation import ALL, TOGETHER, Evaluation
from traitscope.predict.pairs import PairFeatures
from traitscope.predict.protocols import PROTOCOLS, balanced
from traitscope.predict.render import render

FAST = ["other bases", "residual gp", "factor gp"]


def claims_on_noise(bases: int, repeats: int, predictors: list[str], protocols: list[str], seed: int) -> dict:
    """Of each predictor and protocol how often it is called better than the column mean, where nothing is to be had."""
    rng = np.random.default_rng(seed)
    counts: dict[tuple[str, str], int] = {}
    for _ in range(repeats):
        found = evaluate_predictors(
            matrix(rng.standard_normal((bases, 12, 10))),
            base="base0" if bases > 1 else None,
            predictors=predictors,
            protocols=protocols,
        ).skill
        for row in found[found["held"] == ALL].to_dict("records"):
            if row["against"] == "column mean":
                key = (row["predictor"], row["protocol"])
                counts[key] = counts.get(key, 0) + bool(row["better"])
    return counts


@pytest.mark.parametrize("bases", [1, 3])
def test_on_noise_skill_is_seldom_claimed(bases: int) -> None:
    predictors = ["trait regression", "other bases"] if bases > 1 else ["trait regression", "low rank"]
    counts = claims_on_noise(bases, 12, predictors, ["cells", "column"], seed=bases)
    assert len(counts) >= 4
    assert max(counts.values()) <= 2  # 12 draws at 5 %: three or more in one of fifty


@pytest.mark.verify
@pytest.mark.parametrize("bases", [1, 4])
def test_on_noise_nobody_claims_skill_in_more_than_one_of_twenty(bases: int, monkeypatch) -> None:
    # Intervals have no part in it, and take most of the time.
    plain = Calibration(0.9, np.ones((12, 10)), {}, {})
    monkeypatch.setattr("traitscope.predict.judging.calibrate", lambda *_: plain)
    repeats = 100
    names = ["other bases", "low rank", "ppca", "trait regression", "factor gp", "residual gp"]
    counts = claims_on_noise(bases, repeats, names, ["cells", "source", "column", "probes", "quarter"], seed=10 + bases)
    assert max(counts.values()) <= 0.05 * repeats, counts


def test_structure_is_found_and_called_better() -> None:
    values_BIN, _ = low_rank_world(np.random.default_rng(5), bases=4, noise=0.3)
    found = evaluate_predictors(matrix(values_BIN), base="base1", predictors=FAST, protocols=["cells", "column"])
    told = found.skill.set_index(["held", "protocol", "predictor", "against"]).loc[ALL]
    assert told.loc[("cells", "factor gp", "column mean"), "better"]
    assert told.loc[("column", "residual gp", "column mean"), "better"]
    assert told.loc[("column", "residual gp", "column mean"), "saved"] > 0.5


def test_errors_of_the_column_mean_are_those_of_leaving_out_by_hand() -> None:
    rng = np.random.default_rng(6)
    values_IN = rng.standard_normal((8, 6)) * np.array([1, 10, 100, 1, 1, 1]) + 3
    found = evaluate_predictors(matrix(values_IN[None]), predictors=["column mean"], protocols=["source"]).summary()
    rest = np.array([np.delete(values_IN, i, axis=0).mean(axis=0) for i in range(8)])
    by_hand = np.sqrt((((values_IN - rest) / values_IN.std(axis=0)) ** 2).mean())
    assert float(found["rmse"].iloc[0]) == pytest.approx(by_hand)
    assert by_hand == pytest.approx(8 / 7)  # a mean of the other seven misses by 8/7 of the deviation


def test_own_cells_are_neither_seen_nor_judged() -> None:
    rng = np.random.default_rng(7)
    values_IN = rng.standard_normal((8, 6))
    scores = matrix(values_IN[None])
    names = dict(zip([f"task{n}" for n in range(3)], [f"source{n}" for n in range(3)], strict=True))
    # By equal names a source is its own task's: here the first three.
    table = scores.table.assign(task=scores.table["task"].replace(names))
    own = ScoreMatrix.from_long(table, base="base", units="other")
    wild = ScoreMatrix.from_long(
        table.assign(value=np.where(table["task"] == table["source"], 1e6, table["value"])), base="base", units="other"
    )
    told = [evaluate_predictors(s, predictors=["factor gp"], protocols=["cells", "column"]).table for s in (own, wild)]
    assert int(told[0].query("protocol == 'cells'")["cells"].iloc[0]) == 48 - 3
    np.testing.assert_array_equal(told[0]["rmse"], told[1]["rmse"])


def test_a_flat_column_is_named_and_not_judged() -> None:
    rng = np.random.default_rng(8)
    values_BIN = 3.0 * rng.standard_normal((3, 9, 5))
    values_BIN[0, :, 2] = 1.0 + 0.001 * rng.standard_normal(9)
    found = evaluate_predictors(matrix(values_BIN), base="base0", predictors=["other bases"], protocols=["cells"])
    assert found.flat == (("base0", "task2"),)
    assert set(found.table["cells"]) == {36}
    assert found.table["rmse"].max() < 2.0
    assert "flat columns, not judged: task2 of base0" in render(found)


def test_columns_that_a_base_model_lacks_or_that_are_constant_trouble_nobody() -> None:
    rng = np.random.default_rng(15)
    values_BIN = rng.standard_normal((3, 9, 6))
    values_BIN[0, :, 2] = np.nan
    values_BIN[1, :, 3] = 7.0
    values_BIN[2, 1:, 4] = np.nan
    found = evaluate_predictors(matrix(values_BIN))
    assert found.table["rmse"].max() < 5.0
    assert ("base1", "task3") in found.flat
    cells = found.table[found.table["protocol"] == "source"].groupby("base", sort=False)["cells"].first()
    assert cells.to_dict() == {"base0": 45, "base1": 45, "base2": 45}


def test_near_duplicates_are_named_and_hidden_together() -> None:
    rng = np.random.default_rng(9)
    values_BIN = rng.standard_normal((1, 12, 6))
    values_BIN[:, :, 4] = 10 * values_BIN[:, :, 1] + 0.01 * rng.standard_normal((1, 12))
    found = evaluate_predictors(matrix(values_BIN), predictors=["factor gp"], protocols=["probes"])
    assert found.duplicates == (("task1", "task4"),)
    rmse = found.summary().set_index(["held", "predictor"])["rmse"]
    plain = found.table[found.table["held"] == TOGETHER]
    assert set(plain["cells"]) == {18}  # of the two twins alone, nine hidden cells each
    assert rmse[TOGETHER, "factor gp"] > 0.8  # noise, once the twin is gone


def test_a_new_source_is_said_to_be_the_column_mean() -> None:
    values_BIN, _ = low_rank_world(np.random.default_rng(10))
    found = evaluate_predictors(matrix(values_BIN), predictors=["factor gp", "residual gp"], protocols=["source"])
    told = found.summary().set_index("predictor")["rmse"]
    assert told["residual gp"] == pytest.approx(told["column mean"])
    assert any("a new source is the column mean to residual gp" in note for note in found.notes)
    assert any("other bases was not fitted" in note for note in evaluate_predictors(matrix(values_BIN)).notes)


@pytest.mark.parametrize("bases", [1, 3])
def test_features_that_tell_sources_apart_forecast_a_new_one(bases: int) -> None:
    rng = np.random.default_rng(16)
    feature_IN = rng.standard_normal((12, 10))
    values_BIN = rng.standard_normal((bases, 12, 10))
    values_BIN[0] += 2.0 * feature_IN  # the other base models are noise
    sources, tasks = tuple(f"source{i}" for i in range(12)), tuple(f"task{n}" for n in range(10))
    known = PairFeatures(sources, tasks, ("tells",), ("text",), feature_IN[None])
    nonsense = PairFeatures(sources, tasks, ("no",), ("text",), rng.standard_normal((1, 12, 10)))
    names, scores = ["trait regression", "factor gp", "residual gp"], matrix(values_BIN)
    for features, helps in ((known, True), (nonsense, False)):
        found = evaluate_predictors(scores, features=features, base="base0", predictors=names, protocols=["source"])
        told = found.skill[found.skill["against"] == "column mean"].set_index("predictor")
        for name in names:
            # Of the variance four fifths are the feature's.
            assert bool(told.loc[name, "better"]) == helps, (name, told.loc[name])
            assert not helps or 0.6 < told.loc[name, "saved"] < 0.9
        assert not any("a new source is the column mean to factor gp" in note for note in found.notes) or not helps


def test_folds_hide_what_their_protocol_says() -> None:
    rng = np.random.default_rng(11)
    values_BIN = rng.standard_normal((2, 10, 7))
    values_BIN[0, 3, 4] = np.nan
    given = problem(values_BIN)
    folds = {protocol.name: protocol.folds(given, rng) for protocol in PROTOCOLS}
    np.testing.assert_array_equal(np.sum(folds["cells"], axis=0), given.known_IN)
    assert all(hidden.sum(axis=0).max() == 1 for hidden in folds["cells"])
    np.testing.assert_array_equal(np.sum(folds["source"], axis=0), given.known_IN)
    np.testing.assert_array_equal(np.sum(folds["column"], axis=0), given.known_IN)
    assert {int((given.known_IN & ~hidden).sum(axis=0).min()) for hidden in folds["probes"]} == {3}
    np.testing.assert_array_equal(folds["base"], [given.known_IN])
    for hidden in folds["quarter"]:
        visible = given.known_IN & ~hidden
        assert abs(visible.sum() - 69 / 4) <= 1
        assert set(visible.sum(axis=0)) <= {2, 3} and visible.sum(axis=1).min() >= 1


def test_a_share_of_the_cells_is_spread_evenly() -> None:
    chosen_IN = balanced(np.ones((12, 20), dtype=bool), 0.25, np.random.default_rng(0))
    assert chosen_IN.sum() in (59, 60, 61)
    assert set(chosen_IN.sum(axis=0)) == {3}
    assert set(chosen_IN.sum(axis=1)) == {5}


def test_an_evaluation_is_read_as_it_was_written() -> None:
    values_BIN, _ = low_rank_world(np.random.default_rng(12), bases=2)
    found = evaluate_predictors(matrix(values_BIN), predictors=["additive"], protocols=["column"])
    again = Evaluation.from_json(found.to_json())
    for field in dataclasses.fields(Evaluation):
        before, after = getattr(found, field.name), getattr(again, field.name)
        if field.name in ("table", "skill"):
            assert (
                before.astype(object)
                .where(before.notna(), None)
                .equals(after.astype(object).where(after.notna(), None))
            )
        else:
            assert before == after
    assert render(again) == render(found)


def test_known_noise_gives_a_ceiling() -> None:
    rng = np.random.default_rng(13)
    scores = matrix(rng.standard_normal((1, 9, 5)))
    scores = ScoreMatrix.from_long(scores.table.assign(stderr=0.2), base="base", units="other")
    found = evaluate_predictors(scores, predictors=[], protocols=["cells"])
    spread_N = scores.scores_IN[1:].std(axis=0)
    assert found.ceiling is not None
    assert found.ceiling[0] == pytest.approx(np.sqrt(np.mean(0.04 / spread_N**2)))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"predictors": ["residual pg"]}, "did you mean 'residual gp'"),
        ({"protocols": ["row"]}, "write some of: cells"),
        ({"base": "nobody"}, "no base model is named 'nobody'"),
    ],
)
def test_a_wrong_name_is_answered_with_the_right_ones(wrong: dict, said: str) -> None:
    with pytest.raises(TraitscopeError, match=said):
        evaluate_predictors(matrix(np.random.default_rng(0).standard_normal((2, 6, 5))), **wrong)


def test_the_verb_prints_predictors_by_protocol_and_writes_json(tmp_path) -> None:
    from typer.testing import CliRunner

    rng = np.random.default_rng(14)
    lines = ["model," + ",".join(f"task{n}" for n in range(5))]
    for i in range(9):
        lines.append(f"{'base' if i == 0 else f'source{i}'}," + ",".join(f"{v:.4f}" for v in rng.standard_normal(5)))
    file, out = tmp_path / "matrix.csv", tmp_path / "found.json"
    file.write_text("\n".join(lines))
    given = ["predict", str(file), "--evaluate", "--protocols", "cells,column", "--quiet", "--out", str(out)]
    found = CliRunner().invoke(app, [*given, "--unit", "other", "--predictors", "low rank"])
    assert found.exit_code == 0, found.output
    assert "cells: a tenth of every column left out" in found.output and "low rank" in found.output
    assert Evaluation.from_json(out.read_text()).sources[0] == "source1"
    ranked = CliRunner().invoke(app, ["predict", str(file), "--unit", "other", "-t", "task2"])
    assert ranked.exit_code == 0, ranked.output
    assert "not better than the mean of the sources" in ranked.output


LORA = ("lora=true,NA", "epoch=0,10", "data_size=0,{size}", "model_name={bases}")
BASES = (
    *("Meta-Llama-3-8B", "llama-3-chinese-8b", "Qwen2.5-7B", "Chinese-Mistral-7B-v0.1", "Sarashina2-7B"),
    *("LLM-jp-3-7B", "OLMo-7B-hf", "Llama-3-Swallow-8B-v0.1", "Gemma2-9B", "Yi-1.5-9B"),
)
# What every base model of the file was measured on.
VALUES = ("nq-*", "mtbench-*", "alpaca*", "mbpp-0shot", "gsm8k-0shot", "BoolQ-0shot", "hellaswag-0shot", "mmlu-0shot")


def massive_sft(shared, size: int) -> ScoreMatrix:
    from traitscope.matrix.options import read_typed

    path = shared / "matrices" / "massive_sft.csv"
    if not path.exists():
        pytest.skip("massive_sft.csv is not here")
    return read_typed(
        path,
        rows="data_name",
        family="model_name",
        base="pretrain",
        own_pairs="none",
        values=",".join(VALUES),
        where=[*(text.format(size=size, bases=",".join(BASES)) for text in LORA), "data_name!=all"],
    )


@pytest.mark.verify
def test_massive_sft_is_forecast_as_well_as_was_asked(shared) -> None:
    found = evaluate_predictors(massive_sft(shared, 1000))
    assert len(found.bases) == 10 and len(found.sources) == 10 and len(found.tasks) == 19
    told = found.summary().set_index(["held", "protocol", "predictor"]).loc[ALL]
    alone, ours = told.xs("factor gp", level="predictor"), told.xs("residual gp", level="predictor")
    assert alone.loc["cells", "rmse"] <= 0.90
    assert alone.loc["cells", "rmse"] <= 0.91 * told.loc[("cells", "additive"), "rmse"]
    assert ours.loc["cells", "rmse"] <= 0.78
    assert ours.loc["column", "rmse"] <= 0.66 and ours.loc["column", "rho"] >= 0.73
    assert ours.loc["column", "regret_1"] <= 0.14 and ours.loc["column", "regret_3"] <= 0.03
    assert ours.loc["probes", "rho"] >= 0.77 and ours.loc["probes", "regret_1"] <= 0.11
    assert ours.loc["quarter", "rmse"] <= 0.98 and ours.loc["quarter", "rho"] >= 0.72
    assert ours["coverage"].between(0.86, 0.94).all()
