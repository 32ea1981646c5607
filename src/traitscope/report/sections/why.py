"""Why: statistics of the datasets, how alike they are, and what of transfer they explain."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from traitscope.effects import Explanation
from traitscope.effects.words import p_words
from traitscope.findings import Findings
from traitscope.report.sections.absent import absence
from traitscope.report.sections.table import Column, Item, Line, Table
from traitscope.stats import DatasetStats
from traitscope.stats.measures import STATISTICS

FIGURES, FOLDED = (), ("similarity",)
# Rows of the table of correlations and of colliding words.
MOST = 20


@dataclass(frozen=True, slots=True)
class Why:
    """What the section shows.

    Attributes:
        answer: in one line. statistics: datasets down, statistics across. correlations: the strongest.
        collisions: label words that mean different classes in two datasets. alike: how likeness was measured.
        sentences: what explains what, but for what the answer says.
    """

    answer: str
    statistics: Table | None = None
    correlations: Table | None = None
    collisions: tuple[str, ...] = ()
    alike: tuple[str, ...] = ()
    sentences: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def view(findings: Findings) -> Why:
    """The section of a study's findings."""
    stats, explanation = findings.stats, findings.explanation
    if explanation is not None:
        answer = _answer(explanation)
    else:
        answer = absence(findings, "explanation" if stats is not None else "stats")
    return Why(
        answer,
        None if stats is None else _statistics(stats),
        None if explanation is None or explanation.correlations.empty else _correlations(explanation),
        () if stats is None else _collisions(stats),
        () if stats is None else _alike(stats),
        () if explanation is None else tuple(s for s in explanation.sentences if s not in answer),
        (*(stats.notes if stats is not None else ()), *(explanation.notes if explanation is not None else ())),
    )


def _answer(explanation: Explanation) -> str:
    """The strongest that holds, else that none does with what could have been seen."""
    rows = explanation.correlations
    held = rows[rows["q"] <= 1 - explanation.level]
    told = [s for s in explanation.sentences if s.startswith("No correlation holds") or " goes with " in s]
    if len(held):
        more = f" {len(held)} of {len(rows)} correlations hold." if len(held) > 1 else ""
        return told[0] + more
    return " ".join([*told[:1], explanation.sentences[0]]) if told else explanation.sentences[0]


def _statistics(stats: DatasetStats) -> Table:
    core = stats.core()
    known = [entry for entry in STATISTICS if entry.name in core.columns]
    columns = [Column("dataset")]
    for entry in known:
        title = f"{entry.value.definition} ({entry.value.unit})"
        columns.append(Column(entry.name.replace("_", " "), True, title=title))
    lines = []
    for name in core.index:
        numbers = [float(core.loc[name, entry.name]) for entry in known]
        items = [Item(f"{value:.3g}", value) if np.isfinite(value) else Item("–") for value in numbers]
        lines.append(Line((Item(str(name)), *items)))
    return Table(
        id="statistics",
        label="Statistics of the datasets",
        columns=tuple(columns),
        lines=tuple(lines),
        csv="statistics.csv",
    )


def _correlations(explanation: Explanation) -> Table:
    columns = (
        Column("statistic"),
        Column("outcome"),
        Column("rho", True, "statistics", "Spearman's rank correlation over the sources"),
        Column("interval", True, "interval"),
        Column("p", True, "p"),
        Column("q", True, "q"),
    )
    lines = []
    for row in explanation.correlations.head(MOST).to_dict("records"):
        holds = row["q"] <= 1 - explanation.level
        lines.append(
            Line(
                (
                    Item(str(row["statistic"])),
                    Item(str(row["outcome"])),
                    Item(f"{row['rho']:+.2f}", float(row["rho"])),
                    Item(f"[{row['lo']:+.2f}, {row['hi']:+.2f}]", float(row["hi"] - row["lo"])),
                    Item(p_words(float(row["p"])).removeprefix("p ").removeprefix("= "), float(row["p"])),
                    Item(f"{row['q']:.2g}", float(row["q"])),
                ),
                tone="strong" if holds else "",
            )
        )
    shown = f" (the {len(lines)} strongest of {len(explanation.correlations)})"
    return Table(id="correlations", label=f"Statistics and outcomes{shown}", columns=columns, lines=tuple(lines))


def _collisions(stats: DatasetStats) -> tuple[str, ...]:
    if not len(stats.collisions):
        return ()
    found = stats.collisions
    rows: list[dict[Any, Any]] = found[found["collides"].astype(bool)].to_dict("records")
    told = [
        f"“{row['word']}” is class {row['index_a']} of {row['dataset_a']} and class {row['index_b']} of "
        f"{row['dataset_b']} ({row['kind']})"
        for row in rows[:MOST]
    ]
    return (*told, f"and {len(rows) - MOST} more") if len(rows) > MOST else tuple(told)


def _alike(stats: DatasetStats) -> tuple[str, ...]:
    return tuple(f"{s.label}: {s.method}" + (f"; {s.note}" if s.note else "") for s in stats.similarity.values())
