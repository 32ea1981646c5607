"""How many directions a score matrix has, and which of its rows are of degenerate answers."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from traitscope.matrix.part import evenly
from traitscope.traits.bootstrap import bootstrap_count, bootstrap_held_out
from traitscope.traits.cells import Cells
from traitscope.traits.count import HeldOutCells, SequentialTest, held_out_cells, sequential_permutation
from traitscope.traits.intervals import Decomposer
from traitscope.traits.options import TraitOptions
from traitscope.traits.outlying import outlying_rows
from traitscope.traits.pca import centre_and_scale
from traitscope.traits.sizes import rows_counted

# Level of the permutation tests, which are shown beside the count or stand in for it.
LEVEL = 0.05
# Simulated matrices of a step while outlying rows are searched.
CORE_DRAWS = 49
# Rows that a task needs for traits.
FEWEST_OF_TASK = 3


class Counted(NamedTuple):
    """Each way of finding the number of traits; either ``sequential`` or ``permutation``."""

    sequential: SequentialTest | None
    held_out: HeldOutCells | None
    permutation: SequentialTest | None

    @property
    def steps(self) -> SequentialTest:
        """The test that is trusted here."""
        found = self.permutation if self.sequential is None else self.sequential
        assert found is not None
        return found

    @property
    def supported(self) -> int:
        """Components that beat the null that is trusted here."""
        return self.steps.count


def count_directions(cells: Cells, asked: TraitOptions, rng: np.random.Generator) -> Counted:
    """How many traits: against the cells' errors where they are known, else by permuted residuals."""
    n_models, n_tasks = cells.values_IN.shape
    if rows_counted(n_models, n_tasks) < n_models:
        cells = cells.rows(evenly(n_models, rows_counted(n_models, n_tasks)))
    if cells.noise is not None:
        held = (cells.values_IN, cells.precision_IN, lambda count: cells.draw(count, rng))
        sequential = bootstrap_count(*held, rng=rng, alpha=asked.alpha, draws=asked.draws, method=cells.noise.source)
        predicted = bootstrap_held_out(*held, sequential.count, rng=rng, repeats=asked.held_out)
        return Counted(sequential, predicted, None)
    _, _, unit_N = centre_and_scale(cells.values_IN, True)
    held_out = held_out_cells(cells.values_IN, unit_N, "column standard deviations", rng=rng, repeats=asked.held_out)
    scale = bool(asked.scale)
    filled_IN = Decomposer(0 if held_out is None else held_out.count, scale, None).fill(cells.values_IN)
    centred_IN, _, _ = centre_and_scale(filled_IN, scale)
    permutation = sequential_permutation(
        centred_IN, permutations=asked.permutations, rng=rng, alpha=LEVEL, blocks=cells.by_base
    )
    return Counted(None, held_out, permutation)


def outlying(cells: Cells, asked: TraitOptions) -> tuple[list[int], list[int]]:
    """Rows of degenerate answers, unless every row was asked for: those to leave out, and those that have to stay.

    A row stays where without it a task would have fewer than three rows, or another row nothing to be held against.
    """
    if asked.rows == "all":
        return [], []
    may_I = np.array([role.kind != "base" for role in cells.matrix.roles_I])
    quick = replace(asked, draws=CORE_DRAWS, held_out=0)
    precision_IN = cells.precision_IN
    if cells.noise is None:
        centre_N = np.nanmedian(cells.values_IN, axis=0)
        spread_N = 1.4826 * np.nanmedian(np.abs(cells.values_IN - centre_N), axis=0)
        precision_IN = precision_IN / np.where(spread_N > 0, spread_N, np.inf) ** 2

    def count(core: list[int]) -> int:
        """Directions among the rows of a core; without known errors the rows' spread stands for all of them."""
        if cells.noise is None:
            return 0
        return count_directions(cells.rows(core), quick, np.random.default_rng(asked.seed)).supported

    far = outlying_rows(cells.values_IN, precision_IN, may_I, count)
    left_IN, out = ~cells.gaps_IN, list[int]()
    for i in far:
        without_IN = left_IN.copy()
        without_IN[i] = False
        for rows in cells.by_base:
            # One cell alone of a base model says nothing of it.
            without_IN[rows] &= without_IN[rows].sum(axis=0) > 1
        others = [j for j in range(len(left_IN)) if j not in (*out, i)]
        if (without_IN.sum(axis=0) >= FEWEST_OF_TASK).all() and without_IN[others].any(axis=1).all():
            out.append(i)
            left_IN = without_IN
    return out, [i for i in far if i not in out]
