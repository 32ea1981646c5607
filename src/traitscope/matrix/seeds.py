"""Means over training seeds: one row per source, with what the seeds add to its error."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from traitscope.matrix.core import ScoreMatrix
from traitscope.matrix.noise import SeedNoise


def mean_over_seeds(scores: ScoreMatrix) -> ScoreMatrix:
    """One row per base model and source, named after the source; other rows unchanged.

    The value is the mean over seeds, its standard error the root mean square of theirs (the seeds share their
    examples, so averaging does not shrink it) or, with records, that of the records averaged over seeds.
    """
    table = scores.table
    if not scores.predicted:
        table = table[table["status"] != "predicted"]
    labels = scores._labels(table)
    trained = table["source"].notna()
    single = table[~trained]
    grouped = table[trained].groupby(["base", "source", "task", "metric"], sort=False, dropna=False)
    merged = grouped.agg(
        value=("value", "mean"),
        stderr=("stderr", lambda se: float(np.sqrt(np.mean(np.square(se)))) if se.notna().all() else np.nan),
        n=("n", "min"),
        status=("status", "first"),
        higher_is_better=("higher_is_better", "first"),
        primary=("primary", "first"),
    ).reset_index()
    merged["model"] = merged["source"].astype(str)
    merged["seed"] = pd.NA
    order = {name: i for i, name in enumerate(scores.models)}
    first_row = labels[trained].groupby([table["base"][trained], table["source"][trained]]).first()
    rank_merged = [
        order[first_row[(base, source)]]
        for base, source in zip(merged["base"], merged["source"], strict=True)
    ]
    rank = pd.concat([labels[~trained].map(order), pd.Series(rank_merged, dtype=float)], ignore_index=True)
    both = pd.concat(
        [single, merged[list(single.columns)].astype(single.dtypes.to_dict())], ignore_index=True
    )
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
    return replace(result, seed_noise=noise, records=_mean_records(scores, result))


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
        out[task] = {
            name: np.mean(parts, axis=0) for name, parts in gathered.items() if name in result.models
        }
    return out
