"""What is known of the cells' errors: from finite examples, paired or not, and from training seeds."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
# Degrees of freedom from which on a variance counts as known.
KNOWN = 1e9
# Cells of a matrix from which on covariances are held as factors, and variances are computed in place of drawn.
LARGE = 5_000


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
class PairedFactors:
    """Covariance of the rows' errors within each task as ``factors @ factors'`` and what every row has alone.

    What example records give without the I x I products: those of 1,000 models on 200 tasks would fill 1.6 GB.

    Attributes:
        factors: per task [I, S]; a row without records has zeros.
        alone_IN: the part of each cell's error variance that it shares with no other.
    """

    factors: tuple[Floats, ...]
    alone_IN: Floats

    def rows(self, at: list[int]) -> PairedFactors:
        """Some of the rows, by their indices."""
        return PairedFactors(tuple(one[at] for one in self.factors), self.alone_IN[at])

    @property
    def dense_NII(self) -> Floats:
        """The covariance itself, of few rows."""
        alone_NII = np.eye(len(self.alone_IN)) * self.alone_IN.T[:, None, :]
        return np.stack([one @ one.T for one in self.factors]) + alone_NII

    def with_stderr(self, stderr_IN: Floats) -> PairedFactors:
        """The same correlations under other standard errors."""
        factors, alone_IN = [], np.zeros_like(stderr_IN)
        for n, one in enumerate(self.factors):
            size_I = np.sqrt((one**2).sum(axis=1))
            unit = one / np.where(size_I > 0, size_I, 1.0)[:, None]
            factors.append(unit * stderr_IN[:, n, None])
            alone_IN[:, n] = np.where(size_I > 0, 0.0, stderr_IN[:, n] ** 2)
        return PairedFactors(tuple(factors), alone_IN)

    def scaled(self, factor_IN: Floats) -> PairedFactors:
        """The covariance of errors that are so many times as large."""
        factors = tuple(one * factor_IN[:, n, None] for n, one in enumerate(self.factors))
        return PairedFactors(factors, self.alone_IN * factor_IN**2)

    def with_row(self, other_I: npt.NDArray[np.int64]) -> Floats:
        """Covariance of every row's errors with those of another row, [I, N]."""
        shared_IN = np.stack([(one * one[other_I]).sum(axis=1) for one in self.factors], axis=1)
        return shared_IN + np.where((other_I == np.arange(len(other_I)))[:, None], self.alone_IN, 0.0)

    def draw(self, count: int, rng: np.random.Generator) -> Floats:
        """Draws of the errors, noise_RIN."""
        noise_RIN = rng.standard_normal((count, *self.alone_IN.shape)) * np.sqrt(self.alone_IN)
        for n, one in enumerate(self.factors):
            noise_RIN[:, :, n] += rng.standard_normal((count, one.shape[1])) @ one.T
        return noise_RIN


@dataclass(frozen=True, eq=False)
class CellNoise:
    """Errors of all cells: Gaussian, independent between tasks, within a task with a covariance over models.

    Attributes:
        examples_IN: error variance from finite examples.
        covariance_NII: covariance of those errors over models, per task; None for independent cells.
        seed: the part from training seeds, None where every source has one seed only.
        source: in words, where the numbers come from.
        factors: the covariance of a large matrix, in place of ``covariance_NII``.
    """

    examples_IN: Floats
    covariance_NII: Floats | None
    seed: SeedNoise | None
    source: str
    factors: PairedFactors | None = None

    @property
    def paired(self) -> bool:
        """Whether the errors of a task's cells go together, as those over the same examples do."""
        return self.covariance_NII is not None or self.factors is not None

    def rows(self, index: list[int]) -> CellNoise:
        """Some of the rows, by their indices."""
        return replace(
            self,
            examples_IN=self.examples_IN[index],
            covariance_NII=None if self.covariance_NII is None else self.covariance_NII[:, index][:, :, index],
            factors=None if self.factors is None else self.factors.rows(index),
            seed=None if self.seed is None else replace(self.seed, seeds_IN=self.seed.seeds_IN[index]),
        )

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
        if self.factors is not None:
            return self.factors.draw(count, rng)
        if self.covariance_NII is None:
            return rng.standard_normal((count, n_models, n_tasks)) * np.sqrt(self.examples_IN)
        normal_NRI = rng.standard_normal((n_tasks, count, n_models))
        return np.moveaxis(normal_NRI @ np.swapaxes(self._root_NII, 1, 2), 0, 2)

    @cached_property
    def _root_NII(self) -> Floats:
        """What turns independent draws into draws with the covariance."""
        assert self.covariance_NII is not None
        values, vectors = np.linalg.eigh(self.covariance_NII)
        return np.asarray(vectors * np.sqrt(np.clip(values, 0.0, None))[:, None, :])

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
