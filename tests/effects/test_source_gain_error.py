"""The error of a source's gain over its seeds: averaging over seeds leaves the examples' part as it is."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from effect_study import random_study
from scipy import stats

from traitscope.effects import measure_effects
from traitscope.effects.gains import source_gains
from traitscope.effects.grid import Grid
from traitscope.matrix import ScoreMatrix


def test_the_error_has_a_part_of_the_examples_and_a_part_of_the_runs() -> None:
    """Satterthwaite on var(examples that all seeds share) + S^2 / 3, each from the records by numpy alone."""
    study = random_study(("c", "d"), ("a",), 150, np.random.default_rng(5), lambda s, t: 0.8, seeds=(0, 1, 2))
    effects = measure_effects(study.matrix, study.records, replicates=4000, permutations=99)
    found = effects.of_kind("source_gain").set_index("source")
    base_S = study.records["base", "a"]["correct"].to_numpy()
    changes = {
        s: np.array([study.records[f"{s}-s{k}", "a"]["correct"].to_numpy() - base_S for k in range(3)]) for s in "cd"
    }
    total = np.mean([change.mean(axis=1).var(ddof=1) for change in changes.values()])
    alone = np.mean([(change - change.mean(axis=0)).var(axis=1).mean() * 1.5 / 150 for change in changes.values()])
    for source, change in changes.items():
        row = found.loc[source]
        assert row["value"] == pytest.approx(change.mean())
        variance = change.mean(axis=0).var() / 150 + max(total - alone, 0) / 3
        df = variance**2 / ((total / 3) ** 2 / 4)
        error = np.sqrt(variance)
        half = stats.t.ppf(0.975, df) * error
        # The examples' part here is of a score interval.
        assert (row["lo"], row["hi"]) == pytest.approx((change.mean() - half, change.mean() + half), abs=0.15 * half)
        assert np.log(row["p"]) == pytest.approx(np.log(2 * stats.t.sf(change.mean() / error, df)), rel=0.2)


def test_without_records_seeds_do_not_shrink_the_error_they_share() -> None:
    cells = [("base", None, None, 0.5, 0.02), ("a-s0", "a", 0, 0.6, 0.03), ("a-s1", "a", 1, 0.8, 0.04)]
    columns = ["model", "source", "seed", "value", "stderr"]
    grid = Grid.of(ScoreMatrix.from_long(pd.DataFrame(cells, columns=columns).assign(task="t", n=100)))
    (found,) = source_gains(grid, {}, 0.95).values()
    half = stats.norm.ppf(0.975) * np.sqrt(0.02**2 + (0.03**2 + 0.04**2) / 2)
    assert (found["lo"], found["value"], found["hi"]) == pytest.approx((0.2 - half, 0.2, 0.2 + half))
    # Two runs at 0.1 and 0.3: S^2 = 0.02 on one degree of freedom, half of it in a mean of two.
    assert found["runs"] == pytest.approx((0.01, 0.01**2))


def test_runs_known_from_two_seeds_serve_a_source_with_one() -> None:
    cells = [("base", None, None, 0.5), ("a-s0", "a", 0, 0.6), ("a-s1", "a", 1, 0.8), ("b-s0", "b", 0, 0.4)]
    frame = pd.DataFrame(cells, columns=["model", "source", "seed", "value"]).assign(task="t")
    effects = measure_effects(ScoreMatrix.from_long(frame), replicates=100, permutations=99)
    found = effects.of_kind("source_gain").set_index("source")
    for source, value, variance in (("a", 0.2, 0.01), ("b", -0.1, 0.02)):
        half = stats.t.ppf(0.975, 1) * np.sqrt(variance)
        assert found.loc[source, ["value", "lo", "hi"]].tolist() == pytest.approx([value, value - half, value + half])
    assert not effects.settings["scope"]


def test_a_known_deviation_between_runs_is_taken_and_without_one_the_runs_alone_are_spoken_of() -> None:
    cells = [("base", None, 50.0, 1.0), ("a-s0", "a", 60.0, 1.0), ("b-s0", "b", 40.0, 1.0)]
    frame = pd.DataFrame(cells, columns=["model", "source", "value", "stderr"]).assign(task="t", seed=0)
    matrix = ScoreMatrix.from_long(frame, units="percent")
    alone = measure_effects(matrix, replicates=100, permutations=99)
    assert alone.of_kind("source_gain").empty
    assert alone.render().startswith("One seed per source: all findings speak of these runs only")
    told = measure_effects(matrix, replicates=100, permutations=99, run_sd=2.0)
    row = told.of_kind("source_gain").set_index("source").loc["a"]
    half = stats.norm.ppf(0.975) * np.sqrt(1 + 1 + 4)
    assert (row["value"], row["lo"], row["hi"]) == pytest.approx((10.0, 10 - half, 10 + half))
    assert not told.settings["scope"] and "these runs only" not in told.render()
