"""Measures of a forecast against scikit-learn, scipy and enumeration; skill that noise cannot claim."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score

from traitscope.predict.scoring import auroc, near_duplicates, regret, spearman
from traitscope.predict.skill import skill


def test_auroc_is_that_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    label, score = rng.random(80) < 0.3, rng.integers(0, 9, 80).astype(float)
    assert auroc(score, label) == pytest.approx(roc_auc_score(label, score))
    assert np.isnan(auroc(score, np.ones(80, dtype=bool)))


def test_rank_correlation_is_that_of_scipy() -> None:
    rng = np.random.default_rng(1)
    x, y = rng.integers(0, 5, 12).astype(float), rng.standard_normal(12)
    assert spearman(x, y) == pytest.approx(spearmanr(x, y).statistic)
    assert spearman(np.zeros(12), y) == 0.0


@pytest.mark.parametrize("k", [1, 2, 3])
def test_regret_of_ties_is_the_mean_over_their_orders(k: int) -> None:
    predicted, true = np.array([3.0, 1.0, 1.0, 1.0, 0.0]), np.array([2.0, 9.0, 4.0, 5.0, 7.0])
    lost = []
    for order in permutations(range(5)):
        ranked = sorted(order, key=lambda i: -predicted[i])  # a stable sort of every order
        lost.append(9.0 - max(true[i] for i in ranked[:k]))
    assert regret(predicted, true, k) == pytest.approx(np.mean(lost))


def test_columns_that_order_the_sources_alike_are_grouped() -> None:
    rng = np.random.default_rng(2)
    z_BIN = rng.standard_normal((3, 10, 5))
    z_BIN[:, :, 3] = np.exp(z_BIN[:, :, 1])  # the same order on another scale
    z_BIN[0, 2, 3] = np.nan
    assert near_duplicates(z_BIN, 0.95) == ((1, 3),)


def test_skill_of_a_better_forecast_by_hand() -> None:
    rng = np.random.default_rng(3)
    baseline_IN = 1.0 + 0.1 * rng.random((8, 8))
    found = skill(0.5 * baseline_IN, baseline_IN)
    assert found.saved == pytest.approx(0.5)
    assert found.better and found.hi - found.lo < 1e-6
    assert not skill(baseline_IN, baseline_IN).better


def test_skill_intervals_are_as_wide_as_sources_and_tasks_make_them() -> None:
    rng = np.random.default_rng(4)
    covered, count = 0, 400
    for _ in range(count):
        # Each source and each task is better or worse forecast by an amount of its own; truly a fifth is saved.
        loss_IN = 0.8 + 0.3 * rng.standard_normal((12, 1)) + 0.3 * rng.standard_normal(10)
        found = skill(loss_IN + 0.3 * rng.standard_normal((12, 10)), np.ones((12, 10)))
        covered += found.lo <= 0.2 <= found.hi
    assert 0.92 <= covered / count <= 0.99
