"""A cell's scores beside its base's, metric by metric, as text with the interval of the difference."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from traitscope.effects.holding import excludes_none, rows_of
from traitscope.findings import Findings
from traitscope.matrix.table import row_labels
from traitscope.metrics import METRICS
from traitscope.metrics.intervals import normal_quantile
from traitscope.records import ExampleRecord
from traitscope.report.amounts import gain_text, score_text, sized, unit_of
from traitscope.report.numbers import by_cell
from traitscope.report.words import ALPHA, q_text

LEVEL = 0.95
PAIRED = "paired over the examples"
APART = "from both scores' errors, as if they were of different examples"


@dataclass(frozen=True, slots=True)
class Change:
    """One metric of a cell.

    Attributes:
        metric: its name; primary: whether it is the one that the matrix shows; lower: whether less of it is better.
        base, model: both scores as text; empty where there is none.
        gain: the difference, above 0 where the model is better; NaN where there is no base.
        lo, hi: ends of its interval; NaN where its error is not known.
        unit: "share", "percent", or the name of another unit.
        how: what the interval is made from; q: the test of the primary metric, corrected, as text.
        held: whether the findings hold it.
    """

    metric: str
    primary: bool
    base: str
    model: str
    gain: float
    lo: float
    hi: float
    unit: str
    how: str = ""
    q: str = ""
    held: bool = False
    lower: bool = False

    def to_json(self) -> dict[str, Any]:
        """As the page's script takes it: all numbers as text."""
        known = math.isfinite(self.gain)
        span = math.isfinite(self.lo) and math.isfinite(self.hi)
        ends = f"{gain_text(self.lo, self.unit)} to {gain_text(self.hi, self.unit)}" if span else ""
        found = {key: value for key, value in asdict(self).items() if key not in ("gain", "lo", "hi", "unit")}
        sign = 0 if not known or self.gain == 0 else 1 if self.gain > 0 else -1
        return {**found, "gain": sized(self.gain, self.unit, "points") if known else "", "span": ends, "sign": sign}


class Changes:
    """The scores of all cells by metric, and what the findings say of their differences.

    Args:
        findings: of a study or of a bare matrix.
    """

    def __init__(self, findings: Findings) -> None:
        self.scores = findings.scores
        self.effects = findings.effects
        self.findings = None if findings.effects is None else findings.effects.of_kind("gain")
        self.z = normal_quantile(LEVEL)
        self.row = {name: i for i, name in enumerate(self.scores.models)}
        self.column = {name: n for n, name in enumerate(self.scores.tasks)}

    @cached_property
    def rows(self) -> dict[tuple[str, str], list[dict[str, Any]]]:
        """The rows of the long table by cell, the metric that the matrix shows first."""
        table = self.scores.table
        if not self.scores.predicted:
            table = table[table["status"] != "predicted"]
        found: dict[tuple[str, str], list[dict[str, Any]]] = {}
        for label, row in zip(row_labels(table), table.to_dict("records"), strict=True):
            found.setdefault((str(label), str(row["task"])), []).append({str(k): v for k, v in row.items()})
        for (_, task), rows in found.items():
            rows.sort(key=lambda row, task=task: row["metric"] != self.scores.metrics[task])  # type: ignore[misc]
        return found

    @cached_property
    def told(self) -> dict[tuple[str, str], dict[str, Any]]:
        """The finding on the gain of every cell, of all runs of its source where these are told together."""
        if self.findings is None:
            return {}
        rows = [{str(k): v for k, v in row.items()} for row in self.findings.to_dict("records")]
        return {(model, row["task"]): row for row in rows for model in rows_of(row)}

    @cached_property
    def paired(self) -> dict[str, dict[tuple[str, str], dict[str, Any]]]:
        """Rows of the effects' tables on gains and on macro-F1 by cell."""
        return {name: by_cell(self.effects, name) for name in ("gains", "macro_f1")}

    @cached_property
    def gain_view(self) -> tuple[np.ndarray, np.ndarray]:
        """Gains of the matrix itself and their standard errors, NaN where there is no base."""
        view = self.scores.gains(partial=True)
        return np.asarray(view.values_IN), np.asarray(view.stderr_IN)

    def of(
        self,
        model: str,
        task: str,
        base: str | None,
        base_records: Sequence[ExampleRecord] | None = None,
        records: Sequence[ExampleRecord] = (),
    ) -> list[Change]:
        """Every metric of a cell, the one that the matrix shows first.

        Args:
            base: the row that it is compared with; None for none.
            base_records, records: of the same examples, for losses; none where there are none.
        """
        others = {row["metric"]: row for row in self.rows.get((base, task), [])} if base is not None else {}
        return [
            self._change(row, others.get(row["metric"]), model, task, base_records, records)
            for row in self.rows.get((model, task), [])
        ]

    def _change(
        self,
        row: Mapping[str, Any],
        other: Mapping[str, Any] | None,
        model: str,
        task: str,
        base_records: Sequence[ExampleRecord] | None,
        records: Sequence[ExampleRecord],
    ) -> Change:
        metric = str(row["metric"])
        primary = metric == self.scores.metrics[task]
        unit = unit_of(self.scores.units[task]) if primary else _unit(metric)
        value, before = float(row["value"]), math.nan if other is None else float(other["value"])
        turn = 1.0 if bool(row["higher_is_better"]) else -1.0
        gain, lo, hi, how, about = turn * (value - before), math.nan, math.nan, "", None
        if other is not None:
            name = "gains" if primary else metric
            found = self.paired.get(name, {}).get((model, task))
            if found is not None:
                # Percentages are shares among the findings.
                scale = 100.0 if unit == "percent" and found.get("unit", "share") == "share" else 1.0
                ends = "change" if name == "macro_f1" else "gain"
                prefix = "change_" if name == "macro_f1" else ""
                gain, lo, hi = (scale * float(found[key]) for key in (ends, f"{prefix}lo", f"{prefix}hi"))
                how = _way(name, found) if math.isfinite(lo) else ""
            elif metric == "loss" and base_records and len(base_records) == len(records) > 1:
                lost_S = np.array([b.loss - r.loss for b, r in zip(base_records, records, strict=True)])
                half = self.z * float(lost_S.std(ddof=1)) / math.sqrt(len(lost_S))
                gain = float(lost_S.mean())
                lo, hi, how = gain - half, gain + half, PAIRED
            else:
                half = self.z * self._error(row, other, model, task, primary=primary)
                how = APART if math.isfinite(half) and not (primary and task in self.scores.records) else ""
                lo, hi = gain - half, gain + half
            about = self.told.get((model, task)) if primary else None
        together = about is not None and len(rows_of(about)) > 1
        q = "" if about is None else q_text(about["q"])
        return Change(
            metric=metric,
            primary=primary,
            base="" if other is None else _score(before, unit),
            model=_score(value, unit),
            gain=gain,
            lo=lo,
            hi=hi,
            unit=unit,
            how=how,
            q=f"{q} (all {len(rows_of(about))} seeds together)" if q and together and about is not None else q,
            held=about is not None and bool(about["q"] <= ALPHA) and excludes_none(about),
            lower=turn < 0,
        )

    def _error(
        self, row: Mapping[str, Any], other: Mapping[str, Any], model: str, task: str, *, primary: bool
    ) -> float:
        """Standard error of a difference, NaN where one is not known."""
        if primary:
            return float(self.gain_view[1][self.row[model], self.column[task]])
        errors = [math.nan if pd.isna(one["stderr"]) else float(one["stderr"]) for one in (row, other)]
        return math.hypot(*errors)


def _way(name: str, found: Mapping[str, Any]) -> str:
    """What an interval of the effects is made from: the pairs of a cell's examples, or the scores' errors alone."""
    return PAIRED if name != "gains" or isinstance(found.get("interval"), str) else APART


def _unit(metric: str) -> str:
    """Unit of a metric that is not the first: a share where it reaches from 0 to 1."""
    known = METRICS.get(metric).value if metric in METRICS else None
    return "share" if known is not None and (known.low, known.high) == (0.0, 1.0) else "score"


def _score(value: float, unit: str) -> str:
    text = score_text(value, unit)
    return f"{text} %" if text and unit != "score" else text or "–"
