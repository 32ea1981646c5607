"""Sentences of the first screen: what is claimed, which cells bear it, and by which numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from traitscope.effects.holding import rows_of
from traitscope.effects.words import POINTS, number, span_words
from traitscope.findings import Findings
from traitscope.matrix import ScoreMatrix
from traitscope.texts import short

# Columns of a name in a sentence; the cell's panel has all of it.
NAME_SIGNS = 36
# What a column is measured in where its file says no more.
UNNAMED = "score"


@dataclass(frozen=True, slots=True)
class Claim:
    """One sentence, with the cell or section that bears it.

    Attributes:
        text: the sentence; ``strong`` is the part of its beginning that stands out.
        href: ``#cell/model/task`` or ``#section``; empty where there is none.
        numbers: every number that the sentence gives, by name, for whoever recomputes them.
    """

    text: str
    strong: str = ""
    href: str = ""
    numbers: Mapping[str, Any] = field(default_factory=dict)


def strongest(rows: pd.DataFrame, sign: int = 0) -> list[Mapping[str, Any]]:
    """The largest finding of every scale: percentage points first, then by q; sizes of two scales are never compared.

    Args:
        rows: findings. sign: 1 for gains alone, -1 for losses alone.
    """
    if sign:
        rows = rows[np.sign(rows["value"]) == sign]
    if rows.empty:
        return []
    size = rows["value"].abs() * rows["unit"].map(POINTS).fillna(1.0)
    told = [{str(key): value for key, value in row.items()} for row in rows.to_dict("records")]
    best: dict[str, int] = {}
    for k in np.argsort(-size.to_numpy(), kind="stable").tolist():
        best.setdefault(scale(told[k]), k)
    order = sorted(best.items(), key=lambda at: (at[0] != "points", np.nan_to_num(told[at[1]]["q"], nan=2.0), at[1]))
    return [told[k] for _, k in order]


def scale(row: Mapping[str, Any]) -> str:
    """What a finding's size may be compared within: all points; one metric; one task where the metric has no name."""
    if row["unit"] in POINTS:
        return "points"
    metric = str(row["numbers"].get("metric") or row["unit"])
    return f"task {row['task']}" if metric == UNNAMED else metric


def numbers_of(row: Mapping[str, Any]) -> dict[str, Any]:
    """A finding's numbers, for whoever recomputes them."""
    kept = ("kind", "model", "source", "task", "detail", "value", "lo", "hi", "p", "q", "unit", "n")
    return {key: row[key] for key in kept}


class Speaker:
    """Names and sizes of a study's findings in sentences.

    Args:
        findings: whose matrix says which way is better, and of which base a row is.
    """

    def __init__(self, findings: Findings) -> None:
        self.matrix = findings.scores
        self.row = {name: i for i, name in enumerate(self.matrix.models)}
        self.several_bases = len(base_rows(self.matrix)) > 1

    def name(self, row: Mapping[str, Any]) -> str:
        """What was trained on, with its base where there are several."""
        name = short(str(row["source"] or row["model"]), NAME_SIGNS)
        base = self._base(row) if self.several_bases else ""
        return f"{name} ({short(base, NAME_SIGNS)})" if base else name

    def task(self, row: Mapping[str, Any]) -> str:
        """The task's name."""
        return short(str(row["task"]), NAME_SIGNS)

    def model(self, row: Mapping[str, Any]) -> str:
        """A row of the matrix that the finding is about: the first of its runs."""
        return rows_of(row)[0]

    def lower(self, row: Mapping[str, Any]) -> bool:
        """Whether less is better in the finding's task."""
        return bool(self.matrix.sign_N[self.matrix.tasks.index(row["task"])] < 0)

    def size(self, row: Mapping[str, Any]) -> str:
        """A gain with its interval; of what is better when lower which way the score went."""
        unit = row["unit"]
        behind = " points" if unit in POINTS else f" {unit}" if unit != UNNAMED else ""
        if not self.lower(row):
            return f"{number(row['value'], unit)}{behind}{_span(row['lo'], row['hi'], unit)}"
        better = row["value"] >= 0
        turn = 1.0 if better else -1.0
        size, *ends = (
            number(turn * value, unit, signed=False)
            for value in (row["value"], *((row["lo"], row["hi"]) if better else (row["hi"], row["lo"])))
        )
        span = f" [{', '.join(ends)}]" if np.isfinite([row["lo"], row["hi"]]).all() else ""
        return f"{size}{behind} {'lower' if better else 'higher'}{span}, which is {'better' if better else 'worse'}"

    def _base(self, row: Mapping[str, Any]) -> str:
        i = self.row.get(self.model(row))
        return "" if i is None else str(self.matrix.rows["base"].iloc[i])


def _span(lo: float, hi: float, unit: str) -> str:
    text = span_words(lo, hi, unit)
    return f" {text}" if text else ""


def base_rows(matrix: ScoreMatrix) -> list[int]:
    """The rows that are bases, in the matrix's order."""
    return [i for i in range(len(matrix.models)) if matrix.base_index_I[i] == i]
