"""Explained variance of matrices in which the tasks have nothing in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from traitscope.texts import frame_text
from traitscope.traits.pca import explained
from traitscope.traits.sizes import FEWEST_PERMUTATIONS, portions, repetitions, singular_values

Floats = npt.NDArray[np.float64]
Blocks = Sequence[npt.NDArray[np.int64]]


@dataclass(frozen=True, eq=False)
class PermutationNull:
    """Explained variance beside what it is after permuting every column by itself (parallel analysis).

    Attributes:
        explained_M: observed share of variance per component.
        mean_M: mean share over permutations. q95_M: its 95 % quantile.
        cumulative_M: observed cumulative share. cumulative_mean_M: its mean over permutations.
        p_M: (1 + permutations with at least the observed share) / (1 + permutations), per component.
        permutations: how many were drawn.
        alpha: level below which a component counts as beating the null.
    """

    explained_M: Floats
    mean_M: Floats
    q95_M: Floats
    cumulative_M: Floats
    cumulative_mean_M: Floats
    p_M: Floats
    permutations: int
    alpha: float

    @property
    def count(self) -> int:
        """Leading components that beat the null one after the other; too few when there are several."""
        failed = np.flatnonzero(self.p_M > self.alpha)
        return int(failed[0]) if failed.size else len(self.p_M)

    def frame(self) -> pd.DataFrame:
        """One row per component: observed, null mean and 95 % quantile, p, both cumulative."""
        return pd.DataFrame(
            {
                "explained": self.explained_M,
                "null_mean": self.mean_M,
                "null_q95": self.q95_M,
                "p": self.p_M,
                "cumulative": self.cumulative_M,
                "null_cumulative": self.cumulative_mean_M,
            },
            index=pd.RangeIndex(1, len(self.p_M) + 1, name="component"),
        )

    def __str__(self) -> str:
        return frame_text(self.frame(), "{:.3f}")


def permuted(copies_RIN: Floats, rng: np.random.Generator, blocks: Blocks | None = None) -> Floats:
    """Every column of every copy put into another order, within blocks of rows where these are given."""
    if blocks is None or len(blocks) == 1:
        return rng.permuted(copies_RIN, axis=1)
    moved = np.array(copies_RIN)
    for rows in blocks:
        moved[:, rows] = rng.permuted(moved[:, rows], axis=1)
    return moved


def permutation_null(
    centred_IN: Floats,
    *,
    permutations: int,
    rng: np.random.Generator,
    alpha: float = 0.05,
    blocks: Blocks | None = None,
) -> PermutationNull:
    """Explained variance of a matrix and of its column permutations (Horn 1965; Buja & Eyuboglu 1992).

    Components after the first are compared with a null that still holds the variance of the components
    before them, so several real traits hide one another: 11 x 10 matrices with three traits at twice the
    noise edge pass for fewer in three cases of four. It is shown for that reason, not used for the count.

    Args:
        centred_IN: centred (and scaled, if the analysis is) columns without missing cells.
        permutations: number of draws, fewer on a large matrix (``sizes``). alpha: level of ``count``.
        blocks: rows that are exchanged among each other alone, as those centred together.
    """
    rank = min(centred_IN.shape[0] - (1 if blocks is None else len(blocks)), centred_IN.shape[1])
    observed_M = explained(singular_values(centred_IN)[:rank])
    permutations = repetitions(permutations, centred_IN.shape, FEWEST_PERMUTATIONS)
    drawn = []
    for size in portions(permutations, centred_IN.shape):
        copies = np.broadcast_to(centred_IN, (size, *centred_IN.shape))
        drawn.append(singular_values(permuted(copies, rng, blocks))[:, :rank])
    null_RM = explained(np.concatenate(drawn).astype(np.float64))
    return PermutationNull(
        explained_M=observed_M,
        mean_M=null_RM.mean(axis=0),
        q95_M=np.quantile(null_RM, 0.95, axis=0),
        cumulative_M=observed_M.cumsum(),
        cumulative_mean_M=null_RM.mean(axis=0).cumsum(),
        p_M=(1 + (null_RM >= observed_M - 1e-12).sum(axis=0)) / (permutations + 1),
        permutations=permutations,
        alpha=alpha,
    )
