"""Habits: how far a model's answers went from the base's, a line per model."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from traitscope.effects import Effects
from traitscope.effects.words import number
from traitscope.findings import Findings
from traitscope.report.claims import base_rows
from traitscope.report.sections.table import Column, Item, Line, Table
from traitscope.report.words import Group, effect_groups
from traitscope.texts import count_of

FIGURES, FOLDED = ("habits",), ("class_shares", "confusion_pair", "length_shift", "length_densities")
# Kinds of findings that are told class by class, folded.
DETAIL = (
    *("habit", "class_share", "recall", "class_pull", "class_pull_pooled", "macro_f1"),
    *("length_shift", "length_weight", "length_weight_pooled", "invalid", "cut_off", "tag"),
)
COLUMNS = (
    Column("model"),
    Column("tasks answered alike", True, "constant-answer", "cells in which nearly all answers are the same"),
    Column("largest class shift", True, "class-share", "change of one class's share of the answers, in points"),
    Column("unparsable", True, "invalid", "largest change of the share of answers that cannot be parsed, in points"),
    Column("cut off", True, title="largest change of the share of answers cut off by length, in points"),
    Column("length shift", True, "length-shift", "largest change of the mean answer length, in tokens"),
)


@dataclass(frozen=True, slots=True)
class Habits:
    """The answer in one line, a line per model (None where no answers are known), class detail in words."""

    answer: str
    table: Table | None = None
    detail: tuple[Group, ...] = ()
    notes: tuple[str, ...] = ()


def view(findings: Findings) -> Habits:
    """The section of a study whose effects are known."""
    effects = findings.effects
    assert effects is not None
    moved = _moved(effects)
    if moved.empty:
        return Habits(_unknown(findings))
    return Habits(
        _answer(effects, moved, [findings.scores.models[i] for i in base_rows(findings.scores)]),
        _table(effects, moved),
        tuple(effect_groups(effects, kinds=DETAIL)),
        tuple(effects.notes),
    )


def _unknown(findings: Findings) -> str:
    """Why no habit is known."""
    matrix = findings.scores
    if all(int(base) == i for i, base in enumerate(matrix.base_index_I)):
        return "Only the base was measured: habits are what changes against it."
    if findings.cells is not None:
        return "No task here has classes or answers of its own to change: habits are not known of losses."
    return "How models answer is not known: there are scores and no answers. In a study, traitscope run keeps them."


def _moved(effects: Effects) -> pd.DataFrame:
    """Every change of how a row answers a task: what (class, invalid, cut_off, length), model, task, detail, change."""
    parts = []
    classes, rates, lengths = (effects.tables.get(name) for name in ("classes", "rates", "lengths"))
    columns = ["what", "model", "task", "detail", "change"]
    if classes is not None and len(classes):
        made = classes.assign(what="class", detail=classes["class"], change=classes["share_change"])
        parts.append(made[columns])
    if rates is not None and len(rates):
        parts.append(rates.assign(what=rates["rate"], detail="")[columns])
    if lengths is not None and len(lengths):
        parts.append(lengths.assign(what="length", detail="", change=lengths["shift"])[columns])
    if not parts:
        return pd.DataFrame(columns=columns)
    table = pd.concat(parts, ignore_index=True)
    table["change"] = table["change"].astype(float)
    return table[np.isfinite(table["change"])]


def _largest(rows: pd.DataFrame) -> Mapping[str, Any] | None:
    if rows.empty:
        return None
    return dict(rows.loc[rows["change"].abs().sort_values(ascending=False, kind="stable").index[0]])


def _item(row: Mapping[str, Any] | None) -> Item:
    if row is None:
        return Item("–")
    tokens = row["what"] == "length"
    size = number(row["change"], "tokens" if tokens else "share")
    size = f"{size} tokens" if tokens else size
    detail = f"“{row['detail']}” " if row["detail"] else ""
    sort = abs(row["change"]) * (1.0 if tokens else 100.0)
    if not row["change"]:
        return Item("0", 0.0)
    return Item(f"{size} {detail}on {row['task']}", sort, cell=(str(row["model"]), str(row["task"])))


def _table(effects: Effects, moved: pd.DataFrame) -> Table:
    cells = effects.tables.get("cells")
    lines = []
    for model, part in moved.groupby("model", sort=False):
        of = {what: _largest(part[part["what"] == what]) for what in ("class", "invalid", "cut_off", "length")}
        alike = None if cells is None else int(((cells["model"] == model) & (cells["habit"] == "constant")).sum())
        lines.append(
            Line(
                (
                    Item(str(model)),
                    Item("–" if alike is None else str(alike), alike),
                    _item(of["class"]),
                    _item(of["invalid"]),
                    _item(of["cut_off"]),
                    _item(of["length"]),
                )
            )
        )
    lines.sort(key=lambda line: -(line.items[2].sort or 0.0))
    return Table(id="habits-by-model", label="How far every model's answers went", columns=COLUMNS, lines=tuple(lines))


def _answer(effects: Effects, moved: pd.DataFrame, bases: Collection[str]) -> str:
    cells, parts = effects.tables.get("cells"), []
    if cells is not None:
        # The base's own habits are no change.
        constant = cells[(cells["habit"] == "constant") & ~cells["model"].isin(bases)]
        models = constant["model"].nunique()
        parts.append(
            f"{count_of(models, 'model')} {'answers' if models == 1 else 'answer'} alike to nearly everything "
            f"on {count_of(constant['task'].nunique(), 'task')}"
            if models
            else "No model answers alike to everything"
        )
    row = _largest(moved[moved["what"] == "class"])
    if row is not None and row["change"]:
        parts.append(
            f"the largest class shift is {number(row['change'])} points of “{row['detail']}” ({row['model']} on "
            f"{row['task']})"
        )
    row = _largest(moved[moved["what"] == "length"])
    if row is not None and row["change"]:
        size = number(row["change"], "tokens")
        parts.append(f"the largest length shift {size} tokens ({row['model']} on {row['task']})")
    text = "; ".join(parts) or "No model answers otherwise than the base"
    return f"{text[0].upper()}{text[1:]}."
