"""Missing cells: regularised iterative PCA, for many matrices at once."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.linalg import eigh

from traitscope.traits.sizes import is_large

Floats = npt.NDArray[np.float64]


def largest_rank(n_models: int, n_tasks: int) -> int:
    """Most components for which a noise variance can still be estimated from what remains."""
    return max(0, min(n_models - 2, n_tasks - 1))


def complete(values_BIN: Floats, k: int, *, iterations: int = 300, tolerance: float = 1e-4) -> Floats:
    """Matrices with their missing cells filled by a rank-k model: column means plus k shrunken components.

    Regularised iterative PCA (Josse & Husson 2012, J. Soc. Franc. Stat. 153(2)), the EM algorithm of a
    fixed-effects probabilistic PCA: fill, centre, decompose, shrink every singular value s to
    ``(s^2 - v max(I - 1, N)) / s`` with the noise variance v of the remaining components, fill again. Plain
    iterative SVD (v = 0) follows the noise much further. Too large a k still does, on small matrices.

    Args:
        values_BIN: matrices (or one, I x N) with NaN in missing cells; every column needs one value.
        k: rank, at most ``largest_rank``.
        iterations: most rounds. tolerance: largest change of a filled cell, in column standard deviations, at
            which to stop.
    """
    single = values_BIN.ndim == 2
    values = values_BIN[None] if single else values_BIN
    gaps = np.isnan(values)
    _, n_models, n_tasks = values.shape
    filled = np.where(gaps, np.nanmean(values, axis=1, keepdims=True), values)
    if gaps.any():
        spread = np.maximum(filled.std(axis=1, keepdims=True), 1e-12)
        active = np.flatnonzero(gaps.any(axis=(1, 2)))
        for _ in range(iterations):
            model = low_rank(filled[active], k, n_models, n_tasks)
            new = np.where(gaps[active], model, values[active])
            change = (np.abs(new - filled[active]) / spread[active]).max(axis=(1, 2))
            filled[active] = new
            active = active[change > tolerance]
            if active.size == 0:
                break
    return filled[0] if single else filled


def _leading(gram: Floats, k: int, large: bool) -> tuple[Floats, Floats]:
    """The k largest eigenvalues, in rising order, and their vectors; of large matrices no others are computed."""
    if not large:
        squares, vectors = np.linalg.eigh(gram)
        return squares[:, -k:], vectors[:, :, -k:]
    size = gram.shape[1]
    found = [eigh(one, subset_by_index=[size - k, size - 1]) for one in gram]
    return np.stack([squares for squares, _ in found]), np.stack([vectors for _, vectors in found])


def low_rank(filled_BIN: Floats, k: int, n_models: int, n_tasks: int) -> Floats:
    """Column means plus k shrunken components of complete matrices."""
    mean = filled_BIN.mean(axis=1, keepdims=True)
    if k == 0:
        return np.broadcast_to(mean, filled_BIN.shape)
    centred = filled_BIN - mean
    # The Gram matrix of the smaller side is several times faster than an SVD and exact enough to fill with.
    wide = n_tasks <= n_models
    gram = np.swapaxes(centred, 1, 2) @ centred if wide else centred @ np.swapaxes(centred, 1, 2)
    top, vectors = _leading(gram, k, is_large(n_models, n_tasks))
    rest = np.maximum(np.trace(gram, axis1=1, axis2=2) - top.sum(axis=1), 0.0)
    noise = rest / max((n_models - 1 - k) * (n_tasks - k), 1)
    shrink = np.clip(1.0 - noise[:, None] * max(n_models - 1, n_tasks) / np.maximum(top, 1e-300), 0.0, 1.0)
    projector = (vectors * shrink[:, None, :]) @ np.swapaxes(vectors, 1, 2)
    return mean + (centred @ projector if wide else projector @ centred)
