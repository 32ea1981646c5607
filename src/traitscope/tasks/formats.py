"""One reader per file format: csv, tsv, json, json lines, parquet, plain lines, CoNLL.

Every reader takes a file and the task's ``DataConfig`` and gives a list of rows (mappings from column to value).
Columns of csv and tsv are text, as they stand in the file; the other formats keep their own types.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from traitscope.config.data import DataConfig
from traitscope.errors import TraitscopeError
from traitscope.plugins import calling
from traitscope.registry import Registry, did_you_mean
from traitscope.texts import text_lines

Rows = list[dict[str, Any]]
Reader = Callable[[Path, DataConfig, str], Rows]

ROW_SOURCES: Registry[Reader] = Registry("file format")

# Text shrinks to a tenth or so; what shrinks to less than this share was made to.
MOST_RATIO = 200

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
            if any(isinstance(value, bytes | list | dict) for value in row.values()):
                rows[i] = {column: _decoded(value) for column, value in row.items()}
    return rows


def _decoded(value: Any) -> Any:
    """Bytes that are UTF-8 as text, in lists and objects too: some writers store text so. Others stay as they are."""
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return value
    if isinstance(value, list):
        return [_decoded(item) for item in value]
    return {key: _decoded(item) for key, item in value.items()} if isinstance(value, dict) else value


def read_text(path: Path, data: DataConfig, where: str) -> str:
    """The decoded content of a file, unpacked where it ends in ``.gz``."""
    try:
        raw = _unpacked(path, where) if path.suffix == ".gz" else path.read_bytes()
        text = raw.decode("utf-8-sig" if data.encoding.lower() in ("utf-8", "utf8") else data.encoding)
    except IsADirectoryError:
        raise TraitscopeError("this is a folder, not a file", where=where, fix="name a file in it") from None
    except LookupError:
        raise TraitscopeError(
            f"unknown encoding {data.encoding!r}", where=where, fix="write encoding: utf-8 or latin-1"
        ) from None
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise TraitscopeError(
            f"line {line} is not {data.encoding} text",
            where=where,
            fix="add encoding: latin-1 (or the right one)",
        ) from None
    except (OSError, EOFError, zlib.error) as error:
        raise TraitscopeError(f"the file cannot be read: {error}", where=where, fix="check the file") from None
    return text


def _unpacked(path: Path, where: str) -> bytes:
    """A gzip file's content, unless it is so much larger that the file was made to fill the memory."""
    most = max(path.stat().st_size * MOST_RATIO, MOST_RATIO << 20)
    with gzip.open(path) as file:
        found = file.read(most + 1)
    if len(found) > most:
        raise TraitscopeError(
            f"the file unpacks to more than {MOST_RATIO} times its size",
            where=where,
            fix="unpack it and look at it; name the unpacked file if it is what is meant",
        )
    return found


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
        except (ValueError, RecursionError) as error:
            raise TraitscopeError(
                f"line {number} is not valid JSON: {_json_fault(error)}",
                where=where,
                fix="mend or remove the line; a file with one JSON value in all needs format: json",
            ) from None
        rows.append(_object(row, f"line {number}", where))
    return rows


@ROW_SOURCES.register("json", version=1, reference="RFC 8259")
def read_json(path: Path, data: DataConfig, where: str) -> Rows:
    """A list of objects, or (with ``field``) such a list inside an object. JSON lines are recognised too."""
    text = read_text(path, data, where)
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        # Many files named .json hold one object per line.
        if getattr(error, "msg", "") == "Extra data" and text.lstrip().startswith("{"):
            return _json_lines(text, where)
        line = f" (line {error.lineno})" if isinstance(error, json.JSONDecodeError) else ""
        raise TraitscopeError(
            f"not valid JSON: {_json_fault(error)}{line}",
            where=where,
            fix="mend the file; one object per line is format: jsonl",
        ) from None
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


def _json_fault(error: Exception) -> str:
    """What is wrong with a JSON text, in words."""
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} at character {error.colno}"
    return "it is nested too deep" if isinstance(error, RecursionError) else str(error)


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


@ROW_SOURCES.register("parquet", version=1, reference="Apache Parquet, read by pyarrow")
def read_parquet(path: Path, data: DataConfig, where: str) -> Rows:
    """The rows of a parquet file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path)
        groups = (file.metadata.row_group(i) for i in range(file.metadata.num_row_groups))
        if sum(group.total_byte_size for group in groups) > MOST_RATIO * max(path.stat().st_size, 1 << 20):
            raise OSError(f"it unpacks to more than {MOST_RATIO} times its size")
        return list(file.read().to_pylist())
    except (pa.ArrowException, OSError, ValueError) as error:
        raise TraitscopeError(
            f"this is no readable parquet file: {str(error).splitlines()[0]}",
            where=where,
            fix="check the file, or say its real format with format:",
        ) from None


@ROW_SOURCES.register("lines", version=1, reference="plain text")
def read_lines(path: Path, data: DataConfig, where: str) -> Rows:
    """One row per line that is not blank, with the single column ``text`` (or the one that ``columns`` names)."""
    column = data.columns[0] if data.columns else "text"
    return [{column: line} for line in text_lines(read_text(path, data, where)) if line.strip()]


@ROW_SOURCES.register("conll", version=1, reference="CoNLL-2003 column format")
def read_conll(path: Path, data: DataConfig, where: str) -> Rows:
    """One row per sentence: token columns between blank lines, as lists named by ``columns`` (tokens, tags).

    What is no token is left out: ``-DOCSTART-``, comments (``# text = ...``), and, where the first column is an ``id``,
    the ranges and empty nodes of CoNLL-U (``1-2``, ``3.1``).
    """
    columns = data.columns or ("tokens", "tags")
    delimiter = data.delimiter or "\t"
    rows: Rows = []
    sentence: list[list[str]] = []
    for number, line in enumerate([*text_lines(read_text(path, data, where)), ""], start=1):
        if not line.strip() or line.startswith("-DOCSTART-"):
            if sentence:
                rows.append({c: [token[i] for token in sentence] for i, c in enumerate(columns)})
                sentence = []
            continue
        fields = line.split(delimiter)
        if line.startswith("#") and len(fields) != len(columns):
            continue
        if columns[0].lower() == "id" and re.fullmatch(r"\d+[-.]\d+", fields[0]):
            continue
        if len(fields) != len(columns):
            raise TraitscopeError(
                f"line {number} has {len(fields)} values for {len(columns)} columns ({', '.join(columns)})",
                where=where,
                fix="name every column with columns: [tokens, tags], and check delimiter",
            )
        sentence.append(fields)
    return rows
