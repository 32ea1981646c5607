"""ScoreMatrix: a long table of scores, seen as models x tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from traitscope.errors import TraitscopeError
from traitscope.matrix import cell_errors, views
from traitscope.matrix.noise import CellNoise, SeedNoise
from traitscope.matrix.paired import paired_means
from traitscope.matrix.table import COLUMNS, normalise_table, pick_metrics, row_labels
from traitscope.matrix.views import View, check_unit, guess_unit

Floats = npt.NDArray[np.float64]
Records = Mapping[str, Mapping[str, npt.ArrayLike]]


@dataclass(frozen=True, eq=False)
class ScoreMatrix:
    """Scores of models on tasks: a long table with scores_IN as a view of it.

    Build one with ``from_long``, ``from_wide`` or ``read``; nothing is subtracted or scaled until asked for.

    Attributes:
        table: the long table with the columns ``COLUMNS`` (one row per model, task and metric).
        base_name: name of the base row's model, None where the matrix has no base row.
        metrics: task -> the metric that ``scores_IN`` shows.
        units: task -> "fraction", "percent" or "other".
        tags: task -> free labels of the task (kind, skills, ...).
        records: task -> model -> value per example, over the same examples for every model of the task.
        predicted: whether cells with status "predicted" are shown.
        notes: what was assumed while reading, in plain sentences.
    """

    table: pd.DataFrame
    base_name: str | None
    metrics: Mapping[str, str]
    units: Mapping[str, str]
    tags: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    records: Records = field(default_factory=dict)
    predicted: bool = False
    seed_noise: SeedNoise | None = None
    notes: tuple[str, ...] = ()

    @classmethod
    def from_long(
        cls,
        table: pd.DataFrame,
        *,
        base: str | None = None,
        metric: str | Mapping[str, str] | None = None,
        units: Mapping[str, str] | str | None = None,
        tags: Mapping[str, Mapping[str, Any]] | None = None,
        records: Records | None = None,
        predicted: bool = False,
        where: str = "score table",
        notes: Sequence[str] = (),
    ) -> ScoreMatrix:
        """A matrix from a long table: one row per model, task and metric.

        Args:
            table: needs ``model``, ``task``, ``value``; optional are base, source, seed, metric, status, n,
                stderr, higher_is_better, primary. Models and tasks keep their order of appearance.
            base: model name of the base row; by default a model named ``base``.
            metric: the metric to show, for all tasks or by task; by default each task's primary one.
            units: "fraction", "percent" or "other", for all tasks or by task; guessed where not given.
            tags: labels of the tasks, used for naming traits.
            records: task -> model -> value per example (see ``with_records``).
            predicted: show predicted cells too.
            where: what to call the table in errors.

        Raises:
            TraitscopeError: columns missing, values not numeric, a cell given twice, an unknown base.
        """
        full = normalise_table(table, where)
        names = list(dict.fromkeys(full["model"]))
        if base is not None and base not in names:
            raise TraitscopeError(
                f"no model is named {base!r}; models: {', '.join(names[:20])}",
                where=where,
                fix="name the base row by one of the models, or leave the option out",
            )
        chosen = pick_metrics(full, metric, where)
        shown = full[full["metric"] == full["task"].map(chosen)]
        values_of = {str(task): part.to_numpy(dtype=float) for task, part in shown.groupby("task")["value"]}
        guessed: dict[str, str] = {}
        for task in chosen:
            given = units if isinstance(units, str) else (units or {}).get(task)
            guessed[task] = check_unit(given, task) if given else guess_unit(values_of[task])
        return cls(
            table=full,
            base_name=base if base is not None else ("base" if "base" in names else None),
            metrics=chosen,
            units=guessed,
            tags=dict(tags or {}),
            records=dict(records or {}),
            predicted=predicted,
            notes=tuple(notes),
        )

    @classmethod
    def from_wide(
        cls,
        frame: pd.DataFrame,
        *,
        stderr: pd.DataFrame | None = None,
        base: str | None = None,
        **options: Any,
    ) -> ScoreMatrix:
        """A matrix from a frame with models as index and tasks as columns.

        Args:
            frame: scores; NaN marks a missing cell.
            stderr: standard errors of the same shape and labels, if known.
            base: index label of the base row; by default ``base``.
            options: as for ``from_long``.
        """
        from traitscope.matrix.wide import melt_wide

        return cls.from_long(melt_wide(frame, stderr), base=base, **options)

    @classmethod
    def read(cls, path: str | Path, **options: Any) -> ScoreMatrix:
        """A matrix from a CSV, TSV or parquet file, long or wide; options: ``matrix.reading.read_matrix``."""
        from traitscope.matrix.reading import read_matrix

        return read_matrix(Path(path), **options)

    # ---- rows, columns and the arrays over them

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
        return tuple(dict.fromkeys(row_labels(self.table)))

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
        row = {name: i for i, name in enumerate(self.models)}
        col = {name: n for n, name in enumerate(self.tasks)}
        return (
            np.array([row[name] for name in self._shown["row"]], dtype=np.int64),
            np.array([col[name] for name in self._shown["task"]], dtype=np.int64),
        )

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
        stderr_IN = self._grid("stderr")
        for n, task in enumerate(self.tasks):
            if np.isnan(stderr_IN[:, n]).any() and task in self.records:
                for i, se in cell_errors.record_stderr(self, task).items():
                    if np.isnan(stderr_IN[i, n]):
                        stderr_IN[i, n] = se
        return stderr_IN

    @cached_property
    def n_IN(self) -> Floats:
        """Examples behind each cell; 0 where not known."""
        return self._grid("n", fill=0.0)

    @cached_property
    def status_IN(self) -> npt.NDArray[np.str_]:
        """Status of each cell: measured, imported, predicted, missing."""
        grid = np.full((len(self.models), len(self.tasks)), "missing", dtype="U9")
        grid[self._at] = self._shown["status"].to_numpy(dtype=str)
        return grid

    @cached_property
    def sign_N(self) -> Floats:
        """+1 for tasks whose metric is better when higher, -1 for the others."""
        better = self._shown.drop_duplicates("task").set_index("task")["higher_is_better"]
        return np.array([1.0 if bool(better.get(task, True)) else -1.0 for task in self.tasks])

    @cached_property
    def base_index_I(self) -> npt.NDArray[np.int64]:
        """For every row the index of its own base row; -1 where there is none."""
        rows = self.rows
        at = {
            family: i
            for i, (family, model) in enumerate(zip(rows["base"], rows["model"], strict=True))
            if model == self.base_name
        }
        return np.array([at.get(family, -1) for family in rows["base"]], dtype=np.int64)

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

    # ---- views

    def view(self, kind: str = "raw") -> View:
        """The matrix as "raw", "gain", "z" or "logit"."""
        makers = {"raw": self.raw, "gain": self.gains, "z": self.z, "logit": self.logit}
        if kind not in makers:
            raise TraitscopeError(f"unknown view {kind!r}", where="view", fix=f"one of: {', '.join(makers)}")
        return makers[kind]()

    def raw(self) -> View:
        """Scores as measured."""
        return View("raw", self.models, self.tasks, self.scores_IN, self.stderr_IN, self.covariance_NII)

    def gains(self, *, partial: bool = False) -> View:
        """Improvement over each row's base, with paired standard errors where records are known.

        Rows without a base row are an error, or NaN where ``partial``.
        """
        return views.gains(self, partial=partial)

    def z(self) -> View:
        """Columns centred and divided by their standard deviation over the rows."""
        return views.z_scores(self)

    def logit(self) -> View:
        """Log-odds of scores that are shares."""
        return views.log_odds(self)

    # ---- errors of the cells

    @cached_property
    def covariance_NII(self) -> Floats | None:
        """Covariance of the rows' errors within each task (paired over examples); None without records."""
        return cell_errors.paired_covariance(self)

    @cached_property
    def seed_variance(self) -> SeedNoise | None:
        """Variance between seeds of a source, pooled over sources per task; None without second seeds."""
        return self.seed_noise if self.seed_noise is not None else cell_errors.seed_variance(self)

    def noise(self) -> CellNoise | None:
        """What is known of the cells' errors; None where a task has neither standard errors nor records."""
        return cell_errors.cell_noise(self)

    def replicates(self, count: int, seed: int = 0) -> Floats:
        """Bootstrap replicates of the matrix, scores_RIN: what other examples and seeds might have given."""
        return cell_errors.replicates(self, count, seed)

    def with_records(self, records: Records) -> ScoreMatrix:
        """The same matrix with per-example values: task -> row name -> array over the same examples.

        Raises:
            TraitscopeError: a task or model is not in the matrix, or arrays of one task differ in length.
        """
        for task, by_model in records.items():
            strange = set(by_model) - set(self.models)
            if task not in self.metrics or strange:
                raise TraitscopeError(
                    f"records of {task} name models that are not in the matrix: {sorted(strange)}"
                    if task in self.metrics
                    else f"records of a task that is not in the matrix: {task}",
                    where="records",
                    fix="use the row and column names of the matrix",
                )
            if len(by_model) > 1:
                paired_means(by_model)
        return replace(self, records={task: dict(by_model) for task, by_model in records.items()})

    # ---- other matrices from this one

    def by_source(self) -> ScoreMatrix:
        """One row per source: the mean over its seeds (records averaged example by example).

        The standard error of a mean over seeds is that of its examples alone (seeds share them); what seeds
        add is in ``seed_variance``. Rows without a source stay as they are.
        """
        from traitscope.matrix.derive import mean_over_seeds

        return mean_over_seeds(self)

    def select(self, *, models: Sequence[str] | None = None, tasks: Sequence[str] | None = None) -> ScoreMatrix:
        """The same matrix with some rows and columns only, in their old order; raises for unknown names."""
        from traitscope.matrix.derive import select

        return select(self, models, tasks)

    def with_metric(self, metric: str | Mapping[str, str]) -> ScoreMatrix:
        """The same table seen through another metric (records belong to the primary one and are dropped)."""
        chosen = pick_metrics(self.table, metric, "score matrix")
        return replace(self, metrics=chosen, records={}, units={t: self.units.get(t, "other") for t in chosen})

    def to_long(self) -> pd.DataFrame:
        """The long table, all metrics, with missing cells of the shown metric as rows of status "missing"."""
        seen = set(zip(self._shown["row"], self._shown["task"], strict=True))
        gaps = [
            {**self.rows.loc[row].to_dict(), "task": task, "metric": self.metrics[task], "status": "missing"}
            for row in self.models
            for task in self.tasks
            if (row, task) not in seen
        ]
        if not gaps:
            return self.table.copy()
        return pd.concat([self.table, pd.DataFrame(gaps, columns=list(COLUMNS))], ignore_index=True)

    def to_wide(self) -> pd.DataFrame:
        """``scores_IN`` as a frame: models down, tasks across."""
        return pd.DataFrame(self.scores_IN, index=list(self.models), columns=list(self.tasks))
