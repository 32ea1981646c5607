"""How often things are repeated on large matrices, and how much of a stack of them is held at a time.

Up to ``LARGE`` cells everything is done as it was asked for. Beyond, repetitions become fewer in proportion, and what
hardly depends on a single row or cell of so many is taken from the whole matrix; ``size_note`` says so with the result.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from scipy.linalg import eigh

from traitscope.matrix.noise import LARGE

Floats = npt.NDArray[np.float64]

# Numbers of a stack of matrices that are held at a time.
HELD = 4_000_000
# Folds, permutations, replicates and rows left out that even the largest matrix has.
FEWEST_FOLDS, FEWEST_PERMUTATIONS, FEWEST_REPLICATES, FEWEST_LEFT_OUT = 2, 39, 40, 40
# A simulation of which none reaches the observed value in so many has p = .05.
SIMULATED_LARGE = 49
# Cells that directions are counted among; of more, evenly spread rows stand for all.
MOST_COUNTED = 50_000
# Directions that are tried one after the other: where told errors are too small, every one would pass.
MOST_DIRECTIONS = 20


def is_large(n_models: int, n_tasks: int) -> bool:
    """Whether a matrix has more than ``LARGE`` cells."""
    return n_models * n_tasks > LARGE


def repetitions(asked: int, shape: tuple[int, ...], fewest: int) -> int:
    """How many of the repetitions that were asked for a matrix of this shape gets."""
    cells = shape[-2] * shape[-1]
    return asked if cells <= LARGE else min(asked, max(fewest, asked * LARGE // cells))


def rows_counted(n_models: int, n_tasks: int) -> int:
    """Among how many of the rows directions are counted."""
    return n_models if n_models * n_tasks <= MOST_COUNTED else max(MOST_COUNTED // n_tasks, 50)


def portions(count: int, shape: tuple[int, ...]) -> Iterator[int]:
    """``count`` matrices in portions of at most ``HELD`` numbers."""
    most = max(1, HELD // (shape[-2] * shape[-1]))
    for start in range(0, count, most):
        yield min(most, count - start)


def singular_values(matrix_BIN: Floats) -> Floats:
    """Singular values of matrices, largest first; those of large ones from the products of their smaller side."""
    if not is_large(*matrix_BIN.shape[-2:]):
        return np.asarray(np.linalg.svd(matrix_BIN, compute_uv=False), dtype=np.float64)
    return np.sqrt(np.clip(np.linalg.eigvalsh(smaller_gram(matrix_BIN))[..., ::-1], 0.0, None))


def smaller_gram(matrix_BIN: Floats) -> Floats:
    """Products of the columns with each other, or of the rows where these are fewer."""
    turned = np.swapaxes(matrix_BIN, -1, -2)
    return turned @ matrix_BIN if matrix_BIN.shape[-2] > matrix_BIN.shape[-1] else matrix_BIN @ turned


def leading_components(matrix_IN: Floats, k: int) -> tuple[Floats, Floats, Floats]:
    """The k largest components U, s and V' of one large matrix, from the products of its smaller side."""
    gram = smaller_gram(matrix_IN)
    squares, vectors = eigh(gram, subset_by_index=[len(gram) - k, len(gram) - 1])
    singular, vectors = np.sqrt(np.clip(squares[::-1], 1e-300, None)), vectors[:, ::-1]
    if matrix_IN.shape[0] > matrix_IN.shape[1]:
        return matrix_IN @ vectors / singular, singular, vectors.T
    return vectors, singular, (vectors / singular).T @ matrix_IN


def size_note(shape: tuple[int, ...], permutations: int, replicates: int, left_out: int) -> str | None:
    """What was shortened for a matrix of this shape; None where nothing was.

    Args:
        permutations, replicates, left_out: of such as were asked for, or would all be done.
    """
    if not is_large(*shape):
        return None
    return (
        f"{shape[0] * shape[1]} cells are more than {LARGE}: {repetitions(permutations, shape, FEWEST_PERMUTATIONS)} "
        f"permutations, {repetitions(replicates, shape, FEWEST_REPLICATES)} replicates, "
        f"{min(left_out, FEWEST_LEFT_OUT)} models and tasks left out one at a time, some of the ten folds"
        + (f", counted among {rows_counted(*shape)} evenly spread models" if rows_counted(*shape) < shape[0] else "")
    )
