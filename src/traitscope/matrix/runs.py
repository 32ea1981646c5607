"""What reading long and wide files shares: the table that both give, repeated runs of a row, the base row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import pandas as pd

from traitscope.errors import TraitscopeError
from traitscope.matrix.numbers import read_numbers

# What untuned models are called; said as a proposal where the base row is not named.
_BASE_WORDS = frozenset(
    {"base", "base_model", "pretrain", "pretrained", "untuned", "vanilla", "zero-shot", "zeroshot", "none", "original"}
)


class Long(NamedTuple):
    """A long table made from a file, and the tasks whose scores carry percent signs."""

    table: pd.DataFrame
    percent: tuple[str, ...]


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
