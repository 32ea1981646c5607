"""Successive halving: chances against closed forms and simulation, choices by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from traitscope.predict.halving import (
    Standing,
    chance_best,
    contenders,
    draw_gains,
    drift_between,
    expected_gains,
    keep_promising,
)


def test_the_chance_of_the_better_of_two_is_the_normal_one() -> None:
    mean, variance = np.array([[1.0], [0.0]]), np.array([[2.0], [2.0]])
    drawn = draw_gains(mean + 20, variance, np.random.default_rng(0), draws=100_000)
    chance = chance_best(drawn)
    assert chance[0, 0] == pytest.approx(norm.cdf(1.0 / 2.0), abs=0.006)
    assert chance.sum() == pytest.approx(1.0)
    # The base is better than both half of the time that neither gains.
    assert chance_best(drawn - 20).sum() == pytest.approx(1 - norm.cdf(-1 / 2**0.5) * norm.cdf(0), abs=0.006)


def test_what_was_not_looked_at_is_never_the_best() -> None:
    mean = np.array([[np.nan, np.nan], [-5.0, np.nan]])
    drawn = draw_gains(mean, np.where(np.isnan(mean), np.nan, 1.0), np.random.default_rng(0))
    np.testing.assert_array_equal(chance_best(drawn + 20), [[0, 0], [1, 0]])


def test_shrunk_gains_are_nearer_to_the_truth_than_measured_ones() -> None:
    rng = np.random.default_rng(1)
    truth = rng.normal(size=(20, 300))
    error = rng.choice([0.1, 3.0], size=truth.shape)
    gain = truth + rng.normal(size=truth.shape) * np.sqrt(error)
    mean, variance = expected_gains(Standing(gain, error, np.zeros(300)))
    assert np.mean((mean - truth) ** 2) < 0.6 * np.mean((gain - truth) ** 2)
    # Bayes: what is left is the posterior variance (of 20 sources, whose own spread is estimated).
    assert np.mean(variance) == pytest.approx(np.mean((mean - truth) ** 2), rel=0.2)


def test_sources_are_kept_for_what_they_add_per_cost() -> None:
    gains = np.array([[4.0, 0.0], [0.0, 3.0], [3.9, 0.0], [-1.0, -1.0]])
    drawn = np.repeat(gains[None], 10, axis=0)
    none = np.zeros((10, 2))
    assert keep_promising(drawn, none, np.ones(4), budget=10, margin=0.01) == [0, 1]
    assert keep_promising(drawn, none, np.ones(4), budget=1, margin=0.01) == [0]
    assert keep_promising(drawn, none, np.array([9.0, 1.0, 1.0, 1.0]), budget=2, margin=0.01) == [2, 1]
    assert keep_promising(drawn, none, np.array([3.0, 9.0, 2.0, 1.0]), budget=3, margin=0.01) == [2]
    assert keep_promising(drawn, none, np.ones(4), budget=10, margin=1.8) == [0]
    assert keep_promising(drawn, none + 5, np.ones(4), budget=10, margin=0.01) == []


def test_a_leader_out_of_reach_needs_no_more_rows() -> None:
    mean = np.array([[5.0, 1.0], [0.0, 0.9], [np.nan, -5.0]])
    variance = np.full((3, 2), 0.25)
    found = contenders(mean, variance, margin_N=np.array([0.1, 0.1]))
    np.testing.assert_array_equal(found, [[False, True], [False, True], [False, False]])


def test_differences_that_do_not_matter_ask_for_no_rows() -> None:
    mean, variance = np.array([[1.0], [0.9]]), np.full((2, 1), 0.01)
    assert contenders(mean, variance, np.array([0.0])).all()
    assert not contenders(mean, variance, np.array([1.0])).any()


def test_drift_is_what_moves_sources_apart_without_shift_and_errors() -> None:
    rng = np.random.default_rng(2)
    final = rng.normal(size=5000)
    early = final - 3.0 + 0.5 * rng.normal(size=5000) + 0.4 * rng.normal(size=5000)
    late = final + 0.3 * rng.normal(size=5000)
    drift = drift_between(early, late, np.full(5000, 0.16), np.full(5000, 0.09))
    assert drift == pytest.approx(0.5, abs=0.03)
    assert np.isnan(drift_between(early[:2], late[:2], np.ones(2), np.ones(2)))


def test_of_sources_that_are_alike_only_their_mean_is_in_doubt() -> None:
    """Three equal gains of error .3: no signal, so each is the mean, of variance .1; drift adds its square."""
    gain = np.full((3, 1), 2.0)
    mean, variance = expected_gains(Standing(gain, np.full((3, 1), 0.3), np.array([0.2])))
    np.testing.assert_allclose(mean, 2.0)
    np.testing.assert_allclose(variance, 0.1 + 0.04)


def test_what_few_rows_do_not_show_may_still_be_there() -> None:
    """Two gains that differ by less than their errors: with a deviation of 1 possible, a half of each counts."""
    gain = np.array([[1.0], [-1.0]])
    standing = Standing(gain, np.full((2, 1), 1.0), np.zeros(1))
    np.testing.assert_allclose(expected_gains(Standing(gain, np.full((2, 1), 9.0), np.zeros(1)))[0], 0.0, atol=1e-6)
    mean, _ = expected_gains(standing, 2.0)
    np.testing.assert_allclose(mean, gain * 4 / 5)
