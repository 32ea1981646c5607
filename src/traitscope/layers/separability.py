"""How well tasks, and clusters of tasks, can be told apart from the hidden states of one layer."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from traitscope.errors import TraitscopeError

__all__ = ["Separability", "separability"]


@dataclass(frozen=True, slots=True)
class Separability:
    """Separation of labelled points in one layer.

    Attributes:
        probe: cross-validated accuracy of a linear (ridge) classifier on z-scored features.
        probe_chance: the share of the most frequent label.
        purity: mean share of the k nearest neighbours with the point's own label.
        purity_chance: what random neighbours would give.
        silhouette: mean silhouette, -1..1.
        n: points. ``reason`` says why values are NaN, else it is None.
    """

    probe: float
    probe_chance: float
    purity: float
    purity_chance: float
    silhouette: float
    n: int
    reason: str | None = None

    def to_json(self) -> dict[str, float | int | str | None]:
        """The figures by name."""
        return asdict(self)


def separability(
    x_PD: np.ndarray,
    labels: Sequence[str],
    groups: Sequence[str] | None = None,
    *,
    neighbours: int = 10,
    folds: int = 3,
    seed: int = 0,
) -> Separability:
    """Linear probe, k-NN purity and silhouette of points under labels.

    Args:
        x_PD: states of P points in one layer.
        labels: one label per point, for example its task, or its task's cluster.
        groups: one group per point, for example its task where the labels are clusters. Points of one group
            then never stand on both sides of a probe's split, nor count as each other's neighbours: what is
            measured is whether an unseen task falls into its own cluster. Labels with fewer than two groups
            are left out.
        neighbours: k of the purity. folds: splits of the probe. seed: seed of the splits.

    Raises:
        TraitscopeError: lengths differ.
    """
    labels_P = np.asarray(labels)
    groups_P = np.asarray(groups) if groups is not None else None
    if len(labels_P) != len(x_PD) or (groups_P is not None and len(groups_P) != len(x_PD)):
        raise TraitscopeError(
            f"{len(x_PD)} points, {len(labels_P)} labels",
            where="separability",
            fix="give one label per point",
        )
    if groups_P is not None:
        groups_of = Counter(label for label, _ in set(zip(labels_P.tolist(), groups_P.tolist(), strict=True)))
        keep_P = np.array([groups_of[label] >= 2 for label in labels_P.tolist()], dtype=bool)
        x_PD, labels_P, groups_P = x_PD[keep_P], labels_P[keep_P], groups_P[keep_P]
    counts = Counter(labels_P.tolist())
    n = len(labels_P)
    if len(counts) < 2 or min(counts.values()) < folds:
        what = "tasks per cluster" if groups is not None else "points per label"
        return _undefined(n, f"fewer than two labels with enough {what}")
    x_PD = x_PD.astype(np.float64)
    x_PD -= x_PD.mean(axis=0)
    if float(np.abs(x_PD).max()) == 0.0:
        return _undefined(n, "constant: every point has the same state here")
    purity, purity_chance, silhouette = _neighbourhood(x_PD, labels_P, groups_P, neighbours)
    return Separability(
        probe=_probe(x_PD, labels_P, groups_P, folds, seed),
        probe_chance=max(counts.values()) / n,
        purity=purity,
        purity_chance=purity_chance,
        silhouette=silhouette,
        n=n,
    )


def _undefined(n: int, reason: str) -> Separability:
    nan = float("nan")
    return Separability(nan, nan, nan, nan, nan, n, reason)


def _probe(x_PD: np.ndarray, labels_P: np.ndarray, groups_P: np.ndarray | None, folds: int, seed: int) -> float:
    from sklearn.linear_model import RidgeClassifier
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    if groups_P is None:
        splits = StratifiedKFold(folds, shuffle=True, random_state=seed).split(x_PD, labels_P)
    else:
        splits = StratifiedGroupKFold(folds, shuffle=True, random_state=seed).split(x_PD, labels_P, groups_P)
    right = tested = 0
    for train, test in splits:
        known = set(labels_P[train].tolist())
        test = np.array([i for i in test if labels_P[i] in known], dtype=int)
        if len(known) < 2 or len(test) == 0:
            continue
        mean_D, sd_D = x_PD[train].mean(axis=0), x_PD[train].std(axis=0)
        sd_D = np.where(sd_D > 0, sd_D, 1.0)
        with warnings.catch_warnings():
            # With more features than points the ridge system is near-singular by nature.
            warnings.simplefilter("ignore")
            model = RidgeClassifier(alpha=1.0).fit((x_PD[train] - mean_D) / sd_D, labels_P[train])
        right += int(np.sum(model.predict((x_PD[test] - mean_D) / sd_D) == labels_P[test]))
        tested += len(test)
    return right / tested if tested else float("nan")


def _neighbourhood(
    x_PD: np.ndarray, labels_P: np.ndarray, groups_P: np.ndarray | None, k: int
) -> tuple[float, float, float]:
    """Purity, its chance level, and the silhouette."""
    from sklearn.metrics import silhouette_score

    squares_P = np.einsum("pd,pd->p", x_PD, x_PD)
    distance_PP = squares_P[:, None] + squares_P[None, :] - 2.0 * (x_PD @ x_PD.T)
    distance_PP = np.sqrt(np.maximum(distance_PP, 0.0))
    np.fill_diagonal(distance_PP, 0.0)
    same_PP = labels_P[:, None] == labels_P[None, :]
    barred_PP = np.eye(len(labels_P), dtype=bool)
    if groups_P is not None:
        barred_PP = groups_P[:, None] == groups_P[None, :]
    allowed_PP = ~barred_PP
    k = min(k, int(allowed_PP.sum(axis=1).min()))
    nearest_PK = np.argsort(np.where(barred_PP, np.inf, distance_PP), axis=1, kind="stable")[:, :k]
    purity = float(np.take_along_axis(same_PP, nearest_PK, axis=1).mean())
    chance = float(((same_PP & allowed_PP).sum(axis=1) / allowed_PP.sum(axis=1)).mean())
    silhouette = float(silhouette_score(distance_PP, labels_P, metric="precomputed"))
    return purity, chance, silhouette
