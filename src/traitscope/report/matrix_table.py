"""The gains matrix as a table of the page: every cell beside its base, and what chance gives."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from traitscope.effects import Effects
from traitscope.effects.words import POINTS
from traitscope.findings import Findings
from traitscope.matrix import ScoreMatrix
from traitscope.report.amounts import gain_text, score_text, unit_of
from traitscope.report.claims import base_rows
from traitscope.report.matrix_cells import NO_GAIN, Gains, glyphs, limits, no_gain, shade, tip, tone
from traitscope.report.matrix_order import clusters
from traitscope.report.matrix_view import GLYPHS, Cell, Column, MatrixTable, Row, Share
from traitscope.report.numbers import by_cell, claims, further_metrics, gain_rows
from traitscope.texts import different, safe

# Names are cut to so many signs, and so that they stay different.
ROW_SIGNS, COLUMN_SIGNS = 26, 17
# With more columns than these cells begin as colours alone.
MOST_NUMBERED = 24
KINDS = {"base": "base", "source": "source", "control": "control", "mix": "mix", "foreign": "model"}
# What chance gives: a model that says the same to everything, the best it could say.
CHANCE, CHANCE_LABEL = "best constant answer", "chance (constant answer)"


def matrix_table(findings: Findings, flags: Mapping[tuple[str, str], Sequence[str]]) -> MatrixTable:
    """The table of a study's matrix.

    Args:
        findings: of which scores and effects are used.
        flags: what the chips say of cells, by (model, task).
    """
    matrix, effects = findings.scores, findings.effects
    gains, cells = gain_rows(matrix, effects), by_cell(effects, "cells")
    shares, classes = _class_shares(effects, matrix)
    kinds = [KINDS.get(role.kind, role.kind) for role in matrix.roles_I]
    rows_order, columns_order = clusters(matrix, gains)
    row_labels = _labels(matrix.models, ROW_SIGNS)
    column_labels = _labels(matrix.tasks, COLUMN_SIGNS)
    rows, bases = [], base_rows(matrix)
    for i, (model, made) in enumerate(
        zip(matrix.models, _cells(matrix, effects, gains, cells, flags, shares), strict=True)
    ):
        rows.append(Row(model, row_labels[i], kinds[i], i, rows_order[i], made))
        if i in bases:
            rows += _chance(matrix, i, cells, several=len(bases) > 1)
    every = [cell for row in rows for cell in row.cells]
    used = {glyph for cell in every for glyph in cell.glyphs}
    return MatrixTable(
        columns=tuple(
            Column(task, column_labels[n], matrix.metrics[task], columns_order[n], bool(matrix.sign_N[n] > 0))
            for n, task in enumerate(matrix.tasks)
        ),
        rows=tuple(rows),
        metrics=further_metrics(matrix),
        glyphs={glyph: meaning for glyph, meaning in GLYPHS.items() if glyph in used},
        classes=classes,
        has_gains=bool(gains),
        has_home=any(cell.home for cell in every),
        notes=_notes(matrix, gains, any(cell.gain == NO_GAIN for cell in every)),
        dense=len(matrix.tasks) > MOST_NUMBERED,
    )


def _labels(names: Sequence[str], signs: int) -> list[str]:
    return different([safe(name, line=True) for name in names], [signs] * len(names))


def _cells(
    matrix: ScoreMatrix,
    effects: Effects | None,
    gains: Gains,
    cells: Mapping[tuple[str, str], Mapping[str, Any]],
    flags: Mapping[tuple[str, str], Sequence[str]],
    shares: Mapping[tuple[str, str], Sequence[Share]],
) -> Iterator[tuple[Cell, ...]]:
    """The cells of every row of the matrix."""
    claimed, full = claims(effects), limits(gains, matrix)
    better_IN = matrix.scores_IN * matrix.sign_N
    for i, model in enumerate(matrix.models):
        made = []
        for n, task in enumerate(matrix.tasks):
            at = (model, task)
            gain, claim, about = gains.get(at), claimed.get(at), cells.get(at, {})
            score = float(matrix.scores_IN[i, n])
            without = NO_GAIN if gains and no_gain(matrix, i, n) else ""
            made.append(
                Cell(
                    model=model,
                    task=task,
                    gain=without if gain is None else gain_text(gain["gain"], gain["unit"]),
                    score=score_text(score, unit_of(matrix.units[task])),
                    gain_sort=None if gain is None else gain["gain"],
                    score_sort=None if np.isnan(score) else float(better_IN[i, n]),
                    tone=0.0 if gain is None else tone(gain, full[task]),
                    shade=shade(better_IN, i, n),
                    glyphs=glyphs(claim, about),
                    flags=tuple(flags.get(at, ())),
                    tip=tuple(tip(matrix, i, n, gain, claim, about)),
                    shares=tuple(shares.get(at, ())),
                    home=str(matrix.relation_IN[i, n]) in ("own", "copy") and matrix.base_index_I[i] != i,
                )
            )
        yield tuple(made)


def _class_shares(
    effects: Effects | None, matrix: ScoreMatrix
) -> tuple[dict[tuple[str, str], list[Share]], tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]]:
    """The shares of every cell's answers, and tasks with their classes in order, those of the same classes together."""
    table = None if effects is None else effects.tables.get("classes")
    if table is None:
        return {}, ()
    found: dict[tuple[str, str], list[Share]] = {}
    for row in table[table["share"].notna()].to_dict("records"):
        found.setdefault((str(row["model"]), str(row["task"])), []).append(Share(str(row["class"]), row["share"]))
    tasks: dict[tuple[str, ...], list[str]] = {}
    for task in matrix.tasks:
        known = next((found[at] for at in ((model, task) for model in matrix.models) if at in found), None)
        if known:
            tasks.setdefault(tuple(share.name for share in known), []).append(task)
    return found, tuple((tuple(of), names) for names, of in tasks.items())


def _chance(
    matrix: ScoreMatrix, i: int, cells: Mapping[tuple[str, str], Mapping[str, Any]], *, several: bool
) -> Iterator[Row]:
    """What answering alike scores on every task, beside one base; nothing where no task has classes."""
    base, known = matrix.models[i], False
    name = f"{CHANCE} beside {base}" if several else CHANCE
    made = []
    for n, task in enumerate(matrix.tasks):
        about, unit = cells.get((base, task), {}), unit_of(matrix.units[task])
        # Percentages are shares among the findings.
        value = float(about.get("constant_score", np.nan)) * (100.0 if unit == "percent" else 1.0)
        if np.isnan(value):
            lines = (f"{CHANCE} on {task}", "not known: the answers are no classes, or there are no examples")
            made.append(Cell(model="", task=task, tip=lines))
            continue
        known = True
        gain = (value - float(matrix.scores_IN[i, n])) * float(matrix.sign_N[n])
        chance = f", chance {score_text(about['chance'], 'share')} % right" if np.isfinite(about["chance"]) else ""
        lines = (f"{CHANCE} on {task}", f"{about['metric']} {score_text(value, unit)}{chance}")
        made.append(
            Cell(
                model="",
                task=task,
                gain=gain_text(gain, unit) if np.isfinite(gain) else NO_GAIN,
                score=score_text(value, unit),
                gain_sort=gain if np.isfinite(gain) else None,
                score_sort=value * float(matrix.sign_N[n]),
                tip=lines,
            )
        )
    if known:
        yield Row(name, CHANCE_LABEL, "chance", -1, -1, tuple(made))


def _notes(matrix: ScoreMatrix, gains: Gains, holes: bool) -> dict[str, str]:
    """What a reader must know of all cells, by what they show."""
    sources = any(role.kind == "source" for role in matrix.roles_I)
    rows = (
        "A row is the base tuned on that dataset, a column a task" if sources else "A row is a model, a column a task"
    )
    known = matrix.n_IN[matrix.n_IN > 0]
    span = "" if not known.size else f"{known.min():,.0f}" + (f" to {known.max():,.0f}" if np.ptp(known) else "")
    rows += f" of {span} examples. " if span else ". "
    missing = f" {NO_GAIN}: no gain, as the base was not measured there." if holes else ""
    if {row["unit"] for row in gains.values()} <= set(POINTS):
        gain = "Gain over the base in percentage points, each task by its first metric; above 0 is better."
    else:
        gain = "Gain over the base, each task by its first metric (shares in percentage points); above 0 is better."
    scores = "Scores, each task by its first metric (shares in percent)."
    return {
        "gain": f"{rows}{gain}{missing}",
        "score": rows + (scores if gains else f"{scores} There is no base row to compare with."),
        "shares": "How often each class is answered; where there are no classes, the score.",
    }
