"""Numbers in words, and templates of sentences filled with them."""

from __future__ import annotations

import math
import string
from collections.abc import Mapping
from typing import Any

# Units shown as percentage points, and what turns a value into them.
POINTS = {"share": 100.0, "percent": 1.0}


def number(value: float | None, unit: str = "share", *, signed: bool = True) -> str:
    """A value in words: shares as percentage points with a decimal, all else with three significant digits.

    Thousands are written out, and what rounds to zero has no minus.
    """
    if value is None or not math.isfinite(value):
        return "unknown" if value is None or math.isnan(value) else ("infinite" if value > 0 else "-infinite")
    sign = "+" if signed else ""
    if unit in POINTS:
        return f"{round(POINTS[unit] * value, 1) + 0.0:{sign}.1f}"
    digits = ".0f" if 999.5 <= abs(value) < 1e7 else ".3g"
    return f"{value + 0.0:{sign}{digits}}"


def p_words(p: float) -> str:
    """A p-value in words."""
    if not math.isfinite(p):
        return "p not known"
    return f"p = {p:.2g}" if p >= 1e-4 else "p < 0.0001"


def span_words(lo: float | None, hi: float | None, unit: str) -> str:
    """An interval in words; empty where an end is not known."""
    if lo is None or hi is None or math.isnan(lo) or math.isnan(hi):
        return ""
    return f"[{number(lo, unit)}, {number(hi, unit)}]"


def error_words(span: str, p: float) -> str:
    """The p-value in words; where neither it nor the interval is known, that the error is not."""
    return p_words(p) if span or math.isfinite(p) else "error not known"


def in_words(template: str, fields: Mapping[str, Any]) -> str:
    """A template filled with the fields of a finding.

    ``{name:unit}`` is a number in that unit, ``{name:+unit}`` one with its sign, ``{name:#task}`` a count of tasks,
    ``{name:.1f}`` Python's own format. Besides the fields there are ``{size}`` (the value), ``{span}`` (its
    interval), ``{points}`` (what stands behind a number of the finding's unit) and ``{test}`` (its p). An interval that
    is not known is left out with the blank before it.
    """
    unit = fields["unit"]
    span = span_words(fields["lo"], fields["hi"], unit)
    made = {
        "size": number(fields["value"], unit),
        "span": span,
        "points": "points" if unit in POINTS else unit,
        "test": error_words(span, fields["p"]),
    }
    return _Template().vformat(template if span else template.replace(" {span}", ""), (), {**fields, **made})


class _Template(string.Formatter):
    def format_field(self, value: Any, format_spec: str) -> str:
        if not format_spec:
            return str(value)
        if format_spec.startswith("#"):
            return f"{value} {format_spec[1:]}" + ("" if value == 1 else "s")
        if format_spec.endswith("f") and "." in format_spec:
            return format(value, format_spec)
        return number(value, format_spec.removeprefix("+"), signed=format_spec.startswith("+"))
