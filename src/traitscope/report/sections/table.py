"""Tables of the page: what every sortable table shows, in text and in the numbers that it is sorted by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from traitscope.report.amounts import in_points as in_points
from traitscope.report.amounts import sized as sized
from traitscope.report.amounts import span_text
from traitscope.report.links import address
from traitscope.report.words import q_text

# Rows that are printed of a long table; the others are on the screen and in the CSV files.
PRINTED = 12


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its head, whether it holds numbers, the kind of number behind its "?", and what it is in a sentence."""

    name: str
    number: bool = False
    method: str = ""
    title: str = ""


@dataclass(frozen=True, slots=True)
class Item:
    """What stands in one place of a table.

    Attributes:
        text: as it is read. sort: the number that it is sorted by; None sorts last, texts sort by themselves.
        tone: "up", "down", "strong", "grey" or nothing.
        cell: (model, task) whose panel it opens. title: told under the pointer.
    """

    text: str
    sort: float | None = None
    tone: str = ""
    cell: tuple[str, str] | None = None
    title: str = ""

    @property
    def href(self) -> str:
        """The address of its cell; empty where it has none."""
        return address(*self.cell) if self.cell else ""

    @property
    def sort_text(self) -> str:
        """The number that it is sorted by as text; empty where it is not known."""
        return "" if self.sort is None or not np.isfinite(self.sort) else f"{self.sort:.9g}"


@dataclass(frozen=True, slots=True)
class Line:
    """A row: its places, the cell that it opens, how it stands out, and what it is filtered by.

    Attributes:
        tone: "strong", "grey" or nothing.
        flags: names that a choice above the table picks rows by. half: half of its interval, in the table's unit.
    """

    items: tuple[Item, ...]
    cell: tuple[str, str] | None = None
    tone: str = ""
    flags: tuple[str, ...] = ()
    half: float | None = None

    @property
    def half_text(self) -> str:
        """Half of the interval as text; empty where it is not known."""
        return "" if self.half is None or not np.isfinite(self.half) else f"{self.half:.6g}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A whole table.

    Attributes:
        id: in the page. label: what it holds, for those who do not see it.
        columns, lines: as shown at first.
        filter: whether rows can be picked by their text. flags: name -> words of the choice above it.
        half: the unit of the intervals, where rows can be picked by their size.
        csv: file name of what the button saves; empty without a button.
    """

    id: str
    label: str
    columns: tuple[Column, ...]
    lines: tuple[Line, ...]
    filter: bool = False
    flags: Mapping[str, str] | None = None
    half: str = ""
    csv: str = ""

    @property
    def unprinted(self) -> int:
        """How many of its rows are not printed."""
        return max(0, len(self.lines) - PRINTED)


def size_item(row: Mapping[str, Any], *, holds: bool = False) -> Item:
    """A finding's value, in colour where it holds."""
    value = float(row["value"])
    tone = ("up" if value > 0 else "down") if holds else ""
    return Item(sized(value, row["unit"]), in_points(value, row["unit"]), tone)


def span_item(row: Mapping[str, Any]) -> Item:
    """A finding's interval, sorted by its width."""
    text = span_text(row["lo"], row["hi"], row["unit"])
    return Item(text or "–", in_points(row["hi"] - row["lo"], row["unit"]) if text else None)


def q_item(q: Any) -> Item:
    """A corrected p-value."""
    known = q is not None and np.isfinite(q)
    return Item(q_text(q).removeprefix("q ").removeprefix("= ") or "–", float(q) if known else None)


def count_item(value: Any) -> Item:
    """A number of things, with a decimal where it is a mean; a dash where it is not known."""
    known = value is not None and np.isfinite(value)
    return Item(f"{value:,.{1 if value % 1 else 0}f}" if known else "–", float(value) if known else None)


def names(columns: Sequence[str]) -> tuple[Column, ...]:
    """Columns of text."""
    return tuple(Column(name) for name in columns)
