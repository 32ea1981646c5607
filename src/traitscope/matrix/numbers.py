"""Cells of a file as numbers: decimal point or comma, thousands, percent signs, and what stands for no number."""

from __future__ import annotations

import re
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from traitscope.errors import TraitscopeError

# Empty whatever the column; pandas writes and reads these so.
NO_VALUE = frozenset({"", "NA", "N/A", "n/a", "NaN", "nan", "NULL", "null", "None", "<NA>", "#N/A", "#NA"})
# Where a number is meant, these stand for none.
_NO_NUMBER = frozenset(
    {"", "-", "--", "---", "–", "—", ".", "..", "...", "…", "?", "n/a", "na", "n.a.", "nan", "none", "null", "nil"}
    | {"missing", "<na>", "#n/a", "#na"}
)

_GROUPS = "[ \u00a0\u2009\u202f'\u2019]"
_EXPONENT = "(?:[eE][+-]?[0-9]+)?"


def _pattern(decimal: str, group: str) -> re.Pattern[str]:
    grouped = f"[1-9][0-9]{{0,2}}(?:(?:{group}[0-9]{{3}})+|(?:{_GROUPS}[0-9]{{3}})+)"
    whole = f"(?:[0-9]+|{grouped})"
    return re.compile(f"[+-]?(?:{whole}(?:{decimal}[0-9]*)?|{decimal}[0-9]+){_EXPONENT}")


_SIMPLE = re.compile(r"[+-]?[0-9]+(?:\.[0-9]+)?")
_STYLES = {".": _pattern(r"\.", ","), ",": _pattern(",", r"\.")}


class Numbers(NamedTuple):
    """A column's numbers.

    Attributes:
        values: floats, NaN where there is none.
        bad: (place of the row, cell) of cells that are neither a number nor stand for none.
        percent: whether the cells carry percent signs.
        grouped: a cell whose thousands were set apart by point or comma, if any.
    """

    values: npt.NDArray[np.float64]
    bad: list[tuple[str, str]]
    percent: bool
    grouped: str | None


def _plain(cell: object) -> tuple[str, bool]:
    """A cell's text with an ordinary minus and without its percent sign, and whether it had one."""
    text = str(cell).strip().replace("\u2212", "-")
    return (text[:-1].rstrip(), True) if text.endswith("%") else (text, False)


def is_no_number(cell: object) -> bool:
    """Whether a cell stands for a missing number."""
    return cell is None or cell is pd.NA or cell != cell or str(cell).strip().lower() in _NO_NUMBER


def looks_like_number(cell: object) -> bool:
    """Whether a cell is a number with decimal point or comma."""
    text, _ = _plain(cell)
    return bool(_SIMPLE.fullmatch(text)) or any(style.fullmatch(text) for style in _STYLES.values())


def parse(text: str, decimal: str) -> float | None:
    """A number in words of one decimal sign; None where it is none."""
    if decimal == "." and _SIMPLE.fullmatch(text):
        return float(text)
    if not _STYLES[decimal].fullmatch(text):
        return None
    text = re.sub(_GROUPS, "", text).replace("," if decimal == "." else ".", "")
    return float(text.replace(",", "."))


def find_decimal(frame: pd.DataFrame, delimiter: str | None, given: str | None, where: str) -> str:
    """The file's decimal sign, "." or ",": as given, else the one under which its numbers can be read.

    Only columns that are numbers for the most part are asked. A number such as 1,234 can be read both ways.

    Raises:
        TraitscopeError: cells contradict each other, or none of them tells.
    """
    if given is not None:
        if given not in _STYLES:
            raise TraitscopeError(f"unknown decimal sign {given!r}", where="decimal", fix="write . or ,")
        return given
    seen: dict[str, str] = {}
    places = frame.index.tolist()
    for column in frame.columns:
        cells: dict[str, str] = {}
        for place, cell in zip(places, frame[column].tolist(), strict=True):
            if isinstance(cell, str) and cell not in cells and not is_no_number(cell):
                cells[_plain(cell)[0]] = place
        if sum(map(looks_like_number, cells)) <= len(cells) / 2:
            continue
        whole = any(re.fullmatch(r"[+-]?[1-9][0-9]{2,}", text) for text in cells)
        for text, place in cells.items():
            if "." not in text and "," not in text:
                continue
            point, comma = (bool(style.fullmatch(text)) for style in _STYLES.values())
            if point or comma:
                kind = "." if not comma else "," if not point else ("," if "," in text else ".") + "?!"[whole]
                seen.setdefault(kind, f"{text!r} ({place}, column {column})")
    if "." in seen and "," in seen:
        raise TraitscopeError(
            f"decimal points and decimal commas: {seen['.']} and {seen[',']}",
            where=where,
            fix="write one of them throughout, or say which: decimal=...",
        )
    if "." in seen or "," in seen:
        return "." if "." in seen else ","
    # Whole hundreds beside 1,234 are thousands that are too small, where commas are no decimal signs: between commas.
    # Points are decimal signs unless there are whole hundreds, or semicolons, which go with decimal commas.
    clear = {",!"} if delimiter == "," else set()
    clear |= {".?"} if delimiter != ";" else set()
    unclear = [kind for kind in seen if kind not in clear] or list(seen) * (len(seen) > 1)
    if unclear:
        raise TraitscopeError(
            f"{seen[unclear[0]]} may be a fraction or thousands", where=where, fix="say which: decimal=. or decimal=,"
        )
    return "."


def read_numbers(column: pd.Series, decimal: str) -> Numbers:
    """The numbers of a column of text or of numbers; what cannot be read is listed."""
    if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
        return Numbers(column.to_numpy(dtype=float, na_value=np.nan), [], False, None)
    values = np.full(len(column), np.nan)
    bad: list[tuple[str, str]] = []
    signs: dict[bool, tuple[str, str]] = {}
    grouped = None
    for k, cell in enumerate(column.tolist()):
        if is_no_number(cell):
            continue
        text, percent = _plain(cell)
        number = parse(text, decimal)
        if number is None or isinstance(cell, bool):
            bad.append((str(column.index[k]), str(cell)))
            continue
        if percent not in signs:
            signs[percent] = (str(column.index[k]), str(cell))
        values[k] = number
        if grouped is None and ("," if decimal == "." else ".") in text:
            grouped = f"{cell!r} is {number:.10g}"
    if len(signs) == 2:
        bad.append(signs[True])
    return Numbers(values, bad, True in signs, grouped)


def numbers_or_error(
    column: pd.Series, decimal: str, where: str, names: pd.Series | None = None, *, optional: bool = False
) -> Numbers:
    """The numbers of a column.

    Args:
        names: of the rows, for the error. optional: whether the column may be left out.

    Raises:
        TraitscopeError: a cell is no number; the first one is named.
    """
    found = read_numbers(column, decimal)
    if found.bad:
        place, cell = found.bad[0]
        model = "" if names is None or is_no_number(names[place]) else f", {names[place]}"
        beside = " beside numbers without a percent sign" if cell.endswith("%") else ""
        raise TraitscopeError(
            f"{cell!r} is not a number{beside} ({place}{model}, column {column.name})",
            where=where,
            fix=f"write a number with a decimal {'point' if decimal == '.' else 'comma'}, or leave a missing cell empty"
            + (f", or leave the column out: values='!{column.name}'" if optional else ""),
        )
    return found
