"""What is known of the cells' errors: from finite examples, paired or not, and from training seeds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class SeedNoise:
    """Variance of a score between training seeds of one source, pooled over sources per task.

    Attributes:
        variance_N: pooled sample variance of a single seed's score, per task.
        df_N: its degrees of freedom (sum over sources of seeds - 1).
        seeds_I: seeds averaged in each row; 0 for rows that were not trained (the base).
    """

    variance_N: Floats
    df_N: Floats
    seeds_I: Floats


@dataclass(frozen=True, eq=False)
class CellNoise:
    """Errors of all cells: Gaussian, independent between tasks, within a task with a covariance over models.

    Attributes:
        covariance_NII: covariance of the errors over models, per task, from finite examples.
        seed: the part from training seeds, None where every source has one seed only.
        source: in words, where the numbers come from.
    """

    covariance_NII: Floats
    seed: SeedNoise | None
    source: str

    @property
    def variance_IN(self) -> Floats:
        """Total error variance of every cell, examples and seeds together."""
        return np.einsum("nii->in", self.covariance_NII) + self.seed_variance_IN

    @property
    def seed_variance_IN(self) -> Floats:
        """The part of the error variance that comes from training seeds (zero in untrained rows)."""
        if self.seed is None:
            return np.zeros((self.covariance_NII.shape[1], self.covariance_NII.shape[0]))
        share_I = np.where(self.seed.seeds_I > 0, 1.0 / np.maximum(self.seed.seeds_I, 1.0), 0.0)
        return share_I[:, None] * self.seed.variance_N[None, :]

    def draw(self, replicates: int, rng: np.random.Generator, *, scale_N: Floats | None = None) -> Floats:
        """Draws of the errors, noise_RIN, divided by ``scale_N`` where given.

        The seed variance is an estimate: each draw takes its own value from the scaled inverse chi-squared
        distribution with the estimate's degrees of freedom.
        """
        n_tasks, n_models, _ = self.covariance_NII.shape
        values, vectors = np.linalg.eigh(self.covariance_NII)
        root_NII = vectors * np.sqrt(np.clip(values, 0.0, None))[:, None, :]
        normal_NRI = rng.standard_normal((n_tasks, replicates, n_models))
        noise_RIN = np.moveaxis(normal_NRI @ np.swapaxes(root_NII, 1, 2), 0, 2)
        if self.seed is not None:
            df_N = np.maximum(self.seed.df_N, 1.0)
            spread_RN = np.sqrt(df_N / np.maximum(rng.chisquare(df_N, size=(replicates, n_tasks)), 1e-3))
            deviation_IN = np.sqrt(self.seed_variance_IN)
            noise_RIN = (
                noise_RIN + rng.standard_normal(noise_RIN.shape) * deviation_IN * spread_RN[:, None, :]
            )
        return noise_RIN if scale_N is None else noise_RIN / scale_N

    def transformed(self, slope_IN: Floats) -> CellNoise:
        """The errors of a smooth function of the scores with these slopes (delta method)."""
        covariance = self.covariance_NII * slope_IN.T[:, :, None] * slope_IN.T[:, None, :]
        seed = self.seed
        if seed is not None:
            # One slope per task is all that a variance pooled over sources can carry.
            seed = SeedNoise(seed.variance_N * np.mean(slope_IN**2, axis=0), seed.df_N, seed.seeds_I)
        return CellNoise(covariance, seed, self.source)
