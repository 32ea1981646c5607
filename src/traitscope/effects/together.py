"""Effects of several base models as one: what each found, under names that tell them apart."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import pandas as pd

from traitscope.effects.result import Effects


def effects_together(effects: Mapping[str, Effects]) -> Effects:
    """The findings and tables of all base models; rows are called ``base/row``, as the matrix of all calls them.

    Every q is that of its own base model.
    """
    findings = [_renamed(found.findings, base) for base, found in effects.items()]
    for frame, base in zip(findings, effects, strict=True):
        frame["numbers"] = frame["numbers"].map(partial(_numbers, base=base))
    names = dict.fromkeys(name for found in effects.values() for name in found.tables)
    tables = {
        name: pd.concat(
            [_renamed(found.tables[name], base) for base, found in effects.items() if name in found.tables],
            ignore_index=True,
        )
        for name in names
    }
    first = next(iter(effects.values()))
    notes = tuple(f"{base}: {note}" for base, found in effects.items() for note in found.notes)
    frame = pd.concat(findings, ignore_index=True) if findings else first.findings
    return Effects(findings=frame, tables=tables, notes=notes, settings=first.settings)


def _renamed(table: pd.DataFrame, base: str) -> pd.DataFrame:
    made = table.copy()
    # A pair of tasks has no model, but the base row that both are held against.
    for column in {"model", "base"} & set(made.columns):
        named = made[column].astype(object)
        made[column] = named.where(named.isna(), f"{base}/" + named.astype(str))
    return made


def _numbers(numbers: Mapping[str, Any], base: str) -> dict[str, Any]:
    runs = numbers.get("runs")
    return {**numbers, "runs": [f"{base}/{run}" for run in runs]} if runs else dict(numbers)
