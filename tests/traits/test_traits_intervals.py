"""Intervals of loadings, scores and gains; what leaving out models and tasks says."""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import linear_sum_assignment
from trait_worlds import noise_edge, planted_matrix, planted_records, planted_signal, scores_of

from traitscope.matrix import ScoreMatrix
from traitscope.traits import Traits, fit_traits
from traitscope.traits.intervals import match_components
from traitscope.traits.pca import Components, principal_components

QUICK = {"permutations": 19, "draws": 19, "held_out": 0}


def inside(traits: Traits, truth: Components) -> tuple[float, float]:
    """Shares of true loadings and scores that lie in their intervals, components matched."""
    made = traits.intervals
    assert made is not None
    cosine = traits.loadings_KN @ truth.loadings_KN.T
    order = linear_sum_assignment(-np.abs(cosine))[1]
    sign = np.sign(cosine[np.arange(traits.k), order])
    loadings = truth.loadings_KN[order] * sign[:, None]
    scores = truth.scores_IK[:, order] * sign
    low, high = made.loadings_low_KN, made.loadings_high_KN
    return (
        float(((low <= loadings) & (loadings <= high)).mean()),
        float(((made.scores_low_IK <= scores) & (scores <= made.scores_high_IK)).mean()),
    )


def coverage_over_cell_noise(shape: tuple[int, int], k: int, matrices: int, seed: int) -> tuple[float, float]:
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(matrices):
        planted = planted_matrix(*shape, k, rng, apart=1.5)
        # Intervals are about the matrix as analysed, so the noise of all tasks is put on one scale first.
        unit = np.sqrt((planted.stderr_IN**2).mean(axis=0))
        rows, tasks = planted.scores.models, planted.scores.tasks
        scores = ScoreMatrix.from_wide(
            pd.DataFrame(planted.measured_IN / unit, index=list(rows), columns=list(tasks)),
            stderr=pd.DataFrame(planted.stderr_IN / unit, index=list(rows), columns=list(tasks)),
        )
        traits = fit_traits(scores, k=k, replicates=300, **QUICK)
        true = planted.true_IN / unit
        found.append(inside(traits, principal_components(true - true.mean(axis=0)).first(k)))
    return tuple(np.mean(found, axis=0))


def coverage_over_examples(matrices: int, examples: int, seed: int) -> tuple[float, float, float]:
    """Coverage of loadings, scores and gains where the records of the same examples are resampled."""
    rng = np.random.default_rng(seed)
    loadings, scores, gains = [], [], []
    for _ in range(matrices):
        stderr = 0.5 / np.sqrt(examples)
        singular = 2 * noise_edge(11, 10) * stderr * np.array([2.25, 1.5, 1.0])
        share = 0.5 + planted_signal(11, 10, singular, rng)[2]
        share = np.clip(share, 0.03, 0.97)
        matrix = scores_of(planted_records(share, examples, rng))
        traits = fit_traits(matrix, k=3, replicates=300, **QUICK)
        loading, score = inside(traits, principal_components(share - share.mean(axis=0)).first(3))
        view = matrix.gains()
        error = np.abs(view.values_IN - (share - share[0]))[1:]
        loadings.append(loading)
        scores.append(score)
        gains.append(float((error <= 1.96 * view.stderr_IN[1:]).mean()))
    return float(np.mean(loadings)), float(np.mean(scores)), float(np.mean(gains))


def test_intervals_over_examples_cover_loadings_scores_and_gains() -> None:
    loadings, scores, gains = coverage_over_examples(12, 300, seed=1)
    assert 0.90 <= loadings <= 0.98
    assert 0.90 <= scores <= 0.99
    assert 0.90 <= gains <= 0.99


def test_intervals_over_cell_noise_cover_loadings_and_scores() -> None:
    loadings, scores = coverage_over_cell_noise((11, 10), 3, 12, seed=2)
    assert 0.90 <= loadings <= 0.99
    assert 0.90 <= scores <= 0.99


@pytest.mark.verify
@pytest.mark.parametrize("k", [2, 3, 4])
@pytest.mark.parametrize("shape", [(11, 10), (40, 25)])
def test_coverage_over_cell_noise_in_full(shape: tuple[int, int], k: int) -> None:
    loadings, scores = coverage_over_cell_noise(shape, k, 100 if shape == (11, 10) else 40, seed=k)
    sys.stdout.write(f"\ncell noise {shape} k={k}: loadings {loadings:.3f} scores {scores:.3f}")
    assert 0.90 <= loadings <= 0.98
    assert 0.90 <= scores <= 0.99


@pytest.mark.verify
@pytest.mark.parametrize("examples", [200, 1000])
def test_coverage_over_examples_in_full(examples: int) -> None:
    loadings, scores, gains = coverage_over_examples(100, examples, seed=examples)
    sys.stdout.write(f"\nexamples {examples}: loadings {loadings:.3f} scores {scores:.3f} gains {gains:.3f}")
    assert 0.90 <= loadings <= 0.98
    assert 0.90 <= scores <= 0.99
    assert 0.90 <= gains <= 0.99


@pytest.mark.verify
def test_coverage_of_the_other_intervals_is_printed() -> None:
    """Rotated and scaled loadings, and explained shares: no promise is made for these, the numbers are shown."""
    rng = np.random.default_rng(5)
    rotated, scaled, explained = [], [], []
    for _ in range(100):
        planted = planted_matrix(11, 10, 3, rng, apart=1.5)
        true = pd.DataFrame(planted.true_IN, index=planted.scores.models, columns=planted.scores.tasks)
        exact = ScoreMatrix.from_wide(true)
        for options, into in (({"rotate": "varimax", "scale": True}, rotated), ({"scale": True}, scaled)):
            truth = fit_traits(exact, k=3, replicates=0, **options, **QUICK)
            traits = fit_traits(planted.scores, k=3, replicates=300, **options, **QUICK)
            into.append(inside(traits, Components(truth.scores_IK, truth.singular_K, truth.loadings_KN))[0])
            if "rotate" not in options:
                made = traits.intervals
                assert made is not None
                hit = (made.explained_low_K <= truth.explained_K) & (truth.explained_K <= made.explained_high_K)
                explained.append(hit.mean())
    sys.stdout.write(
        f"\nscaled loadings {np.mean(scaled):.3f}, varimax loadings {np.mean(rotated):.3f}, "
        f"explained shares {np.mean(explained):.3f}"
    )
    assert len(scaled) == 100


def test_matching_undoes_permutation_and_sign_and_nothing_else() -> None:
    rng = np.random.default_rng(3)
    reference = np.linalg.qr(rng.normal(size=(8, 4)))[0].T
    order, sign = rng.permutation(4), np.array([1, -1, -1, 1])
    index, cosine = match_components(reference, (reference[order] * sign[:, None])[None])
    np.testing.assert_array_equal(order[index[0]], np.arange(4))
    np.testing.assert_allclose(np.abs(cosine), 1.0)
    turn = np.array([[1, -1], [1, 1]]) / np.sqrt(2)
    _, cosine = match_components(reference[:2], (turn @ reference[:2])[None])
    np.testing.assert_allclose(np.abs(cosine), np.sqrt(0.5))


def test_a_trait_made_by_one_adapter_falls_when_it_is_left_out() -> None:
    rng = np.random.default_rng(4)
    values = 0.01 * rng.normal(size=(11, 10))
    values[:, :4] += np.linspace(-1, 1, 11)[:, None]
    values[5, 6:] += 1.0
    scores = ScoreMatrix.from_wide(
        pd.DataFrame(values, index=["base", *(f"a{i}" for i in range(1, 11))], columns=[f"t{n}" for n in range(10)])
    )
    traits = fit_traits(scores, k=2, replicates=0, **QUICK)
    broad, single = np.argsort(-np.abs(traits.loadings_KN[:, 0]))
    stability = traits.stability
    assert stability.adapters == tuple(f"a{i}" for i in range(1, 11))
    assert stability.figure_K[broad] > 0.99
    assert stability.adapter_out_JK[stability.adapters.index("a5"), single] < 0.6
    assert stability.figure_K[single] < 0.6


def test_nearly_equal_traits_have_an_unsure_direction_and_a_sure_subspace() -> None:
    rng = np.random.default_rng(6)
    planted = planted_matrix(40, 25, 2, rng, ratio=4, apart=1.0)
    traits = fit_traits(planted.scores, k=2, scale=True, replicates=100, **QUICK)
    assert traits.stability.subspace > 0.85
    # The median replicate, not the best one.
    assert traits.stability.noise_K.min() > 0.8 and traits.stability.noise_K.max() < 0.92


def test_the_same_seed_gives_the_same_result() -> None:
    scores = planted_matrix(9, 6, 1, np.random.default_rng(7)).scores
    one = fit_traits(scores, k=2, replicates=20, **QUICK)
    two = fit_traits(scores, k=2, replicates=20, **QUICK)
    assert one.to_json() == two.to_json()
