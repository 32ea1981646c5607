"""Rows of files that hold columns: Parquet read within bounds, and text for columns of bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from traitscope.config.inputfile import check_file, most_unpacked
from traitscope.errors import TraitscopeError
from traitscope.texts import text_lines

Rows = list[dict[str, Any]]


def parquet_rows(path: Path, where: str) -> Rows:
    """The rows of a parquet file.

    Raises:
        TraitscopeError: it is no readable parquet file, names a column twice, or unpacks to more than
            ``config.inputfile.most_unpacked``.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows: Rows = []
    size = 0
    try:
        check_file(path, where)
        most = most_unpacked(path)
        with pq.ParquetFile(path) as file:
            names = file.schema_arrow.names
            twice = next((name for i, name in enumerate(names) if name in names[:i]), None)
            if twice is not None:
                raise TraitscopeError(f"two columns are named {twice!r}", where=where, fix="rename one of the two")
            for batch in file.iter_batches(batch_size=1024):
                # A dictionary of few long texts is written out row by row.
                plain = [c.dictionary_decode() if pa.types.is_dictionary(c.type) else c for c in batch.columns]
                batch = pa.RecordBatch.from_arrays(plain, names=names)
                size += batch.nbytes
                if size > most:
                    raise TraitscopeError(
                        f"the file unpacks to more than {most / 1e6:,.0f} MB",
                        where=where,
                        fix="keep the rows and columns that are needed, or split it into several files",
                    )
                rows.extend(short_floats(batch.to_pylist(), batch.schema))
    except (pa.ArrowException, OSError, MemoryError, OverflowError, UnicodeError) as error:
        raise TraitscopeError(
            f"this is no readable parquet file: {(text_lines(str(error)) or [type(error).__name__])[0]}",
            where=where,
            fix="check the file, or say its real format with format:",
        ) from None
    return rows


def short_floats(rows: Rows, schema: Any) -> Rows:
    """The rows with 0.8 for what half and single precision hold in its place, 0.800000011920929.

    Args:
        rows: of plain Python values. schema: Arrow's, with the types of the columns.
    """
    import numpy as np
    import pyarrow as pa

    kinds = {pa.float16(): np.float16, pa.float32(): np.float32}

    def short(value: Any, kind: Any) -> Any:
        if value is None:
            return None
        if kind in kinds:
            return float(str(kinds[kind](value)))
        if pa.types.is_struct(kind):
            return {field.name: short(value[field.name], field.type) for field in kind}
        return [short(item, kind.value_type) for item in value]

    def holds(kind: Any) -> bool:
        if pa.types.is_struct(kind):
            return any(holds(field.type) for field in kind)
        lists = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
        return kind in kinds or (any(is_list(kind) for is_list in lists) and holds(kind.value_type))

    found = {field.name: field.type for field in schema if holds(field.type)}
    return (
        [{**row, **{name: short(row[name], kind) for name, kind in found.items()}} for row in rows] if found else rows
    )


def text_for_bytes(rows: Rows) -> Rows:
    """The rows with text for bytes in every column whose bytes are UTF-8 throughout; other columns keep their bytes."""
    holding = {column for row in rows for column, value in row.items() if _has_bytes(value)}
    for column in holding:
        try:
            texts = [_decoded(row.get(column)) for row in rows]
        except UnicodeDecodeError:
            continue
        rows = [{**row, column: text} if column in row else row for row, text in zip(rows, texts, strict=True)]
    return rows


def _has_bytes(value: Any) -> bool:
    if isinstance(value, list | dict):
        return any(map(_has_bytes, value.values() if isinstance(value, dict) else value))
    return isinstance(value, bytes)


def _decoded(value: Any) -> Any:
    if isinstance(value, list):
        return [_decoded(v) for v in value]
    if isinstance(value, dict):
        return {k: _decoded(v) for k, v in value.items()}
    return value.decode() if isinstance(value, bytes) else value
