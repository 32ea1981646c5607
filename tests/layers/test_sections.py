"""The section rule on the published curves, and what it refuses to say."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import planted
import published
import pytest

from traitscope.errors import TraitscopeError
from traitscope.layers import RuleOutcome, SectionCurves, Sections, apply_rule, find_sections


def rule_on(layers: list[int], mix: list[float], base: list[float], **given: np.ndarray | None) -> RuleOutcome:
    mix_L, base_L = np.array(mix), np.array(base)
    return apply_rule(np.array(layers), mix_L - base_L, mix_median_L=mix_L, **given)


def test_the_published_curves_give_nine_and_fifteen() -> None:
    found = rule_on(
        list(range(1, 33)),
        published.MIX_MEDIAN_L,
        published.BASE_MEDIAN_L,
        dims_L=np.array(published.MIX_DIMS_L, dtype=float),
        mix_q1_L=np.array(published.MIX_Q1_L),
        mix_q3_L=np.array(published.MIX_Q3_L),
    )
    assert (found.shared_end, found.transition_end, found.named) == (9, 15, True)


def test_the_shared_paper_file_gives_nine_and_fifteen(shared: Path) -> None:
    path = shared / "papers" / "layer_by_layer.json"
    if not path.is_file():
        pytest.skip("the paper's digitised curves are not here")
    rows = json.loads(path.read_text())["cka_and_dims"]
    column = {
        (side, name): np.array([row[side][name] for row in rows], dtype=float)
        for side in ("base", "sft")
        for name in ("median", "q1", "q3", "dims99")
    }
    found = apply_rule(
        np.array([row["layer"] for row in rows]),
        column["sft", "median"] - column["base", "median"],
        dims_L=column["sft", "dims99"],
        mix_median_L=column["sft", "median"],
        mix_q1_L=column["sft", "q1"],
        mix_q3_L=column["sft", "q3"],
    )
    assert (found.shared_end, found.transition_end, found.named) == (9, 15, True)
    np.testing.assert_allclose(column["sft", "median"], published.MIX_MEDIAN_L)


def test_on_unseen_tasks_no_transition_is_named() -> None:
    layers = published.UNSEEN_LAYERS
    # The dimension curve is the trained tasks', since the paper has none of the unseen ones.
    dims_L = np.interp(layers, range(1, 33), published.MIX_DIMS_L)
    found = rule_on(layers, published.UNSEEN_MIX, published.UNSEEN_BASE, dims_L=dims_L)
    assert not found.named
    assert any("below 0.80" in reason for reason in found.why)
    without = rule_on(layers, published.UNSEEN_MIX, published.UNSEEN_BASE, dims_L=None)
    assert without.transition_end is None
    assert not without.named


def test_one_layer_over_the_threshold_does_not_open_the_gap() -> None:
    layers_L = np.arange(1, 13)
    gap_L = np.where(layers_L >= 8, 0.2, 0.0)
    gap_L[2] = 0.5
    mix_L = np.full(12, 0.95)
    dims_L = np.minimum(layers_L, 10) * 10.0
    found = apply_rule(layers_L, gap_L, dims_L=dims_L, mix_median_L=mix_L)
    assert (found.shared_end, found.transition_end) == (7, 10)


def test_the_threshold_is_the_floor_or_the_error_whichever_is_larger() -> None:
    layers_L = np.arange(1, 11)
    gap_L = 0.01 * layers_L
    mix_L, dims_L = np.full(10, 0.9), np.full(10, 5.0)
    ends = [
        apply_rule(layers_L, gap_L, dims_L=dims_L, mix_median_L=mix_L, error_L=np.full(10, error)).shared_end
        for error in (0.0, 0.055)
    ]
    assert ends == [2, 5]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"mix_q1_L": np.full(12, 0.7)}, "below 0.80"),
        ({"mix_q3_L": np.full(12, 1.0), "mix_q1_L": np.full(12, 0.81)}, "spreads by 0.19"),
        ({"null_L": np.full(12, 0.95)}, "permutation null"),
    ],
)
def test_a_transition_without_agreement_after_it_is_not_named(change: dict[str, np.ndarray], words: str) -> None:
    layers_L = np.arange(1, 13)
    given = {"mix_q1_L": np.full(12, 0.88), "mix_q3_L": np.full(12, 0.95), **change}
    found = apply_rule(
        layers_L,
        np.where(layers_L > 4, 0.2, 0.0),
        dims_L=np.minimum(layers_L, 7) * 10.0,
        mix_median_L=np.full(12, 0.9),
        **given,
    )
    assert found.transition_end == 7
    assert not found.named
    assert words in found.why[0]


@pytest.fixture(scope="module")
def found() -> Sections:
    curves, _, _ = planted.draw(np.random.default_rng(3), 32, 40, "planted")
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


def test_the_same_seed_gives_the_same_sections(found: Sections) -> None:
    curves, _, _ = planted.draw(np.random.default_rng(3), 32, 40, "planted")
    assert find_sections(curves, draws=300) == found


def test_fewer_than_five_tasks_identify_nothing_and_say_so() -> None:
    curves, _, _ = planted.draw(np.random.default_rng(3), 32, 40, "planted")
    few = find_sections(curves.subset(curves.tasks[:4]), label="cluster maths", draws=100)
    assert few.windows() == {}
    assert "only 4 tasks (fewer than 5)" in few.render()


@pytest.mark.parametrize("kind", ["zero", "constant", "ramp"])
def test_a_refusal_names_its_reason(kind: str) -> None:
    curves, _, _ = planted.draw(np.random.default_rng(6), 32, 30, kind)
    sections = find_sections(curves, draws=200)
    assert sections.windows() == {}
    assert "boundary not identified:" in sections.render()
    assert sections.shared_end.reasons


def test_undefined_layers_and_tasks_are_left_out_with_a_note() -> None:
    curves, _, _ = planted.draw(np.random.default_rng(3), 32, 12, "planted")
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
    curves, _, _ = planted.draw(np.random.default_rng(3), 12, 6, "planted")
    with pytest.raises(TraitscopeError, match="tasks x layers"):
        SectionCurves(curves.layers_L, curves.tasks, curves.mix_NL[:, 1:], curves.base_NL)
    with pytest.raises(TraitscopeError, match="do not rise"):
        SectionCurves(curves.layers_L[::-1], curves.tasks, curves.mix_NL, curves.base_NL)
    with pytest.raises(TraitscopeError, match="6 layers"):
        find_sections(SectionCurves(curves.layers_L[:4], curves.tasks, curves.mix_NL[:, :4], curves.base_NL[:, :4]))
