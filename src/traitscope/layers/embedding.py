"""Two-dimensional maps of one layer's states, with a caption that says how they were made."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from traitscope.errors import TraitscopeError

__all__ = ["Embedding", "tsne"]


@dataclass(frozen=True, slots=True)
class Embedding:
    """Coordinates xy_P2 of P points, their labels, and the caption to print under the panel."""

    model: str
    layer: int
    xy_P2: np.ndarray
    labels: tuple[str, ...]
    perplexity: float
    seed: int
    caption: str

    def to_json(self) -> dict[str, Any]:
        """Everything, coordinates rounded to 1e-3 (a t-SNE panel's unit is arbitrary)."""
        return {
            "model": self.model,
            "layer": self.layer,
            "xy": np.round(self.xy_P2.astype(float), 3).tolist(),
            "labels": list(self.labels),
            "perplexity": self.perplexity,
            "seed": self.seed,
            "caption": self.caption,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Embedding:
        """Inverse of `to_json`."""
        return cls(
            model=data["model"],
            layer=data["layer"],
            xy_P2=np.asarray(data["xy"], dtype=np.float32).reshape(-1, 2),
            labels=tuple(data["labels"]),
            perplexity=data["perplexity"],
            seed=data["seed"],
            caption=data["caption"],
        )


def tsne(
    x_PD: np.ndarray,
    labels: Sequence[str],
    *,
    model: str,
    layer: int,
    perplexity: float = 30.0,
    seed: int = 0,
    iterations: int = 500,
) -> Embedding:
    """t-SNE of one layer's states (scikit-learn), started from the first two principal components.

    The states are first reduced to at most 50 principal components, as van der Maaten and Hinton 2008 do.

    Args:
        x_PD: states of P points.
        labels: one label (task) per point, counted in the caption.
        model, layer: named in the caption.
        perplexity: lowered to (P - 1) / 3 where there are few points.
        seed: seed of the optimiser. iterations: gradient steps (at least 250).

    Raises:
        TraitscopeError: fewer than 8 points, lengths that differ, or constant states.
    """
    where = f"t-SNE of {model}, layer {layer}"
    if len(x_PD) != len(labels) or len(x_PD) < 8:
        raise TraitscopeError(f"{len(x_PD)} points, {len(labels)} labels", where=where, fix="give at least 8 points")
    x_PD = x_PD.astype(np.float64)
    x_PD -= x_PD.mean(axis=0)
    scale = float(np.sqrt(np.mean(np.square(x_PD))))
    if scale == 0.0:
        raise TraitscopeError("every point has the same state", where=where, fix="choose a deeper layer")
    from sklearn.manifold import TSNE

    reduced_PK = _principal(x_PD / scale, 50)
    perplexity = min(perplexity, (len(x_PD) - 1) / 3)
    start_P2 = reduced_PK[:, :2] / max(float(reduced_PK[:, 0].std()), 1e-12) * 1e-4
    if start_P2.shape[1] < 2:
        start_P2 = np.pad(start_P2, ((0, 0), (0, 2 - start_P2.shape[1])))
    model_tsne = TSNE(2, perplexity=perplexity, init=start_P2, random_state=seed, max_iter=max(250, iterations))
    xy_P2 = model_tsne.fit_transform(reduced_PK).astype(np.float32)
    per_task = sorted(set(Counter(labels).values()))
    points = f"{per_task[0]}" if len(per_task) == 1 else f"{per_task[0]}-{per_task[-1]}"
    caption = (
        f"{model}, layer {layer}: t-SNE of {len(labels)} examples, {points} per task, "
        f"perplexity {perplexity:g}, started from principal components, seed {seed}"
    )
    return Embedding(model, layer, xy_P2, tuple(labels), float(perplexity), seed, caption)


def _principal(x_PD: np.ndarray, count: int) -> np.ndarray:
    """Scores on the first ``count`` principal components; the largest score of each is positive."""
    from scipy.linalg import eigh

    p, d = x_PD.shape
    count = min(count, p, d)
    square = x_PD.T @ x_PD if d < p else x_PD @ x_PD.T
    values_K, vectors_K = eigh(square, subset_by_index=[len(square) - count, len(square) - 1])
    vectors_K = vectors_K[:, ::-1]
    scores_PK = x_PD @ vectors_K if d < p else vectors_K * np.sqrt(np.maximum(values_K[::-1], 0.0))
    peak_K = scores_PK[np.argmax(np.abs(scores_PK), axis=0), np.arange(count)]
    return scores_PK * np.where(peak_K < 0, -1.0, 1.0)
