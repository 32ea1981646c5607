"""Standard errors of scores measured on the same examples, from one value per example and model."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from traitscope.errors import TraitscopeError

Floats = npt.NDArray[np.float64]
# task -> model -> value per example, over the same examples for every model of the task.
Records = Mapping[str, Mapping[str, npt.ArrayLike]]


@dataclass(frozen=True, eq=False)
class PairedMeans:
    """Mean of each model over the same examples, with the covariance of those means.

    Attributes:
        models: model names, in the order of the rows.
        mean_I: mean value per model (0..1 for 0/1 records).
        covariance_II: covariance of the means over redrawn examples (diagonal: squared standard errors).
        n: number of examples shared by all models.
    """

    models: tuple[str, ...]
    mean_I: Floats
    covariance_II: Floats
    n: int


def align_records(series: Mapping[str, pd.Series]) -> dict[str, Floats]:
    """Values per model over the examples that every model has, in one order.

    Args:
        series: model -> values indexed by example id (cells of one task may have grown to different lengths).

    Raises:
        TraitscopeError: an id occurs twice in a model, or no example is common to all models.
    """
    if not series:
        return {}
    for model, values in series.items():
        if values.index.has_duplicates:
            twice = values.index[values.index.duplicated()][0]
            raise TraitscopeError(
                f"example id {twice!r} occurs twice",
                where=f"records of {model}",
                fix="give every example of a task its own id",
            )
    frames = list(series.values())
    common = frames[0].index
    for other in frames[1:]:
        if other.index is not frames[0].index:
            common = common[common.isin(other.index)]
    if len(common) == 0:
        raise TraitscopeError(
            "no example is common to all models",
            where="records of " + ", ".join(series),
            fix="evaluate the models on the same rows of the task",
        )
    return {
        model: np.asarray(values if values.index is common else values.loc[common], dtype=float)
        for model, values in series.items()
    }


def _stack(correct: Mapping[str, npt.ArrayLike]) -> tuple[tuple[str, ...], Floats]:
    """Model names and values_SI over the same examples; raises on other shapes, gaps, fewer than two."""
    models = tuple(correct)
    columns = [np.asarray(correct[m], dtype=float) for m in models]
    lengths = {m: c.shape for m, c in zip(models, columns, strict=True)}
    if len(set(lengths.values())) != 1 or any(c.ndim != 1 for c in columns):
        raise TraitscopeError(
            f"records differ in shape: {lengths}",
            where="paired records",
            fix="pass the same examples in the same order for every model (see align_records)",
        )
    values_SI = np.stack(columns, axis=1)
    if values_SI.shape[0] < 2:
        raise TraitscopeError("fewer than two examples", where="paired records", fix="evaluate more rows")
    if np.isnan(values_SI).any():
        bad = [m for m, c in zip(models, columns, strict=True) if np.isnan(c).any()]
        raise TraitscopeError(
            f"records without a value in {', '.join(bad)}",
            where="paired records",
            fix="leave out examples that have no per-example value",
        )
    return models, values_SI


def paired_means(correct: Mapping[str, npt.ArrayLike]) -> PairedMeans:
    """Means of several models over the same examples and the covariance of the means.

    Args:
        correct: model -> one value per example, the same examples in the same order for all.

    Raises:
        TraitscopeError: lengths differ, values are missing, or there are fewer than two examples.
    """
    models, values_SI = _stack(correct)
    n = values_SI.shape[0]
    covariance_II = np.atleast_2d(np.cov(values_SI, rowvar=False, ddof=1)) / n
    return PairedMeans(models, values_SI.mean(axis=0), covariance_II, n)


def bootstrap_means(
    correct: Mapping[str, npt.ArrayLike], replicates: int, rng: np.random.Generator
) -> tuple[Sequence[str], Floats]:
    """Means of all models over resampled examples; each replicate draws the same examples for every model.

    Returns:
        Model names and means_RI, one row per replicate.
    """
    models, values_SI = _stack(correct)
    n = values_SI.shape[0]
    counts_RS = rng.multinomial(n, np.full(n, 1.0 / n), size=replicates)
    return models, counts_RS @ values_SI / n


def check_records(records: Records, models: Sequence[str], tasks: Collection[str]) -> None:
    """Raise where records are of no cell of a matrix, or those of one task are not over the same examples.

    Raises:
        TraitscopeError: a task or model is not in the matrix, or arrays of one task differ in length.
    """
    for task, by_model in records.items():
        strange = set(by_model) - set(models)
        if task not in tasks or strange:
            raise TraitscopeError(
                f"records of {task} name models that are not in the matrix: {sorted(strange)}"
                if task in tasks
                else f"records of a task that is not in the matrix: {task}",
                where="records",
                fix="use the row and column names of the matrix",
            )
        if len(by_model) > 1:
            _stack(by_model)
