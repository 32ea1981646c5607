"""Intervals that keep their level: deviations scaled by how far a predictor was off on cells that are known."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from traitscope.predict.low_rank import inner_folds
from traitscope.predict.predictor import Prediction, Predictor
from traitscope.predict.problem import Problem

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

LEVEL = 0.9
# How cells that are not known lie to those that are: each kind is calibrated by folds that imitate it.
CELL, FEW, COLUMN, SOURCE, BOTH = "cell", "few", "column", "source", "both"
INNER_FOLDS = 6
# Of fewer cells than this each is worth more: they are left out by twice as many folds.
FEW_CELLS = 100
# Most folds of a kind; more columns or sources than that are drawn from.
MOST_FOLDS = 10
# Fewest residuals that a quantile is taken of; from so many on, only those most alike to what is forecast.
FEWEST, PLENTY = 12, 40


@dataclass(frozen=True, eq=False)
class Calibration:
    """How wide the intervals of a prediction are.

    Attributes:
        level: wanted coverage.
        half_IN: half the width of every cell's interval around ``Prediction.z_IN``, in its unit.
        factors: of each kind of cell by what its deviations are multiplied.
        counts: of each kind the residuals that this was told from; 0 where it is the normal quantile.
    """

    level: float
    half_IN: Floats
    factors: dict[str, float]
    counts: dict[str, int]


def calibrate(
    problem: Problem, predictor: Predictor, prediction: Prediction, rng: np.random.Generator, level: float = LEVEL
) -> Calibration:
    """Split-conformal scaling of a predictor's deviations by inner folds over the known cells.

    The residual of each left-out cell is divided by its predicted deviation; the factor is the
    ``ceil((m + 1) level)``-th smallest of m (Papadopoulos et al. 2002, ECML 345; Lei et al. 2018, JASA 113:1094, sec.
    5.2). Cells in a column or of a source without a known one are calibrated by folds without one; those of a base
    model without one by the other base models, each forecast from the rest. What is hidden in the problem has no part.

    Args:
        problem: what the prediction was made from. level: wanted coverage. rng: deals the inner folds.
    """
    kinds = cell_kinds(problem)
    factors: dict[str, float] = {}
    counts: dict[str, int] = {}
    factor_IN = np.full(problem.known_IN.shape, NormalDist().inv_cdf(0.5 + level / 2))
    refit = prediction.refit
    for kind in dict.fromkeys(kinds[problem.allowed_IN & ~problem.known_IN].tolist()):
        found, alike = [], []
        # As many of a column must be known in a fold as are known where a forecast is made, if that can be had.
        least = int(problem.known_IN.sum(axis=0)[((kinds == kind) & ~problem.known_IN).any(axis=0)].min())
        for whole, hidden_IN in _imitations(problem, kinds, kind, rng):
            seen = whole.hide(hidden_IN)
            again = refit(seen) if refit is not None and whole is problem else predictor(seen, rng)
            ratio_IN = np.abs(errors(whole, again)) / again.sd_IN
            judged_IN = hidden_IN & np.isfinite(ratio_IN)
            found.append(ratio_IN[judged_IN])
            alike.append(ratio_IN[judged_IN & (seen.known_IN.sum(axis=0) >= least)])
        enough = sum(len(some) for some in alike) >= PLENTY
        ratios = np.sort(np.concatenate(alike if enough else found)) if found else np.zeros(0)
        counts[kind] = len(ratios)
        if len(ratios) >= FEWEST:
            rank = min(int(np.ceil((len(ratios) + 1) * level)), len(ratios))
            factor_IN[kinds == kind] = ratios[rank - 1]
        else:
            counts[kind] = 0
        factors[kind] = float(factor_IN[kinds == kind][0])
    return Calibration(level, factor_IN * prediction.sd_IN, factors, counts)


def cell_kinds(problem: Problem) -> npt.NDArray[np.str_]:
    """Of every cell how much is known of its column and of its source."""
    known_IN = problem.known_IN
    count_N, count_I = known_IN.sum(axis=0), known_IN.sum(axis=1)
    usual = np.median(count_N[count_N > 0]) if (count_N > 0).any() else 0.0
    kinds = np.full(known_IN.shape, CELL, dtype="<U6")
    kinds[:, (count_N > 0) & (count_N < 0.6 * usual)] = FEW
    kinds[:, count_N == 0] = COLUMN
    kinds[count_I == 0] = np.where(count_N == 0, BOTH, SOURCE)
    return kinds


def errors(truth: Problem, prediction: Prediction) -> Floats:
    """What every known cell has above its prediction, in the prediction's unit.

    In a column without a centre both are taken around the mean of the column's sources, the truth in its standard
    deviation (ddof 0). NaN where a cell is not known, in flat columns, and there in columns of fewer than three cells.
    """
    values_IN = truth.values_IN
    known_IN = np.isfinite(values_IN)
    away_IN = (values_IN - prediction.centre_N) / prediction.spread_N - prediction.z_IN
    open_N = np.isnan(prediction.centre_N)
    if open_N.any():
        z_IN = whole_columns(truth)
        middle_N = np.where(known_IN, prediction.z_IN, 0.0).sum(axis=0) / np.maximum(known_IN.sum(axis=0), 1)
        enough_N = known_IN.sum(axis=0) > 2
        away_IN = np.where(open_N, np.where(enough_N, z_IN - prediction.z_IN + middle_N, np.nan), away_IN)
    return np.where(truth.scale.flat_BN[truth.target], np.nan, away_IN)


def whole_scale(truth: Problem) -> tuple[Floats, Floats]:
    """Mean and standard deviation (ddof 0) of every column's known cells; 1 for the latter where it is 0."""
    known_IN = truth.known_IN
    count_N = np.maximum(known_IN.sum(axis=0), 1)
    centre_N = np.where(known_IN, truth.values_IN, 0.0).sum(axis=0) / count_N
    spread_N = np.sqrt((np.where(known_IN, truth.values_IN - centre_N, 0.0) ** 2).sum(axis=0) / count_N)
    return centre_N, np.where(spread_N > 0, spread_N, 1.0)


def whole_columns(truth: Problem) -> Floats:
    """Known cells around their column's mean, in its standard deviation (ddof 0); NaN where a cell is not known."""
    centre_N, spread_N = whole_scale(truth)
    return (truth.values_IN - centre_N) / spread_N


def _imitations(
    problem: Problem, kinds: npt.NDArray[np.str_], kind: str, rng: np.random.Generator
) -> Iterator[tuple[Problem, Bools]]:
    """Problems whose truth is known, with what to hide of each so that the hidden cells are of one kind."""
    known_IN = problem.known_IN
    nothing_IN = np.zeros_like(known_IN)
    count_N = known_IN.sum(axis=0)
    if kind == CELL:
        folds = INNER_FOLDS if known_IN.sum() >= FEW_CELLS else 2 * INNER_FOLDS
        for hidden_IN in inner_folds(known_IN, folds, rng):
            yield problem, hidden_IN
    elif kind in (COLUMN, FEW):
        left = 0
        if kind == FEW:
            left = int(np.median(count_N[(kinds == FEW).any(axis=0)]))
        for n in _some(np.flatnonzero(count_N > left + 2), rng):
            hidden_IN = nothing_IN.copy()
            hidden_IN[rng.permutation(np.flatnonzero(known_IN[:, n]))[left:], n] = True
            yield problem, hidden_IN
    elif kind == SOURCE:
        for i in _some(np.flatnonzero(known_IN.any(axis=1)), rng):
            hidden_IN = nothing_IN.copy()
            hidden_IN[i] = known_IN[i]
            yield problem, hidden_IN
    else:
        # Only another base model shows how well one is forecast of which nothing is known.
        for b in _some(np.array(problem.others, dtype=np.int64), rng):
            other = problem.for_base(int(b))
            yield other, other.known_IN


def _some(candidates: npt.NDArray[np.int64], rng: np.random.Generator) -> list[int]:
    return [int(c) for c in rng.permutation(candidates)[:MOST_FOLDS]]
