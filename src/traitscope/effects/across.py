"""Findings across base models: which hold in how many of them, and gains over all of them together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from traitscope.effects.across_result import COLUMNS, GAIN_COLUMNS, Across
from traitscope.effects.holding import ALPHA, held
from traitscope.effects.pooling import random_effects
from traitscope.effects.replication import at_least, same_direction
from traitscope.effects.result import Effects
from traitscope.effects.significance import benjamini_hochberg, normal_quantile
from traitscope.errors import TraitscopeError, check_shares
from traitscope.matrix import ScoreMatrix
from traitscope.matrix.units import full_mark

Floats = NDArray[np.float64]
# What makes a finding of one base model the same as one of another.
KEY = ("kind", "name", "task", "detail")


def across_bases(
    effects: Mapping[str, Effects],
    *,
    alpha: float = ALPHA,
    combination: str = "simes",
    level: float = 0.95,
    scores: ScoreMatrix | None = None,
) -> Across:
    """What holds in how many base models.

    A finding is the same in two base models where kind, source (or row), task and detail are. It is held against
    "in fewer than two base models" and "not in all of them", for effects of one sign (see ``replication``); gains are
    also pooled (see ``pooling``). q is Benjamini and Hochberg's within kind and family.

    Args:
        effects: by base model, two or more.
        alpha: level at which a finding holds, and of the number of bases in which it is there at least.
        combination: of the p of the base models: "simes", "bonferroni" or "fisher".
        level: of intervals.
        scores: one matrix of all base models with example records: how far the errors of gains go together. Without
            it pooled gains take them as independent, which makes their p too small where examples are common.

    Raises:
        TraitscopeError: fewer than two base models, or nothing was tested in two of them; alpha or level not between 0
            and 1; a finding in units that cannot be brought together.
    """
    check_shares("across", alpha=alpha, level=level)
    bases = tuple(effects)
    if len(bases) < 2:
        raise TraitscopeError(
            "findings across base models need two of them", where="across", fix="evaluate another base model"
        )
    long = _one_unit(long_findings(effects, alpha))
    tested = long[long["p"].notna()]
    counts = tested.groupby(list(KEY), sort=False)["base"].nunique()
    if not (counts > 1).any():
        raise TraitscopeError(
            "no finding was tested in two base models", where="across", fix="evaluate the same tasks on both"
        )
    rows = _rows(tested, bases, alpha, combination)
    gains = _gains(long, level, {} if scores is None else gain_covariances(scores))
    notes = []
    if gains["paired"].any():
        notes.append("pooled gains: base models answered the same examples, and so far their errors go together")
    if not gains["paired"].all():
        which = "some" if gains["paired"].any() else "all"
        notes.append(
            f"pooled gains: of {which} no common example records are known, so their errors count as independent of "
            "each other; where the examples are the same, p is too small and intervals are too short"
        )
    if (lacking := [base for base in bases if base not in set(tested["base"])]) != []:
        notes.append(f"nothing was tested of {', '.join(lacking)}")
    settings = {"alpha": alpha, "combination": combination, "level": level}
    return Across(bases=bases, findings=rows, gains=gains, by_base=long, notes=tuple(notes), settings=settings)


def long_findings(effects: Mapping[str, Effects], alpha: float = ALPHA) -> pd.DataFrame:
    """All findings of all base models: base, kind, name (source, or row of a model that was not trained here), ...

    Findings of single runs of one source stand under the row's name where several of them were not averaged.
    """
    parts = []
    for base, found in effects.items():
        frame = found.findings.copy()
        source, model = frame["source"].astype(object), frame["model"].astype(object)
        frame["name"] = source.where(source.notna(), model).where(source.notna() | model.notna(), "")
        frame[["task", "detail"]] = (
            frame[["task", "detail"]].astype(object).where(frame[["task", "detail"]].notna(), "")
        )
        half = normal_quantile(float(found.settings.get("level", 0.95)))
        frame["se"] = (frame["hi"] - frame["lo"]) / (2 * half)
        frame["held"] = frame.index.isin(held(frame, alpha).index)
        runs = frame.duplicated(list(KEY), keep=False)
        # Where nothing is known of runs, each seed has a finding of its own.
        frame.loc[runs, "name"] = model[runs]
        parts.append(frame.assign(base=base, none=np.where(frame["unit"] == "ratio", 1.0, 0.0)))
    columns = ["base", *KEY, "relation", "family", "value", "lo", "hi", "se", "p", "q", "n", "unit", "held", "none"]
    return pd.concat(parts, ignore_index=True)[columns]


def _one_unit(long: pd.DataFrame) -> pd.DataFrame:
    """The same with percentages as shares where another base model has shares."""
    units = long.groupby(list(KEY), sort=False)["unit"]
    mixed = units.transform("nunique") > 1
    if not mixed.any():
        return long
    odd = long[mixed & ~long["unit"].isin(["share", "percent"])]
    if len(odd):
        row = odd.iloc[0]
        what = " on ".join(str(row[key]) for key in ("name", "task") if row[key])
        seen = long.loc[(long[list(KEY)] == row[list(KEY)]).all(axis=1), "unit"]
        raise TraitscopeError(
            f"{row['kind']} of {what}: {', '.join(dict.fromkeys(seen))} in different base models",
            where="across",
            fix="give all matrices the same unit and metric of the task",
        )
    made, turn = long.copy(), mixed & (long["unit"] == "percent")
    made.loc[turn, ["value", "lo", "hi", "se"]] *= 0.01
    made.loc[turn, "unit"] = "share"
    return made


# By name (source, or row) and task: covariance of the errors of the gains over the base models, and the examples.
Covariances = Mapping[tuple[str, str], tuple[pd.DataFrame, int]]


def gain_covariances(scores: ScoreMatrix) -> Covariances:
    """How far the errors of gains go together over base models, as shares, where all answered the same examples.

    Args:
        scores: one matrix of all base models, with records.
    """
    found: dict[tuple[str, str], tuple[pd.DataFrame, int]] = {}
    for matrix in (scores, scores.by_source()):
        noise = matrix.noise()
        if noise is None or not noise.paired:
            continue
        named = matrix.rows["source"].where(matrix.rows["source"].notna(), matrix.rows["model"])
        names = (named if matrix is not scores else matrix.rows["model"]).to_numpy()
        bases, base_I = matrix.rows["base"].to_numpy(), matrix.base_index_I
        for n, task in enumerate(matrix.tasks):
            records = matrix.records.get(task, {})
            known_I = np.array([row in records and b >= 0 and matrix.models[b] in records
                                for row, b in zip(matrix.models, base_I.tolist(), strict=True)])  # fmt: skip
            known_I &= base_I != np.arange(len(base_I))
            scale = 1 / full_mark(matrix.units[task])
            for name in dict.fromkeys(names[known_I].tolist()):
                at = np.flatnonzero(known_I & (names == name))
                both = noise.rows([*at.tolist(), *base_I[at].tolist()])
                if both.factors is not None:
                    block = both.factors.factors[n] @ both.factors.factors[n].T
                else:
                    assert both.covariance_NII is not None
                    block = both.covariance_NII[n]
                less = np.hstack([np.eye(len(at)), -np.eye(len(at))])
                if len(set(bases[at])) == len(at) > 1:
                    made = pd.DataFrame(less @ block @ less.T * scale**2, index=bases[at], columns=bases[at])
                    found[str(name), task] = made, np.asarray(records[matrix.models[at[0]]]).size
    return found


def _grids(long: pd.DataFrame, bases: tuple[str, ...], columns: tuple[str, ...]) -> tuple[pd.DataFrame, list[Floats]]:
    """One row per finding, and arrays findings x bases of some columns."""
    keys = long.drop_duplicates(list(KEY)).reset_index(drop=True)
    index = pd.MultiIndex.from_frame(keys[list(KEY)])
    at_F = index.get_indexer(pd.MultiIndex.from_frame(long[list(KEY)]))
    at_B = np.array([bases.index(base) for base in long["base"]])
    grids = []
    for column in columns:
        grid_FB = np.full((len(keys), len(bases)), np.nan)
        grid_FB[at_F, at_B] = long[column].to_numpy(dtype=float)
        grids.append(grid_FB)
    return keys, grids


def _rows(tested: pd.DataFrame, bases: tuple[str, ...], alpha: float, combination: str) -> pd.DataFrame:
    tested = tested.assign(size=tested["value"] - tested["none"])
    keys, (size_FB, p_FB, held_FB) = _grids(tested, bases, ("size", "p", "held"))
    keep_F = np.isfinite(p_FB).sum(axis=1) > 1
    keys, size_FB, p_FB, held_FB = keys[keep_F].reset_index(drop=True), size_FB[keep_F], p_FB[keep_F], held_FB[keep_F]
    n_F = np.isfinite(p_FB).sum(axis=1)
    two_F, sign_F = same_direction(p_FB, np.sign(size_FB), 2, combination)
    all_F = np.full(len(n_F), np.nan)
    for n in np.unique(n_F).tolist():
        rows = n_F == n
        all_F[rows] = same_direction(p_FB[rows], np.sign(size_FB[rows]), n, combination)[0]
    frame = pd.DataFrame(
        {
            **{key: keys[key] for key in (*KEY, "relation", "family", "unit")},
            "bases": n_F,
            "held": np.nansum(held_FB, axis=1).astype(int),
            "up": (np.nan_to_num(held_FB) * (size_FB > 0)).sum(axis=1).astype(int),
            "down": (np.nan_to_num(held_FB) * (size_FB < 0)).sum(axis=1).astype(int),
            "direction": sign_F.astype(int),
            "value": np.nanmean(size_FB, axis=1) + keys["none"].to_numpy(dtype=float),
            "at_least": at_least(p_FB, np.sign(size_FB), alpha, combination),
            "p_two": two_F,
            "q_two": np.nan,
            "p_all": all_F,
            "q_all": np.nan,
            "holds_in": [
                ", ".join(base for base, yes in zip(bases, row, strict=True) if yes == 1.0) for row in held_FB
            ],
        }
    )
    for _, part in frame.groupby(["kind", "family"], sort=False, dropna=False):
        for p, q in (("p_two", "q_two"), ("p_all", "q_all")):
            frame.loc[part.index, q] = benjamini_hochberg(part[p])
    return frame[list(COLUMNS)]


def _gains(long: pd.DataFrame, level: float, covariances: Covariances) -> pd.DataFrame:
    """Gains over all base models, one row for each source and task that two of them have."""
    rows: list[dict[str, Any]] = []
    gains = long[long["kind"] == "gain"]
    for (name, task), group in gains.groupby(["name", "task"], sort=False):
        covariance, examples = covariances.get((str(name), str(task)), (pd.DataFrame(), 0))
        paired = set(group["base"]) <= set(covariance.index)
        # Percentages that nobody brought to shares.
        scale = 1e4 if group["unit"].iloc[0] == "percent" else 1.0
        together = covariance.loc[group["base"], group["base"]].to_numpy() * scale if paired else None
        found = random_effects(group["value"], group["se"], level, together, examples)
        if found.n > 1:
            first = group.iloc[0]
            rows.append(
                {
                    "name": name,
                    "task": task,
                    **{key: first[key] for key in ("relation", "family", "unit")},
                    "bases": found.n,
                    "paired": paired,
                    "value": found.value,
                    **{key: getattr(found, key) for key in ("lo", "hi", "p")},
                    "q": np.nan,
                    **{key: getattr(found, key) for key in ("sd", "sd_lo", "sd_hi", "share", "share_lo", "share_hi")},
                    "p_differ": found.q_p,
                    "q_differ": np.nan,
                    "next_lo": found.next_lo,
                    "next_hi": found.next_hi,
                }
            )
    frame = pd.DataFrame(rows, columns=list(GAIN_COLUMNS))
    for _, part in frame.groupby("family", sort=False, dropna=False):
        for p, q in (("p", "q"), ("p_differ", "q_differ")):
            frame.loc[part.index, q] = benjamini_hochberg(part[p])
    return frame
