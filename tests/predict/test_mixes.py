"""Mixes: the rule learned from measured ones, and the choice under a budget of rows, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from traitscope.errors import TraitscopeError
from traitscope.predict.mixes import MixRule, choose_mix, fit_mix_rule

ROWS = {"a": 100, "b": 100, "c": 50}


def test_without_measured_mixes_a_mix_gains_the_mean_of_its_parts_by_their_rows() -> None:
    rule = fit_mix_rule(np.array([]), np.array([]))
    gains = np.array([[1.0, 0.0], [0.0, 2.0]])
    np.testing.assert_allclose(rule.predict(gains, np.array([0.25, 0.75])), [0.25, 1.5])
    assert np.isnan(rule.sd)


def test_the_rule_is_learned_and_few_mixes_are_not_believed() -> None:
    rng = np.random.default_rng(0)
    parts = rng.normal(size=2000)
    measured = 0.3 + 0.6 * parts + 0.2 * rng.normal(size=2000)
    many, few = fit_mix_rule(parts, measured), fit_mix_rule(parts[:3], measured[:3])
    assert many.slope == pytest.approx(0.6, abs=0.02)
    assert many.level == pytest.approx(0.3, abs=0.02)
    assert many.sd == pytest.approx(0.2, abs=0.01)
    assert abs(few.slope - 1) < 0.25 and abs(few.level) < 0.1


def test_for_one_target_the_best_source_comes_first_and_a_lesser_one_does_not_join() -> None:
    choice = choose_mix(np.array([[1.0], [2.0], [0.5]]), list(ROWS), ROWS, 80)
    assert choice.rows == {"b": 80}
    assert choice.single and choice.alone == ("b", 2.0)


def test_a_mix_that_gains_beyond_its_parts_takes_what_the_budget_leaves() -> None:
    """Level .5: b and a together are worth .5 + 1.5, more than b alone."""
    rule = MixRule(level=0.5)
    choice = choose_mix(np.array([[1.0], [1.9], [-9.0]]), list(ROWS), ROWS, 200, rule)
    assert choice.rows == {"b": 100, "a": 100}
    assert choice.gain == pytest.approx(0.5 + 1.45)


def test_a_source_that_harms_another_target_is_weighed_by_it() -> None:
    gains = np.array([[2.0, -3.0], [0.5, 0.5], [0.4, 0.4]])
    assert list(choose_mix(gains, list(ROWS), ROWS, 100).rows) == ["b"]


def test_a_budget_of_nothing_and_a_source_without_rows_are_errors() -> None:
    with pytest.raises(TraitscopeError, match="at least one row"):
        choose_mix(np.ones((3, 1)), list(ROWS), ROWS, 0)
    with pytest.raises(TraitscopeError, match="no train rows"):
        choose_mix(np.ones((3, 1)), list(ROWS), {"a": 1, "b": 1}, 10)


def test_parts_count_by_the_rows_that_are_taken_of_them() -> None:
    choice = choose_mix(np.array([[1.0], [1.9], [-9.0]]), list(ROWS), ROWS, 150, MixRule(level=0.5))
    assert choice.rows == {"b": 100, "a": 50}
    assert choice.gain == pytest.approx(0.5 + (100 * 1.9 + 50 * 1.0) / 150)
