"""How many directions: what the factors found so far leave, against matrices simulated from them with known errors."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from traitscope.ticks import ticks
from traitscope.traits.count import HeldOutCells, SequentialTest, folds_of_cells
from traitscope.traits.factors import fit_factors, largest_residual
from traitscope.traits.missing import largest_rank
from traitscope.traits.sizes import FEWEST_FOLDS, MOST_DIRECTIONS, SIMULATED_LARGE, is_large, portions, repetitions

Floats = npt.NDArray[np.float64]

# Simulated matrices at a time; so many that reach the observed end a test (Besag & Clifford 1991, Biometrika 78:301).
BATCH, ENOUGH = 50, 10
# A batch of which all stay so many of its deviations below the observed ends it too: more would say nothing else.
CLEAR = 8.0
# From its own truth a simulated matrix is fitted sooner than the observed one from nothing.
ROUNDS, ROUNDS_SIMULATED, ROUNDS_HELD_OUT = 100, 20, 30
# So many rows tell the factors almost from the start.
ROUNDS_LARGE, ROUNDS_HELD_OUT_LARGE = 6, 10
SIMULATED_HELD_OUT = 19
FOLDS = 10

Draw = Callable[[int], Floats]


def bootstrap_count(
    values_IN: Floats,
    precision_IN: Floats,
    draw: Draw,
    *,
    rng: np.random.Generator,
    alpha: float,
    draws: int,
    method: str,
) -> SequentialTest:
    """Number of directions by a sequential parametric bootstrap.

    Step k = 0, 1, ... fits k factors and takes the largest singular value of the standardised residual. Its null comes
    from refitting matrices simulated from that fit with the cells' errors and the same holes. The first step with
    p > alpha ends it.

    Args:
        values_IN: the matrix, NaN where missing. precision_IN: 1 / error variance, 0 where missing.
        draw: gives so many draws of the cells' errors, [count, I, N].
        rng: of the rows' scores. alpha: level of every step. draws: most simulated matrices of a step.
        method: in words, where the errors come from.
    """
    held = np.where(precision_IN > 0, values_IN, 0.0)[None]
    draws = repetitions(draws, values_IN.shape, SIMULATED_LARGE)
    p, edge, seen, count = [], [], [], 0
    top = min(largest_rank(*values_IN.shape), MOST_DIRECTIONS)
    rounds = ROUNDS_LARGE if is_large(*values_IN.shape) else ROUNDS_SIMULATED
    for k in ticks(range(top), "traits above the noise", top):
        fitted = fit_factors(held, precision_IN, k, iterations=ROUNDS)
        observed = float(largest_residual(held, precision_IN, fitted)[0])
        null = np.zeros(0)
        while len(null) < draws and (null >= observed).sum() < ENOUGH:
            for size in portions(min(BATCH, draws - len(null)), values_IN.shape):
                copies = np.where(precision_IN > 0, fitted.draw(size, rng) + draw(size), 0.0)
                again = fit_factors(copies, precision_IN, k, start=fitted, iterations=rounds)
                null = np.concatenate([null, largest_residual(copies, precision_IN, again)])
            if (1 + len(null)) * alpha >= 1 and observed > null.mean() + CLEAR * null.std():
                break
        reached = np.flatnonzero(null >= observed)
        if len(reached) >= ENOUGH:
            p.append(ENOUGH / (int(reached[ENOUGH - 1]) + 1))
        else:
            p.append((1 + len(reached)) / (1 + len(null)))
        seen.append(observed)
        edge.append(float(np.quantile(null, 1.0 - alpha)))
        if p[-1] > alpha:
            break
        count += 1
    return SequentialTest(
        singular_M=np.array(seen),
        p_J=np.array(p),
        edge_J=np.array(edge),
        count=count,
        alpha=alpha,
        draws=draws,
        capped=count == top,
        method=method,
    )


def bootstrap_held_out(
    values_IN: Floats,
    precision_IN: Floats,
    draw: Draw,
    most: int,
    *,
    rng: np.random.Generator,
    repeats: int,
) -> HeldOutCells | None:
    """How many of the directions help to predict held-out cells.

    A direction helps if with it held-out cells are predicted better than without it, and by more than in every matrix
    simulated without it (19 of them: level .05).

    Args:
        values_IN, precision_IN, draw, rng: as in ``bootstrap_count``. most: directions to try.
        repeats: rounds of ten-fold prediction.

    Returns:
        None where the matrix has no room, or ``repeats`` is 0.
    """
    folds_FIN = folds_of_cells(precision_IN > 0, rng, FOLDS, repeats)
    if folds_FIN is None:
        return None
    held = np.where(precision_IN > 0, values_IN, 0.0)[None]
    folds_FIN = folds_FIN[: repetitions(len(folds_FIN), values_IN.shape, FEWEST_FOLDS)]
    errors = [float(_error(held, precision_IN, folds_FIN, 0)[0])]
    p, count = [], None
    for k in ticks(range(1, most + 1), "traits that predict", most):
        errors.append(float(_error(held, precision_IN, folds_FIN, k)[0]))
        gain = errors[-2] - errors[-1]
        if count is not None:
            continue
        null = np.array([np.inf])
        if gain > 0:
            without = fit_factors(held, precision_IN, k - 1, iterations=ROUNDS)
            found = []
            for size in portions(SIMULATED_HELD_OUT, values_IN.shape):
                copies = np.where(precision_IN > 0, without.draw(size, rng) + draw(size), 0.0)
                worse, better = (_error(copies, precision_IN, folds_FIN, n) for n in (k - 1, k))
                found.append(worse - better)
            null = np.concatenate(found)
        p.append((1 + int((null >= gain).sum())) / (1 + len(null)))
        if p[-1] > 0.05:
            count = k - 1
    return HeldOutCells(
        rmse_M=np.sqrt(np.array(errors)),
        best=int(np.argmin(errors)),
        count=most if count is None else count,
        p_J=np.array(p),
        folds=FOLDS,
        repeats=repeats,
        unit="noise",
    )


def _error(values_BIN: Floats, precision_IN: Floats, folds_FIN: npt.NDArray[np.bool_], k: int) -> Floats:
    """Mean squared standardised error of held-out cells of every matrix, [B]."""
    total = np.zeros(len(values_BIN))
    for out_IN in folds_FIN:
        rounds = ROUNDS_HELD_OUT_LARGE if is_large(*out_IN.shape) else ROUNDS_HELD_OUT
        fitted = fit_factors(values_BIN, np.where(out_IN, 0.0, precision_IN), k, iterations=rounds)
        squares = precision_IN * (values_BIN - fitted.fitted_BIN) ** 2
        total += np.where(out_IN, squares, 0.0).sum(axis=(1, 2))
    return total / folds_FIN.sum()
