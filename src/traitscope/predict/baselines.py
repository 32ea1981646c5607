"""The predictors that every other is measured against: column means, row effects, the other base models' mean."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from traitscope.predict.predictor import PREDICTORS, CannotFit, Prediction
from traitscope.predict.problem import Problem, Scale
from traitscope.predict.variance import RowEffects, fit_rows

Floats = npt.NDArray[np.float64]


def known_noise(problem: Problem, scale: Scale) -> Floats:
    """Error variance of every cell of the target base in z; a hidden cell's is its column's mean; 0 where not known."""
    noise_IN = problem.noise_BIN[problem.target] / scale.spread_BN[problem.target] ** 2
    told_IN = np.isfinite(noise_IN)
    mean_N = np.where(told_IN, noise_IN, 0.0).sum(axis=0) / np.maximum(told_IN.sum(axis=0), 1)
    return np.where(told_IN, noise_IN, mean_N)


def column_noise(count_N: npt.NDArray[np.int64]) -> Floats:
    """Variance of a new cell around the mean of n known ones, in their own variance (ddof 0): (n + 1) / (n - 1).

    Where fewer than two are known the spread is not their own: 1 + 1/n, and 1 for a column without a centre.
    """
    few_N = np.where(count_N == 1, 2.0, 1.0)
    return np.where(count_N > 1, (count_N + 1.0) / np.maximum(count_N - 1.0, 1.0), few_N)


@PREDICTORS.register("column mean", version=1, reference="mean of the known cells of the target")
def column_mean(problem: Problem, rng: np.random.Generator) -> Prediction:
    """Every source gives what the known sources of the column gave on average."""
    scale, t = problem.scale, problem.target
    zeros_IN = np.zeros(problem.known_IN.shape)
    sd_IN = np.sqrt(np.broadcast_to(column_noise(problem.known_IN.sum(axis=0)), zeros_IN.shape))
    return Prediction(zeros_IN, sd_IN, scale.centre_BN[t], scale.spread_BN[t], {"column mean": zeros_IN})


@PREDICTORS.register("additive", version=1, reference="Henderson 1975, Biometrics 31:423 (BLUP); components by REML")
def additive(problem: Problem, rng: np.random.Generator) -> Prediction:
    """A level of the column and a shrunken effect of the source: some sources help everywhere."""
    scale, t = problem.scale, problem.target
    rows = fit_rows(scale.z_BIN[t])
    return _with_rows(problem, scale, np.zeros(problem.known_IN.shape), rows, {})


@PREDICTORS.register("other bases", version=1, reference="shrunken mean over base models, then BLUP of the residuals")
def other_bases(problem: Problem, rng: np.random.Generator) -> Prediction:
    """What the source did to the same task in other base models, shrunk, and its effect in this one beside it."""
    scale, t = problem.scale, problem.target
    prior_IN = prior_of_others(problem, scale).mean_IN
    rows = fit_rows(scale.z_BIN[t] - prior_IN)
    return _with_rows(problem, scale, prior_IN, rows, {"other base models": prior_IN})


def _with_rows(
    problem: Problem, scale: Scale, prior_IN: Floats, rows: RowEffects, pieces: dict[str, Floats]
) -> Prediction:
    """A prior mean, the columns' levels beside it and the rows' effects, as a prediction."""
    t, known_N = problem.target, problem.known_IN.any(axis=0)
    effects_IN = np.broadcast_to(rows.rows_I[:, None], prior_IN.shape)
    levels_IN = np.broadcast_to(rows.levels_N, prior_IN.shape)
    level_variance_N = np.where(known_N, rows.level_variance_N, 0.0)
    variance_IN = rows.within + level_variance_N + rows.row_variance_I[:, None]
    z_IN = settled(prior_IN + effects_IN + levels_IN, problem, scale)
    pieces = {**pieces, "row effect": effects_IN, "level of the column": z_IN - prior_IN - effects_IN}
    return Prediction(z_IN, np.sqrt(variance_IN), scale.centre_BN[t], scale.spread_BN[t], pieces)


def settled(z_IN: Floats, problem: Problem, scale: Scale) -> Floats:
    """The same z as far as anything is known: around their mean in columns without a known cell, 0 in flat columns.

    A source of which no base model has a cell, and which has no features, is the column mean: 0.
    """
    centred_IN = np.where(problem.known_IN.any(axis=0), z_IN, z_IN - z_IN.mean(axis=0))
    known_I = np.asarray(np.isfinite(problem.values_BIN).any(axis=(0, 2)))
    told_I = known_I | np.bool_(problem.features is not None and bool(problem.features.names))
    # Half a spread of nothing is nothing, whatever unit a flat column was given.
    return np.where(scale.flat_BN[problem.target] | ~told_I[:, None], 0.0, centred_IN)


class OtherBases:
    """What the other base models say of every cell of the target base.

    Attributes:
        z_BIN: their standardised cells; 0 where not known. known_BIN: which are known.
        share: by how much their mean is shrunk: least squares of each base model on the mean of the rest.
        mean_IN: their shrunken mean. residuals_BIN: of each of them what the shrunken mean of the rest leaves.
    """

    def __init__(self, z_BIN: Floats) -> None:
        self.known_BIN = np.isfinite(z_BIN)
        self.z_BIN = np.where(self.known_BIN, z_BIN, 0.0)
        count_IN, total_IN = self.known_BIN.sum(axis=0), self.z_BIN.sum(axis=0)
        rest_BIN = (total_IN - self.z_BIN) / np.maximum(count_IN - self.known_BIN, 1)
        rest_BIN = np.where(self.known_BIN & (count_IN > 1), rest_BIN, 0.0)
        square = float((rest_BIN**2).sum())
        # One other base model leaves nothing to learn the share from.
        self.share = float(np.clip((rest_BIN * self.z_BIN).sum() / square, 0.0, 1.0)) if square > 0 else 0.5
        self.mean_IN = self.share * total_IN / np.maximum(count_IN, 1)
        self.residuals_BIN = np.where(self.known_BIN, self.z_BIN - self.share * rest_BIN, 0.0)


def prior_of_others(problem: Problem, scale: Scale) -> OtherBases:
    """What the other base models say.

    Raises:
        CannotFit: none is known.
    """
    if not problem.others:
        raise CannotFit("no other base model is known")
    return OtherBases(scale.z_BIN[list(problem.others)])
