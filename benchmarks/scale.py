"""Seconds and memory of the verbs over run folders of up to 200,000 cells, and over tables of up to a million rows.

Every verb runs in a process of its own over a folder that ``scale_folder`` has written as the store writes it. Limits
stand where a peer would; a table is read beside pandas and scikit-learn.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from benchmarks import harness
from benchmarks.harness import Report, Row, environment
from benchmarks.scale_folder import write_folder, write_long_csv, write_study

# Verb, its arguments, seconds at the full size.
VERBS = {
    "ls cells": 10,
    "ls adapters": 10,
    "plan": 60,
    "traits": 60,
    "stats": 60,
    "effects": 60,
    "report": 60,
    "run": 60,
}
GIGABYTES = 4.0

# Runs the command line, then says the largest memory it had.
_WRAPPED = """
import resource, sys, time
from traitscope.cli import main
start = time.perf_counter()
try:
    main()
except SystemExit as stop:
    code = stop.code or 0
else:
    code = 0
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
if sys.platform == "linux":  # where that is at least what the parent had
    peak = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")) * 1024
print("measured", time.perf_counter() - start, peak, file=sys.stderr)
raise SystemExit(code)
"""

_PEER = """
import sys
import pandas as pd
from sklearn.decomposition import PCA
wide = pd.read_csv(sys.argv[1]).pivot_table(index="model", columns="task", values="value")
PCA().fit((wide - wide.mean()) / wide.std())
"""


@dataclass(frozen=True)
class Sizes:
    """Models x tasks of the folders and of the study that is checked, and of the tables."""

    folders: tuple[tuple[int, int], ...] = ((20, 10), (60, 40))
    checked: tuple[int, int] = (200, 100)
    tables: tuple[tuple[int, int], ...] = ((500, 100),)
    patience_s: float = 600.0


SIZES = {
    "default": Sizes(),
    "full": Sizes(((60, 40), (200, 100), (1000, 200)), (1000, 200), ((500, 100), (5000, 200)), 1200.0),
    "tiny": Sizes(((6, 4),), (6, 4), ((8, 5),)),
}


def run(sizes: Sizes, out: Path) -> Report:
    """All measurements, in a temporary folder."""
    report = Report("scale")
    folder = Path(tempfile.mkdtemp(prefix="scale-"))
    try:
        for models, tasks in sizes.folders:
            place = folder / f"{models}x{tasks}"
            write_folder(place, models, tasks)
            for verb, limit in VERBS.items():
                at_full = (models, tasks) == (1000, 200)
                report.rows.append(
                    _measure(f"{verb}, {models * tasks:,} cells", verb, place / "study.yaml", limit, at_full, sizes)
                )
            shutil.rmtree(place)
        models, tasks = sizes.checked
        study = write_study(folder / "checked", models, tasks)
        at_full = (models, tasks) == (1000, 200)
        report.rows.append(_measure(f"check, {models} x {tasks}", "check", study, 10, at_full, sizes))
        for models, tasks in sizes.tables:
            table = write_long_csv(folder / "table.csv", models, tasks)
            at_full = models * tasks == 1_000_000
            report.rows.append(_measure(f"traits of {models * tasks:,} rows", "traits", table, 60, at_full, sizes))
            report.rows.append(_beside_pandas(table, models * tasks, report.rows[-1].ours))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    report.notes.append("a limit stands in the place of a peer; it counts at the full size; memory in the JSON file")
    return report


def _measure(what: str, verb: str, path: Path, limit: float, counts: bool, sizes: Sizes) -> Row:
    command = [sys.executable, "-c", _WRAPPED, *verb.split(), str(path)]
    try:
        done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=sizes.patience_s)
    except subprocess.TimeoutExpired:
        return Row(what, "limit", "s", limit, float("inf"), 0.0, 1.0 if counts else None, "did not end")
    told = [line.split() for line in done.stderr.splitlines() if line.startswith("measured ")]
    if done.returncode or not told:
        raise RuntimeError(f"{verb} of {path} ended with {done.returncode}: {done.stderr[-2000:]}")
    seconds, gigabytes = float(told[-1][1]), float(told[-1][2]) / 1e9
    memory = f"{gigabytes:.2f} GB" + (" MISSED" if counts and gigabytes > GIGABYTES else "")
    return Row(
        what, "limit", "s", limit, seconds, limit / seconds, 1.0 if counts else None, memory, details={"gb": gigabytes}
    )


def _beside_pandas(table: Path, rows: int, ours: float) -> Row:
    with harness.measured() as span:
        subprocess.run([sys.executable, "-c", _PEER, str(table)], env=environment(), check=True)
    what = f"traits of {rows:,} rows, with number of traits, errors and names"
    return Row(what, "pandas + sklearn PCA alone", "s", span.wall, ours, span.wall / ours, None, "")


if __name__ == "__main__":
    harness.main("scale", run, SIZES)
