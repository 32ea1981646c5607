"""Rows of degenerate answers of other kinds: which are found and which not, and that each left out is named."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from transfer_worlds import transfer_world

from traitscope.matrix import ScoreMatrix
from traitscope.traits import fit_traits
from traitscope.traits.count import SequentialTest, TraitCount
from traitscope.traits.headline import state_count
from traitscope.traits.outlying import outlying_rows

COUNT: dict[str, Any] = {"permutations": 9, "replicates": 0, "held_out": 0, "k": 1}


def count_of(table: Any) -> TraitCount:
    return fit_traits(ScoreMatrix.from_long(table, units="fraction"), **COUNT).count


@pytest.mark.parametrize("seed", range(3))
def test_a_row_that_a_task_cannot_spare_stays_and_the_others_go(seed: int) -> None:
    """The last task was measured on three rows, one of them broken: that one stays and is named all the same."""
    world = transfer_world(20, 10, 0, np.random.default_rng(seed), broken=2)
    table, (first, second) = world.scores.to_long(), world.broken
    kept = table[(table["task"] != "t9") | table["model"].isin(["base", first, "x18" if second != "x18" else "x17"])]
    traits = fit_traits(ScoreMatrix.from_long(kept, units="fraction"), **COUNT)
    assert traits.count.outlying == (second,)
    assert f"without {second}, low on most tasks and unlike the rest: with it the count is" in traits.count.statement
    assert any(note.startswith(f"{first}: low on most tasks and unlike the rest, but counted") for note in traits.notes)


@pytest.mark.parametrize("level", [0.005, 0.2])
def test_a_row_at_the_floor_or_at_chance_of_five_is_one(level: float) -> None:
    rng = np.random.default_rng(11)
    table = transfer_world(20, 10, 1, rng).scores.to_long()
    at = (table["model"] == "x15").to_numpy()
    drawn = rng.binomial(200, level, len(table)) / 200
    stderr = np.where(at, np.sqrt(np.maximum(level * (1 - level), 0.25 / 200) / 200), table["stderr"])
    count = count_of(table.assign(value=np.where(at, drawn, table["value"]), stderr=stderr))
    assert count.outlying == ("x15",) and count.supported == 1


def test_the_base_is_none_and_five_rows_have_none() -> None:
    rng = np.random.default_rng(12)
    table = transfer_world(20, 10, 0, rng).scores.to_long()
    low = (table["model"] == "base").to_numpy()
    assert count_of(table.assign(value=table["value"] - 0.25 * low)).outlying == ()
    values_IN, precision_IN = rng.normal(size=(12, 8)), np.ones((12, 8))
    values_IN[3] -= 5.0
    for rows, found in ((12, [3]), (6, [3]), (5, [])):
        everyone_I = np.full(rows, True)
        assert outlying_rows(values_IN[:rows], precision_IN[:rows], everyone_I, lambda core: 0) == found


def test_a_row_that_is_odd_on_one_task_alone_is_none_however_far() -> None:
    values_IN = np.random.default_rng(13).normal(size=(12, 20))
    values_IN[3] = np.where(np.arange(20) == 0, -1000.0, -0.5)
    assert outlying_rows(values_IN, np.ones((12, 20)), np.full(12, True), lambda core: 0) == []


def test_more_than_a_quarter_are_a_group() -> None:
    values_IN = np.random.default_rng(14).normal(size=(12, 8))
    values_IN[:5] -= 5.0
    assert len(outlying_rows(values_IN, np.ones((12, 8)), np.full(12, True), lambda core: 0)) <= 3


@pytest.mark.parametrize("seed", range(4))
def test_a_row_far_out_along_a_direction_of_the_others_is_none(seed: int) -> None:
    """The direction is known from rows nearer in, and what it is off by grows with the distance."""
    rng = np.random.default_rng(seed)
    place_I, values_IN = np.append(np.linspace(-3, 3, 15), -16.0), rng.normal(size=(16, 10))
    values_IN += place_I[:, None] * rng.uniform(0.7, 1.3, 10)
    assert outlying_rows(values_IN, np.ones((16, 10)), np.full(16, True), lambda core: 1) == []


@pytest.mark.parametrize("seed", range(3))
def test_without_standard_errors_the_rows_spread_stands_for_them(seed: int) -> None:
    rng = np.random.default_rng([15, seed])
    assert fit_traits(transfer_world(20, 10, 0, rng, stderr=False).scores, **COUNT).count.outlying == ()
    world = transfer_world(20, 10, 0, rng, broken=2, stderr=False)
    assert fit_traits(world.scores, **COUNT).count.outlying == world.broken


def test_of_two_rows_that_a_task_cannot_spare_together_one_goes() -> None:
    world = transfer_world(20, 10, 0, np.random.default_rng(0), broken=2)
    table = world.scores.to_long()
    kept = table[(table["task"] != "t9") | table["model"].isin(["base", *world.broken, "x18"])]
    assert count_of(kept).outlying == world.broken[:1]


def test_every_row_that_is_left_out_is_named() -> None:
    names = [f"row{i}" for i in range(25)]
    one = np.array([0.5])
    steps = SequentialTest(one, one, one, 0, 0.02, 199, False, "standard errors of the cells")
    told = state_count(steps, None, known=True, of="transfer", runs_only=False, outlying=names, with_outlying=4)
    assert all(name in told for name in names) and told.endswith("with them the count is 4")


def test_a_row_that_is_low_on_half_of_its_tasks_alone_is_none_however_far() -> None:
    values_IN = np.random.default_rng(14).normal(size=(12, 20))
    values_IN[3] += np.where(np.arange(20) % 2 == 0, -8.0, 4.0)
    everyone_I = np.full(12, True)
    assert outlying_rows(values_IN, np.ones((12, 20)), everyone_I, lambda core: 0) == []
    values_IN[3, 1:10:2] -= 8.0
    assert outlying_rows(values_IN, np.ones((12, 20)), everyone_I, lambda core: 0) == [3]
