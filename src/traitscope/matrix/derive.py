"""Means over training seeds and parts of a score matrix: their long tables, records and seed noise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from numbers import Real

import numpy as np
import numpy.typing as npt
import pandas as pd

from traitscope.errors import TraitscopeError
from traitscope.matrix.cell_errors import record_stderr
from traitscope.matrix.noise import SeedNoise
from traitscope.matrix.paired import Records
from traitscope.matrix.roles import TRAINED, Role
from traitscope.matrix.table import row_labels
from traitscope.matrix.units import full_mark

Floats = npt.NDArray[np.float64]


MOST_DEVIATION = 1e9
"""Between runs, in a task's own unit: beyond it squares of deviations and of scores no longer fit one number."""


def merge_seeds(table: pd.DataFrame, models: Sequence[str]) -> pd.DataFrame:
    """One row per base model and source, named after the source; other rows unchanged.

    The value is the mean over seeds, the standard error the root mean square of the seeds' (they share their
    examples, so averaging may shrink nothing).

    Args:
        table: the long table.
        models: its row names in order; a source stands where its first seed stood.
    """
    labels = row_labels(table)
    trained = table["source"].notna()
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
    order = {name: i for i, name in enumerate(models)}
    first_row = labels[trained].groupby([table["base"][trained], table["source"][trained]]).first().to_dict()
    rank_merged = [
        order[first_row[(base, source)]] for base, source in zip(merged["base"], merged["source"], strict=True)
    ]
    rank = pd.concat([labels[~trained].map(order), pd.Series(rank_merged, dtype=float)], ignore_index=True)
    both = pd.concat([single, merged[list(single.columns)].astype(single.dtypes.to_dict())], ignore_index=True)
    # A stable sort keeps tasks in their order within each row.
    return both.iloc[np.argsort(rank.to_numpy(dtype=float), kind="stable")].reset_index(drop=True)


def sum_seeds(rows: pd.DataFrame, scores_IN: Floats, seeds_IN: Floats, merged_rows: pd.DataFrame) -> Floats:
    """Seeds averaged in each cell of the merged rows, [I, N]; 0 in rows without a source.

    Args:
        rows: ``base`` and ``source`` of each row before merging. merged_rows: those of each row after it.
        scores_IN: NaN where a cell before merging is missing. seeds_IN: seeds that each of them is a mean over.
    """
    there_IN = np.where(np.isfinite(scores_IN), seeds_IN, 0.0)
    sums = {key: there_IN[at].sum(axis=0) for key, at in rows.groupby(["base", "source"]).indices.items()}
    none_N = np.zeros(seeds_IN.shape[1])
    return np.array([sums.get(key, none_N) for key in zip(merged_rows["base"], merged_rows["source"], strict=True)])


def mean_records(records: Records, rows: pd.DataFrame, merged_models: Sequence[str]) -> dict[str, dict[str, Floats]]:
    """Records of the merged rows: per example the mean over the seeds of a source."""
    several = rows["base"].nunique() > 1
    target = {}
    for name, base, source in zip(rows.index, rows["base"], rows["source"], strict=True):
        merged = str(name) if pd.isna(source) else (f"{base}/{source}" if several else str(source))
        target[str(name)] = merged
    out: dict[str, dict[str, Floats]] = {}
    kept = set(merged_models)
    for task, by_model in records.items():
        gathered: dict[str, list[Floats]] = {}
        for model, values in by_model.items():
            if model in target:
                gathered.setdefault(target[model], []).append(np.asarray(values, dtype=float))
        out[task] = {name: np.mean(parts, axis=0) for name, parts in gathered.items() if name in kept}
    return out


def stderr_of_records(
    table: pd.DataFrame, metrics: Mapping[str, str], units: Mapping[str, str], records: Records
) -> pd.DataFrame:
    """The long table with the records' standard errors where the records have the value as their mean."""
    shown = (table["metric"] == table["task"].map(dict(metrics))).to_numpy()
    place: dict[tuple[str, str], list[int]] = {}
    for at, key in enumerate(zip(table["task"], row_labels(table), strict=True)):
        if shown[at]:
            place.setdefault(key, []).append(at)
    values, stderr = (table[name].to_numpy(dtype=float, na_value=np.nan, copy=True) for name in ("value", "stderr"))
    for task, by_model in records.items():
        top = full_mark(units[task])
        for model, sample in by_model.items():
            lines = place.get((task, model), [])
            found = record_stderr(sample, units[task])
            off = values[lines] - top * float(np.asarray(sample, dtype=float).mean())
            if found is not None and (np.abs(off) < 1e-6 * top).all():
                stderr[lines] = found
    return table.assign(stderr=stderr)


def check_names(wanted: Sequence[str] | None, known: Sequence[str], word: str) -> None:
    """Raise for a model or task that is not in the matrix."""
    strange = [name for name in wanted or () if name not in known]
    if strange:
        raise TraitscopeError(
            f"no {word} named {', '.join(strange)}; there are: {', '.join(known[:30])}",
            where="select",
            fix=f"use the {word} names of the matrix",
        )


def known_seed_noise(
    sd: float | Mapping[str, float],
    tasks: Sequence[str],
    units: Mapping[str, str],
    roles_I: Sequence[Role],
    averaged: SeedNoise | None = None,
) -> SeedNoise:
    """The seed noise of a known standard deviation between runs (see ``ScoreMatrix.with_run_sd``).

    Args:
        sd, tasks, units: the deviation, and what it is of. roles_I: what the rows are.
        averaged: the seed noise there was: it says how many seeds a row is a mean over; None: one.
    """
    where = "run_sd"
    for value in sd.values() if isinstance(sd, Mapping) else (sd,):
        if not _is_deviation(value):
            raise TraitscopeError(f"{value!r} is no standard deviation", where=where, fix="write a number above 0")
        most = MOST_DEVIATION if isinstance(sd, Mapping) else 100.0
        if value > most:
            raise TraitscopeError(
                f"{value:g} is more than any deviation between runs", where=where, fix=f"write at most {most:g}"
            )
    if isinstance(sd, Mapping):
        check_names(list(sd), tasks, "task")
        lacking = [task for task in tasks if task not in sd]
        by_task = {task: float(value) for task, value in sd.items()}
    else:
        lacking = [task for task in tasks if units[task] == "other"]
        by_task = {task: float(sd) / 100.0 * full_mark(units[task]) for task in tasks if task not in lacking}
    if lacking:
        raise TraitscopeError(
            f"the deviation between runs is not known for {', '.join(lacking[:10])}",
            where=where,
            fix="give it by task, in each task's own unit",
        )
    sd_N = np.array([by_task[task] for task in tasks])
    trained_I = np.array([float(role.kind in TRAINED) for role in roles_I])
    seeds_IN = np.repeat(trained_I[:, None], len(tasks), axis=1) if averaged is None else averaged.seeds_IN
    return SeedNoise(sd_N**2, np.full(len(tasks), np.inf), seeds_IN)


def _is_deviation(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, Real):
        return False
    return 0.0 < float(value) < np.inf


def part_of_seed_noise(noise: SeedNoise | None, rows: Sequence[int], columns: Sequence[int]) -> SeedNoise | None:
    """The seed noise of some rows and columns, given by their indices."""
    if noise is None:
        return None
    at_N, seeds_IN = list(columns), noise.seeds_IN[np.ix_(rows, columns)]
    return replace(noise, variance_N=noise.variance_N[at_N], df_N=noise.df_N[at_N], seeds_IN=seeds_IN)
