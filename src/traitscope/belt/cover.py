"""Which few models cover all tasks: greedy, and all sets of a size where they are few enough to look at."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, islice
from math import comb

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

# Sets of one size that are all looked at; above this number the greedy choice holds.
EXHAUSTIVE = 200_000
_BLOCK = 20_000


@dataclass(frozen=True)
class Cover:
    """A set of models and what its best model loses on every task.

    Attributes:
        models: their numbers, in the order in which they were added (ascending where all sets were looked at).
        loss_N: on every task the best score of all models less the best of the set, at least 0.
        beyond: tasks that lose more than was allowed.
        exhaustive: whether all sets of this size were looked at.
    """

    models: tuple[int, ...]
    loss_N: Floats
    beyond: int
    exhaustive: bool

    @property
    def mean(self) -> float:
        """Mean loss over the tasks."""
        return float(self.loss_N.mean())


def greedy_covers(scores_IN: Floats, loss: float, free_N: Floats | None = None) -> Iterator[Cover]:
    """Sets of 1, 2, ... models, each the one before with the model that helps most.

    One set is better than another where fewer tasks lose more than ``loss``; of equal ones the lower mean loss counts,
    then the lower number. The mean loss falls by less with every model added (it is submodular), so that greedy sets
    reach at least 1 - 1/e of the best set's fall (Nemhauser, Wolsey, Fisher 1978).

    Args:
        scores_IN: of I models on N tasks, higher is better, no holes.
        loss: what a task may lose.
        free_N: scores of what is there without being chosen (the base); none where left out.
    """
    best_N, have_N = _best(scores_IN, free_N)
    chosen: list[int] = []
    left = list(range(len(scores_IN)))
    while left:
        loss_XN = best_N - np.maximum(scores_IN[left], have_N)
        at = _first(loss_XN, loss)
        chosen.append(left.pop(at))
        have_N = np.maximum(have_N, scores_IN[chosen[-1]])
        yield Cover(tuple(chosen), loss_XN[at], _beyond(loss_XN[at], loss), exhaustive=False)


def best_cover(scores_IN: Floats, size: int, loss: float, free_N: Floats | None = None) -> Cover:
    """The best of all sets of ``size`` models, in the order of ``greedy_covers``; arguments as there."""
    best_N, have_N = _best(scores_IN, free_N)
    found: tuple[tuple[int, float], tuple[int, ...], Floats] | None = None
    sets = combinations(range(len(scores_IN)), size)
    while block := list(islice(sets, _BLOCK)):
        loss_XN = best_N - np.maximum(scores_IN[np.array(block)].max(axis=1), have_N)
        at = _first(loss_XN, loss)
        rank = (_beyond(loss_XN[at], loss), float(np.round(loss_XN[at].mean(), 12)))
        if found is None or rank < found[0]:
            found = rank, block[at], loss_XN[at]
    assert found is not None
    return Cover(tuple(found[1]), found[2], found[0][0], exhaustive=True)


def covers(
    scores_IN: Floats, loss: float, free_N: Floats | None = None, limit: int = EXHAUSTIVE, size: int = 0
) -> list[Cover]:
    """The best sets of 0, 1, 2, ... models, up to the first that loses nothing; arguments as there.

    Args:
        limit: sets of one size that are all looked at; where there are more, the greedy set is taken.
        size: sets of up to this size are wanted in any case.
    """
    found = [] if free_N is None else [_nothing(scores_IN, loss, free_N)]
    for number, greedy in enumerate(greedy_covers(scores_IN, loss, free_N), start=1):
        if number > size and found and found[-1].mean <= 1e-9:
            break
        few = comb(len(scores_IN), number) <= limit
        found.append(best_cover(scores_IN, number, loss, free_N) if few else greedy)
    return found


def smallest(found: Sequence[Cover]) -> Cover:
    """The smallest set under which no task loses more than was allowed; the last where none is."""
    return next((cover for cover in found if not cover.beyond), found[-1])


def _nothing(scores_IN: Floats, loss: float, free_N: Floats) -> Cover:
    loss_N = _best(scores_IN, free_N)[0] - free_N
    return Cover((), loss_N, _beyond(loss_N, loss), exhaustive=True)


def _best(scores_IN: Floats, free_N: Floats | None) -> tuple[Floats, Floats]:
    have_N = np.full(scores_IN.shape[1], -np.inf) if free_N is None else free_N
    return np.maximum(scores_IN.max(axis=0), have_N), have_N


def _beyond(loss_N: Floats, loss: float) -> int:
    # Scores are sums of decimals: a task at the very limit is within it.
    return int((loss_N > loss + 1e-9).sum())


def _first(loss_XN: Floats, loss: float) -> int:
    """The best row: fewest tasks beyond, then the lowest mean, then the first."""
    beyond_X = (loss_XN > loss + 1e-9).sum(axis=1)
    return int(np.lexsort((np.round(loss_XN.mean(axis=1), 12), beyond_X))[0])
