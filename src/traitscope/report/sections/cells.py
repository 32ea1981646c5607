"""All cells: every score with its error, its gain and what is odd about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from traitscope.effects.holding import rows_of
from traitscope.effects.words import POINTS, span_words
from traitscope.findings import Findings, cells_text
from traitscope.matrix.table import row_labels
from traitscope.report.numbers import claims, gain_rows
from traitscope.report.sections.table import Column, Item, Line, Table, in_points, q_item, sized
from traitscope.report.tables import cell_notes, cells_frame
from traitscope.report.trust import Chip
from traitscope.texts import count_of

FIGURES, FOLDED = (), ()
# Rows of the page; all are in tables/cells.csv.
MOST = 4000
COLUMNS = (
    Column("model"),
    Column("task"),
    Column("metric", method="score"),
    Column("value", True),
    Column("standard error", True),
    Column("n", True),
    Column("gain", True, "gain"),
    Column("interval", True, "interval"),
    Column("q", True, "q"),
    Column("status", method="status"),
    Column("note"),
)


@dataclass(frozen=True, slots=True)
class Cells:
    """How many cells there are in one line, and the table of them."""

    answer: str
    more: str
    table: Table


def view(findings: Findings, chips: Sequence[Chip], flags: Mapping[tuple[str, str], Sequence[str]]) -> Cells:
    """The section of a study's findings; ``chips`` with their cells are what rows are picked by."""
    matrix = findings.scores
    table = cells_frame(matrix)
    labels = pd.Series(row_labels(table), index=table.index).astype(str)
    first = table["metric"] == table["task"].map(matrix.metrics)
    # Each task's first metric before the others: these are the cells.
    order = [*table.index[first], *table.index[~first]][:MOST]
    gains, found = gain_rows(matrix, findings.effects), claims(findings.effects)
    notes = cell_notes(findings.effects)
    lines = []
    for index in order:
        at = (labels[index], str(table.at[index, "task"]))
        record = {str(key): value for key, value in table.loc[index].items()}
        is_first = bool(first[index])
        gain, claim = (gains.get(at), found.get(at)) if is_first else (None, None)
        lines.append(_line(findings, at, record, is_first, gain, claim, notes.get(at, ""), flags.get(at, ())))
    known = {chip.name: chip.text for chip in chips if chip.cells}
    hidden = len(table) - len(order)
    return Cells(
        f"{cells_text(matrix)}; {count_of(table['value'].count(), 'value')} over all metrics.",
        f"The first {len(order)} are shown; all {len(table)} are in tables/cells.csv (traitscope report)."
        if hidden
        else "",
        Table(
            id="every-cell",
            label="Every cell and metric",
            columns=COLUMNS,
            lines=tuple(lines),
            filter=True,
            flags=known or None,
            half="points" if set(matrix.units.values()) <= {"fraction", "percent"} else "units of its metric",
            csv="cells.csv",
        ),
    )


def _line(
    findings: Findings,
    at: tuple[str, str],
    record: Mapping[str, Any],
    first: bool,
    gain: Mapping[str, Any] | None,
    claim: Mapping[str, Any] | None,
    note: str,
    flags: Sequence[str],
) -> Line:
    shown = findings.scores.units.get(at[1]) if first else None
    scale, unit = 100.0 if shown == "fraction" else 1.0, " %" if shown in ("fraction", "percent") else ""
    value, stderr, n = (_known(record.get(key)) for key in ("value", "stderr", "n"))
    size, span, q, half, holds = Item("–"), Item("–"), Item("–"), None, False
    if gain is not None:
        points = POINTS.get(gain["unit"], 1.0)
        holds = bool(claim is not None and claim["holds"])
        tone = ("up" if gain["gain"] > 0 else "down") if holds else ""
        size = Item(sized(gain["gain"], gain["unit"]), in_points(gain["gain"], gain["unit"]), tone)
        if text := span_words(gain["lo"], gain["hi"], gain["unit"]):
            width = points * (gain["hi"] - gain["lo"])
            span, half = Item(text, width), width / 2
        q = q_item(None if claim is None else claim["q"])
        if claim is not None and q.sort is not None and (runs := len(rows_of(claim))) > 1:
            q = replace(q, text=f"{q.text} (all {runs} seeds together)")
    return Line(
        (
            Item(at[0], cell=at if first else None),
            Item(at[1]),
            Item(str(record["metric"])),
            Item("missing" if value is None else f"{scale * value:.4g}{unit}", value),
            Item("–" if stderr is None else f"{scale * stderr:.2g}", stderr),
            Item("–" if n is None else f"{n:.0f}", n),
            size,
            span,
            q,
            Item(str(record["status"])),
            Item(note if first else ""),
        ),
        at if first else None,
        "" if first else "grey",
        tuple(flags) if first else (),
        half,
    )


def _known(value: Any) -> float | None:
    return None if value is None or pd.isna(value) or not np.isfinite(value) else float(value)
