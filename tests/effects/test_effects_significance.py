import numpy as np
import pytest
from scipy import optimize
from scipy import stats as scipy_stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from traitscope.effects.significance import (
    benjamini_hochberg,
    bootstrap_weights,
    mcnemar_exact,
    normal_p,
    paired_ratio,
    paired_score,
    percentile_interval,
    sign_flip_p,
    wilson,
)
from traitscope.metrics.confusion import (
    accuracy,
    confusion_replicates,
    count_codes,
    macro_f1,
    predicted_shares,
    recalls,
)

RNG = np.random.default_rng(0)


def test_mcnemar_equals_statsmodels_and_the_binomial_test() -> None:
    for lost, won in [(0, 0), (0, 5), (3, 3), (10, 25), (40, 12), (1, 0)]:
        ours = float(mcnemar_exact(lost, won))
        assert ours == pytest.approx(mcnemar([[50, lost], [won, 7]], exact=True).pvalue, abs=1e-12)
        if lost + won:
            assert ours == pytest.approx(scipy_stats.binomtest(lost, lost + won).pvalue, abs=1e-12)


def test_benjamini_hochberg_equals_statsmodels_and_scipy() -> None:
    p = RNG.random(57) ** 2
    assert benjamini_hochberg(p) == pytest.approx(multipletests(p, method="fdr_bh")[1], abs=1e-12)
    assert benjamini_hochberg(p) == pytest.approx(scipy_stats.false_discovery_control(p), abs=1e-12)


def test_benjamini_hochberg_does_not_count_missing_tests() -> None:
    p = np.array([0.01, np.nan, 0.02, np.nan, 0.9])
    q = benjamini_hochberg(p)
    assert np.isnan(q[[1, 3]]).all()
    assert q[[0, 2, 4]] == pytest.approx(multipletests(p[[0, 2, 4]], method="fdr_bh")[1])


def test_wilson_equals_statsmodels() -> None:
    for k, n in [(0, 12), (3, 20), (199, 200), (5, 5)]:
        assert list(map(float, wilson(k, n))) == pytest.approx(proportion_confint(k, n, method="wilson"), abs=1e-10)


def score_statistic(lost: int, won: int, n: int, delta: float) -> float:
    """Tango's statistic with the cell probabilities found by maximising the multinomial likelihood numerically."""

    def minus_log_likelihood(q: float) -> float:
        cells = ((won, q + delta), (lost, q), (n - won - lost, 1 - 2 * q - delta))
        return -sum(count * np.log(max(p, 1e-300)) for count, p in cells if count)

    ends = (max(0.0, -delta) + 1e-12, (1 - delta) / 2 - 1e-12)
    q = optimize.minimize_scalar(minus_log_likelihood, bounds=ends, method="bounded", options={"xatol": 1e-13}).x
    return (won - lost - n * delta) / np.sqrt(n * (2 * q + delta - delta**2))


@pytest.mark.parametrize(
    ("lost", "won", "n"), [(1, 7, 100), (2, 12, 50), (20, 31, 200), (9, 0, 40), (0, 0, 64), (0, 64, 64), (30, 0, 30)]
)
def test_the_score_interval_ends_where_the_score_test_refuses(lost: int, won: int, n: int) -> None:
    lo, hi = map(float, paired_score(lost, won, n))
    assert lo < (won - lost) / n or lo == -1 == (won - lost) / n
    for end, sign in ((lo, 1), (hi, -1)):
        if abs(end) < 1 - 1e-9:
            assert score_statistic(lost, won, n, end) == pytest.approx(sign * scipy_stats.norm.ppf(0.975), abs=2e-3)


def test_the_score_interval_is_wilsons_where_no_example_differs_and_no_point_where_all_do() -> None:
    assert float(paired_score(0, 0, 64)[1]) == pytest.approx(proportion_confint(0, 64, method="wilson")[1])
    # n (1 - d) / sqrt(n (1 - d^2)) = z where all 64 are won.
    share = scipy_stats.norm.ppf(0.975) ** 2 / 64
    assert [float(end) for end in paired_score(0, 64, 64)] == pytest.approx([(1 - share) / (1 + share), 1.0])
    assert np.isnan(paired_score(0, 0, np.nan)).all()


@pytest.mark.parametrize("n", [20, 64, 200])
@pytest.mark.parametrize(
    ("lost", "won"), [(0.0, 0.01), (0.005, 0.02), (0.0, 0.98), (0.01, 0.95), (0.97, 0.0), (0.2, 0.2)]
)
def test_score_intervals_cover_near_0_and_1(n: int, lost: float, won: float) -> None:
    """The exact coverage, summed over all outcomes; its mean over a little neighbourhood, as it jumps."""
    b, c = (grid.ravel() for grid in np.meshgrid(np.arange(n + 1), np.arange(n + 1)))
    keep = b + c <= n
    b, c = b[keep], c[keep]
    lo, hi = paired_score(b, c, n)
    covers = []
    for factor in (0.9, 0.95, 1.0):
        p = np.array([lost, won, 1 - lost - won]) * factor
        p[2] = 1 - p[0] - p[1]
        weight = scipy_stats.multinomial.pmf(np.column_stack([b, c, n - b - c]), n, p)
        truth = p[1] - p[0]
        covers.append(weight[(lo <= truth + 1e-12) & (truth <= hi + 1e-12)].sum())
    assert 0.93 <= np.mean(covers) <= 1.0


def test_paired_ratio_by_hand() -> None:
    ratio, (lo, hi) = paired_ratio(9, 3, 5)  # (9.5 + 5.5) / (9.5 + 3.5)
    assert float(ratio) == pytest.approx(15 / 13)
    half = 1.959964 * np.sqrt(9 / (13 * 15))
    assert np.log([float(lo), float(hi)]) == pytest.approx([np.log(15 / 13) - half, np.log(15 / 13) + half], abs=1e-6)


def test_normal_p_equals_scipy() -> None:
    z = RNG.normal(size=20)
    assert normal_p(z) == pytest.approx(2 * scipy_stats.norm.sf(np.abs(z)))


def test_sign_flips_agree_with_the_exact_permutation_test() -> None:
    diff = np.round(RNG.normal(0.3, 1.0, (3, 12)), 2)
    ours = sign_flip_p(diff, 40_000, 0)
    for row, p in zip(diff, ours, strict=True):
        exact = scipy_stats.permutation_test((row,), np.mean, permutation_type="samples", n_resamples=np.inf)
        assert p == pytest.approx(exact.pvalue, abs=0.01)


def test_bootstrap_weights_draw_n_and_are_the_same_for_the_same_key() -> None:
    weights = bootstrap_weights(50, 400, 0, "a")
    assert (weights.sum(axis=1) == 50).all()
    assert weights.var() == pytest.approx(1 - 1 / 50, abs=0.03)
    assert (weights == bootstrap_weights(50, 400, 0, "a")).all()
    assert (weights != bootstrap_weights(50, 400, 0, "b")).any()


def test_percentile_interval_agrees_with_the_t_interval_of_a_mean() -> None:
    x = RNG.normal(size=20)
    lo, hi = percentile_interval(bootstrap_weights(20, 40_000, 0) @ x / 20, 20)
    expected = scipy_stats.t.interval(0.95, 19, x.mean(), x.std(ddof=1) / np.sqrt(20))
    assert (float(lo), float(hi)) == pytest.approx(expected, abs=0.06)


def test_confusion_and_its_scores_equal_sklearn() -> None:
    from sklearn import metrics

    gold, pred = RNG.integers(0, 4, 300), RNG.integers(0, 4, 300)
    ours = count_codes(gold, pred, 4)
    assert (ours[:, :4] == metrics.confusion_matrix(gold, pred)).all() and (ours[:, 4] == 0).all()
    assert float(accuracy(ours)) == pytest.approx(metrics.accuracy_score(gold, pred))
    assert float(macro_f1(ours)) == pytest.approx(metrics.f1_score(gold, pred, average="macro"))
    assert recalls(ours) == pytest.approx(metrics.recall_score(gold, pred, average=None))


def test_an_invalid_answer_costs_recall_and_no_class_gains_it() -> None:
    counts = count_codes([0, 0, 1, 1], [0, 2, 1, 2], 2)
    assert counts.tolist() == [[1, 0, 1], [0, 1, 1]]
    assert float(accuracy(counts)) == 0.5
    assert predicted_shares(counts) == pytest.approx([0.25, 0.25, 0.5])
    assert float(macro_f1(counts)) == pytest.approx(2 / 3)


def test_confusion_replicates_equal_counting_each_replicate() -> None:
    gold, pred = RNG.integers(0, 3, 40), RNG.integers(0, 4, 40)
    weights = bootstrap_weights(40, 5, 0)
    stacked = confusion_replicates(weights, gold, pred, 3)
    for w, counts in zip(weights.astype(int), stacked, strict=True):
        assert (counts == count_codes(np.repeat(gold, w), np.repeat(pred, w), 3)).all()


def test_sign_flips_count_ties_with_the_observed_sum() -> None:
    # Of the eight signings of three equal differences two are as far from 0 as what was seen: p = 2/8. With a zero
    # among two, four of eight are; a row of zeros can never be exceeded.
    p = sign_flip_p(np.array([[0.5, 0.5, 0.5], [0.25, 0.0, 0.25], [0.0, 0.0, 0.0]]), 40_000, 3)
    assert p == pytest.approx([0.25, 0.5, 1.0], abs=0.01)
    # The smallest p is that of a draw that never came: 1 / (replicates + 1).
    assert sign_flip_p(np.full((1, 40), 1.0), 199, 0)[0] == 1 / 200
