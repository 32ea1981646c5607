"""How many traits: tests against known noise, held-out cells, and a lower bound without either."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from traitscope.traits.missing import complete, largest_rank

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class SequentialTest:
    """One component after the other against the noise that the components before it leave over.

    Attributes:
        singular_M: singular values of the matrix in units of the noise.
        p_J: p of each step taken; the last one is the first that failed, if any did.
        edge_J: what noise alone reaches at each step (its 1 - alpha quantile).
        count: components that passed. alpha: level. draws: simulated noise matrices (or permutations).
        capped: True where every testable component passed.
        method: in words, what the noise is.
    """

    singular_M: Floats
    p_J: Floats
    edge_J: Floats
    count: int
    alpha: float
    draws: int
    capped: bool
    method: str


@dataclass(frozen=True, eq=False)
class HeldOutCells:
    """Prediction of held-out cells by 0, 1, 2, ... components (regularised iterative PCA).

    Attributes:
        rmse_M: root mean squared error for k = 0 (column means), 1, ..., in the unit named; ends three
            components after the best one.
        best: the k with the smallest error. count: the smallest k within one standard error of it.
        folds, repeats: how the cells were held out. unit: "noise" or "column standard deviations".
    """

    rmse_M: Floats
    best: int
    count: int
    folds: int
    repeats: int
    unit: str


@dataclass(frozen=True, eq=False)
class TraitCount:
    """The number of traits, each way of finding it, and what may be said.

    Attributes:
        supported: components that beat the null that is trusted here (``sequential``, else ``permutation``).
        sequential: test against the cells' known noise; None without standard errors.
        held_out: cross-validation over cells; None where the matrix is too small.
        permutation: sequential permutation of residuals, a lower bound that needs no standard errors.
        parallel: plain column-permutation parallel analysis: shown, not trusted.
        statement: one sentence for the reader.
    """

    supported: int
    sequential: SequentialTest | None
    held_out: HeldOutCells | None
    permutation: SequentialTest
    parallel: int
    statement: str


def _projected_largest(noise_RIN: Floats, left_IK: Floats, right_KN: Floats) -> tuple[Floats, Floats]:
    """Largest singular value and energy of noise matrices with directions projected out of both sides."""
    rest = noise_RIN - left_IK @ (left_IK.T @ noise_RIN)
    rest = rest - (rest @ right_KN.T) @ right_KN
    wide = rest.shape[1] > rest.shape[2]
    gram = np.swapaxes(rest, 1, 2) @ rest if wide else rest @ np.swapaxes(rest, 1, 2)
    squares = np.linalg.eigvalsh(gram)
    return np.sqrt(np.clip(squares[:, -1], 0.0, None)), np.clip(squares, 0.0, None).sum(axis=1)


def _centred(values: Floats, gaps: npt.NDArray[np.bool_], k: int) -> Floats:
    """Columns centred, missing cells filled by k components first."""
    filled = complete(values, k) if gaps.any() else values
    return filled - filled.mean(axis=0)


def _one_after_the_other(
    steps: Iterable[tuple[float, Floats]],
    singular_M: Floats,
    shape: tuple[int, ...],
    alpha: float,
    draws: int,
    method: str,
) -> SequentialTest:
    """Test components until one is no larger than what the null gives.

    Args:
        steps: for each component in turn, what is observed and the same under the null, [R]; made when asked for.
        singular_M: singular values to show. shape: of the matrix. alpha, draws, method: as in ``SequentialTest``.
    """
    p, edge, count = [], [], 0
    for observed, null_R in steps:
        p.append((1 + int((null_R >= observed).sum())) / (len(null_R) + 1))
        edge.append(float(np.quantile(null_R, 1.0 - alpha)))
        if p[-1] > alpha:
            break
        count += 1
    return SequentialTest(
        singular_M=singular_M[: min(shape[0] - 1, shape[1])],
        p_J=np.array(p),
        edge_J=np.array(edge),
        count=count,
        alpha=alpha,
        draws=draws,
        capped=count == largest_rank(*shape),
        method=method,
    )


def sequential_test(
    values_IN: Floats, noise_RIN: Floats, *, alpha: float = 0.05, method: str = "known noise of the cells"
) -> SequentialTest:
    """Number of components against simulated noise, conditional on the components already found.

    Step k compares the (k+1)-th singular value with the largest one of noise matrices from which the k left
    and right singular vectors found so far are projected out: what is left to noise beside k strong traits.
    Where the true traits are well above the noise, the chance of one too many is about alpha, however many there are.

    Args:
        values_IN: the matrix, NaN where missing. noise_RIN: draws of its errors, in the same unit.
        alpha: level of every step. method: what to call the noise.
    """
    gaps = np.isnan(values_IN)
    noise = noise_RIN - noise_RIN.mean(axis=1, keepdims=True)
    # Columns in units of their own noise, so that the least exact task does not decide alone.
    unit_N = np.sqrt((noise**2).mean(axis=(0, 1)))
    floor = 1e-9 * max(float(unit_N.max()), 1e-300)
    white = values_IN / np.maximum(unit_N, floor)
    noise = np.where(gaps, 0.0, noise / np.maximum(unit_N, floor))
    top = largest_rank(*values_IN.shape)
    first = np.linalg.svd(_centred(white, gaps, min(1, top)), full_matrices=False)

    def steps() -> Iterator[tuple[float, Floats]]:
        left, singular, right = first
        for k in range(top):
            if gaps.any():
                left, singular, right = np.linalg.svd(_centred(white, gaps, k), full_matrices=False)
            yield singular[k], _projected_largest(noise, left[:, :k], right[:k])[0]

    return _one_after_the_other(steps(), first[1], values_IN.shape, alpha, len(noise_RIN), method)


def sequential_permutation(
    centred_IN: Floats, *, permutations: int, rng: np.random.Generator, alpha: float = 0.05
) -> SequentialTest:
    """A lower bound on the number of traits without standard errors: permuting the residuals of k components.

    Step k permutes every column of what k components leave, projects those components out again (Vitale et
    al. 2017, J. Chemometrics 31:e2937), and compares the share of the remaining variance that the next
    component takes. In simulations it seldom finds too many (about 5 %) and often too few at 11 x 10.
    """
    spread_N = centred_IN.std(axis=0)
    white = centred_IN / np.where(spread_N > 1e-12, spread_N, 1.0)
    left, singular, right = np.linalg.svd(white, full_matrices=False)
    energy_M = np.array([(singular[k:] ** 2).sum() for k in range(len(singular))])

    def steps() -> Iterator[tuple[float, Floats]]:
        for k in range(largest_rank(*centred_IN.shape)):
            rest = white - (left[:, :k] * singular[:k]) @ right[:k]
            draws = rng.permuted(np.broadcast_to(rest, (permutations, *rest.shape)), axis=1)
            null_R, null_energy_R = _projected_largest(draws, left[:, :k], right[:k])
            if energy_M[k] <= 1e-12 * energy_M[0] or energy_M[k] == 0.0:
                return
            yield singular[k] ** 2 / energy_M[k], null_R**2 / np.maximum(null_energy_R, 1e-300)

    method = "permutation of residuals"
    found = _one_after_the_other(steps(), singular, centred_IN.shape, alpha, permutations, method)
    # The steps compare shares of what is left; the edge is shown as a singular value.
    return replace(found, edge_J=np.sqrt(found.edge_J * energy_M[: len(found.edge_J)]))


def held_out_cells(
    values_IN: Floats,
    unit_N: Floats,
    unit: str,
    *,
    rng: np.random.Generator,
    folds: int = 10,
    repeats: int = 3,
) -> HeldOutCells | None:
    """Cross-validation over cells: every cell is predicted from the others by 0, 1, 2, ... components.

    A fold takes cells spread evenly over rows and columns, and leaves two values in every column. None where
    the matrix has no room for a component, or ``repeats`` is 0.

    Args:
        values_IN: the matrix, NaN where missing. unit_N: what to divide every column by. unit: its name.
    """
    n_models, n_tasks = values_IN.shape
    top = min(largest_rank(n_models, n_tasks), 10)
    if top < 1 or n_models < 4 or repeats < 1:
        return None
    white = values_IN / np.where(unit_N > 0, unit_N, 1.0)
    held = []
    for _ in range(repeats):
        fold_IN = (rng.permutation(n_models)[:, None] + rng.permutation(n_tasks)[None, :]) % folds
        held += [fold_IN == f for f in range(folds)]
    held_BIN = np.array(held) & np.isfinite(white)
    left_BN = (np.isfinite(white) & ~held_BIN).sum(axis=1)
    held_BIN &= (left_BN >= 2)[:, None, :]
    training = np.where(held_BIN, np.nan, white)
    tested_IN = held_BIN.sum(axis=0)
    use = tested_IN > 0
    if not use.any():
        return None
    errors = []
    for k in range(top + 1):
        predicted = complete(training, k, iterations=100, tolerance=1e-3)
        squares = np.where(held_BIN, (predicted - np.nan_to_num(white)) ** 2, 0.0).sum(axis=0)
        errors.append(squares[use] / tested_IN[use])
    error_MC = np.array(errors)
    mean_M = error_MC.mean(axis=1)
    best = int(mean_M.argmin())
    count = best
    for k in range(best):
        difference = error_MC[k] - error_MC[best]
        if difference.mean() <= difference.std(ddof=1) / np.sqrt(difference.size):
            count = k
            break
    return HeldOutCells(np.sqrt(mean_M), best, count, folds, repeats, unit)


def state_count(sequential: SequentialTest | None, permutation: SequentialTest, held_out: HeldOutCells | None) -> str:
    """How many traits, in one sentence."""
    beside = "" if held_out is None else f"; held-out cells favour {held_out.count}"
    if sequential is None:
        return f"at least {permutation.count} (no standard errors; lower bound by permutation of residuals)" + beside
    if sequential.capped:
        return f"at least {sequential.count}: every component that can be tested is above the noise" + beside
    head = "no trait is" if sequential.count == 0 else f"{sequential.count} above"
    tail = " above the noise" if sequential.count == 0 else " the noise"
    return f"{head}{tail} ({sequential.method}; step level {sequential.alpha:g}){beside}"
