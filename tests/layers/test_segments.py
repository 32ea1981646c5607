"""Segmented regression against exhaustive least squares, scipy and ruptures."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import ruptures
from scipy.optimize import least_squares

from traitscope.errors import TraitscopeError
from traitscope.layers import fit_bends, fit_rises
from traitscope.layers.segments import shortest_flat


def walks(n: int, depth: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, depth)).cumsum(axis=1)


def least(columns: list[np.ndarray], curve_L: np.ndarray) -> tuple[float, np.ndarray]:
    design = np.stack(columns, axis=1)
    parts, *_ = np.linalg.lstsq(design, curve_L, rcond=None)
    return float(np.sum((curve_L - design @ parts) ** 2)), parts


@pytest.mark.parametrize("depth", [6, 13, 32])
def test_a_rise_is_the_best_of_all_pairs_of_layers(depth: int) -> None:
    curves_BL, x_L = walks(6, depth), np.arange(float(depth))
    found = fit_rises(curves_BL)
    flat = max(2, depth // 10)
    assert shortest_flat(depth) == flat
    for b, curve_L in enumerate(curves_BL):
        tried = []
        for start, end in itertools.combinations(range(depth), 2):
            if start + 1 >= flat and depth - end >= flat:
                rest, (low, rise) = least([x_L**0, np.interp(x_L, [start, end], [0, 1])], curve_L)
                tried.append((rest, start, end, low, rise))
        rising = [fit for fit in tried if fit[-1] > 0]
        if not rising:
            assert found.rise_B[b] <= 0
            continue
        rest, start, end, low, rise = min(rising)
        assert (found.start_B[b], found.end_B[b]) == (start, end)
        assert [found.rest_B[b], found.low_B[b], found.rise_B[b]] == pytest.approx([rest, low, rise])
        assert found.fit_BL[b] == pytest.approx(low + rise * np.interp(x_L, [start, end], [0, 1]))


def test_a_step_is_where_ruptures_puts_its_one_change() -> None:
    rng = np.random.default_rng(1)
    curve_L = np.repeat([0.0, 1.0], [11, 14]) + 0.05 * rng.standard_normal(25)
    found = fit_rises(curve_L[None])
    (change, _) = ruptures.Dynp(model="l2", min_size=2, jump=1).fit(curve_L).predict(n_bkps=1)
    assert (int(found.start_B[0]) + 1, int(found.end_B[0])) == (change, change)
    assert found.rise_B[0] == pytest.approx(curve_L[change:].mean() - curve_L[:change].mean())


@pytest.mark.parametrize("depth", [6, 13, 32])
def test_a_bend_is_the_best_of_all_knots(depth: int) -> None:
    curves_BL, x_L = walks(6, depth, seed=2), np.arange(float(depth))
    found = fit_bends(curves_BL)
    for b, curve_L in enumerate(curves_BL):
        tried = [(*least([x_L**0, x_L, np.maximum(0, x_L - k)], curve_L), k) for k in range(1, depth - 2)]
        rest, parts, knot = min(tried, key=lambda fit: fit[0])
        assert (found.knot_B[b], found.rest_B[b]) == (knot, pytest.approx(rest))
        assert (found.before_B[b], found.after_B[b]) == (pytest.approx(parts[1]), pytest.approx(sum(parts[1:])))
        fixed = fit_bends(curve_L[None], knot=3)
        assert fixed.rest_B[0] == pytest.approx(least([x_L**0, x_L, np.maximum(0, x_L - 3)], curve_L)[0])


def test_real_valued_knots_improve_little_on_layers() -> None:
    """Knots between layers, found by scipy from the layers', stay within a layer of them."""
    x_L = np.arange(24.0)
    curve_L = 0.3 * np.interp(x_L, [7.4, 13.7], [0, 1]) + 0.01 * np.random.default_rng(3).standard_normal(24)
    found = fit_rises(curve_L[None])
    start = [found.low_B[0], found.rise_B[0], found.start_B[0], found.end_B[0]]
    peer = least_squares(lambda p: p[0] + p[1] * np.clip((x_L - p[2]) / (p[3] - p[2]), 0, 1) - curve_L, start)
    assert abs(peer.x[2] - start[2]) < 1 and abs(peer.x[3] - start[3]) < 1
    assert peer.x[:2] == pytest.approx(start[:2], abs=0.01)


def test_a_fall_is_no_rise() -> None:
    assert (fit_rises(-np.arange(12.0)[None]).rise_B < 0).all()


def test_fewer_than_six_layers_are_refused() -> None:
    with pytest.raises(TraitscopeError, match="give 6 layers"):
        fit_rises(np.zeros((1, 5)))
