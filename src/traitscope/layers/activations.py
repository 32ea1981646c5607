"""Hidden states of several models on one task, brought to the same rows.

A provider hands over one task at a time, so that memory holds one task's states. What leaves here has the
same examples in the same order for every model, no row with a non-finite value in any of them, and the same
number of rows as every other task.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from traitscope.errors import TraitscopeError

__all__ = ["Acts", "Provider", "TaskActs", "align", "per_model"]


@dataclass(frozen=True, slots=True)
class Acts:
    """One model's hidden states on one task.

    Attributes:
        ids: one stable example id per row of the S axis.
        acts_LSD: float array, layers x examples x hidden size; index 0 holds the embeddings, index l the
            output of block l before the final norm.
    """

    ids: tuple[str, ...]
    acts_LSD: np.ndarray


Provider = Callable[[str, Sequence[str]], Mapping[str, Acts]]
"""``provider(task, models)`` returns the hidden states of those models on that task; it is called once per task."""


@dataclass(frozen=True, slots=True)
class TaskActs:
    """Aligned hidden states of one task: ``models[name]`` is acts_LSD over the rows ``ids``.

    ``n_given`` rows came in, ``n_nonfinite`` of them were removed jointly from all models.
    """

    task: str
    ids: tuple[str, ...]
    models: dict[str, np.ndarray]
    n_given: int
    n_nonfinite: int

    @property
    def n(self) -> int:
        """Rows used."""
        return len(self.ids)

    @property
    def n_over_d(self) -> float:
        """Rows per feature, n / D: below about 10 the biased CKA of unrelated states is far from 0."""
        return self.n / next(iter(self.models.values())).shape[2]


def per_model(capture: Callable[[str, str], Acts]) -> Provider:
    """Turn a function of (model, task) into a provider."""

    def provider(task: str, models: Sequence[str]) -> Mapping[str, Acts]:
        return {model: capture(model, task) for model in models}

    return provider


def align(task: str, given: Mapping[str, Acts], *, n: int | None = None, seed: int = 0) -> TaskActs:
    """Check that all models saw the same examples, remove non-finite rows jointly and draw ``n`` rows.

    Args:
        task: the task's name, used in messages and in the seed of the sample.
        given: hidden states by model name; every array acts_LSD with the same L and S, and D by model.
        n: rows to draw without replacement (the same rows for every model); all remaining ones if None.
        seed: seed of the sample; rows keep their order.

    Raises:
        TraitscopeError: ids differ in number or order, shapes do not fit, ids repeat, or fewer than ``n`` rows remain.
    """
    if not given:
        raise TraitscopeError("no hidden states were given", where=f"layers: {task}", fix="capture at least one model")
    first_name, first = next(iter(given.items()))
    n_layers = first.acts_LSD.shape[0] if first.acts_LSD.ndim == 3 else -1
    for name, acts in given.items():
        where = f"layers: {task}: {name}"
        if acts.acts_LSD.ndim != 3 or acts.acts_LSD.shape[1] != len(acts.ids):
            raise TraitscopeError(
                f"hidden states have shape {acts.acts_LSD.shape} for {len(acts.ids)} ids",
                where=where,
                fix="pass acts_LSD (layers, examples, hidden size) with one id per example",
            )
        if acts.acts_LSD.shape[0] != n_layers:
            raise TraitscopeError(
                f"{acts.acts_LSD.shape[0]} layers, but {first_name} has {n_layers}",
                where=where,
                fix="compare models of the same depth",
            )
        if acts.ids != first.ids:
            raise TraitscopeError(
                _first_difference(acts.ids, first.ids, first_name),
                where=where,
                fix="capture every model on the same examples in the same order",
            )
    if len(set(first.ids)) != len(first.ids):
        raise TraitscopeError("example ids repeat", where=f"layers: {task}", fix="give every example its own id")

    finite_S = np.ones(len(first.ids), dtype=bool)
    for acts in given.values():
        for layer_SD in acts.acts_LSD:
            # A row's sum is finite only where every value is, unless finite values overflow: then it is
            # looked at in full.
            suspect_S = ~np.isfinite(layer_SD.sum(axis=1, dtype=np.float64))
            if suspect_S.any():
                finite_S[suspect_S] &= np.isfinite(layer_SD[suspect_S]).all(axis=1)
    rows = np.flatnonzero(finite_S)
    n_nonfinite = len(first.ids) - len(rows)
    if n is not None:
        if len(rows) < n:
            raise TraitscopeError(
                f"{len(rows)} of {len(first.ids)} rows remain ({n_nonfinite} not finite), {n} are needed",
                where=f"layers: {task}",
                fix=f"set layers.examples to {len(rows)} or less, or add examples to the task",
            )
        rng = np.random.default_rng([seed, *task.encode()])
        rows = np.sort(rng.choice(rows, size=n, replace=False))
    keep_all = len(rows) == len(first.ids)
    return TaskActs(
        task=task,
        ids=tuple(first.ids[i] for i in rows),
        models={name: acts.acts_LSD if keep_all else acts.acts_LSD[:, rows] for name, acts in given.items()},
        n_given=len(first.ids),
        n_nonfinite=n_nonfinite,
    )


def _first_difference(ids: Sequence[str], reference: Sequence[str], name: str) -> str:
    if len(ids) != len(reference):
        return f"{len(ids)} examples, but {name} has {len(reference)}"
    position = next(i for i, (a, b) in enumerate(zip(ids, reference, strict=True)) if a != b)
    return f"example {position} is {ids[position]!r}, but {reference[position]!r} for {name}"
