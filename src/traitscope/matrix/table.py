"""The long table behind a score matrix: its columns, its checks, its primary metrics."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd

from traitscope.errors import TraitscopeError
from traitscope.matrix.lmeval import lower_is_better

COLUMNS = (
    "base",
    "model",
    "source",
    "seed",
    "task",
    "metric",
    "status",
    "value",
    "n",
    "stderr",
    "higher_is_better",
    "primary",
)
MOST = 1e100
STATUSES = ("measured", "imported", "predicted", "missing")


def _numbers(table: pd.DataFrame, column: str, where: str) -> pd.Series:
    """A column as floats; raises naming the first entry that is no number."""
    numbers = pd.to_numeric(table[column], errors="coerce")
    bad = table.index[numbers.isna() & table[column].notna()]
    if len(bad):
        row = table.loc[bad[0]]
        raise TraitscopeError(
            f"{row[column]!r} is not a number (model {row['model']}, task {row['task']})",
            where=f"{where}, column {column}",
            fix="write numbers with a decimal point, and leave missing cells empty",
        )
    return numbers.astype(float)


def by_name(column: pd.Series, true_of: Callable[[str], bool]) -> pd.Series:
    """What holds of the names in a column, each asked once."""
    codes, names = pd.factorize(column)
    told = np.array([bool(true_of(name)) for name in names], dtype=bool)
    return pd.Series(told[codes] if len(names) else False, index=column.index)


def normalise_table(table: pd.DataFrame, where: str) -> pd.DataFrame:
    """The table with all of ``COLUMNS``, checked: one value per model, task and metric, finite numbers.

    Rows without a value, or with status "missing", are dropped: a missing cell is one that is not there.
    """
    lacking = [c for c in ("model", "task", "value") if c not in table.columns]
    if lacking:
        raise TraitscopeError(
            f"no column {', '.join(lacking)}; columns: {', '.join(map(str, table.columns))}",
            where=where,
            fix="a long table needs model, task and value; for models x tasks use the wide layout",
        )
    full = table.reset_index(drop=True).copy()
    for column in ("model", "task"):
        if full[column].isna().any():
            raise TraitscopeError(
                f"row {int(full.index[full[column].isna()][0]) + 1} has no {column}",
                where=f"{where}, column {column}",
                fix="fill it in or delete the row",
            )
        full[column] = full[column].astype(str)
    for column in ("value", "n", "stderr"):
        full[column] = _numbers(full, column, where) if column in full.columns else np.nan
        # Beyond this, squares and sums of squares of scores have no place in a double.
        if (beyond := full[column].abs() > MOST).any():
            row = full.loc[beyond].iloc[0]
            what = {"value": "score", "n": "number of examples", "stderr": "standard error"}[column]
            raise TraitscopeError(
                f"the {what} of {row['model']} on {row['task']} is {row[column]:g}",
                where=f"{where}, column {column}",
                fix="leave the cell empty, or write it in another unit",
            )
    if (full["stderr"] < 0).any():
        raise TraitscopeError(
            "negative standard error", where=f"{where}, column stderr", fix="leave it empty if unknown"
        )
    if (odd := (full["n"] < 1) | (full["n"] % 1 > 0)).any():
        row = full.loc[odd].iloc[0]
        raise TraitscopeError(
            f"{row['n']:g} is no number of examples (model {row['model']}, task {row['task']})",
            where=f"{where}, column n",
            fix="write a whole number of 1 or more, or leave it empty if unknown",
        )
    defaults = {
        "base": "base",
        "source": None,
        "seed": None,
        "metric": "score",
        "status": "imported",
        "higher_is_better": None,
    }
    for column, value in defaults.items():
        if column not in full.columns:
            full[column] = value
    full["base"] = full["base"].astype(object).where(full["base"].notna(), "base").astype(str)
    full["metric"] = full["metric"].astype(str)
    full["seed"] = pd.to_numeric(full["seed"], errors="coerce").astype("Float64")
    known = full["higher_is_better"].astype(object)
    lower = by_name(full["metric"], lower_is_better) | by_name(full["task"], lower_is_better)
    full["higher_is_better"] = known.where(known.notna(), ~lower).astype(bool)
    both = full.groupby(["task", "metric"], sort=False)["higher_is_better"].nunique() > 1
    if both.any():
        task, metric = both.index[both][0]
        raise TraitscopeError(
            f"task {task!r}, metric {metric!r} is better when higher in some rows and when lower in others",
            where=f"{where}, column higher_is_better",
            fix="write the same in all rows of a task",
        )
    strange = sorted(set(full["status"].astype(str)) - set(STATUSES))
    if strange:
        raise TraitscopeError(
            f"unknown status {', '.join(strange)}",
            where=f"{where}, column status",
            fix=f"one of: {', '.join(STATUSES)}",
        )
    if "primary" not in full.columns:
        first = full.drop_duplicates("task").set_index("task")["metric"]
        full["primary"] = full["metric"] == full["task"].map(first)
    full["primary"] = full["primary"].astype(object).fillna(False).astype(bool)
    kept = full[(full["status"] != "missing") & full["value"].notna()]
    keys = ["base", "model", "task", "metric"]
    twice = kept[kept.duplicated(keys, keep=False)]
    if len(twice):
        row = twice.iloc[0]
        count = int((kept[keys] == row[keys]).all(axis=1).sum())
        raise TraitscopeError(
            f"model {row['model']!r} has {count} values for task {row['task']!r}, metric {row['metric']!r}",
            where=where,
            fix="filter the rows down to one per cell, name a seed column, or ask for their mean",
        )
    if kept.empty:
        raise TraitscopeError("no scores at all", where=where, fix="check filters and value columns")
    return full.loc[:, list(COLUMNS)]


def pick_metrics(table: pd.DataFrame, metric: str | Mapping[str, str] | None, where: str) -> dict[str, str]:
    """Task -> metric to show, tasks in order of appearance; tasks that lack the wanted metric are left out.

    Raises:
        TraitscopeError: no task has the metric, or a task's primary metric is not unique.
    """
    chosen: dict[str, str] = {}
    metrics, marked = (_metrics_of(rows) for rows in (table, table[table["primary"]]))
    for task, known in metrics.items():
        wanted = metric if isinstance(metric, str) or metric is None else metric.get(str(task))
        if wanted is None:
            primary = marked.get(task) or known[:1]
            if len(primary) > 1:
                raise TraitscopeError(
                    f"task {task!r} has several primary metrics: {', '.join(primary)}",
                    where=where,
                    fix="mark one metric per task as primary, or pass metric=...",
                )
            wanted = primary[0]
        if wanted in known:
            chosen[str(task)] = wanted
    if not chosen:
        names = ", ".join(table["metric"].unique())
        raise TraitscopeError(f"no task has the metric {metric!r}", where=where, fix=f"metrics: {names}")
    return chosen


def _metrics_of(rows: pd.DataFrame) -> dict[str, list[str]]:
    """Task -> its metrics, both in order of appearance."""
    found: dict[str, list[str]] = {}
    pairs = rows[["task", "metric"]].drop_duplicates()
    for task, metric in zip(pairs["task"].tolist(), pairs["metric"].tolist(), strict=True):
        found.setdefault(task, []).append(metric)
    return found


def row_labels(table: pd.DataFrame) -> pd.Series:
    """Row names: the model's, with its base model before it where the table holds several base models."""
    if table["base"].nunique() > 1:
        return table["base"].astype(str) + "/" + table["model"]
    return table["model"]
