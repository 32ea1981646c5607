"""Transfer: which source helps or harms which target; own tasks apart."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from traitscope.effects import Effects
from traitscope.effects.grid import HOME
from traitscope.effects.holding import ALPHA, rows_of
from traitscope.findings import Findings
from traitscope.report.sections.absent import absence
from traitscope.report.sections.table import Column, Item, Line, Table, count_item, q_item, size_item, span_item
from traitscope.report.words import Group, Sentence, effect_groups, sentences_of, taught
from traitscope.texts import count_of

FIGURES, FOLDED = ("transfer_by_source", "transfer_by_target"), ("scores", "gains", "relation_bars")
# Sentences of each direction that stand above the table.
STRONGEST = 5
COLUMNS = (
    Column("source"),
    Column("target"),
    Column("kind", title="transfer, or of a control, a mix or a foreign model"),
    Column("metric"),
    Column("gain", True, "gain"),
    Column("interval", True, "interval", "95 %; sorted by its width"),
    Column("q", True, "q"),
    Column("won", True, "won-lost"),
    Column("lost", True),
)


@dataclass(frozen=True, slots=True)
class Transfer:
    """What the section shows.

    Attributes:
        answer: in one line. up, down: the strongest gains and losses that hold, how many there are of each.
        table: every cell that is no home task; None where nothing was measured against a base.
        own: gains on own tasks, with what was not learnt; None where there are none.
        near: near against far domains in words.
    """

    answer: str
    up: tuple[Sentence, ...] = ()
    down: tuple[Sentence, ...] = ()
    n_up: int = 0
    n_down: int = 0
    table: Table | None = None
    own: tuple[Group, list[str]] | None = None
    near: tuple[Group, ...] = ()


def view(findings: Findings) -> Transfer:
    """The section of a study's findings."""
    effects = findings.effects
    if effects is None:
        return Transfer(absence(findings, "effects"))
    rows = effects.of_kind("gain")
    if rows.empty:
        return Transfer("Gains are not known: there is no base row to compare with. A row named base gives them.")
    away = rows[~rows["relation"].isin(HOME)]
    transfer = away[away["family"] == "transfer"]
    held = effects.held(transfer)
    up, down = (held[np.sign(held["value"]) == sign] for sign in (1, -1))
    own = taught(effects)
    return Transfer(
        _answer(transfer, up, down),
        _strongest(effects, up),
        _strongest(effects, down),
        len(up),
        len(down),
        _table(effects, away) if len(away) else None,
        own if own[0].sentences or own[1] else None,
        tuple(effect_groups(effects, kinds=("domain",))),
    )


def _answer(transfer: pd.DataFrame, up: pd.DataFrame, down: pd.DataFrame) -> str:
    if transfer.empty:
        return "No transfer was measured: every row was trained on every task, or no row has a source."
    tested = int(transfer["p"].notna().sum())
    if not tested:
        better = int((transfer["value"] > 0).sum())
        count = count_of(len(transfer), "transfer")
        return f"{better} of {count} lie above the base; none was tested, as no error is known."
    text = f"{len(up)} of {count_of(tested, 'tested transfer')} help and {len(down)} harm at q <= {ALPHA:g}"
    points = transfer[transfer["unit"].isin(["share", "percent"])]
    if len(points) == len(transfer) and len(points["unit"].unique()) == 1:
        scale = 100.0 if points["unit"].iloc[0] == "share" else 1.0
        text += f"; the median is {scale * points['value'].median():+.1f} points"
    return f"{text}."


def _strongest(effects: Effects, held: pd.DataFrame) -> tuple[Sentence, ...]:
    order = held["value"].abs().sort_values(ascending=False, kind="stable").index[:STRONGEST]
    return sentences_of(effects, held.loc[order])


def _table(effects: Effects, rows: pd.DataFrame) -> Table:
    holding = set(effects.held(rows).index)
    size = rows["value"].abs()
    order = pd.DataFrame({"not_held": [i not in holding for i in rows.index], "size": -size}, index=rows.index)
    lines = []
    for index in order.sort_values(["not_held", "size"], kind="stable").index:
        row = dict(rows.loc[index])
        holds = index in holding
        known = row["numbers"]
        model = str(rows_of(row)[0])
        lines.append(
            Line(
                (
                    Item(str(row["source"] or row["model"]), cell=(model, str(row["task"]))),
                    Item(str(row["task"])),
                    Item(str(row["family"] or row["relation"])),
                    Item(str(known["metric"])),
                    size_item(row, holds=holds),
                    span_item(row),
                    q_item(row["q"]),
                    count_item(known.get("won")),
                    count_item(known.get("lost")),
                ),
                (model, str(row["task"])),
                "strong" if holds else "",
                (("up" if row["value"] > 0 else "down") if holds else "open",),
            )
        )
    flags = {"up": "gains that hold", "down": "losses that hold", "open": "those that do not hold"}
    present = {flag for line in lines for flag in line.flags}
    return Table(
        id="all-transfers",
        label="Every cell that is not of the row's own task",
        columns=COLUMNS,
        lines=tuple(lines),
        filter=True,
        flags={flag: text for flag, text in flags.items() if flag in present},
        csv="transfers.csv",
    )
