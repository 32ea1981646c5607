"""The whole layer analysis of a study, one task's states in memory at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from traitscope.errors import TraitscopeError
from traitscope.layers.activations import Provider, TaskActs, align
from traitscope.layers.measures import MEASURES
from traitscope.layers.options import LayerOptions
from traitscope.layers.pool import Pool
from traitscope.layers.result import LayersResult
from traitscope.layers.section_types import Sections
from traitscope.layers.sections import find_sections
from traitscope.layers.summaries import median_maps, over_tasks_table
from traitscope.layers.task_analysis import TaskLayers, analyse_task
from traitscope.ticks import ticks

__all__ = ["analyse_layers"]

_POOL = 2000


def analyse_layers(
    provider: Provider,
    tasks: Sequence[str],
    *,
    on_progress: Callable[[str, int, int], None] | None = None,
    **options: Any,
) -> LayersResult:
    """Compare base, mix and each task's control layer by layer.

    Args:
        provider: ``provider(task, models)`` gives the states of those models on the task; called once per task.
        tasks: task names in the order of the report.
        on_progress: called with (task, done, total).
        options: the fields of ``LayerOptions``, by name; ``controls`` and ``examples`` must be given.

    Raises:
        TraitscopeError: unknown measures, mismatched examples, or no task with enough rows.
    """
    asked = LayerOptions(**options)
    points = min(asked.examples, asked.points, max(5, _POOL // max(1, len(tasks))))
    seen = _Seen(Pool((asked.base, asked.mix), points, asked.seed))
    for done, task in enumerate(ticks(tasks, "layers of the tasks", len(tasks), "tasks")):
        _analyse(provider, task, asked, seen)
        if on_progress is not None:
            on_progress(task, done + 1, len(tasks))
    if not seen.found:
        raise TraitscopeError(
            f"no task has {asked.examples} usable examples: {seen.excluded}",
            where="layers.examples",
            fix="ask for fewer examples",
        )
    meta = _meta(asked, seen)
    result = LayersResult(
        table=over_tasks_table(seen.found, meta["unseen"], asked.draws, asked.seed),
        maps=median_maps(seen.found, meta["unseen"]),
        sections={},
        separability=seen.pool.separability(meta["clusters"]),
        embeddings=seen.pool.panels(asked.depths, seen.n_layers, asked.perplexity),
        meta=meta,
    )
    result.sections.update(_sections(result, asked.draws, asked.seed))
    return result


@dataclass
class _Seen:
    """What is kept of the tasks: figures, and of the states only the pool's points."""

    pool: Pool
    found: dict[str, TaskLayers] = field(default_factory=dict)
    excluded: dict[str, str] = field(default_factory=dict)
    nonfinite: dict[str, int] = field(default_factory=dict)
    n_layers: int = 0
    hidden_size: int = 0


def _analyse(provider: Provider, task: str, asked: LayerOptions, seen: _Seen) -> None:
    """One task: its sample, its figures, its points."""
    acts, reason = _sample(provider, task, asked)
    if acts is None:
        seen.excluded[task] = reason
        return
    depth, _, seen.hidden_size = acts.models[asked.base].shape
    seen.n_layers = depth - 1
    seen.nonfinite[task] = acts.n_nonfinite
    seen.found[task] = analyse_task(
        acts,
        asked.roles(task),
        measures=asked.measures,
        map_measures=asked.map_measures,
        n_null=asked.n_null,
        subsamples=asked.subsamples,
        seed=asked.seed,
        precision=asked.precision,
    )
    seen.pool.add(acts)


def _sample(provider: Provider, task: str, asked: LayerOptions) -> tuple[TaskActs, str] | tuple[None, str]:
    """The task's aligned sample, or why it has too few rows.

    The rows that are not drawn go with this call, before the work starts: with large models they are gigabytes.
    """
    given = provider(task, tuple(dict.fromkeys(asked.roles(task).values())))
    available = min(len(acts.ids) for acts in given.values())
    if available < asked.examples:
        return None, f"{available} examples, {asked.examples} are needed"
    finite = align(task, given)
    if finite.n < asked.examples:
        lost = finite.n_nonfinite
        return None, f"{lost} rows had non-finite values, {finite.n} remain of {asked.examples} needed"
    return align(task, given, n=asked.examples, seed=asked.seed), ""


def _meta(asked: LayerOptions, seen: _Seen) -> dict[str, Any]:
    """What was compared and how, as it is kept beside the figures."""
    clusters = asked.clusters or {}
    return {
        "n": asked.examples,
        "hidden_size": seen.hidden_size,
        "n_over_d": asked.examples / seen.hidden_size,
        "n_layers": seen.n_layers,
        "tasks": list(seen.found),
        "unseen": [task for task in seen.found if task in asked.unseen],
        "clusters": {task: clusters[task] for task in seen.found if task in clusters},
        "controls": {task: asked.controls[task] for task in seen.found if task in asked.controls},
        "base": asked.base,
        "mix": asked.mix,
        "excluded": seen.excluded,
        "nonfinite_rows": {task: count for task, count in seen.nonfinite.items() if count},
        "measures": {name: MEASURES.get(name).version for name in asked.measures},
        "section_measure": asked.section_measure,
        "n_null": asked.n_null,
        "draws": asked.draws,
        "points_per_task": seen.pool.points,
        "seed": asked.seed,
    }


def _sections(result: LayersResult, draws: int, seed: int) -> dict[str, Sections]:
    """Sections of all trained tasks, of each cluster, and of the unseen tasks; none where no task has a control."""
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
