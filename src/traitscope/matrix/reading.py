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
from traitscope.matrix.columns import SETTINGS, SUMMARIES, is_long, long_columns, match_names, plain_name
from traitscope.matrix.filters import apply_filters, filtered_columns
from traitscope.matrix.long import long_from_frame
from traitscope.matrix.numbers import find_decimal
from traitscope.matrix.runs import base_proposal, default_base, no_base_row
from traitscope.matrix.tablefile import load_table
from traitscope.matrix.units import UNITS, full_mark
from traitscope.matrix.views import View
from traitscope.matrix.wide import wide_to_long
from traitscope.matrix.widecolumns import wide_columns


class FileTable(NamedTuple):
    """A file's scores as a long table.

    Attributes:
        table: the long table. base: name of the base row. notes: what was assumed while reading.
        units: task -> unit, where the file tells it: "percent" by its signs, "other" for perplexities and errors.
    """

    table: pd.DataFrame
    base: str | None
    notes: list[str]
    units: dict[str, str]


def table_from_file(
    path: Path,
    *,
    layout: str = "auto",
    rows: str | Sequence[str] | None = None,
    values: Sequence[str] | None = None,
    where: Sequence[str] = (),
    base: str | None = None,
    family: str | None = None,
    seed_column: str | None = None,
    model_column: str | None = None,
    source_column: str | None = None,
    task_column: str | None = None,
    metric_column: str | None = None,
    value_column: str | None = None,
    stderr_column: str | None = None,
    n_column: str | None = None,
    duplicates: str = "error",
    stderr_suffix: str = "_stderr",
    lower_is_better: Sequence[str] = (),
    delimiter: str | None = None,
    decimal: str | None = None,
) -> FileTable:
    """The long table that a file holds.

    Args:
        path: ``.csv``, ``.tsv`` or ``.parquet``.
        layout: "long" (one line per model and task), "wide" (one row per model, one column per task), or "auto":
            long where a column is called task beside one called model or value, or where columns are named here.
        rows: wide: column or columns whose values, joined with "/", name the row; default the first column.
        values: wide: score columns, as names or shell patterns ("*-0shot", and "!mt*" to leave out); default
            every numeric column that is not used otherwise. long: tasks to keep, likewise.
        where: filters "column=a,b" (one of; NA is an empty cell), "column!=a,b", "column>=3" and <=, <, >.
        base: name of the base row: a row's name or, with several ``rows`` columns, the value of one of them.
            Default a row named "base".
        family: column naming the base model a row was trained from; every family then has its own base row.
        seed_column: column that tells repeated runs of one row apart (training seeds); default one named "seed".
        source_column: column with what a row was trained on; default one named "source", else the row's name.
        model_column, task_column, metric_column, value_column, stderr_column, n_column: long: which column is which;
            default those whose names cannot be mistaken (``matrix.columns.KNOWN_NAMES``).
        duplicates: "error", or "mean" to average rows of the same name.
        stderr_suffix: wide: column ``<task><suffix>`` holds the task's standard errors.
        lower_is_better: tasks (or patterns) whose scores are better when lower.
        delimiter: between cells: a sign, or "comma", "semicolon", "tab", "bar"; recognised by default.
        decimal: "." or ","; recognised by default.

    Raises:
        TraitscopeError: whatever is wrong with the file, with the column and what to write instead.
    """
    if layout not in ("auto", "long", "wide"):
        raise TraitscopeError(f"unknown layout {layout!r}", where="layout", fix="auto, long or wide")
    if duplicates not in ("error", "mean"):
        raise TraitscopeError(f"unknown {duplicates!r}", where="duplicates", fix="error or mean")
    frame, separator, notes = load_table(path, delimiter)
    told = str(path)
    sign = find_decimal(frame, separator, decimal, told)
    frame = apply_filters(frame, where, told, sign)
    named = {
        part: column
        for part, column in {
            "model": model_column, "task": task_column, "metric": metric_column, "value": value_column,
            "stderr": stderr_column, "n": n_column,
        }.items()
        if column is not None
    }  # fmt: skip
    if layout == "auto":
        layout = "long" if rows is None and is_long(list(frame.columns), named) else "wide"
    if layout == "wide" and named:
        raise TraitscopeError(
            f"{', '.join(f'{part}_column' for part in named)} say what the columns of a long file are",
            where=told,
            fix="leave rows and layout=wide out; a wide file's columns are named by rows and values",
        )
    if layout == "long" and rows is not None:
        raise TraitscopeError("rows is for wide files", where=told, fix="name the model's column: model_column=...")
    if layout == "long":
        named |= {"base": family} if family else {}
        named |= {"seed": seed_column} if seed_column else {}
        named |= {"source": source_column} if source_column else {}
        columns = long_columns(list(frame.columns), named, told)
        if base is None:
            base = default_base(list(frame[columns["model"]].dropna().astype(str)), notes)
        long, units = long_from_frame(frame, columns, values, base, sign, duplicates, told, notes)
    else:
        # A setting that lines were chosen by has done its work.
        kept = {rows, family, seed_column} if isinstance(rows, str) else {*(rows or ()), family, seed_column}
        spent = [c for c in frame.columns if plain_name(c) in SETTINGS and c in filtered_columns(where) - kept]
        frame = frame.drop(columns=spent)
        wide = wide_columns(frame, rows, values, family, seed_column, source_column, stderr_suffix, sign, told, notes)
        (long, units), base = wide_to_long(frame, wide, base, sign, duplicates, told, notes)
    long = long.reset_index(drop=True)
    if duplicates == "mean":
        long = _mean_duplicates(long, notes)
    names = list(dict.fromkeys(long["model"]))
    if base is not None and base not in names:
        raise no_base_row(base, names, told)
    patterns = tuple(lower_is_better)
    if patterns:
        match_names(list(dict.fromkeys(long["task"].astype(str))), patterns, str(path), "lower_is_better")
        worse = long["task"].astype(str).map(lambda t: any(fnmatchcase(t, p) for p in patterns))
        stated = long["higher_is_better"].fillna(True).astype(bool) if "higher_is_better" in long.columns else True
        long["higher_is_better"] = ~worse & stated
    return FileTable(long, base, notes, units)


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
    lost = [m for m, base in zip(raw.models, base_index_I, strict=True) if base < 0]
    if len(lost) == len(raw.models):
        likely = base_proposal(raw.models)
        notes.append(
            "no base row: gains are not defined; name the untuned model's row with base="
            + (f"{likely}, if it is that one" if likely else "...")
        )
    elif lost:
        notes.append(f"no base row for {len(lost)} of {len(raw.models)} rows: no gains for {', '.join(lost[:5])}")
    for b in sorted(set(base_index_I[base_index_I >= 0].tolist())):
        holes = [t for t, value in zip(raw.tasks, raw.values_IN[b], strict=True) if np.isnan(value)]
        if holes:
            notes.append(f"{raw.models[b]} has no score on {', '.join(holes)}: no gains there")
    return notes + _copied_rows(raw)


def refuse_summaries(raw: View, where: str) -> None:
    """Refuses a row that is called a mean and is one: the mean of the other rows, to one part in a hundred.

    Raises:
        TraitscopeError: there is such a row.
    """
    for i, name in enumerate(raw.models):
        if name.strip().lower() not in SUMMARIES or len(raw.models) < 3:
            continue
        others = np.delete(raw.values_IN, i, axis=0)
        centre_N = np.ma.masked_invalid(others).mean(axis=0).filled(np.nan)
        if np.allclose(raw.values_IN[i], centre_N, rtol=0.01, atol=0.0, equal_nan=True):
            raise TraitscopeError(
                f"row {name!r} is the mean of the others, not a model", where=where, fix=f"filter it out: model!={name}"
            )


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
