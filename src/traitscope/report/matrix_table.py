"""The gains matrix as a table of the page: what every cell shows, says under the pointer, and is held against."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from traitscope.effects import Effects
from traitscope.effects.words import POINTS, number, span_words
from traitscope.findings import Findings
from traitscope.matrix import ScoreMatrix
from traitscope.report.matrix_order import clusters
from traitscope.report.numbers import by_cell, claims, further_metrics, gain_rows, gain_text, score_text, words_unit
from traitscope.report.words import q_text
from traitscope.texts import different

Floats = npt.NDArray[np.float64]
# What stands behind a number, beside its colour.
UP, DOWN, ALIKE, UNREAD, FLOOR = "▲", "▼", "=", "?", "⌊"
GLYPHS = {
    UP: "gain that holds",
    DOWN: "loss that holds",
    ALIKE: "one answer to nearly everything",
    UNREAD: "most answers cannot be parsed",
    FLOOR: "the base is at the floor: nothing can fall",
}
# Names are cut to so many signs, and so that they stay different.
ROW_SIGNS, COLUMN_SIGNS = 26, 17
# With more columns than these cells begin as colours alone.
MOST_NUMBERED = 24
KINDS = {"base": "base", "source": "source", "control": "control", "mix": "mix", "foreign": "model"}


@dataclass(frozen=True, slots=True)
class Share:
    """One class of a cell's answers: its name and its share of them, 0..1."""

    name: str
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One cell of the table.

    Attributes:
        model, task: its row and column of the matrix.
        gain, score: as text; empty where there is none.
        gain_sort, score_sort: the same as numbers, higher is better; None where there is none.
        tone: the gain's colour, -1 (largest loss of the unit) to 1. shade: the score's, 0 (worst of the task) to 1.
        glyphs: of ``GLYPHS``. flags: what the chips filter by.
        tip: lines told under the pointer.
        shares: of the answers by class, where there are classes.
        home: whether the row was trained on the task or a copy of it.
    """

    model: str
    task: str
    gain: str = ""
    score: str = ""
    gain_sort: float | None = None
    score_sort: float | None = None
    tone: float = 0.0
    shade: float = 0.0
    glyphs: str = ""
    flags: tuple[str, ...] = ()
    tip: tuple[str, ...] = ()
    shares: tuple[Share, ...] = ()
    home: bool = False

    @property
    def held(self) -> bool:
        """Whether its gain or loss holds."""
        return UP in self.glyphs or DOWN in self.glyphs


@dataclass(frozen=True, slots=True)
class Row:
    """A row: its name, short and whole, what kind of row it is, its place when clustered, and its cells."""

    name: str
    label: str
    kind: str
    cluster: int
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class Column:
    """A column: the task, short and whole, its metric, the unit of gains in words, and its place when clustered."""

    task: str
    label: str
    metric: str
    unit: str
    cluster: int
    higher: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class MatrixTable:
    """The whole table.

    Attributes:
        columns, rows: in the matrix's order; the last row is what answering alike is worth, where that is known.
        metrics: every metric by name: per row and column the score and the gain as text and number, for the script.
        glyphs: those that occur, with their meaning.
        has_gains, has_shares: whether there is anything to show in that way.
        note: what a reader must know of all cells.
        dense: whether there are so many columns that cells begin as colours alone.
    """

    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    metrics: Mapping[str, list[list[list[Any]]]]
    glyphs: Mapping[str, str]
    has_gains: bool
    has_shares: bool
    note: str
    dense: bool


def matrix_table(findings: Findings, flags: Mapping[tuple[str, str], Sequence[str]]) -> MatrixTable:
    """The table of a study's matrix.

    Args:
        findings: of which scores and effects are used.
        flags: what the chips say of cells, by (model, task).
    """
    matrix, effects = findings.scores, findings.effects
    gains = gain_rows(matrix, effects)
    claimed = claims(effects)
    cells = by_cell(effects, "cells")
    shares = _class_shares(effects)
    limits = _limits(gains, matrix)
    better_IN = matrix.scores_IN * matrix.sign_N
    kinds = [KINDS.get(role.kind, role.kind) for role in matrix.roles_I]
    rows_order, columns_order = clusters(matrix, gains)
    row_labels = different(matrix.models, [ROW_SIGNS] * len(matrix.models))
    column_labels = different(matrix.tasks, [COLUMN_SIGNS] * len(matrix.tasks))
    rows = []
    for i, model in enumerate(matrix.models):
        made = []
        for n, task in enumerate(matrix.tasks):
            at = (model, task)
            gain, claim, about = gains.get(at), claimed.get(at), cells.get(at, {})
            score = float(matrix.scores_IN[i, n])
            glyphs = _glyphs(claim, about)
            value = None if gain is None else gain["gain"]
            made.append(
                Cell(
                    model=model,
                    task=task,
                    gain="" if gain is None else gain_text(gain["gain"], gain["unit"]),
                    score=score_text(score, matrix.units[task]),
                    gain_sort=value,
                    score_sort=None if np.isnan(score) else float(better_IN[i, n]),
                    tone=0.0 if gain is None else _tone(gain["gain"], limits[task]),
                    shade=_shade(better_IN, i, n),
                    glyphs=glyphs,
                    flags=tuple(flags.get(at, ())),
                    tip=tuple(_tip(matrix, i, n, gain, claim, about)),
                    shares=tuple(shares.get(at, ())),
                    home=str(matrix.relation_IN[i, n]) in ("own", "copy") and kinds[i] != "base",
                )
            )
        rows.append(Row(model, row_labels[i], kinds[i], rows_order[i], tuple(made)))
    constant = _constant_row(matrix, effects, cells)
    if constant is not None:
        rows.append(constant)
    used = {glyph for row in rows for cell in row.cells for glyph in cell.glyphs}
    return MatrixTable(
        columns=tuple(
            Column(
                task,
                column_labels[n],
                matrix.metrics[task],
                _unit(matrix, task),
                columns_order[n],
                bool(matrix.sign_N[n] > 0),
            )
            for n, task in enumerate(matrix.tasks)
        ),
        rows=tuple(rows),
        metrics=further_metrics(matrix),
        glyphs={glyph: meaning for glyph, meaning in GLYPHS.items() if glyph in used},
        has_gains=bool(gains),
        has_shares=bool(shares),
        note=_note(matrix, gains),
        dense=len(matrix.tasks) > MOST_NUMBERED,
    )


def _unit(matrix: ScoreMatrix, task: str) -> str:
    return "points" if matrix.units[task] in ("fraction", "percent") else matrix.metrics[task]


def _limits(gains: Mapping[tuple[str, str], Mapping[str, Any]], matrix: ScoreMatrix) -> dict[str, float]:
    """The gain of full colour by task: of all tasks in points together, of every other task its own."""
    found = dict.fromkeys(matrix.tasks, 0.0)
    points = 0.0
    for (_, task), row in gains.items():
        size = abs(row["gain"])
        if row["unit"] in POINTS:
            points = max(points, size * POINTS[row["unit"]] / 100)
        else:
            found[task] = max(found[task], size)
    for task in matrix.tasks:
        if _unit(matrix, task) == "points":
            found[task] = points * (1.0 if matrix.units[task] == "fraction" else 100.0)
    return found


def _tone(value: float, limit: float) -> float:
    return 0.0 if limit <= 0 else float(np.clip(value / limit, -1.0, 1.0))


def _shade(better_IN: Floats, i: int, n: int) -> float:
    column = better_IN[:, n][np.isfinite(better_IN[:, n])]
    if not column.size or np.isnan(better_IN[i, n]) or np.ptp(column) == 0:
        return 0.0
    return float((better_IN[i, n] - column.min()) / np.ptp(column))


def _glyphs(claim: Mapping[str, Any] | None, about: Mapping[str, Any]) -> str:
    found = ""
    if claim is not None and claim["holds"]:
        found += UP if claim["value"] > 0 else DOWN
    if about:
        found += {"constant": ALIKE, "unparsable": UNREAD}.get(str(about["habit"]), "")
        found += FLOOR if about["base_at"] == "floor" else ""
    return found


def _tip(
    matrix: ScoreMatrix,
    i: int,
    n: int,
    gain: Mapping[str, Any] | None,
    claim: Mapping[str, Any] | None,
    about: Mapping[str, Any],
) -> Iterable[str]:
    model, task = matrix.models[i], matrix.tasks[n]
    yield f"{model} on {task}"
    status = str(matrix.status_IN[i, n])
    score = float(matrix.scores_IN[i, n])
    if np.isnan(score):
        yield "not measured" if status == "missing" else status
        return
    known = int(matrix.n_IN[i, n])
    behind = f" (n = {known})" if known else ""
    other = "" if status == "measured" else f", {status}"
    yield f"{matrix.metrics[task]} {number(score, words_unit(matrix.units[task]), signed=False)}{behind}{other}"
    if gain is not None:
        points = " points" if gain["unit"] in POINTS else ""
        span = span_words(gain["lo"], gain["hi"], gain["unit"])
        yield f"gain {number(gain['gain'], gain['unit'])}{points} {span or '(error not known)'}"
        if gain.get("won") is not None and np.isfinite(gain["won"]):
            yield f"{gain['won']:.0f} examples won, {gain['lost']:.0f} lost"
    if claim is not None:
        told = q_text(claim["q"])
        runs = claim["numbers"].get("seeds") or 1
        over = f" over {runs} seeds" if runs > 1 else ""
        yield (f"{told}{over}: " if told else "") + ("holds" if claim["holds"] else "does not hold")
    if about.get("remark"):
        yield str(about["remark"])
    if about and about["base_at"]:
        yield f"The base is at the {about['base_at']}."


def _class_shares(effects: Effects | None) -> dict[tuple[str, str], list[Share]]:
    table = None if effects is None else effects.tables.get("classes")
    if table is None:
        return {}
    found: dict[tuple[str, str], list[Share]] = {}
    for row in table.to_dict("records"):
        if pd.notna(row["share"]):
            found.setdefault((str(row["model"]), str(row["task"])), []).append(Share(str(row["class"]), row["share"]))
    return found


def _constant_row(
    matrix: ScoreMatrix, effects: Effects | None, cells: Mapping[tuple[str, str], Mapping[str, Any]]
) -> Row | None:
    """What the best constant answer scores on every task, with chance in its tip; None where no task has classes."""
    bases = [name for i, name in enumerate(matrix.models) if matrix.base_index_I[i] == i]
    if not bases or effects is None:
        return None
    made, any_known = [], False
    for n, task in enumerate(matrix.tasks):
        about = cells.get((bases[0], task), {})
        value = float(about.get("constant_score", np.nan))
        if np.isnan(value):
            made.append(Cell(model="", task=task))
            continue
        any_known = True
        base = float(matrix.scores_IN[matrix.models.index(bases[0]), n])
        gain = (value - base) * float(matrix.sign_N[n])
        unit = words_unit(matrix.units[task])
        tip = [f"best constant answer on {task}", f"{about['metric']} {number(value, unit, signed=False)}"]
        if np.isfinite(about["chance"]):
            tip.append(f"chance {number(about['chance'], 'share', signed=False)} % of answers right")
        made.append(
            Cell(
                model="",
                task=task,
                gain=gain_text(gain, unit) if np.isfinite(gain) else "",
                score=score_text(value, matrix.units[task]),
                gain_sort=gain if np.isfinite(gain) else None,
                score_sort=value * float(matrix.sign_N[n]),
                tip=tuple(tip),
            )
        )
    return (
        Row("best constant answer", "best constant answer", "chance", len(matrix.models), tuple(made))
        if any_known
        else None
    )


def _note(matrix: ScoreMatrix, gains: Mapping[tuple[str, str], Mapping[str, Any]]) -> str:
    units = {row["unit"] for row in gains.values()}
    if not gains:
        return "Scores; there is no base row to compare with."
    if units <= set(POINTS):
        return "Gain over the base in percentage points, each task by its first metric; above 0 is better."
    return "Gain over the base, each task by its first metric (shares in percentage points); above 0 is better."
