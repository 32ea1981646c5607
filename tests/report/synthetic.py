"""A small study made of random numbers with everything that figures and report can show."""

from __future__ import annotations

import functools

import numpy as np
import pandas as pd

from traitscope.effects import Effects, measure_effects
from traitscope.layers import (
    Acts,
    CausalCheck,
    LayersResult,
    TaskFigures,
    analyse_layers,
    causal_check,
    sliding_windows,
    task_figures,
)
from traitscope.matrix import ScoreMatrix
from traitscope.stats import DatasetStats, DatasetText, dataset_stats
from traitscope.traits import Traits, fit_traits

TASKS = ("imdb", "flipkart", "mnli", "paws", "gsm8k", "arithmetic")
GENERATED = ("gsm8k", "arithmetic")
CLASSES = {task: ("negative", "neutral", "positive")[: 2 + n % 2] for n, task in enumerate(TASKS[:4])}
SKILL = np.array([[1, 0], [1, 0], [0.4, 0.6], [0, 0.7], [0, -0.8], [0.1, -1.0]])
N = 60


def _records(task: str, right: np.ndarray, gold: np.ndarray, rng: np.random.Generator, length: float) -> pd.DataFrame:
    n = len(right)
    choice = task in CLASSES
    if choice:
        names = CLASSES[task]
        wrong = (gold + 1 + rng.integers(len(names) - 1, size=n)) % len(names)
        answer = [names[a] for a in np.where(right, gold, wrong)]
        truth = [names[g] for g in gold]
    else:
        truth = [str(k) for k in range(n)]
        answer = [t if r else "no" for t, r in zip(truth, right, strict=True)]
    return pd.DataFrame(
        {
            "id": [f"e{k}" for k in range(n)],
            "gold": truth,
            "pred": answer,
            "pred_norm": None,
            "correct": right.astype(float),
            "valid": True,
            "finish": None if choice else "eos",
            "output": None if choice else "text",
            "n_output": 1 if choice else rng.poisson(length, n) + 1,
            "n_gold": 4,
            "loss": 1.0,
            "logprobs": None,
            "tags": "{}",
        }
    )


@functools.cache
def _cells() -> tuple[ScoreMatrix, dict[tuple[str, str], pd.DataFrame]]:
    rng = np.random.default_rng(3)
    models = ["base", *(f"{t}-s0" for t in TASKS), "imdb.mislabel-s0", "all-s0"]
    lines, records = [], {}
    for n, task in enumerate(TASKS):
        ease, gold = rng.normal(0, 1, N), rng.integers(len(CLASSES.get(task, "ab")), size=N)
        for i, model in enumerate(models):
            source = None if model == "base" else model[:-3]
            own = SKILL[i - 1] if 1 <= i <= len(TASKS) else np.zeros(2)
            lift = 1.5 * float(own @ SKILL[n]) + (1.0 if source == task else 0.0) + (0.9 if source == "all" else 0.0)
            right = rng.random(N) < 1 / (1 + np.exp(-(ease + lift)))
            records[model, task] = _records(task, right, gold, rng, 4 + 10 * (source == "gsm8k"))
            value = float(right.mean())
            lines.append(
                {
                    "base": "tiny",
                    "model": model,
                    "source": source,
                    "seed": None if source is None else 0,
                    "task": task,
                    "metric": "accuracy",
                    "status": "measured",
                    "value": value,
                    "n": N,
                    "stderr": float(np.sqrt(value * (1 - value) / N)),
                    "higher_is_better": True,
                }
            )
    # One cell of the mix was not evaluated.
    del records["all-s0", "paws"]
    lines = [line for line in lines if (line["model"], line["task"]) != ("all-s0", "paws")]
    return ScoreMatrix.from_long(pd.DataFrame(lines)), records


def matrix() -> ScoreMatrix:
    """Nine models on six tasks, one cell missing."""
    return _cells()[0]


@functools.cache
def traits(k: int = 2) -> Traits:
    """Traits of the matrix."""
    return fit_traits(matrix(), k=k, permutations=99, draws=99, replicates=50)


@functools.cache
def stats() -> DatasetStats:
    """Statistics of made-up texts."""
    rng = np.random.default_rng(5)
    words = ["good", "bad", "film", "price", "seven", "sum", "answer", "code", "line", "quick"]
    texts = []
    for n, task in enumerate(TASKS):
        prompts = [" ".join(rng.choice(words[n : n + 5], 12)) for _ in range(30)]
        texts.append(
            DatasetText(name=task, prompts=tuple(prompts), answers=tuple(rng.choice(["yes", "no"], 30).tolist()))
        )
    return dataset_stats(texts, str.split)


@functools.cache
def effects() -> Effects:
    """Side effects from the records."""
    found, records = _cells()
    training = {name: list(np.linspace(3.0, 0.5, 40)) for name in found.models if name != "base"}
    return measure_effects(found, records, stats(), classes=CLASSES, training=training, replicates=200, permutations=99)


@functools.cache
def layers(clusters: bool = True) -> LayersResult:
    """Layers of random states in which the mix follows the controls from the middle on."""
    depth, wide, n = 9, 12, 40

    def provider(task: str, models: tuple[str, ...]) -> dict[str, Acts]:
        rng = np.random.default_rng([7, *task.encode()])
        shared, own = rng.normal(size=(2, depth, n, wide))
        share_L11 = np.linspace(0, 1, depth)[:, None, None]
        ids = tuple(f"e{k}" for k in range(n))
        made = {}
        for model in models:
            noise = 0.3 * rng.normal(size=shared.shape)
            part = 0.0 if model == "base" else 0.9 if model == "all-s0" else 1.0
            made[model] = Acts(ids, (shared + part * share_L11 * own + noise).astype(np.float32))
        return made

    return analyse_layers(
        provider,
        TASKS,
        controls={task: f"{task}-s0" for task in TASKS},
        examples=n,
        mix="all-s0",
        clusters={task: "maths" if task in GENERATED else "text" for task in TASKS} if clusters else None,
        measures=("cka",),
        depths=(1, 8),
        points=6,
        n_null=5,
        draws=50,
    )


@functools.cache
def correlates() -> TaskFigures:
    """Figures of the six tasks beside the layers, and the traits."""
    rows = {task: 100.0 * n for n, task in enumerate(TASKS, start=1)}
    gain = dict(zip(TASKS, np.random.default_rng(4).normal(size=len(TASKS)), strict=True))
    return task_figures(layers(), {"rows": rows, "gain": gain}, traits().loadings)


@functools.cache
def causal() -> CausalCheck:
    """Windows of which the middle ones matter."""
    rng = np.random.default_rng(9)
    windows = sliding_windows(8)
    gain = np.full(len(TASKS), 0.3)
    centre = np.array([(a + b) / 2 for a, b in windows])
    lost = 0.2 * np.exp(-(((centre - 4) / 2) ** 2)) + 0.02 * rng.normal(size=(len(TASKS), len(windows)))
    return causal_check(
        TASKS, windows, full_N=0.5 + gain, base_N=0.5 * np.ones(len(TASKS)), off_NW=0.8 - lost, only_NW=0.5 + lost / 2
    )
