"""Change of a cell's own metric: of a mean over examples, or of what all answers together give (macro-F1, MCC)."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from traitscope.effects.panel import Change, Panel
from traitscope.effects.significance import never_a_point, percentile_interval
from traitscope.metrics.base import METRICS, Metric
from traitscope.metrics.confusion import confusion_replicates, count_codes

Floats = NDArray[np.float64]
# From confusion matrices in the last two axes to one number each.
OfCounts = Callable[[NDArray[Any]], Floats]
# A test ends where so many swaps have reached the observed change (Besag and Clifford 1991, Biometrika 78:301).
SWAPS, ENOUGH = 20_000, 1000
# So few examples that differ are swapped in every way.
EVERY_WAY = 11
# Entries of confusion matrices held at a time.
BLOCK = 4_000_000


def primary_change(panel: Panel, reference_M: NDArray[np.int64] | None = None) -> Change | None:
    """Paired change of the task's primary metric; None where it is no mean and no function of the confusion matrix.

    Args:
        panel: one task.
        reference_M: index of the model to compare each one with (default: the base).
    """
    if _is_mean(panel):
        return panel.change(panel.correct_MS, reference_M)
    measure = _measure(panel)
    return None if measure is None else counts_change(panel, measure, reference_M, reach=_reach(panel))


def primary_scores(panel: Panel) -> Floats:
    """The task's primary metric of every model over the examples it has, [M]; NaN where it cannot be told from records.

    As the metric gives it: of a loss, smaller is better.
    """
    measure = _measure(panel)
    if measure is None:
        counted = np.isfinite(panel.correct_MS)
        total = np.where(counted, panel.correct_MS, 0.0).sum(axis=1)
        means = np.divide(total, counted.sum(axis=1), out=np.full(len(total), np.nan), where=counted.any(axis=1))
        return panel.turn * means if _is_mean(panel) else np.full(len(panel.rows), np.nan)
    return np.array([float(measure(_counts(panel, m, panel.seen_MS[m]))) for m in range(len(panel.rows))])


def constant_score(panel: Panel) -> float:
    """The primary metric of the constant answer that does best; NaN for tasks without classes."""
    if panel.classes is None or not (_is_mean(panel) or _measure(panel)):
        return float("nan")
    n_classes = len(panel.classes)
    gold_C = np.bincount(panel.gold_S, minlength=n_classes)
    measure = _measure(panel)
    if measure is None:
        return float(gold_C.max() / gold_C.sum()) if panel.unit == "share" else float("nan")
    counts = np.zeros((n_classes, n_classes, n_classes + 1))
    for c in range(n_classes):
        counts[c, :, c] = gold_C
    return float(measure(counts).max())


def _metric(panel: Panel) -> Metric | None:
    return METRICS.get(panel.metric).value if panel.metric in METRICS else None


def _reach(panel: Panel) -> float:
    metric = _metric(panel)
    return np.inf if metric is None else metric.high - metric.low


def _is_mean(panel: Panel) -> bool:
    metric = _metric(panel)
    return metric is None or metric.corpus is None


def _measure(panel: Panel) -> OfCounts | None:
    """The primary metric as a function of the confusion matrix; None where it is none."""
    metric = _metric(panel)
    return None if metric is None or panel.classes is None else metric.of_counts


def counts_change(
    panel: Panel, measure: OfCounts, reference_M: NDArray[np.int64] | None = None, *, reach: float
) -> Change:
    """Paired change of a number that a confusion matrix gives.

    The interval is a bootstrap over examples, the p that of swapping both models' answers example by example (a paired
    permutation test; Yeh 2000, More accurate tests for the statistical significance of result differences).

    Args:
        panel: one task with classes.
        measure: of confusion matrices.
        reference_M: as in :func:`primary_change`.
        reach: the largest change that there can be.
    """
    size = len(panel.rows)
    against = np.zeros(size, dtype=np.int64) if reference_M is None else reference_M
    hits = panel.change(panel.correct_MS, against)
    drawn: dict[tuple[int, bytes], Floats] = {}

    def replicates(m: int, seen_S: NDArray[np.bool_]) -> Floats:
        key = (m, seen_S.tobytes())
        if key not in drawn:
            drawn[key] = _replicates(panel, m, seen_S, measure)
        return drawn[key]

    columns = {name: np.full(size, np.nan) for name in ("reference", "mean", "value", "lo", "hi", "p")}
    replicates_RM = np.zeros((panel.replicates, size))
    n_M = np.zeros(size, dtype=np.int64)
    for m, other in enumerate(against.tolist()):
        seen_S = panel.seen_MS[m] & panel.seen_MS[other]
        n_M[m] = seen_S.sum()
        if not n_M[m]:
            continue
        ours, theirs = (float(measure(_counts(panel, k, seen_S))) for k in (m, other))
        replicates_RM[:, m] = replicates(m, seen_S) - replicates(other, seen_S)
        ends = percentile_interval(replicates_RM[:, m], int(n_M[m]), panel.level)
        lo, hi = never_a_point(ours - theirs, ends, n_M[m], panel.level, reach)
        p = np.nan if m == other else swap_p(panel, m, other, seen_S, measure)
        for name, value in zip(columns, (theirs, ours, ours - theirs, lo, hi, p), strict=True):
            columns[name][m] = value
    return Change(
        n=n_M,
        lost=hits.lost,
        won=hits.won,
        method="bootstrap",
        replicates_RM=replicates_RM,
        alone=panel.alone(replicates_RM),
        **columns,
    )


def swap_p(panel: Panel, m: int, other: int, seen_S: NDArray[np.bool_], measure: OfCounts) -> float:
    """Two-sided p that two models' answers are exchangeable, example by example.

    Of all swaps where few examples differ, else of random ones and at least 1 / (swaps + 1).
    """
    at_S = np.flatnonzero(seen_S & (panel.pred_MS[m] != panel.pred_MS[other]))
    ours_CP, theirs_CP = (_counts(panel, k, seen_S).astype(float) for k in (m, other))
    observed = abs(float(measure(ours_CP) - measure(theirs_CP)))
    if not at_S.size:
        return 1.0
    shape = ours_CP.shape
    codes = [panel.gold_S[at_S] * shape[1] + panel.pred_MS[k, at_S] for k in (m, other)]
    cells, moved = np.unique(np.concatenate(codes), return_inverse=True)
    change_SX = np.zeros((len(at_S), len(cells)), dtype=np.float32)
    rows = np.arange(len(at_S))
    change_SX[rows, moved[: len(at_S)]] -= 1.0
    change_SX[rows, moved[len(at_S) :]] += 1.0

    def reaching(swapped_RS: NDArray[Any]) -> NDArray[np.int64]:
        """Which of the swaps change the measure by as much as was observed."""
        delta_RX = (swapped_RS @ change_SX).astype(float)
        one, two = (np.repeat(counts.reshape(1, -1), len(swapped_RS), axis=0) for counts in (ours_CP, theirs_CP))
        one[:, cells] += delta_RX
        two[:, cells] -= delta_RX
        difference_R = measure(one.reshape(-1, *shape)) - measure(two.reshape(-1, *shape))
        return np.flatnonzero(np.abs(difference_R) >= observed - 1e-12)

    most = max(1, BLOCK // ours_CP.size)
    if len(at_S) <= EVERY_WAY and 2 ** len(at_S) <= most:
        every_RS = np.arange(2 ** len(at_S))[:, None] >> np.arange(len(at_S)) & 1
        return len(reaching(every_RS.astype(np.float32))) / len(every_RS)
    rng = np.random.default_rng([panel.seed, zlib.crc32(panel.task.encode()), 2])
    hits = done = 0
    while done < SWAPS:
        block = min(SWAPS - done, 2 * ENOUGH, most)
        swapped_RS = rng.integers(0, 2, size=(block, len(at_S)), dtype=np.int8)
        reached = reaching(swapped_RS.astype(np.float32))
        if hits + len(reached) >= ENOUGH:
            return ENOUGH / (done + int(reached[ENOUGH - hits - 1]) + 1)
        hits += len(reached)
        done += block
    return (hits + 1) / (SWAPS + 1)


def _counts(panel: Panel, m: int, seen_S: NDArray[np.bool_]) -> NDArray[np.int64]:
    return count_codes(panel.gold_S[seen_S], panel.pred_MS[m, seen_S], len(panel.classes or ()))


def _replicates(panel: Panel, m: int, seen_S: NDArray[np.bool_], measure: OfCounts) -> Floats:
    """The measure of bootstrap replicates of one model's confusion matrix, [R]."""
    n_classes = len(panel.classes or ())
    step = max(1, BLOCK // (n_classes * (n_classes + 1)))
    gold_S, pred_S = panel.gold_S[seen_S], panel.pred_MS[m, seen_S]
    parts = [
        measure(confusion_replicates(panel.weights_RS[start : start + step, seen_S], gold_S, pred_S, n_classes))
        for start in range(0, panel.replicates, step)
    ]
    return np.concatenate(parts)
