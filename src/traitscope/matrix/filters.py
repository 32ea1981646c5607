"""Row filters written as text: ``epoch=10``, ``lora=False,NA``, ``data_size>=1000``."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from fnmatch import fnmatchcase

import pandas as pd

from traitscope.errors import TraitscopeError
from traitscope.matrix.numbers import read_numbers

_FILTER = re.compile(r"^\s*(?P<column>.+?)\s*(?P<sign>!=|>=|<=|=|>|<)\s*(?P<value>.*?)\s*$")


def _is_one_of(column: pd.Series, words: Sequence[str], decimal: str) -> pd.Series:
    """Rows equal to one of the words, as numbers or as text (shell patterns allowed); NA is an empty cell."""
    hit = pd.Series(False, index=column.index)
    text = column.astype(object).where(column.notna(), "").astype(str)
    numbers = None if column.dtype == bool else pd.Series(read_numbers(column, decimal).values, index=column.index)
    for word in words:
        if word == "NA":
            hit |= column.isna()
            continue
        number = pd.to_numeric(word, errors="coerce")
        if numbers is not None and pd.notna(number):
            hit |= numbers == number
        if word.lower() in ("true", "false"):
            hit |= text.str.lower() == word.lower()
        hit |= text.map(lambda t, word=word: t == word or fnmatchcase(t, word)).astype(bool) & column.notna()
    return hit


def filtered_columns(filters: Sequence[str]) -> set[str]:
    """The columns that filters name."""
    return {match["column"] for text in filters if (match := _FILTER.match(text)) is not None}


def apply_filters(frame: pd.DataFrame, filters: Sequence[str], where: str, decimal: str = ".") -> pd.DataFrame:
    """Rows of the frame that pass every filter, with the index they had.

    Args:
        filters: as typed; their numbers have a decimal point, and what holds a comma stands in double quotes.
        decimal: the decimal sign of the frame's text.

    Raises:
        TraitscopeError: a filter cannot be read, names no column, compares text by size, or leaves no row.
    """
    for text in filters:
        match = _FILTER.match(text)
        if match is None:
            raise TraitscopeError(
                f"cannot read the filter {text!r}",
                where=f"{where}, where",
                fix="write column=value, column=a,b, column!=value or column>=number",
            )
        name, sign, value = match["column"], match["sign"], match["value"]
        if name not in frame.columns:
            raise TraitscopeError(
                f"no column {name!r}; columns: {', '.join(map(str, frame.columns))}",
                where=f"{where}, where",
                fix="name an existing column",
            )
        column = frame[name]
        if sign in ("=", "!="):
            keep = _is_one_of(
                column, [word.strip() for word in next(csv.reader([value], skipinitialspace=True), [""])], decimal
            )
            keep = ~keep if sign == "!=" else keep
        else:
            numbers = pd.Series(read_numbers(column, decimal).values, index=column.index)
            try:
                limit = float(value)
            except ValueError:
                limit = float("nan")
            if numbers.isna().all() or limit != limit:
                raise TraitscopeError(
                    f"{text!r} compares something that is not a number",
                    where=f"{where}, where",
                    fix="use = or != for text",
                )
            keep = {
                ">=": numbers >= limit,
                "<=": numbers <= limit,
                ">": numbers > limit,
                "<": numbers < limit,
            }[sign]
        if not keep.any():
            seen = ", ".join(dict.fromkeys(str(v) for v in column))[:200]
            raise TraitscopeError(
                f"no row passes {text!r}; values of {name}: {seen}",
                where=f"{where}, where",
                fix="check the value",
            )
        frame = frame[keep]
    return frame
