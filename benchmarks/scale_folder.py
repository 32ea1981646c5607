"""A run folder of any size, written as the store writes it, without a model: for ``benchmarks.scale``."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd

from traitscope.records import Example, ExampleRecord, Score, StepRecord
from traitscope.store import AdapterHead
from traitscope.store.arrays import arrays_bytes
from traitscope.store.seal import sealed
from traitscope.store.tables import records_bytes
from traitscope.study import Study
from traitscope.study.hidden import TENSOR, hidden_inputs
from traitscope.study.units import CellUnit

ROWS = 20
# Different sets of outcomes of one task, as models of different skill give them.
VARIANTS = 16


def study_text(models: int, tasks: int) -> str:
    """A study of so many sources and targets over small files of rows."""
    lines = ["study: scale", "base: {model: embedded, dtype: fp32}", "recipe: {rank: 2, epochs: 1}", "tasks:"]
    for t in range(tasks):
        lines += [
            f"  t{t}:",
            f"    data: {{path: rows/t{t}.jsonl, train: {ROWS}, eval: {ROWS}}}",
            f'    prompt: "Task {t}: {{{{ text }}}} is"',
            '    answer: {choice: [" bad", " good"], gold: "{{ label }}"}',
            f"    tags: {{kind: k{t % 10}}}",
        ]
    entries = (f"{{name: s{m}, task: t{m % tasks}, lr: {1e-4 * (1 + m // tasks):g}}}" for m in range(models - 1))
    return "\n".join([*lines, f"sources: [{', '.join(entries)}]", ""])


def write_study(folder: Path, models: int, tasks: int) -> Path:
    """The study file and its rows."""
    (folder / "rows").mkdir(parents=True, exist_ok=True)
    words = ("fine", "warm", "bright", "kind", "dull", "cold", "broken", "rude")
    for t in range(tasks):
        # Tasks that read one file would count as copies of one another.
        rows = [
            {"text": f"{words[i % 8]} {words[i * 3 % 8]} {t} {i}", "label": "good" if i % 8 < 4 else "bad"}
            for i in range(2 * ROWS)
        ]
        (folder / "rows" / f"t{t}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    path = folder / "study.yaml"
    path.write_text(study_text(models, tasks))
    return path


def write_folder(folder: Path, models: int, tasks: int) -> Path:
    """A study whose run folder ``runs/scale`` holds every adapter and cell; returns the study file."""
    path = write_study(folder, models, tasks)
    study = Study.open(path)
    units, root = study.units(), study.folder.root
    rng = np.random.default_rng(0)
    history = [StepRecord(step, 2.0 / step, 1e-4, 100, 1.0) for step in range(1, 6)]
    for unit in units.adapters:
        head = AdapterHead(unit.name, unit.source, unit.seed, "embedded", unit.fingerprint, unit.inputs, {})
        tensors = {"w": np.zeros(4, dtype=np.float32)}
        made = study.folder.stage_adapter(head, {"r": 2}, tensors, f"# {unit.name}\n", history)
        made.rename(study.folder.adapter_path(unit.name))
    study.folder.hidden.mkdir(parents=True, exist_ok=True)
    for name, inputs in hidden_inputs(study.config, study.data, units.base).items():
        states_SD = rng.standard_normal((ROWS, 32)).astype(np.float32)
        study.folder.hidden_path(name).write_bytes(arrays_bytes(TENSOR, states_SD, inputs, layer=2))
    outcomes = {task: list(_variants(study.data.load(task).eval, rng)) for task in study.config.target_names()}
    skills = rng.integers(VARIANTS, size=(len(units.models), tasks))
    order = {model.name: place for place, model in enumerate(units.models)}
    for cell in units.cells:
        m, t = order[cell.model.name], int(cell.task[1:])
        _write_cell(root, cell, *outcomes[cell.task][skills[m, t]])
    study.run()
    cells = study.folder.cells
    for model, marks in cells.index().marks().items():
        cells.gather(model, marks)
    return path


def _variants(examples: tuple[Example, ...], rng: np.random.Generator) -> Iterator[tuple[bytes, int, list[Score]]]:
    """Records of one task at rising skill, with their scores."""
    for variant in range(VARIANTS):
        right_S = rng.random(len(examples)) < 0.3 + 0.6 * variant / VARIANTS
        records = []
        for example, right in zip(examples, right_S, strict=True):
            gold = example.answer.strip()
            pred = gold if right else "bad" if gold == "good" else "good"
            loss = float(rng.uniform(0.1, 1.0))
            told = (gold, pred, pred, float(right), True, None, None, 1, 1, loss, (-loss, -1.0), example.tags)
            records.append(ExampleRecord(example.id, *told))
        share = float(right_S.mean())
        error = float(np.sqrt(share * (1 - share) / len(examples)))
        scores = [
            Score("accuracy", share, error, len(examples), True, True),
            Score("loss", float(np.mean([record.loss for record in records])), 0.05, len(examples), False, False),
        ]
        yield records_bytes(records), len(records), scores


def _write_cell(root: Path, cell: CellUnit, examples: bytes, n: int, scores: list[Score]) -> None:
    folder = root / "cells" / cell.model.name / cell.task
    folder.mkdir(parents=True, exist_ok=True)
    head = {
        "model": cell.model.name,
        "source": cell.model.source,
        "seed": cell.model.seed,
        "task": cell.task,
        "base": "embedded",
        "n": n,
        "scores": [asdict(score) for score in scores],
        "summary": {},
        "fingerprint": cell.fingerprint,
        "scoring": cell.scoring,
        "rows": cell.rows,
        "examples_sha256": hashlib.sha256(examples).hexdigest(),
        "inputs": cell.inputs,
    }
    (folder / "examples.parquet").write_bytes(examples)
    (folder / "cell.json").write_bytes(sealed(head, "cell.json"))


def write_long_csv(path: Path, models: int, tasks: int, seeds: int = 1) -> Path:
    """A long table of models x tasks x seeds scores with standard errors."""
    rng = np.random.default_rng(0)
    skill_IK, need_KN = rng.standard_normal((models, 3)), rng.standard_normal((3, tasks))
    blocks = []
    for seed in range(seeds):
        value_IN = np.clip(0.5 + 0.08 * skill_IK @ need_KN + 0.02 * rng.standard_normal((models, tasks)), 0.01, 0.99)
        block = pd.DataFrame(
            {
                "model": np.repeat([f"m{m}" if m else "base" for m in range(models)], tasks),
                "task": np.tile([f"t{t}" for t in range(tasks)], models),
                "value": value_IN.ravel().round(4),
                "stderr": 0.02,
            }
        )
        blocks.append(block.assign(seed=seed) if seeds > 1 else block)
    pd.concat(blocks).to_csv(path, index=False)
    return path
