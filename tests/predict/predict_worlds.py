"""Small score matrices with a known truth: low rank, row effects, features, noise; one base model or several."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from traitscope.matrix import ScoreMatrix
from traitscope.predict.pairs import PairFeatures
from traitscope.predict.problem import Problem

Floats = npt.NDArray[np.float64]


def problem(
    values_BIN: Floats,
    *,
    noise: float = float("nan"),
    target: int = 0,
    allowed_IN: npt.NDArray[np.bool_] | None = None,
    features: PairFeatures | None = None,
) -> Problem:
    """A problem whose untuned bases score nothing."""
    n_bases, n_sources, n_tasks = values_BIN.shape
    return Problem(
        bases=tuple(f"base{b}" for b in range(n_bases)),
        sources=tuple(f"source{i}" for i in range(n_sources)),
        tasks=tuple(f"task{n}" for n in range(n_tasks)),
        values_BIN=values_BIN,
        noise_BIN=np.where(np.isfinite(values_BIN), noise, np.nan),
        untuned_BN=np.zeros((n_bases, n_tasks)),
        target=target,
        allowed_IN=np.ones((n_sources, n_tasks), dtype=bool) if allowed_IN is None else allowed_IN,
        sign_N=np.ones(n_tasks),
        features=features,
    )


def matrix(values_BIN: Floats, untuned: float = 0.0) -> ScoreMatrix:
    """The same as a score matrix, each base model with its row."""
    rows = []
    for b, values_IN in enumerate(values_BIN):
        for i, scores_N in enumerate([np.full(values_IN.shape[1], untuned), *values_IN]):
            name = "base" if i == 0 else f"source{i - 1}"
            for n, value in enumerate(scores_N):
                if np.isfinite(value):
                    rows.append(
                        {
                            "base": f"base{b}",
                            "model": name,
                            "source": None if i == 0 else name,
                            "task": f"task{n}",
                            "value": float(value),
                            "metric": "score",
                            "higher_is_better": True,
                        }
                    )
    return ScoreMatrix.from_long(pd.DataFrame(rows), base="base", units="other")


def low_rank_world(
    rng: np.random.Generator, bases: int = 1, sources: int = 12, tasks: int = 10, rank: int = 1, noise: float = 0.5
) -> tuple[Floats, Floats]:
    """Measured and true cells: factors that the base models share to .8, and noise of its own in each cell.

    True cells have unit variance on average; ``noise`` is the deviation of what is added.
    """
    load_NK = rng.standard_normal((tasks, rank)) / np.sqrt(rank)
    shared_IK = rng.standard_normal((sources, rank))
    own_BIK = rng.standard_normal((bases, sources, rank))
    score_BIK = np.sqrt(0.8) * shared_IK + np.sqrt(0.2) * own_BIK
    true_BIN = score_BIK @ load_NK.T
    return true_BIN + noise * rng.standard_normal(true_BIN.shape), true_BIN
