"""How many traits: what each way of counting found, its sentence, and the ways that need no standard errors."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from traitscope.ticks import ticks
from traitscope.traits.missing import complete, largest_rank
from traitscope.traits.null import Blocks, permuted
from traitscope.traits.sizes import (
    FEWEST_FOLDS,
    FEWEST_PERMUTATIONS,
    is_large,
    portions,
    repetitions,
    smaller_gram,
)

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class SequentialTest:
    """One component after the other against the noise that the components before it leave over.

    Attributes:
        singular_M: largest singular value that each step found (permutation: singular values of the matrix).
        p_J: p of each step taken; the last one is the first that failed, if any did.
        edge_J: what noise alone reaches at each step (its 1 - alpha quantile).
        count: components that passed. alpha: level. draws: most simulated matrices (or permutations) of a step.
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
    """Prediction of held-out cells by 0, 1, 2, ... components.

    Attributes:
        rmse_M: root mean squared error for k = 0 (column means), 1, ..., in the unit named.
        best: the k with the smallest error.
        count: components that help to predict: with known errors those that gain more than in simulated matrices
            without them, else the smallest k within one standard error of the best.
        p_J: p of each component tried; none without known errors.
        folds, repeats: how the cells were held out. unit: "noise" or "column standard deviations".
    """

    rmse_M: Floats
    best: int
    count: int
    p_J: Floats
    folds: int
    repeats: int
    unit: str


@dataclass(frozen=True, eq=False)
class TraitCount:
    """The number of traits, and what may be said of it.

    Attributes:
        supported: directions above the measurement noise (k of the headline); without standard errors the lower bound.
        sequential: the steps of the bootstrap behind it; None without standard errors.
        held_out: prediction of held-out cells; None where the matrix is too small.
        permutation: sequential permutation of residuals, the lower bound; None where standard errors are known.
        outlying: rows low on most tasks and unlike the rest, left out of fit and count.
        with_outlying: the count with them; None where there are none.
        statement: the headline.
    """

    supported: int
    sequential: SequentialTest | None
    held_out: HeldOutCells | None
    permutation: SequentialTest | None
    outlying: tuple[str, ...]
    with_outlying: int | None
    statement: str

    @property
    def predictive(self) -> int | None:
        """How many of the supported help to predict held-out cells (m of the headline); None where not known."""
        return None if self.held_out is None else min(self.held_out.count, self.supported)


def _projected_largest(noise_RIN: Floats, left_IK: Floats, right_KN: Floats) -> tuple[Floats, Floats]:
    """Largest singular value and energy of noise matrices with directions projected out of both sides."""
    rest = noise_RIN - left_IK @ (left_IK.T @ noise_RIN)
    rest = rest - (rest @ right_KN.T) @ right_KN
    squares = np.linalg.eigvalsh(smaller_gram(rest))
    return np.sqrt(np.clip(squares[:, -1], 0.0, None)), np.clip(squares, 0.0, None).sum(axis=1)


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


def sequential_permutation(
    centred_IN: Floats,
    *,
    permutations: int,
    rng: np.random.Generator,
    alpha: float = 0.05,
    blocks: Blocks | None = None,
) -> SequentialTest:
    """A lower bound on the number of traits without standard errors: permuting the residuals of k components.

    Step k permutes every column of what k components leave, projects those components out again (Vitale et
    al. 2017, J. Chemometrics 31:e2937), and compares the share of the remaining variance that the next
    component takes. In simulations it seldom finds too many (about 5 %) and often too few at 11 x 10. A large matrix
    is permuted less often (``sizes``). Rows that were centred together are permuted among each other (``blocks``).
    """
    permutations = repetitions(permutations, centred_IN.shape, FEWEST_PERMUTATIONS)
    spread_N = centred_IN.std(axis=0)
    white = centred_IN / np.where(spread_N > 1e-12, spread_N, 1.0)
    left, singular, right = np.linalg.svd(white, full_matrices=False)
    energy_M = np.array([(singular[k:] ** 2).sum() for k in range(len(singular))])

    def steps() -> Iterator[tuple[float, Floats]]:
        rows, columns = centred_IN.shape
        top = largest_rank(rows - (0 if blocks is None else len(blocks) - 1), columns)
        for k in ticks(range(top), "traits above the noise", top):
            rest = white - (left[:, :k] * singular[:k]) @ right[:k]
            found = []
            for size in portions(permutations, rest.shape):
                draws = permuted(np.broadcast_to(rest, (size, *rest.shape)), rng, blocks)
                found.append(_projected_largest(draws, left[:, :k], right[:k]))
            null_R, null_energy_R = (np.concatenate(parts) for parts in zip(*found, strict=True))
            if energy_M[k] <= 1e-12 * energy_M[0] or energy_M[k] == 0.0:
                return
            yield singular[k] ** 2 / energy_M[k], null_R**2 / np.maximum(null_energy_R, 1e-300)

    method = "permutation of residuals"
    found = _one_after_the_other(steps(), singular, centred_IN.shape, alpha, permutations, method)
    # The steps compare shares of what is left; the edge is shown as a singular value.
    return replace(found, edge_J=np.sqrt(found.edge_J * energy_M[: len(found.edge_J)]))


def folds_of_cells(
    known_IN: npt.NDArray[np.bool_], rng: np.random.Generator, folds: int, repeats: int
) -> npt.NDArray[np.bool_] | None:
    """Cells to hold out, [folds * repeats, I, N], each fold spread evenly over rows and columns.

    Every fold leaves two values in every column. None where there is no room for a component, or ``repeats`` is 0.
    """
    n_models, n_tasks = known_IN.shape
    if largest_rank(n_models, n_tasks) < 1 or n_models < 4 or repeats < 1:
        return None
    held = []
    for _ in range(repeats):
        fold_IN = (rng.permutation(n_models)[:, None] + rng.permutation(n_tasks)[None, :]) % folds
        held += [fold_IN == f for f in range(folds)]
    held_FIN = np.array(held) & known_IN
    held_FIN &= ((known_IN & ~held_FIN).sum(axis=1) >= 2)[:, None, :]
    return held_FIN if held_FIN.any() else None


def held_out_cells(
    values_IN: Floats,
    unit_N: Floats,
    unit: str,
    *,
    rng: np.random.Generator,
    folds: int = 10,
    repeats: int = 3,
) -> HeldOutCells | None:
    """Cross-validation over cells whose errors are not known, by 0, 1, 2, ... components (regularised iterative PCA).

    None where ``folds_of_cells`` finds no folds.

    Args:
        values_IN: the matrix, NaN where missing. unit_N: what to divide every column by. unit: its name.
    """
    top = min(largest_rank(*values_IN.shape), 10)
    white = values_IN / np.where(unit_N > 0, unit_N, 1.0)
    held_BIN = folds_of_cells(np.isfinite(white), rng, folds, repeats)
    if held_BIN is None:
        return None
    held_BIN = held_BIN[: repetitions(len(held_BIN), white.shape, FEWEST_FOLDS)]
    tested_IN = held_BIN.sum(axis=0)
    use = tested_IN > 0
    errors: list[Floats] = []
    for k in ticks(range(top + 1), "traits that predict", top + 1):
        squares, done = np.zeros_like(white), 0
        for size in portions(len(held_BIN), white.shape):
            held = held_BIN[done : done + size]
            predicted = complete(np.where(held, np.nan, white), k, iterations=100, tolerance=1e-3)
            squares += np.where(held, (predicted - np.nan_to_num(white)) ** 2, 0.0).sum(axis=0)
            done += size
        errors.append(squares[use] / tested_IN[use])
        if is_large(*white.shape) and k > 1 and errors[-1].mean() > errors[-2].mean() > errors[-3].mean():
            break
    error_MC = np.array(errors)
    mean_M = error_MC.mean(axis=1)
    best = int(mean_M.argmin())
    count = best
    for k in range(best):
        difference = error_MC[k] - error_MC[best]
        if difference.mean() <= difference.std(ddof=1) / np.sqrt(difference.size):
            count = k
            break
    return HeldOutCells(np.sqrt(mean_M), best, count, np.zeros(0), folds, repeats, unit)
