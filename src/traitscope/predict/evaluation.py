"""What an evaluation of predictors found: tables, and the same as text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

from traitscope.frames import Tabular
from traitscope.jsontables import dump_findings, load_findings, table_from_json, table_to_json
from traitscope.texts import Shown, count_of, frame_text

FORMAT = 1
ALL, TOGETHER = "each task alone", "near-duplicates together"


@dataclass(frozen=True, eq=False, repr=False)
class Evaluation(Shown, Tabular):
    """Predictors under protocols.

    Attributes:
        table: one row per held (each task alone, or near-duplicates hidden together), protocol, predictor and base
            model: rmse (column SD, ddof 0), rho (Spearman in held-out columns, known cells by their score), rho_hidden
            (the same over the hidden cells), regret_1, _3, _5 (share of the column's range) and with _percent (of its
            best score), win_auroc (above the untuned base), harm_auroc (half a column SD below it), coverage (of 90 %
            intervals), cells, folds, seconds.
        skill: one row per held, protocol, predictor and baseline: saved (share of the baseline's mean squared error),
            lo, hi (95 %, over sources and targets), better, sources, tasks.
        bases: the base models that were forecast. sources, tasks: of the matrix.
        flat: (base, task) of columns that say nothing; not judged.
        duplicates: tasks that rank the sources alike.
        ceiling: least RMSE and largest correlation that known noise allows; None where no noise is known.
        notes: what a reader must know.
    """

    table: pd.DataFrame
    skill: pd.DataFrame
    bases: tuple[str, ...]
    sources: tuple[str, ...]
    tasks: tuple[str, ...]
    flat: tuple[tuple[str, str], ...]
    duplicates: tuple[tuple[str, ...], ...]
    ceiling: tuple[float, float] | None
    notes: tuple[str, ...]

    def headline(self) -> str:
        """What it is of, in a few words."""
        n = count_of(self.summary()["predictor"].nunique(), "predictor")
        return f"{n} on {count_of(len(self.bases), 'base model')}, {count_of(len(self.tasks), 'task')}"

    def shown_text(self) -> str:
        """What a notebook shows below the headline."""
        return frame_text(self.summary().set_index("predictor"), "{:.3g}", most=(60, 12))

    def named_tables(self) -> dict[str, pd.DataFrame]:
        """``summary``, and behind it ``errors`` (``table``, by base model) and ``skill``."""
        return {"summary": self.summary(), "errors": self.table, "skill": self.skill}

    def summary(self) -> pd.DataFrame:
        """Median over the base models of every measure; folds and seconds are sums."""
        keys = ["held", "protocol", "predictor"]
        numbers = self.table.drop(columns=["base", "folds", "seconds", "cells"])
        medians = numbers.groupby(keys, sort=False).median()
        return medians.join(self.table.groupby(keys, sort=False)[["cells", "folds", "seconds"]].sum()).reset_index()

    def to_json(self) -> str:
        """All of it as JSON, which ``from_json`` reads."""
        return dump_findings(
            {
                "table": table_to_json(self.table),
                "skill": table_to_json(self.skill),
                "bases": self.bases,
                "sources": self.sources,
                "tasks": self.tasks,
                "flat": self.flat,
                "duplicates": self.duplicates,
                "ceiling": self.ceiling,
                "notes": self.notes,
            },
            FORMAT,
        )

    @classmethod
    def from_json(cls, text: str) -> Evaluation:
        """What ``to_json`` wrote.

        Raises:
            ValueError: it was written in another format.
        """
        found: dict[str, Any] = load_findings(text, FORMAT, "the evaluation of predictors")
        return cls(
            table=table_from_json(found["table"]),
            skill=table_from_json(found["skill"]),
            bases=tuple(found["bases"]),
            sources=tuple(found["sources"]),
            tasks=tuple(found["tasks"]),
            flat=tuple((base, task) for base, task in found["flat"]),
            duplicates=tuple(tuple(group) for group in found["duplicates"]),
            ceiling=None if found["ceiling"] is None else (found["ceiling"][0], found["ceiling"][1]),
            notes=tuple(found["notes"]),
        )
