"""What of a run folder is not what was written: every kind of file against the hash that was recorded of it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from traitscope.store.arrays import arrays_fault
from traitscope.store.checked import Checked
from traitscope.store.files import TEMPORARY
from traitscope.store.fingerprints import RowsHash, fingerprint
from traitscope.store.folder import RunFolder, log_line
from traitscope.store.seal import Damaged, read_sealed
from traitscope.store.tables import examples_from, read_marks, read_parquet

# What the next run does about a damaged unit.
TRAINED, COMPUTED, WRITTEN, MADE = "trained anew", "computed anew", "written again", "made again"


@dataclass(frozen=True, slots=True)
class Damage:
    """One file that is not what was written.

    Attributes:
        path: the file, from the run folder.
        what: what is wrong with it.
        unit: what is put aside for it: the file, or the folder of its adapter or cell.
        heals: what is done about the unit.
        finding: the finding that the file is part of.
    """

    path: str
    what: str
    unit: str
    heals: str
    finding: str | None = None


def find_damage(folder: RunFolder, checked: Checked) -> Iterator[Damage]:
    """Every damage of a run folder, the short trainings' folder in it included.

    Args:
        folder: the folder. checked: what is known of its files; one that knows nothing has everything read.
    """
    yield from _sealed(folder, "lock.json", WRITTEN)
    yield from _log(folder)
    yield from _tasks(folder, checked)
    for name in _entries(folder.root / "adapters"):
        yield from adapter_damage(folder, name, checked)
    yield from _cells(folder, checked)
    for name in _entries(folder.root / "plan", ".json"):
        yield from _sealed(folder, f"plan/{name}", WRITTEN)
    yield from _checkpoints(folder, checked)
    for kind in ("hidden", "gradients"):
        for name in _entries(folder.root / kind, ".safetensors"):
            what = arrays_fault(folder.root / kind / name, checked)
            if what is not None:
                yield Damage(f"{kind}/{name}", what, f"{kind}/{name}", MADE)
    yield from _findings(folder, checked)


def adapter_damage(folder: RunFolder, name: str, checked: Checked) -> Iterator[Damage]:
    """Every damage of one adapter's folder."""
    unit = f"adapters/{name}"
    if folder.adapter_path(name).is_symlink():
        yield Damage(unit, "is a link in an adapter's place", unit, TRAINED)
        return
    try:
        head = folder.adapter(name)
    except Damaged as error:
        yield Damage(f"{unit}/unit.json", error.what, unit, TRAINED)
        return
    if head is None:
        yield Damage(f"{unit}/unit.json", "is missing", unit, TRAINED)
        return
    for file, expected in head.files.items():
        what = checked.fault(folder.adapter_path(name) / file, expected)
        if what is not None:
            yield Damage(f"{unit}/{file}", what, unit, TRAINED)


def cell_damage(folder: RunFolder, model: str, task: str, checked: Checked) -> Iterator[Damage]:
    """Every damage of one cell's folder."""
    unit, path = f"cells/{model}/{task}", folder.cells.path(model, task)
    if path.is_symlink() or path.parent.is_symlink():
        link = unit if path.is_symlink() else f"cells/{model}"
        yield Damage(link, "is a link in a cell's place", link, COMPUTED)
        return
    try:
        head = folder.cells.head(model, task)
    except Damaged as error:
        yield Damage(f"{unit}/cell.json", error.what, unit, COMPUTED)
        return
    if head is None:
        yield Damage(f"{unit}/cell.json", "is missing", unit, COMPUTED)
    elif (what := checked.fault(path / "examples.parquet", head.examples_sha256)) is not None:
        yield Damage(f"{unit}/examples.parquet", what, unit, COMPUTED)


def _cells(folder: RunFolder, checked: Checked) -> Iterator[Damage]:
    index = folder.cells.index()
    for model in _entries(folder.root / "cells"):
        if (folder.root / "cells" / model).is_symlink():
            yield Damage(f"cells/{model}", "is a link in the place of a model's cells", f"cells/{model}", COMPUTED)
            continue
        for task in _entries(folder.root / "cells" / model):
            head, unit = index.get(model, task), f"cells/{model}/{task}"
            if head is None:
                if task != "index.json":
                    yield from cell_damage(folder, model, task, checked)
                continue
            what = checked.fault(folder.cells.path(model, task) / "examples.parquet", head.examples_sha256)
            if what is not None:
                yield Damage(f"{unit}/examples.parquet", what, unit, COMPUTED)


def task_fault(path: Path, checked: Checked) -> str | None:
    """What is wrong with the rows of a task; None where they are those that their marks tell of."""
    marks = read_marks(path)
    if marks is None:
        return "is missing" if not path.exists() else "is damaged: its marks cannot be read"
    return checked.fault(path, fingerprint(marks), lambda data: _rows_mark(data, marks))


def _rows_mark(data: bytes, marks: Mapping[str, str]) -> str:
    try:
        splits = examples_from(read_parquet(data, where="", fix=""))
    except Exception:  # pyarrow raises errors of several kinds, and so do values of another type
        return ""
    rows = {split: RowsHash(splits.get(split, ())) for split in ("train", "eval")}
    n_eval = str(len(rows["eval"]))
    return fingerprint({**marks, "train": rows["train"].whole, "eval": rows["eval"].whole, "n_eval": n_eval})


def _tasks(folder: RunFolder, checked: Checked) -> Iterator[Damage]:
    known = dict.fromkeys(name.removesuffix(".parquet") for name in _entries(folder.root / "tasks", ".parquet"))
    with suppress(Damaged):
        known |= dict.fromkeys((folder.read_lock() or {}).get("tasks", {}))
    for task in known:
        path = f"tasks/{task}.parquet"
        if (what := task_fault(folder.root / path, checked)) is not None:
            yield Damage(path, what, path, WRITTEN)


def _checkpoints(folder: RunFolder, checked: Checked) -> Iterator[Damage]:
    for bank in _entries(folder.root / "checkpoints"):
        for name in _entries(folder.root / "checkpoints" / bank, ".safetensors"):
            path = f"checkpoints/{bank}/{name}"
            what = checked.fault(folder.root / path, name.removesuffix(".safetensors"))
            if what is not None:
                yield Damage(path, what, path, TRAINED)


def _log(folder: RunFolder) -> Iterator[Damage]:
    """Lines that were cut short or spoilt; what else was changed in the log cannot be told."""
    spoilt = [number for number, line in enumerate(folder.read_lines(), 1) if log_line(line) is None]
    if spoilt:
        yield Damage("run.jsonl", f"line {spoilt[0]} cannot be read", "run.jsonl", "written again without such lines")


def _findings(folder: RunFolder, checked: Checked) -> Iterator[Damage]:
    path = "analysis/inputs.json"
    yield from _sealed(folder, path, MADE)
    for name, finding in read_findings(folder).items():
        for file, expected in finding["files"].items():
            if (what := checked.fault(folder.root / file, expected)) is not None:
                yield Damage(file, what, file, MADE, name)


def read_findings(folder: RunFolder) -> dict[str, dict[str, Any]]:
    """What ``analysis/inputs.json`` tells of every kept finding: its ``mark``, and the hashes of its ``files``."""
    try:
        return dict(read_sealed(folder.analysis / "inputs.json", fix="delete it")["findings"])
    except (OSError, Damaged, KeyError, TypeError, ValueError):
        return {}


def _sealed(folder: RunFolder, path: str, heals: str) -> Iterator[Damage]:
    try:
        read_sealed(folder.root / path, fix="")
    except FileNotFoundError:
        if path == "lock.json" and folder.exists():
            yield Damage(path, "is missing", path, heals)
    except Damaged as error:
        yield Damage(path, error.what, path, heals)


def _entries(folder: Path, suffix: str = "") -> list[str]:
    if not folder.is_dir():
        return []
    with os.scandir(folder) as entries:
        return sorted(e.name for e in entries if e.name.endswith(suffix) and not e.name.startswith(TEMPORARY))
