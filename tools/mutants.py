"""Small bugs planted one by one, each held against the tests that should notice it: ``python tools/mutants.py``.

``tools/mutants.yaml`` lists them by source file: the exact text, what takes its place, the tests to run, and what it
breaks. The tree is never written to: a mutant lives in a temporary copy of ``src`` that comes first on the path. A
parent that has imported the slow libraries forks a process per mutant. Exit status 1 if a mutant survives or its text
no longer occurs exactly once.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
LIBRARIES = ("pytest", "numpy", "pandas", "scipy.stats", "sklearn.decomposition", "torch", "transformers", "peft")
VERDICTS = ("killed", "survived", "equivalent", "stale")
TIMEOUT_S = 300.0


@dataclass(frozen=True)
class Mutant:
    """One planted bug.

    Attributes:
        file: below ``src/traitscope``.
        old, new: the text that occurs exactly once, and what replaces it.
        tests: files or test ids to run.
        why: what it breaks.
        equivalent: why no test can tell it from the original, for one that changes no behaviour.
    """

    file: str
    old: str
    new: str
    tests: tuple[str, ...]
    why: str
    equivalent: str = ""

    @property
    def folder(self) -> str:
        """The package it lies in."""
        return self.file.split("/", 1)[0]

    @property
    def label(self) -> str:
        """What it is called in the table."""
        return f"{self.file}: {self.why}"


def read_mutants(path: Path) -> list[Mutant]:
    """The list, file by file; ``tests`` of a file hold for its mutants that name none."""
    found = []
    for file, entry in yaml.safe_load(path.read_text(encoding="utf-8")).items():
        for item in entry["mutants"]:
            tests = tuple(item.pop("tests", entry["tests"]))
            found.append(Mutant(file=file, tests=tests, **item))
    return found


def mutated(mutant: Mutant) -> str | None:
    """The file's text with the bug in it; None where the text does not occur exactly once."""
    path = ROOT / "src/traitscope" / mutant.file
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    return text.replace(mutant.old, mutant.new) if text.count(mutant.old) == 1 else None


def run_tests(source: Path, tests: list[str]) -> int:
    """Starts pytest in a forked process with ``source`` first on its path; gives the process id."""
    pid = os.fork()
    if pid:
        return pid
    code = 3
    try:
        os.setsid()
        os.chdir(ROOT)
        os.environ["PYTHONPATH"] = str(source)
        sys.path.insert(0, str(source))
        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, 1)
        os.dup2(quiet, 2)
        import pytest

        options = ["-q", "-x", "-m", "not verify", "-p", "no:cacheprovider", "--no-header"]
        code = int(pytest.main([*options, *tests]))
    finally:
        os._exit(code)


def wait_for(running: dict[int, float]) -> tuple[int, int]:
    """The next process of ``running`` (id -> start) that ends, and its exit status; one that hangs is killed."""
    while True:
        for pid, began in running.items():
            done, status = os.waitpid(pid, os.WNOHANG)
            if done or time.monotonic() - began > TIMEOUT_S:
                # With what a test that failed half way has left running.
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(pid, signal.SIGKILL)
            if done:
                return pid, os.waitstatus_to_exitcode(status)
        time.sleep(0.05)


def plant(mutant: Mutant, text: str, place: Path) -> Path:
    """A copy of ``src`` made of links, with one file of its own; gives its path."""
    source = place / "src"
    shutil.copytree(ROOT / "src", source, copy_function=os.symlink)
    file = source / "traitscope" / mutant.file
    file.unlink()
    file.write_text(text, encoding="utf-8")
    return source


def hunt(mutants: list[Mutant], jobs: int) -> dict[Mutant, str]:
    """The verdict on every mutant, told as it comes."""
    verdicts: dict[Mutant, str] = {}
    running: dict[int, float] = {}
    about: dict[int, tuple[Mutant, Path]] = {}
    waiting = list(mutants)
    while waiting or running:
        while waiting and len(running) < jobs:
            mutant = waiting.pop(0)
            text = mutated(mutant)
            if mutant.equivalent or text is None:
                verdicts[mutant] = "stale" if text is None else "equivalent"
                print(f"{verdicts[mutant]:10} {'':>6} {mutant.label}", flush=True)
                continue
            place = Path(tempfile.mkdtemp(prefix="mutant-"))
            pid = run_tests(plant(mutant, text, place), list(mutant.tests))
            running[pid], about[pid] = time.monotonic(), (mutant, place)
        if running:
            pid, status = wait_for(running)
            seconds = time.monotonic() - running.pop(pid)
            mutant, place = about.pop(pid)
            shutil.rmtree(place)
            # 1: a test failed; 2: a test module could not be imported; below 0: it hung.
            verdicts[mutant] = {0: "survived"}.get(status, "killed")
            if status > 2:
                raise SystemExit(f"pytest ended with status {status} on {mutant.tests}")
            print(f"{verdicts[mutant]:10} {seconds:5.1f}s {mutant.label}", flush=True)
    return verdicts


def table(verdicts: dict[Mutant, str]) -> str:
    """Counts by folder."""
    counts = Counter((mutant.folder, verdict) for mutant, verdict in verdicts.items())
    folders = sorted({mutant.folder for mutant in verdicts})
    rows = [["", *VERDICTS, "share killed"]]
    for name, members in [*((folder, [folder]) for folder in folders), ("all", folders)]:
        numbers = [sum(counts[folder, verdict] for folder in members) for verdict in VERDICTS]
        tried = numbers[0] + numbers[1]
        rows.append([name, *map(str, numbers), f"{numbers[0] / tried:.0%}" if tried else "-"])
    return "\n".join(f"{row[0]:10}" + "".join(f"{cell:>14}" for cell in row[1:]) for row in rows)


def main() -> int:
    """Reads the list, checks that its tests pass without a bug, plants one bug after the other."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", metavar="PATTERN", help="mutants whose file or reason contains this text")
    parser.add_argument("--jobs", type=int, default=1, help="mutants tried at a time")
    parser.add_argument("--list", type=Path, default=Path(__file__).with_suffix(".yaml"), help="another list")
    options = parser.parse_args()
    mutants = [mutant for mutant in read_mutants(options.list) if options.only in mutant.label]
    if not mutants:
        raise SystemExit(f"no mutant's file or reason contains {options.only!r}")
    os.environ.update(OMP_NUM_THREADS="1", PYTHONDONTWRITEBYTECODE="1", HF_HUB_OFFLINE="1")
    sys.dont_write_bytecode = True
    for name in LIBRARIES:
        importlib.import_module(name)
    tests = sorted({test for mutant in mutants for test in mutant.tests})
    began: dict[int, Any] = {run_tests(ROOT / "src", tests): time.monotonic() + 3600.0}
    if wait_for(began)[1]:
        raise SystemExit(f"the tests fail without any bug: pytest -x {' '.join(tests)}")
    verdicts = hunt(mutants, options.jobs)
    print(table(verdicts))
    return int(any(verdict in ("survived", "stale") for verdict in verdicts.values()))


if __name__ == "__main__":
    sys.exit(main())
