"""What a run under a budget does next: short trainings of all sources, long ones of those that may be a target's best,
and more evaluation rows where two of them are close.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from numbers import Real

import numpy as np
from numpy.typing import NDArray

from traitscope.config import TaskConfig
from traitscope.errors import TraitscopeError
from traitscope.metrics import METRICS
from traitscope.predict.halving import (
    Standing,
    contenders,
    draw_gains,
    drift_between,
    expected_gains,
    keep_promising,
)
from traitscope.study.context import Context
from traitscope.study.prices import find_prices
from traitscope.study.probes import FOLDER, paired_gains, plain_sources, probe_config
from traitscope.study.rounds import Round, Rows

Floats = NDArray[np.float64]

# Rows that every short training is looked at with: more say little, as what the rest of a training changes is larger.
PROBE_ROWS = 24
# Rows that the first look at a full training takes.
FULL_ROWS = 128
# A cell whose source is expected to better its target by less than this share of the margin is not looked at.
WORTH = 0.1
# Deviation between sources, in margins, that a few rows which show none do not rule out.
POSSIBLE = 2.0
# What the rest of a training changes, in deviations of the sources' gains on the target, until it was seen.
DRIFT = 0.5


@dataclass(frozen=True, eq=False)
class Belief:
    """What is known of every source on every target after some rounds.

    Attributes:
        mean_IN, variance_IN: of the gain in a full training over the base; NaN where a cell is no transfer.
        trained_I: sources that are trained in full.
        known_IN: cells of these that were looked at.
        margin_N: by target the difference that does not matter.
    """

    mean_IN: Floats
    variance_IN: Floats
    trained_I: NDArray[np.bool_]
    known_IN: NDArray[np.bool_]
    margin_N: Floats


@dataclass
class Planner:
    """What to train and to look at next under a budget, from what is known so far.

    Attributes:
        study: the study.
        share: of the whole grid's cost that may be spent.
        margin: a difference of scores that does not matter.
        rounds: done or begun, in order.
        watch: told after every round what would be chosen now: target -> source, None for the base.
    """

    study: Context
    share: float
    margin: float
    rounds: list[Round] = field(default_factory=list)
    watch: Callable[[dict[str, str | None]], None] | None = None

    # ---- what there is

    def __post_init__(self) -> None:
        if not (_is_number(self.share) and 0 < self.share <= 1):
            raise TraitscopeError(
                f"a budget of {self.share!r}", where="budget", fix="give a share above 0, at most 1, such as 0.25"
            )
        self.sources = [source.name for source in plain_sources(self.study.config)]
        self.models = {s.name: f"{s.name}-s{s.recipe.seeds[0]}" for s in plain_sources(self.study.config)}
        self.targets = list(self.study.config.target_names())
        if not (_is_number(self.margin) and np.isfinite(self.margin) and self.margin >= 0):
            raise TraitscopeError(f"a margin of {self.margin}", where="margin", fix="write 0 or more, such as 0.01")
        if len(self.sources) < 2:
            raise TraitscopeError("there is nothing to choose from: one source", where="budget", fix="run without it")
        self.probes = Context(
            probe_config(self.study),
            self.study.folder.root / FOLDER,
            backend=self.study.given_backend,
            report=self.study.report_to,
            every_s=self.study.every_s,
            stale_s=self.study.stale_s,
        )
        self.prices = find_prices(self.study)

    def choice(self, mean_IN: Floats) -> dict[str, str | None]:
        """Of every target the source of the largest expected gain; None where none is above the base."""
        filled_IN = np.where(np.isfinite(mean_IN), mean_IN, -np.inf)
        best_N = filled_IN.argmax(axis=0)
        return {
            task: self.sources[best_N[n]] if filled_IN[best_N[n], n] > 0 else None
            for n, task in enumerate(self.targets)
        }

    def next_round(self) -> Round | None:
        """The round that the budget still bears and that is worth it; None where there is none."""
        if not self.rounds:
            return self._first_round()
        left = self.share * self.prices.whole - self.spent(self.rounds[-1])
        belief = self.belief()
        if self.watch is not None:
            self.watch(self.choice(belief.mean_IN))
        return self._train_round(belief, left) or self._grow_round(belief, left)

    def spent(self, latest: Round) -> float:
        """What the rounds up to one cost, in the unit of ``Prices``, with the claims' rows set aside."""
        prices, at = self.prices, {task: n for n, task in enumerate(self.targets)}
        cost = float(sum(prices.probe_I[self.sources.index(s)] for s in latest.probe_rows))
        cost += float(sum(prices.train_I[self.sources.index(s)] for s in latest.sources))
        for wanted in (latest.probe_rows, latest.rows):
            cost += sum(prices.row_N[at[t]] * n for tasks in wanted.values() for t, n in tasks.items())
        for n, task in enumerate(self.targets):
            probed = [tasks[task] for tasks in latest.probe_rows.values() if task in tasks]
            seen = [tasks[task] for tasks in latest.rows.values() if task in tasks]
            first = min(seen) if seen else min(self.half(task), FULL_ROWS)
            # The base beside the short trainings; the base, and what will be chosen, on all rows of the target.
            cost += float(prices.row_N[n]) * (max(probed, default=0) + 2 * int(prices.rows_N[n]) - first)
        return float(cost)

    def half(self, task: str) -> int:
        """Rows of a target that choices may rest on; what is claimed afterwards rests on the others."""
        return max(1, int(self.prices.rows_N[self.targets.index(task)]) // 2)

    def _first_round(self) -> Round:
        """All sources, short, looked at with few rows."""
        rows = {task: min(self.half(task), PROBE_ROWS) for task in self.targets}
        # A training as short as a short one is a full one.
        shorter_I = self.prices.probe_I < self.prices.train_I
        whole = [source for source, shorter in zip(self.sources, shorter_I, strict=True) if not shorter]
        probed = {source: dict(rows) for source in self.sources if source not in whole}
        found = Round("probe", tuple(whole), probed, {source: dict(rows) for source in whole})
        least = self.spent(found) / self.prices.whole
        if least > self.share:
            raise TraitscopeError(
                f"the shortest look at all sources costs {least:.0%} of the whole grid",
                where=f"budget of {self.share:.0%}",
                fix=f"give at least {np.ceil(100 * least):.0f}%, or run without a budget",
            )
        return found

    def belief(self) -> Belief:
        """What short and full trainings say together of every source on every target."""
        rows = {task: slice(0, self.half(task)) for task in self.targets}
        # Cells may have more rows by now, of the claims or of a plain run: a choice made again is the same.
        latest = self.rounds[-1]
        probe_IN, probe_variance_IN = paired_gains(self.probes, rows, latest.probe_rows)
        full_IN, full_variance_IN = paired_gains(self.study, rows, latest.rows)
        trained_I = np.array([s in self.rounds[-1].sources for s in self.sources])
        full_IN[~trained_I] = np.nan
        both_IN = np.isfinite(full_IN) & np.isfinite(probe_IN)
        margin_N = self._margins(np.where(np.isfinite(full_IN), full_IN, probe_IN))
        drift_N, shift_N = self._drift(probe_IN, probe_variance_IN, full_IN, full_variance_IN, both_IN, margin_N)
        known_IN = np.isfinite(full_IN)
        # What a short training leaves out is what may still change.
        left_I = 1.0 - self.prices.probe_I / np.maximum(self.prices.train_I, 1e-300)
        standing = Standing(
            np.where(known_IN, full_IN, probe_IN + shift_N),
            np.where(known_IN, full_variance_IN, probe_variance_IN),
            np.where(known_IN, 0.0, np.outer(left_I, drift_N)),
        )
        return Belief(*expected_gains(standing, POSSIBLE * margin_N), trained_I, known_IN, margin_N)

    def _margins(self, gain_IN: Floats) -> Floats:
        """The difference that does not matter, by target: without a range a twentieth of the gains' spread."""
        ranged_N = np.array([_ranged(self.study.config.tasks[task]) for task in self.targets])
        known_IN = np.isfinite(gain_IN)
        count_N = np.maximum(known_IN.sum(axis=0), 1)
        mean_N = np.where(known_IN, gain_IN, 0.0).sum(axis=0) / count_N
        spread_N = np.sqrt(np.where(known_IN, (gain_IN - mean_N) ** 2, 0.0).sum(axis=0) / count_N)
        return np.maximum(np.where(ranged_N, self.margin, 0.05 * spread_N), 1e-4)

    def _drift(
        self,
        probe_IN: Floats,
        probe_variance_IN: Floats,
        full_IN: Floats,
        full_variance_IN: Floats,
        both_IN: NDArray[np.bool_],
        margin_N: Floats,
    ) -> tuple[Floats, Floats]:
        """By target: deviation of what the rest of the training does, and what it does to all sources alike.

        Until three sources of a target are trained, the deviation is that of all targets together, in units of the
        spread of their probes; until any is, ``DRIFT``.
        """
        known_IN = np.isfinite(probe_IN)
        known_N = np.maximum(known_IN.sum(axis=0), 1)
        centred_IN = np.where(known_IN, probe_IN - np.where(known_IN, probe_IN, 0.0).sum(axis=0) / known_N, 0.0)
        error_N = np.where(known_IN, probe_variance_IN, 0.0).sum(axis=0) / known_N
        spread_N = np.sqrt(np.maximum((centred_IN**2).sum(axis=0) / known_N - error_N, margin_N**2))
        count_N = both_IN.sum(axis=0)
        moved_IN = np.where(both_IN, full_IN - probe_IN, 0.0)
        shift_N = moved_IN.sum(axis=0) / np.maximum(count_N, 1)
        # Few trained sources were chosen as the best of their probes: their shift is shrunk towards none.
        shift_N = shift_N * count_N / (count_N + 2.0)
        left_IN = np.where(both_IN, (moved_IN - moved_IN.sum(axis=0) / np.maximum(count_N, 1)) / spread_N, np.nan)
        error_IN = np.where(both_IN, (probe_variance_IN + full_variance_IN) / spread_N**2, np.nan)
        pooled = drift_between(np.zeros(both_IN.sum()), left_IN[both_IN], np.zeros(both_IN.sum()), error_IN[both_IN])
        known = int(np.maximum(count_N - 1, 0).sum())
        if not np.isfinite(pooled):
            pooled, known = DRIFT, 0
        relative = np.sqrt((known * pooled**2 + 6 * DRIFT**2) / (known + 6))
        return relative * spread_N, shift_N

    def _draws(self, belief: Belief) -> Floats:
        return draw_gains(belief.mean_IN, belief.variance_IN, np.random.default_rng([len(self.rounds), 17]))

    def _train_round(self, belief: Belief, left: float) -> Round | None:
        """Trains in full what is expected to better some target's best and is not trained yet."""
        drawn_RIN = self._draws(belief)
        # What is there: the base, and of every target the trained source that is expected to be best.
        mean_IN = np.where(belief.known_IN, belief.mean_IN, -np.inf)
        best_N = mean_IN.argmax(axis=0)
        columns = np.arange(len(self.targets))
        have_RN = np.where(mean_IN.max(axis=0) > 0, drawn_RIN[:, best_N, columns], 0.0)
        rows = {task: min(self.half(task), FULL_ROWS) for task in self.targets}
        margin_N = belief.margin_N
        wanted_IN = np.maximum(drawn_RIN - have_RN[:, None, :], 0.0).mean(axis=0) > WORTH * margin_N
        row_cost_N = np.array([self.prices.row_N[n] * rows[task] for n, task in enumerate(self.targets)])
        cost_I = self.prices.train_I + (wanted_IN * row_cost_N).sum(axis=1)
        cost_I[belief.trained_I] = np.inf
        # The first round of these spends not all, so that what it shows can teach the second.
        part = left if self._trained() else 0.8 * left
        # In margins: targets of different units count alike.
        kept = keep_promising(drawn_RIN / margin_N, have_RN / margin_N, cost_I, part, 1.0 / len(self.targets))
        if not kept:
            return None
        latest = self.rounds[-1]
        wanted = _copy(latest.rows)
        for i in kept:
            wanted[self.sources[i]] = {t: rows[t] for n, t in enumerate(self.targets) if wanted_IN[i, n]}
        sources = (*latest.sources, *(self.sources[i] for i in kept))
        return Round("train", sources, latest.probe_rows, wanted)

    def _grow_round(self, belief: Belief, left: float) -> Round | None:
        """Doubles the rows of the cells whose order may still change what is chosen."""
        mean_IN = np.where(belief.known_IN, belief.mean_IN, np.nan)
        close_IN = contenders(mean_IN, belief.variance_IN, belief.margin_N)
        latest = self.rounds[-1]
        wanted, grown = _copy(latest.rows), False
        cells = [(float(belief.variance_IN[i, n]), i, n) for i, n in np.argwhere(close_IN)]
        for _, i, n in sorted(cells, reverse=True):
            source, task = self.sources[i], self.targets[n]
            have = wanted.get(source, {}).get(task, 0)
            more = min(self.half(task), max(2 * have, FULL_ROWS))
            cost = float(self.prices.row_N[n] * (more - have))
            if more > have and cost <= left:
                wanted.setdefault(source, {})[task] = more
                left -= cost
                grown = True
        return Round("grow", latest.sources, latest.probe_rows, wanted) if grown else None

    def _trained(self) -> tuple[str, ...]:
        return self.rounds[-1].sources if self.rounds else ()


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _copy(rows: Rows) -> Rows:
    return {source: dict(tasks) for source, tasks in rows.items()}


def _ranged(task: TaskConfig) -> bool:
    """Whether a task's first metric has a range, so that a point means something."""
    name = task.metrics[0] if task.metrics else ""
    metric = METRICS.get(name).value if name in METRICS else None
    return task.answer.form != "loss" and (metric is None or bool(np.isfinite(metric.high - metric.low)))
