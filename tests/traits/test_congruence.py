"""Tucker's congruence: worked by hand, matched whatever the order and signs, and no surer than chance."""

from __future__ import annotations

import numpy as np
import pytest

from traitscope.errors import TraitscopeError
from traitscope.traits.congruence import congruence, tucker, verdict

TASKS = tuple("abcdef")


def test_congruence_by_hand() -> None:
    # 3*4 + 4*3 over 5 * 5; no mean is taken away, unlike in a correlation.
    assert tucker(np.array([[3.0, 4.0]]), np.array([[4.0, 3.0]]))[0, 0] == pytest.approx(24 / 25)
    assert tucker(np.array([[1.0, 1.0]]), np.array([[0.0, 0.0], [2.0, 2.0]])).tolist() == [[0.0, pytest.approx(1.0)]]


def test_traits_are_matched_whatever_their_order_and_signs() -> None:
    rng = np.random.default_rng(0)
    loadings = np.linalg.qr(rng.standard_normal((6, 3)))[0].T
    found = congruence(loadings, -loadings[[2, 0, 1]], TASKS)
    assert set(found.pairs_P) == {(0, 1), (1, 2), (2, 0)}
    assert found.phi_P == pytest.approx(np.ones(3)) and found.rotated_P == pytest.approx(np.ones(3))
    assert found.exact and found.orders == 720
    # One order of all gives this: the one that was found.
    assert found.p_P[0] == pytest.approx(1 / 720)


def test_rotation_finds_the_same_space_where_axes_differ() -> None:
    rng = np.random.default_rng(1)
    loadings = np.linalg.qr(rng.standard_normal((12, 2)))[0].T
    turn = np.array([[np.cos(0.6), -np.sin(0.6)], [np.sin(0.6), np.cos(0.6)]])
    found = congruence(loadings, turn @ loadings, tuple(f"t{i}" for i in range(12)), orders=500)
    assert found.phi_P == pytest.approx([np.cos(0.6)] * 2)
    assert found.rotated_P == pytest.approx(np.ones(2)) and (found.rotated_p_P <= 2 / 501).all()


def test_a_general_trait_is_alike_in_any_order_and_chance_says_so() -> None:
    # All loadings near each other: congruence .99 and worth nothing.
    one, other = np.array([[1.0, 1.1, 0.9, 1.0, 1.2, 0.95]]), np.array([[1.1, 0.95, 1.0, 1.05, 0.9, 1.0]])
    found = congruence(one, other, TASKS)
    assert found.phi_P[0] > 0.98 and found.p_P[0] > 0.05
    assert found.rows()[0]["verdict"] == "no more alike than chance"


def test_marks_are_those_of_lorenzo_seva_and_ten_berge() -> None:
    marks = {0.96: "as good as equal", 0.90: "fairly alike", 0.84: "not alike"}
    assert {phi: verdict(phi, 0.001) for phi in marks} == marks


def test_too_few_tasks_are_refused() -> None:
    with pytest.raises(TraitscopeError, match="3 tasks"):
        congruence(np.ones((1, 3)), np.ones((1, 3)), ("a", "b", "c"))


def planted(k: int, n: int, shared: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Orthonormal traits, the first ones near the shared ones, the others drawn."""
    near = shared + 0.02 * rng.standard_normal(shared.shape)
    turned, upper = np.linalg.qr(np.vstack([near, rng.standard_normal((k - len(shared), n))]).T)
    return np.asarray((turned * np.sign(np.diag(upper))).T)


def test_a_pair_is_tested_with_what_those_before_it_share_set_aside_by_hand() -> None:
    """Over four tasks, one trait common to both: what is left has three dimensions, and every order is tried."""
    from itertools import permutations

    one = np.array([[1.0, 1.0, 1.0, 1.0], [3.0, -1.0, -1.0, -1.0]])
    other = np.array([[1.0, 1.0, 1.0, 1.0], [2.0, 0.5, -1.0, -1.5]])
    found = congruence(one, other, tuple("abcd"))
    assert found.exact and found.orders == 24
    # The first pair is alike in any order, and no pair is surer than the one before it.
    assert found.p_P.tolist() == [1.0, 1.0]
    found = congruence(one[1:], other[1:], tuple("abcd"))
    every = [abs(tucker(one[1:], other[1:][:, list(order)])[0, 0]) for order in permutations(range(4))]
    assert found.p_P[0] == pytest.approx(np.mean(np.array(every) >= found.phi_P[0] - 1e-12)) and found.p_P[0] == 0.25
    assert found.chance_P[0] == pytest.approx(np.quantile(every, 0.95))


def test_the_order_that_was_found_is_added_to_drawn_ones() -> None:
    loadings = np.linalg.qr(np.random.default_rng(4).standard_normal((12, 3)))[0].T
    found = congruence(loadings, loadings, tuple(f"t{i}" for i in range(12)), orders=99)
    assert not found.exact and found.p_P[0] == found.rotated_p_P[0] == pytest.approx(1 / 100)
    assert (np.diff(found.p_P) >= 0).all()


NULLS = [(2, 2, 8, 0), (5, 5, 10, 0), (2, 4, 8, 0), (2, 2, 6, 1), (3, 3, 10, 2), (5, 5, 10, 2)]


@pytest.mark.parametrize(
    ("k", "j", "n", "shared", "trials"),
    [(2, 2, 8, 0, 60), (3, 3, 10, 1, 60), *(pytest.param(*case, 600, marks=pytest.mark.verify) for case in NULLS)],
)
def test_unrelated_traits_are_found_alike_no_oftener_than_the_level(
    k: int, j: int, n: int, shared: int, trials: int
) -> None:
    """Of all pairs of a comparison together, and whatever else the two share."""
    rng, tasks = np.random.default_rng(2), tuple(f"t{i}" for i in range(n))
    plain = turned = missed = 0
    for trial in range(trials):
        common = np.linalg.qr(rng.standard_normal((n, max(shared, 1))))[0].T[:shared]
        found = congruence(planted(k, n, common, rng), planted(j, n, common, rng), tasks, orders=99, seed=trial)
        real = np.array([a < shared and b < shared for a, b in found.pairs_P])
        plain += (found.p_P[~real] <= 0.05).any()
        missed += (found.p_P[real] > 0.05).any()
        turned += (found.rotated_p_P <= 0.05).sum() > shared
    most = trials * 0.05 + 3.5 * np.sqrt(trials * 0.05 * 0.95)
    assert plain <= most and turned <= most and missed <= 0.05 * trials
