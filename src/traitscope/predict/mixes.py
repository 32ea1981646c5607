"""Mixes: the gain of a set of sources from the gains of each alone, and which sources go into a budget of rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from traitscope.errors import TraitscopeError

Floats = npt.NDArray[np.float64]

# Until mixes are measured: the weight of "a mix gains what its parts gain on average", in measured cells.
PRIOR_CELLS = 10.0
# Least share of a mix that a source joins with: a handful of rows makes no mix.
LEAST_SHARE = 0.1


@dataclass(frozen=True, eq=False)
class MixRule:
    """From what the parts gain alone to what their mix gains: level + slope x the mean of the parts, by their rows.

    Attributes:
        slope: of the parts' mean gain; 1 where no mix was measured.
        level: what a mix gains beyond, in spreads of a column.
        sd: deviation of measured mixes from the rule, in spreads; NaN where fewer than three cells are measured.
        cells: measured cells that the rule rests on.
    """

    slope: float = 1.0
    level: float = 0.0
    sd: float = float("nan")
    cells: int = 0

    def predict(self, gains_IN: Floats, shares_I: Floats) -> Floats:
        """Gain_N of a mix, in spreads: shares_I (summing to 1) of sources that gain gains_IN alone."""
        return self.level + self.slope * (shares_I @ gains_IN)


def fit_mix_rule(parts_V: Floats, measured_V: Floats) -> MixRule:
    """The rule from measured mixes: ridge towards slope 1 and level 0.

    Args:
        parts_V: mean gain of the parts alone, by cell, in spreads of the cell's column.
        measured_V: what the mix gained there.
    """
    known_V = np.isfinite(parts_V) & np.isfinite(measured_V)
    x_V, y_V = parts_V[known_V], measured_V[known_V]
    if len(x_V) < 3:
        return MixRule(cells=len(x_V))
    design_V2 = np.stack([x_V, np.ones_like(x_V)], axis=1)
    spread = max(float(np.mean(x_V**2)), 1e-12)
    penalty_22 = PRIOR_CELLS * np.diag([spread, 1.0])
    prior_2 = np.array([1.0, 0.0])
    weights_2 = np.linalg.solve(design_V2.T @ design_V2 + penalty_22, design_V2.T @ y_V + penalty_22 @ prior_2)
    left_V = y_V - design_V2 @ weights_2
    return MixRule(float(weights_2[0]), float(weights_2[1]), float(np.sqrt(np.mean(left_V**2))), len(x_V))


@dataclass(frozen=True, slots=True)
class MixChoice:
    """Sources for a mix under a budget of rows.

    Attributes:
        rows: rows taken from each chosen source, in the order of choice.
        gain: predicted mean gain over the targets, in spreads of their columns.
        alone: the best single source within the budget, and its predicted mean gain.
    """

    rows: dict[str, int]
    gain: float
    alone: tuple[str, float]

    @property
    def single(self) -> bool:
        """True where no mix is expected to do better than its best part."""
        return len(self.rows) == 1


def choose_mix(
    gains_IN: Floats, sources: Sequence[str], rows: Mapping[str, int], budget: int, rule: MixRule | None = None
) -> MixChoice:
    """Greedy choice of the sources of a mix for some targets.

    Rows are taken source by source, all that one has or all that the budget leaves: the one that makes the predicted
    mean gain largest comes next, and none comes once every further one would lower it. Gains are those of all of a
    source's rows: what fewer rows lose is not known, and not in the prediction.

    Args:
        gains_IN: predicted gain of every source alone on the N targets, in spreads of their columns.
        sources: names of the I sources. rows: rows that each has.
        budget: rows of the mix in all.
        rule: from the parts' gains to the mix's.

    Raises:
        TraitscopeError: the budget is not positive, or a source has no rows.
    """
    if budget < 1:
        raise TraitscopeError(f"a budget of {budget} rows", where="mix", fix="give at least one row")
    empty = [name for name in sources if rows.get(name, 0) < 1]
    if empty:
        raise TraitscopeError(f"{empty[0]!r} has no train rows", where="mix", fix="leave it out")
    rule = rule or MixRule()
    usable = [i for i in range(len(sources)) if np.isfinite(gains_IN[i]).all()]
    if not usable:
        raise TraitscopeError("no source has a predicted gain", where="mix", fix="measure or predict some first")
    have_I = np.array([rows[name] for name in sources])
    taken_I = np.zeros(len(sources), dtype=np.int64)
    order: list[int] = []
    value = -np.inf
    while (left := budget - int(taken_I.sum())) > 0:
        best = None
        for i in usable:
            if taken_I[i]:
                continue
            trial_I = taken_I.copy()
            trial_I[i] = min(int(have_I[i]), left)
            # One source is no mix: its gain is its own.
            shares_I = trial_I / trial_I.sum()
            if shares_I[i] < LEAST_SHARE:
                continue
            found_N = gains_IN[i] if not order else rule.predict(np.nan_to_num(gains_IN), shares_I)
            if (mean := float(np.mean(found_N))) > value:
                value, best, chosen_I = mean, i, trial_I
        if best is None:
            break
        order.append(best)
        taken_I = chosen_I
    first = order[0]
    return MixChoice(
        {sources[i]: int(taken_I[i]) for i in order}, value, (sources[first], float(np.mean(gains_IN[first])))
    )
