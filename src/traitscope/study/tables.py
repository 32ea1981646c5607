"""The tables of a filled study as other libraries take them: frames, and data sets of Hugging Face's library."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from traitscope.errors import TraitscopeError
from traitscope.frames import arrow_of, check_chosen, frame_of
from traitscope.registry import did_you_mean
from traitscope.store import fingerprint
from traitscope.store.tables import read_history, whole_records
from traitscope.study import analysis
from traitscope.study.context import Context, has_cells

if TYPE_CHECKING:
    import datasets
    import pandas as pd
    import pyarrow as pa

# Records beyond which a data set lies on the disk and is mapped into memory: some hundred MB.
HELD = 1_000_000
TABLES = ("scores", "records", "findings", "examples", "training")


def study_frame(
    study: Context,
    table: str,
    *,
    tasks: Sequence[str] | None = None,
    models: Sequence[str] | None = None,
    backend: str = "pandas",
) -> Any:
    """See ``Study.frame``."""
    return frame_of(_whole(study, table, tasks, models), backend)


def study_dataset(
    study: Context, table: str, *, tasks: Sequence[str] | None = None, models: Sequence[str] | None = None
) -> datasets.Dataset:
    """See ``Study.to_dataset``."""
    from datasets import Dataset, DatasetInfo, Features
    from datasets.table import InMemoryTable

    told = f"{table} of the study {study.config.study}, made by traitscope"
    if table == "records" and _rows(study, tasks, models) > HELD:
        return Dataset.from_file(str(_spooled(study, tasks, models)), info=DatasetInfo(description=told))
    found = _whole(study, table, tasks, models)
    info = DatasetInfo(description=told, features=Features.from_arrow_schema(found.schema))
    # By what it holds, as far as that is cheap: the library would hash all of it.
    cells = {name: part.present().cells.marks() for name, part in _begun(study, table).items()}
    mark = fingerprint([told, tasks, models, cells, found.num_rows])[:16]
    return Dataset(InMemoryTable(found), info=info, fingerprint=mark)


def _whole(study: Context, table: str, tasks: Sequence[str] | None, models: Sequence[str] | None) -> pa.Table:
    import pyarrow as pa

    if table not in TABLES:
        raise TraitscopeError(f"no table is named {table!r}", where="table", fix=did_you_mean(table, TABLES))
    known = study.config.tasks if table == "examples" else study.config.target_names()
    check_chosen(tasks, tuple(known), "task")
    check_chosen(models, study.models(), "model")
    if table == "records":
        parts = list(_records(study, tasks, models))
        if not parts and any(chosen is not None and not len(chosen) for chosen in (tasks, models)):
            parts = [one.slice(0, 0) for one in islice(_records(study, None, None), 1)]
    else:
        parts = [
            _based(study, name, _of_one(part, table, tasks, _own(study, name, models)))
            for name, part in _begun(study, table).items()
        ]
    if not parts:
        lacks = {"training": "no adapter has been trained yet", "examples": "no rows have been read yet"}
        what = lacks.get(table, "no cell of these has been evaluated yet")
        raise TraitscopeError(what, where=table, fix="traitscope run fills the folder")
    # Where one base model has no value at all of a column its type is another.
    return pa.concat_tables(parts, promote_options="permissive")


def _of_one(study: Context, table: str, tasks: Sequence[str] | None, models: Sequence[str] | None) -> pa.Table:
    """A table, but the records, of a study on one base model."""
    if table == "training":
        return _training(study, models)
    if table == "examples":
        return _examples(study, tasks)
    frame = analysis.scores(study).to_pandas() if table == "scores" else analysis.effects(study).to_pandas("findings")
    return arrow_of(_chosen(frame, tasks, models))


def _begun(study: Context, table: str) -> dict[str, Context]:
    """The study on each of its base models; of several on those that have what the table is made of."""
    # Adapters and rows are there before any cell is.
    needs = {"training": "adapters", "examples": "tasks"}.get(table)

    def has(part: Context) -> bool:
        return has_cells(part) if needs is None else (part.folder.root / needs).is_dir()

    return {name: part for name, part in study.by_base().items() if not study.inner or has(part)}


def _own(study: Context, base: str, models: Sequence[str] | None) -> Sequence[str] | None:
    """Of rows as ``Study.models`` names them those of a base model, as it calls them."""
    if models is None or not study.inner:
        return models
    return [name.removeprefix(f"{base}/") for name in models if name.startswith(f"{base}/")]


def _based(study: Context, base: str, table: pa.Table) -> pa.Table:
    """A table with what the study calls its base model in the first column, where there are several."""
    import pyarrow as pa

    if not study.inner:
        return table
    table = table.drop_columns("base") if "base" in table.column_names else table
    return table.add_column(0, "base", pa.array([base] * table.num_rows, pa.string()))


def _chosen(frame: pd.DataFrame, tasks: Sequence[str] | None, models: Sequence[str] | None) -> pd.DataFrame:
    for column, names in (("task", tasks), ("model", models)):
        if names is not None:
            frame = frame[frame[column].isin(list(names))]
    return frame.reset_index(drop=True)


def _marks(study: Context, tasks: Sequence[str] | None, models: Sequence[str] | None) -> dict[str, dict[str, str]]:
    """The cells that are wanted, in the study's order, by model and task: hashes of their records."""
    marks = study.cells().marks()
    targets = [task for task in study.config.target_names() if tasks is None or task in tasks]
    rows = [model for model in study.models() if model in marks and (models is None or model in models)]
    return {model: {task: marks[model][task] for task in targets if task in marks[model]} for model in rows}


def _rows(study: Context, tasks: Sequence[str] | None, models: Sequence[str] | None) -> int:
    return sum(
        part.cells().rows(model, task)
        for name, part in _begun(study, "records").items()
        for model, kept in _marks(part, tasks, _own(study, name, models)).items()
        for task in kept
    )


def _records(study: Context, tasks: Sequence[str] | None, models: Sequence[str] | None) -> Iterator[pa.Table]:
    """The records of one model after the other, all its cells in one table."""
    for name, part in _begun(study, "records").items():
        for table in _records_of_one(part, tasks, _own(study, name, models)):
            yield _based(study, name, table)


def _records_of_one(study: Context, tasks: Sequence[str] | None, models: Sequence[str] | None) -> Iterator[pa.Table]:
    import pyarrow as pa

    cells = study.cells()
    for model, marks in _marks(study, tasks, models).items():
        if not marks:
            continue
        found = study.folder.cells.gather(model, marks)
        head = next(head for task in marks if (head := cells.get(model, task)) is not None)
        tables = [whole_records(found[task]) for task in marks]
        names = [task for task, table in zip(marks, tables, strict=True) for _ in range(table.num_rows)]
        table = pa.concat_tables(tables).combine_chunks()
        ahead = {
            "model": pa.array([model] * table.num_rows, pa.string()),
            "source": pa.array([head.source] * table.num_rows, pa.string()),
            "seed": pa.array([head.seed] * table.num_rows, pa.int64()),
            "task": pa.array(names, pa.string()),
        }
        yield pa.table({**ahead, **{name: table.column(name) for name in table.column_names}})


def _spooled(study: Context, tasks: Sequence[str] | None, models: Sequence[str] | None) -> Path:
    """The records in one Arrow file that lasts as long as this process, never all of them in memory."""
    import pyarrow as pa

    folder = Path(tempfile.mkdtemp(prefix="traitscope-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    path, writer = folder / "records.arrow", None
    with pa.OSFile(str(path), "wb") as sink:
        for part in _records(study, tasks, models):
            writer = writer or pa.ipc.new_stream(sink, part.schema)
            writer.write_table(part)
        if writer is not None:
            writer.close()
    return path


def _training(study: Context, models: Sequence[str] | None) -> pa.Table:
    """Every optimiser step of every finished adapter."""
    import pyarrow as pa

    types = {"model": pa.string(), "step": pa.int64(), "loss": pa.float64(), "lr": pa.float64()}
    schema = pa.schema([*types.items(), ("tokens", pa.int64()), ("grad_norm", pa.float64())])
    rows = []
    for name in study.models():
        if models is None or name in models:
            path = study.folder.adapter_path(name) / "train.parquet"
            rows += [{"model": name, **record._asdict()} for record in read_history(path)]
    return pa.Table.from_pylist(rows, schema=schema)


def _examples(study: Context, tasks: Sequence[str] | None) -> pa.Table:
    """The rendered rows of the tasks: their ids are those of the records."""
    import pyarrow as pa

    chosen = [task for task in study.config.tasks if tasks is None or task in tasks]
    parts = []
    # Of none of them the columns of one.
    for task in chosen or list(study.config.tasks)[:1]:
        table = study.folder.task_table(task)
        parts.append(table.add_column(0, "task", pa.array([task] * table.num_rows, pa.string())))
    return pa.concat_tables(parts).slice(0, None if chosen else 0)
