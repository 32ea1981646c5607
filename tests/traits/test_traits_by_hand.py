"""Steps of the trait analysis worked again with plain numpy."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.linalg import subspace_angles
from scipy.optimize import minimize
from scipy.special import polygamma
from scipy.stats import multivariate_normal
from sklearn.decomposition import PCA

from traitscope.matrix.noise import CellNoise, SeedNoise
from traitscope.traits.bootstrap import bootstrap_count
from traitscope.traits.count import held_out_cells
from traitscope.traits.factors import fit_factors
from traitscope.traits.intervals import Decomposer, resample
from traitscope.traits.known_errors import squeezed
from traitscope.traits.missing import complete, largest_rank, low_rank
from traitscope.traits.naming import propose_names
from traitscope.traits.null import PermutationNull, permutation_null
from traitscope.traits.pca import centre_and_scale, principal_components, signs
from traitscope.traits.projection import project
from traitscope.traits.rotation import rotate


def test_one_factor_is_the_largest_of_the_likelihood() -> None:
    """Against a direct maximisation of the Gaussian likelihood, cells with errors of their own and holes."""
    rng = np.random.default_rng(0)
    error = np.exp(0.3 * rng.normal(size=(14, 5)))
    values = 3.0 * np.outer(rng.normal(size=14), rng.normal(size=5)) + error * rng.normal(size=(14, 5))
    seen = rng.random((14, 5)) > 0.2

    def minus_log_likelihood(both: np.ndarray) -> float:
        mean, loading = both[:5], both[5:]
        return -sum(
            multivariate_normal(mean[on], np.outer(loading[on], loading[on]) + np.diag(e[on] ** 2)).logpdf(row[on])
            for row, e, on in zip(values, error, seen, strict=True)
        )

    fitted = fit_factors(np.where(seen, values, 0.0)[None], np.where(seen, error**-2.0, 0.0), 1, iterations=2000)
    ours = np.concatenate([fitted.mean_BN[0], fitted.loadings_BNK[0, :, 0]])
    direct = minimize(minus_log_likelihood, ours + 0.3 * rng.normal(size=10), tol=1e-12)
    assert minus_log_likelihood(ours) == pytest.approx(direct.fun, abs=1e-5)
    sign = np.sign(direct.x[5:] @ ours[5:])
    np.testing.assert_allclose(ours, np.concatenate([direct.x[:5], sign * direct.x[5:]]), atol=2e-3)
    # A row's score is its Gaussian conditional mean.
    loading, on = ours[5:], seen[3]
    joint = np.outer(loading[on], loading[on]) + np.diag(error[3, on] ** 2)
    by_hand = loading[on] @ np.linalg.solve(joint, values[3, on] - ours[:5][on])
    assert fitted.scores_BIK[0, 3, 0] == pytest.approx(by_hand)
    assert fitted.covariance_BIKK[0, 3, 0, 0] == pytest.approx(1 - loading[on] @ np.linalg.solve(joint, loading[on]))


def test_a_step_compares_the_largest_residual_with_those_of_simulated_matrices() -> None:
    """Without factors the null is that of centred noise, worked here with plain numpy."""
    rng = np.random.default_rng(1)
    error = np.exp(0.3 * rng.normal(size=(9, 6)))
    values = error * rng.normal(size=(9, 6))
    draws = [error * rng.normal(size=(50, 9, 6)) for _ in range(4)]
    kept = iter(draws)
    found = bootstrap_count(
        values, error**-2.0, lambda count: next(kept)[:count], rng=rng, alpha=0.02, draws=199, method="noise"
    )

    def largest(matrix: np.ndarray) -> float:
        mean = np.average(matrix, axis=0, weights=error**-2.0)
        return float(np.linalg.norm((matrix - mean) / error, ord=2))

    null = [largest(matrix) for batch in draws for matrix in batch]
    reached = np.flatnonzero(np.array(null) >= largest(values))
    assert found.singular_M == pytest.approx([largest(values)])
    assert found.count == 0 and found.p_J[0] == pytest.approx(10 / (reached[9] + 1))


def test_a_row_outside_the_fit_is_placed_by_its_cells() -> None:
    """A row of traits (2 and -1 at sizes 3 and 2), five exact cells: the penalty of twelve rows is next to nothing."""
    rng = np.random.default_rng(2)
    pattern = np.linalg.qr(rng.normal(size=(7, 2)))[0].T * np.array([[3.0], [2.0]])
    row = np.where(np.arange(7) < 5, np.array([2.0, -1.0]) @ pattern, np.nan)
    placed = project(np.stack([row, np.full(7, np.nan)]), np.full((2, 7), 1e9), pattern, 12)
    np.testing.assert_allclose(placed[0], [2.0, -1.0], atol=1e-6)
    assert np.isnan(placed[1]).all()
    # One cell of variance 1/4 and a prior variance of 1/12: by hand.
    one = project(np.array([[1.0, np.nan]]), np.array([[4.0, 4.0]]), np.array([[3.0, 1.0]]), 12)
    assert one[0, 0] == pytest.approx(4 * 3 / (4 * 9 + 12))


def test_variances_between_seeds_are_drawn_together_as_far_as_they_agree() -> None:
    rng = np.random.default_rng(3)
    df = np.full(40, 8.0)
    alike = SeedNoise(4.0 * rng.chisquare(8, 40) / 8, df, np.ones((3, 40)))
    close = squeezed(alike, np.ones(40))
    assert close.variance_N.std() < 0.35 * alike.variance_N.std() and close.variance_N.mean() == pytest.approx(
        4, rel=0.1
    )
    # The mean of 40 logarithms is what all were drawn to.
    pull = 1 - 8 / close.df_N[0]
    assert polygamma(1, close.shared_df / 2) == pytest.approx(
        pull**2 * np.log(alike.variance_N).var(ddof=1) / 40, rel=1e-6
    )
    noise = CellNoise(np.zeros((3, 40)), None, close, "")
    draws = [replace(noise, seed=seed).draw_seeds(4000, rng) for seed in (close, replace(close, shared_df=1e9))]
    together, alone = (np.log((drawn**2).mean(axis=(1, 2))).var() for drawn in draws)
    assert together - alone == pytest.approx(polygamma(1, close.shared_df / 2), rel=0.3)
    apart = SeedNoise(np.exp(2.0 * rng.normal(size=40)) * rng.chisquare(8, 40) / 8, df, np.ones((3, 40)))
    kept = squeezed(apart, np.ones(40))
    assert np.corrcoef(np.log(kept.variance_N), np.log(apart.variance_N))[0, 1] > 0.97
    # Each is a weighted mean of its own and the common one, by degrees of freedom (Smyth 2004, eq. 4).
    prior = kept.df_N - 8.0
    np.testing.assert_allclose(np.diff((kept.variance_N * kept.df_N - 8 * apart.variance_N) / prior), 0, atol=1e-9)
    # Logarithms of the true variances have a variance of 4: trigamma(prior df / 2).
    assert polygamma(1, prior[0] / 2) == pytest.approx(4.0, rel=0.4)


def test_a_column_of_two_values_is_never_held_out() -> None:
    rng = np.random.default_rng(1)
    values = rng.normal(size=(12, 6))
    errors = []
    for two in ([0.0, 1.0], [100.0, -50.0]):
        values[:, 2] = np.nan
        values[[3, 8], 2] = two
        found = held_out_cells(values, np.ones(6), "noise", rng=np.random.default_rng(2))
        assert found is not None
        errors.append(found.rmse_M[0])
    assert errors[0] == errors[1]


def test_the_error_of_column_means_is_that_of_leaving_cells_out() -> None:
    """Every cell held out alone in its column: the column mean of the others misses it by n / (n - 1) deviations."""
    rng = np.random.default_rng(3)
    values = rng.normal(size=(8, 5))
    found = held_out_cells(values, np.ones(5), "noise", rng=rng, folds=40, repeats=1)
    assert found is not None
    apart = (values - values.mean(axis=0)) * 8 / 7
    assert found.rmse_M[0] == pytest.approx(np.sqrt((apart**2).mean()))


@pytest.mark.parametrize(("shape", "rank"), [((5, 10), 3), ((11, 10), 9), ((12, 10), 9), ((2, 4), 0), ((1, 3), 0)])
def test_a_component_leaves_a_degree_of_freedom_for_the_noise(shape: tuple[int, int], rank: int) -> None:
    models, tasks = shape
    assert largest_rank(*shape) == rank
    free = [k for k in range(1, 12) if (models - 1 - k) > 0 and (tasks - k) > 0]
    assert max(free, default=0) == rank


def test_filling_stops_where_another_round_changes_next_to_nothing() -> None:
    rng = np.random.default_rng(4)
    values = rng.normal(size=(12, 2)) @ rng.normal(size=(2, 8)) + 0.3 * rng.normal(size=(12, 8))
    gaps = rng.random(values.shape) < 0.25
    filled = complete(np.where(gaps, np.nan, values), 2)
    again = low_rank(filled[None], 2, 12, 8)[0]
    start = np.where(gaps, np.nanmean(np.where(gaps, np.nan, values), axis=0), values)
    assert np.abs((again - filled) / start.std(axis=0))[gaps].max() < 1.5e-4
    assert filled[~gaps] == pytest.approx(values[~gaps])


def test_p_of_a_name_counts_the_observed_order_among_the_draws() -> None:
    loading = np.where(np.arange(20) < 6, 1.0, 0.01)
    (name,) = propose_names(
        loading[None], [f"t{n}" for n in range(20)], {"six": frozenset(range(6))}, permutations=99,
        rng=np.random.default_rng(0),
    )  # fmt: skip
    assert name.label == "six" and name.p == pytest.approx(1 / 100)


def test_the_null_is_that_of_permuted_columns() -> None:
    values = np.random.default_rng(5).normal(size=(5, 9))
    centred = values - values.mean(axis=0)
    null = permutation_null(centred, permutations=40, rng=np.random.default_rng(6))
    copies = np.random.default_rng(6).permuted(np.broadcast_to(centred, (40, 5, 9)), axis=1)
    shares = np.array([PCA().fit(copy).explained_variance_ratio_[:4] for copy in copies])
    assert null.explained_M == pytest.approx(PCA().fit(centred).explained_variance_ratio_[:4])
    assert null.mean_M == pytest.approx(shares.mean(axis=0))
    assert null.q95_M == pytest.approx(np.quantile(shares, 0.95, axis=0))
    assert null.p_M == pytest.approx((1 + (shares >= null.explained_M - 1e-9).sum(axis=0)) / 41)
    assert len(principal_components(centred).singular_K) == 4


def test_a_component_behind_one_that_failed_does_not_count() -> None:
    some = np.zeros(4)
    null = PermutationNull(some, some, some, some, some, np.array([0.01, 0.02, 0.5, 0.01]), 99, 0.05)
    assert null.count == 2
    assert PermutationNull(some, some, some, some, some, np.full(4, 0.01), 99, 0.05).count == 4


def test_large_loadings_decide_the_sign_together() -> None:
    loadings = np.array([[0.9, -0.35, -0.35, -0.3], [-0.7, -0.1, 0.5, 0.5], [0.0, -0.5, 0.5, 0.0]])
    # Sums are -0.1, 0.2 and 0; cubes give 0.62, -0.094 and a tie, in which the first loading that is not 0 decides.
    assert signs(loadings).tolist() == [1.0, -1.0, -1.0]


def test_columns_are_divided_by_their_sample_deviation() -> None:
    values = np.random.default_rng(7).normal(size=(6, 3)) * [1.0, 10.0, 100.0]
    centred, centre, scale = centre_and_scale(values, True)
    assert scale == pytest.approx(values.std(axis=0, ddof=1)) and centre == pytest.approx(values.mean(axis=0))
    assert centred.var(axis=0, ddof=1) == pytest.approx(np.ones(3))


@pytest.mark.parametrize("method", ["varimax", "promax"])
@pytest.mark.parametrize("seed", range(6))
def test_a_rotation_keeps_the_product_and_the_sign_rule(method: str, seed: int) -> None:
    values = np.random.default_rng(seed).normal(size=(9, 7))
    found = principal_components(values - values.mean(axis=0)).first(3)
    turned = rotate(found.scores_IK, found.singular_K, found.loadings_KN, method)
    parts = turned.components
    before = found.scores_IK * found.singular_K @ found.loadings_KN
    assert parts.scores_IK * parts.singular_K @ parts.loadings_KN == pytest.approx(before)
    assert (signs(parts.loadings_KN) == 1).all() and (np.diff(parts.singular_K) <= 0).all()
    assert turned.correlation_KK == pytest.approx(parts.scores_IK.T @ parts.scores_IK)


def test_spans_that_agree_overlap_by_one() -> None:
    rng = np.random.default_rng(8)
    values = rng.normal(size=(11, 3)) @ rng.normal(size=(3, 10)) * 10
    decompose = Decomposer(3, False, None)
    found = principal_components(values - values.mean(axis=0)).first(3)
    share = found.singular_K**2 / (found.singular_K**2).sum()
    for noise, low, high in ((1e-6, 0.999999, 1.0), (8.0, 0.5, 0.97)):
        copies = values + noise * rng.normal(size=(40, 11, 10))
        truths = decompose(np.broadcast_to(values, copies.shape))
        made = resample(found, share, truths, decompose(copies), level=0.95, source="noise")
        angles = [
            (np.cos(subspace_angles(found.loadings_KN.T, np.linalg.svd(c - c.mean(axis=0))[2][:3].T)) ** 2).mean()
            for c in copies
        ]
        assert made.subspace == pytest.approx(np.median(angles))
        assert low <= made.subspace <= high + 1e-12
