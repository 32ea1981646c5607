"""Columns that would decide the traits alone: one without any difference, one in a unit of larger numbers."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from traitscope.errors import TraitscopeError
from traitscope.matrix import Role, ScoreMatrix
from traitscope.traits import Traits, fit_traits
from traitscope.traits.cells import cells_of

QUICK = {"permutations": 99, "draws": 19, "replicates": 20}


def answers(tasks: list[str], constant: str, rows: int = 40) -> tuple[pd.DataFrame, dict[str, dict[str, np.ndarray]]]:
    """Two base models with an adapter per task each; on one task all give the very same answers."""
    rng = np.random.default_rng(2)
    same = (np.arange(rows) < 25).astype(float)
    lines, records = [], {task: dict[str, np.ndarray]() for task in tasks}
    for base in ("one", "two"):
        for source in (None, *tasks):
            model = source or "base"
            for task in tasks:
                # The rows without a cell on that task stand out elsewhere, so that factors pull at the gap.
                share = 0.8 if source == constant and task == tasks[-1] else 0.2
                found = same if task == constant else (rng.random(rows) < share).astype(float)
                records[task][f"{base}/{model}"] = found
                lines.append((model, base, source, task, found.mean(), rows))
    return pd.DataFrame(lines, columns=["model", "base", "source", "task", "value", "n"]), records


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("scale", [True, False])
def test_a_column_without_differences_loads_on_nothing_and_gaps_in_it_are_that_value(known: bool, scale: bool) -> None:
    tasks = ["same", "b", "c"]
    table, records = answers(tasks, "same")
    scores = ScoreMatrix.from_long(table, records=records if known else None, units="fraction")
    found = fit_traits(scores, k=2, scale=scale, **QUICK)
    at = tasks.index("same")
    np.testing.assert_allclose(found.filled_IN[:, at], 25 / 40, atol=1e-12)
    np.testing.assert_allclose(found.loadings_KN[:, at], 0.0, atol=1e-9)
    assert any("no difference between models on same" in note for note in found.notes)


def test_a_column_without_differences_leaves_the_others_alone() -> None:
    """Against the same matrix without it."""
    tasks = ["same", "b", "c", "d"]
    table, records = answers(tasks, "same")
    scores = ScoreMatrix.from_long(table, records=records, units="fraction")
    cells = cells_of(scores, "raw", mean=True, own=True)
    # 25 right answers of 40, as if they stood alone.
    np.testing.assert_allclose(1 / cells.precision_IN[:, 0], 25 / 40 * 15 / 40 / 39, rtol=1e-6)
    kept = [model for model in scores.models if not model.endswith("/same")]
    beside = fit_traits(scores.select(models=kept), k=1, **QUICK)
    alone = fit_traits(scores.select(models=kept, tasks=tasks[1:]), k=1, **QUICK)
    np.testing.assert_allclose(beside.filled_IN[:, 1:], alone.filled_IN, atol=5e-3)


def mixed(unit: float, metric: str = "perplexity") -> ScoreMatrix:
    """Four tasks as shares, one in another unit with the numbers ``unit`` times as large."""
    rng = np.random.default_rng(1)
    values = pd.DataFrame(rng.uniform(0.3, 0.6, (8, 5)), columns=list("abcde")).assign(model=[*"ZABCDEFG"])
    table = values.melt("model", var_name="task").assign(metric="accuracy")
    other = table["task"] == "e"
    table.loc[other, "value"] = 10 + unit * table.loc[other, "value"]
    table.loc[other, "metric"] = metric
    return ScoreMatrix.from_long(table, base="Z", units={**dict.fromkeys("abcd", "fraction"), "e": "other"})


def fitted(scores: ScoreMatrix, **options: object) -> Traits:
    return fit_traits(scores, k=2, **QUICK, **options)  # type: ignore[arg-type]


def test_the_unit_of_a_task_makes_no_trait() -> None:
    """Against the numbers themselves: a unit twice or a thousand times as large changes no loading."""
    small, large = fitted(mixed(2.0)), fitted(mixed(2000.0))
    assert small.scaled
    np.testing.assert_allclose(large.loadings_KN, small.loadings_KN, atol=1e-9)
    assert any("several units (shares, perplexity)" in note and "divided" in note for note in large.notes)
    asked = fitted(mixed(2000.0), scale=False)
    assert abs(asked.loadings_KN[0, 4]) > 0.999 and any("largest numbers weigh most" in note for note in asked.notes)


def test_shares_and_percent_are_two_units_but_not_as_log_odds() -> None:
    scores = mixed(1.0).select(tasks=list("abcd"))
    table = scores.to_long()
    percent = table["task"] == "d"
    table.loc[percent, "value"] *= 100
    both = ScoreMatrix.from_long(table, base="Z", units={**dict.fromkeys("abc", "fraction"), "d": "percent"})
    found = fitted(both)
    assert found.scaled and any("several units (shares, percent)" in note for note in found.notes)
    # Scaled, hundreds are the same as parts of one.
    np.testing.assert_allclose(np.abs(found.loadings_KN), np.abs(fitted(scores, scale=True).loadings_KN), atol=1e-9)
    assert not fit_traits(both.with_records({}), view="logit", k=2, **QUICK).scaled


def test_a_row_beside_the_fit_lies_where_its_twin_in_the_fit_does_in_several_units_too() -> None:
    """A control with the very cells of a source, whose errors are known: one task counts thousands, another parts."""
    rng = np.random.default_rng(3)
    place_I = rng.standard_normal(12)
    values = np.outer(place_I, rng.standard_normal(6)) + 0.1 * rng.standard_normal((12, 6))
    far = f"x{1 + np.abs(place_I[1:]).argmax()}"
    unit_N = np.array([1.0, 1.0, 1.0, 1.0, 1000.0, 1000.0])
    wide = pd.DataFrame(values * unit_N, columns=list("abcdef")).assign(model=["Z", *(f"x{i}" for i in range(1, 12))])
    wide = pd.concat([wide, wide[wide["model"] == far].assign(model="twin")])
    table = wide.melt("model", var_name="task")
    large = table["task"].isin(["e", "f"])
    table["source"] = table["model"].where(table["model"] != "Z")
    table["metric"] = np.where(large, "tokens", "nats")
    table["stderr"] = np.where(large, 300.0, 0.3)
    # What counts thousands is all that is known of the twin.
    table = table[large | (table["model"] != "twin")]
    roles = {name: Role("control" if name == "twin" else "source") for name in table["source"].dropna().unique()}
    found = fit_traits(ScoreMatrix.from_long(table, base="Z", units="other", roles=roles), k=1, **QUICK)
    assert found.scaled and found.projected.models == ("twin",)
    np.testing.assert_allclose(found.projected.scores_PK[0], found.scores_IK[found.models.index(far)], atol=0.1)


def test_a_precise_cell_counts_more_than_the_others_of_its_task() -> None:
    table = mixed(1.0).select(tasks=list("abcd")).to_long().assign(stderr=0.1)
    table.loc[(table["model"] == "C") & (table["task"] == "b"), "stderr"] = 0.02
    cells = cells_of(ScoreMatrix.from_long(table, base="Z", units="fraction"), "raw", mean=True, own=True)
    at = cells.matrix.models.index("C"), cells.matrix.tasks.index("b")
    others = np.delete(cells.precision_IN[:, at[1]], at[0])
    assert cells.precision_IN[at] > 3 * others.mean()


def test_tasks_of_one_unit_stay_as_they_are() -> None:
    scores = mixed(1.0).select(tasks=list("abcd"))
    found = fitted(scores)
    assert not found.scaled and not any("several units" in note for note in found.notes)
    with pytest.raises(TraitscopeError, match="scale is 'yes'"):
        fit_traits(scores, scale="yes")
