"""The number of traits, against planted truths."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from trait_worlds import Planted, noise_edge, planted_matrix

from traitscope.traits import fit_traits
from traitscope.traits.bootstrap import bootstrap_count
from traitscope.traits.count import held_out_cells, sequential_permutation
from traitscope.traits.null import permutation_null
from traitscope.traits.pca import centre_and_scale


def bootstrapped(planted: Planted, rng: np.random.Generator, draws: int = 99) -> int:
    return bootstrap_count(
        planted.measured_IN,
        planted.stderr_IN**-2.0,
        lambda count: planted.stderr_IN * rng.standard_normal((count, *planted.stderr_IN.shape)),
        rng=rng,
        alpha=0.02,
        draws=draws,
        method="",
    ).count


def held_out_count(planted: Planted, rng: np.random.Generator) -> int:
    unit = np.sqrt((planted.stderr_IN**2).mean(axis=0))
    found = held_out_cells(planted.measured_IN, unit, "noise", rng=rng, repeats=2)
    assert found is not None
    return found.count


def lower_bound(planted: Planted, rng: np.random.Generator) -> int:
    centred, _, _ = centre_and_scale(planted.measured_IN, True)
    return sequential_permutation(centred, permutations=199, rng=rng).count


def parallel_count(planted: Planted, rng: np.random.Generator) -> int:
    centred, _, _ = centre_and_scale(planted.measured_IN, True)
    return permutation_null(centred, permutations=199, rng=rng).count


def share_right(counts: list[int], k: int) -> float:
    return float(np.mean(np.array(counts) == k))


@pytest.mark.parametrize("k", [0, 1, 3])
def test_the_bootstrap_finds_the_planted_number(k: int) -> None:
    rng = np.random.default_rng(k)
    counts = [bootstrapped(planted_matrix(11, 10, k, rng, apart=1.5), rng) for _ in range(15)]
    # 97 % right by construction; fewer than 12 of 15 would happen once in two thousand times.
    assert share_right(counts, k) >= 0.8


@pytest.mark.parametrize("k", [0, 2, 4])
def test_held_out_cells_find_the_planted_number_too(k: int) -> None:
    rng = np.random.default_rng(k)
    counts = [held_out_count(planted_matrix(11, 10, k, rng, apart=1.3), rng) for _ in range(10)]
    assert share_right(counts, k) >= 0.8


def test_plain_parallel_analysis_misses_planted_traits_and_the_lower_bound_stays_below() -> None:
    rng = np.random.default_rng(3)
    plain, bound = [], []
    for _ in range(30):
        planted = planted_matrix(11, 10, 3, rng)
        plain.append(parallel_count(planted, rng))
        bound.append(lower_bound(planted, rng))
    assert share_right(plain, 3) < 0.6
    assert np.mean(np.array(bound) > 3) <= 0.1
    assert np.mean(bound) > np.mean(plain)


def test_the_headline_says_both_numbers() -> None:
    planted = planted_matrix(11, 10, 2, np.random.default_rng(5), ratio=4, apart=1.5)
    traits = fit_traits(planted.scores, permutations=19, replicates=0)
    assert traits.k == traits.count.supported == 2
    assert traits.count.held_out is not None and traits.count.predictive == 2
    assert traits.count.statement == (
        "2 directions of transfer stand above the measurement noise; 2 of them help to predict held-out cells; one "
        "seed per source and no known deviation between runs: this speaks of these runs only"
    )
    assert traits.count.sequential is not None and traits.count.permutation is None
    assert traits.count.sequential.edge_J[0] == pytest.approx(noise_edge(11, 10), rel=0.25)


def test_without_standard_errors_the_count_is_at_least_so_many() -> None:
    planted = planted_matrix(11, 10, 2, np.random.default_rng(5), ratio=3, apart=1.4)
    from traitscope.matrix import ScoreMatrix

    bare = ScoreMatrix.from_wide(planted.scores.to_wide())
    traits = fit_traits(bare, permutations=199, replicates=50)
    assert traits.count.sequential is None and traits.intervals is None
    assert traits.count.statement.startswith("at least ") and "lower bound by permutation" in traits.count.statement
    assert traits.count.supported <= 2


def test_noise_keeps_one_trait_and_marks_it() -> None:
    planted = planted_matrix(11, 10, 0, np.random.default_rng(8))
    traits = fit_traits(planted.scores, permutations=99, draws=199, replicates=0)
    assert traits.count.supported == 0 and traits.k == 1
    assert traits.above_null_K == (False,)
    assert traits.count.statement.startswith("no direction of transfer stands above the measurement noise;")


def test_all_components_above_the_noise_is_a_lower_bound() -> None:
    rng = np.random.default_rng(9)
    planted = planted_matrix(6, 5, 0, rng)
    loud = Planted(planted.true_IN, planted.stderr_IN / 1e4, planted.measured_IN)
    traits = fit_traits(loud.scores, permutations=19, draws=99, replicates=0)
    assert traits.count.sequential is not None and traits.count.sequential.capped
    assert traits.count.statement.startswith("at least 4")


def test_seed_variance_widens_the_noise() -> None:
    import pandas as pd

    from traitscope.matrix import ScoreMatrix

    rng = np.random.default_rng(10)
    rows = []
    for source in range(10):
        for seed in range(3):
            for task in range(8):
                # Runs differ by 0.05; nothing else is there.
                value = 0.5 + 0.05 * rng.normal()
                rows.append((f"s{source}-s{seed}", f"s{source}", seed, f"t{task}", value, 0.005))
    for task in range(8):
        rows.append(("base", None, None, f"t{task}", 0.5, 0.005))
    table = pd.DataFrame(rows, columns=["model", "source", "seed", "task", "value", "stderr"])
    with_seeds = fit_traits(ScoreMatrix.from_long(table), permutations=19, draws=199, replicates=0)
    assert with_seeds.count.supported == 0
    one_seed = table[table["seed"].isna() | (table["seed"] == 0)]
    without = fit_traits(ScoreMatrix.from_long(one_seed), permutations=19, draws=199, replicates=0)
    assert without.count.supported > 0
    assert "these runs only" in without.count.statement and "these runs only" not in with_seeds.count.statement
    known = fit_traits(ScoreMatrix.from_long(one_seed), permutations=19, replicates=0, run_sd=5.0)
    assert known.count.supported == 0 and "these runs only" not in known.count.statement
    bare = fit_traits(ScoreMatrix.from_long(table.drop(columns="stderr")), permutations=19, replicates=0)
    assert bare.count.sequential is not None and bare.count.sequential.method == "variance between seeds"
    assert bare.count.supported == 0


@pytest.mark.verify
@pytest.mark.parametrize("k", range(5))
@pytest.mark.parametrize("shape", [(11, 10), (40, 25)])
def test_the_other_ways_of_counting_are_printed(shape: tuple[int, int], k: int) -> None:
    rng = np.random.default_rng([k, *shape])
    matrices = 100 if shape == (11, 10) else 30
    planted = [planted_matrix(*shape, k, rng, apart=1.0 + (i % 2) / 2) for i in range(matrices)]
    for way in (held_out_count, lower_bound, parallel_count):
        counts = [way(matrix, rng) for matrix in planted]
        above = np.mean(np.array(counts) > k)
        sys.stdout.write(f"\n{way.__name__} {shape} k={k}: right {share_right(counts, k):.3f} above {above:.3f}")
        assert way is held_out_count or above <= 0.2
