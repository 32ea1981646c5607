"""What of a run folder is not what was written: every kind of file against the hash that was recorded of it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from traitscope.store.adapters import CARD
from traitscope.store.arrays import arrays_fault
from traitscope.store.checked import Checked, sha256_of
from traitscope.store.files import TEMPORARY
from traitscope.store.folder import RunFolder
from traitscope.store.log import log_line
from traitscope.store.places import FOLDERS
from traitscope.store.seal import Damaged, read_sealed
from traitscope.store.shards import PREFIX, SUFFIX

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
    for name in FOLDERS:
        if os.path.lexists(folder.root / name) and not (folder.root / name).is_dir():
            yield Damage(name, "is no folder", name, MADE)
    for name in ("lock.json", "local.json"):
        yield from _sealed(folder, name, WRITTEN)
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
        what, path = checked.fault(folder.adapter_path(name) / file, expected), f"{unit}/{file}"
        if what is not None and file == CARD and sha256_of(head.card.encode()) == expected:
            yield Damage(path, what, path, WRITTEN)
        elif what is not None:
            yield Damage(path, what, unit, TRAINED)


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
    models = _entries(folder.root / "cells")
    for model in models:
        yield from _sealed(folder, f"cells/{model}/index.json", WRITTEN)
    index = folder.cells.index(anew=checked.anew)
    for model in models:
        if (folder.root / "cells" / model).is_symlink():
            yield Damage(f"cells/{model}", "is a link in the place of a model's cells", f"cells/{model}", COMPUTED)
            continue
        for task in _entries(folder.root / "cells" / model):
            head, unit = index.get(model, task), f"cells/{model}/{task}"
            if head is None:
                if task != "index.json" and not (task.startswith(PREFIX) and task.endswith(SUFFIX)):
                    yield from cell_damage(folder, model, task, checked)
                continue
            what = checked.fault(folder.cells.records_path(model, task), head.examples_sha256)
            if what is not None:
                yield Damage(f"{unit}/examples.parquet", what, unit, COMPUTED)


def _tasks(folder: RunFolder, checked: Checked) -> Iterator[Damage]:
    try:
        lock = folder.read_lock() or {}
    except Damaged:
        return
    for task, marks in lock.get("tasks", {}).items():
        if "sha256" not in marks:
            continue  # of a traitscope that did not record it
        path = f"tasks/{task}.parquet"
        if (what := checked.fault(folder.root / path, marks["sha256"])) is not None:
            yield Damage(path, what, path, WRITTEN)


def _checkpoints(folder: RunFolder, checked: Checked) -> Iterator[Damage]:
    for bank in _entries(folder.root / "checkpoints"):
        if not folder.plan_path(bank).exists():
            yield Damage(f"checkpoints/{bank}", "has no plan in plan/", f"checkpoints/{bank}", TRAINED)
            continue
        for name in _entries(folder.root / "checkpoints" / bank, ".safetensors"):
            path = f"checkpoints/{bank}/{name}"
            what = checked.fault(folder.root / path, name.removesuffix(".safetensors"))
            if what is not None:
                yield Damage(path, what, path, TRAINED)


def _log(folder: RunFolder) -> Iterator[Damage]:
    """Lines that were cut short or spoilt; what else was changed in the log cannot be told."""
    lines = folder.read_lines()
    if not lines and (folder.root / "lock.json").exists():
        yield Damage("run.jsonl", "is missing or empty", "run.jsonl", "begun again")
    spoilt = [number for number, line in enumerate(lines, 1) if log_line(line) is None]
    if spoilt:
        yield Damage("run.jsonl", f"line {spoilt[0]} cannot be read", "run.jsonl", "written again without such lines")


def _findings(folder: RunFolder, checked: Checked) -> Iterator[Damage]:
    path = "analysis/inputs.json"
    yield from _sealed(folder, path, MADE)
    if not os.path.lexists(folder.root / path) and _entries(folder.analysis):
        yield Damage(path, "is missing", path, MADE)
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
    except (FileNotFoundError, NotADirectoryError):
        if path == "lock.json" and folder.exists():
            yield Damage(path, "is missing", path, heals)
    except Damaged as error:
        yield Damage(path, error.what, path, heals)


def _entries(folder: Path, suffix: str = "") -> list[str]:
    if not folder.is_dir():
        return []
    with os.scandir(folder) as entries:
        return sorted(e.name for e in entries if e.name.endswith(suffix) and not e.name.startswith(TEMPORARY))
