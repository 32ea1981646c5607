"""Every model against something that is not ours: an analysis of variance, scikit-learn, a formula by hand."""

from __future__ import annotations

import numpy as np
import pytest
from predict_worlds import problem
from sklearn.covariance import ledoit_wolf
from sklearn.decomposition import PCA
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, WhiteKernel
from sklearn.linear_model import Ridge

from traitscope.predict.baselines import OtherBases, column_mean
from traitscope.predict.gp import learn_amplitudes, posterior
from traitscope.predict.low_rank import factorise
from traitscope.predict.ppca import fit_ppca
from traitscope.predict.problem import column_scale
from traitscope.predict.residual_gp import residual_gp, shrunk_correlation
from traitscope.predict.variance import RATIOS, fit_rows


def test_column_mean_of_three_known_cells_by_hand() -> None:
    found = column_mean(problem(np.array([[[1.0], [2.0], [6.0], [np.nan]]])), np.random.default_rng(0))
    assert found.values_IN[3, 0] == pytest.approx(3.0)
    # A new cell around the mean of n: s^2 (1 + 1/n) with the unbiased s^2 = 7.
    assert (found.sd_IN * found.spread_N)[3, 0] == pytest.approx(np.sqrt(7.0 * (1 + 1 / 3)))


def test_row_effects_of_a_complete_matrix_are_those_of_the_analysis_of_variance() -> None:
    rng = np.random.default_rng(1)
    cells_IN = 1.2 * rng.standard_normal((9, 1)) + rng.standard_normal((9, 6)) + np.arange(6.0)
    found = fit_rows(cells_IN)
    row_I, column_N = cells_IN.mean(axis=1), cells_IN.mean(axis=0)
    rest_IN = cells_IN - row_I[:, None] - column_N + cells_IN.mean()
    within = (rest_IN**2).sum() / (8 * 5)
    between = (6 * row_I.var(ddof=1) - within) / 6
    assert found.within == pytest.approx(within, rel=0.05)
    assert found.between / found.within == pytest.approx(between / within, rel=0.2)  # to the step of the grid
    shrink = 6 * found.between / (6 * found.between + found.within)
    np.testing.assert_allclose(found.rows_I, shrink * (row_I - cells_IN.mean()), atol=1e-6)
    np.testing.assert_allclose(found.levels_N, column_N, atol=1e-6)


def test_row_effects_with_a_hole_solve_henderson_s_equations() -> None:
    cells_IN = np.array([[3.0, 5.0], [1.0, np.nan], [0.0, 1.0], [4.0, 5.5]])
    found = fit_rows(cells_IN)
    at = np.argwhere(np.isfinite(cells_IN))
    levels, rows = np.eye(2)[at[:, 1]], np.eye(4)[at[:, 0]]
    y = cells_IN[np.isfinite(cells_IN)]
    ratio = found.between / found.within
    assert ratio in RATIOS and ratio > 0
    left = np.block([[levels.T @ levels, levels.T @ rows], [rows.T @ levels, rows.T @ rows + np.eye(4) / ratio]])
    solved = np.linalg.solve(left, np.concatenate([levels.T @ y, rows.T @ y]))
    np.testing.assert_allclose(np.concatenate([found.levels_N, found.rows_I]), solved, atol=1e-5)


def test_the_ratio_of_variances_is_the_maximum_of_the_restricted_likelihood() -> None:
    rng = np.random.default_rng(3)
    cells_IN = rng.standard_normal((7, 1)) + rng.standard_normal((7, 5))
    cells_IN[rng.random(cells_IN.shape) < 0.2] = np.nan
    found = fit_rows(cells_IN)
    at = np.argwhere(np.isfinite(cells_IN))
    design, y = np.eye(5)[at[:, 1]], cells_IN[np.isfinite(cells_IN)]
    same = (at[:, :1] == at[:, 0]).astype(float)

    def restricted(ratio: float) -> float:
        v = np.eye(len(y)) + ratio * same
        inverse = np.linalg.inv(v)
        beta = np.linalg.solve(design.T @ inverse @ design, design.T @ inverse @ y)
        rest = y - design @ beta
        free = len(y) - design.shape[1]
        inner = np.linalg.slogdet(design.T @ inverse @ design)[1]
        return -0.5 * (np.linalg.slogdet(v)[1] + inner + free * np.log(rest @ inverse @ rest))

    likeliest = RATIOS[int(np.argmax([restricted(ratio) for ratio in RATIOS]))]
    assert found.between / found.within == pytest.approx(likeliest)


def test_other_bases_share_is_the_regression_of_each_on_the_mean_of_the_rest() -> None:
    rng = np.random.default_rng(4)
    z_BIN = rng.standard_normal((1, 6, 5)) + 0.7 * rng.standard_normal((4, 6, 5))
    rest = np.array([np.delete(z_BIN, b, axis=0).mean(axis=0) for b in range(4)]).ravel()
    slope = float(np.linalg.lstsq(rest[:, None], z_BIN.ravel(), rcond=None)[0][0])
    found = OtherBases(z_BIN)
    assert 0.3 < slope < 1.0
    assert found.share == pytest.approx(slope)
    np.testing.assert_allclose(found.mean_IN, slope * z_BIN.mean(axis=0))


def test_factors_are_each_other_s_ridge_regression() -> None:
    rng = np.random.default_rng(5)
    z_IN = np.outer(rng.standard_normal(8), rng.standard_normal(6)) + 0.1 * rng.standard_normal((8, 6))
    z_IN[rng.random(z_IN.shape) < 0.2] = np.nan
    u_BIK, v_BNK = factorise(z_IN[None], 1, 0.5, iterations=300)
    for n in range(6):
        seen = np.isfinite(z_IN[:, n])
        peer = Ridge(alpha=0.5, fit_intercept=False).fit(u_BIK[0][seen], z_IN[seen, n])
        np.testing.assert_allclose(v_BNK[0, n], peer.coef_, atol=1e-6)


def test_ppca_without_holes_is_that_of_scikit_learn() -> None:
    rng = np.random.default_rng(6)
    z_IN = rng.standard_normal((40, 2)) @ rng.standard_normal((2, 7)) + 0.4 * rng.standard_normal((40, 7))
    found = fit_ppca(z_IN, 2, ard=False, iterations=3000)
    peer = PCA(2).fit(z_IN)
    # scikit-learn divides by I - 1.
    covariance = found.loadings_NK @ found.loadings_NK.T + found.noise * np.eye(7)
    np.testing.assert_allclose(covariance, peer.get_covariance() * 39 / 40, atol=2e-3)
    np.testing.assert_allclose(found.mean_N, z_IN.mean(axis=0), atol=1e-3)


def test_relevance_switches_off_components_that_are_not_there() -> None:
    rng = np.random.default_rng(7)
    z_IN = np.outer(rng.standard_normal(60), np.ones(8)) + 0.5 * rng.standard_normal((60, 8))
    sizes = np.sort((fit_ppca(z_IN, 3, iterations=300).loadings_NK ** 2).sum(axis=0))[::-1]
    assert sizes[0] > 4.0
    assert sizes[1:].max() < 0.05 * sizes[0]


def test_the_gaussian_process_is_that_of_scikit_learn() -> None:
    rng = np.random.default_rng(8)
    x_CD, noise = rng.standard_normal((30, 2)), 0.3
    y_C = np.sin(x_CD[:, 0]) + 0.2 * rng.standard_normal(30)
    known = np.arange(20)
    peer = GaussianProcessRegressor(RBF(1.5) + WhiteKernel(noise), optimizer=None).fit(x_CD[known], y_C[known])
    mean, covariance = peer.predict(x_CD, return_cov=True)
    found = posterior(RBF(1.5)(x_CD), known, y_C[known], np.full(20, noise))
    np.testing.assert_allclose(found.mean_C, mean, atol=1e-8)
    # scikit-learn counts the white kernel among what is to be predicted.
    np.testing.assert_allclose(found.covariance_CC, covariance - noise * np.eye(30), atol=1e-8)


def test_amplitudes_raise_the_likelihood_that_scikit_learn_computes() -> None:
    rng = np.random.default_rng(9)
    x_CD = rng.standard_normal((60, 1))
    kernel = 2.0 * RBF(1.0)(x_CD) + 0.1 * np.eye(60)
    y_C = np.linalg.cholesky(kernel) @ rng.standard_normal(60)
    amplitudes, nugget = learn_amplitudes(
        RBF(1.0)(x_CD)[None], np.zeros((60, 60)), y_C, np.zeros(60), np.array([0.2]), 0.4
    )
    peer = GaussianProcessRegressor(1.0 * RBF(1.0) + WhiteKernel(1.0), optimizer=None).fit(x_CD, y_C)

    def likelihood(size: float, white: float) -> float:
        return float(peer.log_marginal_likelihood(np.log([size, 1.0, white])))

    reached = likelihood(amplitudes[0], nugget)
    best = max(likelihood(size, white) for size in np.geomspace(0.1, 30, 30) for white in np.geomspace(0.02, 1, 30))
    assert reached > likelihood(0.2, 0.4) + 1.0
    assert best - reached < 1.5  # the prior on the amplitudes has a say


def test_correlations_are_shrunk_as_scikit_learn_shrinks_them() -> None:
    rng = np.random.default_rng(14)
    rows_RS = rng.standard_normal((40, 6)) @ rng.standard_normal((6, 6))
    scaled_RS = rows_RS / np.sqrt((rows_RS**2).mean(axis=0))
    np.testing.assert_allclose(shrunk_correlation(rows_RS), ledoit_wolf(scaled_RS, assume_centered=True)[0], atol=1e-12)


def test_the_pieces_of_a_forecast_add_up_to_it() -> None:
    rng = np.random.default_rng(10)
    values_BIN = rng.standard_normal((1, 8, 6)) + 0.5 * rng.standard_normal((4, 8, 6))
    given = problem(values_BIN).hide(rng.random((8, 6)) < 0.3)
    found = residual_gp(given, rng)
    np.testing.assert_allclose(sum(found.pieces.values()), found.z_IN, atol=1e-8)


def test_the_joint_covariance_holds_the_deviations() -> None:
    rng = np.random.default_rng(11)
    values_BIN = rng.standard_normal((1, 8, 6)) + 0.5 * rng.standard_normal((4, 8, 6))
    hidden_IN = rng.random((8, 6)) < 0.3
    found = residual_gp(problem(values_BIN, noise=0.01).hide(hidden_IN), rng)
    assert found.covariance_CC is not None
    assert np.linalg.eigvalsh(found.covariance_CC).min() > -1e-9
    variance_IN = np.diag(found.covariance_CC).reshape(8, 6)
    noise_IN = 0.01 / found.spread_N**2
    np.testing.assert_allclose(variance_IN[hidden_IN], (found.sd_IN**2 - noise_IN)[hidden_IN], rtol=1e-6)
    # A measured cell is known but for its error.
    assert (variance_IN <= noise_IN)[~hidden_IN].all()
    assert (variance_IN > 3 * noise_IN)[hidden_IN].all()


def test_scales_are_those_of_numpy_where_every_cell_is_known() -> None:
    rng = np.random.default_rng(12)
    values_BIN = rng.standard_normal((3, 9, 4)) * np.array([1.0, 5.0, 20.0, 0.5]) + 7.0
    scale = column_scale(problem(values_BIN))
    np.testing.assert_allclose(scale.spread_BN, values_BIN.std(axis=1))
    np.testing.assert_allclose(scale.centre_BN, values_BIN.mean(axis=1))


def test_a_column_of_two_cells_takes_its_spread_mostly_from_the_other_base_models() -> None:
    rng = np.random.default_rng(13)
    values_BIN = 3.0 * rng.standard_normal((5, 20, 6))
    values_BIN[0] *= 2.0
    hidden_IN = np.zeros((20, 6), dtype=bool)
    hidden_IN[2:, 0] = True
    given = problem(values_BIN).hide(hidden_IN)
    spread = column_scale(given).spread_BN[0, 0]
    own, usual = given.values_IN[:2, 0].std(), np.median(values_BIN[1:, :, 0].std(axis=1))
    ratio = np.median(values_BIN[0, :, 1:].std(axis=0) / np.median(values_BIN[1:, :, 1:].std(axis=1), axis=0))
    drawn = 2.0 * (1 - 2 / 20)
    # The column itself counts in the usual ratio too: one of six.
    assert spread == pytest.approx(np.sqrt((own**2 + drawn * (ratio * usual) ** 2) / (1 + drawn)), rel=0.15)
    assert spread > 3.0
