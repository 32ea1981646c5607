"""Tables with one row per model and one column per task."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
import pandas as pd

from traitscope.errors import TraitscopeError


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


def match_names(names: Sequence[str], patterns: Sequence[str], where: str, option: str) -> list[str]:
    """Names that match any pattern, in the patterns' order, less those of patterns that start with "!".

    Raises:
        TraitscopeError: a pattern matches none.
    """
    found = list(names) if all(p.startswith("!") for p in patterns) else []
    for text in patterns:
        leave_out, pattern = text.startswith("!"), text.removeprefix("!")
        hits = [name for name in names if name == pattern] or [name for name in names if fnmatchcase(name, pattern)]
        if not hits:
            raise TraitscopeError(
                f"{pattern!r} matches none of: {', '.join(names)}",
                where=f"{where}, {option}",
                fix="use names or patterns such as '*-0shot'",
            )
        if leave_out:
            found = [name for name in found if name not in hits]
        else:
            found += [name for name in hits if name not in found]
    return found


def wide_to_long(
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
    numeric = [c for c in free if pd.api.types.is_numeric_dtype(frame[c]) and frame[c].dtype != bool]
    if values and not all(pattern.startswith("!") for pattern in values):
        tasks = match_names(free, values, str(path), "values")
    else:
        tasks = match_names(numeric, values, str(path), "values") if values else numeric
        skipped = [c for c in free if c not in numeric]
        if skipped:
            notes.append(f"columns that are no numbers were left out: {', '.join(skipped)}")
    if not tasks:
        raise TraitscopeError("no numeric score columns", where=str(path), fix="name the score columns: values=...")
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
