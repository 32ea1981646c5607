"""Filling missing cells."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from trait_worlds import planted_matrix, planted_signal

from traitscope.errors import TraitscopeError
from traitscope.matrix import ScoreMatrix
from traitscope.traits import fit_traits
from traitscope.traits.missing import complete, largest_rank


def slow_iterative_pca(values: np.ndarray, k: int, rounds: int) -> np.ndarray:
    """Regularised iterative PCA of one matrix with a full SVD, written from the formula."""
    gaps = np.isnan(values)
    filled = np.where(gaps, np.nanmean(values, axis=0), values)
    n_models, n_tasks = values.shape
    for _ in range(rounds):
        mean = filled.mean(axis=0)
        u, s, vt = np.linalg.svd(filled - mean, full_matrices=False)
        noise = (s[k:] ** 2).sum() / ((n_models - 1 - k) * (n_tasks - k))
        shrunk = np.maximum(s[:k] ** 2 - noise * max(n_models - 1, n_tasks), 0) / s[:k]
        filled = np.where(gaps, mean + (u[:, :k] * shrunk) @ vt[:k], values)
    return filled


@pytest.mark.parametrize("shape", [(11, 10), (8, 14)])
def test_filling_equals_the_formula_with_a_full_svd(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    values = planted_matrix(*shape, 2, rng).measured_IN
    values[rng.random(shape) < 0.15] = np.nan
    ours = complete(values, 2, iterations=60, tolerance=0.0)
    np.testing.assert_allclose(ours, slow_iterative_pca(values, 2, 60), atol=1e-8)


def test_a_stack_is_filled_matrix_by_matrix() -> None:
    rng = np.random.default_rng(1)
    stack = np.stack([planted_matrix(9, 7, 1, rng).measured_IN for _ in range(3)])
    stack[rng.random(stack.shape) < 0.1] = np.nan
    together = complete(stack, 1)
    for matrix, filled in zip(stack, together, strict=True):
        np.testing.assert_allclose(complete(matrix, 1), filled, atol=1e-12)
        assert (filled[np.isfinite(matrix)] == matrix[np.isfinite(matrix)]).all()


def test_low_rank_matrices_are_recovered() -> None:
    rng = np.random.default_rng(2)
    signal = planted_signal(20, 12, np.array([9.0, 5.0]), rng)[2]
    values = signal.copy()
    values[rng.random(signal.shape) < 0.1] = np.nan
    filled = complete(values, 2, iterations=2000, tolerance=1e-9)
    assert np.abs(filled - signal).max() < 1e-3 * np.abs(signal).max()


def test_noise_is_followed_less_than_by_plain_iterative_svd() -> None:
    values = np.random.default_rng(3).normal(size=(40, 11, 10))
    holes = values.copy()
    at = np.arange(10)
    holes[:, at, at] = np.nan
    truth = values[:, at, at]
    ours = ((complete(holes, 2)[:, at, at] - truth) ** 2).mean()
    plain = np.where(np.isnan(holes), np.nanmean(holes, axis=1, keepdims=True), holes)
    for _ in range(300):
        mean = plain.mean(axis=1, keepdims=True)
        u, s, vt = np.linalg.svd(plain - mean, full_matrices=False)
        model = mean + (u[:, :, :2] * s[:, None, :2]) @ vt[:, :2]
        plain = np.where(np.isnan(holes), model, holes)
    follows = ((plain[:, at, at] - truth) ** 2).mean()
    assert ours < 0.7 * follows


def test_traits_survive_missing_cells() -> None:
    rng = np.random.default_rng(4)
    planted = planted_matrix(40, 25, 2, rng, ratio=3, apart=1.6)
    full = fit_traits(planted.scores, permutations=19, draws=199, replicates=0, held_out=0)
    wide = pd.DataFrame(planted.measured_IN, index=planted.scores.models, columns=planted.scores.tasks)
    wide = wide.mask(rng.random(wide.shape) < 0.1)
    stderr = pd.DataFrame(planted.stderr_IN, index=wide.index, columns=wide.columns)
    thin = fit_traits(ScoreMatrix.from_wide(wide, stderr=stderr), permutations=19, draws=199, replicates=50, held_out=1)
    assert full.count.supported == thin.count.supported == 2
    assert (np.abs((full.loadings_KN * thin.loadings_KN).sum(axis=1)) > 0.97).all()
    assert thin.missing == int(wide.isna().sum().sum())
    assert thin.intervals is not None
    assert any("were filled from the traits kept" in note for note in thin.notes)


def test_too_many_gaps_and_too_many_traits_are_refused() -> None:
    frame = pd.DataFrame(np.random.default_rng(5).normal(size=(5, 4)), columns=list("abcd"))
    frame.iloc[:3, 0] = np.nan
    with pytest.raises(TraitscopeError, match="fewer than 3 models have a transfer score on a"):
        fit_traits(ScoreMatrix.from_wide(frame))
    frame.iloc[:2, 0] = 0.1
    assert largest_rank(5, 4) == 3
    with pytest.raises(TraitscopeError, match="k is 4"):
        fit_traits(ScoreMatrix.from_wide(frame), k=4)
