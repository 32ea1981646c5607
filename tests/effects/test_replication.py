"""Partial conjunction tests: worked by hand, and they hold their level where one study too few has the effect."""

from __future__ import annotations

import numpy as np
import pytest

from traitscope.effects.replication import at_least, partial_conjunction, same_direction
from traitscope.errors import TraitscopeError


def test_p_of_two_of_four_by_hand() -> None:
    p = np.array([[0.001, 0.01, 0.02, 0.6]])
    # Left after the smallest: .01, .02, .6.
    assert partial_conjunction(p, 2, "bonferroni")[0] == pytest.approx(3 * 0.01)
    assert partial_conjunction(p, 2, "simes")[0] == pytest.approx(min(3 * 0.01, 1.5 * 0.02, 0.6))
    # Chi-square of 6 degrees of freedom above x: exp(-x/2) (1 + x/2 + (x/2)^2 / 2); x/2 = -log of the product.
    half = -np.log(0.01 * 0.02 * 0.6)
    assert partial_conjunction(p, 2, "fisher")[0] == pytest.approx(np.exp(-half) * (1 + half + half**2 / 2))


@pytest.mark.parametrize("combination", ["simes", "bonferroni", "fisher"])
def test_all_of_n_is_the_largest_p(combination: str) -> None:
    p = np.array([[0.03, 0.2, 0.001], [0.5, 0.04, np.nan]])
    assert partial_conjunction(p, 3, combination)[0] == pytest.approx(0.2)
    assert np.isnan(partial_conjunction(p, 3, combination)[1])
    assert partial_conjunction(p, 2, combination)[1] == pytest.approx(0.5)


def test_opposite_effects_do_not_replicate_each_other() -> None:
    p, up = np.array([[1e-6, 1e-6]]), np.array([[1.0, 1.0]])
    same, direction = same_direction(p, up, 2)
    assert same[0] == pytest.approx(1e-6) and direction[0] == 1
    assert same_direction(p, -up, 2)[1][0] == -1
    opposite, _ = same_direction(p, np.array([[1.0, -1.0]]), 2)
    assert opposite[0] == 1.0


def test_an_effect_the_other_way_counts_with_the_rest_of_its_half_by_hand() -> None:
    p, sign = np.array([[0.04, 0.2]]), np.array([[1.0, -1.0]])
    # One-sided .02 and .9; Fisher of two: x (1 - log x) of their product.
    product = 0.02 * 0.9
    found, _ = same_direction(p, sign, 1, "fisher")
    assert found[0] == pytest.approx(2 * product * (1 - np.log(product)))


def test_in_at_least_so_many_studies() -> None:
    p = np.array([[1e-5, 1e-5, 1e-5, 0.9], [1e-5, 0.9, 0.9, 0.9], [0.9, 0.9, 0.9, 0.9], [1e-5, 1e-5, 1e-5, 1e-5]])
    sign = np.array([[1, 1, 1, 1], [1, 1, 1, 1], [1, 1, 1, 1], [1, 1, -1, -1]])
    assert at_least(p, sign).tolist() == [3, 1, 0, 2]


def test_an_unknown_combination_is_named() -> None:
    with pytest.raises(TraitscopeError, match="stouffer"):
        partial_conjunction(np.ones((1, 2)), 2, "stouffer")


@pytest.mark.verify
@pytest.mark.parametrize(
    ("n", "u", "combination"), [(2, 2, "simes"), (5, 2, "simes"), (5, 3, "fisher"), (8, 4, "bonferroni")]
)
def test_the_level_is_held_where_one_study_too_few_has_the_effect(n: int, u: int, combination: str) -> None:
    from scipy.stats import norm

    rng = np.random.default_rng(0)
    effect = np.where(np.arange(n) < u - 1, 30.0, 0.0)
    z = effect + rng.standard_normal((40_000, n))
    p = 2 * norm.sf(np.abs(z))
    found, _ = same_direction(p, np.sign(z), u, combination)
    # The side of the true effects is tested at half the level; the other one cannot be refused.
    share, error = float((found <= 0.05).mean()), np.sqrt(0.025 * 0.975 / len(z))
    assert share < 0.025 + 4 * error
    if n == u or combination != "bonferroni":
        assert share > 0.025 - 4 * error
    assert (at_least(p[:4000], np.sign(z[:4000]), 0.05, combination) >= u).mean() < 0.025 + 4 * 3.2 * error


@pytest.mark.verify
def test_simes_holds_its_level_where_all_studies_answer_the_same_examples() -> None:
    from scipy.stats import norm

    rng = np.random.default_rng(1)
    for share in (0.3, 0.8):
        shared = rng.standard_normal((40_000, 1))
        z = np.sqrt(share) * shared + np.sqrt(1 - share) * rng.standard_normal((40_000, 4))
        z[:, 0] += 30
        found, _ = same_direction(2 * norm.sf(np.abs(z)), np.sign(z), 2)
        assert (found <= 0.05).mean() < 0.025 + 4 * np.sqrt(0.025 / 40_000)
