"""Matrices made from a matrix: means over training seeds, and parts of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from traitscope.errors import TraitscopeError
from traitscope.matrix.core import ScoreMatrix
from traitscope.matrix.noise import SeedNoise
from traitscope.matrix.table import row_labels


def mean_over_seeds(scores: ScoreMatrix) -> ScoreMatrix:
    """One row per base model and source, named after the source; other rows unchanged.

    The value is the mean over seeds. Its standard error is that of the records averaged over seeds where they
    are known and have the value as their mean, else the root mean square of the seeds' (they share their
    examples, so averaging may shrink nothing).
    """
    table = scores.table
    if not scores.predicted:
        table = table[table["status"] != "predicted"]
    labels = row_labels(table)
    trained = table["source"].notna()
    if not trained.any():
        return scores
    single = table[~trained]
    squares = table[trained].assign(variance=table["stderr"] ** 2, known=table["stderr"].notna())
    grouped = squares.groupby(["base", "source", "task", "metric"], sort=False, dropna=False)
    merged = grouped.agg(
        value=("value", "mean"),
        variance=("variance", "mean"),
        known=("known", "all"),
        n=("n", "min"),
        status=("status", "first"),
        higher_is_better=("higher_is_better", "first"),
        primary=("primary", "first"),
    ).reset_index()
    merged["stderr"] = np.sqrt(merged["variance"]).where(merged["known"])
    merged["model"] = merged["source"].astype(str)
    merged["seed"] = pd.NA
    order = {name: i for i, name in enumerate(scores.models)}
    first_row = labels[trained].groupby([table["base"][trained], table["source"][trained]]).first().to_dict()
    rank_merged = [
        order[first_row[(base, source)]] for base, source in zip(merged["base"], merged["source"], strict=True)
    ]
    rank = pd.concat([labels[~trained].map(order), pd.Series(rank_merged, dtype=float)], ignore_index=True)
    both = pd.concat([single, merged[list(single.columns)].astype(single.dtypes.to_dict())], ignore_index=True)
    # A stable sort keeps tasks in their order within each row.
    both = both.iloc[np.argsort(rank.to_numpy(dtype=float), kind="stable")].reset_index(drop=True)

    result = ScoreMatrix(
        table=both,
        base_name=scores.base_name,
        metrics=scores.metrics,
        units=scores.units,
        tags=scores.tags,
        predicted=scores.predicted,
        notes=scores.notes,
    )
    seeds = scores.rows.groupby(["base", "source"], dropna=False).size()
    rows = result.rows
    seeds_I = np.array(
        [
            0.0 if pd.isna(source) else float(seeds.loc[(base, source)])
            for base, source in zip(rows["base"], rows["source"], strict=True)
        ]
    )
    known = scores.seed_variance
    noise = None if known is None else SeedNoise(known.variance_N, known.df_N, seeds_I)
    records = _mean_records(scores, result)
    table = result.table.copy()
    for task, by_model in records.items():
        top = 100.0 if scores.units[task] == "percent" else 1.0
        n = result.tasks.index(task)
        for model, sample in by_model.items():
            i = result.models.index(model)
            if len(sample) > 1 and abs(top * sample.mean() - result.scores_IN[i, n]) < 1e-6 * top:
                at = (row_labels(table) == model) & (table["task"] == task)
                at &= table["metric"] == result.metrics[task]
                table.loc[at, "stderr"] = top * sample.std(ddof=1) / np.sqrt(len(sample))
    return replace(result, table=table, seed_noise=noise, records=records)


def _mean_records(scores: ScoreMatrix, result: ScoreMatrix) -> dict[str, dict[str, np.ndarray]]:
    """Records of the merged rows: per example the mean over the seeds of a source."""
    rows = scores.rows
    several = scores.table["base"].nunique() > 1
    target = {}
    for name, base, source in zip(rows.index, rows["base"], rows["source"], strict=True):
        merged = str(name) if pd.isna(source) else (f"{base}/{source}" if several else str(source))
        target[str(name)] = merged
    out: dict[str, dict[str, np.ndarray]] = {}
    for task, by_model in scores.records.items():
        gathered: dict[str, list[np.ndarray]] = {}
        for model, values in by_model.items():
            if model in target:
                gathered.setdefault(target[model], []).append(np.asarray(values, dtype=float))
        out[task] = {name: np.mean(parts, axis=0) for name, parts in gathered.items() if name in result.models}
    return out


def select(scores: ScoreMatrix, models: Sequence[str] | None, tasks: Sequence[str] | None) -> ScoreMatrix:
    """The same matrix with some rows and columns only, in their old order.

    Raises:
        TraitscopeError: a name is not in the matrix.
    """
    for given, known, word in ((models, scores.models, "model"), (tasks, scores.tasks, "task")):
        strange = [name for name in given or () if name not in known]
        if strange:
            raise TraitscopeError(
                f"no {word} named {', '.join(strange)}; there are: {', '.join(known[:30])}",
                where="select",
                fix=f"use the {word} names of the matrix",
            )
    table = scores.table
    seed_noise = scores.seed_noise
    kept_tasks = [t for t in scores.tasks if tasks is None or t in tasks]
    if models is not None:
        table = table[row_labels(table).isin(list(models))]
        if seed_noise is not None:
            keep = [i for i, m in enumerate(scores.models) if m in models]
            seed_noise = replace(seed_noise, seeds_I=seed_noise.seeds_I[keep])
    if tasks is not None:
        table = table[table["task"].isin(kept_tasks)]
        if seed_noise is not None:
            at = [scores.tasks.index(t) for t in kept_tasks]
            seed_noise = replace(seed_noise, variance_N=seed_noise.variance_N[at], df_N=seed_noise.df_N[at])
    return replace(
        scores,
        table=table.reset_index(drop=True),
        metrics={t: scores.metrics[t] for t in kept_tasks},
        base_name=scores.base_name if (table["model"] == scores.base_name).any() else None,
        records={t: scores.records[t] for t in kept_tasks if t in scores.records},
        seed_noise=seed_noise,
    )
