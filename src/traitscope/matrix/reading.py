"""Reading anybody's score matrix from CSV, TSV or parquet, long or wide."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from traitscope.errors import TraitscopeError
from traitscope.matrix.filters import apply_filters
from traitscope.matrix.units import UNITS, full_mark
from traitscope.matrix.views import View
from traitscope.matrix.wide import match_names, wide_to_long


class FileTable(NamedTuple):
    """A file's scores as a long table, the name of their base row, and what was assumed while reading."""

    table: pd.DataFrame
    base: str | None
    notes: list[str]


def table_from_file(
    path: Path,
    *,
    layout: str = "auto",
    rows: str | Sequence[str] | None = None,
    values: Sequence[str] | None = None,
    where: Sequence[str] = (),
    base: str | None = None,
    family: str | None = None,
    seed: str | None = None,
    duplicates: str = "error",
    stderr_suffix: str = "_stderr",
    lower_is_better: Sequence[str] = (),
) -> FileTable:
    """The long table that a file holds.

    Args:
        path: ``.csv``, ``.tsv`` or ``.parquet``.
        layout: "long" (columns model, task, value), "wide" (one row per model, one column per task), or
            "auto": long where those three columns exist.
        rows: wide: column or columns whose values, joined with "/", name the row; default the first column.
        values: wide: score columns, as names or shell patterns ("*-0shot", and "!mt*" to leave out); default
            every numeric column that is not used otherwise. long: tasks to keep, likewise.
        where: filters "column=a,b" (one of; NA is an empty cell), "column!=a,b", "column>=3" and <=, <, >.
        base: name of the base row: a row's name or, with several ``rows`` columns, the value of one of them.
            Default a row named "base".
        family: column naming the base model a row was trained from; every family then has its own base row.
        seed: column that tells repeated runs of one row apart (training seeds).
        duplicates: "error", or "mean" to average rows of the same name.
        stderr_suffix: wide: column ``<task><suffix>`` holds the task's standard errors.
        lower_is_better: tasks (or patterns) whose scores are better when lower.

    Raises:
        TraitscopeError: whatever is wrong with the file, with the column and what to write instead.
    """
    frame, notes = _load(path)
    frame = apply_filters(frame, where, str(path))
    if layout not in ("auto", "long", "wide"):
        raise TraitscopeError(f"unknown layout {layout!r}", where="layout", fix="auto, long or wide")
    if duplicates not in ("error", "mean"):
        raise TraitscopeError(f"unknown {duplicates!r}", where="duplicates", fix="error or mean")
    if layout == "auto":
        layout = "long" if {"model", "task", "value"} <= set(frame.columns) else "wide"
    if layout == "long":
        long, base_name = _from_long_file(frame, values, path), base
    else:
        long, base_name = wide_to_long(frame, path, rows, values, base, family, seed, where, stderr_suffix, notes)
    if duplicates == "mean":
        long = _mean_duplicates(long, notes)
    patterns = tuple(lower_is_better)
    if patterns:
        match_names(list(dict.fromkeys(long["task"].astype(str))), patterns, str(path), "lower_is_better")
        worse = long["task"].astype(str).map(lambda t: any(fnmatchcase(t, p) for p in patterns))
        long["higher_is_better"] = ~worse
    return FileTable(long, base_name, notes)


def _load(path: Path) -> tuple[pd.DataFrame, list[str]]:
    """The file as a frame, and notes on what was dropped."""
    if not path.is_file():
        raise TraitscopeError("no such file", where=str(path), fix="check the path")
    try:
        if path.suffix == ".parquet":
            frame = pd.read_parquet(path)
        elif path.suffix in (".csv", ".tsv"):
            frame = pd.read_csv(path, sep="\t" if path.suffix == ".tsv" else ",")
        else:
            raise TraitscopeError(
                f"unknown file type {path.suffix!r}", where=str(path), fix="save it as .csv, .tsv or .parquet"
            )
    except TraitscopeError:
        raise
    except Exception as error:
        # pandas and pyarrow raise many types here; all mean that the file is not what its name says.
        raise TraitscopeError(
            f"cannot be read: {error}", where=str(path), fix="check that it is a table with one header line"
        ) from error
    if frame.empty:
        raise TraitscopeError("no rows", where=str(path), fix="the first line is the header, rows follow")
    notes: list[str] = []
    first = frame.columns[0]
    if str(first).startswith("Unnamed: 0") and pd.api.types.is_integer_dtype(frame[first]):
        frame = frame.drop(columns=first)
        notes.append("dropped the first column: row numbers without a name")
    return frame, notes


def _from_long_file(frame: pd.DataFrame, values: Sequence[str] | None, path: Path) -> pd.DataFrame:
    """A long file's rows of the wanted tasks."""
    if values and "task" in frame.columns:
        tasks = match_names(list(dict.fromkeys(frame["task"].astype(str))), values, str(path), "values")
        frame = frame[frame["task"].astype(str).isin(tasks)]
    return frame


def _mean_duplicates(long: pd.DataFrame, notes: list[str]) -> pd.DataFrame:
    """One row per base, model, task and metric: the mean of its values; standard errors are dropped there."""
    keys = [c for c in ("base", "model", "task", "metric") if c in long.columns]
    size = long.groupby(keys, sort=False, dropna=False)["model"].transform("size")
    if (size == 1).all():
        return long
    merged = long[size > 1].copy()
    merged["value"] = pd.to_numeric(merged["value"], errors="coerce")
    merged["value"] = merged.groupby(keys, sort=False, dropna=False)["value"].transform("mean")
    merged["stderr"] = np.nan
    notes.append(f"{int((size > 1).sum())} rows with the same name were averaged")
    return pd.concat([long[size == 1], merged.drop_duplicates(keys)]).sort_index().reset_index(drop=True)


def binomial_stderr(table: pd.DataFrame, n: Mapping[str, int], units: Mapping[str, str], where: str) -> pd.DataFrame:
    """The long table with binomial standard errors for tasks of known size, where it has none.

    Args:
        table: the long table. units: unit of each task.
        n: examples of each task whose scores are means of 0/1 outcomes.
        where: what to call the table in errors.

    Raises:
        TraitscopeError: a task is not in the table or has another unit, or a size is below 2.
    """
    table = table.copy()
    for task, count in n.items():
        if units.get(task, "other") == "other":
            raise TraitscopeError(
                f"{task!r} is not a task with fractions or percentages",
                where=f"{where}, n",
                fix=f"tasks: {', '.join(units)}",
            )
        if count < 2:
            raise TraitscopeError(f"n of {task} is {count}", where=f"{where}, n", fix="at least 2 examples")
        top = full_mark(units[task])
        at = (table["task"] == task) & table["stderr"].isna() & table["value"].notna()
        # One success and one failure are added, so that scores of 0 and 100 % keep an error.
        share = (table.loc[at, "value"] / top * count + 1.0) / (count + 2.0)
        table.loc[at, "stderr"] = top * np.sqrt(share * (1.0 - share) / count)
        table.loc[at, "n"] = float(count)
    return table


def reading_notes(raw: View, units: Mapping[str, str], base_index_I: npt.NDArray[np.int64]) -> list[str]:
    """What was assumed of a matrix: units, missing cells, no base row, rows that look copied."""
    notes = []
    for unit in UNITS:
        named = [t for t in raw.tasks if units[t] == unit]
        if named and len(named) < len(raw.tasks):
            notes.append(f"read as {unit}: {', '.join(named)}")
        elif named:
            notes.append(f"all scores read as {unit}")
    gaps = int(np.isnan(raw.values_IN).sum())
    if gaps:
        notes.append(f"{gaps} of {raw.values_IN.size} cells are missing")
    if (base_index_I < 0).any():
        notes.append("no base row: gains are not defined")
    return notes + _copied_rows(raw)


def _copied_rows(raw: View) -> list[str]:
    """A note for each pair of rows that agree exactly in three quarters (and at least three) of their cells.

    Scores at the floor or ceiling may agree by chance: values shared by a third of a column do not count.
    """
    values = raw.values_IN
    common = np.zeros(values.shape, dtype=bool)
    for n in range(values.shape[1]):
        column = values[:, n]
        known = column[np.isfinite(column)]
        if known.size:
            levels, counts = np.unique(known, return_counts=True)
            common[:, n] = np.isin(column, levels[counts > max(2, known.size / 3)])
    usable = np.where(common, np.nan, values)
    notes = []
    for i in range(len(values)):
        both = np.isfinite(usable[i]) & np.isfinite(usable[i + 1 :])
        same = ((usable[i] == usable[i + 1 :]) & both).sum(axis=1)
        for j in np.flatnonzero((same >= 3) & (same >= 0.75 * both.sum(axis=1))):
            other = raw.models[i + 1 + int(j)]
            notes.append(f"{raw.models[i]} and {other} have {int(same[j])} identical scores: copied by mistake?")
    return notes
