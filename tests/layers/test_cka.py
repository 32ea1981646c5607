"""CKA against formulas written out with explicit matrices, against published limits, and against itself in
pieces."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from traitscope.errors import TraitscopeError
from traitscope.layers import Representation, cka_jackknife, compare, linear_cka, linear_gram
from traitscope.layers.cka import u_centre

SHAPES = [(12, 5, 7), (12, 40, 33), (60, 20, 90), (60, 200, 150), (150, 64, 64)]


def biased_by_definition(x: np.ndarray, y: np.ndarray) -> float:
    n = len(x)
    h = np.eye(n) - np.ones((n, n)) / n

    def hsic(k: np.ndarray, l: np.ndarray) -> float:
        return float(np.trace(k @ h @ l @ h)) / (n - 1) ** 2

    k, l = x @ x.T, y @ y.T
    return hsic(k, l) / np.sqrt(hsic(k, k) * hsic(l, l))


def debiased_by_definition(x: np.ndarray, y: np.ndarray) -> float:
    """Song et al. 2012, equation 5, summed entry by entry."""
    n = len(x)

    def hsic(k: np.ndarray, l: np.ndarray) -> float:
        one = np.ones((n, 1))
        k, l = k - np.diag(np.diag(k)), l - np.diag(np.diag(l))
        first = sum(k[i, j] * l[j, i] for i in range(n) for j in range(n))
        second = (one.T @ k @ one).item() * (one.T @ l @ one).item() / ((n - 1) * (n - 2))
        third = 2.0 / (n - 2) * (one.T @ k @ l @ one).item()
        return float(first + second - third) / (n * (n - 3))

    k, l = x @ x.T, y @ y.T
    return hsic(k, l) / float(np.sqrt(hsic(k, k) * hsic(l, l)))


def pair(n: int, d: int, e: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    common = rng.standard_normal((n, 3))
    x = common @ rng.standard_normal((3, d)) + rng.standard_normal((n, d)) + 5.0 * rng.standard_normal(d)
    y = common @ rng.standard_normal((3, e)) + rng.standard_normal((n, e)) - 2.0
    return x, y


@pytest.mark.parametrize(("n", "d", "e"), SHAPES)
@pytest.mark.parametrize("method", ["gram", "features", "blocked"])
def test_linear_cka_equals_its_definition_in_every_way_of_computing_it(n: int, d: int, e: int, method: str) -> None:
    x, y = pair(n, d, e)
    assert linear_cka(x, y, method=method, block=7) == pytest.approx(debiased_by_definition(x, y), abs=1e-10)
    assert linear_cka(x, y, biased=True, method=method, block=7) == pytest.approx(biased_by_definition(x, y), abs=1e-10)


@pytest.mark.parametrize(("n", "d", "e"), SHAPES)
def test_registered_measures_equal_the_definition(n: int, d: int, e: int) -> None:
    x, y = pair(n, d, e, seed=1)
    assert compare(x, y, "cka") == pytest.approx(debiased_by_definition(x, y), abs=1e-10)
    assert compare(x, y, "cka_biased") == pytest.approx(biased_by_definition(x, y), abs=1e-10)
    z = [(a - a.mean(0)) / a.std(0) for a in (x, y)]
    assert compare(x, y, "cka_z") == pytest.approx(debiased_by_definition(*z), abs=1e-10)
    assert compare(x, y, "cka_biased_z") == pytest.approx(biased_by_definition(*z), abs=1e-10)


def test_removing_the_top_components_equals_projecting_them_out_of_the_features() -> None:
    x, y = pair(80, 210, 320)

    def without(a: np.ndarray, count: int) -> np.ndarray:
        a = a - a.mean(0)
        u, s, vt = np.linalg.svd(a, full_matrices=False)
        return a - (u[:, :count] * s[:count]) @ vt[:count]

    wanted = debiased_by_definition(without(x, 2), without(y, 3))
    assert compare(x, y, "cka_top") == pytest.approx(wanted, abs=1e-10)


@pytest.mark.parametrize(("n", "biased", "slack"), [(56, 0.986, 0.05), (1000, 0.804, 0.01)])
def test_unrelated_gaussians_look_alike_to_the_biased_measure_only(n: int, biased: float, slack: float) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((2, n, 4096))
    assert linear_cka(x, y, biased=True) == pytest.approx(biased, abs=0.002)
    assert linear_cka(x, y) == pytest.approx(0.0, abs=slack)


def test_one_shared_outlier_dimension_rules_raw_cka_and_not_the_z_scored_one() -> None:
    rng = np.random.default_rng(1)
    x, y = rng.standard_normal((2, 1000, 1000))
    x[:, 0] = y[:, 0] = 10.0 * rng.standard_normal(1000)
    # 100^2 against the other 999 unit variances: 1e4 / (1e4 + 999) = .91.
    assert compare(x, y, "cka") == pytest.approx(0.91, abs=0.02)
    assert compare(x, y, "cka_biased") == pytest.approx(0.92, abs=0.02)
    assert compare(x, y, "cka_z") == pytest.approx(0.0, abs=0.01)


def test_the_float32_gram_gives_the_same_cka_to_a_millionth() -> None:
    rng = np.random.default_rng(2)
    base = rng.standard_normal((300, 1024)).astype(np.float32)
    other = (base + rng.standard_normal((300, 1024))).astype(np.float32)
    base[:, 7] *= 50.0
    exact = debiased_by_definition(base.astype(float), other.astype(float))
    sides = [Representation(a, precision="float32") for a in (base, other)]
    kernels = [u_centre(side.gram_SS) for side in sides]
    norms = [np.linalg.norm(k) for k in kernels]
    assert np.vdot(*kernels) / (norms[0] * norms[1]) == pytest.approx(exact, abs=1e-6)


def test_blocks_of_features_add_up_to_the_whole_gram() -> None:
    x = np.random.default_rng(3).standard_normal((50, 1300))
    np.testing.assert_allclose(linear_gram(x, block=64), x @ x.T, atol=1e-10)


@pytest.mark.parametrize("biased", [False, True])
def test_the_jackknife_equals_leaving_each_example_out(biased: bool) -> None:
    x, y = pair(25, 10, 14)
    left = np.array([linear_cka(np.delete(x, i, 0), np.delete(y, i, 0), biased=biased) for i in range(25)])
    error = np.sqrt(24 / 25 * np.sum((left - left.mean()) ** 2))
    found = cka_jackknife(x @ x.T, y @ y.T, biased=biased)
    assert found.value == pytest.approx(linear_cka(x, y, biased=biased), abs=1e-10)
    assert found.high - found.value == pytest.approx(1.959964 * error, rel=1e-8)


def test_the_jackknife_interval_covers_the_population_value() -> None:
    rng = np.random.default_rng(4)
    mixing = rng.standard_normal((2, 6, 6))

    def draw(n: int) -> tuple[np.ndarray, np.ndarray]:
        x = rng.standard_normal((n, 6)) @ mixing[0]
        return x, x @ mixing[1] + 2.0 * rng.standard_normal((n, 6))

    truth = linear_cka(*draw(200_000), method="features")
    inside = 0
    for _ in range(200):
        x, y = draw(80)
        found = cka_jackknife(x @ x.T, y @ y.T)
        inside += found.low <= truth <= found.high
    assert 0.90 <= inside / 200 <= 1.0


def test_rows_drawn_twice_would_break_the_debiased_value() -> None:
    rng = np.random.default_rng(5)
    x, y = rng.standard_normal((2, 200, 1000))
    twice = rng.integers(200, size=200)
    assert abs(linear_cka(x, y)) < 0.05
    assert linear_cka(x[twice], y[twice]) == pytest.approx(0.83, abs=0.06)


def test_constant_states_are_undefined_and_not_alike() -> None:
    x = np.ones((10, 4))
    y = np.random.default_rng(6).standard_normal((10, 4))
    for a, b in itertools.permutations((x, y)):
        assert np.isnan(linear_cka(a, b))
        assert np.isnan(compare(a, b, "cka"))


def test_too_few_or_unequal_rows_are_refused() -> None:
    x = np.zeros((3, 2))
    with pytest.raises(TraitscopeError, match="at least 4"):
        linear_cka(x, x)
    with pytest.raises(TraitscopeError, match="same examples"):
        linear_cka(np.zeros((5, 2)), np.zeros((6, 2)))


@pytest.mark.parametrize("scale", [1e-3, 1.0, np.pi, 1e3])
@pytest.mark.parametrize("offset", [0.0, 3.7])
def test_where_one_example_alone_differs_debiased_cka_is_undefined(scale: float, offset: float) -> None:
    """Without the diagonal every row of the centred Gram matrix is alike: HSIC(x, x) = 0, by hand."""
    x = np.full((50, 8), offset)
    x[0, 0] += scale
    y = np.random.default_rng(0).standard_normal((50, 8))
    for other in (x, y):
        for method in ("gram", "features", "blocked"):
            assert np.isnan(linear_cka(x, other, method=method, block=7))
            assert np.isfinite(linear_cka(x, other, method=method, block=7, biased=True))
        k, m = x @ x.T, other @ other.T
        assert all(np.isnan(value) for value in cka_jackknife(k, m))
        for name in ("cka", "cka_z", "cka_rbf", "cka_rbf_z"):
            assert np.isnan(compare(x, other, name))


def test_a_similarity_that_hangs_on_one_example_has_no_interval() -> None:
    x = np.zeros((50, 8))
    x[0, 0] = 1.0
    found = cka_jackknife(x @ x.T, x @ x.T, biased=True)
    assert found.value == pytest.approx(1.0)
    assert np.isnan(found.low) and np.isnan(found.high)


def test_small_differences_beside_a_large_one_are_compared() -> None:
    """One example is a thousand times the others: what they share is still seen."""
    x = np.random.default_rng(1).standard_normal((60, 8))
    x[0] *= 1e3
    assert linear_cka(x, x) == pytest.approx(1.0)
    assert compare(x, x) == pytest.approx(1.0)


@pytest.mark.parametrize("value", [0.1, 1e5, 0.0])
def test_constant_states_have_no_cka_whatever_rounding_leaves(value: float) -> None:
    y = np.random.default_rng(0).standard_normal((50, 8))
    for biased in (True, False):
        assert np.isnan(linear_cka(np.full((50, 8), value), y, biased=biased))
