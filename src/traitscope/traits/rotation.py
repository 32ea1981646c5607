"""Varimax and promax rotation, for many matrices at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from traitscope.errors import TraitscopeError
from traitscope.traits.pca import Components, signs

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Rotated:
    """Rotated components: ``scores @ diag(singular) @ loadings`` is what it was before the rotation.

    ``correlation_KK`` holds the inner products of the score columns: the identity for varimax.
    """

    components: Components
    correlation_KK: Floats


def varimax(loadings: Floats, *, iterations: int = 2000, tolerance: float = 1e-12) -> Floats:
    """The orthogonal matrix that maximises the variance of squared loadings (Kaiser 1958, not normalised).

    Args:
        loadings: ... x N x K, scaled loadings (each component times its singular value).
        iterations, tolerance: when to stop: relative gain of the criterion's linear bound.

    Returns:
        rotation, ... x K x K; ``loadings @ rotation`` are the rotated loadings.
    """
    stack = loadings.reshape(-1, *loadings.shape[-2:])
    count, n_tasks, k = stack.shape
    rotation = np.broadcast_to(np.eye(k), (count, k, k)).copy()
    if k < 2:
        return rotation.reshape(*loadings.shape[:-2], k, k)
    active = np.arange(count)
    reached = np.zeros(count)
    for _ in range(iterations):
        turned = stack[active] @ rotation[active]
        target = turned**3 - turned * (turned**2).sum(axis=1, keepdims=True) / n_tasks
        u, s, vt = np.linalg.svd(np.swapaxes(stack[active], 1, 2) @ target)
        rotation[active] = u @ vt
        bound = s.sum(axis=1)
        gained = bound > reached[active] * (1.0 + tolerance)
        reached[active] = bound
        active = active[gained]
        if active.size == 0:
            break
    return rotation.reshape(*loadings.shape[:-2], k, k)


def promax(loadings: Floats, *, power: int = 4) -> Floats:
    """The oblique matrix that fits varimax loadings to their own powers (Hendrickson & White 1964).

    Returns:
        rotation, ... x K x K; ``loadings @ rotation`` is the pattern matrix, for traits of unit variance.
    """
    rotation = varimax(loadings)
    if loadings.shape[-1] < 2:
        return rotation
    turned = loadings @ rotation
    target = turned * np.abs(turned) ** (power - 1)
    fit = np.linalg.pinv(turned) @ target
    inverse = np.linalg.pinv(np.swapaxes(fit, -1, -2) @ fit)
    unit = np.sqrt(np.clip(np.diagonal(inverse, axis1=-2, axis2=-1), 0.0, None))
    return rotation @ (fit * unit[..., None, :])


def rotate(scores: Floats, singular: Floats, loadings: Floats, method: str | None) -> Rotated:
    """Rotate components, order them by size, apply the sign rule.

    Loadings times singular values are rotated, scores by the inverse, so that the product stays the same.
    Afterwards loadings have unit norm again (they are no longer orthogonal), score columns have unit norm,
    and the singular value of a trait is the norm of its rotated loadings.

    Args:
        scores: ... x I x K. singular: ... x K. loadings: ... x K x N. method: None, "varimax" or "promax".

    Raises:
        TraitscopeError: unknown method.
    """
    if method not in (None, "varimax", "promax"):
        raise TraitscopeError(f"unknown rotation {method!r}", where="rotate", fix="varimax, promax, or none at all")
    k = singular.shape[-1]
    eye = np.broadcast_to(np.eye(k), (*singular.shape[:-1], k, k))
    if method is None or k < 2:
        return Rotated(Components(scores, singular, loadings), eye)
    scaled = np.swapaxes(loadings * singular[..., :, None], -1, -2)
    turn = varimax(scaled) if method == "varimax" else promax(scaled)
    pattern = scaled @ turn
    turned_scores = scores @ np.linalg.pinv(np.swapaxes(turn, -1, -2))
    size = np.sqrt((pattern**2).sum(axis=-2))
    order = np.argsort(-size, axis=-1, kind="stable")
    size = np.take_along_axis(size, order, axis=-1)
    new_loadings = np.take_along_axis(np.swapaxes(pattern, -1, -2), order[..., :, None], axis=-2)
    new_loadings = new_loadings / np.maximum(size, 1e-300)[..., :, None]
    new_scores = np.take_along_axis(turned_scores, order[..., None, :], axis=-1)
    sign = signs(new_loadings)
    new_scores = new_scores * sign[..., None, :]
    correlation = np.swapaxes(new_scores, -1, -2) @ new_scores
    return Rotated(Components(new_scores, size, new_loadings * sign[..., :, None]), correlation)
