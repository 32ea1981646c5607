"""The one interface of all predictors, and the registry that holds them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from traitscope.predict.problem import Problem
from traitscope.registry import Registry

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
