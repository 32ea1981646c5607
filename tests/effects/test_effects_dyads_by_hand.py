"""Pairs of datasets by hand: near and far domains, both directions of a pair, controls elsewhere."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from effect_study import random_study
from scipy import stats

from traitscope.effects.contrasts import asymmetry_rows, controls_elsewhere
from traitscope.effects.domain import (
    Dyads,
    domain_rows,
    dyads,
    near_far_statistic,
    rank_statistic,
    similarity_permutation,
)
from traitscope.effects.grid import Grid
from traitscope.stats import Similarity

NAMES = ("a", "b", "c", "a.mislabel")


def grid_of(sources: tuple[str, ...], tasks: tuple[str, ...]) -> Grid:
    return Grid.of(random_study(sources, tasks, 10, np.random.default_rng(0)).matrix)


def gain(value: float, unit: str = "share", stderr: float = 0.1) -> dict:
    half = stats.norm.ppf(0.95) * stderr
    about = {"replicates": None, "seeds": 1, "runs": None, "method": "normal", "words": ""}
    about |= {"habit": "", "remark": ""}
    return {"value": value, "lo": value - half, "hi": value + half, "unit": unit, **about}


def alike(names: tuple[str, ...], values_MM: np.ndarray) -> Similarity:
    return Similarity(kind="semantic", method="given", names=names, values_MM=values_MM)


def symmetric(m: int) -> np.ndarray:
    values_MM = np.random.default_rng(m).random((m, m))
    return (values_MM + values_MM.T) / 2


def all_pairs(values_MM: np.ndarray, noise: float) -> Dyads:
    """Every ordered pair of datasets, whose gain is its similarity and noise."""
    source_V, target_V = np.nonzero(~np.eye(len(values_MM), dtype=bool))
    error_V = np.random.default_rng(1).normal(0, noise, len(source_V))
    return Dyads(source_V, target_V, values_MM[source_V, target_V] + error_V)


def test_cells_of_near_and_far_domains_are_neither_own_nor_of_controls() -> None:
    gains = {(0, source, task): gain(0.1) for source in NAMES for task in ("a", "b")}
    cells, unit = dyads(grid_of(NAMES, ("a", "b")), gains, alike(NAMES, symmetric(4)), 0)
    pairs = {(NAMES[s], NAMES[t]) for s, t, _ in zip(*cells, strict=True)}
    assert unit == "share" and pairs == {("a", "b"), ("b", "a"), ("c", "a"), ("c", "b")}


def test_gains_in_different_units_are_divided_by_the_deviation_on_their_task() -> None:
    # Deviations 0.1 and 10: mean 0.2 and 20, each a deviation off it.
    values = {("b", "a"): 0.1, ("c", "a"): 0.3, ("a", "b"): 10.0, ("c", "b"): 30.0}
    gains = {(0, s, t): gain(value, "share" if t == "a" else "score") for (s, t), value in values.items()}
    cells, unit = dyads(grid_of(NAMES, ("a", "b")), gains, alike(NAMES, symmetric(4)), 0)
    assert unit == "task standard deviations"
    assert cells.gain_V == pytest.approx([1.0, 3.0, 1.0, 3.0])


def test_p_is_that_of_all_orders_of_the_datasets_rows_and_columns_together() -> None:
    values_MM = symmetric(5)
    cells = all_pairs(values_MM, 1.0)

    def rho(order: tuple[int, ...]) -> float:
        moved_MM = values_MM[np.ix_(order, order)]
        return float(stats.spearmanr(cells.gain_V, moved_MM[cells.source_V, cells.target_V]).statistic)

    observed, p = similarity_permutation(cells, values_MM, rank_statistic, 20_000, 0)
    assert observed == pytest.approx(rho((0, 1, 2, 3, 4)))
    exact = np.mean([abs(rho(order)) >= abs(observed) - 1e-9 for order in permutations(range(5))])
    assert 0.02 < exact < 0.5 and p == pytest.approx(exact, abs=0.012)


def test_the_smallest_p_of_a_permutation_is_that_of_an_order_that_never_came() -> None:
    values_MM = symmetric(9)
    assert similarity_permutation(all_pairs(values_MM, 0.0), values_MM, rank_statistic, 19, 0)[1] == 1 / 20


def test_intervals_of_domains_leave_every_dataset_out_on_both_sides_and_end_at_one() -> None:
    names, values_MM = tuple("abcde"), symmetric(5)
    cells = all_pairs(values_MM, 0.1)
    gains = {(0, names[s], names[t]): gain(value) for s, t, value in zip(*cells, strict=True)}
    found, _ = domain_rows(grid_of(names, names), gains, alike(names, values_MM), 99, 0, 0.95)
    row = found["domain_tests"][0]

    def rho(keep: np.ndarray) -> float:
        return float(stats.spearmanr(cells.gain_V[keep], cells.of(values_MM)[keep]).statistic)

    left_out = np.array([rho((cells.source_V != d) & (cells.target_V != d)) for d in range(5)])
    half = stats.t.ppf(0.975, 4) * np.sqrt(4 / 5 * ((left_out - left_out.mean()) ** 2).sum())
    value = rho(np.ones(20, dtype=bool))
    assert (row["value"], row["lo"]) == pytest.approx((value, value - half))
    assert value + half > 1.0 and row["hi"] == 1.0


def test_similarities_that_do_not_tell_pairs_apart_correlate_with_nothing() -> None:
    names, cells = tuple("abcde"), all_pairs(symmetric(5), 0.1)
    gains = {(0, names[s], names[t]): gain(value) for s, t, value in zip(*cells, strict=True)}
    found, notes = domain_rows(grid_of(names, names), gains, alike(names, np.full((5, 5), 0.3)), 99, 0, 0.95)
    assert not found["domain_tests"] and notes == [
        "near against far domains: all pairs have the same semantic similarity"
    ]
    by_dataset = np.arange(5) / 7
    values_MM = by_dataset[:, None] + by_dataset[None, :]
    found, notes = domain_rows(grid_of(names, names), gains, alike(names, values_MM), 99, 0, 0.95)
    assert [row["name"] for row in found["domain_tests"]] == ["rank correlation", "near minus far third"]


def test_near_minus_far_is_the_most_alike_third_minus_the_least_alike_by_task() -> None:
    # On task 0 seven sources, thirds of two: (5 + 7) / 2 - (1 + 2) / 2; on task 1 three: 4 - 8; on task 2 too few.
    cells = Dyads(np.arange(12), np.repeat([0, 1, 2], [7, 3, 2]), np.array([1, 2, 9, 9, 9, 5, 7, 8, 0, 4, 3, 6.0]))
    similarity_PV = np.array([[0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.1, 0.2, 0.3, 0.1, 0.2]])
    assert near_far_statistic(cells, similarity_PV) == pytest.approx([(4.5 - 4.0) / 2])


def test_asymmetry_is_a_difference_whose_errors_add_of_tasks_in_one_unit() -> None:
    gains = {(0, "a", "b"): gain(0.3, stderr=0.03), (0, "b", "a"): gain(0.1, stderr=0.04)}
    gains |= {(0, "a", "c"): gain(2.0, "score"), (0, "c", "a"): gain(0.1)}
    found, notes = asymmetry_rows(grid_of(NAMES[:3], NAMES[:3]), gains, 0.9)
    (row,) = found["asymmetry"]
    half = stats.norm.ppf(0.95) * 0.05
    assert (row["i"], row["j"], row["_method"]) == ("a", "b", "normal")
    assert (row["difference"], row["lo"], row["hi"]) == pytest.approx((0.2, 0.2 - half, 0.2 + half))
    assert row["p"] == pytest.approx(2 * stats.norm.sf(4.0))
    assert notes == ["asymmetry: 1 pair left out, whose tasks are scored in different units"]


def test_a_control_elsewhere_is_its_mean_over_the_tasks_that_are_not_its_sources_own() -> None:
    control = {"model": "a.mislabel-s0", "source": "a.mislabel", "seed": 0, "parent": "a", "unit": "share", "n": 10}
    rows = [
        {**control, "_away": away, "difference": difference, "_replicates": np.linspace(-1, 1, 101) / 10 + difference}
        for away, difference in ((False, -0.8), (True, 0.1), (True, 0.2))
    ]
    (found,) = controls_elsewhere(rows, 0.95)
    assert (found["value"], found["n"]) == (pytest.approx(0.15), 2)
