"""The answers that a belt is chosen and judged on: rows in two halves, or seeds, or scores alone."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy.stats import t as student

from traitscope.errors import TraitscopeError
from traitscope.metrics.base import METRICS
from traitscope.metrics.confusion import confusion_replicates, count_codes
from traitscope.metrics.intervals import bootstrap_weights, never_a_point, percentile_interval

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

REPLICATES = 2000
LEVEL = 0.95
# One-sided confidence with which a gain lies above 0 to count as one.
SURE = 0.95
# Rows by which a count is moved to see a metric's derivative.
_STEP = 1e-5
# Least distance between the models that makes a hundred points, as a share of the base's own score.
_LEAST = 0.1


@dataclass(frozen=True, eq=False)
class TaskAnswers:
    """Answers of I models to the S rows of one task, and which half each row belongs to.

    Attributes:
        task: its name. metric: its primary metric.
        values_IS: what each answer is worth, higher is better: the metric by row, or hit and miss where the metric is
            one of all rows together.
        choosing_S: rows that models are chosen on; the others judge.
        unit: points in one unit of the metric: 100 for a share, else as ``hundredths`` says.
        zero: the metric's value that is 0 points: 0 for a share, else the base's.
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

    def row_points(self, models: Sequence[int]) -> Floats:
        """What every choosing row adds to each model's score, in points: their mean over the rows is the score, [I, S].

        Where the metric is one of confusion matrices, a row adds what the infinitesimal jackknife says: the score, and
        the number of rows times its derivative by the row's weight (Efron and Tibshirani 1993, chapter 22). So rows of
        a rare class count for as much as the metric makes of them.
        """
        at_S, model_I = np.flatnonzero(self.choosing_S), np.array(models)
        if self.pred_IS is None or self.gold_S is None:
            return (self.values_IS[model_I[:, None], at_S] - self.zero) * self.unit
        measure = METRICS.get(self.metric).value.of_counts
        assert measure is not None
        gold_S, found = self.gold_S[at_S], []
        for pred_S in self.pred_IS[model_I[:, None], at_S]:
            counts_CP = count_codes(gold_S, pred_S, self.n_classes).astype(float)
            # Rows of one gold class and one answer are alike.
            pairs_X2, pair_S = np.unique(np.stack([gold_S, pred_S], axis=1), axis=0, return_inverse=True)
            more_XCP = np.repeat(counts_CP[None], len(pairs_X2), axis=0)
            more_XCP[np.arange(len(pairs_X2)), pairs_X2[:, 0], pairs_X2[:, 1]] += _STEP
            score = float(measure(counts_CP))
            slope_X = (np.asarray(measure(more_XCP)) - score) / _STEP
            found.append((score + len(at_S) * slope_X[pair_S.ravel()]) * self.unit)
        return np.array(found)

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
class SplitScores:
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
    ) -> SplitScores:
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
        """For every task the model, of some, that is best where models are chosen; of equal ones base or first."""
        at = np.array(sorted(models, key=lambda i: i != self.base))
        # Scores are sums of decimals: equal ones may differ by their rounding.
        return np.asarray(at[self.choose_IN[at].round(9).argmax(axis=0)], dtype=np.int64)

    @property
    def best_single(self) -> int | None:
        """The adapter of one source that scores best over all tasks where models are chosen; None without any."""
        singles = [i for i, kind in enumerate(self.kinds) if kind == "source"]
        return singles[int(self.choose_IN[singles].mean(axis=1).round(9).argmax())] if singles else None

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


def surely_above(difference_S: Floats, chosen_of: int = 1) -> bool:
    """Whether the mean of paired differences is above 0 with one-sided confidence ``SURE``; never of fewer than two.

    By Student's t, with one row more that gains nothing: a few rows that all gain have no spread, and are no certainty.

    Args:
        difference_S: what each row gains.
        chosen_of: number of candidates of which this one had the largest mean (Bonferroni).
    """
    n = len(difference_S)
    if n < 2:
        return False
    more_S = np.append(difference_S, 0.0)
    error = float(more_S.std(ddof=1)) / np.sqrt(n + 1)
    return bool(more_S.mean() > float(student.ppf(1.0 - (1.0 - SURE) / chosen_of, n)) * error)


def hundredths(scores_I: Floats, base: int | None) -> tuple[float, float]:
    """Points per unit of a metric without a range, and the value that is 0 points.

    The base is 0 and the best model 100; where they differ by less than a tenth of the base's own score, this tenth is
    100, so that noise between equals is not blown up. A broken model may lie far below 0, and stretches nothing.

    Args:
        scores_I: of the models where they are chosen, higher is better.
        base: which of them is the base; without one the median stands for it.
    """
    zero = float(np.median(scores_I)) if base is None else float(scores_I[base])
    whole = max(float(scores_I.max()) - zero, _LEAST * abs(zero))
    return (100.0 / whole if whole > 0 else 1.0), zero


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
    chosen[generator(seed, zlib.crc32(task.encode())).permutation(n)[: n // 2]] = True
    return chosen


def generator(seed: int, *more: int) -> np.random.Generator:
    """Random numbers of a seed that a user gave, and of what else they are for.

    Raises:
        TraitscopeError: the seed is no whole number of 0 or more.
    """
    if not isinstance(seed, int | np.integer) or seed < 0:
        raise TraitscopeError(f"{seed!r} is no seed", where="--seed", fix="write a whole number of 0 or more")
    return np.random.default_rng([int(seed), *more])
