"""How alike the traits of two matrices are: Tucker's congruence of their loadings, and what chance gives."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import permutations
from math import factorial
from typing import Any

import numpy as np
import numpy.typing as npt

from traitscope.errors import TraitscopeError

Floats = npt.NDArray[np.float64]
# Lorenzo-Seva and ten Berge 2006: from here on two components are as good as equal, or fairly alike.
EQUAL, FAIR = 0.95, 0.85
# Fewer tasks have too few orders for a test.
LEAST_TASKS = 4


@dataclass(frozen=True, kw_only=True, eq=False)
class Congruence:
    """Traits of one matrix matched with those of another, over the tasks that both have.

    Attributes:
        tasks: the N tasks.
        phi_KJ: Tucker's congruence of every trait of the first with every trait of the second, -1..1.
        pairs_P: matched traits (first, second) by their places from 0, most alike first.
        phi_P: congruence of each pair, as an absolute value; the sign of a trait is a convention.
        chance_P: 95 % point of the largest of any pair under permuted tasks, what the pairs before have in common set
            aside; p_P: p of it, corrected for all pairs.
        rotated_P: the same after the second's matched traits were rotated onto the first's (orthogonal Procrustes).
        rotated_chance_P, rotated_p_P: of it; rotation makes anything more alike, and chance is rotated too.
        orders: permutations of the tasks that chance was taken from; exact: whether these are all there are.
    """

    tasks: tuple[str, ...]
    phi_KJ: Floats
    pairs_P: tuple[tuple[int, int], ...]
    phi_P: Floats
    chance_P: Floats
    p_P: Floats
    rotated_P: Floats
    rotated_chance_P: Floats
    rotated_p_P: Floats
    orders: int
    exact: bool

    def rows(self) -> list[dict[str, Any]]:
        """One row per pair."""
        return [
            {
                "first": f"T{i + 1}",
                "second": f"T{j + 1}",
                "congruence": float(self.phi_P[p]),
                "chance": float(self.chance_P[p]),
                "p": float(self.p_P[p]),
                "rotated": float(self.rotated_P[p]),
                "rotated_chance": float(self.rotated_chance_P[p]),
                "rotated_p": float(self.rotated_p_P[p]),
                "verdict": verdict(float(self.phi_P[p]), float(self.p_P[p])),
            }
            for p, (i, j) in enumerate(self.pairs_P)
        ]


def verdict(phi: float, p: float) -> str:
    """A congruence in words: by the marks of Lorenzo-Seva and ten Berge, where chance does not give as much."""
    if not reaches(phi, FAIR):
        return "not alike"
    if p > 0.05:
        return "no more alike than chance"
    return "as good as equal" if reaches(phi, EQUAL) else "fairly alike"


def reaches(phi: float, mark: float) -> bool:
    """Whether a congruence reaches a mark at the two digits that it is told with; one that is not known does not."""
    return round(float(phi), 2) >= mark


def tucker(a_KN: Floats, b_JN: Floats) -> Floats:
    """Congruence of every row of one with every row of the other: their cosine, phi_KJ. Tucker 1951.

    A row of zeros is like nothing: 0.
    """
    size = np.outer(np.linalg.norm(a_KN, axis=1), np.linalg.norm(b_JN, axis=1))
    return np.asarray(a_KN @ b_JN.T / np.where(size > 0, size, 1.0))


def congruence(a_KN: Floats, b_JN: Floats, tasks: tuple[str, ...], *, orders: int = 2000, seed: int = 0) -> Congruence:
    """Matches traits one to one so that their congruences are largest together, and holds them against chance.

    Chance is the largest congruence of any pair after the second's tasks were put into another order: all orders where
    there are no more than ``orders``, else as many drawn ones. That takes tasks for exchangeable, so the traits have to
    be of scaled scores (``fit_traits(scale=True)``): else the task that moves most is the first trait of any matrix.
    Tasks that load in neither (constant scores) are not permuted. Pairs are tested one after the other, the most alike
    first. Before the next is, the direction that the pair has in common is taken out of all traits that are left (and
    again after the tasks were permuted), since traits of one matrix avoid each other: what two matrices share leaves
    less room for the rest, which is then alike sooner. No p is below that of the pair before it, so that as long as
    all pairs told alike at p <= .05 are weighed, one is told wrongly in 5 % of comparisons.

    Args:
        a_KN: loadings of the first, of scaled scores. b_JN: loadings of the second, over the same tasks.
        tasks: their names. orders: permutations. seed: of those that are drawn.

    Raises:
        TraitscopeError: fewer than 4 tasks, loadings over other tasks, or loadings that are no numbers.
    """
    n = len(tasks)
    if n < LEAST_TASKS or a_KN.shape[1] != n or b_JN.shape[1] != n:
        raise TraitscopeError(
            f"{n} tasks in common", where="congruence", fix=f"traits are compared over {LEAST_TASKS} tasks or more"
        )
    if not (np.isfinite(a_KN).all() and np.isfinite(b_JN).all()):
        raise TraitscopeError("loadings that are no numbers", where="congruence", fix="fit the traits anew")
    loads_N = (np.abs(np.vstack([a_KN, b_JN])) > 1e-12).any(axis=0)
    a_KN, b_JN, n = a_KN[:, loads_N], b_JN[:, loads_N], int(loads_N.sum())
    pairs, phi_P = _matched(a_KN, b_JN)
    exact = factorial(n) <= orders
    order_RN = np.array(list(_orders(n, orders, exact, seed)))
    a_first, b_first = ([pair[side] for pair in pairs] for side in (0, 1))
    others = [k for k in range(len(a_KN)) if k not in a_first], [j for j in range(len(b_JN)) if j not in b_first]
    first_KN, second_JN = a_KN[a_first + others[0]], b_JN[b_first + others[1]]
    p_P, chance_P = _one_by_one(first_KN, second_JN, len(pairs), order_RN, exact, _largest)
    turned_PN = _turned(a_KN[a_first], b_JN[b_first])
    rotated_P = np.diag(tucker(a_KN[a_first], turned_PN))
    sorted_P = np.argsort(-rotated_P, kind="stable")
    place_P = np.argsort(sorted_P)
    turned = np.vstack([turned_PN[sorted_P], b_JN[others[1]]])
    first_KN = np.vstack([a_KN[a_first][sorted_P], a_KN[others[0]]])
    rotated_p_P, rotated_chance_P = _one_by_one(first_KN, turned, len(pairs), order_RN, exact, _largest_turned)
    return Congruence(
        tasks=tasks,
        phi_KJ=tucker(a_KN, b_JN),
        pairs_P=pairs,
        phi_P=phi_P,
        chance_P=chance_P,
        p_P=p_P,
        rotated_P=rotated_P,
        rotated_chance_P=rotated_chance_P[place_P],
        rotated_p_P=rotated_p_P[place_P],
        orders=len(order_RN),
        exact=exact,
    )


def _one_by_one(
    a_KN: Floats,
    b_JN: Floats,
    pairs: int,
    order_RN: npt.NDArray[np.int64],
    exact: bool,
    largest: Callable[[Floats, Floats], Floats],
) -> tuple[Floats, Floats]:
    """p and 95 % point of each pair (row m of one with row m of the other), those before it set aside."""
    p, chance = [], []
    common_MN = np.zeros((0, a_KN.shape[1]))
    for m in range(pairs):
        left_a, left_b = (_without(rows[m:], common_MN) for rows in (a_KN, b_JN))
        found = float(largest(left_a, left_b[None])[0])
        null_R = largest(left_a, _without(np.swapaxes(left_b[:, order_RN], 0, 1), common_MN))
        # The order that was found is among all orders, and is added to drawn ones.
        more = int((null_R >= found - 1e-12).sum())
        p.append(more / len(null_R) if exact else (more + 1) / (len(null_R) + 1))
        chance.append(float(np.quantile(null_R, 0.95)))
        pair_2N = np.array([a_KN[m], b_JN[m]]) / np.maximum(np.linalg.norm([a_KN[m], b_JN[m]], axis=1), 1e-300)[:, None]
        middle_N = _without(pair_2N[0] + np.copysign(1.0, pair_2N[0] @ pair_2N[1]) * pair_2N[1], common_MN)
        size = float(np.linalg.norm(middle_N))
        if size > 1e-9:
            common_MN = np.vstack([common_MN, middle_N / size])
    return np.maximum.accumulate(p), np.array(chance)


def _without(rows: Floats, common_MN: Floats) -> Floats:
    """Rows without what lies along orthonormal directions."""
    return np.asarray(rows - (rows @ common_MN.T) @ common_MN)


def _largest(a_KN: Floats, b_RJN: Floats) -> Floats:
    """Largest congruence of any two rows, of every copy of the second."""
    size_RKJ = np.linalg.norm(a_KN, axis=1)[:, None] * np.linalg.norm(b_RJN, axis=2)[:, None]
    phi_RKJ = np.abs(a_KN @ np.swapaxes(b_RJN, 1, 2)) / np.where(size_RKJ > 1e-9, size_RKJ, np.inf)
    return np.asarray(phi_RKJ.max(axis=(1, 2)))


def _largest_turned(a_KN: Floats, b_RJN: Floats) -> Floats:
    """Largest congruence after matching and rotation, of every copy of the second."""
    found = []
    for b_JN in b_RJN:
        pairs, _ = _matched(a_KN, b_JN)
        a_PN, b_PN = a_KN[[i for i, _ in pairs]], b_JN[[j for _, j in pairs]]
        found.append(float(np.diag(tucker(a_PN, _turned(a_PN, b_PN))).max()))
    return np.array(found)


def _orders(n: int, orders: int, exact: bool, seed: int) -> Iterator[npt.NDArray[np.int64]]:
    if exact:
        yield from (np.array(order) for order in permutations(range(n)))
        return
    rng = np.random.default_rng(seed)
    for _ in range(orders):
        yield rng.permutation(n)


def _matched(a_KN: Floats, b_JN: Floats) -> tuple[tuple[tuple[int, int], ...], Floats]:
    from scipy.optimize import linear_sum_assignment

    phi_KJ = np.abs(tucker(a_KN, b_JN))
    first, second = linear_sum_assignment(-phi_KJ)
    phi_P = phi_KJ[first, second]
    best = np.argsort(-phi_P, kind="stable")
    return tuple((int(first[p]), int(second[p])) for p in best), phi_P[best]


def _turned(a_PN: Floats, b_PN: Floats) -> Floats:
    """The second's rows after the orthogonal rotation that brings them nearest the first's. Schoenemann 1966."""
    left, _, right = np.linalg.svd(a_PN @ b_PN.T)
    return np.asarray(left @ right @ b_PN)
