"""Gains of sources (their seeds averaged) on tasks, with what is known of their error."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from traitscope.effects.gains import GainReplicates
from traitscope.effects.grid import Grid

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class SourceGain:
    """Gain of one source on one task, its standard error over examples (NaN if unknown), its replicates."""

    value: float
    stderr: float
    replicates_R: Floats | None
    seeds: int
    unit: str


SourceGains = dict[tuple[int, str, str], SourceGain]


def source_gains(
    grid: Grid, replicates: GainReplicates, observed: dict[tuple[str, str], tuple[float, str]]
) -> SourceGains:
    """Gains by (base row, source, task), averaged over the seeds of the source; controls included.

    Args:
        grid: names, roles and the gains of the matrix.
        replicates: bootstrap replicates of paired gains by (model, task); their mean error is used where all
            seeds have them.
        observed: paired gain and its unit by (model, task); it takes the place of the matrix's where known.
    """
    found: SourceGains = {}
    for (b, source), rows in grid.by_source(controls=True).items():
        for n, task in enumerate(grid.tasks):
            keys = [(grid.models[i], task) for i in rows]
            paired = [key for key in keys if key in observed]
            if paired:
                value = float(np.mean([observed[key][0] for key in paired]))
                reps = np.mean([replicates[key] for key in paired], axis=0, dtype=float)
                stderr = float(reps.std(ddof=1))
                found[b, source, task] = SourceGain(value, stderr, reps, len(paired), observed[paired[0]][1])
                continue
            gains = grid.gains_IN[rows, n]
            known = np.isfinite(gains)
            if known.any():
                # The base's error is common to the seeds, so it does not shrink with their number.
                stderr = float(np.sqrt(np.mean(grid.gain_stderr_IN[rows, n][known] ** 2)))
                unit = grid.unit(int(n))
                found[b, source, task] = SourceGain(float(gains[known].mean()), stderr, None, int(known.sum()), unit)
    return found
