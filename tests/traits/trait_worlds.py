"""Planted score matrices and example records, with known traits, for the tests of this folder."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import norm

from traitscope.matrix import ScoreMatrix

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Planted:
    """A matrix without noise, the standard error of its cells, and the matrix as measured."""

    true_IN: Floats
    stderr_IN: Floats
    measured_IN: Floats

    @property
    def scores(self) -> ScoreMatrix:
        """The measured matrix with its standard errors; the first row is the base."""
        rows = ["base", *(f"a{i}" for i in range(1, len(self.true_IN)))]
        tasks = [f"t{n}" for n in range(self.true_IN.shape[1])]
        return ScoreMatrix.from_wide(
            pd.DataFrame(self.measured_IN, index=rows, columns=tasks),
            stderr=pd.DataFrame(self.stderr_IN, index=rows, columns=tasks),
        )


def noise_edge(n_models: int, n_tasks: int) -> float:
    """Largest singular value to expect from centred unit noise."""
    return float(np.sqrt(n_models - 1) + np.sqrt(n_tasks))


def planted_signal(
    n_models: int, n_tasks: int, singular_K: Floats, rng: np.random.Generator
) -> tuple[Floats, Floats, Floats]:
    """Random centred left and random right singular vectors around given singular values: U, V', product."""
    k = len(singular_K)
    left = rng.standard_normal((n_models, k))
    left, _ = np.linalg.qr(left - left.mean(axis=0))
    right, _ = np.linalg.qr(rng.standard_normal((n_tasks, k)))
    return left, right.T, (left * singular_K) @ right.T


def planted_matrix(
    n_models: int, n_tasks: int, k: int, rng: np.random.Generator, *, ratio: float = 2.0, apart: float = 1.0
) -> Planted:
    """k traits whose smallest singular value is ``ratio`` noise edges, each ``apart`` times the next.

    Tasks differ in precision (by e^0.5 per standard deviation) and cells within a task too (e^0.2).
    """
    stderr = np.exp(0.5 * rng.standard_normal(n_tasks)) * np.exp(0.2 * rng.standard_normal((n_models, n_tasks)))
    column = np.sqrt((stderr**2).mean(axis=0))
    singular = ratio * noise_edge(n_models, n_tasks) * apart ** np.arange(k)[::-1]
    true = planted_signal(n_models, n_tasks, singular, rng)[2] * column if k else np.zeros((n_models, n_tasks))
    return Planted(true, stderr, true + stderr * rng.standard_normal(true.shape))


def planted_records(
    share_IN: Floats, examples: int, rng: np.random.Generator, shared: float = 0.5
) -> dict[str, dict[str, Floats]]:
    """0/1 records with given success shares; ``shared`` is how much of an example's difficulty all models share."""
    records: dict[str, dict[str, Floats]] = {}
    for n in range(share_IN.shape[1]):
        common_S = rng.standard_normal(examples)
        own_IS = rng.standard_normal((len(share_IN), examples))
        difficulty_IS = np.sqrt(shared) * common_S + np.sqrt(1 - shared) * own_IS
        correct_IS = (difficulty_IS < norm.ppf(share_IN[:, n])[:, None]).astype(float)
        names = ["base", *(f"a{i}" for i in range(1, len(share_IN)))]
        records[f"t{n}"] = dict(zip(names, correct_IS, strict=True))
    return records


def scores_of(records: dict[str, dict[str, Floats]]) -> ScoreMatrix:
    """The matrix of means of records, carrying them."""
    wide = pd.DataFrame({task: {m: v.mean() for m, v in rows.items()} for task, rows in records.items()})
    return ScoreMatrix.from_wide(wide).with_records(records)
