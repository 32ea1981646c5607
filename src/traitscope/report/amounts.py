"""Numbers as the page writes them: gains, scores and intervals, by one rule of decimals and with one sign."""

from __future__ import annotations

import numpy as np

from traitscope.effects.words import POINTS, number, span_words
from traitscope.texts import minus


def unit_of(scale: str) -> str:
    """The unit of a matrix's column ("fraction", "percent", "other") as findings name it: share, percent or score."""
    return {"fraction": "share", "percent": "percent"}.get(scale, "score")


def in_points(value: float | None, unit: str) -> float | None:
    """A value in percentage points where it is a share or a percentage, else as it is; None where it is not known."""
    return None if value is None or not np.isfinite(value) else value * POINTS.get(unit, 1.0)


def gain_text(value: float | None, unit: str) -> str:
    """A signed value: points with one decimal, else three digits; a dash where it is not known."""
    return "–" if value is None or not np.isfinite(value) else minus(number(value, unit))


def sized(value: float | None, unit: str, points: str = "") -> str:
    """The same with its unit in words.

    Args:
        points: stands behind percentage points; nothing where the column says it.
    """
    behind = points if unit in POINTS else "" if unit == "score" else unit
    text = gain_text(value, unit)
    return f"{text} {behind}" if behind and text != "–" else text


def span_text(lo: float | None, hi: float | None, unit: str) -> str:
    """An interval; empty where an end is not known."""
    return minus(span_words(lo, hi, unit))


def score_text(value: float, unit: str) -> str:
    """A score: shares and percentages as percentages with one decimal, else four digits; empty where there is none."""
    if not np.isfinite(value):
        return ""
    if unit in POINTS:
        return minus(number(value, unit, signed=False))
    return minus(f"{value + 0.0:{'.0f' if 9999.5 <= abs(value) < 1e7 else '.4g'}}")
