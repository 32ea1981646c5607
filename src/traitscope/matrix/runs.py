"""What reading long and wide files shares: the table that both give, repeated runs of a row, the base row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import pandas as pd

from traitscope.errors import TraitscopeError
from traitscope.matrix.numbers import is_no_number, read_numbers

# What untuned models are called; said as a proposal where the base row is not named.
_BASE_WORDS = frozenset(
    {"base", "base_model", "pretrain", "pretrained", "untuned", "vanilla", "zero-shot", "zeroshot", "none", "original"}
)


class Long(NamedTuple):
    """A long table made from a file, and the units that the file tells (task -> unit)."""

    table: pd.DataFrame
    units: dict[str, str]


def run_name(run: object) -> str:
    """A run as it stands in a row's name: 1 for 1.0."""
    return f"{run:.0f}" if isinstance(run, float) and run == round(run) else str(run)


def run_numbers(run: pd.Series, decimal: str) -> pd.Series:
    """Runs as numbers; those that have names are counted in their order."""
    found = read_numbers(run, decimal)
    if not found.bad:
        return pd.Series(found.values, index=run.index)
    codes = pd.Series(pd.factorize(run)[0], index=run.index, dtype=float)
    return codes.where(codes >= 0)


def trained_on(column: pd.Series) -> pd.Series:
    """Names of sources; None where a cell is empty, or a dash or "none" says that there is none."""
    return column.astype(object).map(lambda cell: None if is_no_number(cell) else str(cell))


def default_base(names: Sequence[str], notes: list[str]) -> str | None:
    """The row that is called base, in capitals too if it is the only one."""
    if "base" in names:
        return "base"
    hits = list(dict.fromkeys(name for name in names if name.strip().lower() == "base"))
    if len(hits) != 1:
        return None
    notes.append(f"the base row is {hits[0]}")
    return hits[0]


def no_base_row(base: str, names: Sequence[str], where: str) -> TraitscopeError:
    """The error that a base row is not in the file."""
    return TraitscopeError(
        f"no base row: no row is named {base!r}; rows: {', '.join(names)[:300]}",
        where=f"{where}, base",
        fix="name the untuned model's row; a filter may have dropped it",
    )


def base_proposal(names: Sequence[str]) -> str | None:
    """The one row whose name says that it is an untuned model, if any."""
    hits = [name for name in names if name.strip().lower().replace(" ", "_") in _BASE_WORDS]
    return hits[0] if len(hits) == 1 else None


def refuse_twice(keys: pd.DataFrame, beside: pd.DataFrame, where: str, base: str | None) -> None:
    """Refuses rows or lines that are named alike, and says in which columns they differ.

    Args:
        keys: what must be unique: model, task and, where known, base and metric; the index says where a row stands.
        beside: columns that are not used, with the same index.
        where: the file. base: name of the base row; not trained, it has no runs that could be told apart.

    Raises:
        TraitscopeError: two rows are named alike.
    """
    twice = keys[keys.duplicated(keep=False)]
    if twice.empty:
        return
    first = twice.iloc[0]
    places = list(twice.index[(twice == first).all(axis=1)])
    differ = [
        f"{name} ({', '.join(dict.fromkeys(map(str, beside.loc[places, name])))})"
        for name in beside.columns
        if beside.loc[places, name].astype(str).nunique() > 1
    ]
    raise TraitscopeError(
        f"model {first['model']!r} has {len(places)} values for task {first['task']!r}: {'; '.join(places[:5])}"
        + (f"; they differ in {', '.join(differ)}" if differ else ""),
        where=where,
        fix=("keep one of them with a filter (where), " if differ else "delete all but one, ")
        + ("" if first["model"] == base else "name a column that tells runs apart (seed_column=...), ")
        + "or average them (duplicates=mean)",
    )
