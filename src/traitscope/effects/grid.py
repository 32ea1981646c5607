"""Models by tasks as the effects need them: who was trained on what, and gains over the right base."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from traitscope.matrix import Role, ScoreMatrix
from traitscope.matrix.cell_errors import stderr_without_zeros
from traitscope.matrix.noise import SeedNoise
from traitscope.matrix.roles import FOREIGN, TRAINED
from traitscope.matrix.views import gains as score_gains

Floats = NDArray[np.float64]
# One row of a table; what only the findings need of it stands under names that begin with "_".
Row = dict[str, Any]
# Rows by table, and notes on what could not be computed.
Found = tuple[dict[str, list[Row]], list[str]]
# The relations of a cell to what its row was trained on that are no transfer.
HOME = ("own", "copy")
# Claims that are corrected for their number apart from each other.
FAMILIES = ("transfer", "own", "copy", "control", "mix", "model")


@dataclass(frozen=True, eq=False)
class Grid:
    """A score matrix with its roles.

    Attributes:
        models: I row names; tasks: N column names. bases: the base model of each row.
        sources: what each model was trained on, None for a base or a foreign model.
        roles: what each row is.
        seeds: training seed of each model, None where there is none.
        base_I: row of each model's base, -1 where it has none.
        scores_IN: scores turned so that higher is better; NaN where missing.
        stderr_IN: their standard errors; NaN where unknown.
        gains_IN: scores minus those of the base row; NaN without one.
        gain_stderr_IN: standard errors of the gains, paired where the matrix could pair them.
        units: ``fraction``, ``percent`` or ``other`` by task.
        metrics: the metric of each task.
        lower: tasks of whose metric less is better.
        runs: the variance between training runs where the matrix was told of it, and the runs behind each row.
    """

    models: tuple[str, ...]
    tasks: tuple[str, ...]
    bases: tuple[str, ...]
    sources: tuple[str | None, ...]
    roles: tuple[Role, ...]
    seeds: tuple[int | None, ...]
    base_I: NDArray[np.int64]
    scores_IN: Floats
    stderr_IN: Floats
    gains_IN: Floats
    gain_stderr_IN: Floats
    units: tuple[str, ...]
    metrics: tuple[str, ...]
    runs: SeedNoise | None = None
    lower: frozenset[str] = frozenset()

    @classmethod
    def of(cls, matrix: ScoreMatrix) -> Grid:
        """From a score matrix (rows without a base row keep their scores and have no gains)."""
        # All answers right or all wrong is no certainty.
        raw = replace(matrix.raw(), stderr_IN=stderr_without_zeros(matrix.raw(), matrix.units, matrix.n_IN))
        gains = score_gains(raw, matrix.base_index_I, matrix.sign_N, partial=True)
        rows = matrix.rows
        return cls(
            models=matrix.models,
            tasks=matrix.tasks,
            bases=tuple(rows["base"].astype(str)),
            sources=matrix.sources_I,
            roles=matrix.roles_I,
            seeds=tuple(None if _absent(s) else int(s) for s in rows["seed"]),
            base_I=np.asarray(matrix.base_index_I),
            scores_IN=matrix.scores_IN * matrix.sign_N,
            stderr_IN=raw.stderr_IN,
            gains_IN=np.array(gains.values_IN),
            gain_stderr_IN=np.array(gains.stderr_IN),
            units=tuple(matrix.units[task] for task in matrix.tasks),
            metrics=tuple(matrix.metrics[task] for task in matrix.tasks),
            runs=matrix.seed_noise,
            lower=frozenset(task for task, sign in zip(matrix.tasks, matrix.sign_N, strict=True) if sign < 0),
        )

    def unit(self, n: int) -> str:
        """Unit of the scores of column n: ``share`` (0..1), ``percent`` or ``score``."""
        return {"fraction": "share", "percent": "percent"}.get(self.units[n], "score")

    def in_shares(self) -> Grid:
        """The same with percentages turned into shares, as example records are."""
        factor_N = np.array([0.01 if unit == "percent" else 1.0 for unit in self.units])
        return replace(
            self,
            scores_IN=self.scores_IN * factor_N,
            stderr_IN=self.stderr_IN * factor_N,
            gains_IN=self.gains_IN * factor_N,
            gain_stderr_IN=self.gain_stderr_IN * factor_N,
            runs=self.runs and replace(self.runs, variance_N=self.runs.variance_N * factor_N**2),
            units=tuple("fraction" if unit == "percent" else unit for unit in self.units),
        )

    @cached_property
    def row(self) -> dict[str, int]:
        """Row index by model name."""
        return {name: i for i, name in enumerate(self.models)}

    @cached_property
    def column(self) -> dict[str, int]:
        """Column index by task name."""
        return {name: n for n, name in enumerate(self.tasks)}

    def is_base(self, i: int) -> bool:
        """Whether row i is a base row."""
        return int(self.base_I[i]) == i

    @cached_property
    def trained(self) -> NDArray[np.int64]:
        """Rows of adapters that were trained here: sources, controls and mixes."""
        return self._of_kind(*TRAINED)

    @cached_property
    def fitted(self) -> NDArray[np.int64]:
        """Rows that claims about transfer are fitted on besides the bases: the sources'."""
        return self._of_kind("source")

    def _of_kind(self, *kinds: str) -> NDArray[np.int64]:
        return np.array([i for i, role in enumerate(self.roles) if role.kind in kinds], dtype=np.int64)

    @cached_property
    def role_of(self) -> dict[str, Role]:
        """The role of every source, control and mix by its name."""
        return {source: role for source, role in zip(self.sources, self.roles, strict=True) if source is not None}

    @cached_property
    def parents(self) -> dict[str, str]:
        """Source by control."""
        return {name: role.parent for name, role in self.role_of.items() if role.parent is not None}

    def relation(self, source: str | None, task: str) -> str:
        """What a task is to the rows of a source (see ``Role.relation``); "model" for rows not trained here."""
        return FOREIGN.relation(task) if source is None else self.role_of.get(source, FOREIGN).relation(task)

    def family(self, source: str | None, task: str | None) -> str | None:
        """The claims among which one is corrected: what a task is to a source; "control", "mix" or "model" for others.

        None for what is about no single row.
        """
        if source is None:
            return "model" if task else None
        kind = self.role_of[source].kind
        return kind if kind != "source" else self.relation(source, task) if task else "transfer"

    def transfers(self, source: str, task: str) -> bool:
        """Whether claims about transfer may rest on the gain of a source on a task: a source's, not its own task."""
        return self.role_of[source].kind == "source" and self.relation(source, task) == "transfer"

    def seeds_of(self, members: Sequence[int], task: str | None) -> int:
        """Training runs behind some rows' cells on a task, or on any: a mean over seeds counts for all of them."""
        if self.runs is None:
            return len(members)
        seeds_JN = self.runs.seeds_IN[list(members)]
        return int((seeds_JN.max(axis=1) if task is None else seeds_JN[:, self.tasks.index(task)]).sum())

    def where(self, i: int, task: str | None = None) -> Row:
        """The columns model, source, seed, task of a row about row i."""
        return {"model": self.models[i], "source": self.sources[i], "seed": self.seeds[i], "task": task}

    def name_of(self, base: int, source: str) -> str:
        """What the seeds of a source together are called: its name, after its base model where there are several."""
        several = len({int(self.base_I[i]) for i in self.trained}) > 1
        return f"{self.bases[base]}/{source}" if several and base >= 0 else source

    def by_source(self, kinds: Sequence[str] = ("source",)) -> dict[tuple[int, str], list[int]]:
        """Rows of every (base row, source), its seeds, for sources of these kinds."""
        groups: dict[tuple[int, str], list[int]] = {}
        for i in self._of_kind(*kinds).tolist():
            source = self.sources[i]
            assert source is not None
            groups.setdefault((int(self.base_I[i]), source), []).append(i)
        return groups


def _absent(value: Any) -> bool:
    return bool(pd.isna(value)) or value == ""
