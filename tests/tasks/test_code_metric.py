"""pass@k is the unbiased estimator of Chen et al. 2021, whatever the numbers."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import combinations

import numpy as np
import pytest

from traitscope.metrics import METRICS, Outcomes, example_values, pass_at_k, score


@pytest.mark.parametrize(
    ("n", "c", "k", "by_hand"),
    [
        (1, 1, 1, 1.0),
        (1, 0, 1, 0.0),
        (2, 1, 1, 0.5),
        (4, 2, 2, 5 / 6),
        (10, 3, 5, 11 / 12),
        (5, 5, 3, 1.0),
        (5, 0, 5, 0.0),
    ],
)
def test_values_worked_by_hand(n: int, c: int, k: int, by_hand: float) -> None:
    assert pass_at_k(n, c, k) == pytest.approx(by_hand, abs=1e-15)


def test_it_is_the_share_of_all_choices_of_k_that_hold_a_right_one() -> None:
    for n in range(1, 8):
        for c in range(n + 1):
            for k in range(1, n + 1):
                choices = list(combinations([True] * c + [False] * (n - c), k))
                assert pass_at_k(n, c, k) == pytest.approx(sum(map(any, choices)) / len(choices), abs=1e-14)


def test_it_equals_exact_fractions_where_binomials_are_huge() -> None:
    for n, c, k in ((200, 7, 100), (1000, 1, 200), (10_000, 30, 100), (10_000, 9_950, 100)):
        exact = 1 - Fraction(math.comb(n - c, k), math.comb(n, k))
        assert pass_at_k(n, c, k) == pytest.approx(float(exact), rel=1e-10)


@pytest.mark.parametrize(("n", "c", "k"), [(3, 4, 1), (3, -1, 1), (3, 1, 4), (3, 1, 0)])
def test_impossible_counts_are_refused(n: int, c: int, k: int) -> None:
    with pytest.raises(ValueError, match="not defined"):
        pass_at_k(n, c, k)


def test_metric_is_the_mean_over_examples_with_its_error() -> None:
    right = ((True, False, False, False), (False,) * 4, (True,) * 4)
    outcomes = Outcomes(
        gold=("",) * 3,
        pred=(None,) * 3,
        pred_norm=(None,) * 3,
        references=(),
        loss_S=np.zeros(3),
        classes=None,
        right=right,
    )
    metric = METRICS.get("pass@2").value
    assert "pass@2" not in METRICS.names(), "of the names that are not listed"
    assert example_values(metric, outcomes).tolist() == pytest.approx([0.5, 0.0, 1.0])
    found = score(metric, outcomes)
    assert (found.value, found.stderr) == (pytest.approx(0.5), pytest.approx(0.5 / math.sqrt(3)))
    assert metric.higher_is_better and metric.needs_samples == 2


@pytest.mark.parametrize("k", [1, 4, 10, 25, 200])
def test_any_k_is_a_metric(k: int) -> None:
    entry = METRICS.get(f"pass@{k}")
    right = ((True,) * 3 + (False,) * 197,)
    outcomes = Outcomes(
        gold=("",), pred=(None,), pred_norm=(None,), references=(), loss_S=np.zeros(1), classes=None, right=right
    )
    exact = 1 - math.comb(197, k) / math.comb(200, k)
    assert example_values(entry.value, outcomes).tolist() == pytest.approx([exact])
    # Names that are listed are no other metrics.
    assert (entry.name, entry.mark, entry.value.needs_samples) == (f"pass@{k}", 1, k)
    with pytest.raises(ValueError, match="registered already"):
        METRICS.register(f"pass@{k}", version=1, reference="another")(entry.value)
