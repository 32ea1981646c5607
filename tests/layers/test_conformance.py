"""What every registered measure must hold, whoever adds it."""

from __future__ import annotations

import numpy as np
import pytest

from traitscope.layers import MEASURES, Measure, Representation, subsample_interval

NAMES = MEASURES.names()


def measure(name: str) -> Measure:
    return MEASURES.get(name).value


def side(x: np.ndarray, item: Measure) -> Representation:
    return Representation(x, precision="float64", variant=item.variant)


@pytest.fixture
def states() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((40, 12)) + 3.0
    return x, x @ rng.standard_normal((12, 12)) * 0.3 + rng.standard_normal((40, 12))


def test_the_promised_measures_are_registered() -> None:
    cka = {f"{stem}{end}" for stem in ("cka", "cka_biased", "cka_rbf") for end in ("", "_z", "_top")}
    assert cka | {"knn", "procrustes", "shape_angle", "rsa"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_entry_names_itself_and_its_source(name: str) -> None:
    entry = MEASURES.get(name)
    assert entry.value.name == name
    assert entry.version >= 1
    assert len(entry.reference) > 20


@pytest.mark.parametrize("name", NAMES)
def test_equal_states_give_the_identical_value_and_all_values_keep_the_bounds(
    name: str, states: tuple[np.ndarray, np.ndarray]
) -> None:
    item = measure(name)
    a, b = (side(x, item) for x in states)
    assert item.compare(a, a) == pytest.approx(item.identical, abs=1e-6)
    low, high = item.bounds
    value = item.compare(a, b)
    assert low - 1e-9 <= value <= high + 1e-9
    assert (value < item.identical) if item.similarity else (value > item.identical)


@pytest.mark.parametrize("name", NAMES)
def test_symmetric(name: str, states: tuple[np.ndarray, np.ndarray]) -> None:
    item = measure(name)
    a, b = (side(x, item) for x in states)
    assert item.compare(a, b) == pytest.approx(item.compare(b, a), abs=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_shift_scale_and_the_order_of_examples_and_features_do_not_matter(
    name: str, states: tuple[np.ndarray, np.ndarray]
) -> None:
    item = measure(name)
    x, y = states
    rng = np.random.default_rng(1)
    rows, columns = rng.permutation(40), rng.permutation(12)
    value = item.compare(side(x, item), side(y, item))
    changed = item.compare(side((5.0 * x + 2.0)[rows][:, columns], item), side(y[rows], item))
    assert changed == pytest.approx(value, abs=1e-8)


@pytest.mark.parametrize("name", [n for n in NAMES if not n.endswith("_z")])
def test_rotations_do_not_matter_unless_features_are_z_scored(name: str, states: tuple[np.ndarray, np.ndarray]) -> None:
    item = measure(name)
    x, y = states
    q, _ = np.linalg.qr(np.random.default_rng(2).standard_normal((12, 12)))
    assert item.compare(side(x @ q, item), side(y, item)) == pytest.approx(
        item.compare(side(x, item), side(y, item)), abs=1e-8
    )


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("d", [5, 120])
def test_reordered_comparison_equals_comparing_reordered_states(name: str, d: int) -> None:
    item = measure(name)
    rng = np.random.default_rng(3)
    x, y = rng.standard_normal((2, 30, d))
    order = rng.permutation(30)
    a, b = side(x, item), side(y, item)
    wanted = item.compare(a, side(y[order], item))
    assert item.compare(a, b, order) == pytest.approx(wanted, abs=1e-8)
    null = item.null([a, b], b, np.stack([order, np.arange(30)]))
    assert null.shape == (2, 2)
    assert null[0, 0] == pytest.approx(wanted, abs=1e-8)
    assert null[1, 1] == pytest.approx(item.identical, abs=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_constant_or_too_few_states_are_undefined(name: str, states: tuple[np.ndarray, np.ndarray]) -> None:
    item = measure(name)
    good = side(states[0], item)
    constant = side(np.full((40, 12), 0.1, dtype=np.float32), item)
    assert constant.undefined is not None
    assert "constant" in constant.undefined
    assert np.isnan(item.compare(good, constant))
    assert np.isnan(item.compare(constant, constant))
    assert np.isnan(item.null([good], constant, np.arange(40)[None])).all()
    few = side(states[0][:3], item)
    assert np.isnan(item.compare(few, few))


@pytest.mark.parametrize("name", NAMES)
def test_intervals_contain_the_value(name: str, states: tuple[np.ndarray, np.ndarray]) -> None:
    item = measure(name)
    a, b = (side(x, item) for x in states)
    exact = item.interval(a, b)
    assert exact.value == pytest.approx(item.compare(a, b), abs=1e-9)
    halves = subsample_interval(item, a, b, draws=12)
    assert halves.low < halves.value < halves.high
    if np.isfinite(exact.low):
        assert exact.low < exact.value < exact.high


@pytest.mark.parametrize("name", ["cka", "cka_rbf"])
def test_half_samples_and_jackknife_agree_on_the_width(name: str, states: tuple[np.ndarray, np.ndarray]) -> None:
    item = measure(name)
    a, b = (side(x, item) for x in states)
    jackknife, halves = item.interval(a, b), subsample_interval(item, a, b, draws=200)
    assert (halves.high - halves.low) / (jackknife.high - jackknife.low) == pytest.approx(1.0, abs=0.35)


def test_the_null_of_a_median_stays_near_zero_for_debiased_cka_and_far_from_it_for_the_biased_one() -> None:
    rng = np.random.default_rng(4)
    x, y = rng.standard_normal((2, 40, 200))
    orders = np.stack([rng.permutation(40) for _ in range(20)])
    for name, level in (("cka", 0.0), ("cka_biased", 0.84)):
        item = measure(name)
        null = item.null([side(x, item)], side(y, item), orders)
        assert null.mean() == pytest.approx(level, abs=0.03)


def test_nothing_is_compared_where_removing_components_leaves_nothing() -> None:
    rng = np.random.default_rng(5)
    item = measure("cka_top")
    line = rng.standard_normal((20, 1)) * rng.standard_normal((1, 6))
    few = rng.standard_normal((9, 1000))
    for x, words in ((line, "nothing is left after 1 components"), (few, "9 examples leave nothing after 10")):
        rep = side(x, item)
        assert words in (rep.undefined or "")
        assert np.isnan(item.interval(rep, rep).value)
