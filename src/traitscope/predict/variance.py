"""Rows with effects of their own in a matrix with holes: variance components and best linear unbiased prediction."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

# Ratios of the rows' variance to the cells' that are tried; zero is the column mean.
RATIOS = np.concatenate([[0.0], np.geomspace(0.005, 5.0, 40)])


@dataclass(frozen=True, eq=False)
class RowEffects:
    """Cells as ``level of the column + effect of the row + rest``, rows' effects drawn from one Gaussian.

    Attributes:
        levels_N: level of each column; 0 where no cell is known. level_variance_N: its error variance.
        rows_I: shrunken effect of each row; 0 where no cell is known. row_variance_I: variance left in it.
        between: variance of the rows' effects. within: variance of the rest.
    """

    levels_N: Floats
    level_variance_N: Floats
    rows_I: Floats
    row_variance_I: Floats
    between: float
    within: float


def fit_rows(values_IN: Floats) -> RowEffects:
    """Variance components by REML over a grid of ratios, levels by generalised least squares, effects by BLUP.

    Henderson (1975), Biometrics 31:423; Patterson & Thompson (1971), Biometrika 58:545. With every cell known the
    estimates are those of the analysis of variance, to the grid's step.

    Args:
        values_IN: cells; NaN where not known.
    """
    known_IN = np.isfinite(values_IN)
    used_N = known_IN.any(axis=0)
    weight_IN = known_IN[:, used_N].astype(float)
    cells_IN = np.where(known_IN, values_IN, 0.0)[:, used_N]
    count_I, columns = weight_IN.sum(axis=1), int(used_N.sum())
    free = int(weight_IN.sum()) - columns
    n_rows, n_columns = values_IN.shape
    if free < 2:
        levels_N = np.zeros(n_columns)
        levels_N[used_N] = cells_IN.sum(axis=0) / np.maximum(weight_IN.sum(axis=0), 1.0)
        none_I = np.zeros(n_rows)
        return RowEffects(levels_N, np.ones(n_columns), none_I, none_I, 0.0, 1.0)
    shrink_GI = RATIOS[:, None] / (1.0 + RATIOS[:, None] * count_I)
    sums_I, sums_N = cells_IN.sum(axis=1), cells_IN.sum(axis=0)
    normal_GNN = -np.einsum("gi,in,im->gnm", shrink_GI, weight_IN, weight_IN)
    normal_GNN[:, np.arange(columns), np.arange(columns)] += weight_IN.sum(axis=0)
    right_GN = sums_N - (shrink_GI * sums_I) @ weight_IN
    # Without between-row variance to tell levels from rows, the least ridge keeps the system solvable.
    normal_GNN[:, np.arange(columns), np.arange(columns)] += 1e-9
    levels_GN = np.linalg.solve(normal_GNN, right_GN[..., None])[..., 0]
    total_G = (cells_IN**2).sum() - shrink_GI @ sums_I**2
    rest_G = np.maximum(total_G - (levels_GN * right_GN).sum(axis=1), 1e-12)
    log_likelihood_G = -0.5 * (
        np.log1p(RATIOS[:, None] * count_I).sum(axis=1) + np.linalg.slogdet(normal_GNN)[1] + free * np.log(rest_G)
    )
    best = int(np.argmax(log_likelihood_G))
    within = float(rest_G[best] / free)
    between = float(RATIOS[best]) * within
    levels = levels_GN[best]
    levels_N, level_variance_N = np.zeros(n_columns), np.full(n_columns, within)
    levels_N[used_N] = levels
    level_variance_N[used_N] = within * np.diag(np.linalg.inv(normal_GNN[best]))
    rows_I = shrink_GI[best] * (sums_I - weight_IN @ levels)
    row_variance_I = between * (1.0 - count_I * shrink_GI[best])
    return RowEffects(levels_N, level_variance_N, rows_I, row_variance_I, between, within)
