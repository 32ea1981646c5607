"""Effects planted in example records are found again, with intervals that hold them."""

import json

import numpy as np
import pytest
from effect_study import Study, choice_records, generate_records, random_study, stats_with

from traitscope.effects import measure_effects
from traitscope.effects.pull import mapped_shares, pooled_slope

FAST = {"replicates": 400, "permutations": 199}


def length_study(weight: float, seed: int = 0, n: int = 200) -> tuple[Study, dict[str, float]]:
    rng = np.random.default_rng(seed)
    habits = {"short": 4.0, "middle": 25.0, "long": 60.0, "same": 20.0}
    study = Study()
    for task in ("t1", "t2"):
        ease = rng.normal(0, 3, n)
        study.add("base", None, None, task, generate_records(np.ones(n), rng.poisson(20, n) + ease))
        for source, habit in habits.items():
            lengths = rng.poisson(20 + weight * (habit - 20), n) + ease
            study.add(f"{source}-s0", source, 0, task, generate_records(np.ones(n), np.maximum(lengths, 1)))
    return study, habits


def test_length_weight_is_recovered_and_undefined_where_habits_agree() -> None:
    study, habits = length_study(0.4)
    effects = measure_effects(study.matrix, study.records, stats_with(habits, answer_length=habits), **FAST)
    lengths = effects.tables["lengths"].set_index(["source", "task"])
    assert lengths.loc["long", "weight"].tolist() == pytest.approx([0.4, 0.4], abs=0.04)
    assert lengths.loc["same", "weight"].isna().all()
    assert lengths.loc["same", "undefined"].eq("base and source do not differ in length").all()
    assert any("length weight undefined in 2 cells" in note for note in effects.notes)
    pooled = effects.of_kind("length_weight_pooled").iloc[0]
    assert pooled["lo"] <= 0.4 <= pooled["hi"] and pooled["value"] == pytest.approx(0.4, abs=0.03)


def test_a_base_cut_off_below_the_source_length_has_no_length_weight() -> None:
    study, cut, habits = Study(), np.ones(100, dtype=bool), {"short": 2.0, "long": 30.0}
    study.add("base", None, None, "t", generate_records(np.ones(100), np.full(100, 8), cut=cut))
    study.add("short-s0", "short", 0, "t", generate_records(np.ones(100), np.full(100, 2)))
    study.add("long-s0", "long", 0, "t", generate_records(np.ones(100), np.full(100, 8), cut=cut))
    effects = measure_effects(study.matrix, study.records, stats_with(habits, answer_length=habits), **FAST)
    lengths = effects.tables["lengths"].set_index("source")
    assert np.isnan(lengths.loc["long", "weight"]) and "cut off below" in lengths.loc["long", "undefined"]
    assert lengths.loc["short", "weight"] == pytest.approx(1.0, abs=0.01)
    (weight,) = effects.sentences(effects.of_kind("length_weight"))
    assert weight.startswith("short-s0") and "so its own length is a lower bound" in weight


@pytest.mark.parametrize("simulations", [12, pytest.param(300, marks=pytest.mark.verify)])
def test_length_weight_intervals_cover(simulations: int) -> None:
    inside = []
    for seed in range(simulations):
        study, habits = length_study(0.4, seed, n=80)
        effects = measure_effects(study.matrix, study.records, stats_with(habits, answer_length=habits), **FAST)
        rows = effects.tables["lengths"].query("source in ('short', 'long')")
        inside.extend((rows["weight_lo"] <= 0.4) & (rows["weight_hi"] >= 0.4))
    slack = 2 * np.sqrt(0.05 * 0.95 / len(inside))
    assert 0.90 - slack <= np.mean(inside) <= 0.98 + slack


def pull_study(weight: float, rng: np.random.Generator, n: int = 600) -> tuple[Study, dict[str, dict[str, float]]]:
    """Predictions do not depend on the gold class: shares go from the base's towards the source's."""
    classes = ("negative", "positive")
    labels = {"balanced": 0.5, "happy": 0.95, "sad": 0.1, "mild": 0.7}
    study = Study()
    for task, base_share in (("t1", 0.3), ("t2", 0.4)):
        gold = (rng.random(n) < 0.5).astype(int)
        study.add("base", None, None, task, choice_records(gold, (rng.random(n) < base_share).astype(int), classes))
        for source, share in labels.items():
            target = base_share + weight * (share - base_share)
            pred = (rng.random(n) < target).astype(int)
            study.add(f"{source}-s0", source, 0, task, choice_records(gold, pred, classes))
    return study, {s: {" Negative": 1 - share, " Positive": share} for s, share in labels.items()}


def test_class_share_pull_is_recovered() -> None:
    study, labels = pull_study(0.6, np.random.default_rng(0))
    effects = measure_effects(study.matrix, study.records, stats_with(labels, labels=labels), **FAST)
    found = effects.of_kind("class_pull").set_index(["source", "task"], drop=False)
    happy = found.loc[("happy", "t1")]
    assert happy["value"] == pytest.approx(0.6, abs=0.15) and happy["q"] < 1e-3
    assert 0.1 < happy["hi"] - happy["lo"] < 0.4
    # t1's true shares are not where happy's are: nothing else explains the move.
    cosine = effects.tables["class_pull"].set_index(["source", "task"])["truth_cosine"]
    for key, sentence in effects.sentences(found).items():
        assert ("better answers alone" in sentence) == (cosine[key] >= 0.5)
    (pooled,) = effects.of_kind("class_pull_pooled").to_dict("records")
    assert pooled["value"] == pytest.approx(0.6, abs=0.1) and pooled["p"] < 0.05


@pytest.mark.parametrize("simulations", [12, pytest.param(300, marks=pytest.mark.verify)])
def test_class_share_pull_intervals_cover(simulations: int) -> None:
    inside = []
    for seed in range(simulations):
        study, labels = pull_study(0.6, np.random.default_rng(seed), n=200)
        effects = measure_effects(study.matrix, study.records, stats_with(labels, labels=labels), **FAST)
        rows = effects.tables["class_pull"].query("source in ('happy', 'mild')")
        inside.extend((rows["lo"] <= 0.6) & (rows["hi"] >= 0.6))
    slack = 2 * np.sqrt(0.05 * 0.95 / len(inside))
    assert 0.90 - slack <= np.mean(inside) <= 0.98 + slack


def test_no_pull_is_not_found() -> None:
    study, labels = pull_study(0.0, np.random.default_rng(1))
    effects = measure_effects(study.matrix, study.records, stats_with(labels, labels=labels), **FAST)
    assert (effects.of_kind("class_pull")["q"] > 0.05).all()


def test_label_shares_are_mapped_by_word() -> None:
    three = {" Negative": 0.2, " neutral": 0.2, " positive": 0.6}
    assert mapped_shares(three, ("negative", "positive")) == pytest.approx([0.25, 0.75])
    assert mapped_shares({"negative": 0.5, "positive": 0.5}, tuple(three)) == pytest.approx([0.5, 0, 0.5])
    assert mapped_shares({"entailment": 1.0}, ("negative", "positive")) is None


def test_share_recall_and_confusion_changes_are_paired() -> None:
    rng = np.random.default_rng(2)
    gold = rng.integers(0, 3, 400)
    base = np.where(rng.random(400) < 0.7, gold, rng.integers(0, 3, 400))
    never = np.where(base == 1, 2, base)
    study = Study()
    classes = ("neg", "neu", "pos")
    study.add("base", None, None, "t", choice_records(gold, base, classes))
    study.add("a-s0", "a", 0, "t", choice_records(gold, never, classes))
    effects = measure_effects(study.matrix, study.records, classes={"t": classes}, **FAST)
    share = effects.of_kind("class_share").set_index("detail")
    assert share.loc["neu", "value"] == pytest.approx(-(base == 1).mean())
    assert share.loc["neg", "value"] == 0.0 and share.loc["neg", "p"] == 1.0
    recall = effects.of_kind("recall").set_index("detail")
    assert recall.loc["neu", "value"] == pytest.approx(-((base == 1) & (gold == 1)).sum() / (gold == 1).sum())
    assert recall.loc["neu", "n"] == (gold == 1).sum()
    counts = effects.tables["confusion"].query("model == 'a-s0'")
    assert counts["count"].sum() == 400 and counts.query("predicted == 'neu'")["count"].sum() == 0


def test_invalid_and_cut_off_answers_are_counted() -> None:
    n = 100
    study = Study()
    study.add("base", None, None, "t", generate_records(np.ones(n), np.full(n, 5)))
    bad = np.arange(n) < 30
    cut = np.arange(n) < 40
    study.add("a-s0", "a", 0, "t", generate_records(~bad, np.full(n, 9), valid=~bad, cut=cut))
    effects = measure_effects(study.matrix, study.records, **FAST)
    found = effects.findings.set_index("kind")
    assert (found.loc["invalid", "value"], found.loc["cut_off", "value"]) == pytest.approx((0.3, 0.4))
    assert found.loc["invalid", "lo"] > 0.2 and "30.0 %" in effects.sentences(effects.of_kind("invalid")).item()


def test_planted_asymmetry_is_found_with_its_sign() -> None:
    rng = np.random.default_rng(0)
    study = random_study(["a", "b", "c"], ["a", "b", "c"], 400, rng, lambda s, t: 1.5 if (s, t) == ("b", "a") else 0.0)
    effects = measure_effects(study.matrix, study.records, **FAST)
    found = effects.of_kind("asymmetry").set_index("detail")
    row = found.loc["a -> b minus b -> a"]
    gains = effects.tables["gains"].set_index(["source", "task"])["gain"]
    assert row["value"] == pytest.approx(gains["a", "b"] - gains["b", "a"])
    assert row["hi"] < 0 and row["q"] < 0.01
    assert (found.drop("a -> b minus b -> a")["q"] > 0.05).all()


def test_a_mislabelled_control_fails_at_home_and_transfers_as_well_abroad() -> None:
    rng = np.random.default_rng(0)

    def effect(source: str, task: str) -> float:
        if task == "amazon":
            return {"amazon": 1.5, "amazon.mislabel": -3.0}.get(source, 0.0)
        return 0.5 if source.startswith("amazon") else 0.0

    names = ["amazon", "x", "y", "z"]
    study = random_study([*names, "amazon.mislabel"], names, 400, rng, effect)
    effects = measure_effects(study.matrix, study.records, **FAST)
    own = effects.of_kind("control_own").iloc[0]
    assert own["value"] < -0.4 and own["p"] < 1e-6 and own["relation"] == "copy"
    assert "unaltered amazon" in effects.sentences(effects.of_kind("control_own")).item()
    away = effects.of_kind("control_transfer").iloc[0]
    assert away["lo"] <= 0 <= away["hi"] and away["n"] == 3
    assert "amazon.mislabel" not in str(effects.of_kind("asymmetry")["detail"].tolist())


def test_a_control_is_paired_with_the_unaltered_source_of_its_own_seed() -> None:
    # Of 40 examples: seed 0 of the source has 10 right, seed 1 has 30; its control 8 and 24; one more control has a
    # seed of its own and is set against the first of the source.
    right = {("x", 0): 10, ("x", 1): 30, ("x.mislabel", 0): 8, ("x.mislabel", 1): 24, ("x.noise", 5): 12}
    study = Study()
    for task in ("x", "y"):
        study.add("base", None, None, task, generate_records(np.arange(40) < 20, np.full(40, 5)))
        for (source, seed), k in reversed(right.items()):
            study.add(f"{source}-s{seed}", source, seed, task, generate_records(np.arange(40) < k, np.full(40, 5)))
    effects = measure_effects(study.matrix, study.records, **FAST)
    table = effects.tables["controls"].set_index(["model", "task"])
    for task in ("x", "y"):
        assert table.loc[("x.mislabel-s0", task), ["parent_value", "value"]].tolist() == [10 / 40, 8 / 40]
        assert table.loc[("x.mislabel-s1", task), ["parent_value", "value"]].tolist() == [30 / 40, 24 / 40]
        assert table.loc[("x.noise-s5", task), "parent_value"] in (10 / 40, 30 / 40)
    assert table.loc[[("x.mislabel-s0", "x"), ("x.mislabel-s1", "x")], "difference"].tolist() == pytest.approx(
        [-2 / 40, -6 / 40]
    )
    # The findings are of the control, its two seeds together.
    for kind in ("control_own", "control_transfer"):
        found = effects.of_kind(kind).set_index("model")["value"]
        assert found["x.mislabel"] == pytest.approx(-4 / 40) and "x.mislabel-s0" not in found


def test_success_by_tag_counts_smooths_and_warns_of_few_examples() -> None:
    n = 200
    tags = [json.dumps({"dep": "nsubj|oprd" if k < 4 else "nsubj" if k < 150 else "dobj"}) for k in range(n)]
    base = (np.arange(n) % 2 == 0).astype(float)
    ours = base.copy()
    ours[150:] = 1.0
    ours[:4] = 1.0
    study = Study()
    study.add("base", None, None, "t", generate_records(base, np.full(n, 5), tags=tags))
    study.add("a-s0", "a", 0, "t", generate_records(ours, np.full(n, 5), tags=tags))
    table = measure_effects(study.matrix, study.records, **FAST).tables["tags"].set_index("value")
    assert table.loc["nsubj", ["n", "base_right", "right"]].tolist() == [150, 75, 77]
    assert table.loc["oprd", ["n", "base_right", "right", "few"]].tolist() == [4, 2, 4, True]
    assert table.loc["oprd", "ratio"] == pytest.approx((2.5 + 2.5) / (2.5 + 0.5))
    assert table.loc["oprd", "lo"] < 1 < table.loc["dobj", "lo"]


def test_more_tags_may_be_given_from_outside() -> None:
    study = random_study(["a"], ["t"], 40, np.random.default_rng(0))
    tags = {"t": {f"e{k}": {"half": "first" if k < 20 else "second"} for k in range(40)}}
    table = measure_effects(study.matrix, study.records, tags=tags, **FAST).tables["tags"]
    assert table["n"].tolist() == [20, 20]


def test_a_planted_surprise_is_flagged_and_an_additive_study_has_none() -> None:
    rng = np.random.default_rng(0)
    sources, tasks = [f"s{k}" for k in range(8)], [f"t{k}" for k in range(8)]
    lift = dict(zip(sources, rng.normal(0, 0.5, 8), strict=True))
    odd = ("s3", "t5")
    study = random_study(sources, tasks, 400, rng, lambda s, t: lift[s] + 0.01 + (2.5 if (s, t) == odd else 0.0))
    effects = measure_effects(study.matrix, study.records, **FAST)
    table = effects.tables["surprises"].query("against == 'surprise'")
    first = table.iloc[0]
    assert (first["source"], first["task"], first["surprising"]) == ("s3", "t5", True)
    assert "where an additive model fitted to the other cells expects" in effects.render()
    calm = random_study(sources, tasks, 400, np.random.default_rng(1), lambda s, t: lift[s] + 0.01)
    table = measure_effects(calm.matrix, calm.records, **FAST).tables["surprises"]
    assert (table["q"] <= 0.05).mean() <= 0.05
    assert table["z_noise"].std() == pytest.approx(1.0, abs=0.25)


def test_gains_that_follow_similarity_are_found_and_random_ones_are_not() -> None:
    rng = np.random.default_rng(0)
    names = [f"d{k}" for k in range(8)]
    place = rng.normal(size=(8, 2))
    alike = np.exp(-((place[:, None] - place[None]) ** 2).sum(-1))
    study = random_study(names, names, 400, rng, lambda s, t: 2.5 * alike[names.index(s), names.index(t)] + 0.01)
    effects = measure_effects(study.matrix, study.records, stats_with(names, semantic=alike), **FAST)
    found = effects.of_kind("domain").set_index("detail")
    assert found.loc["semantic similarity: rank correlation", "value"] > 0.6
    assert (found["q"] < 0.05).all()
    assert found.loc["semantic similarity: near minus far third", "value"] > 0.1
    none = random_study(names, names, 200, rng, lambda s, t: rng.normal(0, 0.5))
    effects = measure_effects(none.matrix, none.records, stats_with(names, semantic=alike), **FAST)
    assert (effects.of_kind("domain")["p"] > 0.01).all()


def test_the_pooled_slope_equals_least_squares_with_a_mean_for_every_task_and_needs_three_sources() -> None:
    rng = np.random.default_rng(0)
    habit, tasks, sources = rng.normal(size=60), np.tile(np.arange(10), 6), np.repeat(list("abcdef"), 10)
    value = 0.5 * habit + rng.normal(0, 3, 10)[tasks] + rng.normal(0, 0.1, 60)
    found = pooled_slope(value, habit, sources, tasks, 0.95)
    design = np.column_stack([habit, np.eye(10)[tasks]])
    assert found["value"] == pytest.approx(np.linalg.lstsq(design, value, rcond=None)[0][0], abs=1e-10)
    assert found["sources"] == 6 and found["lo"] < 0.5 < found["hi"]
    assert pooled_slope(value[:20], habit[:20], sources[:20], tasks[:20], 0.95) is None
    # Habits that are the same in all sources of a task tell nothing.
    assert pooled_slope(value, np.arange(10.0)[tasks], sources, tasks, 0.95) is None
