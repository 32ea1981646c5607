"""Findings across base models: counted, tested and pooled as by hand; told apart from noise."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from traitscope.effects import Across, Effects, across_bases, measure_effects
from traitscope.effects.pooling import random_effects
from traitscope.effects.together import effects_together
from traitscope.errors import TraitscopeError
from traitscope.matrix import ScoreMatrix


def effects_of(gains: dict[str, float], error: float = 0.01) -> Effects:
    """Findings of a matrix with one task and a base at .5: a source's gain on it, with a known error."""
    scores = {"base": 0.5, **{source: 0.5 + gain for source, gain in gains.items()}}
    frame = pd.DataFrame({"task": scores})
    errors = pd.DataFrame({"task": dict.fromkeys(scores, error / np.sqrt(2))})
    return measure_effects(ScoreMatrix.from_wide(frame, stderr=errors))


@pytest.fixture(scope="module")
def three() -> Across:
    """Of three base models: a source that helps in all, one in two, one up and down, one nowhere."""
    return across_bases(
        {
            "one": effects_of({"all": 0.10, "two": 0.08, "mixed": 0.10, "none": 0.001}),
            "two": effects_of({"all": 0.12, "two": 0.09, "mixed": -0.10, "none": -0.002}),
            "three": effects_of({"all": 0.08, "two": 0.00, "mixed": 0.00, "none": 0.003}),
        }
    )


def gain_rows(across: Across) -> pd.DataFrame:
    return across.findings[across.findings["kind"] == "gain"].set_index("name")


def test_in_how_many_base_models_each_finding_holds(three: Across) -> None:
    rows = gain_rows(three)
    assert rows["bases"].tolist() == [3] * 4
    assert rows["held"].to_dict() == {"all": 3, "two": 2, "mixed": 2, "none": 0}
    assert rows["at_least"].to_dict() == {"all": 3, "two": 2, "mixed": 1, "none": 0}
    assert rows.loc["two", "holds_in"] == "one, two"
    assert (rows.loc["mixed", ["up", "down"]] == [1, 1]).all()
    assert set(three.replicated()["name"]) == {"all", "two"}


def test_p_is_that_of_the_gains_by_hand(three: Across) -> None:
    from scipy.stats import norm

    rows = gain_rows(three)
    one_sided = sorted(norm.sf(np.array([0.08, 0.09, 0.0]) / 0.01))
    # Left of "two" without the surest: two p, Simes; the other direction gives 1.
    assert rows.loc["two", "p_two"] == pytest.approx(2 * min(2 * one_sided[1], one_sided[2]), rel=1e-6)
    assert rows.loc["two", "p_all"] == pytest.approx(2 * one_sided[2], rel=1e-6)
    assert rows.loc["two", "value"] == pytest.approx(0.17 / 3)
    p = rows["p_two"].to_numpy()
    order = np.argsort(p)
    by_hand = np.minimum.accumulate((p[order] * 4 / np.arange(1, 5))[::-1])[::-1]
    assert rows["q_two"].to_numpy()[order] == pytest.approx(np.minimum(by_hand, 1))


def test_gains_are_pooled_over_base_models(three: Across) -> None:
    row = three.gains.set_index("name").loc["all"]
    by_hand = random_effects([0.10, 0.12, 0.08], [0.01] * 3)
    for name in ("value", "lo", "hi", "p", "sd", "share", "next_lo"):
        assert row[name] == pytest.approx(getattr(by_hand, name), rel=1e-6)
    assert three.gains.set_index("name").loc["mixed", "q_differ"] < 1e-6


def test_it_is_told_in_words_and_read_again(three: Across) -> None:
    text = three.render()
    assert "of 4 tested in two base models or more 3 hold in one by itself, 2 in two or more, 1 in all" in text
    assert "1 hold up in one and down in another" in text
    assert "all on task: +10.0 points on average, holds in 3 of 3, in at least 3 with 95% confidence" in text
    again = Across.from_json(three.to_json())
    assert again.render() == text
    pd.testing.assert_frame_equal(again.findings, three.findings, check_dtype=False)


def test_a_source_of_one_base_model_alone_is_left_out() -> None:
    found = across_bases({"one": effects_of({"a": 0.1, "b": 0.1}), "two": effects_of({"a": 0.1, "c": 0.1})})
    assert gain_rows(found).index.tolist() == ["a"]
    assert set(found.by_base["name"]) == {"a", "b", "c"}


def test_seeds_that_nobody_averaged_are_findings_of_their_rows() -> None:
    one = effects_of({"a": 0.1})
    twice = replace(one, findings=pd.concat([one.findings, one.findings.assign(model="a-s1")], ignore_index=True))
    found = across_bases({"one": twice, "two": twice})
    assert gain_rows(found).index.tolist() == ["a", "a-s1"]


def test_nothing_to_hold_against_each_other_is_an_error() -> None:
    one = effects_of({"a": 0.1})
    with pytest.raises(TraitscopeError, match="need two"):
        across_bases({"one": one})
    with pytest.raises(TraitscopeError, match="tested in two"):
        across_bases({"one": one, "two": effects_of({"b": 0.1})})


def test_effects_together_call_rows_as_the_matrix_of_all_does() -> None:
    found = effects_together({"one": effects_of({"a": 0.1}), "two": effects_of({"a": -0.1})})
    assert found.findings["model"].tolist() == ["one/a", "two/a"]
    assert set(found.tables["gains"]["model"]) == {"one/a", "two/a"}
    assert Effects.from_json(found.to_json()).render() == found.render()


@pytest.mark.verify
def test_noise_is_replicated_no_oftener_than_its_level() -> None:
    rng, any_found, trials = np.random.default_rng(0), 0, 150
    for _ in range(trials):
        noise = [effects_of({f"s{i}": rng.normal(0, 0.01) for i in range(12)}) for _ in range(4)]
        any_found += len(across_bases(dict(zip("abcd", noise, strict=True))).replicated()) > 0
    assert any_found <= trials * 0.05 + 3 * np.sqrt(trials * 0.05)
