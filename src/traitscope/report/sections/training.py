"""Training: what adapters learnt of their own tasks, and what it cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from traitscope.effects.words import p_words
from traitscope.findings import Findings
from traitscope.report.owntasks import WORDS, own_tasks
from traitscope.report.sections.absent import absence
from traitscope.report.sections.table import Column, Item, Line, Table, count_item, in_points, sized, span_item
from traitscope.texts import count_of

FIGURES, FOLDED = ("training",), ()
COLUMNS = (
    Column("adapter"),
    Column("own task"),
    Column("verdict", method="own-task"),
    Column("gain", True, "gain"),
    Column("interval", True, "interval"),
    Column("p", True, "p"),
    Column("first loss", True, "loss", "nats per answer token"),
    Column("last loss", True, "loss", "nats per answer token"),
)
COST = (
    Column("adapter"),
    Column("steps", True, "cost"),
    Column("tokens", True, title="that were trained on"),
    Column("seconds", True, title="from the start of its bank, whose adapters are trained together"),
)
SILENT = "The run's records do not say what training cost; traitscope run writes them."


@dataclass(frozen=True, slots=True)
class Training:
    """The answer in one line, every adapter on its own tasks, and what every adapter cost."""

    answer: str
    table: Table | None = None
    cost: Table | None = None
    cost_text: str = SILENT


def view(findings: Findings) -> Training:
    """The section of a study's findings."""
    effects = findings.effects
    table = None if effects is None else effects.tables.get("learning")
    cost = _cost(findings)
    if effects is None:
        answer = absence(findings, "effects")
    elif (own := own_tasks(effects)) is None:
        answer = "No source was trained here on a task that was measured: own tasks are not known."
    else:
        behind = f"; the others: {own.others}" if own.others else ""
        answer = f"{own.text[0].upper()}{own.text[1:]}{behind}."
    made = None
    if table is not None and len(table):
        made = Table(
            id="learning",
            label="Adapters on their own tasks",
            columns=COLUMNS,
            lines=tuple(_line({str(k): v for k, v in row.items()}) for row in table.to_dict("records")),
        )
    return Training(answer, made, cost, _cost_text(findings) if cost is not None else SILENT)


def _line(row: Mapping[str, Any]) -> Line:
    learnt = row["verdict"] == "learnt"
    known = np.isfinite(row["p"])
    return Line(
        (
            Item(str(row["model"]), cell=(str(row["model"]), str(row["task"]))),
            Item(str(row["task"])),
            Item(f"{WORDS[row['verdict']]}{'' if row['role'] == 'source' else ' (' + str(row['role']) + ')'}"),
            Item(sized(row["gain"], row["unit"]), in_points(row["gain"], row["unit"]), "up" if learnt else ""),
            span_item(row),
            Item(p_words(row["p"]).removeprefix("p ").removeprefix("= ") if known else "–", float(row["p"])),
            _loss(row["loss_first"]),
            _loss(row["loss_last"]),
        ),
        (str(row["model"]), str(row["task"])),
        "" if learnt or row["role"] != "source" else "strong",
    )


def _loss(value: Any) -> Item:
    known = value is not None and np.isfinite(value)
    return Item(f"{value:.3g}", float(value)) if known else Item("–")


def _cost(findings: Findings) -> Table | None:
    if not findings.spent:
        return None
    lines = tuple(
        Line((Item(one.model), count_item(one.steps), count_item(one.tokens), count_item(one.seconds)))
        for one in findings.spent
    )
    return Table(id="cost", label="What training cost", columns=COST, lines=lines)


def _cost_text(findings: Findings) -> str:
    steps, tokens = (sum(getattr(one, name) for one in findings.spent) for name in ("steps", "tokens"))
    return f"{count_of(len(findings.spent), 'adapter')}: {steps:,} steps and {tokens:,} tokens in all."
