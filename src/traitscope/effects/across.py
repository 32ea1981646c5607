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
from traitscope.errors import TraitscopeError

Floats = NDArray[np.float64]
# What makes a finding of one base model the same as one of another.
KEY = ("kind", "name", "task", "detail")


def across_bases(
    effects: Mapping[str, Effects], *, alpha: float = ALPHA, combination: str = "simes", level: float = 0.95
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

    Raises:
        TraitscopeError: fewer than two base models, or nothing was tested in two of them.
    """
    bases = tuple(effects)
    if len(bases) < 2:
        raise TraitscopeError(
            "findings across base models need two of them", where="across", fix="evaluate another base model"
        )
    long = long_findings(effects, alpha)
    tested = long[long["p"].notna()]
    counts = tested.groupby(list(KEY), sort=False)["base"].nunique()
    if not (counts > 1).any():
        raise TraitscopeError(
            "no finding was tested in two base models", where="across", fix="evaluate the same tasks on both"
        )
    rows = _rows(tested, bases, alpha, combination)
    gains = _gains(long, level)
    notes = [
        "All base models answer the same examples, so their errors go together: the intervals of pooled gains speak of "
        "these examples."
    ]
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
        frame["held"] = frame.index.isin(held(frame, alpha).index)
        runs = frame.duplicated(list(KEY), keep=False)
        # Where nothing is known of runs, each seed has a finding of its own.
        frame.loc[runs, "name"] = model[runs]
        parts.append(frame.assign(base=base, none=np.where(frame["unit"] == "ratio", 1.0, 0.0)))
    columns = ["base", *KEY, "relation", "family", "value", "lo", "hi", "p", "q", "n", "unit", "held", "none"]
    return pd.concat(parts, ignore_index=True)[columns]


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


def _gains(long: pd.DataFrame, level: float) -> pd.DataFrame:
    """Gains over all base models, one row for each source and task that two of them have."""
    z = normal_quantile(level)
    rows: list[dict[str, Any]] = []
    gains = long[long["kind"] == "gain"]
    for (name, task), group in gains.groupby(["name", "task"], sort=False):
        se_B = (group["hi"] - group["lo"]).to_numpy(dtype=float) / (2 * z)
        found = random_effects(group["value"].to_numpy(dtype=float), se_B, level)
        if found.n > 1:
            first = group.iloc[0]
            rows.append(
                {
                    "name": name,
                    "task": task,
                    **{key: first[key] for key in ("relation", "family", "unit")},
                    "bases": found.n,
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
