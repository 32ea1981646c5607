"""A belt is chosen on one half and judged on the other; planted truths show what each half may know."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import f1_score

import traitscope as ts
from traitscope.belt.answers import SplitScores, TaskAnswers, halves
from traitscope.belt.choice import choose, choose_belt
from traitscope.errors import TraitscopeError
from traitscope.matrix import ScoreMatrix

KINDS = ("base", *["source"] * 4, "mix")
MODELS = ("base", "a", "b", "c", "d", "all")


def drawn(shares_IN: np.ndarray, rows: int, seed: int = 0) -> SplitScores:
    """Hits and misses of known probability, every row and model drawn alone."""
    rng = np.random.default_rng(seed)
    answers = []
    for n, share_I in enumerate(shares_IN.T):
        values_IS = (rng.random((len(share_I), rows)) < share_I[:, None]).astype(float)
        answers.append(TaskAnswers(f"t{n}", "accuracy", values_IS, halves(f"t{n}", rows, seed)))
    return SplitScores.of_rows(MODELS[: len(shares_IN)], KINDS[: len(shares_IN)], answers)


def wide(rows: dict[str, list[float]], **columns: list[object]) -> ScoreMatrix:
    frame = pd.DataFrame(rows).T
    frame.columns = [f"t{n}" for n in range(frame.shape[1])]
    long = frame.reset_index(names="model").melt("model", var_name="task", value_name="value")
    for name, values in columns.items():
        long[name] = long["model"].map(dict(zip(rows, values, strict=True)))
    return ScoreMatrix.from_long(long, units="percent")


def test_a_planted_cover_is_found_and_what_it_loses_is_nothing() -> None:
    shares_IN = np.full((5, 6), 0.1)
    shares_IN[1, :3], shares_IN[2, 3:], shares_IN[3, 0], shares_IN[4] = 0.95, 0.95, 0.6, 0.5
    choice, chosen = choose(drawn(shares_IN, 1000), 5.0)
    assert choice.models == ("a", "b") and chosen == (1, 2)
    assert [choice.serves[f"t{n}"] for n in range(6)] == ["a"] * 3 + ["b"] * 3
    row = choice.sizes.set_index("size").loc[2]
    assert row["judged"] == pytest.approx(0.0, abs=0.5) and row["lo"] <= 0 <= row["hi"]


def test_chosen_on_half_of_nothing_flatters_there_and_not_where_it_is_judged() -> None:
    """All models are alike: what the best per task gains over any one of them is chance, and is none where judged."""
    chosen, judged, covered = [], [], []
    for seed in range(40):
        found = drawn(np.full((5, 8), 0.5), 80, seed)
        row = choose(found, 0.0, 1)[0].sizes.set_index("size").loc[1]
        chosen.append(row["chosen"])
        judged.append(row["judged"])
        covered.append(row["lo"] <= 0 <= row["hi"])
    # A half has 40 rows, whose share has a standard error of 7.9 points: the best of five lies 1.16 of them above.
    assert np.mean(chosen) > 3
    assert abs(np.mean(judged)) < 3 * np.std(judged) / np.sqrt(40)
    assert np.mean(covered) >= 0.85


def test_halves_are_of_each_task_and_share_no_row() -> None:
    one = halves("t", 101, 0)
    assert one.sum() == 50 and (one == halves("t", 101, 0)).all()
    assert (one != halves("t", 101, 1)).any() and (one != halves("u", 101, 0)).any()
    with pytest.raises(TraitscopeError, match="too few"):
        halves("t", 3, 0)


def test_a_difference_is_that_of_the_judging_rows_and_its_interval_that_of_a_paired_t() -> None:
    found = drawn(np.array([[0.3] * 3, [0.6] * 3]), 4000)
    value, lo, hi = found.difference(np.full(3, 1), np.full(3, 0))
    moved = [one.values_IS[1, ~one.choosing_S] - one.values_IS[0, ~one.choosing_S] for one in found.answers]
    assert value == pytest.approx(100 * np.mean([m.mean() for m in moved]))
    half = 1.96 * 100 * np.sqrt(sum(m.var(ddof=1) / len(m) for m in moved)) / 3
    assert hi - lo == pytest.approx(2 * half, rel=0.1)
    assert lo < value < hi


def test_a_metric_of_all_rows_together_is_computed_on_the_rows_of_each_half() -> None:
    rng = np.random.default_rng(0)
    gold_S, pred_IS = rng.integers(0, 3, 60), rng.integers(0, 4, (2, 60))
    one = TaskAnswers(
        "t", "macro_f1", (pred_IS == gold_S).astype(float), halves("t", 60, 0), 100.0, 0.0, gold_S, pred_IS, 3
    )
    for choosing in (True, False):
        at_S = one.choosing_S == choosing
        wanted = f1_score(gold_S[at_S], pred_IS[1, at_S], labels=[0, 1, 2], average="macro")
        assert one.points(1, choosing) == pytest.approx(100 * wanted)
    # Rows answered by two models in turn.
    turn_S = np.arange(30) % 2
    mixed_S = np.where(turn_S == 0, pred_IS[0, ~one.choosing_S], pred_IS[1, ~one.choosing_S])
    wanted = f1_score(gold_S[~one.choosing_S], mixed_S, labels=[0, 1, 2], average="macro")
    assert one.points(turn_S, False) == pytest.approx(100 * wanted)
    assert one.replicates(turn_S).mean() == pytest.approx(100 * wanted, abs=2)


def test_seeds_choose_and_judge_where_there_are_no_rows() -> None:
    rows = {"base": [10.0, 10.0], "a-s0": [90, 20], "a-s1": [70, 20], "b-s0": [20, 60], "b-s1": [20, 80]}
    scores = wide(rows, source=[None, "a", "a", "b", "b"], seed=[None, 0, 1, 0, 1])
    choice = choose_belt(scores)
    assert choice.basis == "seeds" and set(choice.models) == {"a", "b"} and not choice.notes
    # Which seed chooses is drawn; the other one judges.
    judged = choice.tasks.set_index("task")["score"]
    assert judged["t0"] in (70, 90) and judged["t1"] in (60, 80)
    assert choice.tasks["base"].tolist() == [10, 10]


def test_scores_alone_are_judged_on_what_they_were_chosen_on_and_it_is_said() -> None:
    choice = choose_belt(wide({"base": [10.0, 10.0], "a": [90, 20], "b": [20, 60]}))
    assert choice.basis == "itself" and "flatters" in choice.notes[0]
    assert choice.sizes["judged"].tolist() == pytest.approx(choice.sizes["chosen"].tolist())
    assert choice.sizes["lo"].isna().all()


def test_records_are_used_where_scores_are_their_means_and_left_where_they_are_not() -> None:
    rng = np.random.default_rng(3)
    hits = {model: (rng.random((2, 40)) < share) for model, share in (("base", 0.2), ("a", 0.8), ("b", 0.5))}
    means = {model: (100 * values.mean(axis=1)).tolist() for model, values in hits.items()}
    records = {f"t{n}": {model: values[n].astype(float) for model, values in hits.items()} for n in range(2)}
    assert choose_belt(wide(means).with_records(records)).basis == "rows"
    other = {model: [value + 1 for value in values] for model, values in means.items()}
    assert choose_belt(wide(other).with_records(records)).basis == "itself"


def test_one_model_does_as_well_only_where_the_interval_says_so() -> None:
    shares_IN = np.full((6, 4), 0.2)
    shares_IN[1, :2], shares_IN[2, 2:], shares_IN[5] = 0.9, 0.9, 0.9
    few = choose(drawn(shares_IN, 40), 3.0, 2)[0].alternatives.set_index("what")
    many = choose(drawn(shares_IN, 8000), 3.0, 2)[0].alternatives.set_index("what")
    assert many.loc["mix all", "enough"] and not few.loc["mix all", "enough"]
    assert not many.loc["best single adapter", "enough"] and not many.loc["base", "enough"]
    assert many.loc["base", "belt_above"] == pytest.approx(70, abs=3)


def test_a_loss_counts_in_hundredths_of_the_distance_between_worst_and_best() -> None:
    frame = pd.DataFrame(
        {"model": ["base", "a", "b"], "task": "story", "metric": "loss", "value": [4.0, 2.0, 3.0]}
    ).assign(higher_is_better=False)
    choice = choose_belt(ScoreMatrix.from_long(frame))
    assert choice.models == ("a",)
    assert choice.sizes["chosen"].tolist() == pytest.approx([100.0, 0.0])


def test_controls_and_rows_with_holes_are_left_out_by_name() -> None:
    scores = wide({"base": [10.0, 10], "t0": [90, 20], "t0.mislabel": [95, 95], "b": [np.nan, 60], "c": [20, 50]})
    choice = choose_belt(scores)
    assert set(choice.models) == {"t0", "c"}
    assert any("b" in note and "want of a score" in note for note in choice.notes)
    assert any("t0.mislabel" in note and "controls" in note for note in choice.notes)


def test_a_task_whose_winner_may_be_luck_is_named() -> None:
    shares_IN = np.full((4, 3), 0.5)
    shares_IN[1, 0], shares_IN[2, 1], shares_IN[0, :2] = 0.95, 0.95, 0.1
    found = drawn(shares_IN, 60, 1)
    choice, _ = choose(found, 0.0)
    assert choice.serves["t2"] != "base"
    (said,) = [note for note in choice.notes if "not surely above" in note]
    assert f"t2 ({choice.serves['t2']})" in said and "t0" not in said and "t1" not in said


def test_own_cells_count() -> None:
    assert ts.choose_belt(wide({"base": [1.0, 1], "t0": [90, 1], "t1": [1, 90]})).models == ("t0", "t1")


@pytest.mark.parametrize(
    ("options", "words"), [({"loss": -1.0}, "-1.0 points"), ({"size": 9}, "9 of 2 adapters"), ({"size": -1}, "-1 of 2")]
)
def test_impossible_wishes_are_refused(options: dict[str, float], words: str) -> None:
    with pytest.raises(TraitscopeError, match=words):
        choose_belt(wide({"base": [1.0, 1], "a": [90, 1], "b": [1, 90]}), **options)


def test_several_base_models_are_refused() -> None:
    scores = wide({"x": [1.0, 1], "y": [90, 1]}, base=["m", "n"])
    with pytest.raises(TraitscopeError, match="2 base models"):
        choose_belt(scores)


def test_the_published_matrix_is_covered_by_few_adapters(shared) -> None:
    """massive_sft, Qwen2.5-7B: what pandas alone says of the chosen set."""
    from traitscope.matrix.options import read_typed

    where = ["model_name=Qwen2.5-7B", "data_size=0,1000", "lora=False,NA", "lr_strategy=cosine,NA"]
    scores = read_typed(
        shared / "matrices" / "massive_sft.csv",
        rows="data_name",
        base="pretrain",
        values="*-0shot,!LongBench*",
        where=where,
    )
    choice = choose_belt(scores)
    assert choice.models == ("alpaca_cleaned", "flan_knowledge", "magicoder")
    wide_scores = scores.to_wide()
    lost = wide_scores.max() - wide_scores.loc[["pretrain", *choice.models]].max()
    assert lost.max() <= 1
    assert choice.sizes.set_index("size").loc[3, "chosen"] == pytest.approx(lost.mean())
