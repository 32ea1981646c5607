"""The run folder: where everything of a study lies, and the few ways in which it is written."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from traitscope.errors import TraitscopeError
from traitscope.records import Example, StepRecord
from traitscope.store.adapters import CARD, AdapterHead, mark_adapter, write_adapter
from traitscope.store.cells import CellStore
from traitscope.store.checked import Checked, sha256_of
from traitscope.store.files import (
    disk_errors,
    move_folder,
    read_file,
    sweep,
    temporary,
    write_atomic,
)
from traitscope.store.fingerprints import RowsHash
from traitscope.store.leases import Leases
from traitscope.store.log import append_line, log_line
from traitscope.store.places import FOLDERS, STARTED, refuse_place
from traitscope.store.seal import Damaged, read_sealed, sealed
from traitscope.store.tables import examples_bytes, examples_from, history_bytes, read_marks, read_parquet

if TYPE_CHECKING:
    import pyarrow as pa

_REWRITTEN = "traitscope run: it goes to quarantine/ and is written again"
_RETRAINED = "traitscope run: this adapter alone goes to quarantine/ and is trained anew"


class RunFolder:
    """Paths, atomic writes and commit marks of one study's folder.

    Nothing is created before the first write, so that a folder can be read wherever it lies.

    Raises:
        TraitscopeError: there is a file in the folder's place, or its path is no place for one.
    """

    def __init__(self, root: Path) -> None:
        refuse_place(root)
        self.root = root
        self.cells = CellStore(root / "cells")
        self._rows: dict[str, tuple[tuple[int, int], RowsHash]] = {}
        self._local: tuple[tuple[int, int, int], dict[str, Any]] | None = None

    @cached_property
    def checked(self) -> Checked:
        """Which files were found to be what was written; as ``local.json`` remembers them."""
        known = self.read_local().get("checked")
        return Checked(self.root, known if isinstance(known, dict) else {})

    @property
    def study_file(self) -> Path:
        """The copy of the study file."""
        return self.root / "study.yaml"

    @property
    def analysis(self) -> Path:
        """Where findings go."""
        return self.root / "analysis"

    @property
    def hidden(self) -> Path:
        """Where the base's mean hidden states of the datasets lie."""
        return self.root / "hidden"

    def hidden_path(self, dataset: str) -> Path:
        """The base's mean hidden states of one dataset."""
        return self.hidden / f"{dataset}.safetensors"

    @property
    def gradients(self) -> Path:
        """Where the datasets' mean gradients lie."""
        return self.root / "gradients"

    def gradient_path(self, dataset: str) -> Path:
        """The mean gradient of one dataset."""
        return self.gradients / f"{dataset}.safetensors"

    def exists(self) -> bool:
        """True if a study has been started here (a study file alone does not make a run folder)."""
        return self.study_file.is_file() and any((self.root / name).exists() for name in STARTED)

    def holds_any(self) -> bool:
        """True if anything of a study lies here, whatever of it was lost."""
        return self.exists() or any((self.root / name).is_dir() for name in ("cells", "adapters", "analysis"))

    def leases(self, *, beat_s: float = 5.0, stale_s: float = 60.0) -> Leases:
        """The leases of this folder for this process."""
        return Leases(self.root / "leases", beat_s=beat_s, stale_s=stale_s)

    def prepare(self) -> None:
        """Makes the folder and removes what killed processes left half-written.

        Raises:
            TraitscopeError: the folder cannot be written.
        """
        with disk_errors(self.root):
            self.root.mkdir(parents=True, exist_ok=True)
            probe = temporary(self.root / "probe")
            probe.write_bytes(b"")
            probe.unlink()
        for folder in ("", *FOLDERS):
            sweep(self.root / folder)
        for folder in ("cells", "checkpoints"):
            for entry in os.scandir(self.root / folder) if (self.root / folder).is_dir() else ():
                sweep(Path(entry.path))

    # ---- study, lock, log

    def write_if_changed(self, path: Path, data: bytes) -> bool:
        """Writes a file unless it already holds exactly this; True if it was written."""
        if path.is_file() and path.read_bytes() == data:
            return False
        write_atomic(path, data)
        return True

    def read_lock(self) -> dict[str, Any] | None:
        """``lock.json``, or None in a new folder.

        Raises:
            Damaged: it is not what was written.
        """
        try:
            return read_sealed(self.root / "lock.json", fix=_REWRITTEN)
        except FileNotFoundError:
            return None

    def log(self, event: str, **fields: Any) -> None:
        """Appends a line with time, host and process to ``run.jsonl``, the only place that holds times."""
        line = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "host": os.uname().nodename,
            "pid": os.getpid(),
            "event": event,
            **fields,
        }
        append_line(self.root / "run.jsonl", line)

    def read_log(self) -> list[dict[str, Any]]:
        """The log's lines; a line cut short by a kill is left out."""
        return [told for line in self.read_lines() if (told := log_line(line)) is not None]

    def read_lines(self) -> list[bytes]:
        """The log's lines as they stand."""
        path = self.root / "run.jsonl"
        return [line for line in path.read_bytes().split(b"\n") if line] if path.is_file() else []

    def read_local(self) -> dict[str, Any]:
        """``local.json``: what holds on this machine only (where the data lies, fingerprints of its rows)."""
        path = self.root / "local.json"
        try:
            status = path.stat()
            mark = (status.st_ino, status.st_size, status.st_mtime_ns)
            if self._local is None or self._local[0] != mark:
                self._local = mark, read_sealed(path, fix="delete it")
            return self._local[1]
        except (OSError, TraitscopeError):
            return {}

    def write_local(self, value: Mapping[str, Any]) -> None:
        """Replaces ``local.json``, with what was ``checked``; it is a cache and may be deleted."""
        self.write_if_changed(
            self.root / "local.json", sealed({**value, "checked": self.checked.to_json()}, "local.json")
        )

    # ---- tasks

    def write_task(
        self, task: str, splits: Mapping[str, Sequence[Example]], marks: Mapping[str, str] | None = None
    ) -> str:
        """Writes ``tasks/<task>.parquet``: the rendered rows of both splits and their marks; gives its SHA-256."""
        content = examples_bytes(splits, marks)
        self.write_if_changed(self.task_path(task), content)
        return sha256_of(content)

    def task_path(self, task: str) -> Path:
        """The rendered rows of a task."""
        return self.root / "tasks" / f"{task}.parquet"

    def task_marks(self, task: str) -> dict[str, str] | None:
        """The marks of a task's file, without its rows; None if it is not there."""
        return read_marks(self.task_path(task))

    def read_task(self, task: str) -> dict[str, list[Example]]:
        """The rendered rows of a task by split (``train``, ``eval``). Errors as of ``task_table``."""
        return {"train": [], "eval": [], **examples_from(self.task_table(task))}

    def task_table(self, task: str) -> pa.Table:
        """The same as an Arrow table.

        Raises:
            TraitscopeError: the task was never written here, or the file is damaged.
        """
        path = self.task_path(task)
        known = (self.read_lock() or {}).get("tasks", {}).get(task, {}).get("sha256")
        try:
            data = read_file(path)
        except FileNotFoundError:
            if known is not None:
                raise Damaged("is missing", where=str(path), fix="traitscope run writes it again") from None
            raise TraitscopeError("there is no such task", where=str(path), fix="traitscope ls tasks") from None
        if known is not None and known != sha256_of(data):
            raise Damaged("is not the file that was written (sha256 differs)", where=str(path), fix=_REWRITTEN)
        return read_parquet(data, where=str(path), fix=_REWRITTEN)

    def task_rows(self, task: str) -> RowsHash:
        """Fingerprints of a task's stored evaluation rows; none where they are gone."""
        path = self.task_path(task)
        try:
            status = path.stat()
        except OSError:
            return RowsHash(())
        mark = (status.st_mtime_ns, status.st_ino)
        if self._rows.get(task, (None,))[0] != mark:
            self._rows[task] = (mark, RowsHash(self.read_task(task)["eval"]))
        return self._rows[task][1]

    # ---- adapters

    def adapter_path(self, name: str) -> Path:
        """An adapter's folder, in PEFT's format."""
        return self.root / "adapters" / name

    def adapter(self, name: str) -> AdapterHead | None:
        """The commit mark of an adapter, or None if it is not finished.

        Raises:
            TraitscopeError: the mark is damaged.
        """
        path = self.adapter_path(name) / "unit.json"
        try:
            head = read_sealed(path, fix=_RETRAINED)
        except (FileNotFoundError, NotADirectoryError):
            return None
        head = {"card": "", **head}
        if any(key not in head for key in AdapterHead.__slots__):
            raise Damaged("is damaged: keys are missing", where=str(path), fix=_RETRAINED)
        if head["name"] != name:
            raise Damaged(f"is the adapter {head['name']}", where=str(path), fix=_RETRAINED)
        return AdapterHead(**{key: head[key] for key in AdapterHead.__slots__})

    def adapters(self) -> list[AdapterHead]:
        """All finished adapters, by name."""
        folder = self.root / "adapters"
        names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
        heads = (self.adapter(name) for name in names if not name.startswith("."))
        return [head for head in heads if head is not None]

    def stage_adapter(
        self,
        head: AdapterHead,
        config: Mapping[str, Any],
        tensors: Mapping[str, NDArray[np.floating]],
        card: str,
        history: Sequence[StepRecord],
    ) -> Path:
        """Writes an adapter with its commit mark into a fresh temporary folder, before ``commit_adapter``.

        Args:
            head: the mark; its ``files`` are filled in here.
            config, tensors, card: see ``store.adapters.write_adapter``.
            history: every training step.
        """
        made = temporary(self.adapter_path(head.name))
        try:
            with disk_errors(made):
                made.mkdir(parents=True)
                write_adapter(made, config, tensors, card)
                (made / "train.parquet").write_bytes(history_bytes(history))
                mark_adapter(made, replace(head, card=card))
        except BaseException:
            shutil.rmtree(made, ignore_errors=True)  # what fills a disk must not stay on it
            raise
        return made

    def restage_adapter(self, head: AdapterHead, fresh: AdapterHead) -> Path:
        """A copy of a committed adapter under another mark and card, for ``commit_adapter``."""
        made = temporary(self.adapter_path(fresh.name))
        with disk_errors(made):
            shutil.copytree(self.adapter_path(head.name), made)
            (made / CARD).write_bytes(fresh.card.encode())
            (made / "unit.json").unlink()
            mark_adapter(made, fresh)
        return made

    def commit_adapter(self, made: Path, name: str) -> bool:
        """Puts a finished adapter under its name in one step; False if there already was one."""
        final = self.adapter_path(name)
        if final.exists() and not (final / "unit.json").exists():
            shutil.rmtree(final)
        return move_folder(made, final)

    # ---- plans and checkpoints

    def plan_path(self, bank: str) -> Path:
        """The recorded plan of a training bank."""
        return self.root / "plan" / f"{bank}.json"

    def checkpoint_path(self, bank: str) -> Path:
        """Where the states of a bank in training lie, each under its own SHA-256."""
        return self.root / "checkpoints" / bank

    def write_checkpoint(self, bank: str, state: bytes) -> None:
        """Keeps a state that a backend handed over, in place of the one before."""
        path = self.checkpoint_path(bank) / f"{sha256_of(state)}.safetensors"
        write_atomic(path, state)
        for other in path.parent.glob("*.safetensors"):
            if other != path:
                other.unlink(missing_ok=True)

    def read_checkpoint(self, bank: str) -> bytes | None:
        """The last whole state that a backend handed over, or None."""
        with suppress(OSError):
            states = [(path.stat().st_mtime_ns, path) for path in self.checkpoint_path(bank).glob("*.safetensors")]
            for _, path in sorted(states, reverse=True):
                state = read_file(path)
                if sha256_of(state) == path.stem:
                    return state
        return None

    def drop_checkpoint(self, bank: str) -> None:
        """Removes the checkpoint of a finished bank, and the folder of checkpoints once it is empty.

        Several processes may do so at once.
        """
        shutil.rmtree(self.checkpoint_path(bank), ignore_errors=True)
        # It is gone, holds another bank's, or cannot be written: then it stays.
        with suppress(OSError):
            (self.root / "checkpoints").rmdir()

    def set_aside(self, units: Iterable[str], under: str = "replaced") -> Path:
        """Moves files and folders, by their paths in the run folder, into a new folder ``under``; returns where."""
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        aside = self.root / under / f"{stamp}-{uuid.uuid4().hex[:6]}"
        if (self.root / under).exists() and not (self.root / under).is_dir():
            fix = "move it away: what is put aside goes into a folder of this name"
            raise TraitscopeError("is a file", where=str(self.root / under), fix=fix)
        wanted = set(units)
        for unit in wanted:
            if any(str(above) in wanted for above in PurePosixPath(unit).parents):
                continue  # it goes with its folder
            with disk_errors(aside), suppress(FileNotFoundError):
                (self.root / unit).lstat()
                (aside / unit).parent.mkdir(parents=True, exist_ok=True)
                (self.root / unit).rename(aside / unit)
        return aside
