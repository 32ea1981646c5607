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


def test_the_error_has_a_part_of_the_examples_and_a_part_of_the_seeds() -> None:
    study = random_study(("c", "d"), ("a",), 150, np.random.default_rng(5), lambda s, t: 0.8, seeds=(0, 1, 2))
    effects = measure_effects(study.matrix, study.records, replicates=300, permutations=99)
    found = effects.of_kind("source_gain").set_index("source")
    gains = effects.tables["gains"].set_index("model")
    cells = {s: gains.loc[[f"{s}-s{k}" for k in range(3)]] for s in ("c", "d")}
    between = np.mean([cell["gain"].var(ddof=1) for cell in cells.values()])
    assert between > 0
    for source, cell in cells.items():
        errors = (cell["hi"] - cell["lo"]) / 2 / stats.norm.ppf(0.975)
        error = np.sqrt((errors**2).mean() + between / 3)
        row = found.loc[source]
        assert row["value"] == pytest.approx(cell["gain"].mean())
        half = stats.t.ppf(0.975, 4) * error
        assert (row["lo"], row["hi"]) == pytest.approx((row["value"] - half, row["value"] + half))
        assert row["p"] == pytest.approx(2 * stats.t.sf(abs(row["value"]) / error, 4))


def test_without_records_seeds_do_not_shrink_the_error_they_share() -> None:
    cells = [("base", None, None, 0.5, 0.0), ("a-s0", "a", 0, 0.6, 0.03), ("a-s1", "a", 1, 0.8, 0.04)]
    columns = ["model", "source", "seed", "value", "stderr"]
    grid = Grid.of(ScoreMatrix.from_long(pd.DataFrame(cells, columns=columns).assign(task="t", n=100)))
    (found,) = source_gains(grid, {}).values()
    assert found["value"] == pytest.approx(0.2)
    assert found["stderr"] == pytest.approx(np.sqrt((0.03**2 + 0.04**2) / 2))
