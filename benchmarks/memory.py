"""Memory per adapter against one PEFT run, and how time and memory grow with I, N, row length and model size.

Every point is measured in a process of its own, since a process never gets smaller; resident size is counted above what
it was with the model loaded. Bytes per slot are those of weights, gradients and optimiser state, tensor by tensor.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks import harness
from benchmarks.harness import Report, Row, environment, measured, peak_rss, rss

PLOT = Path(__file__).resolve().parents[1] / "docs" / "performance.svg"


@dataclass(frozen=True)
class Point:
    """One measurement.

    Attributes:
        side: ``ours``, ``peer`` (training), or ``scoring`` (ours).
        adapters: trained side by side, or scored.
        tasks: scored, of ``batch`` rows each.
        length: tokens of a row.
        hidden, layers, heads, intermediate, vocabulary: of the random Llama; as the embedded base by default.
    """

    side: str = "ours"
    adapters: int = 1
    tasks: int = 1
    batch: int = 8
    length: int = 64
    steps: int = 3
    hidden: int = 128
    layers: int = 12
    heads: int = 4
    intermediate: int = 512
    vocabulary: int = 3072


# Hidden size, layers, heads, intermediate: about 1, 3.5, 10 and 30 million parameters.
MODELS = ((64, 8, 4, 256), (128, 12, 4, 512), (256, 10, 4, 768), (448, 12, 8, 1280))


@dataclass(frozen=True)
class Sizes:
    """The values of each axis."""

    adapters: tuple[int, ...] = (1, 4, 16, 32)
    tasks: tuple[int, ...] = (1, 10, 20)
    lengths: tuple[int, ...] = (32, 128, 512)
    models: tuple[int, ...] = (0, 1, 2, 3)
    slots: int = 10
    steps: int = 3
    batch: int = 8
    plot: bool = True


SIZES = {
    "default": Sizes(),
    "full": Sizes(
        adapters=(1, 2, 4, 8, 16, 32), tasks=(1, 2, 5, 10, 20, 50), lengths=(16, 32, 64, 128, 256, 512), steps=8
    ),
    "tiny": Sizes(adapters=(1, 2), tasks=(1,), lengths=(16,), models=(0,), slots=2, steps=2, batch=2, plot=False),
}


def work(point: Point) -> dict[str, Any]:
    """Measure one point; runs in a process of its own."""
    from benchmarks.models import Shape, n_tokens, random_model, random_rows
    from traitscope.engine import LoraSpec, TrainJob, wrap_model

    shape = Shape(
        point.hidden, point.layers, point.heads, point.heads, point.intermediate, point.vocabulary, positions=1024
    )
    model = random_model(shape)
    spec = LoraSpec(8, 16.0)
    jobs = []
    for seed in range(point.adapters):
        rows = random_rows(point.steps * point.batch, point.vocabulary, point.length, point.length, answer=2, seed=seed)
        jobs.append(TrainJob(f"a{seed}", rows, spec, 1e-3, batch=point.batch, seed=seed))
    tokens = sum(n_tokens(job.rows) for job in jobs)
    if point.side == "peer":
        from benchmarks import peers
        from traitscope.engine import Adapter

        base = wrap_model(random_model(shape), None)
        wrapped = peers.peft_model(model, {"a0": Adapter.init(base, spec, 0)})
        del base
        return _peer(wrapped, jobs[0], tokens)
    base = wrap_model(model, None)
    return _scoring(base, point) if point.side == "scoring" else _training(base, jobs, tokens)


def _training(base: Any, jobs: list[Any], tokens: int) -> dict[str, Any]:
    from traitscope.engine import plan_bank
    from traitscope.engine.trainer import BankTrainer

    before = rss()
    trainer = BankTrainer(base, jobs, plan_bank(base, jobs))
    trainer.step()
    states = [slot for slot in trainer.slots if slot is not None]
    held = [
        *(flat for flat in trainer.bank.flats if flat is not None),
        *(grad for grad in trainer.bank.grads if grad is not None),
        *(value for slot in states for value in slot.optimizer.state[slot.parameter].values()),
    ]
    slot_bytes = _bytes(held) / max(1, len(states))
    with measured() as span:
        for _ in range(max(job.n_steps for job in jobs) - 1):
            trainer.step()
    steps = max(job.n_steps for job in jobs)
    trainer.close()
    return {
        "seconds": span.wall * steps / max(1, steps - 1),
        "tokens": tokens,
        "peak_bytes": peak_rss() - before,
        "slot_bytes": slot_bytes,
        "tokens_per_pass": trainer.tokens_per_pass,
        "parameters": base.n_parameters,
    }


def _peer(wrapped: Any, job: Any, tokens: int) -> dict[str, Any]:
    from benchmarks import peers

    before = rss()
    parameters = [p for p in wrapped.parameters() if p.requires_grad]
    with measured() as span:
        optimizer = peers.train_with_loop(wrapped, job)
    states = [value for state in optimizer.state.values() for value in state.values()]
    # The loop's last act sets the gradients to None; they are as large as the weights.
    return {
        "seconds": span.wall,
        "tokens": tokens,
        "peak_bytes": peak_rss() - before,
        "slot_bytes": 2 * _bytes(parameters) + _bytes(states),
    }


def _scoring(base: Any, point: Point) -> dict[str, Any]:
    from benchmarks.models import random_adapters, random_rows
    from traitscope.engine import Bank, LoraSpec, score_options
    from traitscope.records import OptionRow

    adapters = random_adapters(base, point.adapters, LoraSpec(8, 16.0))
    before = rss()
    seconds = 0.0
    tokens = 0
    with Bank(base, adapters) as bank:
        for task in range(-1, point.tasks):
            rows = random_rows(point.batch, point.vocabulary, point.length, point.length, answer=4, seed=task + 1)
            options = [OptionRow(row.ids[:-4], (row.ids[-4:-2], row.ids[-2:])) for row in rows]
            with measured() as span:
                score_options(bank, options)
            if task >= 0:  # the one before the first is the warm-up
                seconds += span.wall
                tokens += point.adapters * sum(len(row.ids) for row in rows)
    return {"seconds": seconds, "tokens": tokens, "peak_bytes": peak_rss() - before}


def _bytes(tensors: Iterable[Any]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def measure(point: Point) -> dict[str, Any]:
    """The point in a process of its own, with its figures."""
    command = [sys.executable, "-m", "benchmarks.memory", "--point", json.dumps(asdict(point))]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{point} failed:\n{done.stderr[-2000:]}")
    return {**asdict(point), **json.loads(done.stdout.splitlines()[-1])}


def run(sizes: Sizes, out: Path) -> Report:
    """All points, the comparison with PEFT, the plot."""
    report = Report("memory")
    steps, batch = sizes.steps, sizes.batch
    growth: dict[str, list[dict[str, Any]]] = {
        "adapters": [measure(Point(adapters=n, steps=steps, batch=batch)) for n in sizes.adapters],
        "length": [measure(Point(adapters=4, length=n, steps=steps, batch=batch)) for n in sizes.lengths],
        "tasks": [measure(Point("scoring", adapters=4, tasks=n, batch=4 * batch)) for n in sizes.tasks],
        "model": [
            measure(
                Point(
                    adapters=4, steps=steps, batch=batch, hidden=hidden, layers=layers, heads=heads, intermediate=wide
                )
            )
            for hidden, layers, heads, wide in (MODELS[i] for i in sizes.models)
        ],
    }
    peer = measure(Point("peer", steps=steps, batch=batch))
    bank = measure(Point(adapters=sizes.slots, steps=steps, batch=batch))
    mega = 1e6
    one, slot = peer["slot_bytes"] / mega, bank["slot_bytes"] / mega
    what = "weights, gradients, optimiser state of one adapter"
    report.rows.append(Row(what, "one PEFT run (AdamW)", "MB", one, slot, one / slot, 1.0, "tensors counted"))
    # Fewer slots do not fill a pass, so that activations would count as the slots' memory.
    full = [p for p in growth["adapters"] if p["adapters"] * p["batch"] * p["length"] >= p["tokens_per_pass"]]
    if len(full) > 1:
        first, last = full[0], full[-1]
        slope = (last["peak_bytes"] - first["peak_bytes"]) / (last["adapters"] - first["adapters"])
        what = f"resident memory per further slot, {first['adapters']} to {last['adapters']} slots"
        ratio = peer["slot_bytes"] / max(slope, 1.0)
        report.rows.append(
            Row(what, "one PEFT run's tensors", "MB", peer["slot_bytes"] / mega, slope / mega, ratio, None, "measured")
        )
    report.rows.append(
        Row(f"peak above the loaded model, {sizes.slots} adapters at once", f"{sizes.slots} PEFT runs at once", "MB",
            sizes.slots * peer["peak_bytes"] / mega, bank["peak_bytes"] / mega,
            sizes.slots * peer["peak_bytes"] / bank["peak_bytes"], None,
            f"one PEFT run: {peer['peak_bytes'] / mega:.0f} MB")
    )  # fmt: skip
    report.details = {"growth": growth, "peer": peer, "bank": bank}
    report.notes.append(
        "a random Llama of the embedded base's shape, fp32, rank 8 on all linear layers, rows of 64 tokens"
    )
    if sizes.plot:
        plot(growth, PLOT)
        report.notes.append(f"plot: docs/{PLOT.name}")
    return report


def plot(growth: dict[str, list[dict[str, Any]]], path: Path) -> None:
    """Seconds and peak memory over each axis."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "traitscope"
    from matplotlib import pyplot as plt

    titles = {
        "adapters": ("adapters trained in one bank", lambda p: p["adapters"]),
        "tasks": ("tasks scored, 4 adapters", lambda p: p["tasks"]),
        "length": ("tokens per row, 4 adapters", lambda p: p["length"]),
        "model": ("million parameters, 4 adapters", lambda p: p["parameters"] / 1e6),
    }
    figure, axes = plt.subplots(2, 4, figsize=(13, 5.5), sharex="col", constrained_layout=True)
    for column, (name, (title, value)) in enumerate(titles.items()):
        points = growth[name]
        x = [value(p) for p in points]
        axes[0][column].plot(x, [p["seconds"] for p in points], marker="o", color="#2b6cb0")
        axes[1][column].plot(x, [p["peak_bytes"] / 1e6 for p in points], marker="o", color="#c05621")
        axes[0][column].set_ylim(bottom=0)
        axes[1][column].set_ylim(bottom=0)
        axes[1][column].set_xlabel(title)
    axes[0][0].set_ylabel("seconds for all of it")
    axes[1][0].set_ylabel("peak memory above the model, MB")
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def main() -> None:
    """As every benchmark; ``--point`` is how it measures one point in a process of its own."""
    if "--point" in sys.argv:
        parser = argparse.ArgumentParser()
        parser.add_argument("--point", type=json.loads)
        harness.quiet()
        print(json.dumps(work(Point(**parser.parse_args().point))))
    else:
        harness.main("memory", run, SIZES)


if __name__ == "__main__":
    main()
