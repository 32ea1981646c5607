import math
from itertools import permutations
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from effect_study import random_study, stats_with
from scipy import stats as scipy_stats
from sklearn.linear_model import Ridge

from traitscope.effects import Explanation, explain, explain_outcomes
from traitscope.effects.explain import detectable_rho
from traitscope.effects.ridge import PENALTIES, leave_one_out_ridge, ridge_coefficients
from traitscope.errors import TraitscopeError
from traitscope.matrix import ScoreMatrix


def frames(n: int, p: int, seed: int, strength: float = 0.0) -> tuple[pd.DataFrame, pd.DataFrame]:
    rng = np.random.default_rng(seed)
    index = [f"d{k}" for k in range(n)]
    x = pd.DataFrame(rng.normal(size=(n, p)), index=index, columns=[f"x{k}" for k in range(p)])
    noise = rng.normal(size=(n, 2))
    y = pd.DataFrame({"T1": strength * x["x0"] + noise[:, 0], "T2": noise[:, 1]}, index=index)
    return y, x


def test_correlations_equal_scipy_and_their_p_all_permutations() -> None:
    y, x = frames(7, 3, 0, 1.0)
    x.iloc[2, 1] = np.nan
    x.iloc[:3, 2] = 0.5  # ties share the mean of their ranks
    found = explain_outcomes(y, x).correlations.set_index(["statistic", "outcome"])
    for (statistic, outcome), row in found.iterrows():
        both = x[statistic].notna()
        a, b = x.loc[both, statistic].to_numpy(), y.loc[both, outcome].to_numpy()
        rho = scipy_stats.spearmanr(a, b).statistic
        assert row["rho"] == pytest.approx(rho)
        half = scipy_stats.norm.ppf(0.975) * np.sqrt(1.06 / (len(a) - 3))
        assert np.arctanh([row["lo"], row["hi"]]) == pytest.approx([np.arctanh(rho) - half, np.arctanh(rho) + half])
        left, right = (scipy_stats.rankdata(v) - (len(v) + 1) / 2 for v in (a, b))
        all_orders = np.array(list(permutations(range(len(a)))))
        exact = np.mean(np.abs(left[all_orders] @ right) >= abs(left @ right) - 1e-9)
        assert row["p"] == pytest.approx(exact, abs=0.015)
        assert row["n"] == both.sum()


def test_the_smallest_p_is_that_of_an_order_that_never_came() -> None:
    ranks = pd.DataFrame({"x": np.arange(10.0)}, index=[f"d{k}" for k in range(10)])
    found = explain_outcomes(ranks.rename(columns={"x": "T1"}), ranks, permutations=99)
    assert found.correlations["p"].tolist() == [0.01]


def test_the_detectable_correlation_equals_the_published_critical_values() -> None:
    # Two-sided critical values of Spearman's rho (Zar 1972): n = 10: 0.648 at 5 %, 0.794 at 1 %; n = 20: 0.447 at 5 %.
    assert detectable_rho(10, 1)[0] == pytest.approx(0.648, abs=0.013)
    assert detectable_rho(10, 5)[0] == pytest.approx(0.794, abs=0.013)
    assert detectable_rho(20, 1)[0] == pytest.approx(0.447, abs=0.01)


def test_what_ten_sources_cannot_carry_is_said() -> None:
    y, x = frames(10, 15, 0)
    found = explain_outcomes(y, x)
    assert found.looked_at == 30
    assert 0.8 < found.detectable < 0.95 < found.detectable_80 + 0.05
    assert f"|rho| = {found.detectable:.2f}" in found.sentences[0]
    assert "cannot carry claims" in found.sentences[0]
    y, x = frames(6, 15, 0)
    assert "not even a perfect correlation" in explain_outcomes(y, x).sentences[0]


def test_a_strong_association_over_many_sources_is_found_alone() -> None:
    y, x = frames(60, 8, 0, 2.0)
    found = explain_outcomes(y, x)
    held = found.correlations.query("q <= 0.05")
    assert list(zip(held["statistic"], held["outcome"], strict=True)) == [("x0", "T1")]
    regression = found.regressions.set_index("outcome")
    assert regression.loc["T1", "r2"] > 0.5 and regression.loc["T1", "p"] == pytest.approx(0.001)
    assert regression.loc["T2", "p"] > 0.05 and regression.loc["T1", "strongest"].startswith("x0 +")
    assert any("x0 goes with T1" in line for line in found.sentences)


def null_rate(simulations: int) -> tuple[float, float]:
    hits = [explain_outcomes(*frames(10, 12, seed), permutations=1999) for seed in range(simulations)]
    return (
        float(np.mean([(h.correlations["q"] <= 0.05).any() for h in hits])),
        float(np.mean([(h.regressions["q"] <= 0.05).any() for h in hits])),
    )


@pytest.mark.parametrize("simulations", [25, pytest.param(400, marks=pytest.mark.verify)])
def test_noise_is_explained_no_more_often_than_stated(simulations: int) -> None:
    limit = 0.05 + 2 * math.sqrt(0.05 * 0.95 / simulations)
    assert max(null_rate(simulations)) <= limit


def test_left_out_predictions_equal_sklearn_with_the_penalty_chosen_inside() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(9, 4)), rng.normal(size=(9, 2))
    y[:, 0] += 2 * x[:, 1]

    def fit(train, target, row, penalty):
        centre, spread = train.mean(axis=0), train.std(axis=0)
        model = Ridge(alpha=penalty * 4).fit((train - centre) / spread, target)
        return model.predict((row[None] - centre) / spread)[0]

    def inner(train, target, penalty):
        scaled = (train - train.mean(axis=0)) / train.std(axis=0)
        parts = [np.delete(np.arange(8), k) for k in range(8)]
        out = [Ridge(alpha=penalty * 4).fit(scaled[r], target[r]).predict(scaled[[k]])[0] for k, r in enumerate(parts)]
        return float(((np.array(out) - target) ** 2).sum())

    ours = leave_one_out_ridge(x, y).predictions_IQ
    for q in range(2):
        for i in range(9):
            rest = np.delete(np.arange(9), i)
            errors = {p: inner(x[rest], y[rest, q], p) for p in PENALTIES}
            slow = {p: fit(x[rest], y[rest, q], x[i], p) for p in PENALTIES}
            near = [slow[p] for p in PENALTIES if errors[p] <= min(errors.values()) * 1.05]
            assert min(near) - 1e-6 <= ours[i, q] <= max(near) + 1e-6
    assert np.argmax(np.abs(ridge_coefficients(x, y[:, 0]))) == 1


def test_traits_and_gains_are_explained_by_source_with_seeds_averaged() -> None:
    sources = [f"d{k}" for k in range(8)]
    rng = np.random.default_rng(0)
    study = random_study(sources, sources[:5], 60, rng, lambda s, t: 0.3 * sources.index(s), seeds=(0, 1))
    stats = stats_with([*sources, "other"], answer_length={s: 5.0 + k for k, s in enumerate(sources)})
    models = study.matrix.models
    scores = np.array([[0.0 if m == "base" else float(m[1])] for m in models])
    traits = SimpleNamespace(models=models, scores_IK=scores, trait_names=("T1",))
    found = explain(traits, stats, study.matrix, statistics=["answer_tokens_mean"])
    rows = found.correlations.set_index("outcome")
    assert rows.loc["T1", ["rho", "n"]].tolist() == [pytest.approx(1.0), 8]
    assert rows.loc["mean gain on other tasks", "rho"] > 0.8
    more = explain(None, stats, study.matrix, statistics=["answer_tokens_mean"], per_task=True)
    assert len(more.correlations) == 6
    own = more.correlations.set_index("outcome").loc["gain on d0"]
    assert own["n"] == 7


def test_a_control_is_no_further_source_and_a_dataset_with_a_dot_is_one() -> None:
    names = ["d0", "d1", "d2", "d3", "d4.v2"]
    stats = stats_with(
        [*names, "d0.mislabel"], answer_length={n: 5.0 + k for k, n in enumerate([*names, "d0.mislabel"])}
    )
    models = tuple(f"{name}-s0" for name in [*names, "d0.mislabel"])
    traits = SimpleNamespace(models=models, scores_IK=np.arange(6.0)[:, None], trait_names=("T1",))
    found = explain(traits, stats, statistics=["answer_tokens_mean"])
    assert found.sources == 5 and found.correlations["n"].tolist() == [5]


def test_a_source_is_not_the_worse_for_lacking_its_own_task_where_all_gain_most() -> None:
    """Every source adds its own gain to what a task gives to all: over the others' tasks the order is the sources'."""
    names = [f"d{k}" for k in range(6)]
    adds = {None: 0.0, **{name: k / 100 for k, name in enumerate(names)}}
    rows = [
        {
            "model": source or "base",
            "source": source,
            "task": task,
            "metric": "accuracy",
            "value": own * (1 + k) + adds[source],
        }
        for source, own in zip([None, *names], [0.0, *[0.1] * 6], strict=True)
        for k, task in enumerate(names)
    ]
    matrix = ScoreMatrix.from_long(pd.DataFrame(rows))
    stats = stats_with(names, answer_length={name: adds[name] for name in names})
    (rho,) = explain(None, stats, matrix, statistics=["answer_tokens_mean"]).correlations["rho"]
    assert rho == pytest.approx(1.0)


def test_explanations_come_back_from_json() -> None:
    found = explain_outcomes(*frames(9, 3, 0))
    again = Explanation.from_json(found.to_json())
    assert again.render() == found.render()
    pd.testing.assert_frame_equal(again.correlations, found.correlations, check_dtype=False, check_exact=True)


def test_user_errors_say_what_to_do() -> None:
    y, x = frames(4, 2, 0)
    with pytest.raises(TraitscopeError, match="4 sources"):
        explain_outcomes(y, x)
    with pytest.raises(TraitscopeError, match="nothing to explain"):
        explain(None, stats_with(["a"]))
    study = random_study(["a"], ["t"], 20, np.random.default_rng(0))
    with pytest.raises(TraitscopeError, match="unknown statistics: magic"):
        explain(None, stats_with(["a"]), study.matrix, statistics=["magic"])


def test_a_p_of_permuted_sources_is_never_zero() -> None:
    line = pd.DataFrame({"x": np.arange(12.0)}, index=[f"d{k}" for k in range(12)])
    assert explain_outcomes(line, line, permutations=99).correlations["p"].tolist() == [1 / 100]


def test_a_source_is_not_favoured_by_the_task_it_lacks() -> None:
    """Gains are 5 t + s / 10: without centring, the source whose own task is the easiest looks worst."""
    names = [f"d{k}" for k in range(6)]
    cells = [{"model": "base", "task": t, "value": 0.0} for t in names]
    for s, source in enumerate(names):
        about = {"model": f"{source}-s0", "source": source, "seed": 0}
        cells += [{**about, "task": task, "value": 5.0 * t + 0.1 * s} for t, task in enumerate(names)]
    stats = stats_with(names, answer_length={name: float(k) for k, name in enumerate(names)})
    rows = explain(
        None, stats, ScoreMatrix.from_long(pd.DataFrame(cells)), statistics=["answer_tokens_mean"]
    ).correlations
    assert rows["rho"].tolist() == [pytest.approx(1.0)]


def test_a_statistic_that_all_sources_share_is_left_out_and_said() -> None:
    y, x = frames(8, 2, 0)
    found = explain_outcomes(y, x.assign(same=1.0))
    assert "same" not in set(found.correlations["statistic"])
    assert found.notes == ("left out, as fewer than 5 sources have them or all are equal: same",)


def test_controls_are_no_sources_and_sources_may_be_told() -> None:
    names = [f"d{k}" for k in range(6)]
    stats = stats_with(
        [*names, "d0.mislabel"], answer_length={n: float(k) for k, n in enumerate([*names, "d0.mislabel"])}
    )
    models = (*(f"run{k}" for k in range(6)), "d0.mislabel-s0")
    traits = SimpleNamespace(models=models, scores_IK=np.arange(7.0)[:, None], trait_names=("T1",))
    told = {f"run{k}": name for k, name in enumerate(names)}
    row = explain(traits, stats, statistics=["answer_tokens_mean"], sources=told).correlations.iloc[0]
    assert (row["rho"], row["n"]) == (pytest.approx(1.0), 6)


def test_intervals_are_fiellers_and_q_is_over_all_outcomes() -> None:
    found = explain_outcomes(*frames(9, 4, 3, 1.0))
    table = found.correlations
    half = scipy_stats.norm.ppf(0.975) * math.sqrt(1.06 / 6)
    middle = np.arctanh(table["rho"])
    np.testing.assert_allclose(table[["lo", "hi"]], np.tanh(np.column_stack([middle - half, middle + half])))
    for part in (table, found.regressions):
        np.testing.assert_allclose(part["q"], scipy_stats.false_discovery_control(part["p"]))
    assert (table["q"] > table["p"]).any()


def test_the_correlation_found_with_80_percent_power_lies_a_normal_quantile_above() -> None:
    least, powerful = detectable_rho(40, 3)
    assert np.arctanh(powerful) - np.arctanh(least) == pytest.approx(
        scipy_stats.norm.ppf(0.8) * math.sqrt(1.06 / 37), rel=1e-3
    )
