"""Verbs on run folders and matrix files of growing size: seconds and peak memory, each in a process of its own.

The folders are those of ``scale_study``; a long CSV stands beside what pandas needs to read it into a matrix.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks import harness
from benchmarks.harness import Report, Row
from benchmarks.scale_study import Size, write_run, write_study

# Seconds wanted at most of the largest size.
WANTED = {"ls": 10.0, "traits": 60.0, "effects": 60.0, "report": 60.0, "check": 10.0, "traits of a CSV": 60.0}
PIVOT = "import sys, pandas; pandas.read_csv(sys.argv[1]).pivot(index='model', columns='task', values='value')"


@dataclass(frozen=True)
class Sizes:
    """Run folders (models, targets), rows of long CSV files (models, tasks), and the study that is checked."""

    folders: tuple[tuple[int, int], ...] = ((50, 40), (200, 100))
    files: tuple[tuple[int, int], ...] = ((50, 40), (250, 200))
    check: tuple[int, int] = (200, 100)
    verbs: tuple[str, ...] = ("ls", "traits", "effects", "report")
    limit_s: float = 600.0


SIZES = {
    "default": Sizes(),
    "full": Sizes(((50, 40), (200, 100), (1000, 200)), ((50, 40), (250, 200), (5000, 200)), (1001, 200)),
    "tiny": Sizes(((4, 4),), ((12, 6),), (4, 4), verbs=("ls",)),
}


@dataclass(frozen=True)
class Spent:
    """Wall seconds and peak resident bytes of a process; ``ended`` is False where it failed or took too long."""

    seconds: float
    peak: int
    ended: bool


def spend(command: Sequence[str], limit_s: float) -> Spent:
    """Runs a command and measures it alone."""
    begun = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while True:
            pid, status, usage = os.wait4(process.pid, os.WNOHANG)
            if pid:
                process.returncode = os.waitstatus_to_exitcode(status)
                break
            if time.perf_counter() - begun > limit_s:
                process.kill()
            time.sleep(0.02)
    factor = 1 if sys.platform == "darwin" else 1024
    return Spent(time.perf_counter() - begun, usage.ru_maxrss * factor, process.returncode == 0)


def verb(*words: str, limit_s: float) -> Spent:
    """A verb of the command line."""
    return spend([sys.executable, "-m", "traitscope", *words], limit_s)


def long_file(path: Path, models: int, tasks: int) -> Path:
    """A long CSV of scores with four directions and noise."""
    rng = np.random.default_rng(0)
    scores_IN = 0.5 + 0.05 * rng.normal(size=(models, 4)) @ rng.normal(size=(4, tasks))
    scores_IN += 0.02 * rng.normal(size=scores_IN.shape)
    columns = {
        "model": np.repeat([f"model{i:04d}" for i in range(models)], tasks),
        "task": np.tile([f"task{n:04d}" for n in range(tasks)], models),
        "value": np.clip(scores_IN, 0.01, 0.99).round(4).ravel(),
    }
    pd.DataFrame(columns).to_csv(path, index=False)
    return path


def run(sizes: Sizes, out: Path) -> Report:
    """Every verb at every size; a ratio below one is time left of what is wanted of the largest."""
    report = Report("scale")

    def add(name: str, what: str, spent: Spent, peer: tuple[str, float] | None = None) -> None:
        told = f"{spent.peak / 2**20:.0f} MB" + ("" if spent.ended else ", not ended")
        whom, theirs = peer or ("wanted at most", WANTED[name])
        details = {"peak_bytes": spent.peak, "ended": spent.ended}
        ratio = theirs / spent.seconds
        report.rows.append(Row(f"{name}, {what}", whom, "s", theirs, spent.seconds, ratio, None, told, None, details))

    with tempfile.TemporaryDirectory() as place:
        for models, targets in sizes.folders:
            size = Size(models, targets, eval_rows=20)
            folder = write_run(write_study(Path(place) / f"{models}x{targets}", size))
            for name in sizes.verbs:
                words = ("ls", "cells") if name == "ls" else (name,)
                add(name, f"{size.cells:,} cells", verb(*words, str(folder), limit_s=sizes.limit_s))
        study = write_study(Path(place) / "check", Size(*sizes.check))
        what = f"{sizes.check[0] - 1:,} sources x {sizes.check[1]} targets"
        add("check", what, verb("check", "--no-prompts", str(study), limit_s=sizes.limit_s))
        for models, tasks in sizes.files:
            file = long_file(Path(place) / f"{models}x{tasks}.csv", models, tasks)
            ours = verb("traits", str(file), limit_s=sizes.limit_s)
            add("traits of a CSV", f"{models * tasks:,} rows", ours)
            pivot = spend([sys.executable, "-c", PIVOT, str(file)], sizes.limit_s)
            add("traits of a CSV", f"{models * tasks:,} rows", ours, ("pandas read_csv and pivot", pivot.seconds))
    report.notes.append("each verb in a process of its own, its start of about two seconds included; 20 rows a cell")
    report.notes.append("peak memory stands in the last column; targets are what is wanted of the largest size")
    return report


if __name__ == "__main__":
    harness.main("scale", run, SIZES)
