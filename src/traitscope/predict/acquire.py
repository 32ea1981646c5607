"""Which cells to measure next: what a measurement is expected to improve in the choice of the best source per target.

Both rules reckon with the noise of a measurement: a rule that takes scores as true goes after lucky cells.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from numpy.polynomial.hermite_e import hermegauss

from traitscope.predict.predictor import Prediction
from traitscope.registry import Registry

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Acquisition = Callable[[Prediction, Bools, Floats], Floats]

ACQUISITIONS: Registry[Acquisition] = Registry("acquisition")

# Nodes of the quadrature over the value that a measurement may give; the maximum of lines has kinks, so not few.
NODES = 48


@ACQUISITIONS.register(
    "expected improvement", version=1, reference="Jones et al. 1998; noise as in Huang et al. 2006 (augmented EI)"
)
def expected_improvement(prediction: Prediction, open_IN: Bools, noise_IN: Floats) -> Floats:
    """Expected improvement of every open cell over the best source of its column so far.

    The best so far is the largest expected value among the cells that are not open (all cells where every one is), so
    that a lucky measurement does not set the mark. Multiplied by what of the measurement is signal.

    Args:
        prediction: I sources by N tasks.
        open_IN: cells that may be measured.
        noise_IN: error variance of a measurement, in z.

    Returns:
        value_IN in units of the columns' spread; -inf in cells that are not open.
    """
    sd_IN = np.sqrt(signal_variance(prediction, noise_IN))
    known_N = (~open_IN).any(axis=0)
    best_N = np.where(
        known_N,
        np.max(np.where(open_IN, -np.inf, prediction.z_IN), axis=0),
        np.max(prediction.z_IN, axis=0),
    )
    value_IN = _gain_over(prediction.z_IN - best_N, sd_IN)
    penalty_IN = 1.0 - np.sqrt(noise_IN / np.maximum(noise_IN + sd_IN**2, 1e-300))
    return np.where(open_IN, value_IN * penalty_IN, -np.inf)


@ACQUISITIONS.register("knowledge gradient", version=1, reference="Frazier et al. 2009 (correlated beliefs)")
def knowledge_gradient(prediction: Prediction, open_IN: Bools, noise_IN: Floats) -> Floats:
    """What one more measurement is expected to add to the sum over columns of the best expected value.

    A measurement moves every cell that is correlated with it: value_C sums over all columns, not its own alone.

    Args and returns as in ``expected_improvement``.
    """
    if prediction.covariance_CC is None:
        raise ValueError("the knowledge gradient needs a joint covariance")
    shape = prediction.z_IN.shape
    covariance_CC = prediction.covariance_CC
    noise_C = noise_IN.ravel()
    variance_C = np.maximum(np.diag(covariance_CC), 0.0)
    total_C = np.maximum(variance_C + noise_C, 1e-12)
    nodes_Q, weights_Q = hermegauss(NODES)
    weights_Q = weights_Q / weights_Q.sum()
    best_N = prediction.z_IN.max(axis=0)
    value_C = np.full(prediction.z_IN.size, -np.inf)
    for c in np.flatnonzero(open_IN.ravel()):
        slope_IN = (covariance_CC[:, c] / np.sqrt(total_C[c])).reshape(shape)
        # max over sources of a line in the standardised outcome, for all columns and nodes at once.
        after_QN = np.max(prediction.z_IN[None] + nodes_Q[:, None, None] * slope_IN[None], axis=1)
        value_C[c] = float((weights_Q @ after_QN - best_N).sum())
    return np.where(open_IN.ravel(), np.maximum(value_C, 0.0), -np.inf).reshape(shape)


def measurement_noise(prediction: Prediction) -> Floats:
    """Error variance of one measurement of every cell, in z, as the predictor has it: what is no doubt of the truth.

    Raises:
        ValueError: the predictor has no joint covariance.
    """
    if prediction.covariance_CC is None:
        raise ValueError("the noise of a measurement needs a joint covariance")
    variance_IN = np.diag(prediction.covariance_CC).reshape(prediction.z_IN.shape)
    return np.maximum(prediction.sd_IN**2 - variance_IN, 0.01)


def signal_variance(prediction: Prediction, noise_IN: Floats) -> Floats:
    """Variance of every cell's true z: of the joint covariance where there is one, else what noise leaves of ``sd``."""
    if prediction.covariance_CC is not None:
        return np.maximum(np.diag(prediction.covariance_CC).reshape(prediction.z_IN.shape), 0.0)
    return np.maximum(prediction.sd_IN**2 - noise_IN, 0.0)


def _gain_over(ahead: Floats, sd: Floats) -> Floats:
    """E[max(0, x)] for x ~ N(ahead, sd^2)."""
    from scipy.stats import norm

    safe = np.where(sd > 0, sd, 1.0)
    u = ahead / safe
    return np.where(sd > 0, ahead * norm.cdf(u) + safe * norm.pdf(u), np.maximum(ahead, 0.0))


def after_measuring(prediction: Prediction, cell: int, noise: float) -> Prediction:
    """The prediction's uncertainty once a cell is measured, its mean as it is: what comes out is not known yet.

    For a Gaussian process the covariance after a measurement does not depend on its value, so that a batch can be
    chosen one cell at a time.
    """
    from dataclasses import replace

    covariance_CC = prediction.covariance_CC
    if covariance_CC is None:
        return prediction
    column_C = covariance_CC[:, cell]
    total = max(float(column_C[cell]) + noise, 1e-12)
    after_CC = covariance_CC - np.outer(column_C, column_C) / total
    variance_IN = np.maximum(np.diag(after_CC), 0.0).reshape(prediction.z_IN.shape)
    drop_IN = np.diag(covariance_CC).reshape(prediction.z_IN.shape) - variance_IN
    sd_IN = np.sqrt(np.maximum(prediction.sd_IN**2 - drop_IN, variance_IN))
    return replace(prediction, covariance_CC=after_CC, sd_IN=sd_IN)


def choose_cells(
    prediction: Prediction, open_IN: Bools, count: int, rule: str = "expected improvement"
) -> list[tuple[int, int]]:
    """A batch of cells to measure, best first, each chosen as if those before it were measured already.

    Args:
        prediction: of a fit to what is known.
        open_IN: cells that may be measured.
        count: cells in the batch.
        rule: name of an acquisition.

    Returns:
        (source, task) indices; fewer where fewer cells are open.
    """
    acquire = ACQUISITIONS.get(rule).value
    noise_IN = measurement_noise(prediction)
    open_IN = open_IN.copy()
    N = open_IN.shape[1]
    chosen: list[tuple[int, int]] = []
    while len(chosen) < count and open_IN.any():
        cell = int(np.argmax(acquire(prediction, open_IN, noise_IN)))
        i, n = divmod(cell, N)
        chosen.append((i, n))
        open_IN[i, n] = False
        prediction = after_measuring(prediction, cell, float(noise_IN[i, n]))
    return chosen


def balanced_start(allowed_IN: Bools, count: int, rng: np.random.Generator) -> Bools:
    """Cells to begin with: rows and columns are used as evenly as the allowed cells let them.

    Every cell taken is one of a row used least among those of a column used least, at random among equals.

    Args:
        allowed_IN: cells that may be measured.
        count: how many.

    Returns:
        start_IN with ``count`` cells (fewer where fewer are allowed).
    """
    start_IN = np.zeros_like(allowed_IN)
    for _ in range(min(count, int(allowed_IN.sum()))):
        free_IN = allowed_IN & ~start_IN
        used_IN = start_IN.sum(axis=0)[None, :] * start_IN.size + start_IN.sum(axis=1)[:, None]
        load_IN = np.where(free_IN, used_IN + rng.random(start_IN.shape), np.inf)
        start_IN.ravel()[int(np.argmin(load_IN))] = True
    return start_IN
