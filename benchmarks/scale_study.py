"""A run folder of any size, written by the store's own functions and without a model: outputs are drawn, then judged.

Every model has four hidden skills and every task asks for some of them. A cell's records are one of a few dozen sets of
outputs of its task, that whose share of right answers is nearest to what the model's skills give.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

import numpy as np
import yaml
from numpy.typing import NDArray

from traitscope.records import ExampleRecord, Generated, StepRecord
from traitscope.store import AdapterHead, CellStamp, write_atomic
from traitscope.store import cells as store_cells
from traitscope.store.arrays import arrays_bytes
from traitscope.store.tables import records_bytes
from traitscope.study import Study, filling
from traitscope.study.hidden import TENSOR, hidden_inputs
from traitscope.study.units import CellUnit
from traitscope.tasks.judge import judge_losses, judge_options, judge_texts, make_cell
from traitscope.tasks.task import Task

SKILLS, VARIANTS = 4, 40
CLASSES = ((" negative", " positive"), (" true", " open", " false"), (" a", " b", " c", " d"))
WORDS = tuple(
    f"{first}{last}" for first in "bdfgklmnprstvz" for last in ("ale", "ine", "orrow", "unter", "ight", "ose")
)


@dataclass(frozen=True)
class Size:
    """Models (the base and so many sources less one), targets, rows of evaluation and of training."""

    models: int
    targets: int
    eval_rows: int = 50
    train_rows: int = 8

    @property
    def cells(self) -> int:
        return self.models * self.targets


def write_study(folder: Path, size: Size) -> Path:
    """The study file and a small data file per task: every task is a source, the first ones are the targets."""
    (folder / "data").mkdir(parents=True, exist_ok=True)
    tasks = {f"task{i:04d}": i for i in range(max(size.models - 1, size.targets))}
    study = {
        "study": "scale",
        "base": {"model": "embedded", "dtype": "fp32"},
        "recipe": {"rank": 2, "alpha": 4, "lr": 1e-3, "epochs": 1, "batch": 4, "max_tokens": 128, "seeds": [0]},
        "tasks": {name: _task(folder, name, i, size, target=i < size.targets) for name, i in tasks.items()},
        "sources": list(tasks)[: size.models - 1],
        "targets": list(tasks)[: size.targets],
        "compute": {"device": "cpu", "workers": 1},
    }
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump(study, sort_keys=False))
    return path


def _task(folder: Path, name: str, index: int, size: Size, *, target: bool) -> dict[str, object]:
    rng, form = Random(index), index % 10
    words = rng.sample(WORDS, 40)
    labels = CLASSES[index % len(CLASSES)]
    files = {}
    for split, count in (("train", size.train_rows), ("eval", size.eval_rows * target)):
        if count:
            rows = []
            for i in range(count):
                text = " ".join(rng.choices(words, k=rng.randint(4, 12)))
                rows.append({"text": f"{split} {i} {text}", "label": rng.choice(labels), "number": rng.randrange(100)})
            files[split] = f"data/{name}-{split}.jsonl"
            (folder / files[split]).write_text("".join(json.dumps(row) + "\n" for row in rows))
    task: dict[str, object] = {
        "data": {"path": files, **({"train": size.train_rows} | ({"eval": size.eval_rows} if target else {}))},
        "tags": {"kind": f"kind {form}", "cluster": f"cluster {index % 7}"},
    }
    if form == 9:
        return {**task, "answer": {"loss": "{{ text }}"}}
    if form >= 7:
        answer = {"gold": " {{ number }}", "parse": "final_number", "max_tokens": 8}
        return {**task, "prompt": "{{ text }}:", "answer": {"generate": answer}, "metrics": ["exact_match"]}
    answer = {"choice": list(labels), "gold": "{{ label }}"}
    return {**task, "prompt": "{{ text }}:", "answer": answer, "metrics": ["accuracy", "macro_f1"]}


def write_run(path: Path) -> Path:
    """The run folder of a study file with every adapter, cell and hidden state in it, as a finished run leaves it."""
    study = Study.open(path)
    with _quickly():
        units = study.units()
        study.folder.prepare()
        filling._write_down(study, units)
        study.folder.log("start", adapters=len(units.adapters), cells=len(units.cells))
        rng = np.random.default_rng(0)
        for unit in units.adapters:
            steps = [StepRecord(i, 3.0 - 0.2 * i + float(rng.normal(0, 0.02)), 1e-3, 64, 1.0) for i in range(6)]
            head = AdapterHead(unit.name, unit.source, unit.seed, "embedded", unit.fingerprint, unit.inputs, {})
            tensors = {"base_model.model.lora_A.weight": np.zeros((2, 4), dtype=np.float32)}
            made = study.folder.stage_adapter(head, {"peft_type": "LORA"}, tensors, f"# {unit.name}\n", steps)
            study.folder.commit_adapter(made, unit.name)
        skills_IK = rng.normal(size=(len(units.models), SKILLS))
        skills_IK[0] = 0.0
        row = {model.name: i for i, model in enumerate(units.models)}
        for name, cells in _by_task(units.cells).items():
            _write_cells(study, name, cells, row, skills_IK, rng)
        for name, inputs in hidden_inputs(study.config, study.data, units.base).items():
            acts_SD = rng.normal(size=(min(8, study.data.n_text(name)), 16)).astype(np.float32)
            write_atomic(study.folder.hidden_path(name), arrays_bytes(TENSOR, acts_SD, inputs, layer=2))
        study.folder.log("end", trained=len(units.adapters), evaluated=len(units.cells), tokens=0)
        # What the end of a run leaves: indexes, and which files are whole.
        study = Study.open(study.folder.root)
        assert study.run() is None
    return study.folder.root


def _by_task(cells: Sequence[CellUnit]) -> dict[str, list[CellUnit]]:
    found: dict[str, list[CellUnit]] = {}
    for cell in cells:
        found.setdefault(cell.task, []).append(cell)
    return found


def _write_cells(
    study: Study,
    name: str,
    cells: Sequence[CellUnit],
    row: dict[str, int],
    skills_IK: NDArray[np.float64],
    rng: np.random.Generator,
) -> None:
    task, examples = study.data.tasks[name], study.data.load(name).eval
    variants = [_outputs(task, share, rng) for share in np.linspace(0.2, 0.9, VARIANTS)]
    summed = [make_cell(task, one, examples, model="", source=None, seed=None, overlong={}) for one in variants]
    asked_K = rng.normal(0.0, 0.5, SKILLS)
    logit_I = rng.normal() * 0.5 + skills_IK @ asked_K + rng.normal(0.0, 0.1, len(skills_IK))
    at_I = np.clip(np.round((1 / (1 + np.exp(-logit_I)) - 0.2) / 0.7 * (VARIANTS - 1)), 0, VARIANTS - 1).astype(int)
    for cell in cells:
        like, model = summed[at_I[row[cell.model.name]]], cell.model
        made = replace(like, model=model.name, source=model.source, seed=model.seed)
        stamp = CellStamp(cell.fingerprint, cell.scoring, cell.rows, "embedded", cell.inputs)
        study.folder.cells.stage(made, stamp).commit()


def _outputs(task: Task, share: float, rng: np.random.Generator) -> list[ExampleRecord]:
    """Records of a task of whose answers about that share is right."""
    examples = task.load().eval
    right_S = rng.random(len(examples)) < share
    ends = [[np.array([float(-rng.gamma(4.0, 0.5))])] for _ in examples]
    if task.form == "loss":
        return judge_losses(task, examples, ends)
    if task.form == "generate":
        texts = [
            e.references[0] if right else f" {rng.integers(100, 200)}"
            for e, right in zip(examples, right_S, strict=True)
        ]
        texts = [text + " and so on" * int(rng.integers(0, 3)) for text in texts]
        made = [Generated(tuple(range(len(text) // 3)), text, "eos" if len(text) < 14 else "length") for text in texts]
        return judge_texts(task, examples, made, ends)
    scored = []
    for example, right, end in zip(examples, right_S, ends, strict=True):
        assert example.options is not None and example.gold is not None
        sums = -rng.gamma(4.0, 1.0, len(example.options))
        best = example.gold if right else (example.gold + int(rng.integers(1, len(sums)))) % len(sums)
        sums[best] = sums.max() + 0.1
        scored.append([np.array([value]) for value in sums] + end)
    return judge_options(task, examples, scored)


@contextmanager
def _quickly() -> Iterator[None]:
    """Nothing waits for the disk, and the same records are made into a file's bytes once."""
    wait, made = os.fsync, records_bytes
    # The records are kept beside their bytes, so that no others get their place in memory.
    known: dict[int, tuple[Sequence[ExampleRecord], bytes]] = {}

    def once(records: Sequence[ExampleRecord]) -> bytes:
        if id(records) not in known:
            known[id(records)] = records, made(records)
        return known[id(records)][1]

    os.fsync = lambda handle: None  # type: ignore[assignment]
    setattr(store_cells, "records_bytes", once)  # noqa: B010
    try:
        yield
    finally:
        os.fsync = wait
        setattr(store_cells, "records_bytes", made)  # noqa: B010
