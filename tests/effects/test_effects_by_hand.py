"""Small parts of the effects against scikit-learn and plain numpy."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from effect_study import Study, choice_records, random_study
from scipy import stats
from sklearn.metrics import f1_score
from sklearn.preprocessing import StandardScaler

from traitscope.effects import Effects, measure_effects
from traitscope.effects.alignment import build_panels
from traitscope.effects.grid import Grid
from traitscope.effects.ridge import leave_one_out_ridge, ridge_coefficients
from traitscope.effects.significance import additive_basis, bootstrap_weights, percentile_interval
from traitscope.errors import TraitscopeError
from traitscope.metrics.confusion import confusion_matrix, macro_f1


def test_a_class_that_does_not_occur_is_no_part_of_macro_f1() -> None:
    gold, pred = list("aababb"), list("ababbb")
    found = float(macro_f1(confusion_matrix(gold, pred, ("a", "b", "c"))))
    assert found == pytest.approx(f1_score(gold, pred, average="macro"))


def test_replicates_of_a_mean_are_means_over_as_many_examples() -> None:
    study = random_study(("c", "d"), ("a",), 50, np.random.default_rng(0))
    grid = Grid.of(study.matrix).in_shares()
    (panel,) = build_panels(grid, study.records, replicates=400, seed=0, level=0.95)
    ones = np.ones_like(panel.correct_MS)
    assert panel.means(ones) == pytest.approx(np.ones((400, len(panel.rows))))
    gaps = panel.correct_MS.copy()
    gaps[:, 7] = np.nan
    weights = panel.weights_RS.astype(float)
    for values in (panel.correct_MS, gaps):
        known = np.isfinite(values[0])
        wanted = weights[:, known] @ values[:, known].T / weights[:, known].sum(axis=1)[:, None]
        assert panel.means(values) == pytest.approx(wanted, rel=1e-5)


def test_r2_compares_with_the_mean_of_the_other_rows() -> None:
    rng = np.random.default_rng(1)
    features, outcomes = rng.normal(size=(9, 3)), rng.normal(size=(9, 2))
    outcomes[:, 0] += 3 * features[:, 0]
    found = leave_one_out_ridge(features, outcomes)
    others = np.array([np.delete(outcomes, i, axis=0).mean(axis=0) for i in range(9)])
    wanted = 1 - ((outcomes - found.predictions_IQ) ** 2).sum(axis=0) / ((outcomes - others) ** 2).sum(axis=0)
    assert found.r2_Q == pytest.approx(wanted)


def test_coefficients_are_in_deviations_of_the_outcome() -> None:
    rng = np.random.default_rng(2)
    features = rng.normal(size=(200, 2)) * [1.0, 50.0]
    outcome = 7.0 * StandardScaler().fit_transform(features) @ np.array([0.6, -0.8])
    found = ridge_coefficients(features, outcome)
    assert found == pytest.approx(np.array([0.6, -0.8]) * 7 / outcome.std(), abs=0.01)
    assert ridge_coefficients(features, 100 * outcome) == pytest.approx(found)


@pytest.mark.parametrize("n", [5, 20, 200])
def test_percentile_intervals_are_widened_as_students_t_is(n: int) -> None:
    """Hesterberg 2015: for a normal bootstrap, whose deviation divides by n, the ends lie t s / sqrt(n) away."""
    rng = np.random.default_rng(3)
    sample = rng.normal(size=n)
    sample = (sample - sample.mean()) / sample.std(ddof=1)
    replicates = rng.normal(size=400_000) * np.sqrt((n - 1) / n) / np.sqrt(n)
    lo, hi = percentile_interval(replicates, n)
    half = stats.t.ppf(0.975, n - 1) / np.sqrt(n)
    assert (lo, hi) == pytest.approx((-half, half), rel=0.03)


def test_every_example_is_drawn_as_often_as_the_others() -> None:
    weights = bootstrap_weights(10, 4000, 0, "t")
    assert (weights.sum(axis=1) == 10).all()
    assert weights.mean(axis=0) == pytest.approx(np.ones(10), abs=0.07)
    assert weights.var() == pytest.approx(0.9, rel=0.05)


def test_a_regressor_adds_its_direction_to_rows_and_columns() -> None:
    rows, columns = np.repeat(np.arange(4), 3), np.tile(np.arange(3), 4)
    extra = np.random.default_rng(4).normal(size=12)
    plain, with_one = additive_basis(rows, columns), additive_basis(rows, columns, extra)
    assert (plain.shape[1], with_one.shape[1]) == (6, 7)
    fitted = with_one @ (with_one.T @ extra)
    assert fitted == pytest.approx(extra) and np.abs(plain @ (plain.T @ extra) - extra).max() > 0.1


def test_surprises_are_residuals_of_the_tasks_that_are_not_the_sources_own() -> None:
    study = random_study(("a", "b", "c", "d", "e"), ("a", "b", "c", "d"), 80, np.random.default_rng(5))
    table = measure_effects(study.matrix, study.records, replicates=200, permutations=99).tables["surprises"]
    assert len(table) == 5 * 4 - 4 and (table["source"] != table["task"]).all()
    assert (table["expected"] + table["residual"]).to_numpy() == pytest.approx(table["observed"].to_numpy())
    scale = table.groupby("task")["observed"].transform("std")
    residual = (table["residual"] / scale).to_numpy()
    robust = stats.median_abs_deviation(residual, center=lambda x, axis: np.zeros(()), scale="normal")
    assert table["z_model"].to_numpy() == pytest.approx(residual / robust, rel=1e-3)
    # A cell that was predicted without itself: fit the other cells by least squares on row and column dummies.
    design = pd.get_dummies(table[["source", "task"]]).to_numpy(dtype=float)
    outcome = (table["observed"] / scale).to_numpy()
    for k in range(len(table)):
        rest = np.arange(len(table)) != k
        beta = np.linalg.lstsq(design[rest], outcome[rest], rcond=None)[0]
        assert outcome[k] - design[k] @ beta == pytest.approx(residual[k], abs=1e-6)


NUMBERS = {"metric": "accuracy", "base_value": 0.5, "won": 3, "lost": 1, "remark": "", "base_at": ""}
NUMBERS |= dict.fromkeys(("deviation", "seeds", "all_seeds", "runs"))


def test_the_largest_findings_that_hold_come_first() -> None:
    cells = [("a", 0.1, 0.01), ("b", -0.3, 0.02), ("c", 0.05, 0.05), ("d", 0.4, 0.2), ("e", 0.2, 0.03), ("f", 0.0, 1.0)]
    common = {"kind": "gain", "seed": 0, "task": "t", "detail": "", "relation": "transfer"}
    common |= {"family": "transfer"}
    about = {"n": 10, "unit": "share", "method": "bootstrap", "numbers": NUMBERS}
    rows = [
        {**common, **about, "model": m, "source": m, "value": v, "p": q / 2, "q": q, "lo": v - 0.01, "hi": v + 0.01}
        for m, v, q in cells
    ]
    effects = Effects(findings=pd.DataFrame(rows))
    assert effects.significant()["model"].tolist() == ["b", "e", "a", "c"]
    assert effects.significant(0.02)["model"].tolist() == ["b", "a"]
    head, *told = effects.render(limit=3).splitlines()
    assert head == "Gains over the base: 4 of 6 hold at q <= 0.05"
    assert [line[4] for line in told] == ["b", "e", "a"]
    assert [line[4] for line in effects.render(limit=5).splitlines()[1:]] == ["b", "e", "a", "c"]
    assert [line[4] for line in effects.render(limit=6).splitlines()[1:]] == list("abcdef")


def choices(gold: list[int], pred: list[int], names: tuple[str, ...]) -> Study:
    """The base at the gold answers, one model at its own."""
    study = Study()
    for model, source, answers in (("base", None, gold), ("a-s0", "a", pred)):
        records = choice_records(np.array(gold), np.array(answers), names)
        study.add(model, source, None if source is None else 0, "t", records)
    return study


def test_options_have_no_length_and_are_not_cut_off() -> None:
    study = choices([0, 1] * 10, [0] * 20, ("a", "b"))
    found = measure_effects(study.matrix, study.records, replicates=100)
    assert "lengths" not in found.tables and "cut_off" not in set(found.findings["kind"])
    base = found.tables["classes"].query("model == 'base'")
    assert base[["share_p", "recall_p"]].isna().all(axis=None)


@pytest.mark.parametrize("copies", [4, 5])
def test_gold_answers_are_classes_where_each_stands_for_five_examples(copies: int) -> None:
    study = choices([0, 1, 2] * copies, [0, 1, 1] * copies, ("a", "b", "c"))
    tables = measure_effects(study.matrix, study.records, replicates=100).tables
    assert ("classes" in tables) == (copies >= 5)


def test_a_gold_answer_that_is_no_class_leaves_the_task_without_classes() -> None:
    study = choices([0, 1, 2] * 5, [0, 1, 1] * 5, ("a", "b", "c"))
    assert "classes" not in measure_effects(study.matrix, study.records, classes={"t": ("a", "b")}).tables


def test_an_example_twice_in_a_models_record_is_refused() -> None:
    study = choices([0, 1] * 5, [0] * 10, ("a", "b"))
    study.records["a-s0", "t"].loc[9, "id"] = "e8"
    with pytest.raises(TraitscopeError, match="twice"):
        measure_effects(study.matrix, study.records)
