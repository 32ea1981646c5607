"""Training runs as errors of class shares, lengths and surprises; claims in families; intervals that are no points."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from effect_study import Study, choice_records, generate_records, random_study, stats_with
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from traitscope.effects import Effects, measure_effects
from traitscope.effects.gains import source_gains
from traitscope.effects.grid import Grid
from traitscope.effects.runs import Cell, RunVariance
from traitscope.effects.significance import Runs, with_runs
from traitscope.effects.surprises import leave_one_out, surprise_cells
from traitscope.matrix import Role, ScoreMatrix
from traitscope.stats import DatasetStats

FAST = {"replicates": 200, "permutations": 99}


def test_examples_and_runs_are_two_parts_of_an_uneven_interval() -> None:
    found = with_runs(0.1, 0.04, 0.2, Runs(0.0004, 0.0004**2 / 6), 0.95)
    z = stats.norm.ppf(0.975)
    for end, distance, sign in (("lo", 0.06, -1), ("hi", 0.1, 1)):
        variance = (distance / z) ** 2 + 0.0004
        # Satterthwaite: the examples' part is known, the runs' has six degrees of freedom.
        df = variance**2 / (0.0004**2 / 6)
        assert found[end] == pytest.approx(0.1 + sign * stats.t.ppf(0.975, df) * np.sqrt(variance))
    variance = (0.06 / z) ** 2 + 0.0004
    assert found["p"] == pytest.approx(2 * stats.t.sf(0.1 / np.sqrt(variance), variance**2 / (0.0004**2 / 6)))
    # Without runs it is the interval of the examples, and its p the one that the interval inverts.
    plain = with_runs(0.1, 0.04, 0.2, Runs(0.0, 0.0), 0.95)
    assert (plain["lo"], plain["hi"]) == pytest.approx((0.04, 0.2))
    assert plain["p"] == pytest.approx(2 * stats.norm.sf(0.1 / 0.06 * z))


def test_the_variance_between_runs_is_pooled_and_what_examples_add_to_it_taken_out() -> None:
    """Runs at 0, 2 and at 1, 2, 3: squares 2 + 2 on three degrees of freedom; examples 0.3 once, 0.6 twice."""
    cells = [Cell.of([0, 2], [-1, 1], [1, 3], [0.3, 0.3]), Cell.of([1, 2, 3], [0, 1, 2], [2, 3, 4], [0.6] * 3)]
    pooled = RunVariance.pooled([*cells, Cell.of(7, 6, 8, 0)])
    assert pooled == pytest.approx((4 / 3, 0.5, 3.0))
    assert pooled.of_mean(2) == pytest.approx(((4 / 3 - 0.5) / 2, (4 / 3 / 2) ** 2 / 3))
    # A weight is a shift divided by its gap: its variance is that of shifts divided by the gap's square.
    scaled = RunVariance.pooled([Cell.of([0, 2], [0, 0], [0, 0], [0, 0])], [3.0])
    assert scaled.total == pytest.approx(18.0) and scaled.of_mean(1, 3.0).variance == pytest.approx(2.0)
    assert RunVariance.pooled([Cell.of(7, 6, 8, 0)]) is None


def test_a_mean_over_runs_keeps_the_error_that_its_runs_share() -> None:
    z = stats.norm.ppf(0.975)
    # Standard errors of 1; a quarter of each run's variance is its own, and halves in a mean of two.
    value, lo, hi = Cell.of([1, 3], [1 - z, 3 - z], [1 + z, 3 + z], [0.25, 0.25]).mean(0.95)
    assert (value, lo, hi) == pytest.approx((2, 2 - z * np.sqrt(0.875), 2 + z * np.sqrt(0.875)))
    # Of the mean of three, a third of what each has alone is left: 1 - 0.6 * 2 / 3.
    value, lo, hi = Cell.of([1, 2, 3], *([v + way * z for v in (1, 2, 3)] for way in (-1, 1)), [0.6] * 3).mean(0.95)
    assert (value, hi - value, value - lo) == pytest.approx((2.0, z * 0.6**0.5, z * 0.6**0.5))


def seeds_study() -> Study:
    """Three seeds of source a and one of source b that answer and speak differently from run to run."""
    rng = np.random.default_rng(4)
    study, gold, drawn = Study(), rng.integers(0, 2, 120), rng.random(120)
    models = [("base", None, None), ("a-s0", "a", 0), ("a-s1", "a", 1), ("a-s2", "a", 2), ("b-s0", "b", 0)]
    for (model, source, seed), share, length in zip(
        models, (0.3, 0.5, 0.6, 0.75, 0.6), (20, 12, 9, 15, 30), strict=True
    ):
        pred = ((drawn + 0.1 * rng.random(120)) < share).astype(int)
        study.add(model, source, seed, "c", choice_records(gold, pred, ("no", "yes")))
        study.add(model, source, seed, "g", generate_records(np.ones(120), rng.poisson(length, 120)))
    return study


def test_class_shares_and_lengths_are_of_sources_with_the_error_of_their_runs() -> None:
    study = seeds_study()
    habits = {"a": 5.0, "b": 60.0}
    effects = measure_effects(study.matrix, study.records, stats_with(["a", "b"], answer_length=habits), **FAST)

    def change(model: str, task: str, of) -> np.ndarray:
        return of(study.records[model, task]) - of(study.records["base", task])

    for kind, what, task, of in (
        ("class_share", "yes", "c", lambda frame: (frame["pred"] == "yes").to_numpy(dtype=float)),
        ("length_shift", "", "g", lambda frame: frame["n_output"].to_numpy(dtype=float)),
    ):
        found = effects.of_kind(kind).pipe(lambda rows, what=what: rows[rows["detail"] == what]).set_index("source")
        runs = np.array([change(f"a-s{k}", task, of) for k in range(3)])
        alone = (runs - runs.mean(axis=0)).var(axis=1).mean() * 1.5 / 120
        total = runs.mean(axis=1).var(ddof=1)
        for source, mean_S, count in (("a", runs.mean(axis=0), 3), ("b", change("b-s0", task, of), 1)):
            variance = mean_S.var() / 120 + (total - alone) / count
            half = stats.t.ppf(0.975, variance**2 / ((total / count) ** 2 / 2)) * np.sqrt(variance)
            row = found.loc[source]
            assert row["value"] == pytest.approx(mean_S.mean())
            assert (row["hi"] - row["lo"]) / 2 == pytest.approx(half, rel=0.1)
        assert found.loc["a", "model"] == "a" and pd.isna(found.loc["a", "seed"])
        assert found.loc["b", "model"] == "b-s0"
    (told,) = effects.sentences(effects.of_kind("length_shift").query("source == 'a'"))
    assert told.startswith("a (mean of 3 seeds) answers g in ")
    # A weight is a shift divided by what base and source differ by; b's run error is a's in tokens, by its own gap.
    weight, shift = (effects.of_kind(kind).set_index("source") for kind in ("length_weight", "length_shift"))
    gap = habits["b"] - effects.tables["lengths"]["base_length"].iloc[0]
    widths = [(frame.loc["b", "hi"] - frame.loc["b", "lo"]) for frame in (weight, shift)]
    assert widths[0] * gap == pytest.approx(widths[1], rel=0.1)


def test_the_noise_of_a_residual_holds_that_of_the_runs() -> None:
    rng = np.random.default_rng(0)
    rows = [("base", None, None, t, 0.5) for t in "wxyz"]
    rows += [
        (f"s{k}-s{seed}", f"s{k}", seed, t, 0.5 + 0.02 * rng.normal())
        for k in range(6)
        for seed in range(3)
        for t in "wxyz"
    ]
    matrix = ScoreMatrix.from_long(pd.DataFrame(rows, columns=["model", "source", "seed", "task", "value"]))
    grid = Grid.of(matrix)
    cells = surprise_cells(grid, source_gains(grid, {}, 0.95), 0.95)
    fit = leave_one_out(cells)
    assert len(cells) == 24 and set(cells["seeds"]) == {3} and np.isfinite(fit["stderr"]).all()
    # The residual's error by drawing runs: the pooled variance of every task through the same fit.
    scores = matrix.scores_IN[1:].reshape(6, 3, 4)
    pooled_N = scores.var(axis=1, ddof=1).mean(axis=0)
    drawn = rng.normal(size=(4000, 6, 4)) * np.sqrt(pooled_N / 3)
    spread_N = scores.mean(axis=1).std(axis=0, ddof=1)
    design = pd.get_dummies(pd.DataFrame({"i": np.repeat(range(6), 4), "n": np.tile(range(4), 6)}).astype(str))
    hat = design.to_numpy(dtype=float) @ np.linalg.pinv(design.to_numpy(dtype=float))
    scaled = (drawn / spread_N).reshape(4000, 24)
    residual = (scaled - scaled @ hat) / (1 - np.diag(hat)) * np.tile(spread_N, 6)
    assert fit["stderr"].to_numpy() == pytest.approx(residual.std(axis=0), rel=0.06)
    # Twelve degrees of freedom of one task, shared a little with those of the others.
    assert fit["df"].between(12, 30).all()


def test_claims_of_own_control_and_transfer_cells_are_corrected_apart() -> None:
    rng = np.random.default_rng(1)
    lift = {("a", "a"): 3.0, ("b", "b"): 3.0, ("a.mislabel", "b"): 2.0}
    study = random_study(["a", "b", "a.mislabel", "all"], ["a", "b", "c"], 150, rng, lambda s, t: lift.get((s, t), 0.2))
    roles = {
        "a": Role("source", frozenset("a")),
        "b": Role("source", frozenset("b")),
        "a.mislabel": Role("control", copies=frozenset("a"), parent="a"),
        "all": Role("mix", frozenset("abc")),
    }
    matrix = ScoreMatrix.from_long(pd.DataFrame(study.rows), roles=roles)
    gains = measure_effects(matrix, study.records, **FAST).of_kind("gain")
    sizes = gains.groupby("family").size().to_dict()
    assert sizes == {"own": 2, "transfer": 4, "control": 3, "mix": 3}
    for _, family in gains.groupby("family"):
        assert family["q"].to_numpy() == pytest.approx(multipletests(family["p"], method="fdr_bh")[1])


def test_lengths_that_all_change_alike_have_an_interval() -> None:
    study = Study()
    study.add("base", None, None, "t", generate_records(np.ones(64), np.full(64, 8)))
    study.add("a-s0", "a", 0, "t", generate_records(np.ones(64), np.full(64, 2)))
    row = measure_effects(study.matrix, study.records, **FAST).of_kind("length_shift").iloc[0]
    unseen = proportion_confint(0, 64, method="wilson")[1]
    assert (row["lo"], row["value"], row["hi"]) == pytest.approx((-6 - 6 * unseen, -6, -6 + 6 * unseen))


def test_a_matrix_whose_scores_are_all_right_or_all_wrong_has_errors() -> None:
    frame = pd.DataFrame([("base", "t", 0.0), ("a", "t", 1.0)], columns=["model", "task", "value"])
    known = measure_effects(ScoreMatrix.from_long(frame.assign(n=62, stderr=0.0)), **FAST).of_kind("gain").iloc[0]
    # One more right and one more wrong: 1/64 and 63/64 of 62 examples, and both models.
    half = stats.norm.ppf(0.975) * np.sqrt(2 * (1 / 64) * (63 / 64) / 62)
    assert (known["lo"], known["hi"]) == pytest.approx((1 - half, 1 + half))
    bare = measure_effects(ScoreMatrix.from_long(frame.assign(stderr=0.0)), **FAST).of_kind("gain").iloc[0]
    assert np.isnan([bare["lo"], bare["hi"], bare["p"]]).all()


def test_no_finding_is_a_point_besides_no_effect() -> None:
    gold = np.arange(64) % 2
    study = Study()
    # Sixty of 64 answers alike: nearly a habit, of which there would be no findings by class.
    most = (np.arange(64) < 4).astype(int)
    for model, source, pred, length in (("base", None, most, 8), ("a-s0", "a", 1 - most, 2)):
        study.add(model, source, None if source is None else 0, "c", choice_records(gold, pred, ("no", "yes")))
        study.add(
            model,
            source,
            None if source is None else 0,
            "d",
            choice_records(gold, pred if source is None else gold, ("no", "yes")),
        )
        study.add(model, source, None if source is None else 0, "g", generate_records(gold, np.full(64, length)))
    labels = {"a": {"no": 0.1, "yes": 0.9}}
    told = stats_with(["a"], answer_length={"a": 4.0}, labels=labels)
    findings = measure_effects(
        study.matrix, study.records, told, classes=dict.fromkeys("cd", ("no", "yes")), **FAST
    ).findings
    assert {"class_share", "recall", "macro_f1", "length_shift", "length_weight", "class_pull"} <= set(findings["kind"])
    points = findings[(findings["hi"] - findings["lo"]) <= 0]
    assert points["value"].eq(0).all()
    shares = findings[findings["unit"] == "share"]
    assert shares["lo"].min() >= -1 and shares["hi"].max() <= 1


def finding(**columns) -> dict:
    about = {
        "kind": "domain",
        "model": None,
        "source": None,
        "seed": None,
        "task": None,
        "detail": "",
        "relation": None,
    }
    about |= {"family": None, "n": 20, "unit": "rho", "method": "jackknife over datasets"}
    numbers = {"label": "semantic similarity", "name": "rank correlation", "tail": ""}
    return about | {"numbers": numbers} | columns


def test_an_association_whose_interval_reaches_none_does_not_hold() -> None:
    rows = [finding(value=0.5, lo=-0.18, hi=0.9, p=0.01, q=0.02), finding(value=0.6, lo=0.3, hi=0.9, p=0.001, q=0.003)]
    effects = Effects(findings=pd.DataFrame(rows))
    assert effects.held()["value"].tolist() == [0.6] == effects.significant()["value"].tolist()
    loose, firm = effects.sentences()
    assert "An association, its size unknown" in loose and "unknown" not in firm
    assert "1 of 2 hold at q <= 0.05; 1 more show an association whose size is unknown" in effects.render()


def test_both_directions_of_an_asymmetry_are_told_for_what_they_are() -> None:
    """b harms a and a does nothing to b: nothing is said to help."""
    study = random_study(
        ["a", "b"], ["a", "b"], 400, np.random.default_rng(0), lambda s, t: -2.0 * ((s, t) == ("b", "a"))
    )
    effects = measure_effects(study.matrix, study.records, **FAST)
    row = effects.tables["asymmetry"].iloc[0]
    gains = effects.of_kind("gain").set_index(["source", "task"])
    for way, cell in (("i_to_j", ("a", "b")), ("j_to_i", ("b", "a"))):
        ends = [row[way], row[f"{way}_lo"], row[f"{way}_hi"]]
        assert ends == pytest.approx(gains.loc[cell, ["value", "lo", "hi"]].tolist())
    (told,) = effects.sentences(effects.of_kind("asymmetry"))
    assert "(no change shown); b on a -" in told and "(harms): points that differ by +" in told and "helps" not in told


def test_effects_are_the_same_bytes_with_statistics_made_fresh_and_read_again() -> None:
    rng = np.random.default_rng(7)
    study, names = Study(), ["a", "b", "c", "d"]
    gold = rng.integers(0, 2, 60)
    for k, name in enumerate([None, *names]):
        for task in ("t", "u"):
            model, pred = ("base" if name is None else f"{name}-s0"), (rng.random(60) < 0.2 + 0.13 * k).astype(int)
            study.add(model, name, None if name is None else 0, task, choice_records(gold, pred, ("no", "yes")))
    # Shares that ten digits do not hold.
    labels = {name: {"no": (k + 1) / 7, "yes": 1 - (k + 1) / 7} for k, name in enumerate(names)}
    semantic = (lambda half: half + half.T)(rng.random((4, 4)) / 3)
    fresh = stats_with(
        names, answer_length={name: 10 / 3 + k for k, name in enumerate(names)}, labels=labels, semantic=semantic
    )
    again = DatasetStats.from_json(fresh.to_json())
    made = [measure_effects(study.matrix, study.records, told, **FAST).to_json() for told in (fresh, again)]
    assert "class_pull" in made[0] and made[0] == made[1]
    assert again.to_json() == fresh.to_json()
