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
from traitscope.matrix.noise import CellNoise, SeedNoise
from traitscope.matrix.paired import bootstrap_means, paired_means
from traitscope.matrix.table import COLUMNS, normalise_table, pick_metrics
from traitscope.matrix.views import View, check_unit, guess_unit, logit_with_stderr

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
        guessed: dict[str, str] = {}
        for task, name in chosen.items():
            given = units if isinstance(units, str) else (units or {}).get(task)
            values = full.loc[(full["task"] == task) & (full["metric"] == name), "value"]
            guessed[task] = check_unit(given, task) if given else guess_unit(values.to_numpy(dtype=float))
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
        from traitscope.matrix.reading import melt_wide

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
        shown["row"] = self._labels(shown)
        return shown

    def _labels(self, table: pd.DataFrame) -> pd.Series:
        """Row names: the model's, with its base model before it where the table holds several base models."""
        if self.table["base"].nunique() > 1:
            return table["base"].astype(str) + "/" + table["model"]
        return table["model"]

    @cached_property
    def models(self) -> tuple[str, ...]:
        """Names of the I rows, in order of appearance."""
        return tuple(dict.fromkeys(self._labels(self.table)))

    @cached_property
    def tasks(self) -> tuple[str, ...]:
        """Names of the N columns, in order of appearance."""
        return tuple(self.metrics)

    @cached_property
    def rows(self) -> pd.DataFrame:
        """One line per row: ``base``, ``model``, ``source``, ``seed``, indexed by the row's name."""
        table = self.table.assign(row=self._labels(self.table))
        return table.drop_duplicates("row").set_index("row")[["base", "model", "source", "seed"]]

    def _grid(self, column: str, fill: float = np.nan) -> Floats:
        """One column of the table as an I x N array."""
        grid = np.full((len(self.models), len(self.tasks)), fill)
        row = {name: i for i, name in enumerate(self.models)}
        col = {name: n for n, name in enumerate(self.tasks)}
        at = [row[name] for name in self._shown["row"]], [col[name] for name in self._shown["task"]]
        values = self._shown[column].to_numpy(dtype=float, na_value=np.nan)
        grid[at] = np.where(np.isnan(values), fill, values)
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
                for i, se in self._record_stderr(task).items():
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
        for row, task, status in zip(
            self._shown["row"], self._shown["task"], self._shown["status"], strict=True
        ):
            grid[self.models.index(row), self.tasks.index(task)] = status
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

    def gains(self) -> View:
        """Improvement over each row's base: positive is better, whatever the metric's direction.

        Standard errors are paired where example records are known for both models, otherwise those of
        independent samples (too wide if the examples were the same).

        Raises:
            TraitscopeError: a row has no base row.
        """
        base_I = self.base_index_I
        if (base_I < 0).any():
            alone = [m for m, b in zip(self.models, base_I, strict=True) if b < 0]
            raise TraitscopeError(
                f"no base row for {', '.join(alone[:10])}",
                where="score matrix",
                fix="name the untuned model's row with base=..., or use the raw view",
            )
        values = (self.scores_IN - self.scores_IN[base_I]) * self.sign_N
        variance = self.stderr_IN**2 + self.stderr_IN[base_I] ** 2
        covariance = self.covariance_NII
        contrast = None
        if covariance is not None:
            shared_IN = np.stack([c[np.arange(len(base_I)), base_I] for c in covariance], axis=1)
            variance = variance - 2.0 * shared_IN
            contrast_II = np.eye(len(base_I)) - np.eye(len(base_I))[base_I]
            contrast = np.einsum("ij,njk,lk->nil", contrast_II, np.nan_to_num(covariance), contrast_II)
        variance = np.where(np.arange(len(base_I))[:, None] == base_I[:, None], 0.0, variance)
        stderr = np.sqrt(np.clip(variance, 0.0, None))
        return View("gain", self.models, self.tasks, values, stderr, contrast)

    def z(self) -> View:
        """Columns centred and divided by their standard deviation over rows (n - 1); constant ones give 0."""
        if len(self.models) < 2:
            raise TraitscopeError("z-scores need two rows", where="score matrix", fix="add models")
        centre_N = np.nanmean(self.scores_IN, axis=0)
        spread_N = np.nanstd(self.scores_IN, axis=0, ddof=1)
        safe_N = np.where(spread_N > 0, spread_N, 1.0)
        covariance = self.covariance_NII
        scaled = None if covariance is None else covariance / (safe_N**2)[:, None, None]
        return View(
            "z",
            self.models,
            self.tasks,
            (self.scores_IN - centre_N) / safe_N,
            self.stderr_IN / safe_N,
            scaled,
        )

    def logit(self) -> View:
        """Log-odds of scores that are shares, standard errors by the delta method.

        Raises:
            TraitscopeError: a task's unit is "other".
        """
        bad = [task for task in self.tasks if self.units[task] == "other"]
        if bad:
            raise TraitscopeError(
                f"log-odds need fractions or percentages; {', '.join(bad)} has another unit",
                where="logit",
                fix="leave these tasks out, or state their unit with units=...",
            )
        top_N = np.array([100.0 if self.units[t] == "percent" else 1.0 for t in self.tasks])
        values, stderr = logit_with_stderr(self.scores_IN / top_N, self.stderr_IN / top_N, self.n_IN)
        covariance = self.covariance_NII
        if covariance is not None:
            slope_NI = np.divide(
                stderr, self.stderr_IN, out=np.zeros_like(stderr), where=self.stderr_IN > 0
            ).T
            covariance = covariance * slope_NI[:, :, None] * slope_NI[:, None, :]
        return View("logit", self.models, self.tasks, values, stderr, covariance)

    # ---- errors of the cells

    def _record_stderr(self, task: str) -> dict[int, float]:
        """Row index -> standard error of the mean of the row's records, in the task's unit."""
        top = 100.0 if self.units[task] == "percent" else 1.0
        found = {}
        for model, values in self.records[task].items():
            sample = np.asarray(values, dtype=float)
            if model in self.models and sample.size > 1:
                found[self.models.index(model)] = float(top * sample.std(ddof=1) / np.sqrt(sample.size))
        return found

    @cached_property
    def covariance_NII(self) -> Floats | None:
        """Covariance of the rows' errors within each task (paired over examples); None without records.

        Correlations come from the records, standard errors from the table where it has them, so that
        metrics which are no plain mean of the records keep their own.
        """
        if not self.records:
            return None
        size = len(self.models)
        covariance_NII = np.zeros((len(self.tasks), size, size))
        for n, task in enumerate(self.tasks):
            stderr_I = np.nan_to_num(self.stderr_IN[:, n])
            correlation_II = np.eye(size)
            present = {m: v for m, v in self.records.get(task, {}).items() if m in self.models}
            if len(present) > 1:
                means = paired_means(present)
                at = np.array([self.models.index(m) for m in means.models])
                deviation = np.sqrt(np.diag(means.covariance_II))
                safe = np.where(deviation > 0, deviation, 1.0)
                correlation = means.covariance_II / np.outer(safe, safe)
                np.fill_diagonal(correlation, 1.0)
                correlation_II[np.ix_(at, at)] = correlation
            covariance_NII[n] = correlation_II * np.outer(stderr_I, stderr_I)
        return covariance_NII

    @cached_property
    def seed_variance(self) -> SeedNoise | None:
        """Variance between seeds of a source, pooled over sources per task; None without second seeds."""
        if self.seed_noise is not None:
            return self.seed_noise
        trained = self.rows["source"].notna().to_numpy()
        groups = self.rows.reset_index().loc[trained].groupby(["base", "source"], sort=False)["row"]
        total_N, df_N = np.zeros(len(self.tasks)), np.zeros(len(self.tasks))
        for _, names in groups:
            block = self.scores_IN[[self.models.index(name) for name in names]]
            seen_N = np.isfinite(block).sum(axis=0)
            use = seen_N > 1
            total_N[use] += np.nansum((block[:, use] - np.nanmean(block[:, use], axis=0)) ** 2, axis=0)
            df_N[use] += seen_N[use] - 1
        if not df_N.any():
            return None
        return SeedNoise(total_N / np.maximum(df_N, 1.0), df_N, trained.astype(float))

    def noise(self) -> CellNoise | None:
        """What is known of the cells' errors; None where a task has neither standard errors nor records.

        A cell without a standard error takes the largest one of its task.
        """
        stderr_IN = self.stderr_IN.copy()
        unknown_N = np.isnan(stderr_IN).all(axis=0)
        if unknown_N.any():
            return None
        stderr_IN = np.where(np.isnan(stderr_IN), np.nanmax(stderr_IN, axis=0), stderr_IN)
        covariance_NII = np.zeros((len(self.tasks), len(self.models), len(self.models)))
        paired = self.covariance_NII
        if paired is not None:
            covariance_NII = paired.copy()
        for n in range(len(self.tasks)):
            np.fill_diagonal(covariance_NII[n], stderr_IN[:, n] ** 2)
        seed = self.seed_variance
        words = "standard errors of the cells" if paired is None else "example records, paired over models"
        return CellNoise(covariance_NII, seed, words + (", and variance between seeds" if seed else ""))

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

    def replicates(self, count: int, seed: int = 0) -> Floats:
        """Bootstrap replicates of the matrix, scores_RIN: what other examples and seeds might have given.

        Tasks with records resample their examples, the same ones for all models, and keep the table's
        standard error where it has one; other tasks draw Gaussian errors. Seed variance is added as
        Gaussian draws.

        Raises:
            TraitscopeError: a task has neither records nor standard errors.
        """
        noise = self.noise()
        if noise is None:
            raise TraitscopeError(
                "no standard errors and no example records for some task",
                where="replicates",
                fix="give a stderr column or per-example records",
            )
        rng = np.random.default_rng(seed)
        drawn_RIN = self.scores_IN + noise.draw(count, rng)
        seeds_only = CellNoise(np.zeros_like(noise.covariance_NII), noise.seed, noise.source).draw(count, rng)
        for n, task in enumerate(self.tasks):
            present = {m: v for m, v in self.records.get(task, {}).items() if m in self.models}
            if len(present) < 2:
                continue
            names, means_RI = bootstrap_means(present, count, rng)
            at = [self.models.index(m) for m in names]
            means = paired_means(present)
            deviation = np.sqrt(np.diag(means.covariance_II))
            table_se = np.sqrt(np.diag(noise.covariance_NII[n]))[at]
            factor = np.divide(table_se, deviation, out=np.zeros_like(deviation), where=deviation > 0)
            shift_RI = (means_RI - means.mean_I) * factor
            drawn_RIN[:, at, n] = self.scores_IN[at, n] + shift_RI + seeds_only[:, at, n]
        return drawn_RIN

    # ---- other matrices from this one

    def by_source(self) -> ScoreMatrix:
        """One row per source: the mean over its seeds (records averaged example by example).

        The standard error of a mean over seeds is that of its examples alone (seeds share them); what seeds
        add is in ``seed_variance``. Rows without a source stay as they are.
        """
        from traitscope.matrix.seeds import mean_over_seeds

        return mean_over_seeds(self)

    def select(
        self, *, models: Sequence[str] | None = None, tasks: Sequence[str] | None = None
    ) -> ScoreMatrix:
        """The same matrix with some rows and columns only, in their old order.

        Raises:
            TraitscopeError: a name is not in the matrix.
        """
        for given, known, word in ((models, self.models, "model"), (tasks, self.tasks, "task")):
            strange = [name for name in given or () if name not in known]
            if strange:
                raise TraitscopeError(
                    f"no {word} named {', '.join(strange)}; there are: {', '.join(known[:30])}",
                    where="select",
                    fix=f"use the {word} names of the matrix",
                )
        table = self.table
        seed_noise = self.seed_noise
        kept_tasks = [t for t in self.tasks if tasks is None or t in tasks]
        if models is not None:
            table = table[self._labels(table).isin(list(models))]
            if seed_noise is not None:
                keep = [i for i, m in enumerate(self.models) if m in models]
                seed_noise = replace(seed_noise, seeds_I=seed_noise.seeds_I[keep])
        if tasks is not None:
            table = table[table["task"].isin(kept_tasks)]
            if seed_noise is not None:
                at = [self.tasks.index(t) for t in kept_tasks]
                seed_noise = replace(
                    seed_noise, variance_N=seed_noise.variance_N[at], df_N=seed_noise.df_N[at]
                )
        return replace(
            self,
            table=table.reset_index(drop=True),
            metrics={t: self.metrics[t] for t in kept_tasks},
            base_name=self.base_name if (table["model"] == self.base_name).any() else None,
            records={t: self.records[t] for t in kept_tasks if t in self.records},
            seed_noise=seed_noise,
        )

    def with_metric(self, metric: str | Mapping[str, str]) -> ScoreMatrix:
        """The same table seen through another metric (records belong to the primary one and are dropped)."""
        chosen = pick_metrics(self.table, metric, "score matrix")
        return replace(
            self, metrics=chosen, records={}, units={t: self.units.get(t, "other") for t in chosen}
        )

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
