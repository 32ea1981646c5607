"""Reading anybody's score matrix from CSV, TSV or parquet, long or wide."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from traitscope.errors import TraitscopeError
from traitscope.matrix.core import ScoreMatrix
from traitscope.matrix.filters import apply_filters


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
        part = pd.DataFrame(
            {"model": frame.index.astype(str), "task": str(task), "value": frame[task].to_numpy()}
        )
        if stderr is not None:
            part["stderr"] = stderr[task].to_numpy(dtype=float)
        parts.append(part)
    table = pd.concat(parts, ignore_index=True)
    table["source"] = None
    return table


def read_matrix(
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
    n: Mapping[str, int] | None = None,
    metric: str | Mapping[str, str] | None = None,
    units: Mapping[str, str] | str | None = None,
    lower_is_better: Sequence[str] = (),
    tags: Mapping[str, Mapping[str, Any]] | None = None,
) -> ScoreMatrix:
    """Read a score matrix from a file.

    Args:
        path: ``.csv``, ``.tsv`` or ``.parquet``.
        layout: "long" (columns model, task, value), "wide" (one row per model, one column per task), or
            "auto": long where those three columns exist.
        rows: wide: column or columns whose values, joined with "/", name the row; default the first column.
        values: wide: score columns, as names or shell patterns ("*-0shot"); default every numeric column that
            is not used otherwise. long: tasks to keep, likewise.
        where: filters "column=a,b" (one of; NA is an empty cell), "column!=a,b", "column>=3" and <=, <, >.
        base: name of the base row: a row's name or, with several ``rows`` columns, the value of one of them.
            Default a row named "base".
        family: column naming the base model a row was trained from; every family then has its own base row.
        seed: column that tells repeated runs of one row apart (training seeds).
        duplicates: "error", or "mean" to average rows of the same name.
        stderr_suffix: wide: column ``<task><suffix>`` holds the task's standard errors.
        n: examples per task, for scores that are means of 0/1 outcomes: gives binomial standard errors.
        metric, units, tags: as ``ScoreMatrix.from_long``.
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
        long, base_name = _from_long_file(frame, values, base, path), base
    else:
        long, base_name = _from_wide_file(
            frame, path, rows, values, base, family, seed, where, stderr_suffix, notes
        )
    if duplicates == "mean":
        long = _mean_duplicates(long, notes)
    patterns = tuple(lower_is_better)
    if patterns:
        _match(list(dict.fromkeys(long["task"].astype(str))), patterns, str(path), "lower_is_better")
        worse = long["task"].astype(str).map(lambda t: any(fnmatchcase(t, p) for p in patterns))
        long["higher_is_better"] = ~worse
    scores = ScoreMatrix.from_long(
        long, base=base_name, metric=metric, units=units, tags=tags, where=str(path), notes=notes
    )
    if n:
        scores = _with_binomial(scores, n, str(path))
    return _with_reading_notes(scores)


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


def _match(names: Sequence[str], patterns: Sequence[str], where: str, option: str) -> list[str]:
    """Names that match any pattern, in the patterns' order; raises for a pattern that matches none."""
    found: list[str] = []
    for pattern in patterns:
        hits = [name for name in names if name == pattern] or [
            name for name in names if fnmatchcase(name, pattern)
        ]
        if not hits:
            raise TraitscopeError(
                f"{pattern!r} matches none of: {', '.join(names)}",
                where=f"{where}, {option}",
                fix="use names or patterns such as '*-0shot'",
            )
        found += [name for name in hits if name not in found]
    return found


def _from_long_file(
    frame: pd.DataFrame, values: Sequence[str] | None, base: str | None, path: Path
) -> pd.DataFrame:
    """A long file's rows of the wanted tasks."""
    if values and "task" in frame.columns:
        tasks = _match(list(dict.fromkeys(frame["task"].astype(str))), values, str(path), "values")
        frame = frame[frame["task"].astype(str).isin(tasks)]
    return frame


def _from_wide_file(
    frame: pd.DataFrame,
    path: Path,
    rows: str | Sequence[str] | None,
    values: Sequence[str] | None,
    base: str | None,
    family: str | None,
    seed: str | None,
    where: Sequence[str],
    stderr_suffix: str,
    notes: list[str],
) -> tuple[pd.DataFrame, str | None]:
    """A wide file as a long table, and the name of its base row."""
    names = [str(c) for c in frame.columns]
    frame = frame.set_axis(names, axis=1)
    row_columns = [rows] if isinstance(rows, str) else list(rows or names[:1])
    for option, columns in (
        ("rows", row_columns),
        ("family", [family] if family else []),
        ("seed", [seed] if seed else []),
    ):
        lacking = [c for c in columns if c not in names]
        if lacking:
            raise TraitscopeError(
                f"no column {', '.join(lacking)}; columns: {', '.join(names)}",
                where=f"{path}, {option}",
                fix="name an existing column",
            )
    if rows is None and pd.api.types.is_numeric_dtype(frame[row_columns[0]]):
        raise TraitscopeError(
            f"the first column, {row_columns[0]!r}, holds numbers, not model names",
            where=str(path),
            fix="name the column with the model names: rows=...",
        )
    used = [*row_columns, *([family] if family else []), *([seed] if seed else [])]
    free = [c for c in names if c not in used]
    stderr_of = {c: c + stderr_suffix for c in free if stderr_suffix and c + stderr_suffix in free}
    free = [c for c in free if c not in stderr_of.values()]
    if values:
        tasks = _match(free, values, str(path), "values")
    else:
        tasks = [c for c in free if pd.api.types.is_numeric_dtype(frame[c]) and frame[c].dtype != bool]
        skipped = [c for c in free if c not in tasks]
        if skipped:
            notes.append(f"columns that are no numbers were left out: {', '.join(skipped)}")
    if not tasks:
        raise TraitscopeError(
            "no numeric score columns", where=str(path), fix="name the score columns: values=..."
        )
    for column in row_columns + ([family] if family else []):
        if frame[column].isna().any():
            raise TraitscopeError(
                f"row {int(np.flatnonzero(frame[column].isna())[0]) + 1} has no {column}",
                where=f"{path}, column {column}",
                fix="fill it in, or filter the row out",
            )
    parts = frame[row_columns].astype(str)
    label = parts.agg("/".join, axis=1) if len(row_columns) > 1 else parts[row_columns[0]]
    base_name = "base" if base is None and (label == "base").any() else base
    is_base = pd.Series(False, index=frame.index)
    if base_name is not None:
        is_base = (label == base_name) | (parts == base_name).any(axis=1)
        if not is_base.any():
            raise TraitscopeError(
                f"no row is named {base_name!r}; rows: {', '.join(dict.fromkeys(label))[:300]}",
                where=f"{path}, base",
                fix="name the untuned model's row; a filter may have dropped it",
            )
        if family is None and label[is_base].nunique() > 1:
            raise TraitscopeError(
                f"{label[is_base].nunique()} rows are named {base_name!r}",
                where=f"{path}, base",
                fix="say which column names the base model: family=..., or filter for one of them",
            )
        label = label.where(~is_base, base_name)
    source = label.where(~is_base, None)
    model = label
    if seed is not None:
        model = label.where(is_base, label + "-s" + frame[seed].astype(str))
    long_parts = []
    for task in tasks:
        long_parts.append(
            pd.DataFrame(
                {
                    "base": frame[family].astype(str).to_numpy() if family else "base",
                    "model": model.to_numpy(),
                    "source": source.to_numpy(),
                    "seed": frame[seed].to_numpy() if seed else None,
                    "task": task,
                    "value": frame[task].to_numpy(),
                    "stderr": frame[stderr_of[task]].to_numpy() if task in stderr_of else np.nan,
                }
            )
        )
    return pd.concat(long_parts, ignore_index=True), base_name


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


def _with_binomial(scores: ScoreMatrix, n: Mapping[str, int], where: str) -> ScoreMatrix:
    """The matrix with binomial standard errors for tasks of known size, where it has none."""
    table = scores.table.copy()
    for task, count in n.items():
        if task not in scores.metrics or scores.units[task] == "other":
            raise TraitscopeError(
                f"{task!r} is not a task with fractions or percentages",
                where=f"{where}, n",
                fix=f"tasks: {', '.join(scores.tasks)}",
            )
        if count < 2:
            raise TraitscopeError(f"n of {task} is {count}", where=f"{where}, n", fix="at least 2 examples")
        top = 100.0 if scores.units[task] == "percent" else 1.0
        at = (table["task"] == task) & table["stderr"].isna() & table["value"].notna()
        # One success and one failure are added, so that scores of 0 and 100 % keep an error.
        share = (table.loc[at, "value"] / top * count + 1.0) / (count + 2.0)
        table.loc[at, "stderr"] = top * np.sqrt(share * (1.0 - share) / count)
        table.loc[at, "n"] = float(count)
    return ScoreMatrix(
        table=table,
        base_name=scores.base_name,
        metrics=scores.metrics,
        units=scores.units,
        tags=scores.tags,
        notes=scores.notes,
    )


def _with_reading_notes(scores: ScoreMatrix) -> ScoreMatrix:
    """The matrix with notes on units, missing cells, the base row and rows that look copied."""
    from dataclasses import replace

    notes = list(scores.notes)
    for unit in ("fraction", "percent", "other"):
        named = [t for t in scores.tasks if scores.units[t] == unit]
        if named and len(named) < len(scores.tasks):
            notes.append(f"read as {unit}: {', '.join(named)}")
        elif named:
            notes.append(f"all scores read as {unit}")
    gaps = int(np.isnan(scores.scores_IN).sum())
    if gaps:
        notes.append(f"{gaps} of {scores.scores_IN.size} cells are missing")
    if (scores.base_index_I < 0).any():
        notes.append("no base row: gains are not defined")
    notes += _copied_rows(scores)
    return replace(scores, notes=tuple(notes))


def _copied_rows(scores: ScoreMatrix) -> list[str]:
    """A note for each pair of rows that agree exactly in three quarters (and at least three) of their cells.

    Scores at the floor or ceiling may agree by chance: values shared by a third of a column do not count.
    """
    values = scores.scores_IN
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
            other = scores.models[i + 1 + int(j)]
            notes.append(
                f"{scores.models[i]} and {other} have {int(same[j])} identical scores: copied by mistake?"
            )
    return notes
