"""One finding of the effects, and how its numbers are put into words."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, fields

import numpy as np
import pandas as pd

from traitscope.effects.significance import benjamini_hochberg

NAN = float("nan")
# Units shown as percentage points, and what turns a value into them.
POINTS = {"share": 100.0, "percent": 1.0}


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One number with its interval and test.

    Attributes:
        kind: the family of findings it belongs to; q corrects over all of one kind.
        model, source, seed, task: where it holds; None where it holds over several.
        detail: the class, tag, control or pair it is about.
        value, lo, hi: the number and its interval.
        unit: of the three.
        n: examples (or cells) behind it.
        p: two-sided, against no effect; NaN where no test is made.
        interval: how the interval was made.
        sentence: the finding in words, with its numbers.
    """

    kind: str
    value: float
    sentence: str
    model: str | None = None
    source: str | None = None
    seed: int | None = None
    task: str | None = None
    detail: str = ""
    lo: float = NAN
    hi: float = NAN
    unit: str = ""
    n: int = 0
    p: float = NAN
    interval: str = ""


COLUMNS = (*(f.name for f in fields(Finding) if f.name != "sentence"), "q", "looked_at", "sentence")
TEXT = ("kind", "model", "source", "task", "detail", "unit", "interval", "sentence")


def findings_frame(found: Iterable[Finding]) -> pd.DataFrame:
    """All findings as a table, with q (Benjamini-Hochberg in the kind) and how many were looked at."""
    names = [f.name for f in fields(Finding)]
    frame = pd.DataFrame([[getattr(item, name) for name in names] for item in found], columns=names)
    for name in ("value", "lo", "hi", "p"):
        frame[name] = frame[name].astype(float)
    frame["seed"] = pd.array([None if s is None or s != s else int(s) for s in frame["seed"]], dtype="Int64")
    frame["n"] = frame["n"].astype("int64")
    for name in TEXT:
        frame[name] = frame[name].astype(object).where(frame[name].notna(), None)
    frame["q"] = np.nan
    frame["looked_at"] = 0
    for _, index in frame.groupby("kind", sort=False).groups.items():
        p = frame.loc[index, "p"].to_numpy()
        frame.loc[index, "q"] = benjamini_hochberg(p)
        frame.loc[index, "looked_at"] = int(np.isfinite(p).sum())
    return frame[list(COLUMNS)]


def number(value: float, unit: str = "share", *, signed: bool = True) -> str:
    """A value in words: shares as percentage points, all with three significant digits."""
    if value is None or not math.isfinite(value):
        return "unknown" if value is None or math.isnan(value) else ("infinite" if value > 0 else "-infinite")
    sign = "+" if signed else ""
    if unit in POINTS:
        return f"{POINTS[unit] * value:{sign}.1f}"
    return f"{value:{sign}.3g}"


def span(lo: float, hi: float, unit: str = "share", *, signed: bool = True) -> str:
    """An interval in square brackets."""
    return f"[{number(lo, unit, signed=signed)}, {number(hi, unit, signed=signed)}]"


def words(unit: str) -> str:
    """What stands behind a number of this unit in a sentence."""
    return "points" if unit in POINTS else unit


def p_words(p: float) -> str:
    """A p-value in words."""
    if not math.isfinite(p):
        return "p not known"
    return f"p = {p:.2g}" if p >= 1e-4 else "p < 0.0001"
