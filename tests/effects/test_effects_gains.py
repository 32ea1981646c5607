from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from effect_study import Study, choice_records, generate_records, random_study
from scipy import stats as scipy_stats
from statsmodels.stats.proportion import proportion_confint

from traitscope.effects import Effects, measure_effects
from traitscope.effects.panel import Panel
from traitscope.effects.significance import benjamini_hochberg, mcnemar_exact
from traitscope.effects.words import in_words
from traitscope.errors import TraitscopeError
from traitscope.matrix import ScoreMatrix
from traitscope.report.words import effect_groups


def panel_of(values_MS: np.ndarray, replicates: int, seed: int = 0) -> Panel:
    """A panel with one value per model and example, and nothing else."""
    shape = values_MS.shape
    blank = np.full(shape, np.nan)
    return Panel(
        task="t",
        grid=SimpleNamespace(sources=[None] * shape[0]),
        rows=np.arange(shape[0]),
        ids=np.arange(shape[1]),
        correct_MS=values_MS,
        unit="share",
        seen_MS=np.ones(shape, dtype=bool),
        valid_MS=blank,
        cut_MS=blank,
        length_MS=blank,
        classes=None,
        gold_S=np.zeros(shape[1], dtype=int),
        pred_MS=np.zeros(shape, dtype=int),
        answer_MS=np.zeros(shape, dtype=int),
        answers=("x",),
        chance=np.nan,
        tags={},
        replicates=replicates,
        seed=seed,
        level=0.95,
    )


def coverage(simulations: int, n: int, p_lost: float, p_won: float, replicates: int, seed: int) -> float:
    """Share of simulated pairs whose interval holds the true gain p_won - p_lost."""
    rng = np.random.default_rng(seed)
    rest = (1 - p_lost - p_won) / 2
    kind = rng.choice(4, size=(simulations, n), p=[p_lost, p_won, rest, rest])
    base = np.isin(kind, (0, 2)).astype(float)
    adapter = np.isin(kind, (1, 2)).astype(float)
    panel = panel_of(np.vstack([base, adapter]), replicates, seed)
    change = panel.change(panel.correct_MS, np.tile(np.arange(simulations), 2))
    lo, hi = change.lo[simulations:], change.hi[simulations:]
    return float(((lo <= p_won - p_lost) & (p_won - p_lost <= hi)).mean())


REGIMES = [(200, 0.10, 0.20), (200, 0.01, 0.03), (200, 0.0, 0.02), (60, 0.15, 0.15), (200, 0.3, 0.05)]


@pytest.mark.parametrize(("n", "p_lost", "p_won"), REGIMES)
def test_gain_intervals_cover_the_true_gain_in_90_to_98_percent(n, p_lost, p_won) -> None:
    assert 0.90 <= coverage(600, n, p_lost, p_won, 600, 1) <= 0.985


@pytest.mark.verify
@pytest.mark.parametrize(("n", "p_lost", "p_won"), REGIMES)
def test_gain_intervals_cover_in_full(n, p_lost, p_won) -> None:
    assert 0.90 <= coverage(4000, n, p_lost, p_won, 2000, 2) <= 0.985


def test_graded_scores_cover_as_well() -> None:
    rng = np.random.default_rng(0)
    sims, n = 400, 100
    ease = rng.beta(2, 2, (sims, n))
    base, adapter = (np.clip(ease + rng.normal(shift, 0.2, (sims, n)), 0, 1) for shift in (0.0, 0.05))
    truth = float(np.mean(np.clip(rng.beta(2, 2, 10**6) + rng.normal(0.05, 0.2, 10**6), 0, 1))) - 0.5
    panel = panel_of(np.vstack([base, adapter]), 600)
    change = panel.change(panel.correct_MS, np.tile(np.arange(sims), 2))
    inside = (change.lo[sims:] <= truth) & (truth <= change.hi[sims:])
    assert 0.90 <= inside.mean() <= 0.985
    ttest = scipy_stats.ttest_rel(adapter, base, axis=1).pvalue
    assert np.corrcoef(np.log(change.p[sims:][ttest > 1e-3]), np.log(ttest[ttest > 1e-3]))[0, 1] > 0.99


def null_discoveries(families: int, cells: int, n: int, seed: int) -> float:
    """Share of families of null cells in which Benjamini-Hochberg at 5 % finds anything."""
    rng = np.random.default_rng(seed)
    found = 0
    for _ in range(families):
        base = rng.random((1, n)) < 0.6
        other = np.where(rng.random((cells, n)) < 0.3, rng.random((cells, n)) < 0.6, base)
        lost, won = (base & ~other).sum(axis=1), (~base & other).sum(axis=1)
        # Given that an example changed, both directions must be equally likely: flip at random.
        flip = rng.random((cells, n)) < 0.5
        changed = base != other
        lost, won = (changed & flip).sum(axis=1), (changed & ~flip).sum(axis=1)
        found += bool((benjamini_hochberg(mcnemar_exact(lost, won)) <= 0.05).any())
    return found / families


def test_nothing_is_found_in_noise_more_often_than_stated() -> None:
    assert null_discoveries(300, 100, 200, 0) <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 300)


@pytest.mark.verify
def test_nothing_is_found_in_noise_more_often_than_stated_in_full() -> None:
    assert null_discoveries(4000, 110, 200, 1) <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 4000)


@pytest.fixture(scope="module")
def planted() -> tuple[Study, Effects]:
    rng = np.random.default_rng(5)
    study = random_study(
        ["a", "b", "c", "d"], ["a", "b", "c"], 300, rng, lambda s, t: 1.5 if (s, t) == ("d", "a") else 0.0, seeds=(0, 1)
    )
    return study, measure_effects(study.matrix, study.records, replicates=500, permutations=99)


def test_gain_win_and_harm_follow_from_the_records(planted) -> None:
    study, effects = planted
    base = study.records["base", "a"]["correct"].to_numpy()
    model = study.records["d-s0", "a"]["correct"].to_numpy()
    row = effects.tables["gains"].set_index(["model", "task"]).loc[("d-s0", "a")]
    assert row["gain"] == pytest.approx(model.mean() - base.mean())
    assert row["win_rate"] == pytest.approx(((model == 1) & (base == 0)).mean())
    assert row["harm_rate"] == pytest.approx(((model == 0) & (base == 1)).sum() / (base == 1).sum())
    won, lost = ((model > base).sum(), (model < base).sum())
    assert row["p"] == pytest.approx(scipy_stats.binomtest(int(won), int(won + lost)).pvalue)


def test_the_planted_gain_is_found_and_the_others_are_not(planted) -> None:
    gains = planted[1].of_kind("gain")
    held = gains[gains["q"] <= 0.05]
    assert set(zip(held["model"], held["task"], strict=True)) == {("d", "a")}
    assert gains["p"].notna().sum() == 12


def test_seeds_are_averaged_with_their_variance(planted) -> None:
    found = planted[1].of_kind("gain").set_index(["source", "task"])
    gains = planted[1].tables["gains"].set_index(["model", "task"])["gain"]
    assert found.loc[("d", "a"), "value"] == pytest.approx((gains["d-s0", "a"] + gains["d-s1", "a"]) / 2)
    single = planted[1].tables["gains"].set_index(["model", "task"])
    width = found.loc[("d", "a"), "hi"] - found.loc[("d", "a"), "lo"]
    assert width > single.loc[("d-s0", "a"), "hi"] - single.loc[("d-s0", "a"), "lo"]


def test_every_finding_has_a_sentence_with_its_numbers(planted) -> None:
    findings, sentences = planted[1].findings, planted[1].sentences()
    assert sentences.str.len().min() > 20
    k = findings.index[findings["kind"] == "gain"][0]
    assert f"{100 * findings['value'][k]:+.1f}" in sentences[k] and f"n = {findings['n'][k]}" in sentences[k]
    assert findings.loc[findings["p"].notna(), "q"].notna().all()


def test_effects_come_back_from_json(planted) -> None:
    again = Effects.from_json(planted[1].to_json())
    assert again.to_json() == planted[1].to_json()
    pd.testing.assert_frame_equal(again.findings, planted[1].findings, check_dtype=False)
    assert again.render() == planted[1].render()
    assert again.sentences().tolist() == planted[1].sentences().tolist()
    with pytest.raises(ValueError, match="is not 4"):
        Effects.from_json('{"format": 7}')


def test_the_same_seed_gives_the_same_bytes(planted) -> None:
    study, effects = planted
    again = measure_effects(study.matrix, study.records, replicates=500, permutations=99)
    assert again.to_json() == effects.to_json()


def test_a_model_with_fewer_examples_is_paired_on_those_it_has() -> None:
    rng = np.random.default_rng(0)
    study = random_study(["a", "b"], ["t"], 100, rng)
    short = study.records["a-s0", "t"].iloc[::-1].iloc[40:]
    study.records["a-s0", "t"] = short
    row = measure_effects(study.matrix, study.records, replicates=200).tables["gains"].set_index("model").loc["a-s0"]
    base = study.records["base", "t"].set_index("id").loc[list(short["id"]), "correct"]
    assert row["n"] == 60
    assert row["gain"] == pytest.approx(short["correct"].mean() - base.mean())


def test_no_difference_at_all_still_has_an_interval() -> None:
    study = Study()
    frame = generate_records(np.arange(50) % 2, np.full(50, 5))
    study.add("base", None, None, "t", frame)
    study.add("a-s0", "a", 0, "t", frame)
    row = measure_effects(study.matrix, study.records).tables["gains"].iloc[0]
    assert (row["gain"], row["p"], row["interval"]) == (0.0, 1.0, "score")
    assert row["lo"] < 0 < row["hi"]


def test_a_loss_task_is_compared_in_nats() -> None:
    rng = np.random.default_rng(0)
    study = Study()
    base = generate_records(np.full(80, np.nan), np.full(80, 3)).assign(finish=None, loss=rng.gamma(4, 0.5, 80))
    better = base.assign(loss=base["loss"] - 0.3 + rng.normal(0, 0.1, 80))
    for model, source, frame in (("base", None, base), ("a-s0", "a", better)):
        study.add(model, source, None, "t", frame)
        study.rows[-1] |= {"value": frame["loss"].mean(), "stderr": 0.1, "higher_is_better": False, "metric": "loss"}
    effects = measure_effects(study.matrix, study.records)
    row = effects.findings.set_index("kind").loc["gain"]
    assert (row["unit"], row["value"]) == ("nats per token", pytest.approx(0.3, abs=0.05))
    assert row["lo"] > 0.25 and row["p"] < 1e-3
    shown = effects.tables["gains"].iloc[0]
    assert (shown["base_value"], shown["value"]) == pytest.approx((base["loss"].mean(), better["loss"].mean()))
    assert f"over the base's {base['loss'].mean():.3g} (" in effects.sentences(effects.of_kind("gain")).iloc[0]


@pytest.mark.parametrize(("n", "words"), [(1, "on 1 other task."), (3, "on 3 other tasks.")])
def test_counts_in_sentences_have_their_plural(n: int, words: str) -> None:
    fields = {"value": 0.1, "lo": 0.0, "hi": 0.2, "p": 0.5, "unit": "share", "n": n}
    assert in_words("on {n:#other task}.", fields) == words


def test_ids_that_do_not_fit_are_refused() -> None:
    study = random_study(["a"], ["t"], 20, np.random.default_rng(0))
    study.records["a-s0", "t"] = study.records["a-s0", "t"].assign(id=[f"other{k}" for k in range(20)])
    with pytest.raises(TraitscopeError, match="a-s0 on t"):
        measure_effects(study.matrix, study.records)
    study.records["base", "t"] = study.records["base", "t"].assign(id="same")
    with pytest.raises(TraitscopeError, match="occurs twice"):
        measure_effects(study.matrix, study.records)


def test_impossible_settings_are_refused() -> None:
    matrix = ScoreMatrix.from_wide(pd.DataFrame({"t": [0.1, 0.2]}, index=["base", "a"]))
    with pytest.raises(TraitscopeError, match="at least 100 replicates"):
        measure_effects(matrix, replicates=10)


def win_and_harm_study() -> Study:
    """Base right on 30 of 50 examples; the adapter loses 6 of these and wins 4 of the other 20."""
    study, number = Study(), np.arange(50)
    study.add("base", None, None, "t", generate_records(number < 30, np.full(50, 5)))
    study.add("a-s0", "a", 0, "t", generate_records(((number >= 6) & (number < 30)) | (number >= 46), np.full(50, 5)))
    return study


def test_harm_is_of_the_examples_the_base_has_right_and_wins_are_of_all() -> None:
    study = win_and_harm_study()
    row = measure_effects(study.matrix, study.records).tables["gains"].iloc[0]
    assert row[["won", "lost", "base_right", "n"]].tolist() == [4, 6, 30, 50]
    assert (row["win_rate"], row["harm_rate"]) == (4 / 50, 6 / 30)
    for name, k, n in (("win", 4, 50), ("harm", 6, 30)):
        expected = proportion_confint(k, n, method="wilson")
        assert (row[f"{name}_lo"], row[f"{name}_hi"]) == pytest.approx(expected, abs=1e-10)
    assert row["p"] == pytest.approx(2 * (1 + 10 + 45 + 120 + 210) / 2**10)


def test_a_finding_holds_by_its_q_and_not_by_its_p() -> None:
    """Five cells, the best with p = 2/64 and 16/128: by p at 5 % one holds, by q (5 x 2/64 = 10/64) none."""
    study, number = Study(), np.arange(40)
    base = number < 20
    for k, (lost, won) in enumerate([(0, 6), (1, 6), (3, 3), (2, 3), (4, 4)]):
        study.add("base", None, None, f"t{k}", generate_records(base, np.full(40, 5)))
        ours = (base & (number >= lost)) | ((number >= 20) & (number < 20 + won))
        study.add("a-s0", "a", 0, f"t{k}", generate_records(ours, np.full(40, 5)))
    effects = measure_effects(study.matrix, study.records)
    gains = effects.of_kind("gain").reset_index(drop=True)
    assert gains["p"].tolist() == pytest.approx([2 / 64, 16 / 128, 1.0, 1.0, 1.0])
    assert gains["q"].tolist() == pytest.approx([10 / 64, 5 / 16, 1.0, 1.0, 1.0])
    assert "Gains over the base: 0 of 5 hold at q <= 0.05" in effects.render()
    assert "Gains over the base: 1 of 5 hold at q <= 0.2" in effects.render(alpha=0.2)
    assert effects.significant(0.2)["kind"].eq("gain").sum() == 1
    (group,) = [g for g in effect_groups(effects) if g.kind == "gain"]
    assert (group.tested, group.verdict) == (5, "0 of 5 hold at q <= 0.05")


def test_the_relation_says_own_copy_transfer_or_model() -> None:
    rng = np.random.default_rng(0)
    study = random_study(["a", "a.mislabel", "b"], ["a", "b"], 40, rng)
    study.add("chat", None, None, "a", study.records["base", "a"])
    findings = measure_effects(study.matrix, study.records).of_kind("gain").set_index(["model", "task"])
    assert findings["relation"].to_dict() == {
        ("a-s0", "a"): "own",
        ("a.mislabel-s0", "a"): "copy",
        ("b-s0", "a"): "transfer",
        ("chat", "a"): "model",
        ("a-s0", "b"): "transfer",
        ("a.mislabel-s0", "b"): "transfer",
        ("b-s0", "b"): "own",
    }


def test_macro_f1_that_changes_in_every_replicate_alike_is_no_chance() -> None:
    study, gold = Study(), np.arange(60) % 2
    classes = ("no", "yes")
    study.add("base", None, None, "t", choice_records(gold, 1 - gold, classes))
    study.add("a-s0", "a", 0, "t", choice_records(gold, gold, classes))
    f1 = measure_effects(study.matrix, study.records, classes={"t": classes}).of_kind("macro_f1").iloc[0]
    # Of 60 examples that all agree none is seen of another kind; Wilson's interval of 0 of 60 goes to z^2 / (60 + z^2).
    unseen = proportion_confint(0, 60, method="wilson")[1]
    assert (f1["value"], f1["lo"], f1["hi"]) == pytest.approx((1.0, 1 - unseen, 1.0))
    assert f1["p"] == 1 / 20_001
