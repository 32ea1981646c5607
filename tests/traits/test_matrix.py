"""ScoreMatrix: one long table, seen in several ways."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from trait_worlds import planted_records, scores_of

from traitscope.errors import TraitscopeError
from traitscope.matrix import ScoreMatrix, align_records, bootstrap_means, paired_means


def long_table() -> pd.DataFrame:
    rows = []
    values = {
        ("base", "imdb"): 0.5,
        ("base", "gsm"): 0.1,
        ("imdb-s0", "imdb"): 0.9,
        ("imdb-s1", "imdb"): 0.8,
        ("imdb-s0", "gsm"): 0.1,
        ("imdb-s1", "gsm"): 0.2,
        ("gsm-s0", "gsm"): 0.4,
    }
    for (model, task), value in values.items():
        source, _, seed = model.partition("-s")
        trained = source != "base"
        rows.append(
            {
                "base": "llama",
                "model": model,
                "source": source if trained else None,
                "seed": int(seed) if trained else None,
                "task": task,
                "metric": "accuracy",
                "status": "measured",
                "value": value,
                "n": 100,
                "stderr": np.sqrt(value * (1 - value) / 100),
                "primary": True,
            }
        )
        rows.append({**rows[-1], "metric": "loss", "value": 2 - value, "primary": False, "stderr": 0.02})
        rows[-1]["higher_is_better"] = False
        rows[-2]["higher_is_better"] = True
    return pd.DataFrame(rows)


def test_rows_and_columns_keep_their_order_and_gaps_are_nan() -> None:
    scores = ScoreMatrix.from_long(long_table())
    assert scores.models == ("base", "imdb-s0", "imdb-s1", "gsm-s0")
    assert scores.tasks == ("imdb", "gsm")
    assert np.isnan(scores.scores_IN[3, 0]) and scores.status_IN[3, 0] == "missing"
    assert scores.scores_IN[1].tolist() == [0.9, 0.1]
    assert scores.n_IN[3].tolist() == [0.0, 100.0]
    assert scores.base_index == 0


def test_long_wide_long_gives_the_same_matrix() -> None:
    scores = ScoreMatrix.from_long(long_table())
    again = ScoreMatrix.from_long(scores.to_long())
    np.testing.assert_array_equal(again.scores_IN, scores.scores_IN)
    np.testing.assert_array_equal(again.stderr_IN, scores.stderr_IN)
    assert (again.to_long()["status"] == "missing").sum() == 1
    wide = ScoreMatrix.from_wide(scores.to_wide())
    np.testing.assert_array_equal(wide.scores_IN, scores.scores_IN)


def test_another_metric_is_another_view_and_its_gain_is_positive_when_better() -> None:
    scores = ScoreMatrix.from_long(long_table())
    loss = scores.with_metric("loss")
    assert loss.scores_IN[0, 0] == pytest.approx(1.5)
    assert loss.gains().values_IN[1, 0] == pytest.approx(0.4)
    assert scores.gains().values_IN[1, 0] == pytest.approx(0.4)
    with pytest.raises(TraitscopeError, match="no task has the metric 'f1'"):
        scores.with_metric("f1")


def test_gain_errors_without_records_are_those_of_independent_samples() -> None:
    gains = ScoreMatrix.from_long(long_table()).gains()
    assert gains.stderr_IN[1, 0] == pytest.approx(np.sqrt(0.09 / 100 + 0.25 / 100))
    assert gains.stderr_IN[0, 0] == 0.0


def test_z_scores_have_unit_deviation_and_logits_are_log_odds() -> None:
    frame = pd.DataFrame({"a": [0.2, 0.5, 0.8], "b": [0.1, 0.1, 0.4]}, index=["base", "x", "y"])
    scores = ScoreMatrix.from_wide(frame)
    np.testing.assert_allclose(scores.z().values_IN.std(axis=0, ddof=1), 1.0)
    assert scores.logit().values_IN[0, 0] == pytest.approx(np.log(0.2 / 0.8))
    percent = ScoreMatrix.from_wide(frame * 100)
    assert percent.units == {"a": "percent", "b": "percent"}
    np.testing.assert_allclose(percent.logit().values_IN, scores.logit().values_IN)


def test_logit_errors_follow_the_delta_method() -> None:
    frame = pd.DataFrame({"a": [0.2, 0.5]}, index=["base", "x"])
    scores = ScoreMatrix.from_wide(frame, stderr=frame * 0 + 0.01)
    step = 1e-6
    slope = (np.log((0.2 + step) / (0.8 - step)) - np.log(0.2 / 0.8)) / step
    assert scores.logit().stderr_IN[0, 0] == pytest.approx(0.01 * slope, rel=1e-4)


def test_mean_over_seeds_is_one_row_per_source_and_pools_their_variance() -> None:
    scores = ScoreMatrix.from_long(long_table())
    merged = scores.by_source()
    assert merged.models == ("base", "imdb", "gsm")
    assert merged.scores_IN[1].tolist() == pytest.approx([0.85, 0.15])
    known = merged.seed_variance
    assert known is not None
    np.testing.assert_allclose(known.variance_N, [0.005, 0.005])
    np.testing.assert_allclose(known.seeds_IN, [[0, 0], [2, 2], [0, 1]])
    noise = merged.noise()
    assert noise is not None
    examples = (0.09 + 0.16) / 2 / 100
    assert noise.variance_IN[1, 0] == pytest.approx(examples + 0.005 / 2)
    assert noise.seed_variance_IN[0, 0] == 0.0


def test_mean_over_seeds_with_records_uses_the_averaged_records() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 2, 50).astype(float), rng.integers(0, 2, 50).astype(float)
    table = pd.DataFrame(
        {
            "model": ["base", "x-s0", "x-s1"],
            "source": [None, "x", "x"],
            "seed": [None, 0, 1],
            "task": "t",
            "value": [0.5, a.mean(), b.mean()],
            "stderr": 0.07,
        }
    )
    merged = ScoreMatrix.from_long(table).with_records({"t": {"x-s0": a, "x-s1": b}}).by_source()
    mean = (a + b) / 2
    assert merged.stderr_IN[1, 0] == pytest.approx(mean.std(ddof=1) / np.sqrt(50))
    np.testing.assert_allclose(merged.records["t"]["x"], mean)


def test_paired_gain_error_is_that_of_the_differences() -> None:
    rng = np.random.default_rng(1)
    base = rng.integers(0, 2, 80).astype(float)
    model = np.where(rng.random(80) < 0.8, base, 1 - base)
    difference = model - base
    table = pd.DataFrame({"t": [base.mean(), model.mean()]}, index=["base", "m"])
    scores = ScoreMatrix.from_wide(table).with_records({"t": {"base": base, "m": model}})
    assert scores.gains().values_IN[1, 0] == pytest.approx(difference.mean())
    assert scores.gains().stderr_IN[1, 0] == pytest.approx(difference.std(ddof=1) / np.sqrt(80))


def test_bootstrap_draws_the_same_examples_for_all_models() -> None:
    rng = np.random.default_rng(2)
    base = rng.integers(0, 2, 60).astype(float)
    correct = {"base": base, "copy": base, "other": 1 - base}
    names, means_RI = bootstrap_means(correct, 500, rng)
    assert list(names) == ["base", "copy", "other"]
    np.testing.assert_array_equal(means_RI[:, 0], means_RI[:, 1])
    np.testing.assert_allclose(means_RI[:, 0] + means_RI[:, 2], 1.0)
    expected = np.sqrt(paired_means(correct).covariance_II[0, 0])
    assert means_RI[:, 0].std() == pytest.approx(expected, rel=0.12)


def test_replicates_spread_as_the_noise_says() -> None:
    rng = np.random.default_rng(3)
    scores = scores_of(planted_records(np.full((4, 3), 0.6), 200, rng))
    noise = scores.noise()
    assert noise is not None
    copies = scores.replicates(2000, seed=1)
    np.testing.assert_allclose(copies.std(axis=0), np.sqrt(noise.variance_IN), rtol=0.1)
    drawn = noise.draw(4000, rng)
    difference = (drawn[:, 1] - drawn[:, 0]).std(axis=0)
    np.testing.assert_allclose(difference, scores.gains().stderr_IN[1], rtol=0.1)


def test_replicates_in_percent_keep_the_unit() -> None:
    rng = np.random.default_rng(4)
    records = planted_records(np.full((3, 2), 0.7), 100, rng)
    fractions = scores_of(records)
    percent = ScoreMatrix.from_wide(fractions.to_wide() * 100).with_records(records)
    np.testing.assert_allclose(percent.stderr_IN, 100 * fractions.stderr_IN)
    np.testing.assert_allclose(percent.replicates(5, 0), 100 * fractions.replicates(5, 0))


def test_a_cell_that_is_all_right_keeps_an_error() -> None:
    frame = pd.DataFrame({"model": ["base", "x"], "task": "t", "value": [1.0, 0.5], "n": 50, "stderr": [0.0, 0.07]})
    noise = ScoreMatrix.from_long(frame).noise()
    assert noise is not None
    assert noise.variance_IN[0, 0] == pytest.approx((51 / 52) * (1 / 52) / 50)


def test_noise_is_unknown_if_a_task_has_no_standard_errors() -> None:
    frame = pd.DataFrame({"a": [0.1, 0.2], "b": [0.3, 0.4]}, index=["base", "x"])
    stderr = pd.DataFrame({"a": [0.01, 0.01], "b": [np.nan, np.nan]}, index=["base", "x"])
    scores = ScoreMatrix.from_wide(frame, stderr=stderr)
    assert scores.noise() is None
    with pytest.raises(TraitscopeError, match="no standard errors"):
        scores.replicates(3)


def test_several_base_models_have_a_base_row_each() -> None:
    table = pd.DataFrame(
        {
            "base": ["A", "A", "B", "B"],
            "model": ["base", "x", "base", "x"],
            "source": [None, "x", None, "x"],
            "task": "t",
            "value": [0.1, 0.3, 0.5, 0.4],
        }
    )
    scores = ScoreMatrix.from_long(table)
    assert scores.models == ("A/base", "A/x", "B/base", "B/x")
    assert scores.gains().values_IN[:, 0].tolist() == pytest.approx([0, 0.2, 0, -0.1])
    with pytest.raises(TraitscopeError, match="2 base rows"):
        _ = scores.base_index


def test_predicted_cells_are_shown_only_on_request() -> None:
    table = pd.DataFrame(
        {"model": ["base", "x"], "task": "t", "value": [0.1, 0.9], "status": ["measured", "predicted"]}
    )
    assert np.isnan(ScoreMatrix.from_long(table).scores_IN[1, 0])
    assert ScoreMatrix.from_long(table, predicted=True).scores_IN[1, 0] == 0.9


def test_select_keeps_order_and_seed_noise() -> None:
    merged = ScoreMatrix.from_long(long_table()).by_source()
    part = merged.select(models=["imdb", "base"], tasks=["gsm"])
    assert part.models == ("base", "imdb") and part.tasks == ("gsm",)
    known = part.seed_variance
    assert known is not None and known.seeds_IN.tolist() == [[0], [2]] and len(known.variance_N) == 1
    with pytest.raises(TraitscopeError, match="no task named mmlu"):
        merged.select(tasks=["mmlu"])


def test_records_are_aligned_on_common_ids() -> None:
    one = pd.Series([1.0, 0.0, 1.0], index=["a", "b", "c"])
    two = pd.Series([0.0, 1.0], index=["c", "a"])
    aligned = align_records({"one": one, "two": two})
    assert aligned["one"].tolist() == [1.0, 1.0] and aligned["two"].tolist() == [1.0, 0.0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop(columns="value"), "no column value"),
        (lambda t: pd.concat([t, t.head(1)]), "has 2 values for task 'imdb'"),
        (lambda t: t.assign(value="high"), "'high' is not a number"),
        (lambda t: t.assign(value=np.inf), "the score of .* is inf"),
        (lambda t: t.assign(value=-1e308), "the score of .* is -1e\\+308"),
        (lambda t: t.assign(stderr=1e200), "the standard error of .* is 1e\\+200"),
        (lambda t: t.assign(stderr=-0.1), "negative standard error"),
        (lambda t: t.assign(status="guessed"), "unknown status guessed"),
        (lambda t: t.assign(model=None), "row 1 has no model"),
        (lambda t: t.assign(value=np.nan), "no scores at all"),
        (lambda t: t.assign(primary=True), "several primary metrics"),
    ],
)
def test_a_bad_long_table_says_what_is_wrong(change: object, message: str) -> None:
    assert callable(change)
    with pytest.raises(TraitscopeError, match=message):
        ScoreMatrix.from_long(change(long_table()))


def test_no_base_row_is_an_error_only_where_it_is_needed() -> None:
    frame = pd.DataFrame({"a": [0.1, 0.2], "b": [0.3, 0.4]}, index=["x", "y"])
    scores = ScoreMatrix.from_wide(frame)
    assert scores.base_name is None and scores.raw().values_IN.shape == (2, 2)
    with pytest.raises(TraitscopeError, match="no base row"):
        scores.gains()
    with pytest.raises(TraitscopeError, match="no model is named 'plain'"):
        ScoreMatrix.from_wide(frame, base="plain")


@pytest.mark.parametrize(
    ("records", "message"),
    [
        ({"base": np.ones(3), "m": np.ones(4)}, "differ in shape"),
        ({"base": np.ones(1), "m": np.ones(1)}, "fewer than two examples"),
        ({"base": np.ones(2), "m": np.array([1.0, np.nan])}, "without a value in m"),
    ],
)
def test_records_that_are_not_paired_are_refused(records: dict[str, np.ndarray], message: str) -> None:
    with pytest.raises(TraitscopeError, match=message):
        paired_means(records)
