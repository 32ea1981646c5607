"""From a score matrix to traits."""

from __future__ import annotations

import numpy as np

from traitscope.errors import TraitscopeError
from traitscope.matrix import ScoreMatrix
from traitscope.traits.null import permutation_null
from traitscope.traits.pca import centre_and_scale, principal_components
from traitscope.traits.result import Traits


def fit_traits(
    scores: ScoreMatrix,
    *,
    view: str = "raw",
    scale: bool = False,
    k: int | str = "auto",
    seeds: str = "mean",
    permutations: int = 1000,
    alpha: float = 0.05,
    seed: int = 0,
) -> Traits:
    """Traits of a score matrix: principal components beside a permutation null.

    Args:
        scores: the matrix; columns are centred over all rows, the base included, as the transfer paper does.
        view: "raw", "gain" or "logit". Metrics that are better when lower change sign first.
        scale: divide columns by their standard deviation.
        k: number of traits to keep, or "auto".
        seeds: "mean" merges the seeds of a source into one row, "rows" keeps them apart.
        permutations: draws of the permutation null. alpha: level of all tests. seed: seed of all draws.

    Raises:
        TraitscopeError: fewer than 3 rows or 2 columns, or missing cells.
    """
    merged = scores.by_source() if seeds == "mean" else scores
    shown = merged.view(view)
    values_IN = shown.values_IN if view == "gain" else shown.values_IN * merged.sign_N
    n_models, n_tasks = values_IN.shape
    if n_models < 3 or n_tasks < 2:
        raise TraitscopeError(
            f"{n_models} models x {n_tasks} tasks are too few for traits",
            where="traits",
            fix="at least 3 models and 2 tasks",
        )
    if np.isnan(values_IN).any():
        raise TraitscopeError("cells are missing", where="traits", fix="fill them first")
    centred_IN, center_N, scale_N = centre_and_scale(values_IN, scale)
    rng = np.random.default_rng(seed)
    null = permutation_null(centred_IN, permutations=permutations, rng=rng, alpha=alpha)
    found = principal_components(centred_IN)
    kept = found.first(max(1, null.count) if isinstance(k, str) else int(k))
    return Traits(
        models=merged.models,
        tasks=merged.tasks,
        base=merged.base_name,
        view=view,
        scaled=scale,
        rotation=None,
        center_N=center_N,
        scale_N=scale_N,
        loadings_KN=kept.loadings_KN,
        scores_IK=kept.scores_IK,
        singular_K=kept.singular_K,
        explained_K=null.explained_M[: len(kept.singular_K)],
        null=null,
        seed=seed,
        notes=merged.notes,
    )
