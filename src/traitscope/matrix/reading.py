"""Reading anybody's score matrix from CSV, TSV or parquet, long or wide."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from traitscope.errors import TraitscopeError
from traitscope.matrix.columns import SETTINGS, is_long, long_columns, match_names, plain_name
from traitscope.matrix.filters import apply_filters, filtered_columns
from traitscope.matrix.long import long_from_frame
from traitscope.matrix.numbers import find_decimal, read_numbers
from traitscope.matrix.runs import default_base, no_base_row
from traitscope.matrix.tablefile import load_table
from traitscope.matrix.units import full_mark
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
        # A setting that lines were chosen by has done its work, as has whatever is the same in all that are left.
        kept = {*([rows] if isinstance(rows, str) else rows or ()), *(values or ()), family, seed_column}
        asked = [c for c in frame.columns if c in filtered_columns(where) - kept]
        alike = [c for c in asked if len(frame) > 1 and _is_constant(frame[c], sign)]
        frame = frame.drop(columns=[c for c in asked if plain_name(c) in SETTINGS or c in alike])
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


def _is_constant(column: pd.Series, sign: str) -> bool:
    numbers = read_numbers(column, sign).values
    return column.nunique(dropna=False) == 1 or bool(np.isfinite(numbers).all() and np.ptp(numbers) == 0)


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
