"""The result as JSON and as text, and what fit_traits refuses."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from trait_worlds import planted_matrix, planted_records, scores_of
from typing_extensions import TypeAliasType

from traitscope.errors import TraitscopeError
from traitscope.matrix import ScoreMatrix
from traitscope.traits import Traits, fit_traits, render
from traitscope.traits.codec import decode

QUICK = {"permutations": 19, "draws": 19, "held_out": 0}


@pytest.mark.parametrize("rotate", [None, "varimax", "promax"])
@pytest.mark.parametrize("known", [True, False])
def test_json_gives_the_same_traits_back(rotate: str | None, known: bool) -> None:
    scores = planted_matrix(9, 7, 2, np.random.default_rng(0)).scores
    if not known:
        scores = ScoreMatrix.from_wide(scores.to_wide())
    traits = fit_traits(scores, k=2, rotate=rotate, replicates=20, **QUICK)
    again = Traits.from_json(traits.to_json())
    assert again.to_json() == traits.to_json()
    np.testing.assert_array_equal(again.loadings_KN, traits.loadings_KN)
    assert again.above_null_K == traits.above_null_K and again.models == traits.models
    assert (again.intervals is None) == (not known)
    assert render(again) == render(traits)


def test_arrays_are_read_as_arrays_whatever_numpy_names_their_type() -> None:
    """Since numpy 2.5 ``NDArray`` is a named alias; a result read back had lists in the place of its arrays."""
    scalar = TypeVar("scalar", bound=np.generic)
    named = TypeAliasType("named", np.ndarray[Any, np.dtype[scalar]], type_params=(scalar,))
    for kind in (npt.NDArray[np.float64], named[np.float64]):
        np.testing.assert_array_equal(decode(kind, [[1, None]]), [[1.0, np.nan]])
        (inner,) = decode(tuple[kind, ...], [[2.5]])  # type: ignore[valid-type]
        assert isinstance(inner, np.ndarray)
        assert isinstance(decode(kind | None, [1.0]), np.ndarray)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"models": ["a"]}'])
def test_other_json_is_refused(text: str) -> None:
    with pytest.raises(TraitscopeError, match="not a saved trait analysis"):
        Traits.from_json(text)


def test_the_text_says_what_matters() -> None:
    planted = planted_matrix(11, 10, 1, np.random.default_rng(1), ratio=3)
    traits = fit_traits(planted.scores, k=2, replicates=30, permutations=99, draws=199)
    text = render(traits)
    assert "Number of traits: 1 direction of transfer stands above the measurement noise; it helps to predict" in text
    assert "transfer cells of base and sources" in text
    assert text.count("[not above the null]") == 1
    assert "null together %" in text and "95 % intervals over standard errors of the cells" in text
    assert "Profiles" in text and "Profiles" not in render(traits, profiles=False)


def test_kept_traits_rebuild_the_matrix_within_what_they_explain() -> None:
    planted = planted_matrix(11, 10, 2, np.random.default_rng(2))
    for options in ({"scale": True}, {"rotate": "promax"}, {"view": "gain"}):
        traits = fit_traits(planted.scores, k=10, replicates=0, **QUICK, **options)  # type: ignore[arg-type]
        np.testing.assert_allclose(traits.reconstruct(), traits.filled_IN, atol=1e-9)


def test_a_metric_that_is_better_when_lower_turns_round() -> None:
    scores = planted_matrix(9, 5, 1, np.random.default_rng(3)).scores
    table = scores.to_long()
    flipped = table.assign(
        value=table["value"].where(table["task"] != "t2", -table["value"]), higher_is_better=table["task"] != "t2"
    )
    one = fit_traits(scores, k=1, replicates=0, **QUICK)
    two = fit_traits(ScoreMatrix.from_long(flipped), k=1, replicates=0, **QUICK)
    np.testing.assert_allclose(one.loadings_KN, two.loadings_KN, atol=1e-12)


def test_log_odds_are_analysed_with_their_own_noise() -> None:
    rng = np.random.default_rng(6)
    left = np.linspace(-1.5, 1.5, 11)
    share = 1 / (1 + np.exp(-np.outer(left, np.linspace(0.5, 1.5, 8))))
    traits = fit_traits(
        scores_of(planted_records(share, 400, rng)), view="logit", permutations=19, draws=199, held_out=0
    )
    assert traits.count.supported == 1 and traits.intervals is not None
    expected = np.linspace(0.5, 1.5, 8) / np.linalg.norm(np.linspace(0.5, 1.5, 8))
    low, high = traits.intervals.loadings_low_KN[0], traits.intervals.loadings_high_KN[0]
    assert ((low <= expected) & (expected <= high)).mean() >= 0.75


def test_seeds_can_be_rows_or_means() -> None:
    rng = np.random.default_rng(5)
    rows = [("base", None, None)] + [(f"s{i}-s{j}", f"s{i}", j) for i in range(5) for j in range(2)]
    table = pd.DataFrame(
        [(*row, f"t{n}", rng.normal(), 0.1) for row in rows for n in range(4)],
        columns=["model", "source", "seed", "task", "value", "stderr"],
    )
    scores = ScoreMatrix.from_long(table)
    assert fit_traits(scores, replicates=0, **QUICK).models == ("base", "s0", "s1", "s2", "s3", "s4")
    assert len(fit_traits(scores, seeds="rows", replicates=0, **QUICK).models) == 11


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"view": "rank"}, "unknown view 'rank'"),
        ({"rotate": "oblimin"}, "unknown rotate 'oblimin'"),
        ({"seeds": "first"}, "unknown seeds 'first'"),
        ({"k": 0}, "k is 0"),
        ({"k": 6}, "k is 6"),
        ({"k": True}, "k is True"),
        ({"k": "many"}, "k is 'many'"),
        ({"view": "logit"}, "log-odds need fractions"),
    ],
)
def test_bad_options_are_named(options: dict[str, Any], message: str) -> None:
    scores = planted_matrix(6, 7, 0, np.random.default_rng(6)).scores
    with pytest.raises(TraitscopeError, match=message):
        fit_traits(scores, replicates=0, **{**QUICK, **options})


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (pd.DataFrame({"a": [1.0, 2], "b": [2.0, 1]}, index=["base", "x"]), "2 models x 2 tasks: too few"),
        (pd.DataFrame({"a": [1.0, 2, 3]}, index=["base", "x", "y"]), "3 models x 1 task: too few"),
        (pd.DataFrame({"a": [1.0] * 3, "b": [2.0] * 3}, index=["base", "x", "y"]), "the same scores"),
        (
            pd.DataFrame({"a": [1.0, 2, 3, None], "b": [1.0, 3, 2, None]}, index=["base", "x", "y", "z"]),
            "no transfer score for z",
        ),
    ],
)
def test_too_little_to_analyse_is_said(frame: pd.DataFrame, message: str) -> None:
    with pytest.raises(TraitscopeError, match=message):
        fit_traits(ScoreMatrix.from_wide(frame), replicates=0, **QUICK)
