"""Rotations against independent implementations."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import ortho_group
from trait_worlds import planted_signal

from traitscope.errors import TraitscopeError
from traitscope.traits.pca import principal_components
from traitscope.traits.rotation import promax, rotate, varimax


def loadings_of(seed: int, n: int = 10, k: int = 3) -> np.ndarray:
    rng = np.random.default_rng(seed)
    clusters = np.eye(k)[np.arange(n) % k] * rng.uniform(0.5, 1.0, (n, 1))
    return (clusters + 0.15 * rng.normal(size=(n, k))) @ ortho_group.rvs(k, random_state=seed)


def criterion(loadings: np.ndarray) -> float:
    return float((loadings**2).var(axis=0).sum())


def matched(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """b's columns in a's order and sign."""
    inner = a.T @ b
    order = np.abs(inner).argmax(axis=1)
    return b[:, order] * np.sign(inner[np.arange(len(order)), order])


@pytest.mark.parametrize("seed", [0, 3])
def test_varimax_equals_statsmodels(seed: int) -> None:
    from statsmodels.multivariate.factor_rotation import rotate_factors

    loadings = loadings_of(seed)
    ours = loadings @ varimax(loadings)
    theirs, _ = rotate_factors(loadings, "varimax", algorithm="gpa", max_tries=2000, tol=1e-8)
    assert criterion(ours) == pytest.approx(criterion(theirs), rel=1e-8)
    np.testing.assert_allclose(ours, matched(ours, theirs), atol=1e-5)


def test_varimax_equals_a_search_over_all_angles_in_two_dimensions() -> None:
    loadings = loadings_of(7, k=2)

    def turned(angle: float) -> np.ndarray:
        c, s = np.cos(angle), np.sin(angle)
        return loadings @ np.array([[c, -s], [s, c]])

    grid = np.linspace(0, np.pi / 2, 2001)
    start = grid[np.argmax([criterion(turned(a)) for a in grid])]
    best = minimize(lambda a: -criterion(turned(a[0])), [start], tol=1e-14).x[0]
    ours = loadings @ varimax(loadings)
    np.testing.assert_allclose(ours, matched(ours, turned(best)), atol=1e-6)


def test_varimax_of_a_stack_is_that_of_each_matrix() -> None:
    stack = np.stack([loadings_of(s) for s in range(4)])
    for matrix, turn in zip(stack, varimax(stack), strict=True):
        np.testing.assert_allclose(turn, varimax(matrix), atol=1e-9)
        np.testing.assert_allclose(turn.T @ turn, np.eye(3), atol=1e-12)


def test_promax_equals_its_textbook_steps() -> None:
    loadings = loadings_of(3)
    start = loadings @ varimax(loadings)
    target = np.sign(start) * start**4
    fit = np.stack([np.linalg.lstsq(start, target[:, k], rcond=None)[0] for k in range(3)], axis=1)
    scale = np.sqrt(np.diag(np.linalg.inv(fit.T @ fit)))
    expected = start @ (fit * scale)
    np.testing.assert_allclose(loadings @ promax(loadings), expected, atol=1e-10)


@pytest.mark.parametrize("method", ["varimax", "promax"])
def test_a_rotation_changes_neither_the_product_nor_unit_norms(method: str) -> None:
    _, _, signal = planted_signal(12, 9, np.array([5.0, 3.0, 2.0]), np.random.default_rng(1))
    found = principal_components(signal).first(3)
    turned = rotate(found.scores_IK, found.singular_K, found.loadings_KN, method)
    c = turned.components
    np.testing.assert_allclose((c.scores_IK * c.singular_K) @ c.loadings_KN, signal, atol=1e-10)
    np.testing.assert_allclose(np.linalg.norm(c.loadings_KN, axis=1), 1.0)
    np.testing.assert_allclose(np.linalg.norm(c.scores_IK, axis=0), 1.0)
    assert (np.diff(c.singular_K) <= 1e-12).all()
    if method == "varimax":
        np.testing.assert_allclose(turned.correlation_KK, np.eye(3), atol=1e-10)
        assert (c.singular_K**2).sum() == pytest.approx(25 + 9 + 4)
    else:
        assert np.abs(turned.correlation_KK - np.eye(3)).max() > 1e-3


def test_promax_finds_correlated_traits_that_varimax_cannot() -> None:
    rng = np.random.default_rng(5)
    traits = rng.normal(size=(200, 2)) @ np.linalg.cholesky(np.array([[1, 0.5], [0.5, 1]])).T
    pattern = np.repeat(np.eye(2), 5, axis=1)
    values = traits @ pattern
    found = principal_components(values - values.mean(axis=0)).first(2)
    turned = rotate(found.scores_IK, found.singular_K, found.loadings_KN, "promax")
    assert turned.correlation_KK[0, 1] == pytest.approx(np.corrcoef(traits.T)[0, 1], abs=0.05)
    other = np.sort(np.abs(turned.components.loadings_KN), axis=1)[:, :5]
    assert other.max() < 0.03


def test_an_unknown_rotation_is_refused() -> None:
    with pytest.raises(TraitscopeError, match="unknown rotation 'oblimin'"):
        rotate(np.eye(2), np.ones(2), np.eye(2), "oblimin")
