"""Processes that run a study, and what must be the same in the folders they fill."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


class Forks:
    """Processes that run a study, forked from a parent that holds the imports; they are real and may be killed."""

    def __init__(self) -> None:
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        self._parent = subprocess.Popen(
            [sys.executable, str(HERE / "forks.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )

    def _ask(self, **request: object) -> dict[str, int]:
        assert self._parent.stdin is not None and self._parent.stdout is not None
        self._parent.stdin.write(json.dumps(request) + "\n")
        self._parent.stdin.flush()
        return dict(json.loads(self._parent.stdout.readline()))

    def start(self, study: Path, out: Path, *, every_s: float = 0.0, stale_s: float = 60.0) -> int:
        """Runs the study in a new process; gives its id."""
        return self._ask(do="start", study=str(study), out=str(out), every_s=every_s, stale_s=stale_s)["pid"]

    def wait(self, pid: int, seconds: float | None = None) -> int | None:
        """Its exit status (negative: the signal that ended it), or None if it still runs after ``seconds``."""
        return self._ask(do="wait", pid=pid, seconds=seconds)["status"]

    def kill(self, pid: int) -> None:
        """SIGKILL, and the wait for it."""
        os.kill(pid, signal.SIGKILL)
        self.wait(pid)

    def close(self) -> None:
        """Ends the parent."""
        assert self._parent.stdin is not None
        self._parent.stdin.close()
        self._parent.wait(20)


def snapshot(folder: Path) -> dict[str, str]:
    """sha256 of every file that must be the same for the same study and plan: no log, no cache, nothing put aside."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        cache = name.endswith(("run.jsonl", "local.json", "leases/.guard", "/index.json"))
        if path.is_file() and not cache and not name.startswith("quarantine/"):
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def log_of(folder: Path, event: str) -> list[str]:
    """The units that the log names for an event."""
    lines = (json.loads(line) for line in (folder / "run.jsonl").read_text().splitlines())
    return [line["unit"] for line in lines if line["event"] == event]
