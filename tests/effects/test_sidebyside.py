"""Two matrices side by side: differences with their errors by hand, paired or not; gains; findings that repeat."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t as student

import traitscope as ts
from traitscope.effects import measure_effects
from traitscope.effects.agreement import Agreement, agreement
from traitscope.effects.comparison import repeated
from traitscope.effects.sidebyside import Side, common, same_rows, side_by_side
from traitscope.effects.significance import mcnemar_exact, paired_score
from traitscope.errors import TraitscopeError
from traitscope.matrix import ScoreMatrix
from traitscope.records import Example
from traitscope.store.fingerprints import RowsHash

N = 40


def rows(n: int = N, prompt: str = "p") -> RowsHash:
    return RowsHash([Example(id=str(i), prompt=f"{prompt}{i}", answer="a") for i in range(n)])


def values(seed: int) -> dict[str, pd.Series]:
    rng = np.random.default_rng(seed)
    difficulty = rng.random(N)
    index = [str(i) for i in range(N)]
    return {
        model: pd.Series((difficulty < share + rng.normal(0, 0.1, N)).astype(float), index=index)
        for model, share in (("base", 0.4), ("a", 0.6), ("b", 0.5))
    }


def side(name: str, found: dict[str, pd.Series], n: int = N, **options: object) -> Side:
    table = pd.DataFrame(
        [
            {"model": model, "source": None if model == "base" else model, "task": "t", "value": one.mean(), "n": n,
             "stderr": one.std(ddof=1) / np.sqrt(n), "metric": "accuracy"}
            for model, one in found.items()
        ]
    )  # fmt: skip
    return Side.of(name, ScoreMatrix.from_long(table), {"t": found}, **options)  # type: ignore[arg-type]


def test_scores_over_the_same_rows_are_paired() -> None:
    one, other = values(0), values(0)
    other["a"] = other["a"].where(np.arange(N) % 5 > 0, 1.0)
    cells, _ = side_by_side(side("x", one, rows={"t": rows()}), side("y", other, rows={"t": rows()}))
    row = cells.set_index("row").loc["a"]
    moved = other["a"] - one["a"]
    assert row["paired"] and row["n"] == N
    assert row["difference"] == pytest.approx(moved.mean())
    # McNemar: all that moved were won.
    won = int((moved > 0).sum())
    assert won > 3 and (moved >= 0).all() and row["p"] == pytest.approx(2 * 0.5**won)
    assert (row["lo"], row["hi"]) == pytest.approx([float(end) for end in paired_score(0, won, N)])


def test_values_that_are_no_right_and_wrong_have_students_t() -> None:
    from scipy.stats import ttest_rel

    rng, index = np.random.default_rng(5), [str(i) for i in range(6)]
    one, other = ({model: pd.Series(rng.normal(0.5, 0.1, 6), index=index) for model in ("base", "a")} for _ in range(2))
    same = {"t": rows(6)}
    cells, _ = side_by_side(side("x", one, n=6, rows=same), side("y", other, n=6, rows=same))
    row, theirs = cells.set_index("row").loc["a"], ttest_rel(other["a"], one["a"])
    assert row["p"] == pytest.approx(theirs.pvalue)
    assert (row["lo"], row["hi"]) == pytest.approx(tuple(theirs.confidence_interval()))
    gains = ttest_rel(other["a"] - other["base"], one["a"] - one["base"])
    assert row["gain_p"] == pytest.approx(gains.pvalue)


def test_compare_and_effects_agree_on_right_and_wrong() -> None:
    """A base and its adapter as two matrices of one row: what is a gain there is a difference here."""
    found = values(3)
    one, other = ({"a": found[model]} for model in ("base", "a"))
    same = {"t": rows()}
    cells, _ = side_by_side(side("x", one, rows=same), side("y", other, rows=same))
    moved = found["a"] - found["base"]
    counts = [int((moved == sign).sum()) for sign in (-1, 1)]
    assert cells["p"].iloc[0] == pytest.approx(float(mcnemar_exact(*counts)))
    assert cells["lo"].iloc[0] == pytest.approx(float(paired_score(*counts, N)[0]))


def test_few_examples_that_all_agree_say_no_more_than_a_sign_test() -> None:
    from scipy.stats import binomtest

    index = list("abcd")
    one = {"a": pd.Series([0.1, 0.3, 0.4, 0.6], index=index)}
    other = {"a": one["a"] + [0.2, 0.2, 0.2, 0.2001]}
    same = {"t": rows(4)}
    cells, _ = side_by_side(side("x", one, n=4, rows=same), side("y", other, n=4, rows=same))
    assert cells["p"].iloc[0] == binomtest(4, 4).pvalue == 0.125


@pytest.mark.parametrize("together", [True, False])
def test_a_row_that_is_right_on_all_examples_has_the_error_of_its_cell(together: bool) -> None:
    found = values(4)
    one, other = {"a": found["a"] * 0 + 1.0}, {"a": found["a"]}
    marks = rows(), rows(prompt="p" if together else "q")
    # In thirds, so that it is no test of right and wrong.
    other["a"] = other["a"].where(np.arange(N) % 4 > 0, 1 / 3)
    cells, _ = side_by_side(side("x", one, rows={"t": marks[0]}), side("y", other, rows={"t": marks[1]}))
    share = (N + 1) / (N + 2)
    parts = [share * (1 - share) / N, other["a"].var(ddof=1) / N]
    df = N - 1 if together else sum(parts) ** 2 / sum(part**2 / (N - 1) for part in parts)
    row = cells.iloc[0]
    assert row["hi"] - row["lo"] == pytest.approx(2 * student.ppf(0.975, df) * np.sqrt(sum(parts)))


def test_right_and_wrong_of_rows_that_were_trained_has_the_runs_in_its_error() -> None:
    """McNemar's test knows examples alone."""
    found, other = values(0), values(1)
    table = [
        {"model": model, "source": None if model == "base" else model[0], "seed": seed, "task": "t", "n": N,
         "value": value, "stderr": 0.07, "metric": "accuracy"}
        for model, seed, value in (("base", None, 0.4), ("a", 0, found["a"].mean()), ("b-0", 0, 0.3), ("b-1", 1, 0.7))
    ]  # fmt: skip
    sides = [Side.of(name, ScoreMatrix.from_long(pd.DataFrame(table)), {"t": {"a": one["a"]}}, {"t": rows()})
             for name, one in (("x", found), ("y", other))]  # fmt: skip
    # As scored, of the first alone: the second's answers differ and its score does too.
    table[1]["value"] = other["a"].mean()
    sides[1] = Side.of("y", ScoreMatrix.from_long(pd.DataFrame(table)), {"t": {"a": other["a"]}}, {"t": rows()})
    row = side_by_side(*sides)[0].set_index("row").loc["a"]
    correlation = np.corrcoef(found["a"], other["a"])[0, 1]
    examples, runs = 2 * 0.07**2 * (1 - correlation), 2 * 0.08
    df = (examples + runs) ** 2 / (examples**2 / (N - 1) + runs**2 / 2)
    half = student.ppf(0.975, df) * np.sqrt(examples + runs)
    assert (row["lo"], row["hi"]) == pytest.approx((row["difference"] - half, row["difference"] + half))


@pytest.mark.parametrize("paired", [True, False])
@pytest.mark.verify
def test_few_examples_differ_no_oftener_than_the_level(paired: bool) -> None:
    rng, index, n = np.random.default_rng(6), [str(i) for i in range(5)], 5
    found, trials = 0, 300
    for _ in range(trials):
        share = rng.uniform(0.3, 0.7, n)
        one, other = ({"a": pd.Series((rng.random(n) < share).astype(float), index=index)} for _ in range(2))
        marks = [{"t": rows(n)}, {"t": rows(n, "p" if paired else "q")}]
        cells, _ = side_by_side(side("x", one, n=n, rows=marks[0]), side("y", other, n=n, rows=marks[1]))
        found += cells["p"].iloc[0] <= 0.05
    assert found <= trials * 0.05 + 3.5 * np.sqrt(trials * 0.05)


def test_gains_are_paired_within_each_and_across_both() -> None:
    one, other = values(0), values(0)
    other["base"] = other["base"].where(np.arange(N) % 7 > 0, 0.0)
    other["a"] = other["a"].where(np.arange(N) % 5 > 0, 1.0)
    same = {"t": rows()}
    moved = (other["a"] - other["base"]) - (one["a"] - one["base"])
    cells, _ = side_by_side(side("x", one, rows=same), side("y", other, rows=same))
    row = cells.set_index("row").loc["a"]
    assert row["gain_difference"] == pytest.approx(moved.mean())
    half = student.ppf(0.975, N - 1) * moved.std(ddof=1) / np.sqrt(N)
    assert row["gain_hi"] - row["gain_lo"] == pytest.approx(2 * half)
    # Other rows: the two gains are independent of each other, each paired with its own base.
    cells, _ = side_by_side(side("x", one, rows=same), side("y", other, rows={"t": rows(prompt="q")}))
    row = cells.set_index("row").loc["a"]
    variances = [(found["a"] - found["base"]).var(ddof=1) / N for found in (one, other)]
    assert not row["paired"]
    # Welch and Satterthwaite.
    df = sum(variances) ** 2 / sum(one**2 / (N - 1) for one in variances)
    assert row["gain_hi"] - row["gain_lo"] == pytest.approx(2 * student.ppf(0.975, df) * np.sqrt(sum(variances)))
    assert np.isnan(cells.set_index("row").loc["base", "gain_difference"])


def test_rows_are_the_same_as_far_as_the_shorter_goes() -> None:
    one = side("x", values(0), rows={"t": rows(40)})
    assert same_rows(one, side("y", values(1), rows={"t": rows(25)}), "t")
    assert not same_rows(one, side("y", values(1), rows={"t": rows(25, "q")}), "t")
    assert not same_rows(one, side("y", values(1)), "t")


def wide(numbers: dict[str, list[float]], tasks: str, error: float = 0.01) -> ScoreMatrix:
    frame = pd.DataFrame.from_dict(numbers, orient="index", columns=list(tasks))
    return ScoreMatrix.from_wide(frame, stderr=frame * 0 + error)


def test_a_metric_that_is_better_when_lower_is_turned() -> None:
    table = pd.DataFrame({"model": ["base", "a"], "task": "t", "value": [2.0, 1.0], "stderr": 0.1, "metric": "loss"})
    worse = table.assign(value=[2.0, 1.5])
    made = [ScoreMatrix.from_long(one.assign(higher_is_better=False)) for one in (table, worse)]
    cells, _ = side_by_side(Side.of("x", made[0]), Side.of("y", made[1]))
    row = cells.set_index("row").loc["a"]
    assert (row["first"], row["second"], row["difference"]) == pytest.approx((1.0, 1.5, -0.5))
    assert (row["gain_first"], row["gain_second"]) == pytest.approx((1.0, 0.5))
    assert row["hi"] - row["lo"] == pytest.approx(2 * 1.959964 * 0.1 * np.sqrt(2), rel=1e-5)


def test_percent_and_fractions_are_brought_together() -> None:
    one = wide({"base": [0.5, 0.4], "a": [0.6, 0.4]}, "tu")
    other = wide({"base": [50.0, 40.0], "a": [70.0, 40.0]}, "tu", 1.0)
    cells, _ = side_by_side(Side.of("x", one), Side.of("y", other))
    row = cells.set_index(["row", "task"]).loc[("a", "t")]
    assert row["difference"] == pytest.approx(0.1) and row["unit"] == "share"


def test_seeds_are_averaged_and_their_variance_is_error() -> None:
    rows = [("base", None, None, 0.5), ("a-s0", "a", 0, 0.60), ("a-s1", "a", 1, 0.70)]
    table = pd.DataFrame(rows, columns=["model", "source", "seed", "value"]).assign(task="t", stderr=0.01)
    matrix = ScoreMatrix.from_long(table)
    cells, _ = side_by_side(Side.of("x", matrix), Side.of("y", matrix))
    row = cells.set_index("row").loc["a"]
    # Two runs at .6 and .7: variance .005 of one, half of it of their mean, on both sides.
    # One degree of freedom each, and none lost of the examples.
    variance = 2 * 0.01**2 + 2 * 0.0025
    assert row["hi"] == pytest.approx(student.ppf(0.975, variance**2 / (2 * 0.0025**2)) * np.sqrt(variance))


def test_percentages_with_seeds_have_the_error_of_shares() -> None:
    rows = [("base", None, None, 0.5), ("a-s0", "a", 0, 0.60), ("a-s1", "a", 1, 0.70)]
    table = pd.DataFrame(rows, columns=["model", "source", "seed", "value"]).assign(task="t", stderr=0.01)
    percent = table.assign(value=table["value"] * 100, stderr=1.0)
    made = [ScoreMatrix.from_long(one) for one in (table, percent)]
    plain, mixed = (side_by_side(Side.of("x", one), Side.of("y", made[0]))[0].set_index("row").loc["a"] for one in made)
    for name in ("lo", "hi", "p", "gain_lo", "gain_hi"):
        assert mixed[name] == pytest.approx(plain[name])


def test_a_task_of_another_metric_is_left_out_and_named() -> None:
    table = pd.DataFrame(
        [(model, task, 0.5) for model in ("base", "a") for task in "tu"], columns=["model", "task", "value"]
    )
    one, other = (
        Side.of(name, ScoreMatrix.from_long(table.assign(metric=np.where(table["task"] == "u", metric, "accuracy"))))
        for name, metric in (("x", "macro_f1"), ("y", "mcc"))
    )
    _, tasks, notes = common(one, other)
    assert tasks == ["t"] and notes == ["u is left out: macro_f1 in one, mcc in the other"]


def test_the_correlation_of_gains_leaves_own_tasks_out_and_means_aside() -> None:
    rng = np.random.default_rng(0)
    sources, tasks = [f"s{i}" for i in range(8)], "tuvwxy"
    column, left = rng.normal(0, 0.1, 6), rng.normal(0, 0.02, (8, 6))

    def matrix(rest: np.ndarray) -> ScoreMatrix:
        gains = 0.5 + column + rest
        return wide({"base": [0.5] * 6, **dict(zip(sources, gains.tolist(), strict=True))}, tasks)

    same, other = matrix(left), matrix(rng.normal(0, 0.02, (8, 6)))
    alike = agreement(side_by_side(Side.of("x", matrix(left)), Side.of("y", same))[0])
    assert alike.n == 48 and alike.pearson == pytest.approx(1) and alike.apart == pytest.approx(1) and alike.p < 0.01
    apart = agreement(side_by_side(Side.of("x", matrix(left)), Side.of("y", other))[0])
    # Which tasks are easy to help is common; which source helps which is not.
    assert apart.pearson > 0.8 and abs(apart.apart) < 0.4 and apart.p > 0.05
    gains = [
        side_by_side(Side.of("x", matrix(left)), Side.of("y", other))[0][f"gain_{w}"].dropna()
        for w in ("first", "second")
    ]
    assert apart.pearson == pytest.approx(float(np.corrcoef(*gains)[0, 1]))


def correlated(gains: np.ndarray, others: np.ndarray, own: bool = False, seed: int = 0) -> Agreement:
    cells = [
        {"row": i, "task": n, "relation": "own" if own and i == n else "transfer", "gain_first": gains[i, n],
         "gain_second": others[i, n]}
        for i, n in np.ndindex(*gains.shape)
    ]  # fmt: skip
    return agreement(pd.DataFrame(cells), exchanges=199, seed=seed)


@pytest.mark.parametrize(
    ("shape", "own", "told"), [((3, 3), True, False), ((3, 3), False, False), ((4, 4), True, True)]
)
def test_too_few_cells_leave_no_correlation_without_the_means(shape: tuple[int, int], own: bool, told: bool) -> None:
    rng = np.random.default_rng(7)
    found = correlated(rng.standard_normal(shape), rng.standard_normal(shape), own)
    assert np.isfinite(found.pearson) and np.isfinite(found.apart) == np.isfinite(found.p) == told


def test_exchanged_sources_take_the_size_of_their_place_and_have_no_means_by_hand() -> None:
    """Two centred tables of 8 x 6; one source moves twenty times as far as the others, in both."""
    rng, size = np.random.default_rng(3), np.where(np.arange(8) == 0, 20.0, 1.0)[:, None]
    one, other = size * rng.standard_normal((2, 8, 6))
    told = correlated(one, other, seed=5)

    def left(table: np.ndarray) -> np.ndarray:
        return table - table.mean(axis=0) - table.mean(axis=1, keepdims=True) + table.mean()

    a, b, order = left(one), left(other), np.random.default_rng(5)
    root = np.sqrt((b**2).mean(axis=1, keepdims=True))
    null = [np.corrcoef(a.ravel(), left(root * (b / root)[order.permutation(8)]).ravel())[0, 1] for _ in range(199)]
    assert told.apart == pytest.approx(np.corrcoef(a.ravel(), b.ravel())[0, 1])
    assert told.p == pytest.approx((1 + (np.abs(null) >= abs(told.apart) - 1e-9).sum()) / 200)


@pytest.mark.verify
@pytest.mark.parametrize("loud", [0.0, 1.0])
@pytest.mark.parametrize(
    ("rows", "tasks", "own", "level"),
    # Where sources and tasks both differ much in size, a few cells decide.
    [(8, 6, False, 0.05), (8, 8, True, 0.05), (12, 10, True, 0.05), (20, 6, False, 0.05), (5, 10, False, 0.05),
     (20, 4, False, 0.05)],
)  # fmt: skip
def test_sources_and_tasks_that_move_much_in_both_are_no_agreement(
    rows: int, tasks: int, own: bool, level: float, loud: float
) -> None:
    rng, trials, found = np.random.default_rng(8), 200, 0
    for trial in range(trials):
        size = np.exp(rng.standard_normal((rows, 1))) * np.exp(loud * rng.standard_normal((1, tasks)))
        found += correlated(*(size * rng.standard_normal((rows, tasks)) for _ in range(2)), own, trial).p <= 0.05
    assert found <= trials * level + 3.5 * np.sqrt(trials * level)


def test_findings_that_repeat_are_counted_against_chance() -> None:
    up = {f"s{i}": [0.5 + (0.1 if i < 5 else -0.1 if i < 7 else 0.0)] for i in range(20)}
    moved = {f"s{i}": [0.5 + (0.1 if i in (0, 1, 2, 5) else 0.0)] for i in range(20)}
    first, second = (measure_effects(wide({"base": [0.5], **one}, "t")) for one in (up, moved))
    row = repeated(first, second).set_index("kind").loc["gain"]
    assert (row["tested"], row["first"], row["second"]) == (20, 7, 4)
    assert (row["same"], row["opposite"]) == (3, 1)
    assert row["expected"] == pytest.approx(20 * (5 / 20) * (4 / 20))
    # Hypergeometric: three or more of four drawn from 20 of which five are up.
    assert row["p"] == pytest.approx((10 * 15 + 5) / 4845, abs=0.01)


def test_matrices_without_a_common_cell_are_refused() -> None:
    one, other = wide({"base": [0.5], "a": [0.6]}, "t"), wide({"base": [0.5], "a": [0.6]}, "u")
    with pytest.raises(TraitscopeError, match="no cell in common"):
        ts.compare(one, other)
    with pytest.raises(TraitscopeError, match="1 study"):
        ts.compare(one)
    with pytest.raises(TraitscopeError, match="3 names"):
        ts.compare(one, one, names=["a", "b", "c"])


def test_a_matrix_of_several_base_models_is_compared_with_itself() -> None:
    rng = np.random.default_rng(3)
    tasks, sources = [f"t{n}" for n in range(6)], [f"s{i}" for i in range(9)]
    trait = np.outer(rng.normal(0, 0.1, 9), rng.normal(0, 1, 6))
    table = []
    for base in ("m", "n"):
        scores = np.vstack([np.full(6, 0.5), 0.5 + trait + rng.normal(0, 0.01, (9, 6))])
        for i, model in enumerate(["base", *sources]):
            for n, task in enumerate(tasks):
                table.append({"base": base, "model": model, "task": task, "value": scores[i, n], "stderr": 0.01})
    found = ts.compare(ScoreMatrix.from_long(pd.DataFrame(table)))
    pair = found.pair("m", "n")
    assert len(pair.cells) == 60 and pair.gains.pearson > 0.9
    assert pair.traits is not None and pair.traits.phi_P[0] > 0.95 and pair.traits.p_P[0] < 0.05
    text = found.render()
    assert "m against n" in text and "as good as equal" in text
    assert found.to_json().startswith("{")
