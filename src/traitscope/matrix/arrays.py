"""The long table behind a score matrix and the arrays over its rows and columns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from traitscope.errors import TraitscopeError
from traitscope.matrix.cell_errors import fill_stderr
from traitscope.matrix.noise import SeedNoise
from traitscope.matrix.paired import Records
from traitscope.matrix.roles import Role, row_roles
from traitscope.matrix.table import row_labels

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False, repr=False)
class ScoreArrays:
    """Scores of models on tasks: a long table, seen as arrays of I rows and N columns.

    Attributes:
        table: the long table with the columns ``COLUMNS`` (one row per model, task and metric).
        base_name: name of the base row's model, None where the matrix has no base row.
        metrics: task -> the metric that ``scores_IN`` shows.
        units: task -> "fraction", "percent" or "other".
        tags: task -> free labels of the task (kind, skills, ...).
        records: task -> model -> value per example, over the same examples for every model of the task.
        roles: what each source is, by its name; None where that follows from the names (see ``roles_by_name``).
        predicted: whether cells with status "predicted" are shown.
        seed_noise: variance between seeds where the rows are means over seeds, else None: it is in the rows.
        notes: what was assumed while reading, in plain sentences.
    """

    table: pd.DataFrame
    base_name: str | None
    metrics: Mapping[str, str]
    units: Mapping[str, str]
    tags: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    records: Records = field(default_factory=dict)
    roles: Mapping[str, Role] | None = None
    predicted: bool = False
    seed_noise: SeedNoise | None = None
    notes: tuple[str, ...] = ()

    @cached_property
    def _shown(self) -> pd.DataFrame:
        """The table behind ``scores_IN``: the chosen metrics, predicted cells only if asked for."""
        metric = self.table["task"].map(dict(self.metrics))
        keep = self.table["metric"] == metric
        if not self.predicted:
            keep &= self.table["status"] != "predicted"
        shown = self.table.loc[keep].copy()
        shown["row"] = row_labels(shown)
        return shown

    @cached_property
    def models(self) -> tuple[str, ...]:
        """Names of the I rows, in order of appearance."""
        return tuple(row_labels(self.table).unique().tolist())

    @cached_property
    def tasks(self) -> tuple[str, ...]:
        """Names of the N columns, in order of appearance."""
        return tuple(self.metrics)

    @cached_property
    def rows(self) -> pd.DataFrame:
        """One line per row: ``base``, ``model``, ``source``, ``seed``, indexed by the row's name."""
        table = self.table.assign(row=row_labels(self.table))
        return table.drop_duplicates("row").set_index("row")[["base", "model", "source", "seed"]]

    @cached_property
    def _at(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Row and column index of every line of ``_shown``."""
        return _places(self.models, self._shown["row"]), _places(self.tasks, self._shown["task"])

    def _grid(self, column: str, fill: float = np.nan) -> Floats:
        """One column of the table as an I x N array."""
        grid = np.full((len(self.models), len(self.tasks)), fill)
        values = self._shown[column].to_numpy(dtype=float, na_value=np.nan)
        grid[self._at] = np.where(np.isnan(values), fill, values)
        return grid

    @cached_property
    def scores_IN(self) -> Floats:
        """Scores as measured, base row included; NaN where a cell is missing."""
        return self._grid("value")

    @cached_property
    def stderr_IN(self) -> Floats:
        """Standard errors from the table, else from the example records; NaN where unknown."""
        return fill_stderr(self._grid("stderr"), self.records, self.models, self.tasks, self.units)

    @cached_property
    def n_IN(self) -> Floats:
        """Examples behind each cell; 0 where not known."""
        return self._grid("n", fill=0.0)

    @cached_property
    def status_IN(self) -> npt.NDArray[np.str_]:
        """Status of each cell: measured, imported, predicted, missing."""
        grid = np.full((len(self.models), len(self.tasks)), "missing", dtype="U9")
        grid[self._at] = self._shown["status"].to_numpy(dtype=str)
        # A line without a value tells of no cell.
        grid[np.isnan(self.scores_IN) & np.isin(grid, ("measured", "imported"))] = "missing"
        return grid

    @cached_property
    def sign_N(self) -> Floats:
        """+1 for tasks whose metric is better when higher, -1 for the others."""
        better = self._shown.drop_duplicates("task").set_index("task")["higher_is_better"]
        return np.array([1.0 if bool(better.get(task, True)) else -1.0 for task in self.tasks])

    @cached_property
    def base_index_I(self) -> npt.NDArray[np.int64]:
        """For every row the index of its own base row; -1 where there is none.

        Where a base model has no row of the base's name, its base row is the untrained one that bears its own name.
        """
        rows = self.rows
        named = list(zip(rows["base"], rows["model"], strict=True))
        untrained = rows["source"].isna() | (rows["source"] == "")
        at = {base: i for i, (base, model) in enumerate(named) if model == base and untrained.iloc[i]}
        at |= {base: i for i, (base, model) in enumerate(named) if model == self.base_name}
        return np.array([at.get(base, -1) for base in rows["base"]], dtype=np.int64)

    @cached_property
    def sources_I(self) -> tuple[str | None, ...]:
        """What each row was trained on; None for bases and for models that were not trained here.

        Where no row names its source, as in a plain table of scores, every row but the bases is one.
        """
        named = [None if pd.isna(s) or s == "" else str(s) for s in self.rows["source"]]
        bases = [i == b for i, b in enumerate(self.base_index_I.tolist())]
        if self.roles is None and not any(named):
            named = [str(model) for model in self.rows["model"]]
        return tuple(None if base else source for source, base in zip(named, bases, strict=True))

    @cached_property
    def roles_I(self) -> tuple[Role, ...]:
        """What each row is: base, source, control, mix or foreign, and what it was trained on."""
        bases = [i == b for i, b in enumerate(self.base_index_I.tolist())]
        return row_roles(self.sources_I, bases, self.tasks, self.roles)

    @cached_property
    def relation_IN(self) -> npt.NDArray[np.str_]:
        """What each cell is to its row: "own", "copy", "transfer", or "model" (bases and foreign models)."""
        cells = [[role.relation(task) for task in self.tasks] for role in self.roles_I]
        return np.array(cells, dtype="U8").reshape(len(self.models), len(self.tasks))

    @cached_property
    def transfer_IN(self) -> npt.NDArray[np.bool_]:
        """The cells that claims about transfer are fitted on: all of the bases', and the sources' on other tasks."""
        base_I = np.array([role.kind == "base" for role in self.roles_I])
        source_I = np.array([role.kind == "source" for role in self.roles_I])
        return base_I[:, None] | (source_I[:, None] & (self.relation_IN == "transfer"))

    @property
    def base_index(self) -> int:
        """Index of the base row.

        Raises:
            TraitscopeError: there is none, or the table holds several base models.
        """
        found = sorted(set(self.base_index_I.tolist()) - {-1})
        if len(found) == 1:
            return found[0]
        if not found:
            raise TraitscopeError(
                f"no base row among the models: {', '.join(self.models[:20])}",
                where="score matrix",
                fix="name the untuned model's row with base=...",
            )
        raise TraitscopeError(
            f"{len(found)} base rows, one per base model",
            where="score matrix",
            fix="use base_index_I, or select one base model first",
        )


def _places(names: tuple[str, ...], shown: pd.Series) -> npt.NDArray[np.int64]:
    return np.asarray(pd.Index(names, dtype=object).get_indexer(pd.Index(shown, dtype=object)), dtype=np.int64)
