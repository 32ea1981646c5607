"""Successive halving over sources: which adapters train on, and on which targets more rows are worth their time.

Jamieson and Talwalkar 2016; here a source stays while it may be the best one of any target, and what decides is the
chance of that under the errors of its scores and what the rest of the training may still change.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

# Shares of the training steps at which adapters are looked at.
RUNGS = (1 / 8, 1 / 4, 1 / 2, 1.0)
DRAWS = 4000


@dataclass(frozen=True, eq=False)
class Standing:
    """What is known of I sources on N targets at one rung.

    Attributes:
        gain_IN: gain over the base on the rows looked at; NaN where a cell was not looked at or is no transfer.
        variance_IN: error variance of the gain from finite rows, paired with the base on the same rows.
        drift: standard deviation of what the rest of the training does to a source's gain, beyond what it does to
            all sources of the target alike; or one for every cell.
    """

    gain_IN: Floats
    variance_IN: Floats
    drift: Floats


def expected_gains(standing: Standing, least_N: Floats | float = 0.0) -> tuple[Floats, Floats]:
    """Mean and variance of every source's final gain beside the others of its column.

    Empirical Bayes in each column (Morris 1983): gains are shrunk towards the column's mean by the share of their
    variance that is error and drift, so that a lucky source of few rows does not lead.

    Args:
        standing: what is known.
        least_N: by target a deviation between sources that is possible even where so few rows show none.

    Returns:
        mean_IN and variance_IN; NaN where the gain is.
    """
    known_IN = np.isfinite(standing.gain_IN)
    gain_IN = np.where(known_IN, standing.gain_IN, 0.0)
    error_IN = np.where(known_IN, standing.variance_IN, 0.0)
    signal_N = np.maximum(_signal(gain_IN, error_IN, known_IN), np.square(least_N))
    precision_IN = np.where(known_IN, 1.0 / np.maximum(signal_N + error_IN, 1e-300), 0.0)
    total_N = np.maximum(precision_IN.sum(axis=0), 1e-300)
    centre_N = (precision_IN * gain_IN).sum(axis=0) / total_N
    weight_IN = signal_N * precision_IN
    mean_IN = centre_N + weight_IN * (gain_IN - centre_N)
    variance_IN = weight_IN * error_IN + (1.0 - weight_IN) ** 2 / total_N + standing.drift**2
    return np.where(known_IN, mean_IN, np.nan), np.where(known_IN, variance_IN, np.nan)


def _signal(gain_IN: Floats, error_IN: Floats, known_IN: Bools) -> Floats:
    """Variance of the true gains within each column, errors known cell by cell (Paule and Mandel 1982)."""
    freedom_N = known_IN.sum(axis=0) - 1.0
    low_N, high_N = np.zeros(gain_IN.shape[1]), np.ptp(gain_IN, axis=0) ** 2 + 1e-12
    for _ in range(60):
        middle_N = 0.5 * (low_N + high_N)
        precision_IN = np.where(known_IN, 1.0 / np.maximum(middle_N + error_IN, 1e-300), 0.0)
        centre_N = (precision_IN * gain_IN).sum(axis=0) / np.maximum(precision_IN.sum(axis=0), 1e-300)
        excess_N = (precision_IN * (gain_IN - centre_N) ** 2).sum(axis=0) > freedom_N
        low_N, high_N = np.where(excess_N, middle_N, low_N), np.where(excess_N, high_N, middle_N)
    return np.where(freedom_N > 0, low_N, 0.0)


def draw_gains(mean_IN: Floats, variance_IN: Floats, rng: np.random.Generator, draws: int = DRAWS) -> Floats:
    """Gains that may be true, gain_RIN, errors independent; minus infinity where nothing is known."""
    known_IN = np.isfinite(mean_IN)
    drawn_RIN = rng.standard_normal((draws, *mean_IN.shape)) * np.sqrt(np.where(known_IN, variance_IN, 0.0))
    return drawn_RIN + np.where(known_IN, mean_IN, -np.inf)


def chance_best(drawn_RIN: Floats) -> Floats:
    """Chance that each source is the best one of each target and better than the base, whose gain is 0."""
    best_RN = drawn_RIN.argmax(axis=1)
    ahead_RN = drawn_RIN.max(axis=1) > 0
    sources_I = np.arange(drawn_RIN.shape[1])
    return ((best_RN[:, None, :] == sources_I[None, :, None]) & ahead_RN[:, None, :]).mean(axis=0)


def keep_promising(drawn_RIN: Floats, have_RN: Floats, cost_I: Floats, budget: float, margin: float) -> list[int]:
    """Sources to train on: one after the other the one that adds most to the targets' best, for what it costs.

    Args:
        drawn_RIN: gains that may be true, unit-free (divided by what matters on each target).
        have_RN: the best of what is there already, in the same draws; the base has 0.
        cost_I: what each source costs; infinite for one that is not to be had.
        budget: what may be spent.
        margin: a mean gain over the targets that does not matter: a source that adds less is not taken.

    Returns:
        indices, most useful first.
    """
    have_RN = have_RN.copy()
    kept: list[int] = []
    spent = 0.0
    while True:
        added_I = np.maximum(drawn_RIN - have_RN[:, None, :], 0.0).mean(axis=(0, 2))
        added_I[cost_I > budget - spent] = 0.0
        added_I[added_I < margin] = 0.0
        # By the root of the cost: every training has a part that costs the same, whatever its rows.
        worth_I = added_I / np.sqrt(np.maximum(cost_I, 1e-300))
        best = int(np.argmax(worth_I))
        if worth_I[best] <= 0:
            return kept
        kept.append(best)
        have_RN = np.maximum(have_RN, drawn_RIN[:, best])
        spent += float(cost_I[best])


def contenders(mean_IN: Floats, variance_IN: Floats, margin_N: Floats, chance: float = 0.05) -> Bools:
    """Cells that more rows may still decide: their source may be better than the target's leader by the margin.

    Args:
        mean_IN, variance_IN: as ``expected_gains`` gives them, drift left out where training has ended.
        margin_N: differences that do not matter, in the unit of the gains.
        chance: a source whose chance of leading by the margin is below this is no contender.

    Returns:
        contends_IN, the leader among them; all False in a column whose leader has no contender.
    """
    from scipy.stats import norm

    known_IN = np.isfinite(mean_IN)
    filled_IN = np.where(known_IN, mean_IN, -np.inf)
    leader_N = filled_IN.argmax(axis=0)
    columns_N = np.arange(mean_IN.shape[1])
    contends_IN = np.zeros(mean_IN.shape, dtype=bool)
    top_N, top_variance_N = mean_IN[leader_N, columns_N], variance_IN[leader_N, columns_N]
    sd_IN = np.sqrt(np.where(known_IN, variance_IN + top_variance_N, 0.0))
    ahead_IN = np.where(known_IN, mean_IN - top_N - margin_N, -np.inf)
    safe_IN = np.where(sd_IN > 0, sd_IN, 1.0)
    contends_IN = known_IN & (sd_IN > 0) & (norm.cdf(ahead_IN / safe_IN) > chance)
    contends_IN[leader_N, columns_N] = False
    contends_IN[leader_N, columns_N] = contends_IN.any(axis=0)
    return contends_IN


def drift_between(early_V: Floats, late_V: Floats, early_variance_V: Floats, late_variance_V: Floats) -> float:
    """Deviation of late gains around what early ones foretell, errors of both taken out; of cells of one target.

    A shift that all cells share is no drift: it does not change who is best.

    Returns:
        standard deviation; NaN for fewer than three cells.
    """
    known_V = np.isfinite(early_V) & np.isfinite(late_V)
    if known_V.sum() < 3:
        return float("nan")
    moved_V = late_V[known_V] - early_V[known_V]
    error = float(np.mean(early_variance_V[known_V] + late_variance_V[known_V]))
    return float(np.sqrt(max(float(np.var(moved_V, ddof=1)) - error, 0.0)))
