"""A CSV, TSV or parquet file as a table of cells: nothing shifted, nothing renamed, every row with its place."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from traitscope.errors import TraitscopeError
from traitscope.matrix.numbers import NO_VALUE, looks_like_number
from traitscope.texts import unguarded

ENDINGS = (".csv", ".tsv", ".parquet")
DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
_NAMED = {"comma": ",", "semicolon": ";", "tab": "\t", "\\t": "\t", "bar": "|", "pipe": "|"}
_SNIFFED_ROWS = 200
# White space, and what stands invisibly beside names that were copied from a page.
_BLANKS = " \t\r\n\f\v\u00a0\u2009\u202f\u200b\ufeff"

# First bytes of files that are often renamed or saved over a table.
_MAGIC = {
    b"PK\x03\x04": "an Excel workbook or another zip archive",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook",
    b"\x1f\x8b": "compressed by gzip",
    b"BZh": "compressed by bzip2",
    b"\xfd7zXZ": "compressed by xz",
    b"(\xb5/\xfd": "compressed by zstandard",
    b"PAR1": "a parquet file",
    b"ARROW1": "an Arrow file",
    b"%PDF": "a PDF",
    b"SQLite format 3": "a database",
    b"version https://git-lfs": "a Git LFS pointer",
}
_MARKUP = {"<": "a web page or XML", "{": "JSON", "[": "JSON"}


class TableFile(NamedTuple):
    """A file's cells.

    Attributes:
        frame: of text cells (None where empty) or, from parquet, of typed ones; the index says where a row stands.
        delimiter: between the cells of a line; None for parquet.
        notes: what was skipped or dropped.
    """

    frame: pd.DataFrame
    delimiter: str | None
    notes: list[str]


def load_table(path: Path, delimiter: str | None = None) -> TableFile:
    """The cells of a table file with one header line; comment lines (#) and empty lines are skipped.

    Args:
        path: ``.csv``, ``.tsv`` or ``.parquet``. delimiter: between cells; recognised where not given.

    Raises:
        TraitscopeError: no table, or one whose lines do not fit its header; the line is named.
    """
    try:
        other = "is a folder" if path.is_dir() else "is no file but a pipe or a device" if path.exists() else ""
        if not path.is_file():
            raise TraitscopeError(other or "no such file", where=str(path), fix="check the path")
    except OSError as error:
        raise TraitscopeError(f"cannot be read: {error.strerror}", where=str(path), fix="check the path") from None
    if path.suffix.lower() not in ENDINGS:
        raise TraitscopeError(
            f"unknown file type {path.suffix!r}", where=str(path), fix="save it as .csv, .tsv or .parquet"
        )
    if path.suffix.lower() == ".parquet":
        found = TableFile(_read_parquet(path), None, [])
    else:
        found = _read_text(path, delimiter)
    if found.frame.empty:
        raise TraitscopeError("no rows", where=str(path), fix="the first line is the header, rows follow")
    return _without_row_numbers(found, path)


def _read_parquet(path: Path) -> pd.DataFrame:
    try:
        frame = pd.read_parquet(path)
    except Exception as error:
        # pyarrow raises many types here; all mean that the file is not what its name says.
        raise TraitscopeError(
            f"cannot be read as parquet: {(str(error).splitlines() or [type(error).__name__])[0]}",
            where=str(path),
            fix="write it again, with one plain column per task",
        ) from error
    if frame.columns.nlevels > 1:
        raise TraitscopeError("columns have several levels", where=str(path), fix="give every column one name")
    if not isinstance(frame.index, pd.RangeIndex):
        frame = frame.reset_index(names=[str(n or f"Unnamed: {k}") for k, n in enumerate(frame.index.names)])
    frame.columns = frame.columns.astype(str)
    _check_header(list(frame.columns), path)
    frame.index = pd.Index([f"row {k + 1}" for k in range(len(frame))])
    for column in frame.columns:
        nested = [cell for cell in frame[column] if isinstance(cell, list | dict | tuple | bytes | np.ndarray)]
        if nested:
            raise TraitscopeError(
                f"holds cells of type {type(nested[0]).__name__}",
                where=f"{path}, column {column}",
                fix="store text or numbers",
            )
    return frame


def _read_text(path: Path, delimiter: str | None) -> TableFile:
    text = _decode(path)
    notes: list[str] = []
    physical = list(io.StringIO(text, newline=""))
    if physical and (told := re.fullmatch(r"sep=(.)\s*", physical[0])):
        delimiter, physical[0] = delimiter or told[1], "\n"
    comments = [k + 1 for k, line in enumerate(physical) if line.lstrip().startswith("#")]
    skipped = set(comments)
    lines = ["\n" if k + 1 in skipped else line for k, line in enumerate(physical)]
    if comments:
        shown = ", ".join(map(str, comments[:5])) + (", ..." if len(comments) > 5 else "")
        notes.append(f"comment lines were skipped: line {shown}")
    first = next((line.strip() for line in lines if line.strip()), "")
    if not first:
        raise TraitscopeError(
            "cannot be read: the file is empty", where=str(path), fix="the first line is the header, rows follow"
        )
    if first[0] in _MARKUP:
        raise TraitscopeError(f"this is {_MARKUP[first[0]]}, not a table", where=str(path), fix="save the table as CSV")
    if any(re.fullmatch(r"\|?(\s*:?-{2,}:?\s*\|)+\s*(:?-{2,}:?)?\s*", line.rstrip("\r\n")) for line in lines[:5]):
        raise TraitscopeError("this is a Markdown table", where=str(path), fix="save the table as CSV")
    if delimiter is not None:
        delimiter = _NAMED.get(delimiter, delimiter)
        if len(delimiter) != 1 or delimiter in '"\r\n':
            raise TraitscopeError(
                f"unknown delimiter {delimiter!r}", where="delimiter", fix="one sign, or comma, semicolon, tab or bar"
            )
        rows = _split(lines, delimiter, path)
    else:
        delimiter, rows = _recognise(lines, path)
    return TableFile(_rectangle(rows, delimiter, path), delimiter, notes)


def _decode(path: Path) -> str:
    data = path.read_bytes()
    for start, what in _MAGIC.items():
        if data.startswith(start):
            raise TraitscopeError(
                f"this is {what}, not a text table", where=str(path), fix="export it as CSV, or correct the name"
            )
    wide = data.startswith((b"\xff\xfe", b"\xfe\xff"))
    try:
        text = data.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise TraitscopeError(
            f"line {line} is not UTF-8 (byte {data[error.start]:#04x})", where=str(path), fix="save the file as UTF-8"
        ) from error
    if "\0" in text:
        raise TraitscopeError("this is a binary file, not a text table", where=str(path), fix="export it as CSV")
    return text


def _split(lines: Sequence[str], delimiter: str, path: Path) -> list[tuple[int, list[str]]]:
    """Cells of every line that has any, stripped, with the line's number."""
    reader = csv.reader(iter(lines), delimiter=delimiter, strict=True, skipinitialspace=delimiter != "\t")
    rows, start = [], 1
    try:
        for row in reader:
            # As our own tables are written, so that no spreadsheet takes a name for a formula.
            cells = [unguarded(cell.strip(_BLANKS)) for cell in row]
            if any(cells):
                rows.append((start, cells))
            start = reader.line_num + 1
    except csv.Error as error:
        raise TraitscopeError(
            f"line {start} cannot be split into cells: {error}",
            where=str(path),
            fix="check the quotation marks from this line on",
        ) from error
    return rows


def _fits(cells: Sequence[str], width: int) -> bool:
    return len(cells) >= width and not any(cells[width:])


def _width(header: Sequence[str]) -> int:
    """Columns of a header without the empty ones at its end."""
    return max(k + 1 for k, name in enumerate(header) if name)


def _recognise(lines: Sequence[str], path: Path) -> tuple[str, list[tuple[int, list[str]]]]:
    """The delimiter under which every line fits the header, and where several do, most cells are numbers."""
    split: dict[str, list[tuple[int, list[str]]]] = {}
    broken: TraitscopeError | None = None
    first = next(line for line in lines if line.strip())
    for delimiter in DELIMITERS:
        if delimiter not in first:
            continue
        try:
            rows = _split(lines, delimiter, path)
        except TraitscopeError as error:
            broken = broken or error
            continue
        if _width(rows[0][1]) > 1:
            split[delimiter] = rows
    if not split:
        raise broken or _one_column(lines, path)
    fitting = {}
    for delimiter, rows in split.items():
        width = _width(rows[0][1])
        if all(_fits(cells, width) for _, cells in rows[1:]):
            some = rows[1 : _SNIFFED_ROWS + 1]
            fitting[delimiter] = sum(looks_like_number(cell) for _, cells in some for cell in cells)
    if not fitting:
        # The one with most columns is what was meant; what is wrong with it is said by the caller's check.
        meant = max(split, key=lambda d: sum(len(cells) for _, cells in split[d][: _SNIFFED_ROWS + 1]))
        return meant, split[meant]
    best = [d for d, numbers in fitting.items() if numbers == max(fitting.values())]
    if len(best) > 1:
        raise TraitscopeError(
            f"cells may be separated by {' or '.join(DELIMITERS[d] for d in best)}",
            where=str(path),
            fix="say which: delimiter=...",
        )
    return best[0], split[best[0]]


def _one_column(lines: Sequence[str], path: Path) -> TraitscopeError:
    """The error that a file has a header of one cell."""
    full = [line.strip() for line in lines if line.strip()]
    if any(line.count(delimiter) for delimiter in DELIMITERS for line in full[1:2]):
        return TraitscopeError(
            f"the first line has one cell ({full[0][:60]!r}), the next has several",
            where=str(path),
            fix="the first line names the columns; put # before titles",
        )
    return TraitscopeError(
        "only one column was found",
        where=str(path),
        fix=f"separate cells by one of {', '.join(DELIMITERS.values())}, or name the delimiter: delimiter=...",
    )


def _rectangle(rows: Sequence[tuple[int, list[str]]], delimiter: str, path: Path) -> pd.DataFrame:
    """Rows under their header; refuses lines that are longer or shorter."""
    line, header = rows[0]
    width = _width(header)
    if len(rows) > 1 and not any(header[width:]):
        # Cells under a header that ends in empty names are no reason to shift anything: such columns need a name.
        longest = max(len(cells) for _, cells in rows[1:])
        for k in range(width, min(longest, len(header))):
            if any(len(cells) > k and cells[k] for _, cells in rows[1:]):
                raise TraitscopeError(
                    f"column {k + 1} has no name", where=f"{path}, line {line}", fix="name it in the header"
                )
    header = header[:width]
    _check_header(header, path)
    body = rows[1:]
    if width > 1 and sum(map(looks_like_number, header[1:])) > (width - 1) / 2:
        raise TraitscopeError(
            "the first line holds numbers, not the names of columns",
            where=f"{path}, line {line}",
            fix="write a header line, without # before it",
        )
    if body and all(len(cells) == width + 1 and cells[-1] for _, cells in body):
        raise TraitscopeError(
            f"every line has {width + 1} cells, the header {width}",
            where=str(path),
            fix="name the first column in the header too",
        )
    for at, cells in body:
        if not _fits(cells, width):
            raise TraitscopeError(
                f"line {at} has {len(cells)} cell{'s' * (len(cells) != 1)}, the header {width} (separated by "
                f"{DELIMITERS.get(delimiter, repr(delimiter))})",
                where=str(path),
                fix="write every cell, empty ones too, and quote cells that hold the delimiter",
            )
    data = [[None if cell in NO_VALUE else cell for cell in cells[:width]] for _, cells in body]
    index = pd.Index([f"line {at}, row {k + 1}" for k, (at, _) in enumerate(body)], dtype=object)
    names = [name or f"Unnamed: {k}" for k, name in enumerate(header)]
    return pd.DataFrame(data, index=index, columns=pd.Index(names, dtype=object), dtype=object)


def _check_header(names: Sequence[str], path: Path) -> None:
    """Every column but the first has a name, and none has another's."""
    first: dict[str, int] = {}
    for k, name in enumerate(names):
        if first.setdefault(name, k) != k:
            raise TraitscopeError(
                f"column {name!r} occurs twice (columns {first[name] + 1} and {k + 1})",
                where=str(path),
                fix="give every column one name, or delete one",
            )
        if k and not name:
            raise TraitscopeError(f"column {k + 1} has no name", where=str(path), fix="name it in the header")


def _without_row_numbers(found: TableFile, path: Path) -> TableFile:
    frame = found.frame
    first = frame.columns[0]
    if str(first).startswith("Unnamed: 0") and frame[first].map(lambda cell: str(cell).isdigit()).all():
        frame = frame.drop(columns=first)
        if not len(frame.columns):
            raise TraitscopeError("only row numbers were found", where=str(path), fix="write columns with scores")
        return found._replace(frame=frame, notes=[*found.notes, "dropped the first column: row numbers without a name"])
    return found
