"""What a plugin's predictor gives wrongly is one error that names it; what it is given it cannot change."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from predict_worlds import low_rank_world, problem
from scipy.stats import spearmanr

import traitscope as ts
from traitscope.errors import TraitscopeError
from traitscope.predict.mixes import MixRule
from traitscope.predict.pairs import PairFeatures
from traitscope.predict.predictor import PREDICTORS, CannotFit, Prediction, Predictor, predictor_named
from traitscope.predict.ranking import dataset_text, mix_choice, skill_text
from traitscope.predict.scoring import near_duplicates


def plain(given, rng) -> Prediction:
    shape = given.known_IN.shape
    return Prediction(
        np.zeros(shape), np.ones(shape), np.zeros(shape[1]), np.ones(shape[1]), {"nothing": np.zeros(shape)}
    )


def raising(error: Exception):
    def fit(given, rng):
        raise error

    return fit


def writing(given, rng):
    given.values_BIN[:] = 0.0
    return plain(given, rng)


def changed(**parts):
    return lambda given, rng: replace(plain(given, rng), **parts)


@pytest.fixture
def named() -> Iterator[Callable[[Any], Predictor]]:
    """A predictor under the name ``mine``, as a plugin registers it."""

    def register(fit: Any) -> Predictor:
        PREDICTORS.register("mine", version=1, reference="x")(fit)
        return predictor_named("mine")

    yield register
    PREDICTORS._entries.pop("mine", None)


@pytest.mark.parametrize(
    ("fit", "words"),
    [
        (raising(RuntimeError("no luck")), "RuntimeError: no luck"),
        (raising(SystemExit(3)), "SystemExit"),
        (lambda given, rng: None, "NoneType where a Prediction is due"),
        (writing, "read-only"),
        (lambda given, rng: given.scale.z_BIN.__setitem__(0, 1.0), "read-only"),
        (changed(z_IN=np.zeros((2, 2))), "z_IN of shape"),
        (changed(sd_IN=np.zeros((12, 10))), "sd_IN that is no number above 0"),
        (changed(z_IN=np.full((12, 10), np.nan)), "z_IN that is no number"),
        (changed(spread_N=np.zeros(10)), "spread_N that is no number above 0"),
        (changed(centre_N=np.full(10, np.inf)), "centre_N that is infinite"),
        (changed(centre_N=np.full(10, np.nan)), "no number where cells of the column are known"),
        (changed(covariance_CC=np.full((120, 120), np.nan)), "covariance_CC that is no number"),
        (changed(z_IN=np.zeros((12, 10), dtype=complex)), "z_IN of complex128"),
        (changed(note=5), "a note that is int"),
        (changed(pieces={5: np.zeros((12, 10))}), "names a piece 5"),
        (changed(pieces={"half": np.zeros(3)}), "piece 'half' of shape"),
        (changed(covariance_CC=np.zeros((3, 3))), "covariance_CC of shape"),
        (changed(refit=lambda given: None), "NoneType where a Prediction is due"),
    ],
)
def test_a_predictor_that_fails_is_named_with_its_reason(named, fit, words: str) -> None:
    values_BIN, _ = low_rank_world(np.random.default_rng(0))
    with pytest.raises(TraitscopeError, match=f"the predictor 'mine'.*{words}"):
        found = named(fit)(problem(values_BIN), np.random.default_rng(0))
        assert found.refit is not None
        found.refit(problem(values_BIN))


def test_a_predictor_that_lacks_something_says_so_as_itself(named) -> None:
    values_BIN, _ = low_rank_world(np.random.default_rng(0))
    with pytest.raises(CannotFit, match="a map"):
        named(raising(CannotFit("a map")))(problem(values_BIN), np.random.default_rng(0))


def test_features_of_another_shape_are_one_message() -> None:
    for values, costs in ((np.zeros((1, 3, 2)), ("text",)), (np.zeros((1, 2, 2)), ("money",))):
        with pytest.raises(TraitscopeError, match="features"):
            PairFeatures(("a", "b"), ("t", "u"), ("size",), costs, values)


def matrix(**columns: list[float]) -> ts.ScoreMatrix:
    return ts.ScoreMatrix.from_wide(pd.DataFrame(columns, index=["base", *"vwxyz"]), base="base")


def test_what_cannot_be_held_out_is_said() -> None:
    scores = matrix(a=[1, 2, 3, 4, 5, 6], b=[6, 5, 3, 4, 1, 2])
    with pytest.raises(TraitscopeError, match="nothing can be held out by 'base'"):
        ts.fit_predictor(scores).skill("base")


def test_sources_that_are_expected_to_do_the_same_share_their_places() -> None:
    nan = float("nan")
    found = ts.fit_predictor(matrix(a=[1, 2, 3, 4, 5, 6], b=[6, 5, nan, nan, nan, nan]), predictor="column mean")
    line = next(line for line in dataset_text(found, "w").splitlines() if line.startswith("b "))
    assert line.endswith("1 to 5 of 5")


def test_targets_that_rank_the_sources_alike_are_named_beside_the_skill() -> None:
    rng = np.random.default_rng(0)
    one, other, third = rng.normal(size=(3, 12))
    frame = pd.DataFrame({"a": one, "again": one + 0.01 * rng.normal(size=12), "b": other, "c": third})
    frame.index = ["base", *(f"s{i}" for i in range(11))]
    text = skill_text(ts.fit_predictor(ts.ScoreMatrix.from_wide(frame, base="base")), "cells")
    assert "a, again rank the sources alike" in text


def test_an_empty_column_is_kept_where_it_is_named(tmp_path) -> None:
    path = tmp_path / "m.csv"
    path.write_text("model,a,b,law\nbase,1,2,\nx,2,3,\ny,4,1,\nz,3,5,\n")
    with pytest.raises(TraitscopeError, match="name it among --values"):
        ts.fit_predictor(ts.read_matrix(path)).rank_sources("law")
    ranked = ts.fit_predictor(ts.read_matrix(path, values=["a", "b", "law"])).rank_sources("law")
    assert set(ranked["unit"]) == {"z"} and len(ranked) == 3


def test_a_mix_counts_what_a_source_gains_on_its_own_task() -> None:
    """Source a gains 50 on task a, which is no transfer; no other source gains there."""
    frame = pd.DataFrame({"a": [0, 50, 1, 1], "t": [0, 1, 2, 1]}, index=["base", "a", "b", "c"], dtype=float)
    found = ts.fit_predictor(ts.ScoreMatrix.from_wide(frame, base="base"), predictor="column mean")
    choice = mix_choice(found, ["a"], {"a": 10, "b": 10, "c": 10}, 10, MixRule())
    assert choice.rows == {"a": 10}


@pytest.mark.parametrize("known", [0, 1, 2, 3])
def test_a_few_cells_of_a_target_are_no_worse_than_none(known: int) -> None:
    """One strong factor on which all targets load: it orders the sources of a target of which little is known."""
    rho = []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        values_IN = rng.normal(size=(12, 1)) * rng.uniform(-0.3, 2, 10) + 0.4 * rng.normal(size=(12, 10))
        values_IN[:, 0] += values_IN[:, 1:].mean(axis=1)
        whole = problem(values_IN[None])
        hidden_IN = np.zeros((12, 10), dtype=bool)
        hidden_IN[known:, 0] = True
        found = predictor_named("residual gp")(whole.hide(hidden_IN), rng)
        rho.append(spearmanr(found.z_IN[known:, 0], values_IN[known:, 0]).statistic)
    assert np.mean(rho) > 0.8


def test_twins_are_named_though_each_has_holes() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        z_IN = rng.normal(size=(10, 6))
        z_IN[:, 3] = z_IN[:, 2] + 0.01 * rng.normal(size=10)
        z_IN[rng.permutation(10)[:2], 2] = np.nan
        z_IN[rng.permutation(10)[:1], 3] = np.nan
        assert (2, 3) in near_duplicates(z_IN[None], 0.9)
