"""One task: every comparison of its models at every layer, from Gram matrices computed once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from traitscope.layers.activations import TaskActs
from traitscope.layers.cka import Interval
from traitscope.layers.measures import CosineMeasure, Measure, measure_named, subsample_interval, value_of
from traitscope.layers.representation import Precision, Representation
from traitscope.layers.spectrum import SPECTRUM_NAMES, spectrum
from traitscope.plugins import calling, number

__all__ = ["PAIRS", "TaskLayers", "analyse_task"]

PAIRS = (("mix", "control"), ("base", "control"), ("mix", "base"), ("control", "second"))
"""Roles compared at the same layer: the two curves of the rule, what tuning changed, the two-seed ceiling."""

_MAP_ROWS = 1000


@dataclass
class TaskLayers:
    """Results of one task.

    Attributes:
        rows: long-table rows (measure, pair, layer, task, value, low, high, status, reason).
        null: by (measure, pair): values under re-ordered examples, shape [L, P].
        maps: by (measure, pair): layer x layer values, shape [L, L], first role along the first axis.
    """

    rows: list[dict[str, Any]] = field(default_factory=list)
    null: dict[tuple[str, str], np.ndarray] = field(default_factory=dict)
    maps: dict[tuple[str, str], np.ndarray] = field(default_factory=dict)


def analyse_task(
    acts: TaskActs,
    roles: Mapping[str, str],
    *,
    measures: Sequence[str],
    map_measures: Sequence[str] = (),
    n_null: int = 20,
    subsamples: int = 0,
    seed: int = 0,
    precision: Precision = "auto",
) -> TaskLayers:
    """Similarities, nulls, maps and spectra of one task.

    Args:
        acts: aligned states.
        roles: model name by role: ``base``, ``mix``, and where they exist ``control`` and ``second`` (its other seed).
        measures: registry names. map_measures: those of them that also give layer x layer maps.
        n_null: re-orderings of the control's examples per layer (the same ones at every layer).
        subsamples: half-samples for an interval over examples where a measure has no jackknife; 0 leaves it undefined.
        seed: seed of the re-orderings and half-samples. precision: of the Gram matrices, see `linear_gram`.
    """
    out = TaskLayers()
    states = {role: acts.models[model] for role, model in roles.items()}
    depth = len(next(iter(states.values())))
    pairs = [pair for pair in PAIRS if pair[0] in states and pair[1] in states]
    entries = [measure_named(name) for name in measures]
    rng = np.random.default_rng([seed, *acts.task.encode()])
    orders_PS = (
        np.stack([rng.permutation(acts.n) for _ in range(n_null)]) if n_null else np.empty((0, acts.n), dtype=int)
    )
    vectors: dict[tuple[str, str], list[np.ndarray]] = {}
    null: dict[tuple[str, str], list[np.ndarray]] = {}
    for layer in range(depth):
        reps: dict[tuple[str, str], Representation] = {}
        for entry in entries:
            item, sides = entry.value, {}
            for role, acts_LSD in states.items():
                key = (role, item.variant)
                if key not in reps:
                    reps[key] = Representation(acts_LSD[layer], precision=precision, variant=item.variant)
                sides[role] = reps[key]
            with calling("measure", entry, f"task {acts.task}, layer {layer}"):
                _same_layer(out, acts.task, layer, item, sides, pairs, subsamples, seed)
                _null(null, item, sides, pairs, orders_PS)
                if item.name in map_measures and isinstance(item, CosineMeasure):
                    for role, rep in sides.items():
                        part = rep if rep.n <= _MAP_ROWS else rep.rows(np.arange(_MAP_ROWS))
                        vectors.setdefault((item.name, role), []).append(item.embed(part).ravel().astype(np.float32))
            for rep in sides.values():
                rep.embedded.clear()
        _spectra(out, acts.task, layer, states, reps, precision)
    out.null = {key: np.stack(values) for key, values in null.items()}
    for name in dict.fromkeys(name for name, _ in vectors):
        for first, second in pairs:
            a, b = np.stack(vectors[name, first]), np.stack(vectors[name, second])
            out.maps[name, f"{first}~{second}"] = (a @ b.T).astype(np.float64)
    return out


def _same_layer(
    out: TaskLayers,
    task: str,
    layer: int,
    item: Measure,
    sides: Mapping[str, Representation],
    pairs: Sequence[tuple[str, str]],
    subsamples: int,
    seed: int,
) -> None:
    for first, second in pairs:
        a, b = sides[first], sides[second]
        value, low, high = item.interval(a, b)
        interval = Interval(value_of(value), number(low), number(high))
        if subsamples and a.n >= 8 and np.isfinite(interval.value) and not np.isfinite(interval.low):
            interval = subsample_interval(item, a, b, draws=subsamples, seed=seed)
        reason = next((f"{role}: {r.undefined}" for role, r in ((first, a), (second, b)) if r.undefined), None)
        if reason is None and not np.isfinite(interval.value):
            alone = [role for role, rep in ((first, a), (second, b)) if not np.isfinite(item.compare(rep, rep))]
            reason = f"{' and '.join(alone) or 'both'}: no similarity with itself here (one example alone may differ)"
        out.rows.append(_row(item.name, f"{first}~{second}", layer, task, *interval, reason))


def _row(
    measure: str, pair: str, layer: int, task: str, value: float, low: float, high: float, reason: str | None
) -> dict[str, Any]:
    return {
        "measure": measure,
        "pair": pair,
        "layer": layer,
        "task": task,
        "value": value,
        "low": low,
        "high": high,
        "status": "ok" if reason is None else "undefined",
        "reason": reason,
    }


def _null(
    null: dict[tuple[str, str], list[np.ndarray]],
    item: Measure,
    sides: Mapping[str, Representation],
    pairs: Sequence[tuple[str, str]],
    orders_PS: np.ndarray,
) -> None:
    firsts = [first for first, second in pairs if second == "control"]
    if not firsts or not len(orders_PS):
        return
    values = np.asarray(item.null([sides[first] for first in firsts], sides["control"], orders_PS))
    if values.shape != (len(firsts), len(orders_PS)) or values.dtype.kind not in "iuf":
        raise ValueError(f"its null has shape {values.shape} for {len(firsts)} sides and {len(orders_PS)} orders")
    for first, values_P in zip(firsts, values, strict=True):
        null.setdefault((item.name, f"{first}~control"), []).append(values_P)


def _spectra(
    out: TaskLayers,
    task: str,
    layer: int,
    states: Mapping[str, np.ndarray],
    reps: Mapping[tuple[str, str], Representation],
    precision: Precision,
) -> None:
    nan = float("nan")
    for role, acts_LSD in states.items():
        if role == "second":
            continue
        rep = reps.get((role, "raw")) or Representation(acts_LSD[layer], precision=precision)
        figures = spectrum(rep, acts_LSD[layer]).to_json()
        for name in SPECTRUM_NAMES:
            value = figures[name]
            reason = None if np.isfinite(value) else rep.undefined or "a state has norm 0"
            out.rows.append(_row(name, role, layer, task, value, nan, nan, reason))
