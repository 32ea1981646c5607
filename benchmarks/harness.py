"""What all benchmarks share: equal settings for both sides, measuring, result rows, the table and the JSON files.

Both sides of a comparison run in one process after each other, so that threads, allocator and machine are the same. The
allocator settings are read when a process starts: a benchmark started without them starts itself once more with them.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import resource
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

# glibc gives large freed blocks back to the system and fetches them again at every step; with these it keeps them. A
# stock Trainer, which frees the logits of every step, gains most by it (a factor of three was seen).
SETTINGS = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(1 << 36),
    "PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True",
    "TOKENIZERS_PARALLELISM": "false",
    "HF_HUB_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
}
OUT = Path("build/bench")
PACKAGES = ("torch", "transformers", "peft", "accelerate", "lm-eval", "numpy")


@dataclass
class Span:
    """Wall and CPU seconds of a piece of work; the CPU seconds are those of all threads and of finished children."""

    wall: float = 0.0
    cpu: float = 0.0

    def __add__(self, other: Span) -> Span:
        return Span(self.wall + other.wall, self.cpu + other.cpu)

    def times(self, factor: float) -> Span:
        return Span(self.wall * factor, self.cpu * factor)


@contextmanager
def measured() -> Iterator[Span]:
    """Fills the span that it gives with the time spent inside."""
    gc.collect()
    _wait_for_gpu()
    span = Span()
    wall, cpu = time.perf_counter(), _cpu_seconds()
    yield span
    _wait_for_gpu()
    span.wall, span.cpu = time.perf_counter() - wall, _cpu_seconds() - cpu


def _cpu_seconds() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def _wait_for_gpu() -> None:
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.synchronize()


@dataclass(frozen=True)
class Row:
    """One comparison.

    Attributes:
        what: what was done, with its size.
        peer: who is compared with.
        unit: of ``theirs`` and ``ours``.
        ratio: how many times better ours is.
        cpu_ratio: the same in CPU seconds, which other work on the machine disturbs less; None where there is none.
        target: the ratio aimed at; None where the row only informs.
        equality: how far the results of both sides differ.
        shares: of the least time that the products of the work need at the machine's rate, theirs and ours.
        details: further figures, for the JSON file.
    """

    what: str
    peer: str
    unit: str
    theirs: float
    ours: float
    ratio: float
    target: float | None
    equality: str
    cpu_ratio: float | None = None
    details: dict[str, Any] = field(default_factory=dict)
    shares: tuple[float, float] | None = None


def faster(
    what: str,
    peer: str,
    theirs: Span,
    ours: Span,
    *,
    target: float | None,
    equality: str,
    floor: float | None = None,
    **details: Any,
) -> Row:
    """A row of two times for the same work; ``floor`` is the least wall time that it could take, in seconds."""
    ratio = theirs.wall / ours.wall
    cpu_ratio = theirs.cpu / ours.cpu if ours.cpu and theirs.cpu else None
    seconds = {"peer_cpu_s": theirs.cpu, "our_cpu_s": ours.cpu, **details}
    shares = None if floor is None else (floor / theirs.wall, floor / ours.wall)
    return Row(what, peer, "s", theirs.wall, ours.wall, ratio, target, equality, cpu_ratio, seconds, shares)


@dataclass
class Report:
    """What one benchmark found: its rows, in what words it must be read, and the sizes it ran with."""

    name: str
    rows: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    details: dict[str, Any] = field(default_factory=dict)
    sizes: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    machine: dict[str, Any] = field(default_factory=dict)

    def write(self, folder: Path) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self.name}.json"
        path.write_text(json.dumps(asdict(self), indent=1, default=str) + "\n")
        return path

    @classmethod
    def read(cls, path: Path) -> Report:
        data = json.loads(path.read_text())
        return cls(**{**data, "rows": [Row(**row) for row in data["rows"]]})


def table(reports: Sequence[Report]) -> str:
    """All rows as one Markdown table, and the notes behind it."""
    head: tuple[str, ...] = ("benchmark", "what", "peer", "unit", "theirs", "ours", "ratio", "CPU", "target")
    floors = any(row.shares for report in reports for row in report.rows)
    head = (*head, *("floor",) * floors, "equality")
    lines: list[tuple[str, ...]] = [head, ("---",) * len(head)]
    for report in reports:
        for row in report.rows:
            target = "" if row.target is None else f">= {row.target:g}" + ("" if row.ratio >= row.target else " MISSED")
            cpu = "" if row.cpu_ratio is None else f"{row.cpu_ratio:.2f}"
            numbers = (f"{row.theirs:.4g}", f"{row.ours:.4g}", f"{row.ratio:.2f}", cpu, target)
            share = "" if row.shares is None else f"{row.shares[0]:.0%} / {row.shares[1]:.0%}"
            lines.append((report.name, row.what, row.peer, row.unit, *numbers, *(share,) * floors, row.equality))
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    padded = [
        "| "
        + " | ".join("-" * w if cell == "---" else cell.ljust(w) for cell, w in zip(line, widths, strict=True))
        + " |"
        for line in lines
    ]
    if len(lines) == 2:
        padded = []
    notes = [f"{report.name}: {note}" for report in reports for note in report.notes]
    seconds = ", ".join(f"{report.name} {report.seconds:.0f} s" for report in reports)
    settings = dict.fromkeys(str(report.machine["settings"]) for report in reports if report.machine)
    return "\n".join([*padded, *[""][: len(padded)], *notes, f"time taken: {seconds}", *settings])


def settings_line() -> str:
    """Threads and settings that hold for both sides."""
    torch = sys.modules.get("torch")
    threads = f"{torch.get_num_threads()} torch threads" if torch else "torch threads: its default"
    chosen = " ".join(f"{key}={os.environ.get(key, '(not set)')}" for key in [*SETTINGS, "OMP_NUM_THREADS"])
    return f"both sides alike: {threads}, {cores()} cores, {chosen}"


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def machine() -> dict[str, Any]:
    """What a reader of the JSON needs to know of the machine and the versions."""
    import torch

    found: dict[str, Any] = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "processor": _processor(),
        "cores": cores(),
        "torch_threads": torch.get_num_threads(),
        "load_average": os.getloadavg() if hasattr(os, "getloadavg") else None,
        "settings": settings_line(),
        "versions": {name: version(name) for name in PACKAGES},
    }
    if torch.cuda.is_available():
        found["gpu"] = torch.cuda.get_device_name()
    return found


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def peak_rss() -> int:
    """Largest resident size of this process so far, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def rss() -> int:
    """Resident size of this process now, in bytes."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return peak_rss()
    return pages * os.sysconf("SC_PAGE_SIZE")


def environment() -> dict[str, str]:
    """The environment that a benchmark's process gets."""
    return {**os.environ, **SETTINGS}


def use_settings(module: str, **more: str) -> None:
    """Start this process again with ``SETTINGS``, and ``more`` of the kind, where it lacks them."""
    wanted = {**SETTINGS, **more}
    if any(os.environ.get(key) != value for key, value in wanted.items()):
        os.execve(sys.executable, [sys.executable, "-m", module, *sys.argv[1:]], {**os.environ, **wanted})


def quiet() -> None:
    """Silence the progress bars and advice of the libraries."""
    import logging
    import warnings

    import transformers

    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    for name in ("lm_eval", "lm-eval", "accelerate", "datasets"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore")


Sizes = Mapping[str, Any]


def main(name: str, run: Callable[[Any, Path], Report], sizes: Sizes) -> None:
    """Command line of one benchmark.

    Args:
        name: of the module in this package.
        run: the benchmark; gets its sizes and the folder for what it writes.
        sizes: ``default``, ``full`` and ``tiny`` (the tests' smoke run), each a dataclass.
    """
    use_settings(f"benchmarks.{name}")
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{name}")
    parser.add_argument("--full", action="store_true", help="the full sizes")
    parser.add_argument("--tiny", action="store_true", help="the smallest sizes that run through: proves nothing")
    parser.add_argument("--out", type=Path, default=OUT, help="folder for the JSON file")
    args = parser.parse_args()
    chosen = sizes["tiny" if args.tiny else "full" if args.full else "default"]
    quiet()
    finish(lambda: run(chosen, args.out), "tiny" if args.tiny else "full" if args.full else "default", chosen, args.out)


def finish(run: Callable[[], Report], name: str, sizes: Any, out: Path) -> None:
    """Run a benchmark at these sizes, which have a name; print its table, write its file."""
    start = time.perf_counter()
    report = run()
    report.seconds = time.perf_counter() - start
    report.sizes = {"of": name, **asdict(sizes)}
    report.machine = machine()
    path = report.write(out)
    print(table([report]))
    print(f"written: {path}")
