"""Random effects: as statsmodels has them, by hand, and as published."""

from __future__ import annotations

import numpy as np
import pytest

from traitscope.effects.pooling import random_effects

EFFECTS = np.array([0.10, 0.30, 0.35, 0.65, 0.45, 0.15])
ERRORS = np.sqrt(np.array([0.03, 0.03, 0.05, 0.01, 0.05, 0.02]))


def test_two_studies_by_hand() -> None:
    found = random_effects([1.0, 3.0], [1.0, 1.0])
    # Q = 2 at 0 and 2 / (1 + tau^2) after it: tau^2 = 1; variance of the mean (1 + 1) / 2; t of 1 degree of freedom.
    assert found.sd == pytest.approx(1.0) and found.q == pytest.approx(2.0)
    assert (found.value, found.se) == pytest.approx((2.0, 1.0))
    assert found.hi - found.value == pytest.approx(np.tan(0.475 * np.pi), rel=1e-9)
    assert found.share == pytest.approx(0.5)
    assert np.isnan(found.next_lo)


def test_studies_that_agree_better_than_chance_are_pooled_with_the_errors_they_have() -> None:
    found = random_effects([1.0, 1.0, 1.0], [0.5, 0.5, 1.0])
    assert found.sd == 0 and found.share == 0
    assert found.se == pytest.approx(1 / np.sqrt(4 + 4 + 1))


def test_mean_error_and_variance_between_studies_are_those_of_statsmodels() -> None:
    from statsmodels.stats import meta_analysis as meta

    theirs = meta.combine_effects(EFFECTS, ERRORS**2, method_re="iterated", use_t=True, atol=1e-12)
    ours = random_effects(EFFECTS, ERRORS)
    frame = theirs.summary_frame()
    row = frame.loc["random effect wls"]
    assert ours.sd**2 == pytest.approx(theirs.tau2, rel=1e-6) and theirs.tau2 > 0
    assert ours.value == pytest.approx(row["eff"], rel=1e-6)
    assert ours.se == pytest.approx(row["sd_eff"], rel=1e-5)
    assert (ours.lo, ours.hi) == pytest.approx((row["ci_low"], row["ci_upp"]), rel=1e-5)
    assert ours.q == pytest.approx(theirs.q, rel=1e-9)
    assert ours.share == pytest.approx(theirs.i2, rel=1e-9)
    assert ours.q_p == pytest.approx(theirs.test_homogeneity().pvalue, rel=1e-9)


def test_the_interval_of_the_variance_is_where_q_meets_its_quantiles() -> None:
    from scipy.stats import chi2

    found = random_effects(EFFECTS, ERRORS)
    for sd, level in ((found.sd_lo, 0.975), (found.sd_hi, 0.025)):
        weight = 1 / (ERRORS**2 + sd**2)
        q = float((weight * (EFFECTS - np.average(EFFECTS, weights=weight)) ** 2).sum())
        quantile = float(chi2.ppf(level, 5))
        assert q == pytest.approx(quantile, rel=1e-6) or (sd == 0 and q < quantile)
    assert 0 <= found.share_lo <= found.share <= found.share_hi < 1


def test_unknown_effects_are_left_out() -> None:
    known = random_effects(EFFECTS, ERRORS)
    more = random_effects([*EFFECTS, np.nan, 1.0], [*ERRORS, 0.1, np.nan])
    assert more == known and known.n == 6
    alone = random_effects([0.5], [0.1])
    assert alone.n == 1 and alone.value == 0.5 and np.isnan(alone.p)


def test_q_of_an_estimated_covariance_is_hotellings_as_statsmodels_has_it() -> None:
    from statsmodels.stats.multivariate import test_mvmean as hotelling

    n = 12
    gains = np.random.default_rng(1).standard_normal((n, 3)) + [0.0, 0.5, 1.0] + np.linspace(-1, 1, n)[:, None]
    covariance = np.cov(gains.T) / n
    found = random_effects(gains.mean(axis=0), np.sqrt(np.diag(covariance)), covariance_BB=covariance, examples=n)
    theirs = hotelling(gains[:, 1:] - gains[:, :1])
    assert found.q == pytest.approx(theirs.t2) and found.q_p == pytest.approx(theirs.pvalue)


def test_errors_that_are_wholly_common_leave_a_contrast_almost_without_error() -> None:
    together = np.full((2, 2), 0.25)
    same, apart = (random_effects([1.0, other], [0.5, 0.5], covariance_BB=together) for other in (1.0, 1.2))
    assert same.sd == same.q == same.share == 0 and same.q_p == pytest.approx(1.0)
    # Its variance is taken as 1e-9 of theirs: all of (1.2 - 1)^2 / 2 is between the studies.
    assert apart.sd == pytest.approx(np.sqrt(0.02)) and apart.q == pytest.approx(0.02 / (1e-9 * 0.25))


@pytest.mark.verify
def test_intervals_cover_the_mean_of_all_studies() -> None:
    rng, inside, sure = np.random.default_rng(0), 0, 0
    for _ in range(3000):
        errors = rng.uniform(0.5, 1.5, 5)
        found = random_effects(1 + rng.standard_normal(5) + errors * rng.standard_normal(5), errors)
        inside += found.lo <= 1 <= found.hi
        sure += found.sd_lo <= 1 <= found.sd_hi
    assert 0.93 < inside / 3000 < 0.98 and 0.93 < sure / 3000 < 0.97
