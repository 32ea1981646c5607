"""Figures over tasks: medians with bootstrap intervals, the permutation null, layer x layer maps."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from traitscope.layers.result import ALL, NULL, TABLE_COLUMNS, UNSEEN
from traitscope.layers.spectrum import SPECTRUM_NAMES
from traitscope.layers.task_analysis import TaskLayers

__all__ = ["median_maps", "over_tasks_table"]


def over_tasks_table(found: Mapping[str, TaskLayers], held_out: Sequence[str], draws: int, seed: int) -> pd.DataFrame:
    """All tasks' rows, then figures over trained tasks, over unseen ones, and the null."""
    table = pd.DataFrame([row for task in found.values() for row in task.rows], columns=list(TABLE_COLUMNS))
    extra = []
    for over, group in ((ALL, [t for t in found if t not in held_out]), (UNSEEN, list(held_out))):
        part = table[table["task"].isin(group)]
        for (measure, pair), rows in part.groupby(["measure", "pair"], sort=False):
            wide = rows.pivot(index="task", columns="layer", values="value")
            values_NL = wide.loc[[task for task in group if task in wide.index]].to_numpy(dtype=float)
            drawn_BN = np.random.default_rng(seed).integers(len(values_NL), size=(draws, len(values_NL)))
            value_L, low_L, high_L = _middle(values_NL, drawn_BN, mean=measure in SPECTRUM_NAMES)
            extra += [
                _row(str(measure), str(pair), int(layer), over, *figures)
                for layer, *figures in zip(wide.columns, value_L, low_L, high_L, strict=True)
            ]
    trained = [f for task, f in found.items() if f.null and task not in held_out]
    trained = trained or [f for f in found.values() if f.null]
    for measure, pair in dict.fromkeys(key for f in trained for key in f.null):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            median_LP = np.nanmedian(np.stack([f.null[measure, pair] for f in trained]), axis=0)
        for layer, values_P in enumerate(median_LP):
            known = values_P[np.isfinite(values_P)]
            figures = (known.mean(), *np.quantile(known, (0.05, 0.95))) if len(known) else (np.nan,) * 3
            extra.append(_row(measure, pair, layer, NULL, *figures))
    return pd.concat([table, pd.DataFrame(extra, columns=list(TABLE_COLUMNS))], ignore_index=True)


def _middle(values_NL: np.ndarray, drawn_BN: np.ndarray, *, mean: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Median (or mean) over tasks by layer with a 95 % bootstrap interval; NaN where no task is defined."""
    if np.isfinite(values_NL).all():
        middle = np.mean if mean else np.median
    else:
        middle = np.nanmean if mean else np.nanmedian
    with warnings.catch_warnings():
        # A layer that is undefined for every task stays NaN; numpy warns of the empty slice.
        warnings.simplefilter("ignore", RuntimeWarning)
        low_L, high_L = np.nanquantile(middle(values_NL[drawn_BN], axis=1), (0.025, 0.975), axis=0)
        return middle(values_NL, axis=0), low_L, high_L


def _row(measure: str, pair: str, layer: int, over: str, value: float, low: float, high: float) -> dict[str, Any]:
    undefined = value != value
    return {
        "measure": measure,
        "pair": pair,
        "layer": layer,
        "task": over,
        "value": float(value),
        "low": float(low),
        "high": float(high),
        "status": "undefined" if undefined else "ok",
        "reason": "undefined for every task" if undefined else None,
    }


def median_maps(found: Mapping[str, TaskLayers], held_out: Sequence[str]) -> dict[str, np.ndarray]:
    """Layer x layer medians over trained tasks, by ``measure:pair``; over the unseen ones if there are no others."""
    chosen = [f for task, f in found.items() if task not in held_out] or list(found.values())
    keys = dict.fromkeys(key for f in chosen for key in f.maps)
    maps = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        for measure, pair in keys:
            stacked = np.stack([f.maps[measure, pair] for f in chosen if (measure, pair) in f.maps])
            maps[f"{measure}:{pair}"] = np.nanmedian(stacked, axis=0)
    return maps
