"""Components, signs and the permutation null."""

from __future__ import annotations

import numpy as np
import pandas as pd
import published_traits
import pytest
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler
from trait_worlds import planted_matrix

from traitscope.matrix import ScoreMatrix
from traitscope.traits import fit_traits
from traitscope.traits.null import permutation_null
from traitscope.traits.pca import centre_and_scale, explained, principal_components, signs

QUICK = {"permutations": 19, "draws": 19, "replicates": 0, "held_out": 0}


@pytest.mark.parametrize("scale", [False, True])
@pytest.mark.parametrize("shape", [(11, 10), (40, 25), (6, 12)])
def test_components_equal_scikit_learn(shape: tuple[int, int], scale: bool) -> None:
    values = np.random.default_rng(0).normal(size=shape) * np.linspace(0.5, 3, shape[1])
    centred, _, _ = centre_and_scale(values, scale)
    found = principal_components(centred)
    prepared = StandardScaler().fit_transform(values) if scale else values
    peer = PCA(svd_solver="full").fit(prepared)
    rank = min(shape[0] - 1, shape[1])
    sign = np.sign((peer.components_[:rank] * found.loadings_KN).sum(axis=1))
    np.testing.assert_allclose(found.loadings_KN * sign[:, None], peer.components_[:rank], atol=1e-10)
    np.testing.assert_allclose(
        explained(found.singular_K), peer.explained_variance_ratio_[:rank], rtol=1e-10, atol=1e-12
    )
    projected = peer.transform(prepared)[:, :rank]
    unit = projected / np.linalg.norm(projected, axis=0)
    np.testing.assert_allclose(found.scores_IK * sign, unit, atol=1e-10)


def test_fit_reports_the_components_of_the_raw_matrix_base_included() -> None:
    planted = planted_matrix(11, 10, 2, np.random.default_rng(1))
    traits = fit_traits(planted.scores, k=3, **QUICK)
    peer = PCA(3).fit(planted.measured_IN)
    np.testing.assert_allclose(np.abs(traits.loadings_KN), np.abs(peer.components_), atol=1e-10)
    np.testing.assert_allclose(traits.explained_K, peer.explained_variance_ratio_, rtol=1e-10)


def test_sign_does_not_depend_on_the_solver_and_holds_near_ties() -> None:
    rng = np.random.default_rng(2)
    loadings = rng.normal(size=(50, 8))
    np.testing.assert_array_equal(signs(loadings), -signs(-loadings))
    # The two largest loadings are nearly equal and opposite; the others decide, whichever is larger.
    near = np.array([[0.60, -0.59, 0.4, 0.3], [0.59, -0.60, 0.4, 0.3]])
    assert signs(near).tolist() == [1.0, 1.0]
    assert signs(np.array([[0.0, -0.5, 0.5]])).tolist() == [-1.0]
    assert signs(np.array([[0.5, -0.5, 0.0]])).tolist() == [1.0]


def test_signs_survive_small_noise_and_reordering_of_the_tasks() -> None:
    rng = np.random.default_rng(3)
    planted = planted_matrix(11, 10, 3, rng, apart=1.5)
    base = principal_components(planted.true_IN - planted.true_IN.mean(axis=0)).first(3)
    for _ in range(20):
        noisy = planted.true_IN + 1e-3 * rng.normal(size=planted.true_IN.shape)
        order = rng.permutation(10)
        again = principal_components((noisy - noisy.mean(axis=0))[:, order]).first(3)
        cosine = (again.loadings_KN * base.loadings_KN[:, order]).sum(axis=1)
        assert (cosine > 0.99).all()


@pytest.mark.parametrize("singular", [[1.331, 1.21, 1.1, 1.0], [3.4, 2.3, 1.5, 1.0]])
def test_the_papers_loadings_and_scores_come_back(singular: list[float]) -> None:
    loadings = np.array(published_traits.LOADINGS)
    scores = np.array(list(published_traits.SCORES.values()))
    names = list(published_traits.SCORES)
    matrix = pd.DataFrame((scores * singular) @ loadings, index=names, columns=list(published_traits.TASKS))
    traits = fit_traits(ScoreMatrix.from_wide(matrix), k=4, **QUICK)
    sign = signs(loadings)
    assert np.abs(traits.loadings_KN - loadings * sign[:, None]).max() < 0.03
    assert np.abs(traits.scores_IK - scores * sign).max() < 0.03
    np.testing.assert_allclose(traits.singular_K, singular, rtol=0.02)
    points = traits.profile("Flipkart")
    # As the paper prints it: sentiment (its second component) +36, NLU (its third) +10.
    assert abs(points["T2"] * sign[1] - 36) <= 3 and abs(points["T3"] * sign[2] - 10) <= 3


def test_noise_alone_explains_four_fifths_in_four_components_and_the_null_says_so() -> None:
    rng = np.random.default_rng(4)
    observed, expected, p = [], [], []
    for _ in range(40):
        centred, _, _ = centre_and_scale(rng.normal(size=(11, 10)), True)
        null = permutation_null(centred, permutations=99, rng=rng)
        observed.append(null.cumulative_M[3])
        expected.append(null.cumulative_mean_M[3])
        p.append(null.p_M[0])
    assert np.mean(observed) == pytest.approx(0.796, abs=0.01)
    assert np.mean(expected) == pytest.approx(0.796, abs=0.01)
    # p of the first component is about uniform.
    assert 0.35 < np.mean(p) < 0.65


def test_null_p_counts_permutations_with_at_least_the_observed_share() -> None:
    centred, _, _ = centre_and_scale(np.random.default_rng(5).normal(size=(9, 4)), False)
    null = permutation_null(centred, permutations=25, rng=np.random.default_rng(7))
    rng = np.random.default_rng(7)
    reached = 0
    copies = rng.permuted(np.broadcast_to(centred, (25, 9, 4)), axis=1)
    for copy in copies:
        share = PCA().fit(copy).explained_variance_ratio_[0]
        reached += share >= null.explained_M[0]
    assert null.p_M[0] == pytest.approx((1 + reached) / 26)


def test_a_constant_task_loads_on_nothing() -> None:
    frame = pd.DataFrame(np.random.default_rng(6).normal(size=(6, 4)), columns=list("abcd"))
    frame["b"] = 0.3
    frame.index = pd.Index(["base", *"vwxyz"])
    traits = fit_traits(ScoreMatrix.from_wide(frame), scale=True, k=2, **QUICK)
    assert np.abs(traits.loadings["b"]).max() < 1e-12
    assert any("no difference between models on b" in note for note in traits.notes)


def test_gain_and_raw_views_have_the_same_components_for_one_base() -> None:
    scores = planted_matrix(11, 10, 2, np.random.default_rng(8)).scores
    raw = fit_traits(scores, k=2, **QUICK)
    gain = fit_traits(scores, k=2, view="gain", **QUICK)
    np.testing.assert_allclose(raw.loadings_KN, gain.loadings_KN, atol=1e-10)
