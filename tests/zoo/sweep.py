"""Judges many cases, each in a process that can be lost: ``python -m zoo.sweep`` (from tests/) is that process.

A case that hangs or kills its process is a verdict too, and the rest goes on. Verdicts are appended to a file and hold
for as long as the engine's source, this folder's rules and the libraries' versions are the same.
"""

from __future__ import annotations

import argparse
import faulthandler
import json
import os
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
VERDICTS = ROOT / "build" / "zoo" / "verdicts.jsonl"

# Seconds after which a case counts as hanging: several times what the slowest takes on a busy machine.
HANG = 300


def state() -> dict[str, str]:
    """What a verdict depends on beside its case."""
    files = [*sorted((ROOT / "src/traitscope/engine").glob("*.py")), *(ROOT / "tests/zoo" / f for f in RULES)]
    source = sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:16]
    return {"source": source} | {name: version(name) for name in ("torch", "transformers", "peft")}


RULES = ("build.py", "judge.py")


def known(path: Path = VERDICTS, *, stale: bool = False) -> dict[str, dict[str, Any]]:
    """Verdicts by case, of today's state or, with ``stale``, the newest of any."""
    now, found = state(), {}
    for line in path.read_text().splitlines() if path.is_file() else []:
        verdict = json.loads(line)
        if stale or verdict["state"] == now:
            found[verdict["case"]] = verdict
    return found


def sweep(names: Iterable[str], path: Path = VERDICTS, *, stale: bool = False) -> dict[str, dict[str, Any]]:
    """The verdicts of these cases; those that are not known yet are found, one after the other."""
    names = list(names)
    path.parent.mkdir(parents=True, exist_ok=True)
    found = known(path, stale=stale)
    left = [name for name in names if name not in found]
    now = state()
    while left:
        for verdict in judged(left):
            with path.open("a") as out:
                out.write(json.dumps(verdict | {"state": now}) + "\n")
            found[verdict["case"]] = verdict
        left = [name for name in left if name not in found]
    return {name: found[name] for name in names}


def judged(names: list[str]) -> Iterator[dict[str, Any]]:
    """Judge cases in one process, up to the one that ends it, if any."""
    paths = os.pathsep.join([str(ROOT / "src"), str(ROOT / "tests")])
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": paths, "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-m", "zoo.sweep", *names]
    with tempfile.TemporaryFile("w+") as errors:
        with subprocess.Popen(
            command, cwd=ROOT / "tests", stdout=subprocess.PIPE, stderr=errors, text=True, env=environment
        ) as child:
            assert child.stdout is not None
            left = iter(names)
            for line in child.stdout:
                next(left)
                yield json.loads(line)
        lost = next(left, None)
        if lost is not None:
            errors.seek(0)
            said = " | ".join(errors.read().strip().splitlines()[-12:])[-1500:]
            yield {"case": lost, "kind": "traceback", "errors": {"process": f"ended with {child.returncode}: {said}"}}


def main() -> None:
    """One line of JSON for every case that is named."""
    parser = argparse.ArgumentParser(prog="python -m zoo.sweep", description=__doc__)
    parser.add_argument("cases", nargs="+")
    warnings.filterwarnings("ignore")
    import torch
    import transformers

    from zoo.cases import CASES

    transformers.logging.set_verbosity_error()
    torch.set_num_threads(1)
    for name in parser.parse_args().cases:
        faulthandler.dump_traceback_later(HANG, exit=True)
        verdict = CASES[name].verdict()
        print(json.dumps({"case": name, "kind": verdict.kind, **asdict(verdict)}), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
