"""Studies with effects planted on purpose: records, scores and dataset statistics from known rates."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from traitscope.effects.grid import Grid
from traitscope.matrix import ScoreMatrix
from traitscope.stats import DatasetStats, Similarity

RECORD_COLUMNS = [
    "id",
    "gold",
    "pred",
    "pred_norm",
    "correct",
    "valid",
    "finish",
    "output",
    "n_output",
    "n_gold",
    "loss",
    "logprobs",
    "tags",
]


def choice_records(gold: np.ndarray, pred: np.ndarray, classes: tuple[str, ...], tags=None) -> pd.DataFrame:
    """Records of a choice task from class indices; a prediction of -1 is an invalid answer."""
    n = len(gold)
    return pd.DataFrame(
        {
            "id": [f"e{k}" for k in range(n)],
            "gold": [classes[g] for g in gold],
            "pred": [classes[p] if p >= 0 else None for p in pred],
            "pred_norm": None,
            "correct": (gold == pred).astype(float),
            "valid": pred >= 0,
            "finish": None,
            "output": None,
            "n_output": 1,
            "n_gold": 1,
            "loss": 1.0,
            "logprobs": [[0.0] * len(classes)] * n,
            "tags": tags if tags is not None else ["{}"] * n,
        },
        columns=RECORD_COLUMNS,
    )


def generate_records(correct: np.ndarray, lengths: np.ndarray, valid=None, cut=None, tags=None) -> pd.DataFrame:
    """Records of a generate task from 0/1 scores and output lengths."""
    n = len(correct)
    cut = np.zeros(n, dtype=bool) if cut is None else cut
    return pd.DataFrame(
        {
            "id": [f"e{k}" for k in range(n)],
            "gold": [str(k) for k in range(n)],
            "pred": [f"answer {k}" for k in range(n)],
            "pred_norm": None,
            "correct": np.asarray(correct, dtype=float),
            "valid": np.ones(n, dtype=bool) if valid is None else valid,
            "finish": np.where(cut, "length", "eos"),
            "output": "x",
            "n_output": np.asarray(lengths, dtype=int),
            "n_gold": 5,
            "loss": 1.0,
            "logprobs": None,
            "tags": tags if tags is not None else ["{}"] * n,
        },
        columns=RECORD_COLUMNS,
    )


@dataclass
class Study:
    """Cells by (model, task), from which a matrix follows."""

    records: dict[tuple[str, str], pd.DataFrame] = field(default_factory=dict)
    rows: list[dict] = field(default_factory=list)

    def add(self, model: str, source: str | None, seed: int | None, task: str, frame: pd.DataFrame) -> None:
        self.records[model, task] = frame
        value = float(frame["correct"].mean())
        self.rows.append(
            {
                "base": "tiny",
                "model": model,
                "source": source,
                "seed": seed,
                "task": task,
                "metric": "accuracy",
                "status": "measured",
                "value": value,
                "n": len(frame),
                "stderr": float(np.sqrt(value * (1 - value) / len(frame))),
                "higher_is_better": True,
            }
        )

    @property
    def matrix(self) -> ScoreMatrix:
        return ScoreMatrix.from_long(pd.DataFrame(self.rows))


def random_study(sources, tasks, n: int, rng: np.random.Generator, effect=None, seeds=(0,)) -> Study:
    """Tasks whose examples differ in difficulty; ``effect(source, task)`` moves the adapter's log-odds."""
    study = Study()
    for task in tasks:
        ease = rng.normal(0.0, 1.0, n)
        base = rng.random(n) < 1 / (1 + np.exp(-ease))
        study.add("base", None, None, task, generate_records(base, rng.poisson(10, n)))
        for source in sources:
            for seed in seeds:
                shift = effect(source, task) if effect else 0.0
                fresh = rng.random(n) < 1 / (1 + np.exp(-(ease + shift)))
                right = np.where(rng.random(n) < 0.5, fresh, base) if shift == 0 else fresh
                study.add(f"{source}-s{seed}", source, seed, task, generate_records(right, rng.poisson(10, n)))
    return study


def stats_with(names, *, answer_length=None, labels=None, semantic=None) -> DatasetStats:
    """Dataset statistics that hold only what is given: answer lengths, label shares, a similarity matrix."""
    lengths = answer_length or {}
    frame = pd.DataFrame(
        {
            "n_examples": 400.0,
            "answer_tokens_mean": [lengths.get(n, np.nan) for n in names],
            "answer_tokens_sd": 1.0,
        },
        index=pd.Index(list(names), name="dataset"),
    )
    rows = [
        {"dataset": n, "index": i, "word": w, "meaning": None, "count": 1, "share": share}
        for n, shares in (labels or {}).items()
        for i, (w, share) in enumerate(shares.items())
    ]
    columns = ["dataset", "index", "word", "meaning", "count", "share"]
    similarity = {}
    if semantic is not None:
        similarity["semantic"] = Similarity(
            kind="semantic", method="given", names=tuple(names), values_MM=np.asarray(semantic, dtype=float)
        )
    return DatasetStats(
        frame=frame,
        labels=pd.DataFrame(rows, columns=columns),
        collisions=pd.DataFrame(columns=["word", "collides"]),
        similarity=similarity,
    )


def bare_grid(sources: tuple[str, ...], tasks: tuple[str, ...]) -> Grid:
    """A grid of a base and one model of every source, all scores alike: for the roles of its rows."""
    rows = [("base", None), *((f"{source}-s0", source) for source in sources)]
    table = [{"model": model, "source": source, "task": task, "value": 0.5} for model, source in rows for task in tasks]
    return Grid.of(ScoreMatrix.from_long(pd.DataFrame(table)))
