"""How alike the traits of two matrices are: Tucker's congruence of their loadings, and what chance gives."""

from __future__ import annotations

from collections.abc import Iterator
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
        chance_P: its 95 % point under permuted tasks; p_P: p of what was found.
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
    if phi < FAIR:
        return "not alike"
    if p > 0.05:
        return "no more alike than chance"
    return "as good as equal" if phi >= EQUAL else "fairly alike"


def tucker(a_KN: Floats, b_JN: Floats) -> Floats:
    """Congruence of every row of one with every row of the other: their cosine, phi_KJ. Tucker 1951.

    A row of zeros is like nothing: 0.
    """
    size = np.outer(np.linalg.norm(a_KN, axis=1), np.linalg.norm(b_JN, axis=1))
    return np.asarray(a_KN @ b_JN.T / np.where(size > 0, size, 1.0))


def congruence(a_KN: Floats, b_JN: Floats, tasks: tuple[str, ...], *, orders: int = 2000, seed: int = 0) -> Congruence:
    """Matches traits one to one so that their congruences are largest together, and holds them against chance.

    Chance is the same matching after the second's tasks were put into another order: all orders where there are no
    more than ``orders``, else as many drawn ones. The m-th most alike pair is compared with the m-th of each order.

    Args:
        a_KN: loadings of the first. b_JN: loadings of the second, over the same tasks.
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
    pairs, phi_P = _matched(a_KN, b_JN)
    rotated_P = _rotated(a_KN, b_JN, pairs)
    exact = factorial(n) <= orders
    drawn_RP, turned_RP = [], []
    for order_N in _orders(n, orders, exact, seed):
        moved_JN = b_JN[:, order_N]
        found, chance_P = _matched(a_KN, moved_JN)
        drawn_RP.append(chance_P)
        turned_RP.append(_rotated(a_KN, moved_JN, found))
    null_RP, null_turned_RP = np.array(drawn_RP), np.sort(np.array(turned_RP), axis=1)[:, ::-1]
    sorted_P = np.argsort(-rotated_P, kind="stable")
    place_P = np.argsort(sorted_P)
    return Congruence(
        tasks=tasks,
        phi_KJ=tucker(a_KN, b_JN),
        pairs_P=pairs,
        phi_P=phi_P,
        chance_P=np.quantile(null_RP, 0.95, axis=0),
        p_P=_p(phi_P, null_RP, exact),
        rotated_P=rotated_P,
        rotated_chance_P=np.quantile(null_turned_RP, 0.95, axis=0)[place_P],
        rotated_p_P=_p(rotated_P[sorted_P], null_turned_RP, exact)[place_P],
        orders=len(null_RP),
        exact=exact,
    )


def _orders(n: int, orders: int, exact: bool, seed: int) -> Iterator[npt.NDArray[np.int64]]:
    if exact:
        yield from (np.array(order) for order in permutations(range(n)))
        return
    rng = np.random.default_rng(seed)
    for _ in range(orders):
        yield rng.permutation(n)


def _p(found_P: Floats, null_RP: Floats, exact: bool) -> Floats:
    # The order that was found is among all orders, and is added to drawn ones.
    more_P = (null_RP >= found_P - 1e-12).sum(axis=0)
    return np.asarray(more_P / len(null_RP) if exact else (more_P + 1) / (len(null_RP) + 1))


def _matched(a_KN: Floats, b_JN: Floats) -> tuple[tuple[tuple[int, int], ...], Floats]:
    from scipy.optimize import linear_sum_assignment

    phi_KJ = np.abs(tucker(a_KN, b_JN))
    first, second = linear_sum_assignment(-phi_KJ)
    phi_P = phi_KJ[first, second]
    best = np.argsort(-phi_P, kind="stable")
    return tuple((int(first[p]), int(second[p])) for p in best), phi_P[best]


def _rotated(a_KN: Floats, b_JN: Floats, pairs: tuple[tuple[int, int], ...]) -> Floats:
    """Congruence of each pair after the best orthogonal rotation of the second's traits. Schoenemann 1966."""
    from scipy.linalg import orthogonal_procrustes

    a_PN, b_PN = a_KN[[i for i, _ in pairs]], b_JN[[j for _, j in pairs]]
    turn_PP, _ = orthogonal_procrustes(b_PN.T, a_PN.T)
    return np.asarray(np.diag(tucker(a_PN, turn_PP.T @ b_PN)))
