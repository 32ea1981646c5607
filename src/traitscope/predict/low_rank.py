"""Ridge factorisation without row bias: sources and tasks as products of one or two shrunken numbers each."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from traitscope.predict.baselines import column_noise, settled
from traitscope.predict.predictor import PREDICTORS, Prediction
from traitscope.predict.problem import Problem

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

# Rank and penalty that are tried; rank 0 is the column mean.
CHOICES = ((1, 1.0), (1, 3.0), (2, 2.0), (2, 4.0))
INNER_FOLDS = 5
ITERATIONS = 12


@dataclass(frozen=True, eq=False)
class LowRankChoice:
    """What inner folds over the known cells chose.

    Attributes:
        rank, penalty: rank 0 where no factor predicts left-out cells.
        error: mean squared error of left-out cells, in z.
        row: size of a factor on which every task has the same loading, 0 for none; its square is a variance in units of
            error / penalty.
    """

    rank: int
    penalty: float
    error: float
    row: float = 0.0

    @property
    def empty(self) -> bool:
        """Whether it is the column mean."""
        return self.rank == 0 and self.row == 0.0


def factorise(z_BIN: Floats, rank: int, penalty: float, iterations: int = ITERATIONS) -> tuple[Floats, Floats]:
    """Alternating ridge regression for several matrices with holes: z ~ u v'.

    Minimises the squared error of the known cells + penalty (|u|^2 + |v|^2), from the leading singular vectors
    (Koren, Bell & Volinsky 2009, Computer 42:30, without biases).

    Args:
        z_BIN: standardised cells; NaN where not known.

    Returns:
        u_BIK and v_BNK.
    """
    known_BIN = np.isfinite(z_BIN)
    weight_BIN, filled_BIN = known_BIN.astype(float), np.where(known_BIN, z_BIN, 0.0)
    left, size, right = np.linalg.svd(filled_BIN, full_matrices=False)
    rank = min(rank, size.shape[1])
    root_BK = np.sqrt(size[:, :rank])
    u_BIK, v_BNK = left[:, :, :rank] * root_BK[:, None], np.swapaxes(right[:, :rank], 1, 2) * root_BK[:, None]
    flipped_BNI, weight_BNI = np.swapaxes(filled_BIN, 1, 2), np.swapaxes(weight_BIN, 1, 2)
    for _ in range(iterations if rank else 0):
        u_BIK = _ridge(weight_BIN, filled_BIN, v_BNK, penalty)
        v_BNK = _ridge(weight_BNI, flipped_BNI, u_BIK, penalty)
    return u_BIK, v_BNK


def _ridge(weight_BRS: Floats, cells_BRS: Floats, design_BSK: Floats, penalty: float) -> Floats:
    k = design_BSK.shape[2]
    square_BSL = (design_BSK[..., :, None] * design_BSK[..., None, :]).reshape(*design_BSK.shape[:2], k * k)
    gram_BRKK = (weight_BRS @ square_BSL).reshape(*weight_BRS.shape[:2], k, k) + penalty * np.eye(k)
    return np.asarray(np.linalg.solve(gram_BRKK, (cells_BRS @ design_BSK)[..., None])[..., 0], dtype=np.float64)


def with_row(v_BNK: Floats, row: float) -> Floats:
    """Loadings of the tasks with a last factor beside them on which all load alike; without one where ``row`` is 0."""
    return np.concatenate([v_BNK, np.full((*v_BNK.shape[:2], 1), row)], axis=2) if row else v_BNK


def inner_folds(known_IN: Bools, count: int, rng: np.random.Generator) -> Bools:
    """Known cells dealt into folds, hidden_FIN: those of a column, and of a row, as evenly as it goes."""
    order_I, order_N = rng.permutation(known_IN.shape[0]), rng.permutation(known_IN.shape[1])
    fold_IN = (order_I[:, None] + order_N) % count
    return known_IN & (fold_IN == np.arange(count)[:, None, None])


def choose_low_rank(z_IN: Floats, rng: np.random.Generator, rows: tuple[float, ...] = (0.0,)) -> LowRankChoice:
    """Rank and penalty by leaving out known cells, with the columns' centres and spreads of what remains.

    A factor is taken where it beats the column mean by one standard error over the folds.

    Args:
        z_IN: standardised cells; NaN where not known. rows: sizes of a row effect that are tried beside the factors.
    """
    hidden_FIN = inner_folds(np.isfinite(z_IN), INNER_FOLDS, rng)
    seen_FIN = np.where(hidden_FIN, np.nan, z_IN)
    count_FN = np.isfinite(seen_FIN).sum(axis=1)
    centre_FN = np.nansum(seen_FIN, axis=1) / np.maximum(count_FN, 1)
    spread_FN = np.sqrt(np.nansum((seen_FIN - centre_FN[:, None]) ** 2, axis=1) / np.maximum(count_FN, 1))
    spread_FN = np.where((count_FN > 1) & (spread_FN > 1e-9), spread_FN, 1.0)
    # A column of which one cell is known and left out has no mean to be told from.
    judged_FIN = hidden_FIN & (count_FN > 0)[:, None]
    if not judged_FIN.any():
        return LowRankChoice(0, 1.0, 1.0)
    scaled_FIN = (seen_FIN - centre_FN[:, None]) / spread_FN[:, None]

    def errors_F(fitted_FIN: Floats) -> Floats:
        away_FIN = np.where(judged_FIN, z_IN - centre_FN[:, None] - spread_FN[:, None] * fitted_FIN, 0.0)
        return (away_FIN**2).sum(axis=(1, 2)) / max(1, judged_FIN.sum()) * len(hidden_FIN)

    mean_F = errors_F(np.zeros_like(scaled_FIN))
    best, best_F = LowRankChoice(0, 1.0, float(mean_F.mean())), mean_F
    weight_FIN, filled_FIN = np.isfinite(scaled_FIN).astype(float), np.nan_to_num(scaled_FIN)
    for rank, penalty in ((0, 1.0), *CHOICES):
        _, v_FNK = factorise(scaled_FIN, rank, penalty)
        for row in rows:
            v_row_FNK = with_row(v_FNK, row)
            u_FIK = _ridge(weight_FIN, filled_FIN, v_row_FNK, penalty)
            found_F = errors_F(u_FIK @ np.swapaxes(v_row_FNK, 1, 2))
            if found_F.mean() < best.error:
                best, best_F = LowRankChoice(rank, penalty, float(found_F.mean()), row), found_F
    gained_F = mean_F - best_F
    if not best.empty and gained_F.mean() < gained_F.std(ddof=1) / np.sqrt(len(gained_F)):
        return LowRankChoice(0, 1.0, float(mean_F.mean()))
    return best


@PREDICTORS.register("low rank", version=1, reference="Koren, Bell & Volinsky 2009, Computer 42:30, without biases")
def low_rank(problem: Problem, rng: np.random.Generator) -> Prediction:
    """Ridge factorisation of the standardised cells of the target base; rank and penalty by inner folds."""
    choice = choose_low_rank(problem.scale.z_BIN[problem.target], rng)
    return _fitted(problem, choice=choice)


def _fitted(problem: Problem, *, choice: LowRankChoice) -> Prediction:
    scale, t = problem.scale, problem.target
    z_IN = scale.z_BIN[t]
    fitted_IN = np.zeros_like(z_IN)
    sd_IN = np.sqrt(np.broadcast_to(column_noise(problem.known_IN.sum(axis=0)), z_IN.shape))
    if choice.rank:
        u_BIK, v_BNK = factorise(z_IN[None], choice.rank, choice.penalty)
        fitted_IN = settled(u_BIK[0] @ v_BNK[0].T, problem, scale)
        told_IN = np.isfinite(z_IN).any(axis=0) & np.isfinite(z_IN).any(axis=1)[:, None]
        sd_IN = np.where(told_IN, np.sqrt(min(1.0, choice.error)) * sd_IN, sd_IN)
    note = "" if choice.rank else "no factor predicts left-out cells: this is the column mean"
    return Prediction(
        fitted_IN,
        sd_IN,
        scale.centre_BN[t],
        scale.spread_BN[t],
        {"factors": fitted_IN},
        note=note,
        refit=partial(_fitted, choice=choice),
    )
