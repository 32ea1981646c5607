"""What a study would still do, and roughly what it costs; no weights are loaded for it."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from traitscope.compute.processes import cores
from traitscope.store.shapes import model_shape
from traitscope.study.state import MOST, State, Units

# Share of the measured matrix-product rate that a pass reaches in the end (attention, norms, small products).
EFFICIENCY = 0.35
BYTES = {"fp32": 4.0, "bf16": 2.0, "fp16": 2.0, "fp64": 8.0, "nf4": 0.55}


@dataclass(frozen=True, slots=True)
class Cost:
    """An estimate, good to a factor of two or so.

    Attributes:
        train_tokens: tokens that pass through the model in training.
        eval_tokens: tokens of scoring and generation.
        seconds: on this machine's processor; None where the base's files are not here to be counted.
        memory_bytes: base, adapters in training with their optimiser state, and a pass.
        disk_bytes: adapters and records.
    """

    train_tokens: int
    eval_tokens: int
    seconds: float | None
    memory_bytes: int | None
    disk_bytes: int | None


@dataclass(frozen=True, slots=True)
class LayersCost:
    """What the layer analysis takes once all adapters are there; as good an estimate as ``Cost``.

    Attributes:
        tokens: of hidden states, all models and tasks together.
        windows: windows of layers in the causal check; 0 where it is not made.
        window_tokens: of the gated models, counted by the layers that are run.
        seconds: on this machine's processor; None where the base's files are not here to be counted.
    """

    tokens: int
    windows: int
    window_tokens: int
    seconds: float | None

    def line(self) -> str:
        """The estimate in words."""
        words = [f"{self.tokens:,} tokens of hidden states"]
        if self.windows:
            words.append(f"adapters off and on in {self.windows} windows, {self.window_tokens:,} tokens")
        if self.seconds is not None:
            words.append(f"about {duration(self.seconds)} on this processor")
        return "; ".join(words)


@dataclass(frozen=True, slots=True)
class StudyPlan:
    """Done and missing units of a study; ``print`` shows it."""

    study: str
    folder: Path
    n_adapters: int
    n_cells: int
    state: State
    cost: Cost | None = None
    layers: LayersCost | None = None

    @property
    def complete(self) -> bool:
        """True if a run would compute nothing."""
        return self.state.complete

    def missing(self) -> dict[str, list[str]]:
        """The units that a run would make, by what is to be done."""
        return {
            "adapters": [unit.name for unit in self.state.missing_adapters],
            "cells": [cell.unit.removeprefix("cells/") for cell in self.state.missing_cells],
            "rescore": [cell.unit.removeprefix("cells/") for cell in self.state.rescore],
        }

    def left_text(self) -> str:
        """What a part of a run left to do, in one line."""
        trained = self.n_adapters - len(self.state.missing_adapters)
        done = self.n_cells - len(self.state.missing_cells)
        rows = f", {len(self.state.have)} more on a part of their rows" if self.state.have else ""
        return (
            f"incomplete: {trained} of {self.n_adapters} adapters, {done} of {self.n_cells} cells{rows}; "
            "run without --tasks, --models, --limit and --shard makes the rest"
        )

    def to_json(self) -> dict[str, Any]:
        """All of it, with the estimated cost where it was made."""
        return {
            "study": self.study,
            "folder": str(self.folder),
            "adapters": self.n_adapters,
            "cells": self.n_cells,
            "complete": self.complete,
            "missing": self.missing(),
            "changed": dict(self.state.changed),
            "damaged": dict(self.state.damaged),
            "cost": None if self.cost is None else asdict(self.cost),
            "layers": None if self.layers is None else asdict(self.layers),
        }

    def __str__(self) -> str:
        lines = [f"study {self.study} in {self.folder}"]
        trained = self.n_adapters - len(self.state.missing_adapters)
        done = self.n_cells - len(self.state.missing_cells)
        lines.append(f"  adapters  {trained} of {self.n_adapters} trained")
        lines.append(f"  cells     {done} of {self.n_cells} evaluated")
        if self.state.have:
            lines.append(f"            {len(self.state.have)} of the missing ones only need more rows")
        if self.state.rescore:
            lines.append(f"            {len(self.state.rescore)} to be judged anew from their records")
        if self.state.changed:
            lines.append(f"  changed   {len(self.state.changed)} units were made under other settings")
        for unit, what in list(self.state.damaged.items())[:MOST]:
            lines.append(f"  damaged   {unit}: {what}; a run puts it under quarantine/ and makes it anew")
        if len(self.state.damaged) > MOST:
            lines.append(f"            and {len(self.state.damaged) - MOST} more: traitscope verify names them")
        if self.complete:
            lines.append("  nothing is missing")
        elif self.cost is not None:
            lines.append(f"  {self.cost_line()}")
        if self.layers is not None:
            lines.append(f"  layers    to be analysed: {self.layers.line()}")
        return "\n".join(lines)

    def cost_line(self) -> str:
        """The estimate in words."""
        cost = self.cost
        assert cost is not None
        words = [f"{cost.train_tokens:,} tokens to train, {cost.eval_tokens:,} to evaluate"]
        if cost.seconds is not None:
            words.append(f"about {duration(cost.seconds)} on this processor")
        if cost.memory_bytes is not None:
            words.append(f"{size(cost.memory_bytes)} of memory")
        if cost.disk_bytes is not None:
            words.append(f"{size(cost.disk_bytes)} on disk")
        return "; ".join(words)


def processor_rate() -> float:
    """Floating-point operations per second of large fp32 matrix products on all cores, measured for a quarter second.

    One core is timed by its own clock and counted as often as there are cores: what else the machine does is left out.
    """
    import numpy as np
    from threadpoolctl import threadpool_limits

    a = np.ones((768, 768), dtype=np.float32)
    best, end = 0.0, time.perf_counter() + 0.25
    with threadpool_limits(1):
        a @ a
        while best == 0 or time.perf_counter() < end:
            start = time.thread_time()
            a @ a
            best = max(best, 2 * 768**3 / max(time.thread_time() - start, 1e-6))
    return best * cores()


def estimate(
    units: Units, state: State, train_tokens: dict[str, int], eval_tokens: dict[str, int], rate: float
) -> Cost:
    """The cost of what is missing.

    A frozen base takes 4 P floating-point operations per trained token and 2 P per scored one.

    Args:
        train_tokens: tokens of every missing adapter's training, by adapter.
        eval_tokens: tokens of every task's evaluation for one model, by task.
        rate: measured operations per second of a matrix product.
    """
    trained = sum(train_tokens[unit.name] for unit in state.missing_adapters)
    scored = sum(_share(cell.n, state.have.get(cell.unit, 0)) * eval_tokens[cell.task] for cell in state.missing_cells)
    base = units.base.source()
    shape = model_shape(base.resolved(), base.revision)
    if shape is None:
        return Cost(trained, round(scored), None, None, None)
    seconds = shape.parameters * (4 * trained + 2 * scored) / (rate * EFFICIENCY)
    ranks = [unit.recipe.rank for unit in state.missing_adapters]
    adapters = sum(shape.adapter_parameters(rank) for rank in ranks)
    width = sum(d_in + 2 * d_out for d_in, d_out in shape.linear)
    weight = BYTES.get(units.base.dtype, 4.0)
    # Training passes hold as many tokens on a CPU (engine/memory.py).
    tokens_per_pass = 4096 if trained else 1024
    memory = shape.parameters * weight + adapters * 16 + tokens_per_pass * width * max(weight, 2.0)
    rows = sum(cell.n for cell in state.missing_cells)
    return Cost(
        trained,
        round(scored),
        seconds,
        int(memory),
        adapters * 4 + rows * 120 + len(state.missing_cells) * 3000,
    )


def _share(n: int, have: int) -> float:
    return (n - have) / n if n else 0.0


def duration(seconds: float) -> str:
    """``95`` as ``1 min 35 s``."""
    if seconds < 60:
        return f"{max(1, round(seconds))} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if minutes < 10 else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min"


def size(n_bytes: float) -> str:
    """``5_000_000`` as ``4.8 MiB``."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if n_bytes < 1024:
            return f"{n_bytes:.0f} {unit}" if unit == "B" else f"{n_bytes:.1f} {unit}"
        n_bytes /= 1024
    return f"{n_bytes:.1f} TiB"
