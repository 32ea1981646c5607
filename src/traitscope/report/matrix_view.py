"""What the gains matrix of the page is made of: cells, rows, columns, and the whole table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# What stands behind a number, beside its colour.
UP, DOWN, ALIKE, UNREAD, FLOOR = "▲", "▼", "=", "?", "⌊"
GLYPHS = {
    UP: "gain that holds (q ≤ 0.05)",
    DOWN: "loss that holds (q ≤ 0.05)",
    ALIKE: "one answer to nearly everything",
    UNREAD: "most answers cannot be parsed",
    FLOOR: "the base is at the floor: nothing can fall",
}


@dataclass(frozen=True, slots=True)
class Share:
    """One class of a cell's answers: its name and its share of them, 0..1."""

    name: str
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One cell of the table.

    Attributes:
        model, task: its row and column of the matrix; no model where it is what chance gives.
        gain, score: as text; empty where there is none.
        gain_sort, score_sort: the same as numbers, higher is better; None where there is none.
        tone: the gain's colour, -1 (largest loss of the unit) to 1. shade: the score's, 0 (worst of the task) to 1.
        glyphs: of ``GLYPHS``. flags: what the chips filter by.
        tip: lines told under the pointer.
        shares: of the answers by class, where there are classes.
        home: whether the row was trained on the task or a copy of it.
    """

    model: str
    task: str
    gain: str = ""
    score: str = ""
    gain_sort: float | None = None
    score_sort: float | None = None
    tone: float = 0.0
    shade: float = 0.0
    glyphs: str = ""
    flags: tuple[str, ...] = ()
    tip: tuple[str, ...] = ()
    shares: tuple[Share, ...] = ()
    home: bool = False

    @property
    def held(self) -> bool:
        """Whether its gain or loss holds."""
        return UP in self.glyphs or DOWN in self.glyphs


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the table.

    Attributes:
        name, label: whole, and short. kind: "base", "chance", "source", "control", "mix" or "model".
        at: its place in the matrix, -1 where it is none of the matrix's. cluster: its place when clustered.
    """

    name: str
    label: str
    kind: str
    at: int
    cluster: int
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class Column:
    """A column: the task, whole and short, its metric, its place when clustered, and whether higher is better."""

    task: str
    label: str
    metric: str
    cluster: int
    higher: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class MatrixTable:
    """The whole table.

    Attributes:
        columns, rows: in the matrix's order; below every base what chance gives, where that is known.
        metrics: every metric by name: per row and column the score and the gain as text and number, for the script.
        glyphs: those that occur, with their meaning.
        classes: what the colours of class shares mean: tasks with the names of their classes, in order.
        has_gains: whether there is any. has_home: whether a row was trained on one of the tasks.
        notes: what a reader must know of all cells, by what they show: gain, score, shares.
        dense: whether there are so many columns that cells begin as colours alone.
    """

    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    metrics: Mapping[str, list[list[list[Any]]]]
    glyphs: Mapping[str, str]
    classes: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]
    has_gains: bool
    has_home: bool
    notes: Mapping[str, str]
    dense: bool
