"""One reader per file format: csv, tsv, json, json lines, parquet, plain lines, CoNLL.

Every reader takes a file and the task's ``DataConfig`` and gives a list of rows (mappings from column to value).
Columns of csv and tsv are text, as they stand in the file; the other formats keep their own types.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from traitscope.config.data import DataConfig
from traitscope.config.inputfile import read_input
from traitscope.errors import TraitscopeError
from traitscope.plugins import calling
from traitscope.registry import Registry, did_you_mean
from traitscope.tasks.columnar import Rows, parquet_rows, text_for_bytes
from traitscope.texts import text_lines

Reader = Callable[[Path, DataConfig, str], Rows]

ROW_SOURCES: Registry[Reader] = Registry("file format")

# The mark "#" is a token of CoNLL-2003 too, but none that is followed by "key =".
_COMMENT = re.compile(r"#\s*[\w.:-]+\s*=|#\s*(?:newdoc|newpar)\b")
_CONLL_U = 10
# Workbooks and zip archives, old workbooks, gzip, PNG, PDF, Parquet, SQLite.
_BINARY = (b"PK\3\4", b"\xd0\xcf\x11\xe0", b"\x1f\x8b", b"\x89PNG", b"%PDF-", b"PAR1", b"SQLite format 3\0")
_NO_WORD = re.compile(r"\d+[-.]\d+")

_QUOTING: dict[bool, Any] = {True: {"quoting": csv.QUOTE_MINIMAL}, False: {"quoting": csv.QUOTE_NONE}}


def read_rows(name: str, path: Path, data: DataConfig, where: str) -> Rows:
    """The rows of a file of the format ``name``.

    Raises:
        KeyError: for an unknown format.
        TraitscopeError: the file is not of this format; the reader fails, or gives something else than rows.
    """
    entry = ROW_SOURCES.get(name)
    with calling("file format", entry, where):
        rows = list(entry.value(path, data, where))
        for i, row in enumerate(rows):
            if not isinstance(row, dict) or not all(isinstance(column, str) for column in row):
                raise TypeError(f"row {i + 1} is no dict from column names to values but {type(row).__name__}")
    return rows


def read_text(path: Path, data: DataConfig, where: str) -> str:
    """The decoded content of a file, unpacked where it ends in ``.gz``.

    Raises:
        TraitscopeError: it cannot be read (``config.inputfile``), or has another encoding.
    """
    try:
        raw = read_input(path, where)
        if raw.startswith(_BINARY):
            raise TraitscopeError(
                "this is no text but a binary file, such as a workbook or an archive",
                where=where,
                fix="export it as csv or jsonl, or correct its name",
            )
        return raw.decode("utf-8-sig" if data.encoding.lower() in ("utf-8", "utf8") else data.encoding)
    except FileNotFoundError:
        raise TraitscopeError("there is no such file", where=where, fix="check the path") from None
    except UnicodeError as error:
        start = error.start if isinstance(error, UnicodeDecodeError) else 0
        raise TraitscopeError(
            f"line {raw[:start].count(bytes([10])) + 1} is not {data.encoding} text",
            where=where,
            fix=f"add encoding: {'utf-16' if _wide(raw) else 'latin-1 (or the right one)'}",
        ) from None


def _wide(raw: bytes) -> bool:
    return raw.startswith((b"\xff\xfe", b"\xfe\xff"))


@ROW_SOURCES.register("csv", version=1, reference="RFC 4180")
def read_csv(path: Path, data: DataConfig, where: str) -> Rows:
    """Rows of a csv file; the first line names the columns unless ``columns`` does. Blank lines are skipped."""
    return _delimited(path, data, where, data.delimiter or ",", True if data.quotes is None else data.quotes)


@ROW_SOURCES.register("tsv", version=1, reference="IANA text/tab-separated-values")
def read_tsv(path: Path, data: DataConfig, where: str) -> Rows:
    """As csv with tabs; quotation marks are ordinary characters unless ``quotes: true``."""
    return _delimited(path, data, where, data.delimiter or "\t", bool(data.quotes))


def _delimited(path: Path, data: DataConfig, where: str, delimiter: str, quotes: bool) -> Rows:
    text = read_text(path, data, where)
    csv.field_size_limit(2**31 - 1)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=quotes, **_QUOTING[quotes])
    columns = list(data.columns) if data.columns else None
    rows: Rows = []
    try:
        for fields in reader:
            if not any(field.strip() for field in fields):
                continue
            if columns is None:
                columns = fields
                _check_header(columns, text, delimiter, where)
                continue
            if len(fields) != len(columns):
                many = "more" if len(fields) > len(columns) else "fewer"
                raise TraitscopeError(
                    f"line {reader.line_num} has {len(fields)} values, {many} than the {len(columns)} "
                    f"columns ({', '.join(columns)})",
                    where=where,
                    fix=f"check delimiter (now {delimiter!r}), quotes (now {str(quotes).lower()}), columns",
                )
            rows.append(dict(zip(columns, fields, strict=True)))
    except csv.Error as error:
        raise TraitscopeError(
            f"line {reader.line_num}: {error}", where=where, fix="add quotes: false, or mend the line"
        ) from None
    return rows


def _check_header(columns: list[str], text: str, delimiter: str, where: str) -> None:
    twice = next((c for i, c in enumerate(columns) if c in columns[:i]), None)
    if twice is not None:
        raise TraitscopeError(
            f"the header names the column {twice!r} twice",
            where=where,
            fix="is the first line a row of data? then add columns: [name, name]; else rename one",
        )
    if len(columns) == 1:
        first = text_lines(text.lstrip())[0]
        other = next((d for d in ("\t", ";", ",", "|") if d != delimiter and d in first), None)
        if other is not None:
            raise TraitscopeError(
                f"the file seems to have a single column, named {columns[0]!r}",
                where=where,
                fix=f'add delimiter: "{other}"'.replace("\t", "\\t"),
            )


@ROW_SOURCES.register("jsonl", version=1, reference="jsonlines.org")
def read_jsonl(path: Path, data: DataConfig, where: str) -> Rows:
    """One JSON object per line; blank lines are skipped."""
    return _json_lines(read_text(path, data, where), where)


def _json_lines(text: str, where: str) -> Rows:
    rows: Rows = []
    for number, line in enumerate(text_lines(text), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise TraitscopeError(
                f"line {number} is not valid JSON: {error.msg} at character {error.colno}",
                where=where,
                fix="mend or remove the line; a file with one JSON value in all needs format: json",
            ) from None
        except (ValueError, RecursionError) as error:
            raise _unreadable_json(error, f"line {number}", where) from None
        rows.append(_object(row, f"line {number}", where))
    return rows


def _unreadable_json(error: Exception, what: str, where: str) -> TraitscopeError:
    deep = isinstance(error, RecursionError)
    return TraitscopeError(
        f"{what} is not valid JSON: {'it is nested too deep' if deep else 'a number of thousands of digits'}",
        where=where,
        fix="remove the line or the key" if deep else "write the number as a text, in quotes",
    )


@ROW_SOURCES.register("json", version=1, reference="RFC 8259")
def read_json(path: Path, data: DataConfig, where: str) -> Rows:
    """A list of objects, or (with ``field``) such a list inside an object. JSON lines are recognised too."""
    text = read_text(path, data, where)
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        # Many files named .json hold one object per line.
        if error.msg == "Extra data" and text.lstrip().startswith("{"):
            return _json_lines(text, where)
        raise TraitscopeError(
            f"not valid JSON: {error.msg} at line {error.lineno}, character {error.colno}",
            where=where,
            fix="mend the file; one object per line is format: jsonl",
        ) from None
    except (ValueError, RecursionError) as error:
        raise _unreadable_json(error, "the file", where) from None
    if data.field is None:
        if isinstance(value, dict):
            keys = ", ".join(list(map(str, value))[:8])
            raise TraitscopeError(
                f"the file holds one object, not a list of rows (its keys: {keys})",
                where=where,
                fix="say where the rows are with field: key",
            )
        return _objects(value, "the file", where)
    if data.field == "*":
        if not isinstance(value, dict):
            raise TraitscopeError("field: * needs an object", where=where, fix="remove field")
        return [{**row, "_key": key} for key, part in value.items() for row in _objects(part, f"key {key!r}", where)]
    for step in data.field.split("."):
        if not isinstance(value, dict) or step not in value:
            known = list(map(str, value)) if isinstance(value, dict) else []
            raise TraitscopeError(
                f"the file has no field {data.field!r}",
                where=where,
                fix=did_you_mean(step, known),
            )
        value = value[step]
    return _objects(value, f"field {data.field!r}", where)


def _objects(value: Any, what: str, where: str) -> Rows:
    if not isinstance(value, list):
        raise TraitscopeError(f"{what} holds no list of rows", where=where, fix="say where the rows are with field:")
    return [_object(row, f"row {index}", where) for index, row in enumerate(value)]


def _object(row: Any, what: str, where: str) -> dict[str, Any]:
    if not isinstance(row, dict):
        raise TraitscopeError(
            f"{what} is no JSON object but {type(row).__name__}",
            where=where,
            fix="every row must be {column: value}",
        )
    return row


@ROW_SOURCES.register("parquet", version=2, reference="Apache Parquet, read by pyarrow")
def read_parquet(path: Path, data: DataConfig, where: str) -> Rows:
    """The rows of a parquet file; columns of bytes are text where all of them are UTF-8 (``text_for_bytes``)."""
    return text_for_bytes(parquet_rows(path, where))


@ROW_SOURCES.register("lines", version=2, reference="plain text")
def read_lines(path: Path, data: DataConfig, where: str) -> Rows:
    """One row per line that is not blank, with the single column ``text`` (or the one that ``columns`` names)."""
    column = data.columns[0] if data.columns else "text"
    return [{column: line} for line in text_lines(read_text(path, data, where)) if line.strip()]


@ROW_SOURCES.register("conll", version=2, reference="CoNLL-2003 and CoNLL-U column formats")
def read_conll(path: Path, data: DataConfig, where: str) -> Rows:
    """One row per sentence: token columns between blank lines, as lists named by ``columns`` (tokens, tags).

    No tokens are ``-DOCSTART-``, comments in front of a sentence (``# text = ...``) and, where a line has the ten
    columns of CoNLL-U or the first is an ``id``, its multi-word tokens and empty nodes (``1-2``, ``8.1``).
    """
    columns = data.columns or ("tokens", "tags")
    delimiter = data.delimiter or "\t"
    rows: Rows = []
    sentence: list[list[str]] = []
    for number, line in enumerate([*text_lines(read_text(path, data, where)), ""], start=1):
        if not line.strip():
            if sentence:
                rows.append({c: [token[i] for token in sentence] for i, c in enumerate(columns)})
                sentence = []
            continue
        fields = line.split(delimiter)
        if fields[0].strip() == "-DOCSTART-":
            continue
        if not sentence and line.startswith("#") and (_COMMENT.match(line) or len(fields) != len(columns)):
            continue
        if (len(fields) == _CONLL_U or columns[0].lower() == "id") and _NO_WORD.fullmatch(fields[0]):
            continue
        if len(fields) != len(columns):
            raise TraitscopeError(
                f"line {number} has {len(fields)} values for {len(columns)} columns ({', '.join(columns)})",
                where=where,
                fix="name every column with columns: [tokens, tags], and check delimiter",
            )
        sentence.append(fields)
    return rows
