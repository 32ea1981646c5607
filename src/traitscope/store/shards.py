"""All records of a model in one file, ``cells/<model>/records-<sha256>.parquet``, so that many cells are read at once.

It is a cache like ``index.json``: its name holds the hash of its content, and what it says of a cell counts only where
the cell's mark has the same hash of its records. It may be deleted at any time, and is written anew by whoever reads
many cells.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from traitscope.errors import TraitscopeError
from traitscope.store.files import write_atomic
from traitscope.store.tables import parquet_bytes

if TYPE_CHECKING:
    import pyarrow as pa

PREFIX, SUFFIX = "records-", ".parquet"
_PLACES = b"traitscope"


def gathered(folder: Path, marks: Mapping[str, str], read: Callable[[str], pa.Table]) -> dict[str, pa.Table]:
    """The records of a model's cells, by task; the file is written anew where it lacks any of them.

    Args:
        folder: ``cells/<model>``. marks: SHA-256 of the records of every cell wanted, by task.
        read: gives those of one cell.
    """
    import pyarrow as pa

    known = _load(folder)
    found = {task: known[task][1] for task, mark in marks.items() if known.get(task, ("",))[0] == mark}
    lacking = [task for task in marks if task not in found]
    if not lacking:
        return found
    found |= {task: read(task) for task in lacking}
    # What another part of the study wanted stays in it.
    kept = {task: table for task, (_, table) in known.items() if task not in found}
    places, start = {}, 0
    for task, table in {**kept, **found}.items():
        places[task] = json.dumps([marks.get(task) or known[task][0], start, table.num_rows])
        start += table.num_rows
    # Cells of earlier versions lack the columns that came later.
    whole = pa.concat_tables([*kept.values(), *found.values()], promote_options="default")
    data = parquet_bytes(whole.replace_schema_metadata(None), places)
    path = folder / f"{PREFIX}{hashlib.sha256(data).hexdigest()}{SUFFIX}"
    with suppress(TraitscopeError):  # a folder that cannot be written is still read
        write_atomic(path, data)
        for other in folder.glob(f"{PREFIX}*{SUFFIX}"):
            if other != path:
                other.unlink(missing_ok=True)
    return found


def _load(folder: Path) -> dict[str, tuple[str, pa.Table]]:
    """What the file holds, by task: the hash of the cell's records, and they; nothing where it is gone or damaged."""
    import pyarrow.parquet as pq

    for path in sorted(folder.glob(f"{PREFIX}*{SUFFIX}")):
        with suppress(OSError, ValueError, KeyError, TypeError):
            data = path.read_bytes()
            if path.name != f"{PREFIX}{hashlib.sha256(data).hexdigest()}{SUFFIX}":
                continue
            table = pq.ParquetFile(io.BytesIO(data)).read(use_threads=False)
            places = {task: json.loads(text) for task, text in json.loads(table.schema.metadata[_PLACES]).items()}
            table = table.replace_schema_metadata(None)
            return {task: (mark, table.slice(start, n)) for task, (mark, start, n) in places.items()}
    return {}
