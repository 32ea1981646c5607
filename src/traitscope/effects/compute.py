"""From a score matrix and example records to the effects."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from traitscope.effects.alignment import Records, build_panels
from traitscope.effects.classes import class_rows, confusion_rows, macro_f1_rows
from traitscope.effects.contrasts import asymmetry_rows, control_rows, controls_elsewhere
from traitscope.effects.domain import domain_rows
from traitscope.effects.gains import (
    Paired,
    SourceGains,
    by_cell,
    claimed_gains,
    gain_rows,
    matrix_gain_rows,
    source_gains,
)
from traitscope.effects.grid import Grid, Row
from traitscope.effects.learning import TrainingLog, curve_rows, learning_rows
from traitscope.effects.lengths import Habit, length_rows, rate_rows
from traitscope.effects.panel import REPLICATES, Panel
from traitscope.effects.pull import class_pull_rows, pooled_rows
from traitscope.effects.quality import cell_rows
from traitscope.effects.result import Effects, findings_frame
from traitscope.effects.surprises import surprise_rows
from traitscope.effects.tags import tag_rows
from traitscope.errors import TraitscopeError
from traitscope.matrix import ScoreMatrix, looked_at
from traitscope.stats.result import DatasetStats
from traitscope.texts import count_of
from traitscope.ticks import ticks

# Rows that only findings are made of; all other tables are shown as well.
UNSHOWN = ("claimed_gains", "pooled", "domain_tests", "controls_elsewhere")


def measure_effects(
    matrix: ScoreMatrix,
    records: Records | None = None,
    stats: DatasetStats | None = None,
    *,
    models: Sequence[str] | None = None,
    tasks: Sequence[str] | None = None,
    classes: Mapping[str, Sequence[str]] | None = None,
    tags: Mapping[str, Mapping[str, Mapping[str, str]]] | None = None,
    training: Mapping[str, Sequence[float]] | None = None,
    replicates: int = REPLICATES,
    permutations: int = 4999,
    seed: int = 0,
    level: float = 0.95,
    run_sd: float | Mapping[str, float] | None = None,
) -> Effects:
    """Side effects of every model on every task, each with interval, p and q.

    What needs example records is left out for cells without them, and what needs the sources' text without
    ``stats``; the notes say what was left out.

    Args:
        matrix: scores of all models on all tasks, the base row included.
        records: by (model, task) a frame with the columns of ExampleRecord; may be lazy, every cell is looked
            up once.
        stats: statistics of the sources and tasks (answer lengths, label words, similarities).
        models, tasks: what to look at; all of it unless the matrix is large (see ``looked_at``).
        classes: class names of the choice tasks, in class order; guessed from the gold answers where not
            given.
        tags: tags besides the records' own: task -> example id -> key -> value (several values joined by
            ``|``).
        training: loss of every training step of each adapter, by the row's name.
        replicates: bootstrap replicates over examples.
        permutations: permutations of datasets for the similarity tests.
        seed: seed of both.
        level: of the intervals.
        run_sd: deviation of a score between two training runs, where it is known (see ``ScoreMatrix.with_run_sd``).

    Raises:
        TraitscopeError: for impossible settings, or records that do not fit each other.
    """
    if replicates < 100 or permutations < 99 or not 0.5 <= level < 1:
        raise TraitscopeError(
            f"replicates={replicates}, permutations={permutations}, level={level}",
            where="measure_effects",
            fix="use at least 100 replicates, 99 permutations, and a level from 0.5 to below 1",
        )
    matrix = matrix if run_sd is None else matrix.with_run_sd(run_sd)
    part = looked_at(matrix, models, tasks)
    if (len(part.models), len(part.tasks)) < matrix.scores_IN.shape:
        matrix = matrix.select(models=part.models, tasks=part.tasks)
    grid = Grid.of(matrix).in_shares() if records else Grid.of(matrix)
    habits = _habits(stats)
    label_shares = {} if stats is None else {name: stats.label_shares(name) for name in stats.names}
    estimands: dict[str, Callable[[Panel], list[Row]]] = {
        "gains": gain_rows,
        "cells": cell_rows,
        "classes": class_rows,
        "confusion": confusion_rows,
        "macro_f1": macro_f1_rows,
        "class_pull": lambda panel: class_pull_rows(panel, label_shares),
        "lengths": lambda panel: length_rows(panel, habits),
        "rates": rate_rows,
        "tags": tag_rows,
        "controls": control_rows,
    }
    rows: dict[str, list[Row]] = {name: [] for name in estimands}
    drawing = {"replicates": replicates, "seed": seed, "level": level}
    panels = build_panels(grid, records or {}, classes, tags, **drawing)
    for panel in ticks(panels, "effects on the tasks", len(grid.tasks), "tasks"):
        for name, rows_of in estimands.items():
            rows[name] += rows_of(panel)
    paired = by_cell(rows["gains"])
    rows["gains"] += matrix_gain_rows(grid, paired, level)
    logs = {model: TrainingLog(losses) for model, losses in (training or {}).items() if len(losses)}
    gains = source_gains(grid, paired, level)
    rows["claimed_gains"] = claimed_gains(rows["gains"], gains, grid, level)
    rows["learning"] = learning_rows(grid, rows["gains"], rows["cells"], rows["claimed_gains"], logs)
    rows["curves"] = curve_rows(grid, logs)
    rows["controls_elsewhere"] = controls_elsewhere(rows["controls"], level)
    rows["pooled"] = pooled_rows(rows["lengths"], rows["class_pull"], grid, level)
    similarity = None if stats is None else stats.similarity.get("semantic")
    notes = [part.note] if part.note else []
    for found, said in (
        asymmetry_rows(grid, gains, level),
        domain_rows(grid, gains, similarity, permutations, seed, level),
        surprise_rows(grid, gains, similarity, level),
    ):
        rows |= found
        notes += said
    scope = _scope(gains)
    notes += _what_is_missing(grid, rows, paired)
    if stats is None:
        notes.append("class and length pull: not computed, no dataset statistics were given")
    undefined = sum(bool(row["undefined"] and row["source"]) for row in rows["lengths"])
    if undefined and habits:
        notes.append(
            f"length weight undefined in {count_of(undefined, 'cell')} (base and source alike in length, base "
            "cut off below the source's length, or length not known)"
        )
    return Effects(
        findings=findings_frame(rows, grid, level),
        tables={name: _shown(table) for name, table in rows.items() if table and name not in UNSHOWN},
        notes=tuple(notes),
        settings={"permutations": permutations, **drawing, "scope": scope},
    )


def _scope(gains: SourceGains) -> str:
    """What the findings speak of, as far as errors between training runs are known."""
    without = sorted({task for (_, _, task), gain in gains.items() if gain["runs"] is None})
    if not gains or not without:
        return ""
    told = "published deviations between seeds are 0.9 to 2 points; second seeds or run_sd tell"
    if all(gain["runs"] is None for gain in gains.values()):
        return f"one seed per source: all findings speak of these runs only ({told})"
    return f"one seed per source on {', '.join(without)}: findings there speak of these runs only ({told})"


def _shown(rows: Iterable[Row]) -> pd.DataFrame:
    frame = pd.DataFrame([{name: v for name, v in row.items() if not name.startswith("_")} for row in rows])
    # Whole numbers with gaps, as they come back from JSON.
    return frame.astype({"seed": "Int64"}) if "seed" in frame.columns else frame


def _what_is_missing(grid: Grid, rows: Mapping[str, Sequence[Row]], paired: Paired) -> list[str]:
    """What the matrix or the records lack, and what an interval does not cover."""
    notes = []
    known = [(i, grid.models[i], grid.tasks[n]) for i, n in np.argwhere(np.isfinite(grid.scores_IN))]
    untold = sum((model, task) not in paired for i, model, task in known if not grid.is_base(i))
    if untold:
        notes.append(
            f"no example records for {untold} of {count_of(untold + len(paired), 'cell')}: no paired test, "
            "win and harm rates, class shares, lengths, invalid answers or tags there"
        )
    blind = sum(not np.isfinite(row["p"]) for row in rows["claimed_gains"])
    if blind:
        notes.append(f"gains: {blind} {'has' if blind == 1 else 'have'} no standard error, so no interval and no test")
    differing = sorted(
        {
            task
            for (model, task), row in paired.items()
            if row["unit"] == "share" and abs(row["gain"] - grid.gains_IN[grid.row[model], grid.column[task]]) > 1e-6
        }
    )
    if differing:
        notes.append(
            "gains are of the mean value per example; the matrix has another score or other examples for: "
            + ", ".join(differing)
        )
    alone = int((grid.base_I < 0).sum())
    if alone:
        notes.append(
            f"no base row for {count_of(alone, 'row')}: there are no gains of it, and surprises rest on scores"
        )
    return notes


def _habits(stats: DatasetStats | None) -> dict[str, Habit]:
    """Mean answer length of every dataset in tokens, where the statistics have it."""
    if stats is None:
        return {}
    columns = stats.frame[["answer_tokens_mean", "answer_tokens_sd", "n_examples"]].to_numpy(dtype=float)
    return {
        name: Habit(mean, sd / np.sqrt(n) if np.isfinite(sd) and n > 0 else 0.0)
        for name, (mean, sd, n) in zip(stats.names, columns.tolist(), strict=True)
        if np.isfinite(mean)
    }
