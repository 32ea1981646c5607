"""Cells whose records are written by hand: two tasks with classes, written answers and losses, and their findings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from traitscope.effects import measure_effects
from traitscope.errors import TraitscopeError
from traitscope.findings import Findings
from traitscope.matrix import ScoreMatrix
from traitscope.records import Example, ExampleRecord

CLASSES = ("bad", "good", "so-so")
N = 90


def record(id: str, gold: str, pred: str | None, loss: float = 1.0, **more: object) -> ExampleRecord:
    """A record of a choice; ``more`` are fields that differ."""
    plain = {
        "pred_norm": pred,
        "correct": float(pred == gold),
        "valid": pred is not None,
        "finish": None,
        "output": None,
        "n_output": 1,
        "n_gold": 1,
    }
    return ExampleRecord(id=id, gold=gold, pred=pred, loss=loss, **{**plain, **more})  # type: ignore[arg-type]


class Cells:
    """Records and examples that lie in memory; a cell that is not there is an error."""

    def __init__(self, by_cell: Mapping[tuple[str, str], list[ExampleRecord]]) -> None:
        self.by_cell = dict(by_cell)
        self.asked: list[tuple[str, str]] = []

    def records(self, model: str, task: str) -> Sequence[ExampleRecord]:
        self.asked.append((model, task))
        if (model, task) not in self.by_cell:
            raise TraitscopeError("there is no such cell", where=f"{model}, {task}")
        return self.by_cell[model, task]

    def examples(self, task: str) -> Mapping[str, Example]:
        rows = self.by_cell["base", task]
        options = tuple(f" {name}" for name in CLASSES) if task == "tone" else None
        made = [Example(r.id, f"{task} {r.id}\nthen", f" {r.gold}", options=options) for r in rows]
        return {example.id: example for example in made}

    def classes(self, task: str) -> tuple[str, ...] | None:
        return tuple(f" {name}" for name in CLASSES) if task == "tone" else None


def by_hand(seed: int = 5) -> Cells:
    """Base and two adapters on ``tone`` (classes), ``sums`` (written) and ``story`` (losses)."""
    rng = np.random.default_rng(seed)
    cells: dict[tuple[str, str], list[ExampleRecord]] = {}
    gold = rng.choice(CLASSES, N, p=[0.3, 0.5, 0.2])
    for k, model in enumerate(("base", "tone-s0", "sums-s0")):
        said = np.where(rng.random(N) < 0.4 + 0.2 * k, gold, rng.choice(CLASSES, N))
        cells[model, "tone"] = [
            record(f"t{i}", g, s, loss=float(rng.random()), logprobs=tuple(rng.normal(-3, 1, 3).tolist()))
            for i, (g, s) in enumerate(zip(gold.tolist(), said.tolist(), strict=True))
        ]
        cells[model, "sums"] = []
        for i in range(N):
            pred = [str(i), "7", None][int(rng.choice(3, p=[0.3 + 0.1 * k, 0.5 - 0.1 * k, 0.2]))]
            length, finish = int(rng.integers(1, 40 + 30 * k)), str(rng.choice(["eos", "length"]))
            more = {"output": f" so {pred}", "n_output": length, "n_gold": 1 + i % 5, "finish": finish}
            cells[model, "sums"].append(record(f"s{i}", str(i), pred, loss=float(rng.random()), **more))
        cells[model, "story"] = [
            record(f"l{i}", f"tale {i}", None, loss=3 + float(rng.normal()), correct=None, valid=True) for i in range(N)
        ]
    return Cells(cells)


def findings(cells: Cells) -> Findings:
    """A matrix of their scores with the effects."""
    lines, values = [], {}
    for (model, task), rows in cells.by_cell.items():
        losses = np.array([r.loss for r in rows])
        source = None if model == "base" else model[:-3]
        about = {"base": "tiny", "model": model, "source": source, "seed": None if source is None else 0, "task": task}
        scored = {"loss": losses}
        if rows[0].correct is not None:
            scored = {"accuracy" if task == "tone" else "exact_match": np.array([r.correct for r in rows]), **scored}
            values.setdefault(task, {})[model] = next(iter(scored.values()))
        for metric, found in scored.items():
            error = float(found.std(ddof=1) / np.sqrt(len(found)))
            numbers = {"metric": metric, "value": float(found.mean()), "stderr": error, "n": len(found)}
            lines.append({**about, **numbers, "status": "measured", "higher_is_better": metric != "loss"})
    table = pd.DataFrame(lines)
    table["seed"] = table["seed"].astype("Int64")
    metrics = {"tone": "accuracy", "sums": "exact_match", "story": "loss"}
    scores = ScoreMatrix.from_long(table, metric=metrics).with_records(values)
    frames = {key: pd.DataFrame([_row(r) for r in rows]) for key, rows in cells.by_cell.items()}
    effects = measure_effects(scores, frames, classes={"tone": CLASSES}, replicates=200, seed=0)
    return Findings(name="by hand", scores=scores, effects=effects, cells=cells)


def _row(record: ExampleRecord) -> dict[str, object]:
    row = {name: getattr(record, name) for name in ExampleRecord.__slots__}
    return {**row, "tags": "{}", "logprobs": None if record.logprobs is None else list(record.logprobs)}
