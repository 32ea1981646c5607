"""What a study of a thousand adapters on many GPUs takes: time, storage, files; arithmetic from measured constants.

``python -m benchmarks.cluster_plan`` prints the table of docs/cluster.md; ``--adapters``, ``--tasks``, ``--gpus`` and
the other sizes are options. Nothing is run.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace

# docs/performance.md, benchmark gpu: one H100 in bf16, ten adapters of rank 16 (rows of 50-500 tokens, 8 a step), and
# 100 examples of 4 options under ten adapters in so many seconds.
TRAINED_PER_S = {"1B": 5.945e4, "8B": 9.957e3}
SCORED_PER_S = {"1B": 10 * 100 / 3.947, "8B": 10 * 100 / 11.69}
# Weights in bf16, and an adapter of rank 16 on all linear layers in fp32 (11.3 and 41.9 million parameters).
BASE_BYTES = {"1B": 2.5e9, "8B": 16.1e9}
ADAPTER_BYTES = {"1B": 45e6, "8B": 168e6}
# docs/performance.md, benchmark scale: seconds for 200,000 cells of 20 rows on two cores, where findings are made.
VERBS_S = {"ls cells": 7.4, "check": 7.3, "traits": 52.0, "effects": 38.0, "report": 38.0}
# Of a run folder, measured on cells of 200 choice rows: a record in Parquet, a cell beside its records, files of units.
RECORD_BYTES = 65.0
CELL_BYTES = 2.1e3
ADAPTER_FILES, CELL_FILES = 5, 2
# Lease, staging, fsync, renames and log line of a cell: measured on ext4, assumed for a network disk.
COMMIT_S = {"local disk": 0.0135, "network disk": 0.05}
# A worker's start: libraries, and the base from a local disk at 1 GB/s; the network of a machine.
LIBRARIES_S, DISK_PER_S, NETWORK_PER_S = 15.0, 1e9, 1.25e9


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """A study and what it runs on."""

    model: str = "1B"
    adapters: int = 1000
    tasks: int = 200
    gpus: int = 64
    gpus_per_machine: int = 8
    train_rows: int = 1000
    train_tokens: int = 150
    epochs: int = 3
    eval_rows: int = 200


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What it takes. Seconds of wall time on all GPUs together, bytes, counts."""

    start_s: float
    train_s: float
    score_s: float
    commit_s: dict[str, float]
    gpu_hours: float
    cells: int
    files: int
    adapter_bytes: float
    cell_bytes: float
    shipped_bytes: float
    shipped_s: float
    lost_s: float


def plan(sizes: Sizes) -> Plan:
    """The arithmetic, from the constants above.

    Banks of equal tokens, one for each GPU; cells go to whoever is free; the run's one process commits them all. A
    scored example has four options, as in the benchmark. What is shipped is every adapter once (a machine that scores
    a group keeps it) and the base once for each machine, all from the run's machine.
    """
    tokens = sizes.adapters * sizes.train_rows * sizes.train_tokens * sizes.epochs
    examples = (sizes.adapters + 1) * sizes.tasks * sizes.eval_rows
    cells = (sizes.adapters + 1) * sizes.tasks
    train_s = tokens / TRAINED_PER_S[sizes.model] / sizes.gpus
    score_s = examples / SCORED_PER_S[sizes.model] / sizes.gpus
    machines = -(-sizes.gpus // sizes.gpus_per_machine)
    adapter_bytes = sizes.adapters * ADAPTER_BYTES[sizes.model]
    # A bank's state: weights and two moments of its adapters.
    state = 3 * ADAPTER_BYTES[sizes.model] * sizes.adapters / sizes.gpus
    shipped = machines * BASE_BYTES[sizes.model] + 2 * adapter_bytes
    return Plan(
        start_s=LIBRARIES_S + BASE_BYTES[sizes.model] / DISK_PER_S,
        train_s=train_s,
        score_s=score_s,
        commit_s={disk: cells * seconds for disk, seconds in COMMIT_S.items()},
        gpu_hours=(train_s + score_s) * sizes.gpus / 3600,
        cells=cells,
        files=sizes.adapters * ADAPTER_FILES + cells * CELL_FILES,
        adapter_bytes=adapter_bytes,
        cell_bytes=cells * (CELL_BYTES + sizes.eval_rows * RECORD_BYTES),
        shipped_bytes=shipped,
        shipped_s=shipped / NETWORK_PER_S,
        lost_s=60 + state / NETWORK_PER_S,
    )


def time_text(seconds: float) -> str:
    """``95 s``, ``12 min``, ``3.4 h``."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def size_text(size: float) -> str:
    """``5.7 GB``."""
    return f"{size / 1e9:.3g} GB" if size < 1e12 else f"{size / 1e12:.3g} TB"


def table(columns: dict[str, Sizes]) -> str:
    """One column for each study."""
    plans = {name: plan(sizes) for name, sizes in columns.items()}
    rows = {
        "training": lambda p: time_text(p.train_s),
        "scoring": lambda p: time_text(p.score_s),
        "GPU hours": lambda p: f"{p.gpu_hours:,.0f}",
        "start of a worker": lambda p: time_text(p.start_s),
        "commits by one process, local disk": lambda p: time_text(p.commit_s["local disk"]),
        "commits by one process, network disk": lambda p: time_text(p.commit_s["network disk"]),
        "cells": lambda p: f"{p.cells:,}",
        "files": lambda p: f"{p.files:,}",
        "adapters": lambda p: size_text(p.adapter_bytes),
        "cells' records": lambda p: size_text(p.cell_bytes),
        "sent without a shared disk": lambda p: f"{size_text(p.shipped_bytes)}, {time_text(p.shipped_s)}",
        "lost with a machine, at most": lambda p: f"{time_text(p.lost_s)} of its banks",
    }
    lines = [f"| | {' | '.join(columns)} |", f"| --- |{' --- |' * len(columns)}"]
    lines += [f"| {name} | {' | '.join(tell(p) for p in plans.values())} |" for name, tell in rows.items()]
    return "\n".join(lines)


def main() -> None:
    """Prints the table, for both models."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cluster_plan", description=__doc__)
    known = {name: value for name, value in vars(Sizes()).items() if name != "model"}
    for name, value in known.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=value)
    asked = Sizes(**vars(parser.parse_args()))
    names = {f"{model}, {asked.gpus} GPUs": replace(asked, model=model) for model in TRAINED_PER_S}
    print(table(names))


if __name__ == "__main__":
    main()
