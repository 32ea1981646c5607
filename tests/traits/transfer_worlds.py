"""Transfer matrices as a study makes them: binomial cells, planted directions, own tasks, seeds, holes, broken rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from traitscope.matrix import ScoreMatrix

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class TransferWorld:
    """A measured matrix and its truth.

    Attributes:
        scores: as measured, through the public constructors; the first row is the base.
        loadings_KN: the planted directions.
        broken: names of the rows with degenerate answers.
    """

    scores: ScoreMatrix
    loadings_KN: Floats
    broken: tuple[str, ...]


def transfer_world(
    n_models: int,
    n_tasks: int,
    k: int,
    rng: np.random.Generator,
    *,
    own: float = 0.0,
    missing: float = 0.0,
    broken: int = 0,
    alike: bool = False,
    seeds: int = 1,
    run_sd: float = 0.0,
    n: int = 200,
    ratio: float = 2.0,
    apart: float = 1.5,
    stderr: bool = True,
) -> TransferWorld:
    """A base and sources named after tasks (the rest after none), each cell the mean of n 0/1 answers.

    The smallest direction has ``ratio`` times the singular value that the cells' noise alone would reach, each
    other one ``apart`` times the next. A broken row gives shares of right answers that have nothing to do
    with them, two that are ``alike`` the same ones.
    """
    level_N = rng.uniform(0.35, 0.75, n_tasks)
    variance = float((level_N * (1 - level_N)).mean() / n) + run_sd**2
    edge = (np.sqrt(n_models - 1) + np.sqrt(n_tasks)) * np.sqrt(variance / seeds)
    share_IN = np.broadcast_to(level_N, (n_models, n_tasks)).copy()
    right_NK = np.zeros((n_tasks, 0))
    if k:
        left_IK = rng.standard_normal((n_models, k))
        left_IK, _ = np.linalg.qr(left_IK - left_IK.mean(axis=0))
        right_NK, _ = np.linalg.qr(rng.standard_normal((n_tasks, k)))
        share_IN += (left_IK * (ratio * edge * apart ** np.arange(k)[::-1])) @ right_NK.T
    names = ["base", *(f"t{i}" if i < n_tasks else f"x{i}" for i in range(n_models - 1))]
    bad = sorted(rng.choice(np.arange(1, n_models), broken, replace=False).tolist())
    for i in bad:
        share_IN[i] = share_IN[bad[0]] if alike and i != bad[0] else rng.uniform(0.05, 0.5, n_tasks)
    for i in range(1, min(n_models, n_tasks + 1)):
        share_IN[i, i - 1] += own
    hole_IN = rng.random((n_models, n_tasks)) < missing
    rows = []
    for i, name in enumerate(names):
        for seed in range(seeds if i else 1):
            run_N = run_sd * rng.standard_normal(n_tasks) if i else np.zeros(n_tasks)
            value_N = rng.binomial(n, np.clip(share_IN[i] + run_N, 0.01, 0.99)) / n
            for task in np.flatnonzero(~hole_IN[i]):
                rows.append(
                    {
                        "model": name if seeds == 1 or not i else f"{name}-s{seed}",
                        "source": name if i else None,
                        "seed": seed if i else None,
                        "task": f"t{task}",
                        "value": value_N[task],
                        "n": n,
                        "stderr": np.sqrt(max(value_N[task] * (1 - value_N[task]), 0.25 / n) / n) if stderr else None,
                    }
                )
    # A task that nobody has seen yet keeps its place.
    table = pd.DataFrame(rows).sort_values("task", key=lambda c: c.str[1:].astype(int), kind="stable")
    scores = ScoreMatrix.from_long(table, units="fraction")
    order = [int(task[1:]) for task in scores.tasks]
    return TransferWorld(scores, right_NK.T[:, order], tuple(names[i] for i in bad))
