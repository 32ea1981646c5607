"""The causal check on gains planted in known layers, and the correlates on planted relations."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import planted
import pytest
from scipy.stats import false_discovery_control, pearsonr, spearmanr

from traitscope.errors import TraitscopeError
from traitscope.layers import (
    Sections,
    causal_check,
    find_sections,
    layer_correlates,
    sliding_windows,
    trait_layers,
)


@pytest.fixture(scope="module")
def sections() -> Sections:
    curves, _, _ = planted.draw(np.random.default_rng(3), 32, 40, "hinge")
    return find_sections(curves, draws=200)


def gated(share_L: np.ndarray, windows: list[tuple[int, int]], n: int = 8) -> dict[str, np.ndarray]:
    """Scores of tasks whose gain is spread over layers 1..L as ``share_L`` says (it sums to 1)."""
    rng = np.random.default_rng(0)
    base_N = rng.uniform(0.3, 0.5, n)
    gain_N = rng.uniform(0.2, 0.4, n)
    inside_W = np.array([share_L[first - 1 : last].sum() for first, last in windows])
    noise = 0.005 * rng.standard_normal((n, len(windows)))
    return {
        "full_N": base_N + gain_N,
        "base_N": base_N,
        "off_NW": (base_N + gain_N)[:, None] - gain_N[:, None] * inside_W + noise,
        "only_NW": base_N[:, None] + gain_N[:, None] * inside_W - noise,
    }


def shares(window: tuple[int, int], depth: int = 32) -> np.ndarray:
    share_L = np.full(depth, 0.1 / depth)
    share_L[window[0] - 1 : window[1]] += 0.9 / (window[1] - window[0] + 1)
    return share_L


def test_windows_cover_every_layer_and_end_flush() -> None:
    for depth in (6, 12, 13, 32, 80):
        windows = sliding_windows(depth)
        assert {layer for first, last in windows for layer in range(first, last + 1)} == set(range(1, depth + 1))
        assert windows[-1][1] == depth
        assert len({last - first for first, last in windows}) == 1


def test_the_loss_of_a_window_is_its_share_of_the_gain(sections: Sections) -> None:
    windows = sliding_windows(32, width=4)
    share_L = shares((10, 15))
    found = causal_check([f"t{i}" for i in range(8)], windows, **gated(share_L, windows), sections=sections)
    for effect in found.windows:
        wanted = share_L[effect.first - 1 : effect.last].sum()
        assert effect.lost == pytest.approx(wanted, abs=0.02)
        assert effect.kept == pytest.approx(wanted, abs=0.02)
        assert effect.lost_low <= effect.lost <= effect.lost_high


def test_gains_planted_in_the_transition_agree_with_the_sections_and_others_do_not(sections: Sections) -> None:
    windows = sliding_windows(32, width=4)
    tasks = [f"t{i}" for i in range(8)]
    inside = causal_check(tasks, windows, **gated(shares(sections.transition or (0, 0)), windows), sections=sections)
    assert inside.agrees is True
    assert inside.strongest == "transition"
    late = causal_check(tasks, windows, **gated(shares((24, 32)), windows), sections=sections)
    assert late.agrees is False
    assert late.strongest == "refinement"
    assert "does not agree" in late.render()
    json.dumps(late.to_json(), allow_nan=False)


def test_without_an_identified_transition_nothing_is_claimed() -> None:
    curves, _, _ = planted.draw(np.random.default_rng(6), 32, 30, "noise")
    windows = sliding_windows(32)
    none = find_sections(curves, draws=100)
    found = causal_check([f"t{i}" for i in range(8)], windows, **gated(shares((10, 15)), windows), sections=none)
    assert found.agrees is None
    assert "not identified" in found.verdict
    json.dumps(found.to_json(), allow_nan=False)


def test_tasks_without_a_gain_are_left_out_with_the_reason_and_losses_may_be_lower_is_better() -> None:
    windows = [(1, 4), (5, 8)]
    scores = {
        "full_N": np.array([1.0, 0.5, 0.9]),
        "base_N": np.array([2.0, 0.5, 0.4]),
        "off_NW": np.array([[1.5, 1.0], [0.5, 0.5], [0.9, 0.4]]),
    }
    found = causal_check(["loss", "flat", "score"], windows, **scores, higher_is_better=[False, True, True])
    assert found.tasks == ("loss", "score")
    assert found.left_out == {"flat": "gain 0, not above 0.02"}
    # (0.5 + 0) / 1.5 and (0 + 0.5) / 1.5.
    assert [w.lost for w in found.windows] == pytest.approx([1 / 3, 1 / 3])
    assert found.windows[0].kept is None
    nothing = causal_check(["flat"], windows, **{k: v[1:2] for k, v in scores.items()})
    assert nothing.windows == ()
    assert "no task gains enough" in nothing.verdict


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(TraitscopeError, match="off_NW has shape"):
        causal_check(["a"], [(1, 2)], full_N=np.ones(1), base_N=np.zeros(1), off_NW=np.ones((2, 1)))


def test_correlates_equal_scipy_and_are_corrected_over_the_table() -> None:
    rng = np.random.default_rng(1)
    size_N = rng.standard_normal(15)
    values_NL = np.stack([0.9 + 0.05 * size_N, rng.standard_normal(15), np.full(15, 0.5)], axis=1)
    table = layer_correlates([1, 2, 3], values_NL, {"rows": size_N, "gain": rng.standard_normal(15)})
    row = table[(table["covariate"] == "rows") & (table["layer"] == 2)].set_index("method")
    assert row.loc["pearson", "r"] == pytest.approx(pearsonr(size_N, values_NL[:, 1]).statistic)
    assert row.loc["spearman", "p"] == pytest.approx(spearmanr(size_N, values_NL[:, 1]).pvalue)
    ok = table[table["status"] == "ok"]
    np.testing.assert_allclose(ok["q"], false_discovery_control(ok["p"]))
    assert ok[(ok["covariate"] == "rows") & (ok["layer"] == 1)]["r"].tolist() == pytest.approx([1.0, 1.0])
    constant = table[table["layer"] == 3]
    assert (constant["status"] == "undefined").all()
    assert constant["q"].isna().all()
    with pytest.raises(TraitscopeError, match="one number per task"):
        layer_correlates([1, 2, 3], values_NL, {"rows": size_N[:3]})


def test_correlates_leave_out_tasks_without_a_figure() -> None:
    values_NL = np.arange(6.0)[:, None]
    table = layer_correlates([1], values_NL, {"rows": np.array([0, 1, 2, 3, np.nan, np.nan])})
    assert table["n"].tolist() == [4, 4]
    few = layer_correlates([1], values_NL, {"rows": np.array([0, 1, 2, np.nan, np.nan, np.nan])})
    assert few["reason"].tolist() == ["3 tasks, at least 4 are needed"] * 2


def test_each_trait_is_placed_where_the_gap_of_its_tasks_opens() -> None:
    rng = np.random.default_rng(2)
    layers = np.arange(1, 13)
    early, late = (np.clip((layers - onset) / 2, 0, 1) * 0.3 for onset in (2, 8))
    loadings_KN = np.concatenate([np.repeat([[0.9], [0.1]], 6, 1), np.repeat([[0.1], [0.9]], 6, 1)], axis=1)
    loadings_KN += 0.03 * rng.standard_normal((2, 12))
    gap_NL = np.stack([early] * 6 + [late] * 6) + 0.005 * rng.standard_normal((12, 12))
    table = trait_layers(layers.tolist(), gap_NL, loadings_KN)
    centre = table.groupby("trait")["centre"].first()
    assert centre[0] == pytest.approx(3.5, abs=1.0)
    assert centre[1] == pytest.approx(9.5, abs=1.0)
    at_four = table[(table["layer"] == 4) & (table["trait"] == 0)].iloc[0]
    assert at_four["gap"] > 0.25 > 0.05 > at_four["rest"]
    assert at_four["r"] > 0.5
    assert isinstance(table, pd.DataFrame)
    with pytest.raises(TraitscopeError, match="loadings_KN"):
        trait_layers(layers.tolist(), gap_NL, loadings_KN[:, :5])


def test_a_single_task_has_no_interval_and_says_so(sections: Sections) -> None:
    windows = [(1, 4), (10, 16), (20, 32)]
    scores = {name: array[:1] for name, array in gated(shares((10, 15)), windows).items()}
    for given in (sections, None):
        found = causal_check(["alone"], windows, **scores, sections=given)
        assert all((w.lost_low, w.lost_high, w.kept_low, w.kept_high) == (None,) * 4 for w in found.windows)
        assert found.verdict.endswith("; alone is the only task, so there is no interval")
        assert "1 task (share of its gain; no interval)" in found.render()
        assert " to " not in found.render()
        json.dumps(found.to_json(), allow_nan=False)
    two = causal_check(["a", "b"], windows, **{n: a[:2] for n, a in gated(shares((10, 15)), windows).items()})
    assert two.windows[0].lost_low is not None and "only task" not in two.verdict
    assert "2 tasks (share of the gain, 95 % interval over tasks)" in two.render()
