"""How many dimensions a set of hidden states uses, and how unevenly."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from traitscope.errors import TraitscopeError
from traitscope.layers.representation import Representation

__all__ = [
    "SPECTRUM_NAMES",
    "Spectrum",
    "dims_for_share",
    "effective_rank",
    "participation_ratio",
    "spectrum",
]

SPECTRUM_NAMES = ("dims99", "participation_ratio", "effective_rank", "anisotropy", "top_dimension")


@dataclass(frozen=True, slots=True)
class Spectrum:
    """Spectral figures of one (model, task, layer).

    Attributes:
        dims99: principal components that hold 99 % of the variance; grows with n, compare at equal n only.
        participation_ratio: (sum of eigenvalues)^2 / sum of their squares; settles at a few hundred examples.
        effective_rank: exp of the entropy of the normalised singular values (Roy and Vetterli 2007).
        anisotropy: mean cosine between two examples' states, not centred (Ethayarajh 2019, arXiv 1909.00512).
        top_dimension: share of the variance that lies in the single most variable feature (Timkey and van
            Schijndel 2021, arXiv 2109.04404, call such features rogue dimensions).
    """

    dims99: float
    participation_ratio: float
    effective_rank: float
    anisotropy: float
    top_dimension: float

    def to_json(self) -> dict[str, float]:
        """The figures by name."""
        return asdict(self)


def dims_for_share(eigenvalues: np.ndarray, share: float = 0.99) -> int:
    """Smallest number of principal components whose variances add up to ``share`` of the whole.

    Raises:
        TraitscopeError: ``share`` outside (0, 1].
    """
    if not 0.0 < share <= 1.0:
        raise TraitscopeError(f"share {share} is not in (0, 1]", where="dims_for_share", fix="use e.g. 0.99")
    cumulative = np.cumsum(np.sort(eigenvalues)[::-1])
    # The slack keeps rounding from adding a component when the sum meets the share exactly.
    return int(np.searchsorted(cumulative, share * cumulative[-1] * (1 - 1e-12)) + 1)


def participation_ratio(eigenvalues: np.ndarray) -> float:
    """(sum of eigenvalues)^2 / sum of squared eigenvalues: between 1 and their number."""
    return float(eigenvalues.sum() ** 2 / np.square(eigenvalues).sum())


def effective_rank(eigenvalues: np.ndarray) -> float:
    """exp(entropy of singular values / their sum), Roy and Vetterli 2007; singular value = root of eigenvalue."""
    singular = np.sqrt(np.maximum(eigenvalues, 0.0))
    share = singular[singular > 0] / singular.sum()
    return float(np.exp(-np.sum(share * np.log(share))))


def spectrum(rep: Representation, x_SD: np.ndarray) -> Spectrum:
    """Spectral figures of a representation.

    Args:
        rep: the centred states.
        x_SD: the same states as captured, not centred (anisotropy is about directions from the origin).

    Returns:
        NaN in every field but the anisotropy where the states are constant.
    """
    x64_SD = x_SD.astype(np.float64, copy=False)
    norms_S = np.sqrt(np.einsum("sd,sd->s", x64_SD, x64_SD))
    n = len(norms_S)
    if (norms_S > 0).all() and n > 1:
        total_D = (1.0 / norms_S) @ x64_SD
        anisotropy = float((total_D @ total_D - n) / (n * (n - 1)))
    else:
        anisotropy = float("nan")
    if rep.undefined is not None:
        nan = float("nan")
        return Spectrum(nan, nan, nan, anisotropy, nan)
    eigenvalues = rep.eigenvalues
    variance_D = np.einsum("sd,sd->d", rep.x_SD, rep.x_SD, dtype=np.float64)
    return Spectrum(
        dims99=float(dims_for_share(eigenvalues)),
        participation_ratio=participation_ratio(eigenvalues),
        effective_rank=effective_rank(eigenvalues),
        anisotropy=anisotropy,
        top_dimension=float(variance_D.max() / variance_D.sum()),
    )
