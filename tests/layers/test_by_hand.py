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
    SectionCurves,
    apply_rule,
    causal_check,
    change_points,
    find_sections,
    hinge_test,
    separability,
    sliding_windows,
)
from traitscope.layers.changepoints import ChangePoints
from traitscope.layers.cka import rbf_kernel
from traitscope.layers.section_types import Boundary
from traitscope.layers.sections import _agreement


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


def test_the_transition_ends_after_the_shared_section_where_dimensions_are_full_from_the_start() -> None:
    layers, gap = np.arange(1, 11), np.where(np.arange(1, 11) > 4, 0.3, 0.0)
    found = apply_rule(layers, gap, dims_L=np.full(10, 50.0), mix_median_L=np.full(10, 0.9))
    assert (found.shared_end, found.transition_end, found.named) == (4, 5, True)


def test_agreement_is_asked_of_the_layers_behind_the_transition_alone() -> None:
    layers, gap = np.arange(1, 11), np.where(np.arange(1, 11) > 8, 0.3, 0.0)
    mix = np.full(10, 0.9)
    mix[8] = 0.5
    found = apply_rule(layers, gap, dims_L=np.full(10, 50.0), mix_median_L=mix)
    assert (found.shared_end, found.transition_end, found.named) == (8, 9, True)


def test_agreement_must_beat_the_median_of_the_null() -> None:
    layers, gap = np.arange(1, 11), np.where(np.arange(1, 11) > 4, 0.3, 0.0)
    null = np.full(10, 0.95)
    null[6] = 0.2
    found = apply_rule(layers, gap, dims_L=np.full(10, 50.0), mix_median_L=np.full(10, 0.9), null_L=null)
    assert not found.named and found.why == ("after it CKA(mix, control) is not above the permutation null",)


def own_levels(n: int, depth: int) -> np.ndarray:
    rng = np.random.default_rng(4)
    return 0.02 * rng.standard_normal((n, 1)) + 0.001 * rng.standard_normal((n, depth))


def test_a_curve_that_bends_down_has_no_hinge() -> None:
    found = hinge_test(0.3 * (1 - np.exp(-np.arange(24.0) / 6)) + own_levels(20, 24), draws=50)
    assert found.knot is None and found.p == 1.0 and found.improvement == 0.0


@pytest.mark.parametrize("knot", [5, 9, 13])
def test_the_knot_is_the_point_of_the_bend_and_the_fit_ends_at_nine_tenths(knot: int) -> None:
    found = hinge_test(np.maximum(0.0, 0.03 * (np.arange(24.0) - knot)) + own_levels(20, 24), draws=50)
    assert found.knot == knot
    # First point with 0.9 of the height at point 23.
    assert found.last == int(np.ceil(knot + 0.9 * (23 - knot)))


@pytest.mark.parametrize("cost", ["mean", "line"])
def test_schwarz_pays_for_every_break_and_every_parameter(cost: str) -> None:
    curves = np.random.default_rng(2).standard_normal((30, 2))
    found = change_points(curves, cost=cost, draws=19)
    n, per_segment = curves.size, 2 * (2 if cost == "line" else 1)
    scores = [n * np.log(rest / n) + np.log(n) * (k + per_segment * (k + 1)) for k, rest in enumerate(found.residuals)]
    assert found.by_penalty == int(np.argmin(scores)) == 0
    assert len(scores) == 6


def opening_curves(depth: int, n: int, end: int, spread: float = 0.0) -> SectionCurves:
    rng = np.random.default_rng(0)
    layers = np.arange(1, depth + 1)
    gap = np.where(layers > end, 0.05 * (layers - end), 0.0) * (1 + spread * rng.standard_normal((n, 1)))
    base = np.full((n, depth), 0.3)
    dims = np.where(layers < depth, 50.0, 100.0) + np.zeros((n, depth))
    dims[:, depth // 2 : depth - 1] = 100.0
    dims[:, depth - 2] = 10.0
    return SectionCurves(layers, tuple(f"t{i}" for i in range(n)), base + gap, base, dims)


def test_the_last_layer_is_no_boundary() -> None:
    found = find_sections(opening_curves(12, 8, 10), draws=100)
    assert found.transition_end.layer == 12
    assert "it lies at the last layer" in found.transition_end.reasons


def test_the_threshold_of_the_gap_is_the_bootstrap_error_of_its_median() -> None:
    curves = opening_curves(12, 30, 4, spread=0.5)
    found = find_sections(curves, draws=2000)
    gap = curves.mix_NL - curves.base_NL
    error = stats.bootstrap((gap,), np.median, axis=0, n_resamples=2000, method="percentile", rng=1).standard_error
    threshold = np.array(found.curves["threshold"])
    assert threshold == pytest.approx(np.maximum(0.02, error), rel=0.1)
    assert threshold.max() > 0.03


@pytest.mark.parametrize(
    ("at", "depth", "agree"), [(12, 48, True), (15, 48, True), (16, 48, False), (13, 12, True), (10, 12, False)]
)
def test_change_points_agree_within_a_sixteenth_of_the_depth(at: int, depth: int, agree: bool) -> None:
    boundary = Boundary(layer=12, low=11, high=13, identified=True, reasons=(), distribution={})
    unknown = Boundary(layer=30, low=1, high=40, identified=False, reasons=("wide",), distribution={})
    breaks = ChangePoints((at,), 1, 1, "line", (1.0, 0.5))
    assert _agreement(breaks, np.arange(1, depth + 2), boundary, unknown) is agree
    assert _agreement(breaks, np.arange(1, depth + 2), unknown, unknown) is None


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
    curves, _, _ = planted.draw(np.random.default_rng(3), 32, 40, "planted")
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
