"""Standard errors in the unit of their scores, and the two parts of an error: examples and seeds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from traitscope.matrix import ScoreMatrix
from traitscope.traits.bootstrap import bootstrap_count
from traitscope.traits.count import sequential_permutation

RIGHT = np.array([1, 1, 1, 0, 1, 0, 1, 1, 0, 1], dtype=float)
OTHER = np.array([1, 0, 1, 0, 0, 0, 1, 1, 0, 0], dtype=float)


def seeds_table(top: float) -> pd.DataFrame:
    values = [40.0, 70.0, 50.0, 60.0]
    return pd.DataFrame(
        {
            "model": ["base", "x-s0", "x-s1", "x-s2"],
            "source": [None, "x", "x", "x"],
            "seed": [None, 0, 1, 2],
            "task": "t",
            "value": np.array(values) / 100 * top,
            "stderr": np.array([5.0, 3.0, 4.0, 5.0]) / 100 * top,
        }
    )


@pytest.mark.parametrize(("top", "unit"), [(1.0, "fraction"), (100.0, "percent")])
def test_standard_errors_of_records_are_in_the_unit_of_the_task(top: float, unit: str) -> None:
    wide = pd.DataFrame({"t": [RIGHT.mean() * top, OTHER.mean() * top]}, index=["base", "x"])
    scores = ScoreMatrix.from_wide(wide, units={"t": unit}).with_records({"t": {"base": RIGHT, "x": OTHER}})
    assert scores.stderr_IN[:, 0] == pytest.approx([top * stats.sem(RIGHT), top * stats.sem(OTHER)])
    assert scores.gains().stderr_IN[1, 0] == pytest.approx(top * stats.sem(OTHER - RIGHT))


@pytest.mark.parametrize("top", [1.0, 100.0])
def test_averaged_records_of_seeds_are_in_the_unit_of_the_task(top: float) -> None:
    table = seeds_table(top).iloc[:3].assign(value=[0.4 * top, RIGHT.mean() * top, OTHER.mean() * top])
    records = {"t": {"x-s0": RIGHT, "x-s1": OTHER}}
    unit = {"t": "percent" if top > 1 else "fraction"}
    merged = ScoreMatrix.from_long(table, units=unit).with_records(records).by_source()
    assert merged.stderr_IN[1, 0] == pytest.approx(top * stats.sem((RIGHT + OTHER) / 2))


def test_examples_per_task_give_errors_in_percent_and_in_fractions(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text("model,share,percent\nbase,0.1,10\nx,0.9,90\n")
    scores = ScoreMatrix.read(path, n={"share": 48, "percent": 48})
    p = (0.9 * 48 + 1) / 50
    wanted = np.sqrt(p * (1 - p) / 48)
    assert scores.stderr_IN[1].tolist() == pytest.approx([wanted, 100 * wanted])


def test_a_cell_that_is_all_wrong_keeps_an_error_in_percent() -> None:
    frame = pd.DataFrame({"model": ["base", "x"], "task": "t", "value": [0.0, 50.0], "n": 48, "stderr": [0.0, 7.0]})
    noise = ScoreMatrix.from_long(frame).noise()
    assert noise is not None
    p = 1 / 50
    assert noise.examples_IN[0, 0] == pytest.approx(100**2 * p * (1 - p) / 48)
    assert noise.examples_IN[1, 0] == pytest.approx(49.0)


@pytest.mark.parametrize("top", [1.0, 100.0])
def test_seeds_add_their_part_and_leave_the_examples_part_as_it_is(top: float) -> None:
    """Three seeds at 70, 50, 60 % with errors of 3, 4, 5 points: examples 50 / 3, seeds 100 / 3 (in squared points)."""
    merged = ScoreMatrix.from_long(seeds_table(top)).by_source()
    noise = merged.noise()
    assert noise is not None
    point = top / 100
    assert noise.examples_IN[1, 0] == pytest.approx(50 / 3 * point**2)
    assert noise.seed_variance_IN[:, 0] == pytest.approx([0.0, 100 / 3 * point**2])
    assert noise.variance_IN[1, 0] == pytest.approx((50 + 100) / 3 * point**2)
    drawn = noise.draw(40_000, np.random.default_rng(0))[:, 0, 0]
    assert drawn.var() == pytest.approx(25 * point**2, rel=0.05)


def test_p_counts_the_observed_matrix_among_the_draws() -> None:
    """No draw reaches a strong component: p = 1 / (1 + draws), and 18 draws cannot reject at 5 %."""
    rng = np.random.default_rng(0)
    strong = np.outer(np.linspace(-1, 1, 9), np.ones(6)) + 1e-3 * rng.normal(size=(9, 6))
    for draws, count in ((18, 0), (19, 1)):
        known = bootstrap_count(
            strong,
            np.full((9, 6), 1e6),
            lambda size: 1e-3 * rng.normal(size=(size, 9, 6)),
            rng=rng,
            alpha=0.05,
            draws=draws,
            method="",
        )
        assert known.p_J[0] == pytest.approx(1 / (1 + draws))
        permuted = sequential_permutation(strong - strong.mean(axis=0), permutations=draws, rng=rng)
        assert permuted.p_J[0] == pytest.approx(1 / (1 + draws))
        assert min(known.count, 1) == min(permuted.count, 1) == count
