"""P values of few draws, and how wide the interval of a boundary may be."""

from __future__ import annotations

import numpy as np
import pytest

from traitscope.layers import SectionCurves, change_points, find_sections, hinge_test


@pytest.mark.parametrize("draws", [20, 99])
def test_p_of_the_hinge_counts_the_observed_curve_among_the_draws(draws: int) -> None:
    x = np.arange(24.0)
    rng = np.random.default_rng(4)
    tasks = 0.02 * rng.standard_normal((20, 1)) + 0.001 * rng.standard_normal((20, 24))
    assert hinge_test(np.maximum(0.0, 0.03 * (x - 9)) + tasks, draws=draws).p == pytest.approx(1 / (1 + draws))


@pytest.mark.parametrize(("draws", "breaks"), [(18, 0), (19, 1)])
def test_a_break_needs_as_many_draws_as_its_level_asks(draws: int, breaks: int) -> None:
    """No shuffle removes as much as the true break: its p is 1 / (1 + draws), above 5 % for 18 draws."""
    curve = np.repeat([0.0, 1.0], 12) + 0.01 * np.random.default_rng(0).standard_normal(24)
    found = change_points(curve[:, None], cost="mean", max_breaks=1, draws=draws)
    assert found.by_permutation == breaks
    assert found.breaks == ((12,) if breaks else ())


def step_curves(depth: int, ends: list[int]) -> SectionCurves:
    """Tasks whose gap opens right after the given layers."""
    layers = np.arange(1, depth + 1)
    mix = 0.2 + 0.7 * (layers[None, :] > np.array(ends)[:, None])
    return SectionCurves(layers, tuple(f"t{i}" for i in range(len(ends))), mix, np.full(mix.shape, 0.2))


@pytest.mark.parametrize(
    ("depth", "width", "too_wide"), [(24, 4, False), (24, 5, True), (40, 5, False), (40, 6, True), (48, 6, False)]
)
def test_an_interval_may_be_an_eighth_of_the_depth_and_at_least_four_layers(
    depth: int, width: int, too_wide: bool
) -> None:
    # Of five tasks two open early and two late: both are the median of more than 5 % of the resamples.
    found = find_sections(step_curves(depth, [8, 8, 9, 8 + width, 8 + width]), draws=400)
    assert (found.shared_end.low, found.shared_end.high) == (8, 8 + width)
    assert found.shared_end.layer == 9
    said = [reason for reason in found.shared_end.reasons if "is wider than" in reason]
    assert said == ([f"its 90 % interval 8-{8 + width} is wider than {max(4, depth / 8):g} layers"] if too_wide else [])
