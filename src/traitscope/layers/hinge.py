"""Does a gap curve start flat and then rise, or is it a straight line? A task-bootstrap test."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["HingeTest", "hinge_test"]

_REACH = 0.9
_MIN_LAYERS = 6


@dataclass(frozen=True, slots=True)
class HingeTest:
    """Outcome of the hinge-against-line test.

    Attributes:
        p: probability of an improvement as large under a straight line; NaN where the curve is too short.
        knot: index of the best knot, None where no upward hinge improves on the line.
        last: index of the last layer that was fitted (where the gap has nearly reached its maximum).
        improvement: weighted sum of squares that the hinge removes from the line's residuals.
    """

    p: float
    knot: int | None
    last: int
    improvement: float


def hinge_test(gap_NL: np.ndarray, *, draws: int = 500, seed: int = 0) -> HingeTest:
    """Test an upward hinge (a line that turns steeper at a knot) against a straight line, over tasks.

    The curve is the median over tasks, up to the first layer where it reaches 90 % of its maximum: the
    levelling-off above says nothing about where it opened. The null keeps every task's deviation from the
    median curve, puts the best straight line in the median's place and resamples tasks. Layers weigh by the
    bootstrap error of their median (at least a tenth of the largest): tasks scatter little where layers are
    shared and much below.

    Args:
        gap_NL: gap of each task at each layer, no NaN.
        draws: bootstrap resamples. seed: their seed.

    Returns:
        The test; p is (1 + number of draws at least as good) / (1 + draws).
    """
    n, depth = gap_NL.shape
    median_L = np.median(gap_NL, axis=0)
    last = int(_reach(median_L[None])[0])
    if last < 4:
        return HingeTest(float("nan"), None, last, float("nan"))
    drawn_BN = np.random.default_rng(seed).integers(n, size=(draws, n))
    block = max(1, 4_000_000 // (n * depth))
    medians_BL = np.concatenate([np.median(gap_NL[drawn_BN[i : i + block]], axis=1) for i in range(0, draws, block)])
    error_L = medians_BL.std(axis=0)
    weight_L = 1.0 / np.maximum(error_L, max(0.1 * float(error_L.max()), 1e-12))
    observed, knot = _improvement(median_L[None], np.array([last]), weight_L)
    line_M = _Hinges(weight_L[: last + 1]).line(median_L[: last + 1])
    # Past the last layer the null levels off too; the data's own curve there would bring a bend back in.
    line_L = np.concatenate([line_M, np.full(depth - last - 1, line_M[-1])])
    # Resampling tasks whose median curve is moved onto the line moves every resampled median as far.
    null_BL = medians_BL - median_L + line_L
    # Every draw chooses its own last layer, as the data did.
    drawn_B, _ = _improvement(null_BL, _reach(null_BL), weight_L)
    p = (1 + int(np.sum(drawn_B >= observed[0]))) / (1 + draws)
    return HingeTest(p, int(knot[0]) if observed[0] > 0 else None, last, float(observed[0]))


def _reach(curves_BL: np.ndarray) -> np.ndarray:
    """Index of the first layer with 90 % of each curve's maximum, the last one where it is never positive."""
    depth = curves_BL.shape[1]
    top_B1 = curves_BL.max(axis=1, keepdims=True)
    first_B = np.where(top_B1[:, 0] > 0, np.argmax(curves_BL >= _REACH * top_B1, axis=1), depth - 1)
    return np.maximum(first_B, min(_MIN_LAYERS, depth) - 1)


class _Hinges:
    """Weighted least squares of a line, and of hinges at knots 1 .. m - 3 beside it."""

    def __init__(self, weight_M: np.ndarray) -> None:
        m = len(weight_M)
        x_M = np.arange(m, dtype=float)
        self._weight_M = weight_M
        self._plain_M2 = np.stack([np.ones(m), x_M], axis=1)
        self._q_M2, self._r_22 = np.linalg.qr(self._plain_M2 * weight_M[:, None])
        hinge_KM = np.maximum(0.0, x_M[None, :] - np.arange(1, m - 2)[:, None]) * weight_M
        rest_KM = hinge_KM - (hinge_KM @ self._q_M2) @ self._q_M2.T
        self.unit_KM = rest_KM / np.linalg.norm(rest_KM, axis=1, keepdims=True)

    def line(self, curve_M: np.ndarray) -> np.ndarray:
        """The best straight line."""
        return self._plain_M2 @ np.linalg.solve(self._r_22, self._q_M2.T @ (curve_M * self._weight_M))


def _improvement(curves_BL: np.ndarray, last_B: np.ndarray, weight_L: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weighted sum of squares that the best upward hinge removes up to each curve's last layer, and its knot."""
    gain_B, knot_B = np.zeros(len(curves_BL)), np.zeros(len(curves_BL), dtype=int)
    for last in np.unique(last_B):
        rows_B = np.flatnonzero(last_B == last)
        part_BM = curves_BL[rows_B, : last + 1] * weight_L[: last + 1]
        part_BK = np.maximum(part_BM @ _Hinges(weight_L[: last + 1]).unit_KM.T, 0.0) ** 2
        gain_B[rows_B], knot_B[rows_B] = part_BK.max(axis=1), part_BK.argmax(axis=1) + 1
    return gain_B, knot_B
