"""Files with one line per model and task, whatever their columns are called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from traitscope.errors import TraitscopeError
from traitscope.matrix.columns import KNOWN_NAMES, match_names, plain_name
from traitscope.matrix.lmeval import error_partner, lower_is_better
from traitscope.matrix.numbers import numbers_or_error, read_numbers
from traitscope.matrix.runs import Long, refuse_twice, run_name, run_numbers, trained_on
from traitscope.matrix.table import by_name

_WORDS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


def long_from_frame(
    frame: pd.DataFrame,
    columns: Mapping[str, str],
    values: Sequence[str] | None,
    base: str | None,
    decimal: str,
    duplicates: str,
    where: str,
    notes: list[str],
) -> Long:
    """A long file's lines under the long table's names.

    Args:
        frame: text cells, the index says where a line stands.
        columns: part of the table -> the file's column.
        values: tasks to keep, as names or patterns. base: name of the base row.
        decimal: the decimal sign. duplicates: "error" or "mean", of lines for one cell.
        where: what to call the file in errors. notes: gains what was assumed.

    Raises:
        TraitscopeError: a line has no model or task, a cell is given twice or is no number.
    """
    if "stderr" not in columns:
        partner = [name for name in frame.columns if error_partner(name, [columns["value"]])]
        columns = {**columns, **({"stderr": partner[0]} if partner else {})}
    _note_columns(columns, list(frame.columns), notes)
    if "base" in columns and np.isfinite(read_numbers(frame[columns["base"]], decimal).values).any():
        raise TraitscopeError(
            f"column {columns['base']!r} holds numbers; it names the base model of each line",
            where=where,
            fix="give the column another name, or name the one with the base model: family=...",
        )
    table = pd.DataFrame({part: frame[column] for part, column in columns.items()}, index=frame.index)
    for part in ("model", "task"):
        if table[part].isna().any():
            raise TraitscopeError(
                f"{table.index[table[part].isna()][0]} has no {part}",
                where=f"{where}, column {columns[part]}",
                fix="fill it in, or delete the row",
            )
        table[part] = table[part].astype(str)
    if values:
        tasks = match_names(list(dict.fromkeys(table["task"])), values, where, "values")
        table = table[table["task"].isin(tasks)]
    if "metric" not in table and plain_name(columns["value"]) not in KNOWN_NAMES["value"]:
        table["metric"] = columns["value"]
    if "source" in table:
        table["source"] = trained_on(table["source"])
    labels = table["model"] + " on " + table["task"]
    scores = numbers_or_error(table["value"].rename(columns["value"]), decimal, where, labels)
    table["value"] = scores.values
    if scores.grouped:
        notes.append(f"thousands are set apart in column {columns['value']}: {scores.grouped}")
    for part in ("stderr", "n"):
        if part in table:
            found = numbers_or_error(table[part].rename(columns[part]), decimal, where, labels)
            table[part] = found.values
            if part == "stderr" and np.isfinite(found.values).any() and found.percent != scores.percent:
                raise TraitscopeError(
                    "scores and standard errors do not both have percent signs", where=where, fix="write both alike"
                )
    for part in ("primary", "higher_is_better"):
        if part in table:
            table[part] = _truth(table[part].rename(columns[part]), where)
    table = _errors_in_lines(table, notes)
    table = _note_metrics(table, notes)
    table = _seeds_apart(table, base, decimal, notes)
    if duplicates == "error":
        scored = table[table["value"].notna()]
        if "status" in scored.columns:
            scored = scored[scored["status"] != "missing"]
        refuse_twice(scored[_keys(scored)], frame.drop(columns=list(columns.values())), where, base or "base")
    units = dict.fromkeys(table["task"], "percent") if scores.percent else {}
    lower = table.loc[table["higher_is_better"].map(lambda better: better is False), "task"]
    return Long(table, {**dict.fromkeys(lower, "other"), **units})


def _note_metrics(table: pd.DataFrame, notes: list[str]) -> pd.DataFrame:
    """Says which of several metrics of a task is shown, and which are better when lower where the file does not."""
    if "metric" in table.columns:
        for task, metrics in table.groupby("task", sort=False)["metric"]:
            several = list(dict.fromkeys(metrics))
            if len(several) > 1 and "primary" not in table.columns:
                notes.append(f"{task} has {', '.join(several)}; {several[0]} is shown (metric=... for another)")
    names = table["metric"] if "metric" in table.columns else pd.Series("", index=table.index)
    lower = by_name(names, lower_is_better) | by_name(table["task"], lower_is_better)
    if "higher_is_better" in table.columns:
        return table
    if lower.any():
        notes.append(f"lower is better: {', '.join(dict.fromkeys(table.loc[lower, 'task']))}")
    return table.assign(higher_is_better=(~lower).astype(object))


def _note_columns(columns: Mapping[str, str], names: Sequence[str], notes: list[str]) -> None:
    renamed = [f"{part} = {column}" for part, column in columns.items() if part != column]
    unused = [name for name in names if name not in columns.values()]
    if renamed:
        notes.append(f"read as long: {', '.join(renamed)}")
    if unused:
        notes.append(f"columns that are not used: {', '.join(unused)}")


def _truth(column: pd.Series, where: str) -> pd.Series:
    """True and False from their words."""
    out = column.map(lambda cell: None if pd.isna(cell) else _WORDS.get(str(cell).strip().lower(), str(cell)))
    bad = [(place, cell) for place, cell in out.items() if isinstance(cell, str)]
    if bad:
        raise TraitscopeError(
            f"{bad[0][1]!r} is neither true nor false ({bad[0][0]}, column {column.name})",
            where=where,
            fix="write true or false",
        )
    return out


def _keys(table: pd.DataFrame, *more: str) -> list[str]:
    return [key for key in ("base", "model", "task", "metric", *more) if key in table.columns]


def _errors_in_lines(table: pd.DataFrame, notes: list[str]) -> pd.DataFrame:
    """Lines whose metric is another's standard error (lm-eval's acc_stderr,none) go into its column."""
    if "metric" not in table.columns:
        return table
    table = table.assign(metric=table["metric"].where(table["metric"].notna(), "score").astype(str))
    names = list(dict.fromkeys(table["metric"]))
    partner = {name: of for name in names if (of := error_partner(name, names)) is not None}
    if not partner:
        return table
    is_error = table["metric"].isin(partner)
    keys = _keys(table, "seed")
    errors = table[is_error].assign(metric=table["metric"].map(partner))[[*keys, "value"]].drop_duplicates(keys)
    place = table.index[~is_error]
    kept = table[~is_error].merge(errors.rename(columns={"value": "stderr_line"}), on=keys, how="left").set_axis(place)
    known = kept["stderr"] if "stderr" in kept.columns else np.nan
    kept["stderr"] = kept["stderr_line"].where(kept["stderr_line"].notna(), known)
    notes.append(f"standard errors were taken from the lines of {', '.join(partner)}")
    return kept.drop(columns="stderr_line")


def _seeds_apart(table: pd.DataFrame, base: str | None, decimal: str, notes: list[str]) -> pd.DataFrame:
    """Runs of one name get a row each where their seeds tell them apart; the name is their source."""
    if "seed" not in table.columns:
        return table
    numbers = run_numbers(table["seed"], decimal)
    scored = table[table["value"].notna()]
    if not scored.duplicated(_keys(scored)).any():
        return table.assign(seed=numbers)
    is_base = table["model"] == (base or "base")
    is_base |= (table["model"] == table["base"]) if "base" in table.columns else False
    source = table["source"] if "source" in table.columns else pd.Series(None, index=table.index, dtype=object)
    source = source.where(source.notna() | is_base, table["model"])
    named = table["model"] + "-s" + table["seed"].map(run_name)
    notes.append("rows of one name with several seeds are runs of one source")
    return table.assign(
        model=named.where(~is_base & table["seed"].notna(), table["model"]),
        source=source,
        seed=numbers,
    )
