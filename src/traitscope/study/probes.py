"""Short trainings of every source, in a folder of their own: ``probes/`` of the run folder, a run folder itself.

A probe runs through the whole schedule in a share of the steps. It costs what the first steps of the long training
would, its learning rate has come down at its end, and it is an adapter like any other: planned, kept, resumed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from traitscope.config import ResolvedSource, SourceConfig, StudyConfig
from traitscope.study.context import Context

Floats = NDArray[np.float64]
FOLDER = "probes"
SHARE, FEWEST_STEPS = 1 / 8, 16
# Of the intervals that error variances are read from.
LEVEL = 0.95


def reach(level: float) -> float:
    """Standard deviations from the middle of a normal interval to its end."""
    from scipy.stats import norm

    return float(norm.ppf(0.5 + level / 2))


def plain_sources(config: StudyConfig) -> list[ResolvedSource]:
    """The sources that a choice is made among: controls are none."""
    return [source for source in config.resolved_sources() if source.control is None]


def steps_of(source: ResolvedSource, rows: int) -> int:
    """Optimiser steps of a source's training."""
    steps = source.recipe.epochs * math.ceil(rows / source.recipe.batch)
    return steps if source.recipe.max_steps is None else min(steps, source.recipe.max_steps)


def probe_share(source: ResolvedSource, rows: int) -> float:
    """Share of its steps that a source's short training takes: an eighth, but ``FEWEST_STEPS`` at least.

    Fewer steps have hardly left the warm-up: they rank sources no better than chance.
    """
    steps = steps_of(source, rows)
    return min(1.0, max(round(SHARE * steps), FEWEST_STEPS) / steps)


def probe_config(study: Context) -> StudyConfig:
    """The study of the short trainings: the same sources and targets, one seed each."""
    config = study.config
    entries = []
    for source in plain_sources(config):
        rows = study.data.n_train(source.task)
        steps = round(probe_share(source, rows) * steps_of(source, rows))
        given = source.recipe.model_dump()
        changes = {key: value for key, value in given.items() if value != getattr(config.recipe, key)}
        changes |= {"max_steps": steps, "seeds": source.recipe.seeds[:1]}
        entries.append(SourceConfig(name=source.name, task=source.task, **changes))
    found = config.model_copy(
        update={
            "study": f"{config.study}-probes",
            "sources": tuple(entries),
            "controls": {},
            "mixes": {},
            "models": {},
            "layers": None,
            "report_to": (),
        }
    )
    return found.with_root(config.root)


def paired_gains(
    study: Context, rows: Mapping[str, slice], looked_at: Mapping[str, Mapping[str, int]] | None = None
) -> tuple[Floats, Floats]:
    """Gain over the base of every source's first seed on every target, on the same rows, in the primary metric.

    Args:
        study: with cells of the base and of some of the sources.
        rows: task -> the rows that count.
        looked_at: source -> task -> first rows beyond which nothing of that cell counts; cells not named do not count.
            None: all of ``rows``.

    Returns:
        gain_IN and its error variance; NaN where a cell is no transfer, or lacks rows.
    """
    from traitscope.effects.alignment import build_panels
    from traitscope.effects.grid import Grid
    from traitscope.effects.measure import primary_change
    from traitscope.study.analysis import CellRecords, choice_classes, scores

    names = {f"{s.name}-s{s.recipe.seeds[0]}": i for i, s in enumerate(plain_sources(study.config))}
    targets = study.config.target_names()
    gain_IN, variance_IN = (np.full((len(names), len(targets)), np.nan) for _ in range(2))
    if study.score_table().empty:
        return gain_IN, variance_IN
    matrix = scores(study)
    kept = [model for model in matrix.models if model == "base" or model in names]
    grid = Grid.of(matrix.select(models=kept))
    wanted = {("base", task): part for task, part in rows.items()}
    for source in plain_sources(study.config):
        for task, part in rows.items():
            most = None if looked_at is None else looked_at.get(source.name, {}).get(task, 0)
            if most is None or most > (part.start or 0):
                ends = [end for end in (part.stop, most) if end is not None]
                wanted[f"{source.name}-s{source.recipe.seeds[0]}", task] = slice(part.start, min(ends, default=None))
    records = CellRecords(study, wanted)
    for panel in build_panels(grid, records, choice_classes(study), level=LEVEL, seed=0, replicates=500):
        change = primary_change(panel)
        if change is None:
            continue
        n = targets.index(panel.task)
        for m in panel.others:
            if panel.relation(m) == "transfer":
                i = names[grid.models[panel.rows[m]]]
                gain_IN[i, n] = change.value[m]
                # An interval that is never a point: rows that all agree are no certainty.
                variance_IN[i, n] = ((change.hi[m] - change.lo[m]) / (2 * reach(LEVEL))) ** 2
    return gain_IN, variance_IN
