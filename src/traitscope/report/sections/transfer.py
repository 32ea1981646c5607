"""Transfer: which source helps or harms which target; own tasks apart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from traitscope.effects import Effects
from traitscope.effects.grid import HOME
from traitscope.effects.holding import ALPHA, rows_of
from traitscope.findings import Findings
from traitscope.report.answers import answers
from traitscope.report.owntasks import OwnTasks, own_tasks
from traitscope.report.sections.table import Column, Item, Line, Table, count_item, q_item, size_item, span_item
from traitscope.report.words import Group, Sentence, bases_of, effect_groups, sentences_of, sizes, taught
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
class OwnGains:
    """How many adapters learnt their own task and how many gains there hold, these gains, and what was not learnt."""

    learnt: str
    gains: Group
    not_learnt: list[str]


@dataclass(frozen=True, slots=True)
class Transfer:
    """What the section shows.

    Attributes:
        answer: in one line. up, down: the strongest gains and losses that hold, how many there are of each.
        table: every cell that is no home task; None where nothing was measured against a base.
        own: gains on own tasks; None where no source was measured on one.
        near: near against far domains in words.
    """

    answer: str
    up: tuple[Sentence, ...] = ()
    down: tuple[Sentence, ...] = ()
    n_up: int = 0
    n_down: int = 0
    table: Table | None = None
    own: OwnGains | None = None
    near: tuple[Group, ...] = ()


def view(findings: Findings) -> Transfer:
    """The section of a study whose effects are known."""
    effects = findings.effects
    assert effects is not None
    rows = effects.of_kind("gain")
    if rows.empty:
        return Transfer(_first_answer(findings))
    away = rows[~rows["relation"].isin(HOME)]
    transfer = away[away["family"] == "transfer"]
    held = effects.held(transfer)
    up, down = (held[np.sign(held["value"]) == sign] for sign in (1, -1))
    seen = own_tasks(effects)
    return Transfer(
        _answer(transfer, up, down) if len(transfer) else _first_answer(findings),
        _strongest(effects, up),
        _strongest(effects, down),
        len(up),
        len(down),
        _table(effects, away, bases_of(findings.scores)) if len(away) else None,
        None if seen is None else _own_gains(effects, seen),
        tuple(effect_groups(effects, kinds=("domain",))),
    )


def _first_answer(findings: Findings) -> str:
    """Why no transfer is known, in the words of the first screen."""
    return next(one for one in answers(findings) if one.name == "helps").claims[0].text


def _answer(transfer: pd.DataFrame, up: pd.DataFrame, down: pd.DataFrame) -> str:
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


def _own_gains(effects: Effects, seen: OwnTasks) -> OwnGains:
    gains, not_learnt = taught(effects)
    told = f"{seen.text[0].upper()}{seen.text[1:]}"
    told += ", run by run and before correction." if seen.tested else "."
    told += f" Of the gains on own tasks, corrected together, {gains.verdict}." if gains.tested else ""
    return OwnGains(told, gains, not_learnt)


def _strongest(effects: Effects, held: pd.DataFrame) -> tuple[Sentence, ...]:
    order = sizes(held).sort_values(ascending=False, kind="stable").index[:STRONGEST]
    return sentences_of(effects, held.loc[order])


def _table(effects: Effects, rows: pd.DataFrame, bases: Mapping[str, str]) -> Table:
    holding = set(effects.held(rows).index)
    size = sizes(rows)
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
                    *([Item(bases[model])] if bases else []),
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
                (("up" if row["value"] > 0 else "down") if holds else "open" if np.isfinite(row["q"]) else "untested",),
            )
        )
    flags = {
        "up": "gains that hold",
        "down": "losses that hold",
        "open": "those that do not hold",
        "untested": "those not tested",
    }
    present = {flag for line in lines for flag in line.flags}
    return Table(
        id="all-transfers",
        label="Every cell that is not of the row's own task",
        columns=(COLUMNS[0], *([Column("base model")] if bases else []), *COLUMNS[1:]),
        lines=tuple(lines),
        filter=True,
        flags={flag: text for flag, text in flags.items() if flag in present},
        csv="transfers.csv",
    )
