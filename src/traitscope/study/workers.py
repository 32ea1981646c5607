"""Several processes of this machine on one run: on a CPU they use its cores better than threads do.

Every process is an ordinary run on the same folder; leases keep them apart. The first process plans one bank for each.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

from traitscope.compute import cores
from traitscope.study.planning import model_shape

# Set for the processes that a run starts: how many there are in all.
WORKERS = "TRAITSCOPE_WORKERS"
# A second process has to load torch and the base; below this many seconds of work it does not pay.
WORTH_S = 20.0
# What one core of a slow machine reaches in a frozen model's passes; only the order of magnitude matters.
SLOW_FLOPS = 4e10
# Models above this size are left to one process: its matrix products fill all cores, and every process holds a copy.
SMALL_PARAMETERS = 200_000_000
CHARACTERS_PER_TOKEN = 4


class _Sized(Protocol):
    @property
    def prompt(self) -> str: ...
    @property
    def answer(self) -> str: ...


def in_crew() -> int:
    """Number of processes of the run that started this one; 0 if nobody did."""
    return int(os.environ.get(WORKERS, "0"))


def crew_size(asked: int | str, device: str, model: str, trained: Sequence[_Sized], evaluated: Sequence[_Sized]) -> int:
    """How many processes a run is worth.

    Args:
        asked: ``compute.workers``.
        device: ``compute.device``.
        trained, evaluated: every row that passes through the model, as often as it does.
    """
    if in_crew():
        return in_crew()
    if asked != "auto":
        return int(asked)
    if device not in ("auto", "cpu") or cores() == 1 or (device == "auto" and _has_gpu()):
        return 1
    shape = model_shape(model)
    if shape is None or shape.parameters > SMALL_PARAMETERS:
        return 1
    tokens = [
        sum(len(row.prompt) + len(row.answer) for row in rows) / CHARACTERS_PER_TOKEN for rows in (trained, evaluated)
    ]
    seconds = shape.parameters * (4 * tokens[0] + 2 * tokens[1]) / SLOW_FLOPS
    return cores() if seconds > WORTH_S else 1


def _has_gpu() -> bool:
    return Path("/dev/nvidiactl").exists() or Path("/dev/kfd").exists() or sys.platform == "darwin"


def split(jobs: Sequence[Any], parts: int) -> list[list[int]]:
    """Indices of the jobs in at most ``parts`` groups of about equal tokens, largest job first."""
    groups: list[list[int]] = [[] for _ in range(min(parts, len(jobs)))]
    load = [0] * len(groups)
    for index in sorted(range(len(jobs)), key=lambda i: (-jobs[i].n_tokens, jobs[i].name)):
        least = load.index(min(load))
        groups[least].append(index)
        load[least] += jobs[index].n_tokens
    return [sorted(group) for group in groups]


class Crew:
    """The other processes of a run, ended with it.

    Args:
        folder: the run folder, already prepared.
        verb: ``run``, ``train`` or ``eval``.
        size: processes in all, this one included.
    """

    def __init__(self, folder: Path, verb: str, size: int) -> None:
        self.folder = folder
        self.verb = verb
        self.size = size
        self._running: list[tuple[subprocess.Popen[bytes], Any]] = []

    def __enter__(self) -> Crew:
        if self.size > 1 and not in_crew():
            threads = str(max(1, cores() // self.size))
            environment = {**os.environ, WORKERS: str(self.size), "OMP_NUM_THREADS": threads}
            command = [sys.executable, "-m", "traitscope", self.verb, str(self.folder), "--quiet"]
            for _ in range(self.size - 1):
                said = tempfile.TemporaryFile()
                # A session of its own: Ctrl-C reaches the run, which then asks its processes to stop.
                process = subprocess.Popen(
                    command,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=said,
                    start_new_session=True,
                )
                self._running.append((process, said))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process, _ in self._running:
            if kind is not None:
                process.terminate()
        for process, said in self._running:
            process.wait()
            said.close()

    def complaints(self) -> list[str]:
        """The last words of processes that ended in an error; each is told once."""
        found = []
        for process, said in list(self._running):
            if process.poll() not in (None, 0):
                said.seek(0)
                words = said.read().decode(errors="replace").strip()
                found.append(words.splitlines()[-1] if words else f"exit status {process.returncode}")
                said.close()
                self._running.remove((process, said))
        return found


def orphaned(parent: int) -> bool:
    """True for a process of a crew whose run is gone."""
    return bool(in_crew()) and os.getppid() != parent
