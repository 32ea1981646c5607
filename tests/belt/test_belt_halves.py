"""What chooses never judges: halves that contradict each other, so that a look at the wrong one turns every result."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import f1_score

from traitscope.belt import BeltFindings, Readings, SplitScores, TaskAnswers, choices, choose, judge_routers, route_belt
from traitscope.belt.answers import halves, hundredths
from traitscope.belt.choice import choose_belt
from traitscope.belt.split import split_scores
from traitscope.errors import TraitscopeError
from traitscope.matrix import ScoreMatrix
from traitscope.study import merging

MODELS, KINDS = ("base", "a", "b"), ("base", "source", "source")
ROWS = 200


def contradicting() -> tuple[SplitScores, Readings]:
    """On the choosing rows ``a`` is right and ``b`` wrong, on the judging rows the other way; the base: half."""
    answers, rows = [], {}
    for n in range(2):
        choosing_S = halves(f"t{n}", ROWS, 0)
        right_S = choosing_S.astype(float)
        # Half of each half, so that no score is without spread.
        order_S = np.zeros(ROWS)
        for half in (choosing_S, ~choosing_S):
            order_S[np.flatnonzero(half)[::2]] = 1.0
        answers.append(TaskAnswers(f"t{n}", "accuracy", np.array([order_S, right_S, 1 - right_S]), choosing_S))
        rows[f"t{n}"] = np.random.default_rng(n).normal(size=(ROWS, 3)) + np.eye(3)[n] * 9
    places = {"a": rows["t0"][:20], "b": rows["t1"][:20]}
    return SplitScores.of_rows(MODELS, KINDS, answers), Readings(places, ("a", "b"), rows)


def test_belt_alternatives_router_and_oracle_are_chosen_on_the_choosing_rows_alone() -> None:
    found, readings = contradicting()
    choice, chosen = choose(found, 1.0)
    assert choice.models == ("a",) and set(choice.serves.values()) == {"a"}
    alternatives = choice.alternatives.set_index("what")
    assert alternatives.loc["best single adapter", "model"] == "a"
    assert alternatives.loc["best single adapter", "score"] == 0
    assert list(choice.tasks["best"]) == ["a", "a"] and list(choice.tasks["best_score"]) == [0, 0]
    size = choice.sizes[choice.sizes["size"] == 1].iloc[0]
    assert size["judged"] == 0 and size["hindsight"] == 100
    router = route_belt(found, (1, 2), "centroid", readings)
    assert router.serves == ("a", "a")
    np.testing.assert_allclose(router.gain_P, 50, atol=3)
    table, by_task = judge_routers(found, chosen, {"centroid": choices(found, router, readings)})
    score = table.set_index("what")["score"]
    assert score["best single adapter (a)"] == 0 and score["belt, task known"] == 0
    assert score["oracle: best model per task as known when choosing"] == 0
    assert score["oracle in hindsight"] == 100 and list(by_task["oracle in hindsight"]) == [100, 100]
    assert score["router: centroid"] < 3
    assert table.set_index("what").loc["base", "centroid_above"] == pytest.approx(score["router: centroid"] - 50)


def test_a_router_pairs_the_choosing_rows_points_with_their_own_readings() -> None:
    """Prompts of the judging rows look like the other task's."""
    answers, rows = [], {}
    for n in range(2):
        choosing_S = halves(f"t{n}", ROWS, 0)
        values_IS = np.array([np.zeros(ROWS), np.full(ROWS, n == 0), np.full(ROWS, n == 1)], dtype=float)
        values_IS[:, ::10] = 0.5
        answers.append(TaskAnswers(f"t{n}", "accuracy", values_IS, choosing_S))
        looks_S = np.where(choosing_S, n, 1 - n)
        rows[f"t{n}"] = np.random.default_rng(n).normal(size=(ROWS, 3)) + 9 * np.eye(3)[looks_S]
    found = SplitScores.of_rows(MODELS, KINDS, answers)
    places = {"a": np.eye(3)[[0]] * 9 + np.zeros((5, 1)), "b": np.eye(3)[[1]] * 9 + np.zeros((5, 1))}
    assert route_belt(found, (1, 2), "centroid", Readings(places, ("a", "b"), rows)).serves == ("a", "b")


def test_of_equal_ones_the_base_serves() -> None:
    scores_IN = np.array([[50.0, 0.1 + 0.2], [50.0, 0.3], [20.0, 0.0]])
    found = SplitScores(
        ("a", "base", "b"), ("source", "base", "source"), ("t", "u"), scores_IN[[1, 0, 2]], scores_IN, "rows"
    )
    choice, chosen = choose(found, 1.0, size=1)
    assert chosen and set(choice.serves.values()) == {"base"}


def test_a_row_adds_its_share_of_macro_f1() -> None:
    """Against scikit-learn: the mean is the score, and the sum over some rows what leaving them out takes away."""
    rng = np.random.default_rng(0)
    gold_S = rng.choice(3, size=400, p=[0.8, 0.15, 0.05])
    pred_IS = np.where(rng.random((2, 400)) < 0.7, gold_S, rng.integers(0, 3, (2, 400)))
    # As many rows again that judge are of no account.
    gold, pred = np.r_[gold_S, gold_S[::-1]], np.concatenate([pred_IS, pred_IS], axis=1)
    hits = (pred == gold).astype(float)
    one = TaskAnswers("t", "macro_f1", hits, np.arange(800) < 400, gold_S=gold, pred_IS=pred, n_classes=3)
    points_IS = one.row_points([0, 1])
    for i in range(2):
        whole = 100 * f1_score(gold_S, pred_IS[i], average="macro")
        assert points_IS[i].mean() == pytest.approx(whole, abs=1e-3)
        for row in (0, int(np.flatnonzero(gold_S == 2)[0])):
            left = np.arange(400) != row
            without = 100 * f1_score(gold_S[left], pred_IS[i][left], average="macro")
            # The infinitesimal jackknife beside the plain one: alike to one part in the rows of the class.
            assert (points_IS[i, row] - whole) / 399 == pytest.approx(whole - without, rel=0.12, abs=1e-3)


def test_a_rare_class_counts_where_the_metric_says_so() -> None:
    """An adapter that finds the rare class and loses some common rows: worse by hits, better by macro-F1."""
    rng = np.random.default_rng(1)
    gold_S = np.r_[np.zeros(360, int), np.ones(40, int)][rng.permutation(400)]
    base_S = np.zeros(400, int)
    new_S = np.where((gold_S == 0) & (rng.random(400) < 0.15), 1, gold_S)
    pred_IS = np.array([base_S, new_S])
    choosing_S = halves("t", 400, 0)
    one = TaskAnswers(
        "t", "macro_f1", (pred_IS == gold_S).astype(float), choosing_S, gold_S=gold_S, pred_IS=pred_IS, n_classes=2
    )
    assert one.values_IS[1].mean() < one.values_IS[0].mean()
    found = SplitScores.of_rows(("base", "new"), ("base", "source"), [one])
    choice, _ = choose(found, 1.0)
    assert choice.models == ("new",) and not any("not surely" in note for note in choice.notes)
    read = rng.normal(size=(400, 3))
    router = route_belt(found, (1,), "centroid", Readings({"a": read[:10], "b": read[10:20]}, ("a", "b"), {"t": read}))
    assert set(router.serves) == {"new"}


def test_points_of_a_loss_are_stretched_neither_by_a_broken_model_nor_by_equals() -> None:
    unit, zero = hundredths(np.array([-2.0, -1.0, -90.0]), 0)
    assert (unit, zero) == (100.0, -2.0)
    # Equals: a hundredth of a nat is half a point, not all of a hundred.
    assert hundredths(np.array([-2.0, -1.99]), 0)[0] == pytest.approx(500)
    assert hundredths(np.array([-3.0, -2.0, -1.0]), None) == (100.0, -2.0)
    assert hundredths(np.array([0.0, 0.0]), 0) == (1.0, 0.0)


def long(rows: list[tuple[str, str, str, float]], **more: object) -> ScoreMatrix:
    table = pd.DataFrame(rows, columns=["model", "task", "metric", "value"])
    return ScoreMatrix.from_long(table, **more)


def test_a_lower_loss_is_better_in_a_long_table_and_in_records() -> None:
    rows = [("base", "t", "loss", 5.0), ("x", "t", "loss", 4.0), ("y", "t", "loss", 9.0)]
    assert choose_belt(long(rows)).models == ("x",)
    rng = np.random.default_rng(0)
    records = {"t": {name: rng.normal(value, 0.1, 50) for name, _, _, value in rows}}
    means = [(name, "t", "loss", float(records["t"][name].mean())) for name, *_ in rows]
    choice = choose_belt(long(means, records=records))
    assert choice.basis == "rows" and choice.models == ("x",)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda r: r["t"].pop("y"), "t has no records of y"),
        (lambda r: r["t"].update(y=r["t"]["y"][:-1]), "not the same number of records"),
        (lambda r: r["t"]["y"].__setitem__(3, np.nan), "t lacks records of y"),
        (lambda r: r["t"]["y"].__setitem__(3, 7.0), "is not the mean of its records"),
        (lambda r: r.clear(), "there are no records of rows"),
    ],
)
def test_why_rows_cannot_be_held_out_is_said(change, words: str) -> None:
    rng = np.random.default_rng(0)
    records = {"t": {name: (rng.random(40) < 0.5).astype(float) for name in ("base", "x", "y")}}
    means = [(name, "t", "accuracy", float(values.mean())) for name, values in records["t"].items()]
    change(records)
    found = split_scores(long(means, records=records))
    assert found.basis == "itself" and words in found.notes[0] and "second seeds" in found.notes[0]


def test_without_an_interval_nothing_does_as_well_and_what_is_better_is_called_so() -> None:
    bare = choose_belt(long([(m, t, "accuracy", 0.5) for m in ("base", "x") for t in ("t", "u")]))
    assert not bare.alternatives["enough"].any()
    found, _ = contradicting()
    choice, _ = choose(found, 1.0)
    text = BeltFindings(choice=choice).render()
    line = next(line for line in text.splitlines() if line.strip().startswith("base"))
    assert "is better" in line and "does as well" not in line


@pytest.mark.parametrize(("options", "words"), [({"seed": -1}, "-1 is no seed"), ({"size": 1.5}, "1.5 of 2 adapters")])
def test_odd_numbers_are_refused(options: dict[str, float], words: str) -> None:
    with pytest.raises(TraitscopeError, match=words):
        choose_belt(long([(m, "t", "accuracy", v) for m, v in (("base", 0.1), ("x", 0.5), ("y", 0.4))]), **options)


def test_merged_adapters_are_weighed_by_their_gain_where_they_were_chosen() -> None:
    found, _ = contradicting()
    assert merging.merge_weights(found, [1, 2], "gain") == [1.0, 0.0]


def test_the_task_on_which_one_model_lacks_most_stands_beside_it() -> None:
    judge_IN = np.array([[0.0, 0.0, 9.0], [10.0, 50.0, 9.0], [3.0, 3.0, 3.0]])
    found = SplitScores(MODELS, KINDS, ("t", "u", "v"), judge_IN, judge_IN, "rows")
    row = choose(found, 1.0)[0].alternatives.set_index("what").loc["base"]
    assert (row["worst"], row["worst_above"]) == ("u", 50.0)


@pytest.mark.parametrize("loss", [float("nan"), float("inf"), -1.0, "1", None])
def test_a_loss_is_a_number_of_points(loss: object) -> None:
    found, _ = contradicting()
    with pytest.raises(TraitscopeError, match="points"):
        choose(found, loss)


@pytest.mark.parametrize("size", [float("nan"), 1.0, [1], "1", 3, -1])
def test_a_size_is_a_number_of_adapters(size: object) -> None:
    found, _ = contradicting()
    with pytest.raises(TraitscopeError, match="of 2 adapters"):
        choose(found, 1.0, size)
