"""What the parts of a study cost: every source's training, short and in full, and every target's rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from traitscope.study.context import Context
from traitscope.study.costs import token_costs
from traitscope.study.probes import plain_sources, probe_share
from traitscope.study.state import State

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Prices:
    """What the parts of a study cost, in floating-point operations per parameter of the base.

    Attributes:
        train_I: one training of every source, its first seed.
        probe_I: its short training.
        row_N: one evaluation row of every target, for one model.
        rows_N: evaluation rows of every target.
    """

    train_I: Floats
    probe_I: Floats
    row_N: Floats
    rows_N: NDArray[np.int64]

    @property
    def whole(self) -> float:
        """The whole grid: every source trained, base and sources evaluated on all rows."""
        return float(self.train_I.sum() + (len(self.train_I) + 1) * (self.row_N * self.rows_N).sum())


def find_prices(study: Context) -> Prices:
    """What every source's training and every target's rows cost; reads rows and the tokenizer, never the weights."""
    units = study.units()
    names = [f"{s.name}-s{s.recipe.seeds[0]}" for s in plain_sources(study.config)]
    everything = State(missing_adapters=[unit for unit in units.adapters if unit.name in names])
    everything.missing_cells = [cell for cell in units.cells if cell.model.name == "base"]
    train, evaluation = token_costs(units, everything, study.data)
    targets = study.config.target_names()
    rows_N = np.array([study.data.n_eval(task) for task in targets])
    # A frozen base: forward and backward to the inputs of a training token, forward alone of another.
    row_N = np.array([2.0 * evaluation[task] for task in targets]) / np.maximum(rows_N, 1)
    train_I = np.array([4.0 * train[name] for name in names])
    share_I = np.array([probe_share(source, study.data.n_train(source.task)) for source in plain_sources(study.config)])
    return Prices(train_I, share_I * train_I, row_N, rows_N)
