"""What is known of the cells' errors: from finite examples, paired or not, and from training seeds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
# Degrees of freedom from which on a variance counts as known.
KNOWN = 1e9


@dataclass(frozen=True, eq=False)
class SeedNoise:
    """Variance of a score between training seeds of one source, pooled over sources per task.

    Attributes:
        variance_N: pooled sample variance of a single seed's score, per task.
        df_N: its degrees of freedom (sum over sources of seeds - 1); infinite where it is known.
        seeds_IN: seeds averaged in each cell; 0 in rows that were not trained (the base).
        shared_df: degrees of freedom of what all tasks' variances may be off by together, where they were learned from
            each other; infinite where each is its own.
    """

    variance_N: Floats
    df_N: Floats
    seeds_IN: Floats
    shared_df: float = KNOWN

    @property
    def trained_I(self) -> npt.NDArray[np.bool_]:
        """Rows that were trained, so that another run of theirs would differ."""
        return np.asarray((self.seeds_IN > 0).any(axis=1))

    @property
    def words(self) -> str:
        """What this is: told by somebody, or seen between seeds."""
        return "deviation between runs" if (self.df_N >= KNOWN).all() else "variance between seeds"


@dataclass(frozen=True, eq=False)
class CellNoise:
    """Errors of all cells: Gaussian, independent between tasks, within a task with a covariance over models.

    Attributes:
        examples_IN: error variance from finite examples.
        covariance_NII: covariance of those errors over models, per task; None for independent cells.
        seed: the part from training seeds, None where every source has one seed only.
        source: in words, where the numbers come from.
    """

    examples_IN: Floats
    covariance_NII: Floats | None
    seed: SeedNoise | None
    source: str

    @property
    def variance_IN(self) -> Floats:
        """Total error variance of every cell, examples and seeds together."""
        return self.examples_IN + self.seed_variance_IN

    @property
    def seed_variance_IN(self) -> Floats:
        """The part of the error variance that comes from training seeds (zero in untrained rows)."""
        if self.seed is None:
            return np.zeros(self.examples_IN.shape)
        share_IN = np.where(self.seed.seeds_IN > 0, 1.0 / np.maximum(self.seed.seeds_IN, 1.0), 0.0)
        return share_IN * self.seed.variance_N

    def draw(self, count: int, rng: np.random.Generator) -> Floats:
        """Draws of the errors, noise_RIN: examples and seeds together."""
        return self.draw_examples(count, rng) + self.draw_seeds(count, rng)

    def draw_examples(self, count: int, rng: np.random.Generator) -> Floats:
        """Draws of the part from finite examples, noise_RIN."""
        n_models, n_tasks = self.examples_IN.shape
        if self.covariance_NII is None:
            return rng.standard_normal((count, n_models, n_tasks)) * np.sqrt(self.examples_IN)
        values, vectors = np.linalg.eigh(self.covariance_NII)
        root_NII = vectors * np.sqrt(np.clip(values, 0.0, None))[:, None, :]
        normal_NRI = rng.standard_normal((n_tasks, count, n_models))
        return np.moveaxis(normal_NRI @ np.swapaxes(root_NII, 1, 2), 0, 2)

    def draw_seeds(self, count: int, rng: np.random.Generator) -> Floats:
        """Draws of the part from training seeds, noise_RIN.

        The seed variance is an estimate: each draw takes its own value from the scaled inverse chi-squared
        distribution with the estimate's degrees of freedom, per task and for what the tasks share.
        """
        n_models, n_tasks = self.examples_IN.shape
        if self.seed is None:
            return np.zeros((count, n_models, n_tasks))
        df_N = np.clip(self.seed.df_N, 1.0, KNOWN)
        spread_RN = np.sqrt(df_N / np.maximum(rng.chisquare(df_N, size=(count, n_tasks)), 1e-3))
        if self.seed.shared_df < KNOWN:
            spread_RN *= np.sqrt(self.seed.shared_df / rng.chisquare(self.seed.shared_df, size=(count, 1)))
        normal_RIN = rng.standard_normal((count, n_models, n_tasks))
        return normal_RIN * np.sqrt(self.seed_variance_IN) * spread_RN[:, None, :]
