"""How far loadings and scores could move: intervals over cell noise, and leaving models or tasks out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

from traitscope.matrix.part import evenly
from traitscope.traits.factors import Factors, fit_factors
from traitscope.traits.missing import complete
from traitscope.traits.pca import Components
from traitscope.traits.rotation import rotate
from traitscope.traits.sizes import FEWEST_LEFT_OUT, is_large, leading_components, portions

Floats = npt.NDArray[np.float64]
# Rounds of the factors that fill gaps: from nothing, and from factors that are near.
ROUNDS, ROUNDS_NEAR = 60, 10


class Decomposed(NamedTuple):
    """The traits of a stack of matrices."""

    scores_BIK: Floats
    singular_BK: Floats
    loadings_BKN: Floats
    explained_BK: Floats


@dataclass(frozen=True, eq=False)
class Intervals:
    """Intervals of loadings and scores: what other examples (and seeds) would have given.

    Attributes:
        loadings_low_KN, loadings_high_KN, scores_low_IK, scores_high_IK: their ends.
        explained_low_K, explained_high_K: of the explained shares.
        level: nominal coverage. replicates: draws. source: what was resampled.
    """

    loadings_low_KN: Floats
    loadings_high_KN: Floats
    scores_low_IK: Floats
    scores_high_IK: Floats
    explained_low_K: Floats
    explained_high_K: Floats
    level: float
    replicates: int
    source: str


@dataclass(frozen=True, eq=False)
class Stability:
    """Absolute cosines between each trait and its match when something is changed: 1 is the same trait.

    Attributes:
        figure_K: one number per trait: the smallest of the three below (of the medians for ``noise_K``).
        adapter_out_JK: leave-one-adapter-out: loadings, one row per adapter left out (of a large matrix some).
        adapters: names of the adapters left out.
        task_out_NK: leave-one-task-out: scores, one row per task; NaN where it was not left out.
        noise_K: median over noise replicates, loadings; NaN without standard errors.
        subspace: mean squared cosine of the principal angles between the span of the traits and that of a
            replicate (median over replicates): indifferent to rotation within the span; NaN without noise.
    """

    figure_K: Floats
    adapter_out_JK: Floats
    adapters: tuple[str, ...]
    task_out_NK: Floats
    noise_K: Floats
    subspace: float


@dataclass(frozen=True, eq=False)
class Decomposer:
    """The whole way from a matrix to K rotated components, repeated alike on replicates.

    Attributes:
        precision_IN: 1 / error variance of the cells (one for all matrices, or one each), with which gaps are filled by
            factors; None where the errors are not known, and gaps are filled by regularised iterative PCA.
        start: factors near to those that fill the gaps, from which they are found in few rounds; None: from nothing.
    """

    k: int
    scale: bool
    rotation: str | None
    precision_IN: Floats | None = None
    start: Factors | None = None

    def fill(self, values_BIN: Floats) -> Floats:
        """The matrices with their gaps (NaN) filled."""
        gaps = np.isnan(values_BIN)
        if not gaps.any():
            return values_BIN
        low = np.where(gaps, np.inf, values_BIN).min(axis=-2, keepdims=True)
        high = np.where(gaps, -np.inf, values_BIN).max(axis=-2, keepdims=True)
        # Of a column without differences there is one thing to expect; scaled, the rounding of a fit would be a trait.
        flat = (high >= low) & (high - low <= 1e-12 * np.maximum(np.abs(high), 1.0))
        return np.where(gaps & flat, low, self._filled(values_BIN, gaps))

    def _filled(self, values_BIN: Floats, gaps: npt.NDArray[np.bool_]) -> Floats:
        if self.precision_IN is None:
            return complete(values_BIN, self.k)
        held = np.where(gaps, 0.0, values_BIN)
        rounds = ROUNDS if self.start is None else ROUNDS_NEAR
        fitted = fit_factors(held, np.where(gaps, 0.0, self.precision_IN), self.k, start=self.start, iterations=rounds)
        return np.where(gaps, fitted.fitted_BIN, values_BIN)

    def without_each(self, values_IN: Floats, at: Sequence[int], axis: int) -> Decomposed:
        """As a call, on the matrices that lack one row (axis 0) or column (axis 1) each."""
        found, done = [], 0
        for size in portions(len(at), values_IN.shape):
            part, left = at[done : done + size], self.precision_IN
            if left is not None:
                left = np.stack([np.delete(left, i, axis=axis) for i in part])
            stack = np.stack([np.delete(values_IN, i, axis=axis) for i in part])
            found.append(replace(self, precision_IN=left)(stack))
            done += size
        return Decomposed(*(np.concatenate(parts) for parts in zip(*found, strict=True)))

    def __call__(self, values_BIN: Floats) -> Decomposed:
        """Scores BIK, singular BK, loadings BKN and explained BK of a stack of matrices, gaps filled."""
        parts, done = [], 0
        for size in portions(len(values_BIN), values_BIN.shape):
            part = slice(done, done + size)
            given = self.precision_IN
            precision = given[part] if given is not None and given.ndim == 3 else given
            parts.append(replace(self, precision_IN=precision)._decompose(values_BIN[part]))
            done += size
        return Decomposed(*(np.concatenate(found) for found in zip(*parts, strict=True)))

    def _decompose(self, values_BIN: Floats) -> Decomposed:
        filled = self.fill(values_BIN)
        centred = filled - filled.mean(axis=-2, keepdims=True)
        if self.scale:
            spread = centred.std(axis=-2, ddof=1, keepdims=True)
            centred = centred / np.where(spread > 1e-12, spread, 1.0)
        if is_large(*centred.shape[-2:]):
            found = [leading_components(one, self.k) for one in centred]
            u, s, vt = (np.stack(parts) for parts in zip(*found, strict=True))
            energy = (centred**2).sum(axis=(-2, -1))[..., None]
        else:
            u, s, vt = np.linalg.svd(centred, full_matrices=False)
            energy = (s**2).sum(axis=-1, keepdims=True)
        turned = rotate(u[..., : self.k], s[..., : self.k], vt[..., : self.k, :], self.rotation).components
        total = np.maximum(energy, 1e-300)
        return Decomposed(turned.scores_IK, turned.singular_K, turned.loadings_KN, turned.singular_K**2 / total)


def match_components(reference_KN: Floats, others_BMN: Floats) -> tuple[npt.NDArray[np.int64], Floats]:
    """For every replicate, which of its components is which of the reference's, and with which sign.

    The assignment maximises the summed absolute cosines (Hungarian method). Only permutation and sign are
    free: a Procrustes rotation would also turn real differences away.

    Returns:
        index_BK into the M components of each replicate, and cosine_BK with its sign.
    """
    reference = reference_KN / np.maximum(np.linalg.norm(reference_KN, axis=-1, keepdims=True), 1e-300)
    norms = np.maximum(np.linalg.norm(others_BMN, axis=-1, keepdims=True), 1e-300)
    cosine_BKM = reference @ np.swapaxes(others_BMN / norms, -1, -2)
    index = np.zeros(cosine_BKM.shape[:2], dtype=np.int64)
    for b, cosine in enumerate(np.abs(cosine_BKM)):
        index[b] = linear_sum_assignment(-cosine)[1]
    return index, np.take_along_axis(cosine_BKM, index[..., None], axis=-1)[..., 0]


class Resampled(NamedTuple):
    """What replicates with redrawn noise say of the traits.

    Attributes:
        intervals: of loadings and scores; None where the cells' errors are not known.
        noise_K, subspace: as in ``Stability``.
    """

    intervals: Intervals | None
    noise_K: Floats
    subspace: float


def resample(
    found: Components,
    explained_K: Floats,
    truths: Decomposed,
    replicates: Decomposed,
    *,
    level: float,
    source: str,
) -> Resampled:
    """Intervals by a parametric bootstrap: how far traits of simulated matrices lie from the traits of their truths.

    An end lies as far from the estimate as the ``level`` quantile of these distances, component by component matched
    to the truth's own.

    Args:
        found: the traits. explained_K: their shares.
        truths: the traits of matrices without noise. replicates: of the same as they might have been measured.
        level: nominal coverage. source: what was resampled.
    """
    true_scores, _, true_loadings, true_explained = truths
    scores_RIK, _, loadings_RKN, explained_RK = replicates
    index_RK, cosine_RK = match_components(true_loadings, loadings_RKN)
    sign_RK = np.where(cosine_RK < 0, -1.0, 1.0)
    loadings_RKN = np.take_along_axis(loadings_RKN, index_RK[:, :, None], axis=1) * sign_RK[:, :, None]
    scores_RIK = np.take_along_axis(scores_RIK, index_RK[:, None, :], axis=2) * sign_RK[:, None, :]
    explained_RK = np.take_along_axis(explained_RK, index_RK, axis=1)

    def reach(drawn: Floats, true: Floats) -> Floats:
        return np.quantile(np.abs(drawn - true), level, axis=0)

    # The traits of a simulated truth may stand in another order than those found.
    order_RK = match_components(found.loadings_KN, true_loadings)[0]
    loading = reach(*(np.take_along_axis(a, order_RK[:, :, None], axis=1) for a in (loadings_RKN, true_loadings)))
    score = reach(*(np.take_along_axis(a, order_RK[:, None, :], axis=2) for a in (scores_RIK, true_scores)))
    share = reach(*(np.take_along_axis(a, order_RK, axis=1) for a in (explained_RK, true_explained)))
    spans_RNK, _ = np.linalg.qr(np.swapaxes(true_loadings, 1, 2))
    others_RNK, _ = np.linalg.qr(np.swapaxes(loadings_RKN, 1, 2))
    overlap_R = ((np.swapaxes(spans_RNK, 1, 2) @ others_RNK) ** 2).sum(axis=(1, 2)) / max(len(found.singular_K), 1)
    cosine_RK = np.take_along_axis(np.abs(cosine_RK), order_RK, axis=1)
    made = Intervals(
        loadings_low_KN=np.clip(found.loadings_KN - loading, -1.0, 1.0),
        loadings_high_KN=np.clip(found.loadings_KN + loading, -1.0, 1.0),
        scores_low_IK=np.clip(found.scores_IK - score, -1.0, 1.0),
        scores_high_IK=np.clip(found.scores_IK + score, -1.0, 1.0),
        explained_low_K=np.clip(explained_K - share, 0.0, 1.0),
        explained_high_K=np.clip(explained_K + share, 0.0, 1.0),
        level=level,
        replicates=len(explained_RK),
        source=source,
    )
    return Resampled(made, np.median(cosine_RK, axis=0), float(np.median(overlap_R)))


def stability(
    found: Components,
    values_IN: Floats,
    decompose: Decomposer,
    models: Sequence[str],
    adapters_J: npt.NDArray[np.int64],
    resampled: Resampled,
) -> Stability:
    """What stays of each trait without one adapter, without one task, and under the noise.

    Args:
        found: the traits. values_IN: the cells; NaN where missing. decompose: how the traits were made.
        models: the rows' names. adapters_J: rows to leave out, one at a time (the base stays).
        resampled: the traits of matrices with redrawn noise.
    """
    columns_N = np.arange(values_IN.shape[1])
    if is_large(*values_IN.shape):
        # One row or column of so many hardly moves what the gaps are filled with.
        values_IN = decompose.fill(values_IN[None])[0]
        adapters_J = adapters_J[evenly(len(adapters_J), FEWEST_LEFT_OUT)]
        columns_N = columns_N[evenly(len(columns_N), FEWEST_LEFT_OUT)]
    adapter_out_JK = _without_each_row(found, values_IN, decompose, adapters_J)
    task_out_NK = _without_each_column(found, values_IN, decompose, columns_N)
    tried_NK = task_out_NK[columns_N]
    worst = np.vstack([adapter_out_JK.min(axis=0), tried_NK.min(axis=0), resampled.noise_K])
    return Stability(
        figure_K=np.where(np.isnan(worst).all(axis=0), np.nan, np.fmin.reduce(worst, axis=0)),
        adapter_out_JK=adapter_out_JK,
        adapters=tuple(models[j] for j in adapters_J),
        task_out_NK=task_out_NK,
        noise_K=resampled.noise_K,
        subspace=resampled.subspace,
    )


def _without_each_row(
    found: Components, values_IN: Floats, decompose: Decomposer, rows_J: npt.NDArray[np.int64]
) -> Floats:
    """Absolute cosine of every trait's loadings with its match, [J, K]; NaN where too little is left for K traits."""
    n_models, n_tasks = values_IN.shape
    cosine_JK = np.full((len(rows_J), decompose.k), np.nan)
    if min(n_models - 2, n_tasks) >= decompose.k:
        # A task that only one row has seen has no place without it.
        seen_IN = np.isfinite(values_IN)
        use = [j for j, i in enumerate(rows_J) if (np.delete(seen_IN, i, axis=0).any(axis=0)).all()]
        if use:
            _, _, loadings, _ = decompose.without_each(values_IN, rows_J[use].tolist(), 0)
            cosine_JK[use] = np.abs(match_components(found.loadings_KN, loadings)[1])
    return cosine_JK


def _without_each_column(
    found: Components, values_IN: Floats, decompose: Decomposer, columns: npt.NDArray[np.int64]
) -> Floats:
    """Absolute cosine of every trait's scores with its match, [N, K]; NaN where too little is left for K traits.

    NaN for other columns than those that are to be left out, too.
    """
    n_models, n_tasks = values_IN.shape
    cosine_NK = np.full((n_tasks, decompose.k), np.nan)
    if min(n_models - 1, n_tasks - 1) >= decompose.k:
        scores, _, _, _ = decompose.without_each(values_IN, columns.tolist(), 1)
        cosine_NK[columns] = np.abs(match_components(found.scores_IK.T, np.swapaxes(scores, 1, 2))[1])
    return cosine_NK
