"""Gains, claims on them, and further metrics of cells."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from traitscope.effects import Effects
from traitscope.effects.holding import rows_of
from traitscope.matrix import ScoreMatrix
from traitscope.report.amounts import gain_text, score_text, unit_of

Floats = npt.NDArray[np.float64]
# Columns of the effects' tables that hold words; None there is none.
_WORDS = frozenset({"source", "metric", "base_at", "answer", "habit", "remark", "unit", "relation", "interval"})


def gain_rows(matrix: ScoreMatrix, effects: Effects | None) -> dict[tuple[str, str], dict[str, Any]]:
    """Gain over the base by (model, task), higher is better: gain, lo, hi, p, unit, n, and won and lost where paired.

    Those of the effects; of a matrix without these the differences alone.
    """
    found = by_cell(effects, "gains")
    if found:
        return {at: row for at, row in found.items() if np.isfinite(row["gain"])}
    view = matrix.gains(partial=True)
    made = {}
    for i, model in enumerate(matrix.models):
        for n, task in enumerate(matrix.tasks):
            value = float(view.values_IN[i, n])
            if np.isfinite(value) and matrix.base_index_I[i] != i:
                unit = unit_of(matrix.units[task])
                made[model, task] = {"gain": value, "unit": unit, "lo": np.nan, "hi": np.nan, "p": np.nan, "n": 0}
    return made


def claims(effects: Effects | None) -> dict[tuple[str, str], dict[str, Any]]:
    """The finding on a gain by (model, task), of all runs that it speaks of, with ``holds``."""
    if effects is None:
        return {}
    rows = effects.of_kind("gain")
    holding = set(effects.held(rows).index)
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for index, row in rows.iterrows():
        told: dict[str, Any] = {**row.to_dict(), "holds": index in holding}  # type: ignore[dict-item]
        for model in rows_of(told):
            found[model, str(row["task"])] = told
    return found


def by_cell(effects: Effects | None, name: str) -> dict[tuple[str, str], dict[str, Any]]:
    """The rows of a table of the effects by (model, task); empty where there is no such table."""
    table = None if effects is None else effects.tables.get(name)
    if table is None:
        return {}
    return {(str(row["model"]), str(row["task"])): row for row in _records(table)}


def _records(table: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """The rows of a table; a number that is not known is NaN, however the table was read."""
    for row in table.to_dict("records"):
        yield {str(key): np.nan if value is None and key not in _WORDS else value for key, value in row.items()}


def further_metrics(matrix: ScoreMatrix) -> dict[str, list[list[list[Any]]]]:
    """Every further metric that two rows have: [row][column] -> [score text, score, gain text, gain] or empty."""
    table = matrix.to_long()
    table = table[table["value"].notna()]
    row = {name: i for i, name in enumerate(matrix.models)}
    column = {name: n for n, name in enumerate(matrix.tasks)}
    found = {}
    for metric, part in table.groupby("metric", sort=True):
        tasks = set(part["task"])
        if all(matrix.metrics[task] == metric for task in tasks):
            continue
        values_IN = np.full(matrix.scores_IN.shape, np.nan)
        signs_N = np.ones(len(matrix.tasks))
        for entry in part.itertuples(index=False):
            at = row.get(str(entry.model)), column.get(str(entry.task))
            if at[0] is not None and at[1] is not None:
                values_IN[at] = entry.value
                signs_N[at[1]] = 1.0 if getattr(entry, "higher_is_better", True) else -1.0
        found[str(metric)] = _metric_cells(matrix, values_IN, signs_N)
    return found


def _metric_cells(matrix: ScoreMatrix, values_IN: Floats, signs_N: Floats) -> list[list[list[Any]]]:
    known = values_IN[np.isfinite(values_IN)]
    unit = "share" if known.size and float(known.min()) >= 0.0 and float(known.max()) <= 1.0 else "score"
    cells = []
    for i in range(len(matrix.models)):
        line: list[list[Any]] = []
        base = int(matrix.base_index_I[i])
        for n in range(len(matrix.tasks)):
            value = values_IN[i, n]
            if np.isnan(value):
                line.append([])
                continue
            entry: list[Any] = [score_text(value, unit), float(value * signs_N[n])]
            gain = np.nan if base < 0 or base == i else (value - values_IN[base, n]) * signs_N[n]
            if np.isfinite(gain):
                entry += [gain_text(gain, unit), float(gain)]
            line.append(entry)
        cells.append(line)
    return cells
