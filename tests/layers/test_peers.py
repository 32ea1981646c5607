"""Measures against public implementations: scipy and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import orthogonal_procrustes
from scipy.spatial import procrustes
from scipy.spatial.distance import pdist
from scipy.stats import spearmanr
from sklearn.metrics.pairwise import rbf_kernel as sklearn_rbf
from sklearn.neighbors import NearestNeighbors

from traitscope.layers import Representation, compare
from traitscope.layers.cka import rbf_kernel
from traitscope.layers.geometry import neighbour_weights


@pytest.fixture(params=[(50, 20, 20), (30, 90, 90)], ids=["n > D", "n < D"])
def states(request: pytest.FixtureRequest) -> tuple[np.ndarray, np.ndarray]:
    n, d, e = request.param
    rng = np.random.default_rng(0)
    x = rng.standard_normal((n, d)) * np.linspace(0.2, 3.0, d)
    return x, 0.5 * x @ rng.standard_normal((d, e)) + rng.standard_normal((n, e))


def test_procrustes_equals_scipy(states: tuple[np.ndarray, np.ndarray]) -> None:
    x, y = (a - a.mean(0) for a in states)
    x, y = x / np.linalg.norm(x), y / np.linalg.norm(y)
    _, scale = orthogonal_procrustes(x, y)
    assert compare(*states, "procrustes") == pytest.approx(2 - 2 * scale, abs=1e-9)
    assert compare(*states, "shape_angle") == pytest.approx(np.arccos(scale), abs=1e-9)
    _, _, disparity = procrustes(*states)
    assert 1 - np.cos(compare(*states, "shape_angle")) ** 2 == pytest.approx(disparity, abs=1e-9)


def test_rsa_equals_spearman_of_the_distances(states: tuple[np.ndarray, np.ndarray]) -> None:
    wanted = spearmanr(*(pdist(a) for a in states)).statistic
    assert compare(*states, "rsa") == pytest.approx(wanted, abs=1e-10)


def test_neighbour_overlap_equals_counting_with_scikit_learn(states: tuple[np.ndarray, np.ndarray]) -> None:
    found = [NearestNeighbors(n_neighbors=10).fit(a).kneighbors(return_distance=False) for a in states]
    shared = [len(set(a) & set(b)) / 10 for a, b in zip(*found, strict=True)]
    assert compare(*states, "knn") == pytest.approx(np.mean(shared), abs=1e-12)


def test_rbf_kernel_equals_scikit_learn_at_the_median_distance(states: tuple[np.ndarray, np.ndarray]) -> None:
    x, _ = states
    gamma = 1.0 / (2.0 * np.median(pdist(x, "sqeuclidean")))
    ours = rbf_kernel(Representation(x, precision="float64").sqdist_SS)
    np.testing.assert_allclose(ours, sklearn_rbf(x, gamma=gamma), atol=1e-10)


def test_rbf_cka_equals_the_unbiased_estimate_on_scikit_learns_kernels(
    states: tuple[np.ndarray, np.ndarray],
) -> None:
    n = len(states[0])
    kernels = []
    for a in states:
        k = sklearn_rbf(a, gamma=1.0 / (2.0 * np.median(pdist(a, "sqeuclidean"))))
        np.fill_diagonal(k, 0.0)
        kernels.append(k)

    def hsic(k: np.ndarray, l: np.ndarray) -> float:
        product = float(np.trace(k @ l) - 2.0 / (n - 2) * (k @ l).sum())
        return product + float(k.sum() * l.sum()) / ((n - 1) * (n - 2))

    k, l = kernels
    assert compare(*states, "cka_rbf") == pytest.approx(hsic(k, l) / np.sqrt(hsic(k, k) * hsic(l, l)), abs=1e-10)


def test_tied_neighbours_share_their_places_evenly() -> None:
    x = np.repeat(np.arange(4.0), 5)[:, None]
    weights = neighbour_weights(Representation(x, precision="float64").sqdist_SS, k=10)
    np.testing.assert_allclose(weights.sum(axis=1), 10.0)
    # Row 0: four at distance 0, five at 1, and one place for the five at distance 2.
    np.testing.assert_allclose(weights[0], [0, 1, 1, 1, 1, *[1] * 5, *[0.2] * 5, *[0] * 5])
