"""ScoreMatrix: a long table of scores, seen as models x tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from traitscope.errors import TraitscopeError
from traitscope.frames import Tabular, with_whole
from traitscope.matrix import cell_errors, derive, views
from traitscope.matrix.arrays import ScoreArrays
from traitscope.matrix.doubts import reading_notes, refuse_large_errors, refuse_mixed_scales, refuse_summaries
from traitscope.matrix.noise import LARGE, CellNoise, PairedFactors, SeedNoise
from traitscope.matrix.paired import Records, check_records
from traitscope.matrix.pairs import Own, own_note, own_roles, refuse_near_names
from traitscope.matrix.reading import binomial_stderr, table_from_file
from traitscope.matrix.roles import Role
from traitscope.matrix.table import COLUMNS, normalise_table, pick_metrics, row_labels
from traitscope.matrix.units import pick_units
from traitscope.matrix.views import Floats, View
from traitscope.matrix.wide import melt_wide
from traitscope.texts import Shown, count_of, frame_text


@dataclass(frozen=True, eq=False, repr=False)
class ScoreMatrix(ScoreArrays, Shown, Tabular):
    """Scores of models on tasks: a long table with scores_IN as a view of it.

    Build one with ``from_long``, ``from_wide`` or ``read``; nothing is subtracted or scaled until asked for. Fields
    and arrays are those of ``ScoreArrays``.
    """

    def headline(self) -> str:
        """What it is of, in a few words."""
        cells = int(np.isfinite(self.scores_IN).sum())
        size = f"{count_of(len(self.models), 'model')} x {count_of(len(self.tasks), 'task')}"
        return f"{size}, {count_of(cells, 'cell')}"

    def shown_text(self) -> str:
        """What a notebook shows below the headline."""
        return frame_text(self.to_wide().rename_axis("model"), "{:.4g}", most=(60, 12))

    def named_tables(self) -> dict[str, pd.DataFrame]:
        """``scores``: one row per cell and metric, missing cells too; ``wide``: a row per model, a column per task."""
        return {"scores": with_whole(self.to_long(), ("seed", "n")), "wide": self.to_wide().rename_axis("model")}

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
        roles: Mapping[str, Role] | None = None,
        predicted: bool = False,
        where: str = "score table",
        notes: Sequence[str] = (),
    ) -> ScoreMatrix:
        """A matrix from a long table: one row per model, task and metric.

        Args:
            table: needs ``model``, ``task``, ``value``; optional are base, source, seed, metric, status, n,
                stderr, higher_is_better, primary. Models and tasks keep their order of appearance.
            base: model name of the base row; by default a model named ``base``, or a base model's untrained row of
                its own name.
            metric: the metric to show, for all tasks or by task; by default each task's primary one.
            units: "fraction", "percent" or "other", for all tasks or by task; guessed where not given.
            tags: labels of the tasks, used for naming traits.
            records: task -> model -> value per example (see ``with_records``).
            roles: what each source is and what it was trained on, by its name; default: by equal names.
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
        return cls(
            table=full,
            base_name=base if base is not None else ("base" if "base" in names else None),
            metrics=chosen,
            units=pick_units(full[full["metric"] == full["task"].map(chosen)], chosen, units),
            tags=dict(tags or {}),
            records=dict(records or {}),
            roles=roles,
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
        return cls.from_long(melt_wide(frame, stderr), base=base, **options)

    @classmethod
    def read(
        cls,
        path: str | Path,
        *,
        n: Mapping[str, int] | None = None,
        metric: str | Mapping[str, str] | None = None,
        units: Mapping[str, str] | str | None = None,
        tags: Mapping[str, Mapping[str, Any]] | None = None,
        own: Own = None,
        **layout: Any,
    ) -> ScoreMatrix:
        """A matrix from a CSV, TSV or parquet file, long or wide.

        Args:
            path: ``.csv``, ``.tsv`` or ``.parquet``.
            n: examples per task, for scores that are means of 0/1 outcomes: gives binomial standard errors.
            metric, units, tags: as for ``from_long``.
            own: which cells are a row's own task: by equal names (None), "none", a mapping from sources to tasks, or a
                file with columns source, task and, if wanted, relation.
            layout: how the file is laid out, as for ``matrix.reading.table_from_file``.

        Raises:
            TraitscopeError: whatever is wrong with the file, with the column and what to write instead.
        """
        where = str(path)
        table, base, notes, told = table_from_file(Path(path), **layout)
        known = units if isinstance(units, str) else {**told, **(units or {})}
        scores = cls.from_long(table, base=base, metric=metric, units=known, tags=tags, where=where)
        refuse_summaries(scores.raw(), scores.base_index_I, where)
        refuse_large_errors(scores.raw(), scores.units, where)
        refuse_mixed_scales(scores.raw(), scores.units, known, where)
        if n:
            scores = replace(scores, table=binomial_stderr(scores.table, n, scores.units, where))
        named = dict(zip(scores.models, scores.sources_I, strict=True))
        sources = [source for source in dict.fromkeys(named.values()) if source is not None]
        if own is None:
            refuse_near_names(sources, scores.tasks, where)
        else:
            roles = own_roles(own, sources, scores.tasks, where)
            trained = row_labels(scores.table).map(named).astype(object)
            scores = replace(scores, table=scores.table.assign(source=trained), roles=roles)
        notes += reading_notes(scores.raw(), scores.units, scores.base_index_I)
        notes.append(own_note(own, dict(zip(scores.models, scores.roles_I, strict=True)), scores.tasks))
        return replace(scores, notes=tuple(notes))

    # ---- views

    def view(self, kind: str = "raw") -> View:
        """The matrix as "raw", "gain", "z" or "logit"."""
        makers = {"raw": self.raw, "gain": self.gains, "z": self.z, "logit": self.logit}
        if kind not in makers:
            raise TraitscopeError(f"unknown view {kind!r}", where="view", fix=f"one of: {', '.join(makers)}")
        return makers[kind]()

    def raw(self) -> View:
        """Scores as measured."""
        errors = self.covariance_NII, self.factors
        return View("raw", self.models, self.tasks, self.scores_IN, self.stderr_IN, *errors)

    def gains(self, *, partial: bool = False) -> View:
        """Improvement over each row's base, with paired standard errors where records are known.

        Rows without a base row are an error, or NaN where ``partial``.
        """
        return views.gains(self.raw(), self.base_index_I, self.sign_N, partial=partial)

    def z(self) -> View:
        """Columns centred and divided by their standard deviation over the rows."""
        return views.z_scores(self.raw())

    def logit(self) -> View:
        """Log-odds of scores that are shares."""
        return views.log_odds(self.raw(), self.units, self.n_IN)

    # ---- errors of the cells

    @cached_property
    def covariance_NII(self) -> Floats | None:
        """Covariance of the rows' errors within each task (paired over examples); None without records.

        None for a matrix of more than ``noise.LARGE`` cells too: see ``factors``.
        """
        if self.scores_IN.size > LARGE:
            return None
        return cell_errors.paired_covariance(self.stderr_IN, self.records, self.models, self.tasks)

    @cached_property
    def factors(self) -> PairedFactors | None:
        """The covariance of a large matrix's errors as factors; None for others, and without records."""
        if self.scores_IN.size <= LARGE:
            return None
        return cell_errors.paired_factors(self.stderr_IN, self.records, self.models, self.tasks)

    @cached_property
    def seed_variance(self) -> SeedNoise | None:
        """Variance between seeds of a source, pooled over sources per task; None without second seeds."""
        return self.seed_noise or cell_errors.seed_variance(self.rows, self.scores_IN, self.transfer_IN)

    def noise(self) -> CellNoise | None:
        """What is known of the cells' errors; None where a task has neither standard errors nor records."""
        return cell_errors.cell_noise(self.raw(), self.units, self.n_IN, self.seed_variance)

    def replicates(self, count: int, seed: int = 0) -> Floats:
        """Bootstrap replicates of the matrix, scores_RIN: what other examples and seeds might have given."""
        return cell_errors.replicates(self.raw(), self.noise(), self.records, count, seed)

    def with_records(self, records: Records) -> ScoreMatrix:
        """The same matrix with per-example values: task -> row name -> array over the same examples.

        Raises:
            TraitscopeError: a task or model is not in the matrix, or arrays of one task differ in length.
        """
        check_records(records, self.models, self.tasks)
        return replace(self, records={task: dict(by_model) for task, by_model in records.items()})

    def with_run_sd(self, sd: float | Mapping[str, float]) -> ScoreMatrix:
        """The same matrix where the deviation between training runs is known, as from earlier studies.

        Args:
            sd: standard deviation of a score between two runs of one recipe: percentage points for all tasks, or by
                task in its own unit.

        Raises:
            TraitscopeError: no positive number, an unknown task, or points for a task that is no share.
        """
        noise = derive.known_seed_noise(sd, self.tasks, self.units, self.roles_I, self.seed_noise)
        return replace(self, seed_noise=noise)

    # ---- other matrices from this one

    def by_source(self) -> ScoreMatrix:
        """One row per base model and source, named after the source: the mean over its seeds.

        Records are averaged example by example. The standard error of a mean over seeds is that of its examples
        alone (seeds share them): of the averaged records where they have the value as their mean, else the root
        mean square of the seeds'. What seeds add is in ``seed_variance``. Rows without a source stay as they are.
        """
        shown = self.table if self.predicted else self.table[self.table["status"] != "predicted"]
        if not shown["source"].notna().any():
            return self
        table = derive.merge_seeds(shown, self.models)
        merged = replace(self, table=table, records={}, seed_noise=None)
        noise = self.seed_variance
        if noise is not None:
            seeds_IN = derive.sum_seeds(self.rows, self.scores_IN, noise.seeds_IN, merged.rows)
            noise = replace(noise, seeds_IN=seeds_IN)
        records = derive.mean_records(self.records, self.rows, merged.models)
        table = derive.stderr_of_records(table, self.metrics, self.units, records)
        return replace(merged, table=table, seed_noise=noise, records=records)

    def select(self, *, models: Sequence[str] | None = None, tasks: Sequence[str] | None = None) -> ScoreMatrix:
        """The same matrix with some rows and columns only, in their old order.

        Raises:
            TraitscopeError: a name is not in the matrix.
        """
        derive.check_names(models, self.models, "model")
        derive.check_names(tasks, self.tasks, "task")
        table = self.table
        rows = [i for i, model in enumerate(self.models) if models is None or model in models]
        columns = [n for n, task in enumerate(self.tasks) if tasks is None or task in tasks]
        kept = [self.tasks[n] for n in columns]
        if models is not None:
            table = table[row_labels(table).isin(list(models))]
        if tasks is not None:
            table = table[table["task"].isin(kept)]
        return replace(
            self,
            table=table.reset_index(drop=True),
            metrics={task: self.metrics[task] for task in kept},
            base_name=self.base_name if (table["model"] == self.base_name).any() else None,
            records={task: self.records[task] for task in kept if task in self.records},
            seed_noise=derive.part_of_seed_noise(self.seed_noise, rows, columns),
        )

    def with_metric(self, metric: str | Mapping[str, str]) -> ScoreMatrix:
        """The same table seen through another metric (records belong to the primary one and are dropped).

        What is known of runs is dropped too: it was said of another metric, in its unit.
        """
        chosen = pick_metrics(self.table, metric, "score matrix")
        units = {t: self.units.get(t, "other") for t in chosen}
        noise = self.seed_noise if chosen == self.metrics else None
        return replace(self, metrics=chosen, records={}, units=units, seed_noise=noise)

    def to_long(self) -> pd.DataFrame:
        """The long table, all metrics, with missing cells of the shown metric as rows of status "missing"."""
        seen = set(zip(self._shown["row"], self._shown["task"], strict=True))
        facts = self.rows.to_dict("index")
        gaps = [
            {**facts[row], "task": task, "metric": self.metrics[task], "status": "missing"}
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
