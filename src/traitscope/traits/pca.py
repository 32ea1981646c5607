"""Principal components of a score matrix, with a sign rule that does not depend on the solver."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Components:
    """Singular value decomposition of a centred matrix: ``centred = scores @ diag(singular) @ loadings``.

    Attributes:
        scores_IK: left singular vectors U, unit norm, one column per trait.
        singular_K: singular values, largest first.
        loadings_KN: right singular vectors, unit norm, one row per trait.
    """

    scores_IK: Floats
    singular_K: Floats
    loadings_KN: Floats

    def first(self, k: int) -> Components:
        """The k largest components."""
        return Components(self.scores_IK[:, :k], self.singular_K[:k], self.loadings_KN[:k])


def centre_and_scale(values_IN: Floats, scale: bool) -> tuple[Floats, Floats, Floats]:
    """Columns minus their mean over all rows, divided by their standard deviation if ``scale``.

    Returns:
        centred_IN, center_N and scale_N. NaN cells stay NaN and do not count; the standard deviation has
        n - 1 in its denominator; a constant column keeps scale 1 and becomes zero.
    """
    center_N = np.nanmean(values_IN, axis=0)
    scale_N = np.ones(values_IN.shape[1])
    if scale:
        spread_N = np.nanstd(values_IN, axis=0, ddof=1)
        scale_N = np.where(spread_N > 1e-12 * np.maximum(np.abs(center_N), 1.0), spread_N, 1.0)
    return (values_IN - center_N) / scale_N, center_N, scale_N


def signs(loadings_KN: Floats) -> Floats:
    """The sign rule: +1 or -1 per trait, such that the cubes of its loadings sum to something positive.

    Cubes let the large loadings decide together, so that two nearly equal loadings of opposite sign do not
    make the sign a coin toss, as the rule "the largest loading is positive" does. On an exact tie (relative
    1e-9) the first loading that is not zero is positive. Scores take the sign of their loadings.
    """
    cubes_K = (loadings_KN**3).sum(axis=-1)
    size_K = np.maximum((np.abs(loadings_KN) ** 3).sum(axis=-1), 1e-300)
    nonzero_KN = np.abs(loadings_KN) > 1e-9 * np.abs(loadings_KN).max(axis=-1, keepdims=True)
    first_K = np.take_along_axis(loadings_KN, nonzero_KN.argmax(axis=-1)[..., None], axis=-1)[..., 0]
    deciding_K = np.where(np.abs(cubes_K) > 1e-9 * size_K, cubes_K, first_K)
    return np.where(deciding_K < 0, -1.0, 1.0)


def principal_components(centred_IN: Floats) -> Components:
    """All components that a column-centred matrix can have: min(I - 1, N), signs by ``signs``.

    Args:
        centred_IN: columns with mean zero, no missing cells.
    """
    rank = min(centred_IN.shape[0] - 1, centred_IN.shape[1])
    u, s, vt = np.linalg.svd(centred_IN, full_matrices=False)
    sign_K = signs(vt[:rank])
    return Components(u[:, :rank] * sign_K, s[:rank], vt[:rank] * sign_K[:, None])


def explained(singular: Floats) -> Floats:
    """Share of the total variance per component; zeros for a matrix without variance."""
    squares = singular**2
    total = squares.sum(axis=-1, keepdims=True)
    return np.divide(squares, total, out=np.zeros_like(squares), where=total > 0)
