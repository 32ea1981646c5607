"""Figures of the layer analysis against scikit-learn, scipy and values worked by hand."""

from __future__ import annotations

import numpy as np
import planted
import pytest
from scipy import stats
from scipy.spatial.distance import pdist, squareform
from sklearn.linear_model import RidgeClassifier
from sklearn.metrics.pairwise import rbf_kernel as peer_kernel
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from traitscope.layers import (
    causal_check,
    find_sections,
    separability,
    sliding_windows,
)
from traitscope.layers.cka import rbf_kernel


@pytest.mark.parametrize("bandwidth", [0.5, 1.0, 2.0])
def test_the_gaussian_kernel_is_that_of_scikit_learn(bandwidth: float) -> None:
    x = np.random.default_rng(0).normal(size=(15, 4))
    scale = bandwidth * np.median(pdist(x))
    wanted = peer_kernel(x, gamma=1 / (2 * scale**2))
    assert rbf_kernel(squareform(pdist(x)) ** 2, bandwidth=bandwidth) == pytest.approx(wanted)


def test_coinciding_examples_do_not_set_the_scale_of_the_kernel() -> None:
    x = np.array([[0.0]] * 8 + [[3.0], [7.0]])
    distance = squareform(pdist(x))
    scale = np.median(distance[distance > 0])
    assert rbf_kernel(distance**2) == pytest.approx(peer_kernel(x, gamma=1 / (2 * scale**2)))


@pytest.mark.parametrize(
    ("depth", "width", "step", "windows"),
    [
        (8, 4, 2, [(1, 4), (3, 6), (5, 8)]),
        (9, 4, 2, [(1, 4), (3, 6), (5, 8), (6, 9)]),
        (6, None, None, [(1, 2), (2, 3), (3, 4), (4, 5), (5, 6)]),
        (3, 5, None, [(1, 3)]),
    ],
)
def test_windows_slide_and_end_flush(
    depth: int, width: int | None, step: int | None, windows: list[tuple[int, int]]
) -> None:
    assert sliding_windows(depth, width, step) == windows


def test_losses_by_section_and_their_p_are_worked_again() -> None:
    curves, _, _ = planted.draw(np.random.default_rng(3), 32, 40, "hinge")
    sections = find_sections(curves, draws=200)
    # Windows of unequal width, so that it matters by what is divided.
    windows = [(1, 3), (2, 8), (7, 10), (9, 16), (15, 18), (17, 27), (24, 32)]
    rng = np.random.default_rng(1)
    base, gain = rng.uniform(0.3, 0.5, 9), rng.uniform(0.2, 0.4, 9)
    lost = np.array([0.02, 0.1, 0.15, 0.5, 0.12, 0.2, 0.1]) + 0.05 * rng.standard_normal((9, 7))
    found = causal_check(
        [f"t{i}" for i in range(9)], windows, full_N=base + gain, base_N=base,
        off_NW=(base + gain)[:, None] - gain[:, None] * lost, sections=sections, draws=4000,
    )  # fmt: skip
    total = (gain[:, None] * lost).sum(axis=0) / gain.sum()
    assert [w.lost for w in found.windows] == pytest.approx(total)
    per_layer = total / np.array([last - first + 1 for first, last in windows])
    cover = {}
    for name, (first, last) in sections.windows().items():
        inside = [len(set(range(a, b + 1)) & set(range(first, last + 1))) / (b - a + 1) for a, b in windows]
        cover[name] = np.array(inside)
        assert found.per_section[name] == pytest.approx(cover[name] @ per_layer / cover[name].sum())
    rho = stats.spearmanr(cover["transition"], per_layer).statistic
    assert found.correlation == pytest.approx(rho)
    shifted = [stats.spearmanr(cover["transition"], np.roll(per_layer, k)).statistic for k in range(7)]
    assert found.p == pytest.approx(np.mean(np.array(shifted) >= rho - 1e-9)) and found.p >= 1 / 7
    drawn = rng.integers(9, size=(8000, 9))
    ratio = (gain[:, None] * lost)[drawn].sum(axis=1) / gain[drawn].sum(axis=1)[:, None]
    low, high = np.quantile(ratio, (0.025, 0.975), axis=0)
    assert [w.lost_high - w.lost_low for w in found.windows] == pytest.approx(high - low, rel=0.06)


def test_the_probe_is_a_ridge_classifier_on_standardised_features() -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat(["a", "b", "c"], 20)
    x = rng.normal(size=(60, 6))
    x[:, 0] += np.repeat([0.0, 1.5, 3.0], 20)
    x *= np.array([0.001, 300.0, 1, 1, 50, 1])
    peer = make_pipeline(StandardScaler(), RidgeClassifier(alpha=1.0))
    splits = StratifiedKFold(3, shuffle=True, random_state=7)
    wanted = cross_val_score(peer, x, labels, cv=splits).mean()
    assert separability(x, labels.tolist(), seed=7).probe == pytest.approx(wanted)
    assert wanted > cross_val_score(RidgeClassifier(alpha=1.0), x, labels, cv=splits).mean() + 0.1


def test_chance_is_the_share_of_the_most_frequent_label() -> None:
    labels = ["a"] * 30 + ["b"] * 10 + ["c"] * 20
    found = separability(np.random.default_rng(0).normal(size=(60, 4)), labels)
    assert found.probe_chance == pytest.approx(0.5)
    # Of 59 others a point of a, b, c has 29, 9, 19 of its own label.
    assert found.purity_chance == pytest.approx((30 * 29 + 10 * 9 + 20 * 19) / (60 * 59))
