"""Findings as JSON text: one format number per kind of finding, tables column by column, numbers exactly."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd


def dump_findings(payload: Mapping[str, Any], form: int) -> str:
    """JSON text of a payload without NaN or infinity, its format number first."""
    return json.dumps({"format": form, **payload}, indent=1, ensure_ascii=False, allow_nan=False)


def load_findings(text: str, form: int, what: str) -> dict[str, Any]:
    """The payload that :func:`dump_findings` wrote, without the format number.

    Raises:
        ValueError: the text was written by another format version.
    """
    payload: dict[str, Any] = json.loads(text)
    found = payload.pop("format", None)
    if found != form:
        raise ValueError(f"format {found!r} of {what} is not {form}: compute them again with this version")
    return payload


def plain(value: Any) -> Any:
    """A cell of a table as JSON has it; numbers that are not finite become None."""
    if isinstance(value, Mapping):
        return {name: plain(inner) for name, inner in value.items()}
    if value is None or value is pd.NA:
        return None
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def table_to_json(table: pd.DataFrame) -> dict[str, Any]:
    """Column by column, which is a third of the size of row by row."""
    return {
        "columns": list(table.columns),
        "rows": len(table),
        "data": [[plain(v) for v in table[column].astype(object)] for column in table.columns],
    }


def table_from_json(stored: Mapping[str, Any]) -> pd.DataFrame:
    """What :func:`table_to_json` wrote; None in a column of numbers becomes NaN."""
    series = {
        name: pd.Series(values, dtype=object if any(isinstance(v, str | dict) for v in values) else None)
        for name, values in zip(stored["columns"], stored["data"], strict=True)
    }
    frame = pd.DataFrame(series, columns=list(stored["columns"]))
    if "seed" in frame.columns:
        frame["seed"] = frame["seed"].astype("Int64")
    for column in ("value", "lo", "hi", "p", "q"):
        if column in frame.columns and not frame[column].map(lambda v: isinstance(v, str)).any():
            frame[column] = frame[column].astype(float)
    return frame
