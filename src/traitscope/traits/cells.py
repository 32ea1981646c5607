"""The cells that traits are made of: the matrix in the wanted view, and its errors in the same unit."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from traitscope.errors import TraitscopeError
from traitscope.matrix import CellNoise, ScoreMatrix
from traitscope.matrix.units import full_mark
from traitscope.matrix.views import logit_with_stderr

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Cells:
    """A score matrix in one view; metrics that are better when lower change sign.

    Attributes:
        matrix: the scores as measured, one row per source or per seed.
        view: "raw", "gain" or "logit".
    """

    matrix: ScoreMatrix
    view: str

    @cached_property
    def values_IN(self) -> Floats:
        """The cells in the view; NaN where one is missing.

        Raises:
            TraitscopeError: a row without a base (gain), a task that is no share (logit).
        """
        # The matrix's own view says what is missing; the numbers are the same.
        self.matrix.view(self.view)
        return self.in_view(self.matrix.scores_IN[None])[0]

    @cached_property
    def gaps_IN(self) -> npt.NDArray[np.bool_]:
        """Where cells are missing."""
        return np.isnan(self.values_IN)

    @cached_property
    def noise(self) -> CellNoise | None:
        """Errors of the scores as measured; None where they are not known."""
        return self.matrix.noise()

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
                f"{n_models} models x {n_tasks} tasks are too few for traits",
                where="traits",
                fix="at least 3 models and 2 tasks",
            )
        known = np.isfinite(self.values_IN)
        thin = [t for t, count in zip(matrix.tasks, known.sum(axis=0), strict=True) if count < 3]
        if thin:
            raise TraitscopeError(
                f"fewer than 3 models have a score on {', '.join(thin)}",
                where="traits",
                fix="leave these tasks out",
            )
        empty = [m for m, count in zip(matrix.models, known.sum(axis=1), strict=True) if count == 0]
        if empty:
            raise TraitscopeError(
                f"no score at all for {', '.join(empty[:10])}", where="traits", fix="leave these models out"
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
        gaps = int(self.gaps_IN.sum())
        if gaps:
            notes.append(f"{gaps} missing cells were filled by regularised iterative PCA with the traits kept")
        if self.noise is not None and self.noise.seed is None and matrix.rows["source"].notna().any():
            notes.append("one seed per source: the noise is that of the examples only; a trait may be run-to-run noise")
        return notes
