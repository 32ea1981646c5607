"""The answers that a belt is chosen and judged on: rows in two halves, or seeds, or scores alone."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from traitscope.errors import TraitscopeError
from traitscope.metrics.base import METRICS
from traitscope.metrics.confusion import confusion_replicates
from traitscope.metrics.intervals import bootstrap_weights, never_a_point, percentile_interval

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

REPLICATES = 2000
LEVEL = 0.95
# Standard errors by which a gain lies above 0 to count as one: one-sided 95 %.
SURE = 1.645


@dataclass(frozen=True, eq=False)
class TaskAnswers:
    """Answers of I models to the S rows of one task, and which half each row belongs to.

    Attributes:
        task: its name. metric: its primary metric.
        values_IS: what each answer is worth, higher is better: the metric by row, or hit and miss where the metric is
            one of all rows together.
        choosing_S: rows that models are chosen on; the others judge.
        unit: points in one unit of the metric: 100 for a share. Where the metric has no range (a loss), a point is a
            hundredth of the distance between the worst and the best model on the choosing rows.
        zero: the metric's value that is 0 points: 0 for a share, else the worst model's.
        gold_S, pred_IS: class indices, ``n_classes`` for an invalid answer; None unless the metric is one of confusion
            matrices.
        n_classes: number of classes.
        ids: of the S rows, where they have any.
    """

    task: str
    metric: str
    values_IS: Floats
    choosing_S: Bools
    unit: float = 100.0
    zero: float = 0.0
    gold_S: Ints | None = None
    pred_IS: Ints | None = None
    n_classes: int = 0
    ids: tuple[str, ...] = ()

    def with_model(self, values_S: Floats, pred_S: Ints | None) -> TaskAnswers:
        """The same with one more model, behind the others."""
        pred_IS = None if self.pred_IS is None or pred_S is None else np.vstack([self.pred_IS, pred_S])
        return replace(self, values_IS=np.vstack([self.values_IS, values_S]), pred_IS=pred_IS)

    @cached_property
    def weights_RS(self) -> npt.NDArray[np.float32]:
        """Bootstrap weights of the judging rows, the same for all that is compared."""
        return bootstrap_weights(int((~self.choosing_S).sum()), REPLICATES, 0, self.task)

    def points(self, model_S: Ints | int, choosing: bool) -> float:
        """Score in points where row s is answered by model ``model_S[s]``, over one half of the rows.

        Args:
            model_S: one model for each row of that half, or one for all.
            choosing: which half.
        """
        n = int((self.choosing_S == choosing).sum())
        return float(self._measure(model_S, choosing, np.ones((1, n), dtype=np.float32))[0])

    def replicates(self, model_S: Ints | int) -> Floats:
        """The same over bootstrap replicates of the judging rows, [R]."""
        return self._measure(model_S, False, self.weights_RS)

    def _measure(self, model_S: Ints | int, choosing: bool, weights_RS: npt.NDArray[np.float32]) -> Floats:
        at_S = np.flatnonzero(self.choosing_S == choosing)
        if self.pred_IS is not None and self.gold_S is not None:
            measure = METRICS.get(self.metric).value.of_counts
            assert measure is not None
            pred_S = self.pred_IS[model_S, at_S]
            counts_RCP = confusion_replicates(weights_RS, self.gold_S[at_S], pred_S, self.n_classes)
            return np.asarray(measure(counts_RCP), dtype=float) * self.unit
        values_S = self.values_IS[model_S, at_S]
        return ((weights_RS @ values_S) / weights_RS.sum(axis=1) - self.zero) * self.unit


@dataclass(frozen=True, eq=False)
class Evidence:
    """What a belt is chosen and judged on. Scores are in points, higher is better, without holes.

    Attributes:
        models: names of the I models. kinds: of each "base", "source", "mix" or "merged".
        tasks: names of the N tasks.
        choose_IN: scores that models are chosen on. judge_IN: scores that they are judged on.
        basis: "rows" (halves of the rows), "seeds" (halves of the seeds), or "itself": judged on what it was chosen on.
        answers: of every task, where the basis is rows.
        notes: what was left out, in sentences.
    """

    models: tuple[str, ...]
    kinds: tuple[str, ...]
    tasks: tuple[str, ...]
    choose_IN: Floats
    judge_IN: Floats
    basis: str
    answers: tuple[TaskAnswers, ...] = ()
    notes: tuple[str, ...] = ()

    @classmethod
    def of_rows(
        cls, models: Sequence[str], kinds: Sequence[str], answers: Sequence[TaskAnswers], notes: Sequence[str] = ()
    ) -> Evidence:
        """Chosen on one half of every task's rows, judged on the other."""
        halves = [
            np.array([[one.points(i, choosing) for one in answers] for i in range(len(models))])
            for choosing in (True, False)
        ]
        tasks = tuple(one.task for one in answers)
        return cls(tuple(models), tuple(kinds), tasks, halves[0], halves[1], "rows", tuple(answers), tuple(notes))

    @property
    def base(self) -> int | None:
        """Number of the base, which is there without being chosen; None where it was not measured."""
        return self.kinds.index("base") if "base" in self.kinds else None

    @property
    def adapters(self) -> tuple[int, ...]:
        """Numbers of the models that can be chosen."""
        return tuple(i for i, kind in enumerate(self.kinds) if kind != "base")

    def best_of(self, models: Sequence[int]) -> Ints:
        """For every task the model, of some, that is best where models are chosen; of equal ones the first."""
        at = np.array(models)
        return np.asarray(at[self.choose_IN[at].argmax(axis=0)], dtype=np.int64)

    def judged(self, model_N: Ints) -> Floats:
        """Judging scores where task n is served by model ``model_N[n]``, [N]."""
        return self.judge_IN[model_N, np.arange(len(self.tasks))]

    def difference(self, ours_N: Ints, theirs_N: Ints) -> tuple[float, float, float]:
        """Mean over the tasks of what one choice of models scores above another where they are judged, and its ends.

        The interval is a bootstrap over the judging rows, both choices on the same; NaN where the basis is not rows.
        """
        rows = [np.full(int((~one.choosing_S).sum()), ours_N[n]) for n, one in enumerate(self.answers)]
        if self.answers:
            return self.rows_difference(rows, [np.full(len(r), m) for r, m in zip(rows, theirs_N, strict=True)])
        return float((self.judged(ours_N) - self.judged(theirs_N)).mean()), np.nan, np.nan

    def rows_difference(self, ours: Sequence[Ints], theirs: Sequence[Ints]) -> tuple[float, float, float]:
        """``difference`` where every judging row has a model of its own: for each task one model number per row."""
        parts = list(zip(self.answers, ours, theirs, strict=True))
        value = float(np.mean([one.points(a, False) - one.points(b, False) for one, a, b in parts]))
        replicates_R = np.mean([one.replicates(a) - one.replicates(b) for one, a, b in parts], axis=0)
        n = sum(len(a) for a in ours)
        lo, hi = never_a_point(value, percentile_interval(replicates_R, n, LEVEL), n, LEVEL)
        return value, float(lo), float(hi)


def surely_above(difference_S: Floats) -> bool:
    """Whether paired differences have a mean that is ``SURE`` standard errors above 0; never of fewer than two."""
    if len(difference_S) < 2:
        return False
    error = float(difference_S.std(ddof=1)) / np.sqrt(len(difference_S))
    return bool(difference_S.mean() > SURE * error)


def halves(task: str, n: int, seed: int) -> Bools:
    """Which of a task's n rows models are chosen on: a random half (the smaller of two unequal ones).

    Raises:
        TraitscopeError: fewer than four rows.
    """
    if n < 4:
        raise TraitscopeError(
            f"{n} rows are too few to choose on one half and to judge on the other",
            where=f"task {task}",
            fix="evaluate more rows, or leave the task out",
        )
    chosen = np.zeros(n, dtype=bool)
    chosen[np.random.default_rng([seed, zlib.crc32(task.encode())]).permutation(n)[: n // 2]] = True
    return chosen
