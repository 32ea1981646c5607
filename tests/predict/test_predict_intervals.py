"""Intervals hold their level on worlds whose truth is known; forecasts come near the best that could be had."""

from __future__ import annotations

import numpy as np
import pytest
from predict_worlds import low_rank_world, problem

from traitscope.predict.conformal import BOTH, CELL, COLUMN, FEW, SOURCE, calibrate, cell_kinds
from traitscope.predict.gp import posterior
from traitscope.predict.pairs import PairFeatures
from traitscope.predict.predictor import Prediction
from traitscope.registry import registry


def coverage(name: str, kind: str, bases: int, repeats: int, seed: int = 0) -> float:
    rng = np.random.default_rng(seed)
    predictor = registry("predictor").get(name).value
    inside: list[bool] = []
    for _ in range(repeats):
        values_BIN, _ = low_rank_world(rng, bases=bases)
        hidden_IN = np.zeros((12, 10), dtype=bool)
        if kind == CELL:
            hidden_IN = rng.random((12, 10)) < 0.2
        elif kind == COLUMN:
            hidden_IN[:, 0] = True
        elif kind == FEW:
            hidden_IN[3:, 0] = True
        elif kind == SOURCE:
            hidden_IN[0] = True
        else:
            hidden_IN[:] = True
        whole = problem(values_BIN)
        seen = whole.hide(hidden_IN)
        found = predictor(seen, rng)
        half_IN = calibrate(seen, predictor, found, rng).half_IN
        expected_IN, true_IN = found.values_IN, whole.values_IN
        spread_N = found.spread_N
        if kind in (COLUMN, BOTH):
            true_IN = (true_IN - true_IN.mean(axis=0)) / true_IN.std(axis=0)
            expected_IN, spread_N = found.z_IN, np.ones(10)
        inside += (np.abs(true_IN - expected_IN) <= half_IN * spread_N)[hidden_IN].tolist()
    return float(np.mean(inside))


@pytest.mark.parametrize(
    ("name", "kind", "bases"),
    [
        ("residual gp", CELL, 4),
        ("residual gp", COLUMN, 4),
        ("residual gp", FEW, 4),
        ("residual gp", SOURCE, 4),
        ("residual gp", BOTH, 5),
        ("factor gp", CELL, 1),
        ("additive", CELL, 1),
        ("column mean", FEW, 1),
    ],
)
def test_intervals_cover_nine_in_ten(name: str, kind: str, bases: int) -> None:
    assert 0.85 <= coverage(name, kind, bases, repeats=25) <= 0.955


def test_kinds_of_cells_are_told_by_what_is_known_of_column_and_source() -> None:
    known_IN = np.ones((6, 5), dtype=bool)
    known_IN[:, 0] = False
    known_IN[2:, 1] = False
    known_IN[5] = False
    kinds = cell_kinds(problem(np.where(known_IN, 1.0, np.nan)[None]))
    assert kinds[0].tolist() == [COLUMN, FEW, CELL, CELL, CELL]
    assert kinds[5].tolist() == [BOTH, SOURCE, SOURCE, SOURCE, SOURCE]


def test_a_predictor_that_is_too_sure_is_given_wider_intervals() -> None:
    rng = np.random.default_rng(5)
    values_BIN, _ = low_rank_world(rng)
    hidden_IN = rng.random((12, 10)) < 0.2
    seen = problem(values_BIN).hide(hidden_IN)
    plain = registry("predictor").get("column mean").value

    def sure(given, rng):
        found = plain(given, rng)
        return type(found)(found.z_IN, 0.1 * found.sd_IN, found.centre_N, found.spread_N, found.pieces)

    wide = calibrate(seen, plain, plain(seen, rng), np.random.default_rng(1))
    narrow = calibrate(seen, sure, sure(seen, rng), np.random.default_rng(1))
    assert narrow.factors[CELL] == pytest.approx(10 * wide.factors[CELL])
    np.testing.assert_allclose(narrow.half_IN[hidden_IN], wide.half_IN[hidden_IN])


def ratio_to_bayes(repeats: int, seed: int) -> tuple[float, float]:
    """RMSE of hidden true cells over that of the true posterior: the residual GP's, and the column mean's.

    Cells are a feature, factors shared by base models, factors of the target's own, and noise, all of known variance.
    """
    rng = np.random.default_rng(seed)
    bases, sources, tasks, noise = 4, 14, 10, 0.4
    predictor = registry("predictor").get("residual gp").value
    lost = np.zeros(3)
    for _ in range(repeats):
        load_NK = rng.standard_normal((tasks, 2))
        load_NK /= np.linalg.norm(load_NK, axis=1, keepdims=True)
        task_NN = load_NK @ load_NK.T
        feature_IN = rng.standard_normal((sources, tasks))
        shared_IN = rng.standard_normal((sources, 2)) @ load_NK.T
        own_BIN = 0.5 * rng.standard_normal((bases, sources, 2)) @ load_NK.T
        true_BIN = shared_IN + own_BIN
        true_BIN[0] += 0.7 * feature_IN
        values_BIN = true_BIN + noise * rng.standard_normal(true_BIN.shape)
        hidden_IN = rng.random((sources, tasks)) < 0.3
        whole = problem(
            values_BIN,
            noise=noise**2,
            features=PairFeatures(
                tuple(f"source{i}" for i in range(sources)),
                tuple(f"task{n}" for n in range(tasks)),
                ("known",),
                ("text",),
                feature_IN[None],
            ),
        )
        found = predictor(whole.hide(hidden_IN), rng)
        plain = whole.hide(hidden_IN).scale.centre_BN[0]
        same = np.kron(np.eye(sources), task_NN)
        kernel = np.kron(np.ones((bases, bases)) + 0.25 * np.eye(bases), same)
        flat = feature_IN.ravel()
        cells = sources * tasks
        kernel[:cells, :cells] += 0.49 * np.outer(flat, flat)
        known = np.flatnonzero(~np.concatenate([hidden_IN.ravel(), np.zeros((bases - 1) * cells, dtype=bool)]))
        best = posterior(kernel, known, values_BIN.ravel()[known], np.full(len(known), noise**2)).mean_C[:cells]
        for k, expected in enumerate((best.reshape(sources, tasks), found.values_IN, plain)):
            lost[k] += float(((true_BIN[0] - expected)[hidden_IN] ** 2).sum())
    ours, mean = np.sqrt(lost[1:] / lost[0])
    return float(ours), float(mean)


def test_the_residual_gp_comes_near_the_error_of_one_who_knows_the_world() -> None:
    ours, mean = ratio_to_bayes(6, seed=1)
    assert 1.0 <= ours < 2.5
    assert mean > 2 * ours


@pytest.mark.verify
def test_the_ratio_to_the_bayes_error_over_many_worlds() -> None:
    ours, mean = ratio_to_bayes(100, seed=2)
    assert 1.0 <= ours < 2.3
    assert mean > 2 * ours


def test_the_factor_is_the_quantile_of_one_more_than_there_are() -> None:
    """Twenty known cells of residuals 1 to 20: ceil(21 x .9) = 19, by hand."""
    values_BIN = np.random.default_rng(0).permutation(np.arange(1.0, 22.0)).reshape(1, 3, 7)
    whole = problem(values_BIN)
    hidden_IN = values_BIN[0] == 21.0

    def nothing(given, rng):
        zero_IN = np.zeros((3, 7))
        return Prediction(zero_IN, np.ones((3, 7)), np.zeros(7), np.ones(7), {})

    seen, rng = whole.hide(hidden_IN), np.random.default_rng(1)
    found = calibrate(seen, nothing, nothing(seen, rng), rng)
    assert found.factors == {CELL: 19.0}
