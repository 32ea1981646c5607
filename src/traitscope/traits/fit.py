"""From a score matrix to traits."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
import numpy.typing as npt

from traitscope.errors import TraitscopeError
from traitscope.matrix import ScoreMatrix
from traitscope.matrix.views import logit_with_stderr
from traitscope.traits import rotation
from traitscope.traits.count import (
    SequentialTest,
    TraitCount,
    held_out_cells,
    sequential_permutation,
    sequential_test,
    state_count,
)
from traitscope.traits.intervals import Decomposer, Stability, intervals, leave_out
from traitscope.traits.missing import complete, largest_rank
from traitscope.traits.naming import propose_names, task_labels
from traitscope.traits.null import permutation_null
from traitscope.traits.pca import centre_and_scale, principal_components
from traitscope.traits.result import Traits
from traitscope.traits.skills import declared_skills, skill_agreement

Floats = npt.NDArray[np.float64]

VIEWS = ("raw", "gain", "logit")


def fit_traits(
    scores: ScoreMatrix,
    *,
    view: str = "raw",
    scale: bool = False,
    rotate: str | None = None,
    k: int | str = "auto",
    seeds: str = "mean",
    words: Mapping[str, Collection[str]] | None = None,
    permutations: int = 1000,
    draws: int = 1000,
    replicates: int = 500,
    held_out: int = 3,
    level: float = 0.95,
    alpha: float = 0.05,
    seed: int = 0,
) -> Traits:
    """Traits of a score matrix, how many there are, and how sure one can be of each.

    Columns are centred over all rows, the base included, as in the transfer paper (Krishna et al. 2025).

    Args:
        scores: the matrix. Metrics that are better when lower change sign first.
        view: "raw", "gain" (over each row's base) or "logit" (log-odds of shares).
        scale: divide columns by their standard deviation, so that all tasks weigh the same.
        rotate: None, "varimax" or "promax".
        k: traits to keep; "auto" keeps those above the cells' noise or, without standard errors, those that
            held-out cells or the lower bound support; always at least one, marked if it is not supported.
        seeds: "mean" makes one row per source, "rows" keeps every seed as a row.
        words: the user's own names: name -> tasks that it stands for.
        permutations: draws of the permutation tests. draws: simulated noise matrices. replicates: resampled
            matrices behind the intervals (0 leaves the intervals out). held_out: rounds of ten-fold prediction
            of held-out cells (0 leaves them out). level: nominal coverage.
        alpha: level of the tests. seed: seed of all draws.

    Returns:
        The traits; missing cells are filled by regularised iterative PCA with the traits kept.

    Raises:
        TraitscopeError: too few rows, columns or cells; unknown option; k out of range.
    """
    _check_options(view, rotate, seeds)
    matrix = scores.by_source() if seeds == "mean" else scores
    values_IN = _in_view(matrix, view, matrix.scores_IN[None])[0]
    notes = [*matrix.notes, *_check_cells(matrix, values_IN)]
    rng = np.random.default_rng(seed)
    gaps = np.isnan(values_IN)

    noise = matrix.noise()
    sequential: SequentialTest | None = None
    _, _, spread_N = centre_and_scale(values_IN, True)
    unit_N, unit = spread_N, "column standard deviations"
    if noise is not None:
        drawn_RIN = _noise_in_view(matrix, view, noise.draw(draws, rng))
        sequential = sequential_test(values_IN, drawn_RIN, alpha=alpha, method=noise.source)
        unit_N, unit = np.sqrt((drawn_RIN**2).mean(axis=(0, 1))), "noise"
        if noise.seed is None and (matrix.rows["source"].notna()).any():
            notes.append("one seed per source: the noise is that of the examples only; a trait may be run-to-run noise")
    predicted = held_out_cells(values_IN, unit_N, unit, rng=rng, repeats=held_out)
    guess = predicted.count if predicted is not None else 0
    rough_IN, _, _ = centre_and_scale(complete(values_IN, guess), scale)
    permuted = sequential_permutation(rough_IN, permutations=permutations, rng=rng, alpha=alpha)
    supported = permuted.count if sequential is None else sequential.count

    kept = _choose_k(k, supported, guess if sequential is None else 0, values_IN.shape, bool(gaps.any()))
    filled_IN = complete(values_IN, kept) if gaps.any() else values_IN
    centred_IN, center_N, scale_N = centre_and_scale(filled_IN, scale)
    null = permutation_null(centred_IN, permutations=permutations, rng=rng, alpha=alpha)
    first = principal_components(centred_IN).first(kept)
    turned = rotation.rotate(first.scores_IK, first.singular_K, first.loadings_KN, rotate)
    found = turned.components
    energy = max(float((centred_IN**2).sum()), 1e-300)
    explained_K = found.singular_K**2 / energy

    decompose = Decomposer(kept, scale, rotate)
    made = None
    noise_K, subspace = np.full(kept, np.nan), float("nan")
    if noise is not None and replicates > 0:
        copies_RIN = _in_view(matrix, view, matrix.replicates(replicates, seed))
        copies_RIN[:, gaps] = np.nan
        made, noise_K, subspace = intervals(found, explained_K, copies_RIN, decompose, level=level, source=noise.source)
    base_rows = set(matrix.base_index_I.tolist())
    adapters = np.array([i for i in range(len(matrix.models)) if i not in base_rows], dtype=np.int64)
    adapter_out, task_out = leave_out(found, values_IN, decompose, adapters)
    worst = np.vstack([adapter_out.min(axis=0), task_out.min(axis=0), noise_K])
    figure_K = np.where(np.isnan(worst).all(axis=0), np.nan, np.fmin.reduce(worst, axis=0))
    skills = declared_skills(matrix.tasks, matrix.tags)
    agreement = None
    if skills:
        agreement = skill_agreement(found.loadings_KN, found.singular_K, skills, rng=rng)
    above = [i < supported for i in range(kept)] if rotate is None else [kept <= supported] * kept
    return Traits(
        models=matrix.models,
        tasks=matrix.tasks,
        base=matrix.base_name,
        view=view,
        scaled=scale,
        rotation=rotate,
        center_N=center_N,
        scale_N=scale_N,
        loadings_KN=found.loadings_KN,
        scores_IK=found.scores_IK,
        singular_K=found.singular_K,
        explained_K=explained_K,
        correlation_KK=turned.correlation_KK,
        null=null,
        count=TraitCount(
            supported=supported,
            sequential=sequential,
            held_out=predicted,
            permutation=permuted,
            parallel=null.count,
            statement=state_count(sequential, permuted, predicted),
        ),
        above_null_K=tuple(above),
        intervals=made,
        stability=Stability(
            figure_K=figure_K,
            adapter_out_JK=adapter_out,
            adapters=tuple(matrix.models[i] for i in adapters),
            task_out_NK=task_out,
            noise_K=noise_K,
            subspace=subspace,
        ),
        names=propose_names(found.loadings_KN, matrix.tasks, task_labels(matrix.tasks, matrix.tags, words), rng=rng),
        skills=agreement,
        filled_IN=filled_IN,
        missing=int(gaps.sum()),
        seed=seed,
        notes=tuple(notes),
    )


def _check_options(view: str, rotate: str | None, seeds: str) -> None:
    """Raise for an option that does not exist."""
    for name, value, allowed in (
        ("view", view, VIEWS),
        ("rotate", rotate, (None, "varimax", "promax")),
        ("seeds", seeds, ("mean", "rows")),
    ):
        if value not in allowed:
            known = ", ".join(str(a) for a in allowed)
            raise TraitscopeError(f"unknown {name} {value!r}", where="fit_traits", fix=f"one of: {known}")


def _in_view(matrix: ScoreMatrix, view: str, raw_RIN: Floats) -> Floats:
    """Copies of the raw scores in the view, higher is better."""
    if view == "gain":
        matrix.gains()
        raw_RIN = raw_RIN - raw_RIN[:, matrix.base_index_I]
    if view == "logit":
        matrix.logit()
        top_N = _full_mark(matrix)
        raw_RIN = logit_with_stderr(raw_RIN / top_N, np.zeros(()), matrix.n_IN)[0]
    return raw_RIN * matrix.sign_N


def _noise_in_view(matrix: ScoreMatrix, view: str, noise_RIN: Floats) -> Floats:
    """Errors of the raw scores as errors of the view (log-odds by the delta method)."""
    if view == "gain":
        return (noise_RIN - noise_RIN[:, matrix.base_index_I]) * matrix.sign_N
    if view == "logit":
        top_N = _full_mark(matrix)
        _, slope_IN = logit_with_stderr(matrix.scores_IN / top_N, 1.0 / top_N, matrix.n_IN)
        return noise_RIN * np.nan_to_num(slope_IN) * matrix.sign_N
    return noise_RIN * matrix.sign_N


def _full_mark(matrix: ScoreMatrix) -> Floats:
    """100 for percentages, 1 for fractions."""
    return np.array([100.0 if matrix.units[t] == "percent" else 1.0 for t in matrix.tasks])


def _check_cells(matrix: ScoreMatrix, values_IN: Floats) -> list[str]:
    """Notes on constant tasks; raises where there is too little to analyse."""
    n_models, n_tasks = values_IN.shape
    if n_models < 3 or n_tasks < 2:
        raise TraitscopeError(
            f"{n_models} models x {n_tasks} tasks are too few for traits",
            where="traits",
            fix="at least 3 models and 2 tasks",
        )
    known = np.isfinite(values_IN)
    thin = [t for t, count in zip(matrix.tasks, known.sum(axis=0), strict=True) if count < 3]
    if thin:
        raise TraitscopeError(
            f"fewer than 3 models have a score on {', '.join(thin)}",
            where="traits",
            fix="leave these tasks out",
        )
    empty = [m for m, count in zip(matrix.models, known.sum(axis=1), strict=True) if count == 0]
    if empty:
        raise TraitscopeError(
            f"no score at all for {', '.join(empty[:10])}", where="traits", fix="leave these models out"
        )
    spread_N = np.nanmax(values_IN, axis=0) - np.nanmin(values_IN, axis=0)
    if not spread_N.any():
        raise TraitscopeError(
            "all models have the same scores", where="traits", fix="nothing varies, so there are no traits"
        )
    flat = [t for t, s in zip(matrix.tasks, spread_N, strict=True) if s == 0]
    notes = [f"no difference between models on {', '.join(flat)}: these load on no trait"] if flat else []
    gaps = int((~known).sum())
    if gaps:
        notes.append(f"{gaps} missing cells were filled by regularised iterative PCA with the traits kept")
    return notes


def _choose_k(k: int | str, supported: int, held_out: int, shape: tuple[int, ...], gaps: bool) -> int:
    """Number of traits to keep; raises if the wish cannot be met."""
    n_models, n_tasks = shape
    most = largest_rank(n_models, n_tasks) if gaps else min(n_models - 1, n_tasks)
    if k == "auto":
        return max(1, min(max(supported, held_out), most))
    if isinstance(k, bool) or not isinstance(k, int) or not 1 <= k <= most:
        raise TraitscopeError(
            f"k is {k!r}",
            where="fit_traits, k",
            fix=f"'auto' or a whole number from 1 to {most} for {n_models} x {n_tasks}"
            + (" with missing cells" if gaps else ""),
        )
    return k
