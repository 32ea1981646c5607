"""Studies that are unlike the usual one: units mixed, several seeds or base models, no errors, nothing but the base."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
import pandas as pd

from traitscope.effects import measure_effects
from traitscope.findings import Findings
from traitscope.matrix import ScoreMatrix

# By kind of score: metric, the base's score, error, whether higher is better.
SCORES = {
    "share": ("accuracy", 0.5, 0.02, True),
    "nats": ("loss", 2.0, 0.04, False),
    "ppl": ("perplexity", 30, 1, False),
}
SHARES = dict.fromkeys("abcd", "share")
MIXED = {"a": "share", "b": "share", "c": "share", "d": "nats", "e": "ppl"}


def study(
    tasks: dict[str, str],
    sources: Sequence[str],
    *,
    seeds: int = 1,
    bases: Sequence[str] = ("base",),
    errors: bool = True,
) -> Findings:
    """A study whose sources help their own task much, the next one some, and harm the one after.

    Args:
        tasks: kind of score by name. sources: names of tasks that are trained on.
        seeds: of every source. bases: names of base models. errors: whether scores have standard errors.
    """
    order, rows = list(tasks), []
    for base in bases:
        for source, seed in [(None, 0), *((s, k) for s in sources for k in range(seeds))]:
            for n, task in enumerate(order):
                metric, start, error, up = SCORES[tasks[task]]
                far = None if source is None else (n - order.index(source)) % len(order)
                part = {None: 0.0, 0: 0.4, 1: 0.3, 2: -0.3}.get(far, 0.01) + (0.004 * seed if source else 0.0)
                rows.append(
                    {
                        "base": base,
                        "model": "base" if source is None else f"{source}-s{seed}",
                        "source": source,
                        "seed": None if source is None else seed,
                        "task": task,
                        "metric": metric,
                        "value": start * (1 + (part if up else -part)),
                        "stderr": error if errors else np.nan,
                        "n": 600,
                        "higher_is_better": up,
                    }
                )
    table = pd.DataFrame(rows)
    table = table if len(bases) > 1 else table.drop(columns="base")
    units = {task: "fraction" if kind == "share" else "other" for task, kind in tasks.items()}
    matrix = ScoreMatrix.from_long(table, units=units)
    return Findings(name="odd", scores=matrix, effects=measure_effects(matrix, permutations=99))


@functools.cache
def mixed() -> Findings:
    """Tasks in points, in nats and in perplexity."""
    return study(MIXED, "abcde")


@functools.cache
def seeds() -> Findings:
    """Three seeds a source: claims are about them together."""
    return study(SHARES, "abcd", seeds=3)


@functools.cache
def bases() -> Findings:
    """Two base models."""
    return study(SHARES, "abcd", bases=("one", "two"))


@functools.cache
def without_errors() -> Findings:
    """Scores and no more."""
    return study(SHARES, "abcd", errors=False)


@functools.cache
def base_alone() -> Findings:
    """No adapter at all."""
    return study(SHARES, "")
