"""Tucker's congruence: worked by hand, matched whatever the order and signs, and no surer than chance."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import traitscope as ts
from traitscope.errors import TraitscopeError
from traitscope.matrix import ScoreMatrix
from traitscope.traits import fit_traits
from traitscope.traits.congruence import congruence, tucker, verdict
from traitscope.traits.pca import centre_and_scale, principal_components

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
    marks = {0.96: "as good as equal", 0.90: "fairly alike", 0.846: "fairly alike", 0.844: "not alike"}
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


def test_what_the_first_pair_shares_is_set_aside_for_the_second_by_hand() -> None:
    from itertools import permutations

    shared = np.array([4.0, -1.0, -1.0, -1.0, -1.0, 0.0]) / np.sqrt(20)
    others = np.array([[0.0, 3.0, 0.0, -1.0, -1.0, -1.0], [0.0, 1.0, 2.0, -2.0, -1.0, 0.5]])
    first, second = (np.array([shared, other]) for other in others)
    found = congruence(first, second, TASKS)
    assert found.pairs_P == ((0, 0), (1, 1)) and found.p_P[0] < 0.05
    apart = np.eye(6) - np.outer(shared, shared)
    null = np.array([abs(tucker(others[:1] @ apart, (others[1:] @ apart)[:, list(order)] @ apart)[0, 0])
                     for order in permutations(range(6))])  # fmt: skip
    assert found.chance_P[1] == pytest.approx(np.quantile(null, 0.95))


def test_the_chance_of_rotated_traits_is_told_of_the_pair_it_is_of_by_hand() -> None:
    from itertools import permutations

    from scipy.linalg import orthogonal_procrustes

    def turned(rows: np.ndarray) -> np.ndarray:
        near = (rows.T @ orthogonal_procrustes(rows.T, one.T)[0]).T
        return np.diag(tucker(one, near))

    # The pair that is most alike as it is, is not after the rotation.
    rng = np.random.default_rng(4)
    one, other = rng.standard_normal((2, 2, 6))
    found = congruence(one, other, TASKS)
    first, second = zip(*found.pairs_P, strict=True)
    one, other = one[list(first)], other[list(second)]
    assert found.rotated_P == pytest.approx(turned(other)) and found.rotated_P[1] > found.rotated_P[0]
    every = [turned(other[:, list(order)]).max() for order in permutations(range(6))]
    assert found.rotated_chance_P[1] == pytest.approx(np.quantile(every, 0.95))
    assert found.rotated_p_P[1] == pytest.approx(np.mean(np.array(every) >= found.rotated_P[1] - 1e-9))


def test_tasks_that_load_in_neither_change_nothing() -> None:
    one, other = np.random.default_rng(5).standard_normal((2, 2, 5))
    plain, more = (congruence(*(np.pad(rows, ((0, 0), (0, n))) for rows in (one, other)), TASKS[:5] + TASKS[:n])
                   for n in (0, 1))  # fmt: skip
    for name in ("phi_P", "p_P", "chance_P", "rotated_P", "rotated_p_P"):
        assert getattr(more, name).tolist() == pytest.approx(getattr(plain, name).tolist())


def drawn(sizes: np.ndarray, common: np.ndarray, rng: np.random.Generator) -> ScoreMatrix:
    """12 sources with a trait of their own matrix, those in common, and tasks that differ in how far they move."""
    traits = np.vstack([common, rng.standard_normal((2 - len(common), len(sizes)))])
    moved = rng.standard_normal((12, 2)) @ traits + 0.5 * rng.standard_normal((12, len(sizes)))
    scores = 0.5 + 0.01 * np.vstack([np.zeros(len(sizes)), moved * sizes]) + rng.normal(0, 0.005, (13, len(sizes)))
    frame = pd.DataFrame(scores, ["base", *(f"s{i}" for i in range(12))], [f"t{n}" for n in range(len(sizes))])
    return ScoreMatrix.from_wide(frame, stderr=frame * 0 + 0.005)


def test_how_far_a_task_moves_makes_no_traits_alike() -> None:
    """Compared are traits of scaled scores: a task in other units, or a loud one, changes nothing."""
    rng, none, sizes = np.random.default_rng(6), np.zeros((0, 6)), np.array([1.0, 1.0, 1.0, 1.0, 1.0, 8.0])
    pair = [drawn(sizes, none, rng) for _ in range(2)]
    found = ts.compare(*pair).pairs[0].traits
    by_hand = congruence(*(fit_traits(one, scale=True).loadings.to_numpy() for one in pair), pair[0].tasks)
    unscaled = congruence(*(fit_traits(one).loadings.to_numpy() for one in pair), pair[0].tasks)
    assert found is not None and found.phi_KJ.tolist() == by_hand.phi_KJ.tolist()
    assert unscaled.phi_P[0] > 0.9 > found.phi_P[0]


def components(values: np.ndarray, k: int) -> np.ndarray:
    return principal_components(centre_and_scale(values, True)[0]).first(k).loadings_KN


@pytest.mark.verify
@pytest.mark.parametrize("spread", [0.0, 0.5, 1.0])
@pytest.mark.parametrize(("k", "n"), [(1, 5), (2, 5), (3, 5), (1, 10), (2, 10), (3, 10)])
def test_matrices_with_nothing_in_common_are_alike_at_the_level_whatever_the_size_of_tasks(
    k: int, n: int, spread: float
) -> None:
    """Tasks that go their own ways, and traits that each matrix has for itself; traits in common are found."""
    rng, trials, tasks = np.random.default_rng(7), 400, tuple(f"t{i}" for i in range(n))
    plain: dict[str, int] = {}
    turned: dict[str, int] = {}
    for kind in ("tasks", "traits", "common"):
        for trial in range(trials):
            sizes, same = np.exp(spread * rng.standard_normal(n)), rng.standard_normal((2, n))
            moved = []
            for _ in range(2):
                traits = same if kind == "common" else rng.standard_normal((2, n))
                rest = 1.0 if kind == "tasks" else 0.5
                moved.append(rest * rng.standard_normal((13, n)))
                moved[-1] += (kind != "tasks") * rng.standard_normal((13, 2)) @ traits
            one, other = (components(sizes * rows + 0.3 * rng.standard_normal((13, n)), k) for rows in moved)
            told = congruence(one, other, tasks, orders=99, seed=trial)
            plain[kind] = plain.get(kind, 0) + (told.p_P <= 0.05).any()
            turned[kind] = turned.get(kind, 0) + (told.rotated_p_P <= 0.05).any()
    most = trials * 0.05 + 3.5 * np.sqrt(trials * 0.05 * 0.95)
    for kind in ("tasks", "traits"):
        assert plain[kind] <= most and turned[kind] <= most
    assert n == 5 or max(plain["common"], turned["common"]) >= 0.5 * trials


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
