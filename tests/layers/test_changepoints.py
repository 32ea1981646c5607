"""Change points against exhaustive search and against ruptures."""

from __future__ import annotations

import itertools

import numpy as np
import published
import pytest
import ruptures

from traitscope.layers import best_segmentations, change_points, hinge_test


def steps(levels: list[float], lengths: list[int], noise: float = 0.1, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    curve = np.repeat(levels, lengths)
    return np.stack([curve, -0.5 * curve], axis=1) + noise * rng.standard_normal((len(curve), 2))


@pytest.mark.parametrize("breaks", [1, 2, 3])
def test_levels_equal_ruptures_dynp(breaks: int) -> None:
    curves = steps([0, 1, 0.5, 2], [7, 5, 9, 6], noise=0.4)
    peer = ruptures.Dynp(model="l2", min_size=2, jump=1).fit(curves)
    wanted = peer.predict(n_bkps=breaks)
    cost, found = best_segmentations(curves, breaks, cost="mean", min_size=2)[breaks]
    assert [*found, len(curves)] == wanted
    assert cost == pytest.approx(peer.cost.sum_of_costs(wanted), rel=1e-9)


@pytest.mark.parametrize("breaks", [1, 2])
def test_lines_equal_ruptures_linear_regression(breaks: int) -> None:
    rng = np.random.default_rng(1)
    x = np.arange(30.0)
    curve = (
        np.where(x < 11, 0.0, 0.3 * (x - 11)) + np.where(x < 20, 0.0, -0.3 * (x - 20)) + 0.2 * rng.standard_normal(30)
    )
    signal = np.stack([curve, x, np.ones(30)], axis=1)
    wanted = ruptures.Dynp(model="linear", min_size=3, jump=1).fit(signal).predict(n_bkps=breaks)
    _, found = best_segmentations(curve[:, None], breaks, cost="line", min_size=3)[breaks]
    assert [*found, 30] == wanted


@pytest.mark.parametrize("cost", ["mean", "line"])
def test_the_dynamic_programme_equals_trying_every_segmentation(cost: str) -> None:
    rng = np.random.default_rng(2)
    curves = rng.standard_normal((14, 2)).cumsum(axis=0)
    x = np.arange(14.0)

    def rest(start: int, end: int) -> float:
        design = np.ones((end - start, 1)) if cost == "mean" else np.stack([np.ones(end - start), x[start:end]], 1)
        fit = design @ np.linalg.lstsq(design, curves[start:end], rcond=None)[0]
        return float(np.sum((curves[start:end] - fit) ** 2))

    best = min(
        sum(rest(a, b) for a, b in itertools.pairwise((0, *inner, 14)))
        for inner in itertools.combinations(range(1, 14), 2)
        if all(b - a >= 3 for a, b in itertools.pairwise((0, *inner, 14)))
    )
    assert best_segmentations(curves, 2, cost=cost, min_size=3)[2][0] == pytest.approx(best, rel=1e-9)


def test_the_number_of_breaks_is_found() -> None:
    assert change_points(steps([0, 2, 5], [8, 9, 8]), cost="mean", min_size=2).breaks == (8, 17)


def test_noise_has_no_breaks_in_most_draws() -> None:
    rng = np.random.default_rng(3)
    none = [change_points(rng.standard_normal((24, 2)), seed=i, draws=60).breaks == () for i in range(20)]
    assert np.mean(none) >= 0.85


def test_a_straight_line_has_no_breaks() -> None:
    line = np.arange(24.0)[:, None] * np.array([[1.0, -2.0]]) + 3.0
    assert change_points(line).breaks == ()


def test_two_breaks_in_the_published_curves_lie_beside_the_papers_sections() -> None:
    mix, base = np.array(published.MIX_MEDIAN_L), np.array(published.BASE_MEDIAN_L)
    curves = np.stack([mix - base, mix, base, np.array(published.MIX_DIMS_L, dtype=float)], axis=1)
    z = (curves - curves.mean(0)) / curves.std(0)
    assert best_segmentations(z, 2, cost="line", min_size=3)[2][1] == (8, 15)


def test_a_hinge_is_told_from_a_line() -> None:
    rng = np.random.default_rng(4)
    x = np.arange(24.0)
    tasks = 0.02 * rng.standard_normal((20, 1)) + 0.01 * rng.standard_normal((20, 24))
    bent = hinge_test(np.maximum(0.0, 0.03 * (x - 9)) + tasks)
    assert bent.p < 0.01
    assert bent.knot == pytest.approx(9, abs=1)
    assert hinge_test(0.02 * x + tasks).p > 0.05


def test_the_hinge_test_holds_its_level_on_straight_lines() -> None:
    rng = np.random.default_rng(5)
    p = []
    for i in range(100):
        own = 0.1 * rng.standard_normal((20, 1)) + 0.05 * rng.standard_normal((20, 24)).cumsum(axis=1) / 5
        p.append(hinge_test(0.015 * np.arange(24.0) + own, draws=100, seed=i).p)
    assert np.mean(np.array(p) <= 0.05) <= 0.12
