"""The cells that traits are made of: the matrix in the wanted view, and its errors in the same unit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from traitscope.errors import TraitscopeError
from traitscope.matrix import CellNoise, ScoreMatrix
from traitscope.matrix.units import full_mark
from traitscope.matrix.views import logit_with_stderr
from traitscope.texts import count_of
from traitscope.traits.known_errors import known_errors
from traitscope.traits.sizes import is_large

Floats = npt.NDArray[np.float64]

# Draws from which the cells' error variances in the view are taken: exact to 4 %; of large matrices they are computed.
MEASURING = 1000


@dataclass(frozen=True, eq=False)
class Cells:
    """A score matrix in one view; metrics that are better when lower change sign.

    Of several base models cells are taken around the mean of their base model on the task, moved to the task's mean:
    base models differ in level, which is no matter of transfer.

    Attributes:
        matrix: the scores as measured, one row per source or per seed.
        view: "raw", "gain" or "logit".
        noise: errors of the scores as measured; None where they are not known.
        counted_IN: cells that count as observed.
    """

    matrix: ScoreMatrix
    view: str
    noise: CellNoise | None
    counted_IN: npt.NDArray[np.bool_]

    def rows(self, at: Sequence[int]) -> Cells:
        """Some of the rows, by their indices."""
        index = list(at)
        noise = None if self.noise is None else self.noise.rows(index)
        part = self.matrix.select(models=[self.matrix.models[i] for i in index])
        return Cells(part, self.view, noise, self.counted_IN[index])

    @cached_property
    def values_IN(self) -> Floats:
        """The cells in the view; NaN where one is missing or does not count.

        Raises:
            TraitscopeError: a row without a base (gain), a task that is no share (logit).
        """
        return self.seen_IN - self.level_IN

    @cached_property
    def seen_IN(self) -> Floats:
        """The same without regard to base models."""
        # The matrix's own view says what is missing; the numbers are the same.
        self.matrix.view(self.view)
        return np.where(self.counted_IN, self.in_view(self.matrix.scores_IN[None])[0], np.nan)

    @cached_property
    def by_base(self) -> tuple[npt.NDArray[np.int64], ...]:
        """Indices of the rows of each base model."""
        bases = self.matrix.rows["base"].to_numpy()
        return tuple(np.flatnonzero(bases == base) for base in dict.fromkeys(bases.tolist()))

    @cached_property
    def level_IN(self) -> Floats:
        """How far each row's base model lies above the task's mean; NaN where it has one cell, which tells nothing."""
        if len(self.by_base) == 1:
            return np.zeros(self.seen_IN.shape)
        known_IN, level_IN = np.isfinite(self.seen_IN), np.full(self.seen_IN.shape, np.nan)
        for rows in self.by_base:
            count_N = known_IN[rows].sum(axis=0)
            total_N = np.where(known_IN[rows], self.seen_IN[rows], 0.0).sum(axis=0)
            level_IN[rows] = np.where(count_N > 1, total_N / np.maximum(count_N, 1), np.nan)
        known_IN &= np.isfinite(level_IN)
        total_N = np.where(known_IN, self.seen_IN, 0.0).sum(axis=0)
        return np.asarray(level_IN - total_N / np.maximum(known_IN.sum(axis=0), 1))

    def around_bases(self, other: Cells, at: Sequence[int]) -> Floats:
        """Rows of another matrix around the levels that the base models have here; NaN where one has none."""
        if len(self.by_base) == 1:
            return np.asarray(other.seen_IN[list(at)])
        level = {base: self.level_IN[i] for i, base in enumerate(self.matrix.rows["base"])}
        none_N = np.full(self.level_IN.shape[1], np.nan)
        level_PN = [level.get(base, none_N) for base in other.matrix.rows["base"].iloc[list(at)]]
        return np.asarray(other.seen_IN[list(at)] - np.reshape(level_PN, (len(at), len(none_N))))

    @cached_property
    def gaps_IN(self) -> npt.NDArray[np.bool_]:
        """Where cells are missing or do not count."""
        return np.isnan(self.values_IN)

    @cached_property
    def precision_IN(self) -> Floats:
        """1 / error variance in the view, around the base model's mean; 0 in gaps, 1 where the errors are not known.

        What all models share of a task's error (its hard examples) moves the task's mean and no direction.
        """
        if self.noise is None:
            return np.where(self.gaps_IN, 0.0, 1.0)
        seen_N, seen_IN = (~self.gaps_IN).sum(axis=0), np.zeros(self.gaps_IN.shape)
        for rows in self.by_base:
            seen_IN[rows] = (~self.gaps_IN[rows]).sum(axis=0)
        around_IN = self._computed_IN if is_large(*self.gaps_IN.shape) else self._measured_IN
        variance_IN = around_IN * seen_IN / np.maximum(seen_IN - 1, 1)
        # A cell without any error, as the base's own gain, would decide its column alone; a column without any but
        # rounding (all models give the same answers) would decide the traits. Its cells count as if they stood alone.
        alone_IN = self.errors_in_view(np.sqrt(self.noise.examples_IN)[None])[0] ** 2
        alone_N = np.where(self.gaps_IN, 0.0, alone_IN).sum(axis=0) / np.maximum(seen_N, 1)
        mean_N = variance_IN.sum(axis=0) / np.maximum(seen_N, 1)
        differs_N = mean_N > 1e-9 * alone_N
        variance_IN, mean_N = np.where(differs_N, variance_IN, alone_IN), np.where(differs_N, mean_N, alone_N)
        return np.where(self.gaps_IN, 0.0, 1.0 / np.maximum(np.maximum(variance_IN, 0.01 * mean_N), 1e-300))

    @property
    def _measured_IN(self) -> Floats:
        """Error variance around the base model's mean as draws have it."""
        assert self.noise is not None
        seed = self.noise.seed
        sure = None if seed is None else replace(seed, df_N=np.full_like(seed.df_N, np.inf), shared_df=np.inf)
        known = replace(self.noise, seed=sure)
        drawn = np.where(self.gaps_IN, 0.0, self.errors_in_view(known.draw(MEASURING, np.random.default_rng(0))))
        return np.asarray((self._around(drawn) ** 2).mean(axis=0))

    def _around(self, errors_RIN: Floats) -> Floats:
        """Errors around the mean of each base model's rows; 0 in gaps."""
        left_RIN = np.where(self.gaps_IN, 0.0, errors_RIN)
        for rows in self.by_base:
            seen_N = (~self.gaps_IN[rows]).sum(axis=0)
            mean = left_RIN[:, rows].sum(axis=1, keepdims=True) / np.maximum(seen_N, 1)
            left_RIN[:, rows] -= mean * ~self.gaps_IN[rows]
        return left_RIN

    @property
    def _computed_IN(self) -> Floats:
        """The same without draws, task by task: what they come to, the more there are of them."""
        assert self.noise is not None
        noise, size = self.noise, self.errors_in_view(np.ones((1, *self.gaps_IN.shape)))[0]
        if self.view == "gain":
            size = np.broadcast_to(self.matrix.sign_N, self.gaps_IN.shape)
        alone_IN = noise.examples_IN if noise.factors is None else noise.factors.alone_IN
        bases = np.unique(self.matrix.base_index_I[self.matrix.base_index_I >= 0])
        found_IN = np.zeros(self.gaps_IN.shape)
        for n in range(self.gaps_IN.shape[1]):
            apart_I = alone_IN[:, n] + noise.seed_variance_IN[:, n]
            shared = np.zeros((len(apart_I), len(bases)))
            # What a base has alone is in the gains of all its rows.
            shared[bases, np.arange(len(bases))] = np.sqrt(apart_I[bases])
            apart_I[bases] = 0.0
            both = shared if noise.factors is None else np.hstack([noise.factors.factors[n], shared])
            if self.view == "gain":
                both = both - both[self.matrix.base_index_I]
            both, apart_I = both * size[:, n, None], apart_I * size[:, n] ** 2
            for rows in self.by_base:
                seen = rows[~self.gaps_IN[rows, n]]
                count = max(len(seen), 1)
                rest = both[rows] - both[seen].sum(axis=0) / count
                own_I = apart_I[rows] * (1 - 2 / count) + apart_I[seen].sum() / count**2
                found_IN[rows, n] = (rest**2).sum(axis=1) + own_I
        return found_IN

    def draw(self, count: int, rng: np.random.Generator) -> Floats:
        """Draws of the cells' errors in the view, [count, I, N], as the values have them; they must be known."""
        assert self.noise is not None
        drawn_RIN = self.errors_in_view(self.noise.draw(count, rng))
        return drawn_RIN if len(self.by_base) == 1 else self._around(drawn_RIN)

    @cached_property
    def units(self) -> tuple[str, ...]:
        """What the tasks of this view are measured in: shares, percent, or the names of other metrics."""
        if self.view == "logit":
            return ("log-odds",)
        named = {"fraction": "shares", "percent": "percent"}
        units, metrics = self.matrix.units, self.matrix.metrics
        return tuple(dict.fromkeys(named.get(units[task], metrics[task]) for task in self.matrix.tasks))

    @cached_property
    def adapters_J(self) -> npt.NDArray[np.int64]:
        """Indices of the rows that are no base row."""
        base_rows = set(self.matrix.base_index_I.tolist())
        return np.array([i for i in range(len(self.matrix.models)) if i not in base_rows], dtype=np.int64)

    @cached_property
    def _top_N(self) -> Floats:
        """The score of each task on which every answer is right."""
        return np.array([full_mark(self.matrix.units[task]) for task in self.matrix.tasks])

    def in_view(self, raw_RIN: Floats) -> Floats:
        """Copies of the raw scores in the view, higher is better."""
        if self.view == "gain":
            raw_RIN = raw_RIN - raw_RIN[:, self.matrix.base_index_I]
        if self.view == "logit":
            raw_RIN = logit_with_stderr(raw_RIN / self._top_N, np.zeros(()), self.matrix.n_IN)[0]
        return raw_RIN * self.matrix.sign_N

    def errors_in_view(self, noise_RIN: Floats) -> Floats:
        """Errors of the raw scores as errors of the view (log-odds by the delta method)."""
        if self.view == "gain":
            noise_RIN = noise_RIN - noise_RIN[:, self.matrix.base_index_I]
        if self.view == "logit":
            shares_IN = self.matrix.scores_IN / self._top_N
            noise_RIN = noise_RIN * np.nan_to_num(logit_with_stderr(shares_IN, 1.0 / self._top_N, self.matrix.n_IN)[1])
        return noise_RIN * self.matrix.sign_N

    def notes(self) -> list[str]:
        """What a reader must know of the cells.

        Raises:
            TraitscopeError: there is too little to analyse.
        """
        matrix = self.matrix
        n_models, n_tasks = self.values_IN.shape
        if n_models < 3 or n_tasks < 2:
            raise TraitscopeError(
                f"{count_of(n_models, 'model')} x {count_of(n_tasks, 'task')}: too few for traits",
                where="traits",
                fix='at least 3 base and source models and 2 tasks; rows="all" (--rows all) takes in all rows',
            )
        known = np.isfinite(self.values_IN)
        thin = [t for t, count in zip(matrix.tasks, known.sum(axis=0), strict=True) if count < 3]
        if thin:
            raise TraitscopeError(
                f"fewer than 3 models have a transfer score on {', '.join(thin)}",
                where="traits",
                fix='leave these tasks out; own="include" (--own include) counts the models\' own tasks too',
            )
        empty = [m for m, count in zip(matrix.models, known.sum(axis=1), strict=True) if count == 0]
        if empty:
            raise TraitscopeError(
                f"no transfer score for {', '.join(empty[:10])}", where="traits", fix="leave these models out"
            )
        spread_N = np.nanmax(self.values_IN, axis=0) - np.nanmin(self.values_IN, axis=0)
        if not spread_N.any():
            raise TraitscopeError(
                "all models have the same scores", where="traits", fix="nothing varies, so there are no traits"
            )
        notes = list(matrix.notes)
        flat = [t for t, s in zip(matrix.tasks, spread_N, strict=True) if s == 0]
        if flat:
            notes.append(f"no difference between models on {', '.join(flat)}: these load on no trait")
        gaps = int((self.gaps_IN & self.counted_IN).sum())
        if gaps:
            notes.append(f"{gaps} missing cells were filled from the traits kept")
        return notes


def cells_of(scores: ScoreMatrix, view: str, *, mean: bool, own: bool) -> Cells:
    """All rows of a score matrix in a view.

    Args:
        mean: average the seeds of a source. own: count what rows were trained on, and its copies, as observed.
    """
    matrix = scores.by_source() if mean else scores
    counted_IN = np.full(matrix.scores_IN.shape, True)
    if not own:
        counted_IN &= ~np.isin(matrix.relation_IN, ("own", "copy"))
    return Cells(matrix, view, known_errors(scores, matrix), counted_IN)
