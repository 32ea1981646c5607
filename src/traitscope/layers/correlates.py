"""What goes with similarity, layer by layer: readability, data size, gain; and which trait lives where."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from traitscope.errors import TraitscopeError

__all__ = ["MIN_TASKS", "layer_correlates", "trait_layers"]

MIN_TASKS = 4


def layer_correlates(
    layers: Sequence[int], values_NL: np.ndarray, covariates: Mapping[str, np.ndarray]
) -> pd.DataFrame:
    """Correlate a similarity with figures of the tasks at every layer, as figure 6 of arXiv 2410.20008 does.

    Args:
        layers: L layer numbers.
        values_NL: similarity of each task at each layer, for example CKA(mix, control); NaN where undefined.
        covariates: figures per task (length N, NaN where unknown), for example readability, rows, gain.

    Returns:
        One row per covariate, method (``pearson``, ``spearman``) and layer: n (tasks used), r, p (two-sided),
        q (Benjamini-Hochberg over all rows of the table), status and reason. Undefined where fewer than 4
        tasks remain or a side is constant.

    Raises:
        TraitscopeError: a covariate of the wrong length.
    """
    from scipy.stats import pearsonr, spearmanr

    rows = []
    for name, given in covariates.items():
        covariate_N = np.asarray(given, dtype=float)
        if covariate_N.shape != (len(values_NL),):
            raise TraitscopeError(
                f"{covariate_N.shape} values for {len(values_NL)} tasks",
                where=f"layer correlates: {name}",
                fix="give one number per task, NaN where it is unknown",
            )
        for column, layer in enumerate(layers):
            both_N = np.isfinite(values_NL[:, column]) & np.isfinite(covariate_N)
            x, y = covariate_N[both_N], values_NL[both_N, column]
            reason = None
            if len(x) < MIN_TASKS:
                reason = f"{len(x)} tasks, at least {MIN_TASKS} are needed"
            elif np.ptp(x) == 0 or np.ptp(y) == 0:
                reason = "one side is the same for every task"
            for method, test in (("pearson", pearsonr), ("spearman", spearmanr)):
                r, p = (float("nan"), float("nan")) if reason else map(float, test(x, y))
                status = "undefined" if reason else "ok"
                rows.append((name, method, layer, len(x), r, p, status, reason))
    table = pd.DataFrame(rows, columns=["covariate", "method", "layer", "n", "r", "p", "status", "reason"])
    table.insert(6, "q", _benjamini_hochberg(table["p"].to_numpy(dtype=float)))
    return table


def trait_layers(layers: Sequence[int], gap_NL: np.ndarray, loadings_KN: np.ndarray) -> pd.DataFrame:
    """Where each trait lives: the layers in which the tasks that load on it part from the base.

    Args:
        layers: L layer numbers.
        gap_NL: CKA(mix, control) - CKA(base, control) of each task; NaN where undefined.
        loadings_KN: loadings of the tasks on the traits.

    Returns:
        One row per trait and layer: ``gap``, the mean gap of the tasks weighted by their squared loading; ``rest``,
        the same weighted by what the trait leaves (largest squared loading minus the task's); ``r``, ``p``, ``q``:
        Spearman's correlation of |loading| with the gap over tasks, Benjamini-Hochberg corrected; ``centre``, one
        number per trait: the mean layer weighted by the rise of its gap.

    Raises:
        TraitscopeError: loadings for another number of tasks.
    """
    if loadings_KN.ndim != 2 or loadings_KN.shape[1] != len(gap_NL):
        raise TraitscopeError(
            f"loadings have shape {loadings_KN.shape} for {len(gap_NL)} tasks",
            where="trait_layers",
            fix="pass loadings_KN",
        )
    size_KN = np.abs(loadings_KN)
    tests = layer_correlates(layers, gap_NL, {str(k): size_N for k, size_N in enumerate(size_KN)})
    tests = tests[tests["method"] == "spearman"]
    rows = []
    for k, size_N in enumerate(size_KN):
        weight_N = np.square(size_N)
        gap_L = _weighted_mean(gap_NL, weight_N)
        rest_L = _weighted_mean(gap_NL, weight_N.max() - weight_N)
        rise_L = np.maximum(np.diff(np.nan_to_num(gap_L), prepend=0.0), 0.0)
        centre = float(rise_L @ np.asarray(layers, dtype=float) / rise_L.sum()) if rise_L.sum() > 0 else float("nan")
        own = tests[tests["covariate"] == str(k)].set_index("layer")
        for column, layer in enumerate(layers):
            test = own.loc[layer]
            rows.append((k, layer, gap_L[column], rest_L[column], test["r"], test["p"], centre))
    table = pd.DataFrame(rows, columns=["trait", "layer", "gap", "rest", "r", "p", "centre"])
    table.insert(6, "q", _benjamini_hochberg(table["p"].to_numpy(dtype=float)))
    return table


def _weighted_mean(values_NL: np.ndarray, weight_N: np.ndarray) -> np.ndarray:
    weight_NL = np.where(np.isfinite(values_NL), weight_N[:, None], 0.0)
    total_L = weight_NL.sum(axis=0)
    mean_L = (weight_NL * np.nan_to_num(values_NL)).sum(axis=0) / np.where(total_L > 0, total_L, 1.0)
    return np.where(total_L > 0, mean_L, np.nan)


def _benjamini_hochberg(p: np.ndarray) -> np.ndarray:
    """False-discovery-rate adjusted p values; NaN stays NaN and is not counted."""
    from scipy.stats import false_discovery_control

    q = np.full(len(p), np.nan)
    known = np.isfinite(p)
    if known.any():
        q[known] = false_discovery_control(p[known])
    return q
