"""The example records of one task, models by examples, aligned on the base's examples."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from traitscope.effects.grid import Grid, Row
from traitscope.effects.significance import (
    alone_of,
    bootstrap_weights,
    mcnemar_exact,
    never_a_point,
    paired_score,
    percentile_interval,
    sign_flip_p,
)

Floats = NDArray[np.float64]
SIGN_FLIPS = 20_000
# Of the bootstrap over examples, where nothing else is asked for.
REPLICATES = 2000


@dataclass(frozen=True, eq=False)
class Change:
    """A paired change of every model against a reference model; arrays over the M models.

    ``lost`` and ``won`` count examples whose value fell or rose; ``replicates_RM`` are bootstrap replicates
    of ``value``; ``method`` names the interval: ``score`` for 0/1 values, else ``bootstrap``;
    ``alone`` is described at ``Panel.alone``.
    """

    n: NDArray[np.int64]
    reference: Floats
    mean: Floats
    value: Floats
    lo: Floats
    hi: Floats
    p: Floats
    lost: NDArray[np.int64]
    won: NDArray[np.int64]
    method: str
    replicates_RM: Floats
    alone: Floats

    def at(self, m: int, reference: str, mean: str, value: str, ends: str = "", turn: float = 1.0) -> Row:
        """One model's numbers as columns of a table, which has its own names for them (``ends``: a prefix).

        ``turn`` is -1 where less is better: reference and mean then stand as the metric gives them.
        """
        return {
            reference: turn * float(self.reference[m]),
            mean: turn * float(self.mean[m]),
            value: float(self.value[m]),
            **{f"{ends}{name}": float(getattr(self, name)[m]) for name in ("lo", "hi", "p")},
            "n": int(self.n[m]),
            "_mean": turn * float(self.mean[m]),
            "_method": self.method,
            f"_{ends}alone": float(self.alone[m]),
        }


@dataclass(frozen=True, eq=False)
class Panel:
    """One task's records for M models over the S examples of the base's record.

    Attributes:
        task: the task.
        grid: names and roles of the rows.
        rows: row of each model in the grid, the base's first.
        ids: S example ids.
        correct_MS: the primary metric by example, NaN where there is none; minus the loss where no model has
            any.
        unit: ``share`` (0..1) or ``nats per token``.
        seen_MS: whether the model has a record of the example.
        valid_MS, cut_MS: whether the answer could be parsed; whether it was cut off by length.
        length_MS: tokens of the answer, NaN unless generated.
        classes: class names, or None for a task without shared classes.
        gold_S, pred_MS: class indices, predictions with ``len(classes)`` for invalid.
        answer_MS, answers: parsed answers as indices into their texts; -1 for those that could not be parsed.
        chance: one over the number of options, their mean where they differ by row; NaN where there are none.
        tags: by key, the value of every example (None where it has none).
        replicates, seed: of the bootstrap; level: of the intervals.
    """

    task: str
    grid: Grid
    rows: NDArray[np.int64]
    ids: NDArray[Any]
    correct_MS: Floats
    unit: str
    seen_MS: NDArray[np.bool_]
    valid_MS: Floats
    cut_MS: Floats
    length_MS: Floats
    classes: tuple[str, ...] | None
    gold_S: NDArray[np.int64]
    pred_MS: NDArray[np.int64]
    answer_MS: NDArray[np.int64]
    answers: tuple[str, ...]
    chance: float
    tags: dict[str, list[str | None]]
    replicates: int
    seed: int
    level: float

    @property
    def metric(self) -> str:
        """The task's primary metric."""
        return self.grid.metrics[self.grid.column[self.task]]

    @property
    def turn(self) -> float:
        """-1 where the metric is a loss, whose values stand here with the sign turned."""
        return 1.0 if self.unit == "share" else -1.0

    @property
    def others(self) -> range:
        """Indices of all models but the base."""
        return range(1, len(self.rows))

    def where(self, m: int) -> Row:
        """The columns model, source, seed, task of a table's row about one model."""
        return self.grid.where(int(self.rows[m]), self.task)

    def relation(self, m: int) -> str:
        """What the task is to one model."""
        return self.grid.relation(self.grid.sources[self.rows[m]], self.task)

    @cached_property
    def top_answers(self) -> tuple[tuple[str | None, float], ...]:
        """Every model's most frequent answer and its share of all; (None, 0.0) where none could be parsed."""
        found: list[tuple[str | None, float]] = []
        for answer_S, seen_S in zip(self.answer_MS, self.seen_MS, strict=True):
            counts = np.bincount(answer_S[seen_S & (answer_S >= 0)], minlength=1)
            at, n = int(counts.argmax()), int(seen_S.sum())
            found.append((self.answers[at], counts[at] / n) if n and counts[at] else (None, 0.0))
        return tuple(found)

    @cached_property
    def weights_RS(self) -> NDArray[np.float32]:
        """Bootstrap weights of the examples, the same for all models of the task."""
        return bootstrap_weights(len(self.ids), self.replicates, self.seed, self.task)

    def means(self, values_MS: Floats) -> Floats:
        """Bootstrap replicates of the rows' means, NaN values left out: means_RM."""
        known = np.isfinite(values_MS)
        total = self.weights_RS @ np.where(known, values_MS, 0.0).astype(np.float32).T
        if known.all():
            return (total / values_MS.shape[1]).astype(float)
        count = self.weights_RS @ known.astype(np.float32).T
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(total / count, dtype=float)

    @cached_property
    def seeds(self) -> list[list[int]]:
        """The models of every source that has several."""
        groups: dict[str, list[int]] = {}
        for m, i in enumerate(self.rows.tolist()):
            source = self.grid.sources[i]
            if source is not None:
                groups.setdefault(source, []).append(m)
        return [group for group in groups.values() if len(group) > 1]

    def alone(self, replicates_RM: Floats) -> Floats:
        """Variance over examples of what every model has apart from its source's other seeds; 0 where it has none."""
        found = np.zeros(replicates_RM.shape[1])
        for group in self.seeds:
            found[group] = alone_of(replicates_RM[:, group])
        return found

    def change(self, values_MS: Floats, reference_M: NDArray[np.int64] | None = None) -> Change:
        """Paired change of a value by example against a reference model (default: the base).

        Args:
            values_MS: one value per model and example; NaN leaves the example out of that model's pairs.
            reference_M: index of the model to compare each one with.
        """
        against = np.zeros(len(self.rows), dtype=np.int64) if reference_M is None else reference_M
        other_MS = values_MS[against]
        diff_MS = values_MS - other_MS
        known = np.isfinite(diff_MS)
        n = known.sum(axis=1)
        lost, won = (np.nan_to_num(diff_MS) < 0).sum(axis=1), (np.nan_to_num(diff_MS) > 0).sum(axis=1)
        divisor = np.where(n > 0, n, np.nan)
        mean = np.where(known, values_MS, 0.0).sum(axis=1) / divisor
        reference_mean = np.where(known, other_MS, 0.0).sum(axis=1) / divisor
        value = mean - reference_mean
        replicates_RM = self.means(diff_MS)
        # Scores, shares and rates lie between 0 and 1; lengths and losses are not bounded.
        known_values = values_MS[np.isfinite(values_MS)]
        limit = 1.0 if bool(((known_values >= 0) & (known_values <= 1)).all()) else np.inf
        binary = bool(np.isin(known_values, (0.0, 1.0)).all())
        if binary:
            p = mcnemar_exact(lost, won)
            lo, hi = paired_score(lost, won, divisor, self.level)
        else:
            p = sign_flip_p(diff_MS, SIGN_FLIPS, self.seed, self.task)
            ends = percentile_interval(replicates_RM, int(max(n.max(initial=2), 2)), self.level)
            lo, hi = never_a_point(value, ends, divisor, self.level, limit)
        return Change(
            n=n,
            reference=reference_mean,
            mean=mean,
            value=value,
            lo=np.where(n > 0, lo, np.nan),
            hi=np.where(n > 0, hi, np.nan),
            p=np.where((n > 0) & (against != np.arange(len(n))), p, np.nan),
            lost=lost,
            won=won,
            method="score" if binary else "bootstrap",
            replicates_RM=replicates_RM,
            alone=self.alone(replicates_RM),
        )
