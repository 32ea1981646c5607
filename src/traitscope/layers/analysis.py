"""The whole layer analysis of a study, one task's states in memory at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd

from traitscope.errors import TraitscopeError
from traitscope.layers.activations import Acts, Provider, TaskActs, align
from traitscope.layers.embedding import Embedding, tsne
from traitscope.layers.measures import MEASURES
from traitscope.layers.representation import Precision
from traitscope.layers.result import LayersResult
from traitscope.layers.section_types import Sections
from traitscope.layers.sections import find_sections
from traitscope.layers.separability import separability
from traitscope.layers.summaries import median_maps, over_tasks_table
from traitscope.layers.task_analysis import TaskLayers, analyse_task

__all__ = ["DEFAULT_MEASURES", "analyse_layers"]

DEFAULT_MEASURES = ("cka", "cka_z", "cka_top", "cka_biased", "cka_rbf", "knn", "rsa", "procrustes")

_POOL = 2000
_SIMPLE_DEPTHS = 5


def analyse_layers(
    provider: Provider,
    tasks: Sequence[str],
    *,
    controls: Mapping[str, str],
    examples: int,
    base: str = "base",
    mix: str = "mix",
    seconds: Mapping[str, str] | None = None,
    clusters: Mapping[str, str] | None = None,
    unseen: Sequence[str] = (),
    measures: Sequence[str] = DEFAULT_MEASURES,
    map_measures: Sequence[str] = ("cka",),
    section_measure: str = "cka",
    depths: Sequence[int] | Literal["five", "all"] = "five",
    points: int = 40,
    perplexity: float = 30.0,
    n_null: int = 40,
    draws: int = 1000,
    subsamples: int = 0,
    seed: int = 0,
    precision: Precision = "auto",
    on_progress: Callable[[str, int, int], None] | None = None,
) -> LayersResult:
    """Compare base, mix and each task's control layer by layer.

    Args:
        provider: ``provider(task, models)`` gives the states of those models on the task; called once per
            task.
        tasks: task names in the order of the report.
        controls: by task, the model trained on that task alone; tasks without one get spectra and maps of
            base and mix only.
        examples: rows per task, the same for all (a seeded sample); a task with fewer is excluded and listed
            with its reason.
        base, mix: model names. seconds: by task, the control's other seed (the ceiling).
        clusters: cluster of each task. unseen: tasks held out of the mix; analysed apart.
        measures, map_measures: registry names; the latter also give layer x layer maps.
        section_measure: the similarity that the section rule reads; one of ``measures``.
        depths: layers with t-SNE panels: five evenly spaced ones, all, or a list.
        points: points per task for separability and t-SNE (lowered so that at most about 2,000 are pooled).
        perplexity: of t-SNE. n_null: re-orderings of the permutation null. draws: bootstrap resamples of
            tasks.
        subsamples: half-samples for intervals over examples of measures without a jackknife (0: none).
        seed: seed of every draw. precision: of the Gram matrices. on_progress: called with (task, done,
            total).

    Raises:
        TraitscopeError: unknown measures, mismatched examples, or no task with enough rows.
    """
    for name in (*measures, *map_measures, section_measure):
        MEASURES.get(name, where="layers.measures")
    for name in (*map_measures, section_measure):
        if name not in measures:
            raise TraitscopeError(
                f"{name!r} is not among the measures", where="analyse_layers", fix=f"add {name!r} to measures"
            )
    points = min(examples, points, max(5, _POOL // max(1, len(tasks))))
    found: dict[str, TaskLayers] = {}
    excluded: dict[str, str] = {}
    pooled: dict[str, list[np.ndarray]] = {base: [], mix: []}
    removed: dict[str, int] = {}
    shape = (0, 0)
    for done, task in enumerate(tasks):
        roles = {"base": base, "mix": mix}
        if task in controls:
            roles["control"] = controls[task]
            if seconds and task in seconds:
                roles["second"] = seconds[task]
        given = provider(task, tuple(dict.fromkeys(roles.values())))
        acts, reason = _usable(task, given, examples, seed)
        # The rows that were not drawn go before the work starts: with large models they are gigabytes.
        del given
        if acts is None:
            excluded[task] = reason
        else:
            removed[task] = acts.n_nonfinite
            shape = (acts.models[base].shape[0] - 1, acts.models[base].shape[2])
            found[task] = analyse_task(
                acts,
                roles,
                measures=measures,
                map_measures=map_measures,
                n_null=n_null,
                subsamples=subsamples,
                seed=seed,
                precision=precision,
            )
            picked = np.sort(np.random.default_rng([seed, 1, *task.encode()]).choice(examples, points, replace=False))
            for model, parts in pooled.items():
                parts.append(acts.models[model][:, picked].astype(np.float32))
        del acts
        if on_progress is not None:
            on_progress(task, done + 1, len(tasks))
    if not found:
        raise TraitscopeError(
            f"no task has {examples} usable examples: {excluded}",
            where="layers.examples",
            fix="ask for fewer examples",
        )
    n_layers, hidden_size = shape
    held_out = [task for task in found if task in set(unseen)]
    table = over_tasks_table(found, held_out, draws, seed)
    labels = [task for task in found for _ in range(points)]
    meta: dict[str, Any] = {
        "n": examples,
        "hidden_size": hidden_size,
        "n_over_d": examples / hidden_size,
        "n_layers": n_layers,
        "tasks": list(found),
        "unseen": held_out,
        "clusters": {task: clusters[task] for task in found if clusters and task in clusters},
        "controls": {task: controls[task] for task in found if task in controls},
        "base": base,
        "mix": mix,
        "excluded": excluded,
        "nonfinite_rows": {task: count for task, count in removed.items() if count},
        "measures": {name: MEASURES.get(name).version for name in measures},
        "section_measure": section_measure,
        "n_null": n_null,
        "draws": draws,
        "points_per_task": points,
        "seed": seed,
    }
    result = LayersResult(
        table=table,
        maps=median_maps(found, held_out),
        sections={},
        separability=_separability(pooled, labels, meta["clusters"], seed),
        embeddings=_panels(pooled, labels, depths, n_layers, perplexity, seed),
        meta=meta,
    )
    result.sections.update(_sections(result, draws, seed))
    return result


def _usable(task: str, given: Mapping[str, Acts], examples: int, seed: int) -> tuple[TaskActs, str] | tuple[None, str]:
    """The task's aligned sample, or why it has too few rows."""
    available = min(len(acts.ids) for acts in given.values())
    if available < examples:
        return None, f"{available} examples, {examples} are needed"
    finite = align(task, given)
    if finite.n < examples:
        lost = finite.n_nonfinite
        return None, f"{lost} rows had non-finite values, {finite.n} remain of {examples} needed"
    return align(task, given, n=examples, seed=seed), ""


def _separability(
    pools: Mapping[str, list[np.ndarray]], labels: Sequence[str], clusters: Mapping[str, str], seed: int
) -> pd.DataFrame:
    rows = []
    for model, parts in pools.items():
        for layer in range(len(parts[0])):
            x_PD = _at(parts, layer)
            kinds: list[tuple[str, np.ndarray, list[str], list[str] | None]] = [("task", x_PD, list(labels), None)]
            inside = [i for i, task in enumerate(labels) if task in clusters]
            if inside:
                own = [labels[i] for i in inside]
                kinds.append(("cluster", x_PD[inside], [clusters[task] for task in own], own))
            for kind, x, names, groups in kinds:
                figures = separability(x, names, groups, seed=seed).to_json()
                rows.append({"model": model, "layer": layer, "labels": kind, **figures})
    return pd.DataFrame(rows)


def _panels(
    pools: Mapping[str, list[np.ndarray]],
    labels: Sequence[str],
    depths: Sequence[int] | Literal["five", "all"],
    n_layers: int,
    perplexity: float,
    seed: int,
) -> tuple[Embedding, ...]:
    if depths == "all":
        chosen = list(range(1, n_layers + 1))
    elif depths == "five":
        chosen = sorted({round(1 + (n_layers - 1) * i / (_SIMPLE_DEPTHS - 1)) for i in range(_SIMPLE_DEPTHS)})
    else:
        chosen = [int(layer) for layer in depths]
        if any(not 0 <= layer <= n_layers for layer in chosen):
            raise TraitscopeError(
                f"layers {chosen} for t-SNE", where="layers.depths", fix=f"choose within 0..{n_layers}"
            )
    if len(labels) < 8:
        return ()
    panels = []
    for layer in chosen:
        for model, parts in pools.items():
            x_PD = _at(parts, layer)
            if float(np.ptp(x_PD, axis=0).max()) > 0:
                panels.append(tsne(x_PD, labels, model=model, layer=layer, perplexity=perplexity, seed=seed))
    return tuple(panels)


def _at(parts: Sequence[np.ndarray], layer: int) -> np.ndarray:
    return np.concatenate([part_LPD[layer] for part_LPD in parts])


def _sections(result: LayersResult, draws: int, seed: int) -> dict[str, Sections]:
    """Sections of all trained tasks, of each cluster, and of the unseen tasks; none where no task has a
    control."""
    with_control = set(result.meta["controls"])
    trained = [t for t in result.tasks if t in with_control and t not in result.meta["unseen"]]
    groups: dict[str, list[str]] = {"all tasks": trained}
    cluster_of = result.meta["clusters"]
    sizes = Counter(cluster_of[t] for t in trained if t in cluster_of)
    if len(sizes) > 1:
        groups |= {f"cluster {c}": [t for t in trained if cluster_of.get(t) == c] for c in sizes}
    groups["unseen tasks"] = [t for t in result.meta["unseen"] if t in with_control]
    if result.meta["n_layers"] < 6:
        return {}
    return {
        label: find_sections(result.section_curves(tasks=group), label=label, draws=draws, seed=seed)
        for label, group in groups.items()
        if group
    }
