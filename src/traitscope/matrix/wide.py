"""Tables with one row per model and one column per task."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from traitscope.errors import TraitscopeError
from traitscope.matrix.lmeval import ScoreColumn, error_partner
from traitscope.matrix.numbers import numbers_or_error
from traitscope.matrix.runs import Long, default_base, no_base_row, refuse_twice, run_name, run_numbers, trained_on
from traitscope.matrix.widecolumns import WideColumns
from traitscope.texts import count_of


def melt_wide(frame: pd.DataFrame, stderr: pd.DataFrame | None = None) -> pd.DataFrame:
    """Models x tasks as a long table; NaN cells become rows without a value.

    Raises:
        TraitscopeError: labels are not unique, or ``stderr`` has other labels.
    """
    for labels, word in ((frame.index, "model"), (frame.columns, "task")):
        if labels.has_duplicates:
            raise TraitscopeError(
                f"{word} {labels[labels.duplicated()][0]!r} occurs twice",
                where="wide table",
                fix=f"give every {word} one name",
            )
    if stderr is not None and not (stderr.index.equals(frame.index) and stderr.columns.equals(frame.columns)):
        raise TraitscopeError(
            "standard errors have other rows or columns than the scores",
            where="wide table",
            fix="use the same labels in the same order",
        )
    parts = []
    for task in frame.columns:
        part = pd.DataFrame({"model": frame.index.astype(str), "task": str(task), "value": frame[task].to_numpy()})
        if stderr is not None:
            part["stderr"] = stderr[task].to_numpy(dtype=float)
        parts.append(part)
    table = pd.concat(parts, ignore_index=True)
    table["source"] = None
    return table


def wide_to_long(
    frame: pd.DataFrame,
    columns: WideColumns,
    base: str | None,
    decimal: str,
    duplicates: str,
    where: str,
    notes: list[str],
) -> tuple[Long, str | None]:
    """A wide file as a long table, and the name of its base row.

    Args:
        frame: cells, the index says where a row stands. columns: what they are.
        base: name of the base row, or a value of one of the columns that name rows.
        decimal: the decimal sign. duplicates: "error" or "mean", of rows of one name.
        where: what to call the file in errors. notes: gains what was assumed.

    Raises:
        TraitscopeError: a row has no name, the base row is not there or not unique, a cell is no number.
    """
    row_columns, family, seed = columns.rows, columns.family, columns.seed
    for column in row_columns + ([family] if family else []):
        if frame[column].isna().any():
            raise TraitscopeError(
                f"{frame.index[frame[column].isna()][0]} has no {column}",
                where=f"{where}, column {column}",
                fix="fill it in, or filter the row out",
            )
    parts = frame[row_columns].astype(str)
    label = parts.agg("/".join, axis=1) if len(row_columns) > 1 else parts[row_columns[0]]
    names = list(dict.fromkeys(label))
    known = frozenset(names)
    for name in names:
        if of := error_partner(name, known):
            raise TraitscopeError(
                f"row {name!r} looks like the standard errors of row {of!r}",
                where=where,
                fix="write standard errors in columns of their own, <task>_stderr",
            )
    base_name = base if base is not None else default_base(names, notes)
    if base_name is None and (turned := default_base([score.column for score in columns.scores], [])) is not None:
        raise TraitscopeError(
            f"a column is named {turned!r}, and no row: are the models in the columns?",
            where=where,
            fix="turn the table round: one row per model, one column per task; or base=... (a row)",
        )
    is_base = pd.Series(False, index=frame.index)
    if base_name is not None:
        is_base = (label == base_name) | (parts == base_name).any(axis=1)
        if not is_base.any():
            raise no_base_row(base_name, names, where)
        if family is None and label[is_base].nunique() > 1:
            raise TraitscopeError(
                f"{label[is_base].nunique()} rows are named {base_name!r}",
                where=f"{where}, base",
                fix="say which column names the base model: family=..., or filter for one of them",
            )
        label = label.where(~is_base, base_name)
    runs = pd.Series(None, index=frame.index, dtype=object) if seed is None else run_numbers(frame[seed], decimal)
    source = label.where(~is_base, None)
    if columns.source is not None:
        source = trained_on(frame[columns.source]).where(~is_base, None)
    model = label
    # Names that tell the runs of a source apart already are left as they are.
    if seed is not None and (columns.source is None or label.duplicated().any()):
        model = label.where(is_base | frame[seed].isna(), label + "-s" + frame[seed].map(run_name))
    long_parts = []
    told: dict[str, set[str | None]] = {}
    for score in columns.scores:
        scores = numbers_or_error(frame[score.column], decimal, where, label)
        unit = "percent" if scores.percent else None if score.higher_is_better else "other"
        told.setdefault(score.task, set()).add(unit)
        if scores.grouped:
            notes.append(f"thousands are set apart in column {score.column}: {scores.grouped}")
        part: dict[str, Any] = {
            "base": frame[family].astype(str).to_numpy() if family else "base",
            "model": model.to_numpy(),
            "source": source.to_numpy(),
            "seed": runs.to_numpy(),
            "task": score.task,
            "metric": score.metric,
            "value": scores.values,
            "stderr": np.nan,
            "higher_is_better": score.higher_is_better,
        }
        if score.stderr is not None:
            errors = numbers_or_error(frame[score.stderr], decimal, where, label)
            if np.isfinite(errors.values).any() and errors.percent != scores.percent:
                raise TraitscopeError(
                    f"{score.column} and {score.stderr} do not both have percent signs",
                    where=where,
                    fix="write both alike",
                )
            part["stderr"] = errors.values
        if score.n is not None:
            part["n"] = numbers_or_error(frame[score.n], decimal, where, label).values
        long_parts.append(part)
    table = _stacked(long_parts, frame.index)
    if duplicates == "error":
        used = [*row_columns, *(name for score in columns.scores for name in (score.column, score.stderr) if name)]
        keys = table.loc[table["value"].notna(), ["base", "model", "task", "metric"]]
        refuse_twice(keys, frame.drop(columns=used), where, base_name)
    _note_scores(columns.scores, int(table.groupby("task")["stderr"].count().gt(0).sum()), notes)
    # Metrics of one task that are not alike leave its unit to be guessed from what is shown.
    units = {task: unit for task, said in told.items() if len(said) == 1 and (unit := next(iter(said))) is not None}
    return Long(table, units), base_name


def _stacked(parts: Sequence[dict[str, Any]], index: pd.Index) -> pd.DataFrame:
    """The tasks' parts one below the other; a frame for each would take longer than all else."""
    columns = {}
    for name in dict.fromkeys(name for part in parts for name in part):
        cells = [part.get(name, np.nan) for part in parts]
        if isinstance(cells[0], str | bool):
            columns[name] = np.repeat(np.array(cells, dtype=object if isinstance(cells[0], str) else bool), len(index))
        else:
            columns[name] = np.concatenate([np.broadcast_to(cell, len(index)) for cell in cells])
    return pd.DataFrame(columns, index=pd.Index(np.tile(index.to_numpy(dtype=object), len(parts))))


# How a note on names of columns begins that were taken apart by a guess.
SPLIT = "names of columns were read as task and metric"


def _note_scores(scores: Sequence[ScoreColumn], n_errors: int, notes: list[str]) -> None:
    """What was made of the names of columns."""
    renamed = [c for c in scores if c.task != c.column]
    if renamed:
        # lm-eval's own names have the filter behind a comma; others are a guess, of which a reader must know.
        guessed = [c for c in renamed if "," not in c.column]
        one = (guessed or renamed)[0]
        begin = SPLIT if guessed else "columns have lm-eval's names"
        notes.append(f"{begin}: {one.column} is metric {one.metric} of task {one.task}")
    if n_errors:
        notes.append(f"standard errors were read for {n_errors} of {count_of(len({c.task for c in scores}), 'task')}")
    several: dict[str, list[str]] = {}
    for score in scores:
        several.setdefault(score.task, []).append(score.metric)
    for task, metrics in several.items():
        if len(metrics) > 1:
            notes.append(f"{task} has {', '.join(metrics)}; {metrics[0]} is shown (metric=... for another)")
    lower = [c.task for c in scores if not c.higher_is_better]
    if lower:
        notes.append(f"lower is better: {', '.join(lower)}")
