"""The one interface of all predictors, and the registry that holds them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import numpy.typing as npt

from traitscope.errors import TraitscopeError
from traitscope.plugins import calling
from traitscope.predict.problem import Problem
from traitscope.registry import Registry, did_you_mean, registry

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a predictor expects of every cell of the target base model, known ones included.

    A column of which no cell is known has no centre: its sources can be ranked, its scores cannot be told.

    Attributes:
        z_IN: expected value, in units of ``spread_N`` around ``centre_N``; in a column without a centre, around the
            mean of its sources.
        sd_IN: standard deviation of what a measurement would give (cell noise included), in the same unit.
        centre_N: mean of the column's known cells; NaN where there are none.
        spread_N: unit of the column.
        pieces: what the expected value is the sum of, by name, each z_IN; for ``--explain``.
        covariance_CC: joint covariance of the true z of all C = I x N cells (row by row), cell noise left out; None
            where a predictor has none.
        note: what a reader must know of this fit, or an empty text.
        refit: the same predictor with all that it chose by inner folds or likelihood kept (rank, penalty, amplitudes),
            for the same problem with more cells hidden; None where it is quick to fit anew. Intervals are made with it.
    """

    z_IN: Floats
    sd_IN: Floats
    centre_N: Floats
    spread_N: Floats
    pieces: dict[str, Floats]
    covariance_CC: Floats | None = None
    note: str = ""
    refit: Callable[[Problem], Prediction] | None = None

    @property
    def values_IN(self) -> Floats:
        """Expected scores, higher being better; NaN in columns without a centre."""
        return self.centre_N + self.spread_N * self.z_IN


class Predictor(Protocol):
    """Fits a problem and gives every cell of its target base model. Stateless: all it learns is in the prediction."""

    def __call__(self, problem: Problem, rng: np.random.Generator) -> Prediction:
        """The prediction from the known cells alone.

        Raises:
            CannotFit: the problem lacks what this predictor needs.
        """
        ...


class CannotFit(Exception):
    """A predictor has not what it needs, in words: "no other base model is known"."""


PREDICTORS: Registry[Predictor] = Registry("predictor")


def predictor_named(name: str) -> Predictor:
    """A registered predictor, which is called with a problem it cannot change and whose predictions are checked.

    Raises:
        TraitscopeError: there is none of this name. The predictor raises it where it fails, or gives something else
            than a prediction of every cell.
    """
    known = registry(PREDICTORS.kind)
    if name not in known:
        raise TraitscopeError(f"no predictor is named {name!r}", where="predict", fix=did_you_mean(name, known.names()))
    entry = known.get(name)

    def checked(fit: Predictor) -> Predictor:
        def predict(problem: Problem, rng: np.random.Generator) -> Prediction:
            with calling(PREDICTORS.kind, entry, f"{len(problem.sources)} sources x {len(problem.tasks)} tasks"):
                try:
                    found = fit(problem, rng)
                    _check(found, problem)
                except CannotFit as error:
                    lacks: CannotFit | None = error
                else:
                    lacks = None
            if lacks is not None:
                raise lacks
            if found.refit is None:
                return found
            refit = found.refit
            again = checked(lambda problem, rng: refit(problem))
            return replace(found, refit=lambda problem: again(problem, rng))

        return predict

    return checked(entry.value)


def _check(found: Prediction, problem: Problem) -> None:
    """Refuses what is no prediction of every cell that may be forecast.

    Raises:
        TypeError: it is no ``Prediction``.
        ValueError: a shape or a number is wrong.
    """
    if not isinstance(found, Prediction):
        raise TypeError(f"it gives {type(found).__name__} where a Prediction is due")
    shape = problem.known_IN.shape
    cells = {"z_IN": found.z_IN, "sd_IN": found.sd_IN, **{f"piece {name!r}": p for name, p in found.pieces.items()}}
    columns = {"centre_N": found.centre_N, "spread_N": found.spread_N}
    for name in found.pieces:
        if not isinstance(name, str):
            raise TypeError(f"it names a piece {name!r} where a text is due")
    for name, values in {**cells, **columns}.items():
        if np.asarray(values).dtype.kind != "f":
            raise TypeError(f"it gives {name} of {np.asarray(values).dtype} where floating-point numbers are due")
        due = shape if name in cells else shape[1:]
        if np.shape(values) != due:
            raise ValueError(f"it gives {name} of shape {np.shape(values)} where {due} is due")
    if found.covariance_CC is not None and np.shape(found.covariance_CC) != (found.z_IN.size,) * 2:
        raise ValueError(f"it gives covariance_CC of shape {np.shape(found.covariance_CC)} for {found.z_IN.size} cells")
    told_IN = problem.allowed_IN
    if not np.isfinite(found.z_IN[told_IN]).all():
        raise ValueError("it gives z_IN that is no number for cells that are to be forecast")
    if not (np.isfinite(found.sd_IN[told_IN]).all() and (found.sd_IN[told_IN] > 0).all()):
        raise ValueError("it gives sd_IN that is no number above 0 for cells that are to be forecast")
    if not (np.isfinite(found.spread_N).all() and (found.spread_N > 0).all()):
        raise ValueError("it gives spread_N that is no number above 0")
    if np.isinf(found.centre_N).any() or np.isnan(found.centre_N[problem.known_IN.any(axis=0)]).any():
        raise ValueError("it gives centre_N that is infinite, or no number where cells of the column are known")
    if found.covariance_CC is not None and not np.isfinite(found.covariance_CC).all():
        raise ValueError("it gives covariance_CC that is no number")
    if not isinstance(found.note, str):
        raise TypeError(f"it gives a note that is {type(found.note).__name__} where a text is due")
