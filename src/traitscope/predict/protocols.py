"""What is held out when predictors are judged: cells, a source, a target or most of it, most cells, a base model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from traitscope.errors import TraitscopeError
from traitscope.predict.low_rank import inner_folds
from traitscope.predict.problem import Problem

Bools = npt.NDArray[np.bool_]

# Most folds of a protocol for one base model; of more sources or tasks than that, these many are drawn.
MOST_FOLDS = 24
CELL_FOLDS = 10
PROBES = 3
QUARTERS = 8


@dataclass(frozen=True)
class Protocol:
    """One way to hold cells out.

    Attributes:
        name: what the command line calls it. words: in words.
        folds: from a problem to the cells of the target base that each fold hides, hidden_IN; only known cells are.
        ranks: whether sources are ranked within its columns: all of a column's hidden cells are of one fold. In cells
            left out one at a time, the mean of the rest falls as the cell rises.
    """

    name: str
    words: str
    folds: Callable[[Problem, np.random.Generator], list[Bools]]
    ranks: bool


def left_out_cells(problem: Problem, rng: np.random.Generator) -> list[Bools]:
    """Every known cell once, a tenth of each column at a time (one cell of ten sources)."""
    count = max(2, min(CELL_FOLDS, len(problem.sources)))
    return [hidden_IN for hidden_IN in inner_folds(problem.known_IN, count, rng) if hidden_IN.any()]


def left_out_sources(problem: Problem, rng: np.random.Generator) -> list[Bools]:
    """All cells of one source."""
    known_IN = problem.known_IN
    rows_I = np.arange(len(known_IN))
    return [known_IN & (rows_I == i)[:, None] for i in _some(known_IN.any(axis=1), rng)]


def left_out_columns(problem: Problem, rng: np.random.Generator) -> list[Bools]:
    """All cells of one target."""
    known_IN = problem.known_IN
    columns_N = np.arange(known_IN.shape[1])
    return [known_IN & (columns_N == n) for n in _some(known_IN.any(axis=0), rng)]


def probed_columns(problem: Problem, rng: np.random.Generator) -> list[Bools]:
    """All cells of one target but three, drawn at random."""
    folds = []
    for hidden_IN in left_out_columns(problem, rng):
        at = np.argwhere(hidden_IN)
        if len(at) > PROBES + 1:
            kept = hidden_IN.copy()
            kept[tuple(at[rng.permutation(len(at))[:PROBES]].T)] = False
            folds.append(kept)
    return folds


def three_quarters(problem: Problem, rng: np.random.Generator) -> list[Bools]:
    """All but a quarter of the cells, which is spread evenly over sources and targets; eight draws."""
    return [problem.known_IN & ~balanced(problem.known_IN, 0.25, rng) for _ in range(QUARTERS)]


def whole_base(problem: Problem, rng: np.random.Generator) -> list[Bools]:
    """All cells of the base model."""
    return [problem.known_IN] if problem.others else []


def balanced(known_IN: Bools, share: float, rng: np.random.Generator) -> Bools:
    """A share of the known cells, in every column as many as in the others, of sources as evenly as they can be had."""
    chosen_IN = np.zeros_like(known_IN)
    order = rng.permutation(known_IN.shape[1])
    due = rng.random()
    for n in order:
        rows = np.flatnonzero(known_IN[:, n])
        due += share * len(rows)
        count = min(max(1, int(due)), len(rows))
        due -= count
        taken = chosen_IN[rows].sum(axis=1) + 0.5 * rng.random(len(rows))
        chosen_IN[rows[np.argsort(taken)[:count]], n] = True
    return chosen_IN


PROTOCOLS = (
    Protocol("cells", "a tenth of every column left out", left_out_cells, False),
    Protocol("source", "a source left out", left_out_sources, False),
    Protocol("column", "a target left out", left_out_columns, True),
    Protocol("probes", "a target left out but for three sources", probed_columns, True),
    Protocol("quarter", "a quarter of the cells known", three_quarters, True),
    Protocol("base", "a base model left out", whole_base, True),
)


def named_protocols(names: tuple[str, ...] | None) -> tuple[Protocol, ...]:
    """The protocols of these names, or all.

    Raises:
        TraitscopeError: there is none of that name.
    """
    known = {protocol.name: protocol for protocol in PROTOCOLS}
    for name in names or ():
        if name not in known:
            raise TraitscopeError(
                f"no protocol is named {name!r}", where="protocols", fix=f"write some of: {', '.join(known)}"
            )
    return tuple(known[name] for name in (known if names is None else dict.fromkeys(names)))


def _some(there: npt.ArrayLike, rng: np.random.Generator) -> list[int]:
    found = np.flatnonzero(there)
    return sorted(int(n) for n in rng.permutation(found)[:MOST_FOLDS])
