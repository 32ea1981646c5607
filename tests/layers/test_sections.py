"""What the section finder reads from the published curves, and what it refuses to say."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import planted
import published
import pytest
from scipy import stats

from traitscope.errors import TraitscopeError
from traitscope.layers import CALIBRATION, SectionCurves, Sections, find_sections, fit_rises
from traitscope.layers.sections import _boundary, _dims_plateau


def curves_of(gap: np.ndarray, n: int = 8, mix: float | np.ndarray = 0.95, **given: np.ndarray) -> SectionCurves:
    """Tasks that differ by a hair."""
    gap_NL = np.asarray(gap) + 0.002 * np.random.default_rng(0).standard_normal((n, 1))
    mix_NL = np.broadcast_to(mix, gap_NL.shape).copy()
    layers_L = np.arange(1, gap_NL.shape[1] + 1)
    return SectionCurves(layers_L, tuple(f"t{i}" for i in range(n)), mix_NL, mix_NL - gap_NL, **given)


def hinge(depth: int = 16, start: int = 4, end: int = 9, height: float = 0.3) -> np.ndarray:
    return height * np.interp(np.arange(1, depth + 1), [start, end], [0.0, 1.0])


def test_the_shared_paper_file_holds_the_published_curves(shared: Path) -> None:
    path = shared / "papers" / "layer_by_layer.json"
    if not path.is_file():
        pytest.skip("the paper's digitised curves are not here")
    rows = json.loads(path.read_text())["cka_and_dims"]
    np.testing.assert_allclose([row["sft"]["median"] for row in rows], published.MIX_MEDIAN_L)
    np.testing.assert_allclose([row["base"]["median"] for row in rows], published.BASE_MEDIAN_L)
    np.testing.assert_allclose([row["sft"]["dims99"] for row in rows], published.MIX_DIMS_L)


def test_the_calibration_is_what_the_fit_gives_on_the_published_curves() -> None:
    rng = np.random.default_rng(0)
    curves_BSL = np.array([published.MIX_MEDIAN_L, published.BASE_MEDIAN_L]) + rng.uniform(-0.005, 0.005, (1000, 2, 32))
    fits = fit_rises(curves_BSL[:, 0] - curves_BSL[:, 1])
    ends = Counter(zip((fits.start_B + 1).tolist(), (fits.end_B + 1).tolist(), strict=True))
    (((start, end), count),) = ends.most_common(1)
    said = f"shared 1-{start} | transition {start + 1}-{end} | refinement {end + 1}-32 in {count / 10:.0f} % of 1,000"
    assert said in CALIBRATION
    dims_BL = np.array(published.MIX_DIMS_L, dtype=float) + rng.uniform(-10, 10, (1000, 32))
    plateaus = Counter(_dims_plateau(dims_L[None], np.ones((1, 1)), np.arange(1, 33)) for dims_L in dims_BL)
    ((plateau, *_), count) = plateaus.most_common(1)[0]
    assert f"their plateau at layer {plateau} in {count / 10:.0f} %" in CALIBRATION


def published_tasks(mix_L: list[float], base_L: list[float], layers: list[int], n: int, spread: float) -> SectionCurves:
    """Tasks around published medians, with the published spread."""
    rng = np.random.default_rng(1)
    u_L = np.array(layers) / 32
    sd_L = spread * np.interp(u_L, *planted.GAP_IQR) / 1.35
    gap_NL = np.subtract(mix_L, base_L) + sd_L * planted._tracks(rng, n, len(layers))
    mix_NL = np.array(mix_L) + 0.02 * rng.standard_normal((n, 1))
    return SectionCurves(np.array(layers), tuple(f"t{i}" for i in range(n)), mix_NL, mix_NL - gap_NL)


def test_tasks_around_the_published_medians_are_split_as_the_calibration_says() -> None:
    curves = published_tasks(published.MIX_MEDIAN_L, published.BASE_MEDIAN_L, list(range(1, 33)), 50, 0.5)
    found = find_sections(curves, draws=300)
    assert found.shared_end.identified and found.transition_end.identified
    assert abs(found.shared_end.layer - 7) <= 1 and abs(found.transition_end.layer - 20) <= 1


def test_on_unseen_tasks_no_transition_is_named() -> None:
    curves = published_tasks(published.UNSEEN_MIX, published.UNSEEN_BASE, published.UNSEEN_LAYERS, 20, 0.1)
    found = find_sections(curves, draws=200)
    assert not found.transition_end.identified


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"mix": 0.7}, "lower quartile of CKA(mix, single-task) is 0.70, below 0.80"),
        ({"mix": np.linspace(0.81, 1.1, 8)[:, None]}, "spreads by 0.15 over tasks, above 0.15"),
        ({"null_L": np.full(16, 0.96)}, "permutation null"),
    ],
)
def test_a_transition_without_agreement_after_it_is_not_named(change: dict[str, np.ndarray], words: str) -> None:
    null = change.pop("null_L", None)
    if words.startswith("spreads"):
        change = {"mix": np.linspace(0.81, 1.12, 8)[:, None]}
    found = find_sections(replace(curves_of(hinge(), **change), null_L=null), draws=100)
    assert (found.shared_end.layer, found.transition_end.layer) == (4, 9)
    assert list(found.windows()) == ["shared"]
    assert words.split(" by ")[0] in found.transition_end.reasons[0]


def test_agreement_is_asked_of_the_upper_flat_alone_and_one_odd_layer_does_not_decide() -> None:
    mix_L = np.full(16, 0.9)
    mix_L[[2, 6, 7, 12]] = 0.5
    found = find_sections(curves_of(hinge(), mix=mix_L), draws=100)
    assert list(found.windows()) == ["shared", "transition", "refinement"]


@pytest.mark.parametrize(
    ("gap", "shape", "words"),
    [
        (np.zeros(16), "no rise", "does not rise by more than 0.02"),
        (hinge(height=0.015), "no rise", "does not rise by more than 0.02"),
        (-hinge(), "no rise", "does not rise"),
        (0.02 * np.arange(16.0), "no plateau", "from the first layer to the last: no plateau"),
        (0.1 * np.maximum(0, np.arange(1.0, 17) - 12), "late opening", "opens after layer 12 and rises to the last"),
        (0.1 * np.maximum(0, np.arange(1.0, 17) - 5), "no plateau", "opens after layer 5 and rises to the last layer"),
        (0.1 * np.minimum(np.arange(1.0, 17), 6), "no shared section", "levels off at layer 6"),
        (
            0.05 * np.array([0, 0, 1, 2, 3, 3, 3, 3, 3, 3, 3, 4, 5, 6, 6, 6.0]),
            "not clear",
            "rises in more than one piece",
        ),
        (0.3 * np.linspace(-1, 1, 16) ** 2, "not clear", "hardly better than a single bend"),
        (hinge() + 0.15, "a rise between parts that are not flat, or not at 0", "not near 0 in the low layers (+0.15"),
        (hinge() - 0.15, "a rise between parts that are not flat, or not at 0", "not near 0 in the low layers (-0.15"),
    ],
)
def test_what_is_no_split_is_called_what_it_is(gap: np.ndarray, shape: str, words: str) -> None:
    found = find_sections(curves_of(gap), draws=100)
    assert found.shape == shape
    assert found.windows() == {}
    assert found.shared_end.reasons == found.transition_end.reasons
    assert words in found.render()


def test_the_lower_level_may_lie_within_a_third_of_the_rise() -> None:
    assert find_sections(curves_of(hinge() - 0.09), draws=100).windows()
    assert not find_sections(curves_of(hinge() - 0.11), draws=100).windows()


@pytest.mark.parametrize("at", [4, 13])
def test_a_flat_may_stray_by_less_than_a_quarter_of_the_rise(at: int) -> None:
    shapes = []
    # One layer of seven that is off by x moves their mean by x / 7: 6/7 x is held against .075.
    for odd in (0.08, 0.1):
        gap_L = hinge(16, 7, 10)
        gap_L[at - 1] -= odd
        shapes.append(find_sections(curves_of(gap_L), draws=100).shape)
    assert shapes == ["flat - rise - flat", "a rise between parts that are not flat, or not at 0"]


def test_a_step_is_a_transition_of_one_layer() -> None:
    found = find_sections(curves_of(np.repeat([0.0, 0.3], [6, 10])), draws=100)
    assert found.shape == "step"
    assert found.windows() == {"shared": (1, 6), "transition": (7, 7), "refinement": (8, 16)}


@pytest.fixture(scope="module")
def found() -> Sections:
    curves, _, _ = planted.draw(np.random.default_rng(3), 32, 40, "hinge")
    return find_sections(curves, draws=300)


def test_sections_touch_and_cover_the_depth(found: Sections) -> None:
    windows = found.windows()
    assert list(windows) == ["shared", "transition", "refinement"]
    assert windows["shared"][0] == 1
    assert windows["transition"][0] == windows["shared"][1] + 1
    assert windows["refinement"] == (windows["transition"][1] + 1, 32)
    text = found.render()
    assert f"shared 1-{found.shared_end.layer}" in text
    assert "not identified" not in text


def test_the_distribution_of_a_boundary_adds_up_and_agrees_with_its_interval(found: Sections) -> None:
    for boundary in (found.shared_end, found.transition_end):
        assert sum(boundary.distribution.values()) == pytest.approx(1.0)
        inside = sum(
            share for layer, share in boundary.distribution.items() if boundary.low <= int(layer) <= boundary.high
        )
        assert inside >= 0.9


def test_sections_survive_json(found: Sections) -> None:
    text = json.dumps(found.to_json(), allow_nan=False)
    assert Sections.from_json(json.loads(text)) == found
    assert json.loads(text)["sections"]["shared"] == list(found.shared or ())
    bare = replace(found, nearer=None, dims_plateau=None)
    assert Sections.from_json(json.loads(json.dumps(bare.to_json()))) == bare


def test_the_same_seed_gives_the_same_sections(found: Sections) -> None:
    curves, _, _ = planted.draw(np.random.default_rng(3), 32, 40, "hinge")
    assert find_sections(curves, draws=300) == found


def test_what_is_known_is_said_although_no_boundary_is_identified() -> None:
    rng = np.random.default_rng(5)
    gap_NL = 0.01 * np.arange(-3.0, 13.0) + 0.03 * rng.standard_normal((10, 16))
    curves = replace(curves_of(gap_NL, n=10))
    gap_NL = curves.mix_NL - curves.base_NL
    found = find_sections(curves, draws=100)
    assert found.windows() == {}
    p_L = np.array([stats.ttest_1samp(gap_N, 0).pvalue for gap_N in gap_NL.T])
    above_L = (gap_NL.mean(axis=0) > 0) & (p_L < 0.05)
    first = next(i for i in range(16) if above_L[i:].all())
    assert found.nearer is not None and found.nearer.first == first + 1
    mean = gap_NL[:, first:].mean(axis=1)
    low, high = stats.ttest_1samp(mean, 0).confidence_interval(0.95)
    assert [found.nearer.gap, found.nearer.low, found.nearer.high] == pytest.approx([mean.mean(), low, high])
    said = f"than the base does from layer {first + 1} on (gap {mean.mean():+.2f} [{low:+.2f}, {high:+.2f}])"
    assert said in found.render()


def test_nothing_is_said_of_a_gap_that_closes_again_or_of_one_task() -> None:
    closing = np.where(np.arange(16) < 15, hinge(), 0.0)
    assert find_sections(curves_of(closing), draws=50).nearer is None
    assert find_sections(curves_of(hinge(), n=1), draws=50).nearer is None


def test_the_plateau_of_the_dimensions_stands_beside_the_gap() -> None:
    dims_L = np.interp(np.arange(1, 17), [1, 11], [300.0, 1300.0])
    found = find_sections(curves_of(hinge(), dims_NL=np.tile(dims_L, (8, 1))), draws=50)
    # 95 % of 1,300 is 1,235: layer 10 has 1,200, layer 11 has 1,300.
    assert found.dims_plateau == (11, 11, 11)
    assert "dimensions reach their plateau at layer 11 (90 % interval 11-11)" in found.render()


def test_fewer_than_five_tasks_identify_nothing_and_say_so() -> None:
    curves, _, _ = planted.draw(np.random.default_rng(3), 32, 40, "hinge", 0.1)
    assert find_sections(curves.subset(curves.tasks[:5]), draws=100).windows()
    few = find_sections(curves.subset(curves.tasks[:4]), label="cluster maths", draws=100)
    assert few.windows() == {}
    assert "only 4 tasks (fewer than 5)" in few.render()


def test_undefined_layers_and_tasks_are_left_out_with_a_note() -> None:
    curves, _, _ = planted.draw(np.random.default_rng(3), 32, 12, "hinge")
    mix_NL = curves.mix_NL.copy()
    mix_NL[:, 0] = np.nan
    mix_NL[4, 9] = np.nan
    holed = SectionCurves(curves.layers_L, curves.tasks, mix_NL, curves.base_NL, curves.dims_NL)
    sections = find_sections(holed, draws=100)
    assert sections.layers == tuple(range(2, 33))
    assert sections.n_tasks == 11
    assert "layers [1] are undefined" in sections.notes[0]
    assert "t4" in sections.notes[1]


def test_curves_that_do_not_fit_are_refused() -> None:
    curves, _, _ = planted.draw(np.random.default_rng(3), 12, 6, "hinge")
    with pytest.raises(TraitscopeError, match="tasks x layers"):
        SectionCurves(curves.layers_L, curves.tasks, curves.mix_NL[:, 1:], curves.base_NL)
    with pytest.raises(TraitscopeError, match="do not rise"):
        SectionCurves(curves.layers_L[::-1], curves.tasks, curves.mix_NL, curves.base_NL)
    with pytest.raises(TraitscopeError, match="6 layers"):
        find_sections(SectionCurves(curves.layers_L[:4], curves.tasks, curves.mix_NL[:, :4], curves.base_NL[:, :4]))


@pytest.mark.parametrize(
    ("depth", "width", "too_wide"), [(24, 4, False), (24, 5, True), (40, 5, False), (40, 6, True), (48, 6, False)]
)
def test_an_interval_may_be_an_eighth_of_the_depth_and_at_least_four_layers(
    depth: int, width: int, too_wide: bool
) -> None:
    # One in twenty on either side lies outside of a 90 % interval.
    index_B = np.repeat([0, 7, 9, 7 + width, depth - 1], [4, 10, 72, 10, 4])
    end = _boundary(9, index_B, np.arange(1, depth + 1), [])
    assert (end.layer, end.low, end.high) == (10, 8, 8 + width)
    wanted = f"its 90 % interval 8-{8 + width} is wider than {max(4, depth / 8):g} layers"
    assert end.reasons == ((wanted,) if too_wide else ())
    assert end.identified is not too_wide
    assert _boundary(9, index_B, np.arange(1, depth + 1), ["another reason"]).reasons == ("another reason",)


@pytest.mark.parametrize("dims_L", [np.full(12, 7.0), np.linspace(90.0, 40.0, 12)])
def test_dimensions_that_do_not_rise_reach_no_plateau(dims_L: np.ndarray) -> None:
    assert _dims_plateau(np.tile(dims_L, (6, 1)), np.ones((9, 6)), np.arange(1, 13)) is None
