"""The tables of the run folder: examples of a task, records of a cell, history of a training, as Parquet.

The same rows give the same bytes (with one version of pyarrow): no times, no pandas metadata.
"""

from __future__ import annotations

import io
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from traitscope.errors import TraitscopeError
from traitscope.records import Example, ExampleRecord, StepRecord
from traitscope.store.files import read_file

if TYPE_CHECKING:
    import pyarrow as pa


# Columns that are written where some record has them: a text, or a list of texts.
_SOMETIMES = {"responses": False, "outputs": True, "outcomes": True, "ran": False}


def _record_schema() -> pa.Schema:
    import pyarrow as pa

    return pa.schema(
        [
            ("id", pa.string()),
            ("gold", pa.string()),
            ("pred", pa.string()),
            ("pred_norm", pa.string()),
            ("correct", pa.float64()),
            ("valid", pa.bool_()),
            ("finish", pa.string()),
            ("output", pa.string()),
            ("n_output", pa.int64()),
            ("n_gold", pa.int64()),
            ("loss", pa.float64()),
            ("logprobs", pa.list_(pa.float64())),
            ("tags", pa.string()),
        ]
    )


def _sometimes(name: str, is_list: bool) -> pa.Field:
    import pyarrow as pa

    return pa.field(name, pa.list_(pa.string()) if is_list else pa.string())


def _example_schema() -> pa.Schema:
    import pyarrow as pa

    return pa.schema(
        [
            ("split", pa.string()),
            ("id", pa.string()),
            ("prompt", pa.string()),
            ("answer", pa.string()),
            ("options", pa.list_(pa.string())),
            ("gold", pa.int64()),
            ("references", pa.list_(pa.string())),
            ("tags", pa.string()),
            ("messages", pa.string()),
        ]
    )


def parquet_bytes(table: pa.Table, marks: Mapping[str, str] | None = None) -> bytes:
    """A Parquet file in memory; ``marks`` go into its metadata under ``traitscope``."""
    import pyarrow.parquet as pq

    if marks is not None:
        table = table.replace_schema_metadata({"traitscope": json.dumps(dict(marks))})
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    return buffer.getvalue()


def read_marks(path: Path) -> dict[str, str] | None:
    """The marks of a Parquet file without reading its rows; None if it is missing, damaged or has none."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not path.is_file():
        return None
    try:
        metadata = pq.read_schema(path).metadata or {}
        return dict(json.loads(metadata[b"traitscope"]))
    except (OSError, KeyError, ValueError, pa.ArrowInvalid):
        return None


def read_parquet(data: bytes, *, where: str, fix: str) -> pa.Table:
    """A Parquet file from memory.

    Raises:
        TraitscopeError: the bytes are no Parquet file.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.ParquetFile(io.BytesIO(data)).read(use_threads=False)
    except (pa.ArrowInvalid, OSError) as error:
        raise TraitscopeError(f"is damaged: not Parquet ({error})", where=where, fix=fix) from None


def _tags(tags: Mapping[str, str]) -> str:
    return json.dumps(dict(sorted(tags.items())), ensure_ascii=False)


def records_bytes(records: Sequence[ExampleRecord]) -> bytes:
    """``examples.parquet`` of a cell: one row per example, in the task's order."""
    import pyarrow as pa

    schema = _record_schema()
    columns = {
        field.name: [getattr(record, field.name) for record in records]
        for field in schema
        if field.name not in ("logprobs", "tags")
    }
    columns["logprobs"] = [None if r.logprobs is None else list(r.logprobs) for r in records]
    columns["tags"] = [_tags(record.tags) for record in records]
    for name, is_list in _SOMETIMES.items():
        values = [getattr(record, name) for record in records]
        if any(value is not None for value in values):
            schema = schema.append(_sometimes(name, is_list))
            columns[name] = [list(value) if is_list and value is not None else value for value in values]
    return parquet_bytes(pa.table(columns, schema=schema))


def records_from(table: pa.Table) -> list[ExampleRecord]:
    """The records that ``records_bytes`` wrote."""
    return [
        ExampleRecord(
            **{
                **row,
                # One NaN for all, so that equal records compare as equal.
                "loss": math.nan if row["loss"] != row["loss"] else row["loss"],
                "logprobs": None if row["logprobs"] is None else tuple(row["logprobs"]),
                "tags": json.loads(row["tags"]),
                **{name: tuple(row[name]) for name in ("outputs", "outcomes") if row.get(name) is not None},
            }
        )
        for row in table.to_pylist()
    ]


def examples_bytes(splits: Mapping[str, Sequence[Example]], marks: Mapping[str, str] | None = None) -> bytes:
    """``tasks/<task>.parquet``: the rendered rows of each split, in the seeded order, and their marks."""
    import pyarrow as pa

    schema = _example_schema()
    rows = [(split, example) for split, examples in splits.items() for example in examples]
    columns: dict[str, list[Any]] = {
        "split": [split for split, _ in rows],
        "id": [e.id for _, e in rows],
        "prompt": [e.prompt for _, e in rows],
        "answer": [e.answer for _, e in rows],
        "options": [None if e.options is None else list(e.options) for _, e in rows],
        "gold": [e.gold for _, e in rows],
        "references": [list(e.references) for _, e in rows],
        "tags": [_tags(e.tags) for _, e in rows],
        "messages": [json.dumps(e.messages, ensure_ascii=False) for _, e in rows],
    }
    if any(e.requests for _, e in rows):
        schema = schema.append(pa.field("requests", pa.string()))
        columns["requests"] = [e.requests for _, e in rows]
    if any(e.program is not None for _, e in rows):
        schema = schema.append(pa.field("program", pa.list_(pa.string())))
        columns["program"] = [None if e.program is None else list(e.program) for _, e in rows]
    return parquet_bytes(pa.table(columns, schema=schema), marks)


def examples_from(table: pa.Table) -> dict[str, list[Example]]:
    """The splits that ``examples_bytes`` wrote."""
    splits: dict[str, list[Example]] = {}
    for row in table.to_pylist():
        splits.setdefault(row.pop("split"), []).append(
            Example(
                **{
                    **row,
                    "options": None if row["options"] is None else tuple(row["options"]),
                    "references": tuple(row["references"]),
                    "tags": json.loads(row["tags"]),
                    "messages": tuple((role, content) for role, content in json.loads(row["messages"])),
                    "program": None if row.get("program") is None else tuple(row["program"]),
                }
            )
        )
    return splits


def whole_records(table: pa.Table) -> pa.Table:
    """Records with all columns of today, in order; those that were not written yet are empty."""
    import pyarrow as pa

    schema = _record_schema()
    for name, is_list in _SOMETIMES.items():
        schema = schema.append(_sometimes(name, is_list))
    columns = [
        table.column(field.name).cast(field.type)
        if field.name in table.column_names
        else pa.nulls(table.num_rows, field.type)
        for field in schema
    ]
    return pa.table(columns, schema=schema)


def history_bytes(history: Sequence[Any]) -> bytes:
    """``train.parquet`` of an adapter: step, loss (nats per answer token), lr, tokens, grad_norm."""
    import pyarrow as pa

    names = {"step": pa.int64(), "loss": pa.float64(), "lr": pa.float64(), "tokens": pa.int64()}
    columns = {name: [getattr(record, name) for record in history] for name in names}
    columns["grad_norm"] = [getattr(record, "grad_norm", None) for record in history]
    return parquet_bytes(pa.table(columns, schema=pa.schema([*names.items(), ("grad_norm", pa.float64())])))


def read_history(path: Path) -> list[StepRecord]:
    """Every step in an adapter's ``train.parquet``; none where the file is not there.

    Raises:
        TraitscopeError: the file is damaged.
    """
    try:
        data = read_file(path)
    except FileNotFoundError:
        return []
    fix = "delete this adapter's folder and run the same command again: only this adapter is trained anew"
    table = read_parquet(data, where=str(path), fix=fix)
    # A merged adapter has no steps, and older files no norms.
    return [StepRecord(**{"grad_norm": None, **row}) for row in table.to_pylist()]


def read_losses(path: Path) -> list[float]:
    """The loss of every step in an adapter's ``train.parquet``; none where the file is not there.

    Raises:
        TraitscopeError: the file is damaged.
    """
    return [float(record.loss) for record in read_history(path)]
