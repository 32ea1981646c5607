"""What every predictor owes its user, whatever it is: the suite walks the registry."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from predict_worlds import problem

from traitscope.predict.conformal import calibrate
from traitscope.predict.pairs import PairFeatures
from traitscope.predict.predictor import CannotFit, Prediction
from traitscope.predict.problem import Problem
from traitscope.registry import registry

NAMES = registry("predictor").names()
SEED = 7


@pytest.fixture(params=["alone", "others", "features"])
def given(request) -> Problem:
    """A matrix with holes, one of its sources unknown in one column and one column hardly known."""
    rng = np.random.default_rng(3)
    bases = 1 if request.param == "alone" else 4
    shared = np.outer(rng.standard_normal(9), rng.standard_normal(7))
    values_BIN = 5.0 + shared + 0.5 * rng.standard_normal((bases, 9, 7))
    values_BIN[0][rng.random((9, 7)) < 0.2] = np.nan
    values_BIN[0, 3:, 2] = np.nan
    values_BIN[0, 4, :2] = [5.0, 6.0]
    features = None
    if request.param == "features":
        task = tuple(f"task{n}" for n in range(7))
        noisy = np.stack([shared + rng.standard_normal((9, 7)), rng.standard_normal((9, 7))])
        features = PairFeatures(tuple(f"source{i}" for i in range(9)), task, ("like", "no"), ("text", "base"), noisy)
    return problem(values_BIN, features=features)


def fit(name: str, given: Problem) -> Prediction:
    try:
        return registry("predictor").get(name).value(given, np.random.default_rng(SEED))
    except CannotFit:
        pytest.skip("needs other base models")


@pytest.mark.parametrize("name", NAMES)
def test_every_cell_gets_a_finite_value_and_a_positive_deviation(name: str, given: Problem) -> None:
    found = fit(name, given)
    assert np.isfinite(found.z_IN).all() and np.isfinite(found.values_IN).all()
    assert (found.sd_IN > 0).all() and np.isfinite(found.sd_IN).all()


@pytest.mark.parametrize("name", NAMES)
def test_the_same_seed_gives_the_same_bytes(name: str, given: Problem) -> None:
    np.testing.assert_array_equal(fit(name, given).z_IN, fit(name, given).z_IN)


@pytest.mark.parametrize("name", NAMES)
def test_a_column_in_another_unit_is_forecast_in_that_unit(name: str, given: Problem) -> None:
    scale_N, shift_N = np.array([100.0, 0.01, 1, 2, 1, 7, 1]), np.array([3.0, 0.5, 0, -9, 0, 1, 0])
    moved = replace(given, values_BIN=given.values_BIN * scale_N + shift_N)
    before, after = fit(name, given), fit(name, moved)
    np.testing.assert_allclose(after.values_IN, before.values_IN * scale_N + shift_N, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(after.sd_IN * after.spread_N, before.sd_IN * before.spread_N * scale_N, rtol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_the_order_of_sources_does_not_matter(name: str, given: Problem, monkeypatch) -> None:
    # Inner folds are dealt by position: here one cell each, so that they are the same in any order.
    monkeypatch.setattr("traitscope.predict.low_rank.inner_folds", _one_cell_each)
    order = np.array([4, 0, 8, 2, 1, 7, 3, 6, 5])
    turned = replace(
        given,
        sources=tuple(given.sources[i] for i in order),
        values_BIN=given.values_BIN[:, order],
        noise_BIN=given.noise_BIN[:, order],
        allowed_IN=given.allowed_IN[order],
        features=None if given.features is None else given.features.of([given.sources[i] for i in order], given.tasks),
    )
    np.testing.assert_allclose(fit(name, turned).z_IN, fit(name, given).z_IN[order], atol=2e-4)


def _one_cell_each(known_IN, count, rng):
    at = np.argwhere(known_IN)
    hidden = np.zeros((len(at), *known_IN.shape), dtype=bool)
    hidden[np.arange(len(at)), at[:, 0], at[:, 1]] = True
    return hidden


@pytest.mark.parametrize("name", NAMES)
def test_what_is_hidden_has_no_part_in_anything(name: str, given: Problem) -> None:
    hidden_IN = given.known_IN & (np.arange(63).reshape(9, 7) % 4 == 0)
    other = given.values_BIN.copy()
    other[0][hidden_IN] = 1e6
    noise = given.noise_BIN.copy()
    noise[0][hidden_IN] = 1e6
    told = []
    for whole in (given, replace(given, values_BIN=other, noise_BIN=noise)):
        seen = whole.hide(hidden_IN)
        found = fit(name, seen)
        predictor = registry("predictor").get(name).value
        half_IN = calibrate(seen, predictor, found, np.random.default_rng(0)).half_IN
        told.append((found.z_IN, found.centre_N, found.spread_N, half_IN))
    for before, after in zip(*told, strict=True):
        np.testing.assert_array_equal(before, after)


def test_a_predictor_that_knows_the_scale_of_hidden_cells_is_caught(given: Problem) -> None:
    hidden_IN = given.known_IN & (np.arange(63).reshape(9, 7) % 4 == 0)
    other = given.values_BIN.copy()
    other[0][hidden_IN] += 50.0

    def leaky(whole: Problem) -> np.ndarray:
        # The scale of the whole column, as from standardising before the folds were made.
        found = fit("column mean", whole.hide(hidden_IN))
        return replace(found, spread_N=whole.scale.spread_BN[0], centre_N=whole.scale.centre_BN[0]).values_IN

    assert not np.array_equal(leaky(given), leaky(replace(given, values_BIN=other)))


@pytest.mark.parametrize("name", NAMES)
def test_a_new_source_of_which_nothing_is_known_is_the_column_mean(name: str, given: Problem) -> None:
    values_BIN = given.values_BIN.copy()
    values_BIN[:, 6] = np.nan
    found = fit(name, replace(given, values_BIN=values_BIN, features=None))
    np.testing.assert_array_equal(found.z_IN[6], 0.0)


@pytest.mark.parametrize("name", NAMES)
def test_a_flat_column_gets_its_mean_and_harms_no_other(name: str, given: Problem) -> None:
    values_BIN = given.values_BIN.copy()
    values_BIN[:, :, 5] = 0.25
    values_BIN[0, 3:5, 5] = np.nan
    found = fit(name, replace(given, values_BIN=values_BIN))
    np.testing.assert_allclose(found.values_IN[:, 5], 0.25, atol=1e-9)
    assert np.abs(found.z_IN).max() < 10.0


@pytest.mark.parametrize("name", NAMES)
def test_one_known_cell_is_enough_to_say_something_finite(name: str, given: Problem) -> None:
    hidden_IN = np.ones((9, 7), dtype=bool)
    hidden_IN[0, 3] = hidden_IN[4, 0] = False
    found = fit(name, given.hide(hidden_IN))
    assert np.isfinite(found.z_IN).all() and np.isfinite(found.sd_IN).all()
    assert np.isfinite(fit(name, given.hide(np.ones((9, 7), dtype=bool))).z_IN).all()


@pytest.mark.parametrize("name", NAMES)
def test_a_refit_with_nothing_more_hidden_is_the_fit(name: str, given: Problem) -> None:
    found = fit(name, given)
    if found.refit is not None:
        tolerance = 0.05 if name == "ppca" else 1e-9  # some more rounds of EM
        np.testing.assert_allclose(found.refit(given).z_IN, found.z_IN, atol=tolerance)
