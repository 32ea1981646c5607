"""Rows from files: csv, tsv, json, json lines, parquet, plain lines, CoNLL and saved ``datasets`` folders.

Every reader takes a file and the task's ``DataConfig`` and gives a list of rows (mappings from column to
value). Columns of csv and tsv are text, as they stand in the file; the other formats keep their own types.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from traitscope.errors import TraitscopeError
from traitscope.registry import Registry, did_you_mean, near_names
from traitscope.taskconfig import DataConfig

Rows = list[dict[str, Any]]
Reader = Callable[[Path, DataConfig, str], Rows]

ROW_SOURCES: Registry[Reader] = Registry("file format")

_ENDINGS = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".json": "json",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".conll": "conll",
}

_QUOTING: dict[bool, Any] = {True: {"quoting": csv.QUOTE_MINIMAL}, False: {"quoting": csv.QUOTE_NONE}}


@dataclass(frozen=True, slots=True)
class ReadRows:
    """All rows of some files, in the files' order, and a fingerprint of the bytes they came from."""

    rows: Rows
    fingerprint: str


def read_files(patterns: Sequence[str], data: DataConfig, root: Path, where: str, split: str | None = None) -> ReadRows:
    """The rows of all files that the patterns name, one after the other.

    A glob (``*``) takes its files in the order of their names; rows then also have a column ``_file``, the
    name without its ending.

    Raises:
        TraitscopeError: if a file is missing, unreadable, empty, or in an unknown format.
    """
    rows: Rows = []
    digest = hashlib.sha256()
    files = [(path, "*" in pattern) for pattern in patterns for path in _expand(pattern, root, where)]
    for path, from_glob in files:
        name = _format(path, data, where)
        place = f"{where}, file {path}"
        if name == "folder":
            found, mark = _read_folder(path, split, place)
            digest.update(mark.encode())
        else:
            found = ROW_SOURCES.get(name, where=where).value(path, data, place)
            digest.update(path.read_bytes())
        if not found:
            raise TraitscopeError("the file has no rows", where=place, fix="name another file, or check field/format")
        rows.extend({**row, "_file": path.name.split(".")[0]} for row in found) if from_glob else rows.extend(found)
    for column, name in data.join.items():
        (beside,) = _expand(name, root, where)
        lines = _text(beside, data, f"{where}, file {beside}").splitlines()
        if len(lines) != len(rows):
            raise TraitscopeError(
                f"the joined file has {len(lines)} lines for {len(rows)} rows",
                where=f"{where}, file {beside}",
                fix="join a file with exactly one line per row",
            )
        digest.update(beside.read_bytes())
        rows = [{**row, column: line} for row, line in zip(rows, lines, strict=True)]
    return ReadRows(rows, digest.hexdigest())


def _expand(pattern: str, root: Path, where: str) -> list[Path]:
    path = root / Path(pattern).expanduser()
    if "*" in pattern:
        found = sorted(Path(path.anchor or ".").glob(str(path.relative_to(path.anchor)) if path.anchor else str(path)))
        if found:
            return found
        raise TraitscopeError(f"no file matches {pattern}", where=where, fix=f"look in {root.resolve()}")
    if path.exists():
        return [path]
    folder = path.parent
    siblings = [p.name for p in folder.iterdir()] if folder.is_dir() else []
    near = near_names(path.name, siblings)
    fix = f"did you mean {near[0]!r}?" if near else "check the path (it starts from the study file's folder)"
    raise TraitscopeError(f"there is no file {path}", where=where, fix=fix)


def _format(path: Path, data: DataConfig, where: str) -> str:
    if data.format:
        return data.format
    if path.is_dir():
        return "folder"
    endings = [s for s in path.suffixes if s != ".gz"]
    if endings and endings[-1].lower() in _ENDINGS:
        return _ENDINGS[endings[-1].lower()]
    raise TraitscopeError(
        f"the ending of {path.name} does not say its format",
        where=where,
        fix="add format: csv, tsv, json, jsonl, parquet, lines, conll or folder",
    )


def _text(path: Path, data: DataConfig, where: str) -> str:
    try:
        raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
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
    except (OSError, EOFError) as error:
        raise TraitscopeError(f"the file cannot be read: {error}", where=where, fix="check the file") from None
    return text


@ROW_SOURCES.register("csv", version=1, reference="RFC 4180")
def read_csv(path: Path, data: DataConfig, where: str) -> Rows:
    """Rows of a csv file; the first line names the columns unless ``columns`` does. Blank lines are
    skipped.
    """
    return _delimited(path, data, where, data.delimiter or ",", True if data.quotes is None else data.quotes)


@ROW_SOURCES.register("tsv", version=1, reference="IANA text/tab-separated-values")
def read_tsv(path: Path, data: DataConfig, where: str) -> Rows:
    """As csv with tabs; quotation marks are ordinary characters unless ``quotes: true``."""
    return _delimited(path, data, where, data.delimiter or "\t", bool(data.quotes))


def _delimited(path: Path, data: DataConfig, where: str, delimiter: str, quotes: bool) -> Rows:
    text = _text(path, data, where)
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
        first = text.lstrip().splitlines()[0]
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
    return _json_lines(_text(path, data, where), where)


def _json_lines(text: str, where: str) -> Rows:
    rows: Rows = []
    for number, line in enumerate(text.split("\n"), start=1):
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
        rows.append(_object(row, f"line {number}", where))
    return rows


@ROW_SOURCES.register("json", version=1, reference="RFC 8259")
def read_json(path: Path, data: DataConfig, where: str) -> Rows:
    """A list of objects, or (with ``field``) such a list inside an object. JSON lines are recognised too."""
    text = _text(path, data, where)
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


@ROW_SOURCES.register("parquet", version=1, reference="Apache Parquet, read by pyarrow")
def read_parquet(path: Path, data: DataConfig, where: str) -> Rows:
    """The rows of a parquet file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return list(pq.read_table(path).to_pylist())
    except (pa.ArrowInvalid, OSError) as error:
        raise TraitscopeError(
            f"this is no readable parquet file: {str(error).splitlines()[0]}",
            where=where,
            fix="check the file, or say its real format with format:",
        ) from None


@ROW_SOURCES.register("lines", version=1, reference="plain text")
def read_lines(path: Path, data: DataConfig, where: str) -> Rows:
    """One row per line that is not blank, with the single column ``text`` (or the one that ``columns``
    names).
    """
    column = data.columns[0] if data.columns else "text"
    return [{column: line} for line in _text(path, data, where).splitlines() if line.strip()]


@ROW_SOURCES.register("conll", version=1, reference="CoNLL-2003 column format")
def read_conll(path: Path, data: DataConfig, where: str) -> Rows:
    """One row per sentence: token columns between blank lines, as lists named by ``columns`` (tokens,
    tags).
    """
    columns = data.columns or ("tokens", "tags")
    delimiter = data.delimiter or "\t"
    rows: Rows = []
    sentence: list[list[str]] = []
    for number, line in enumerate([*_text(path, data, where).split("\n"), ""], start=1):
        if not line.strip():
            if sentence:
                rows.append({c: [token[i] for token in sentence] for i, c in enumerate(columns)})
                sentence = []
            continue
        fields = line.rstrip("\r").split(delimiter)
        if len(fields) != len(columns):
            raise TraitscopeError(
                f"line {number} has {len(fields)} values for {len(columns)} columns ({', '.join(columns)})",
                where=where,
                fix="name every column with columns: [tokens, tags], and check delimiter",
            )
        sentence.append(fields)
    return rows


def _read_folder(path: Path, split: str | None, where: str) -> tuple[Rows, str]:
    """A folder written by ``datasets.save_to_disk``."""
    import datasets

    try:
        loaded = datasets.load_from_disk(str(path))
    except Exception as error:
        raise TraitscopeError(
            f"this is no folder saved by datasets.save_to_disk: {str(error).splitlines()[0]}",
            where=where,
            fix="name a file in it, or save the dataset there",
        ) from None
    if isinstance(loaded, datasets.DatasetDict):
        if split is None:
            raise TraitscopeError(
                f"the folder holds several splits: {', '.join(loaded)}",
                where=where,
                fix="add splits: {train: ..., eval: ...}",
            )
        if split not in loaded:
            raise TraitscopeError(
                f"the folder has no split {split!r}", where=where, fix=did_you_mean(split, list(loaded))
            )
        loaded = loaded[split]
    rows = list(loaded.to_list())
    return rows, rows_fingerprint(rows)


def read_hub(data: DataConfig, split: str | None, where: str) -> ReadRows:
    """The rows of one split of a Hugging Face Hub dataset (the only reader that uses the network).

    Raises:
        TraitscopeError: if the dataset, revision or split cannot be had.
    """
    import datasets

    assert data.hub is not None
    if split is None:
        raise TraitscopeError(
            "a Hub dataset needs its splits named",
            where=where,
            fix="add splits: {train: train, eval: test}, or splits: train to divide one",
        )
    try:
        loaded = datasets.load_dataset(data.hub, data.subset, split=split, revision=data.revision)
    except Exception as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise TraitscopeError(
            f"the Hub dataset {data.hub!r} (split {split!r}) cannot be loaded: {reason}",
            where=where,
            fix="check id, revision, subset and split, and that this machine reaches the Hub; without a "
            "network save it elsewhere with datasets.save_to_disk and name the folder with path:",
        ) from None
    rows = list(loaded.to_list())
    return ReadRows(rows, rows_fingerprint(rows))


def rows_fingerprint(rows: Rows) -> str:
    """SHA-256 of the rows' JSON."""
    digest = hashlib.sha256()
    for row in rows:
        digest.update(json.dumps(row, sort_keys=True, default=str).encode())
    return digest.hexdigest()
