"""Findings that are hard to draw: one cell or thirty by thirty, long names, other scripts, equal values."""

from __future__ import annotations

import functools
from contextlib import suppress
from typing import Any

import numpy as np
import pandas as pd
import synthetic

from traitscope.effects import Effects, measure_effects
from traitscope.errors import TraitscopeError
from traitscope.findings import Findings
from traitscope.layers import Acts, LayersResult, analyse_layers
from traitscope.matrix import ScoreMatrix
from traitscope.stats import DatasetStats, DatasetText, dataset_stats

NAMES = {
    "plain": "t{n}",
    "long": "a_dataset_whose_name_goes_on_and_on_for_{n}_reasons/with-a-path.v2",
    "spaced": "Reviews of goods, all stars, balanced, number {n} of many",
    "Chinese": "数据集名称相当长的任务编号{n}号测试集",
    "Arabic": "مجموعة بيانات طويلة الاسم رقم {n}",
    "wide": "WWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWW{n}",
    "markup": '<b>$x_{n}$ & "q"</b>\t\u202e',
}
CLASSES = {
    "plain": ("no", "yes"),
    "long": ("definitely not the case at all", "perhaps", "certainly so in every respect"),
    "Chinese": ("负面评价", "中性评价", "正面评价"),
}


def names(kind: str, n: int) -> list[str]:
    """n names of one kind."""
    return [NAMES[kind].format(n=k) for k in range(n)]


class Cells:
    """Answers whose lengths grow with the row."""

    def records(self, model: str, task: str) -> Any:
        """Thirty outcomes."""
        rng = np.random.default_rng(len(model))
        return [type("Record", (), {"n_output": int(n)}) for n in rng.poisson(9, 30)]

    examples = classes = records


@functools.cache
def findings(models: int, tasks: int, kind: str = "plain", spread: float = 0.1) -> Findings:
    """Everything that can be made of a base and ``models`` adapters on ``tasks`` tasks.

    Args:
        kind: of the names. spread: standard deviation of the scores; 0 makes all equal.
    """
    rng = np.random.default_rng(models + 100 * tasks)
    targets = names(kind, tasks)
    rows = ["base", *(f"{name}-s0" for name in names(kind, models))]
    values_IN = np.clip(0.5 + spread * rng.standard_normal((len(rows), tasks)), 0.01, 0.99)
    lines = [
        {
            "model": model,
            "source": None if model == "base" else model[:-3],
            "seed": None if model == "base" else 0,
            "task": task,
            "metric": "accuracy",
            "value": float(values_IN[i, n]),
            "n": 100,
            "stderr": 0.02,
            "higher_is_better": True,
        }
        for i, model in enumerate(rows)
        for n, task in enumerate(targets)
    ]
    matrix = ScoreMatrix.from_long(pd.DataFrame(lines))
    found: dict[str, Any] = {"effects": _effects(matrix, rows, targets, kind, rng)}
    from traitscope.traits import fit_traits

    makers = {
        "traits": lambda: fit_traits(matrix, k=min(3, models, tasks), permutations=19, draws=19, replicates=10),
        "stats": lambda: _stats(targets[:12]),
        "layers": lambda: _layers(tuple(targets[:12])),
    }
    for name, make in makers.items():
        with suppress(TraitscopeError):
            found[name] = make()
    return Findings(name=kind, scores=matrix, cells=Cells(), causal=synthetic.causal(), **found, **_asked(matrix))


def _asked(matrix: ScoreMatrix) -> dict[str, Any]:
    """Forecast, evaluation and belt as their commands make them, where there are cells enough."""
    from traitscope.belt.choice import choose_belt
    from traitscope.predict.evaluate import evaluate_predictors
    from traitscope.predict.forecast import BASELINES, DEFAULT, fit_predictor
    from traitscope.predict.ranking import to_json
    from traitscope.predict.rankings import Rankings

    judged, protocols = [*BASELINES, DEFAULT], ["cells", "source", "column"]
    makers = {
        "forecast": lambda: Rankings.from_json(to_json(fit_predictor(matrix), list(matrix.tasks))),
        "evaluation": lambda: evaluate_predictors(matrix, predictors=judged, protocols=protocols),
        "belt": lambda: choose_belt(matrix),
    }
    found: dict[str, Any] = {}
    for name, make in makers.items():
        with suppress(TraitscopeError):
            found[name] = make()
    return found


def _effects(matrix: ScoreMatrix, rows: list[str], targets: list[str], kind: str, rng: Any) -> Effects:
    """The effects of bare scores, and the tables that records would give."""
    found = measure_effects(matrix)
    classes = CLASSES.get(kind, ("negative", "neutral", "positive"))
    where = [(m, None if m == "base" else m[:-3], t) for t in targets for m in rows]
    frame = pd.DataFrame(where, columns=["model", "source", "task"])
    shares = rng.dirichlet(np.ones(len(classes)), size=len(frame))
    long = pd.concat(
        [
            frame.assign(
                **{"class": name, "share": shares[:, c], "base_share": 1 / len(classes), "gold_share": 1 / len(classes)}
            )
            for c, name in enumerate(classes)
        ]
    ).assign(n=100)
    confusion = pd.concat(
        [frame.assign(gold=gold, predicted=answer, count=7) for gold in classes for answer in (*classes, "(invalid)")]
    )
    away = frame[frame["model"] != "base"].reset_index(drop=True)
    shift = rng.normal(0, 300, len(away))
    lengths = away.assign(
        base_length=1234.5, length=1234.5 + shift, shift=shift, lo=shift - 9, hi=shift + 9, p=0.01, n=100
    )
    controls = away.head(60).assign(
        parent=away["source"], own=False, parent_value=0.9, value=0.4, difference=-0.5, lo=-0.6, hi=-0.4, p=0.001, n=100
    )
    tags = pd.concat(
        [
            away.head(8).assign(
                tag="dependency", value=f"relation_{k}", n=10**k, base_right=3 * k, right=4 * k + 1, p=0.2
            )
            for k in range(1, 7)
        ]
    ).assign(ratio=1.4, lo=0.8, hi=2.9, few=lambda t: t["n"] < 20)
    sources = [m for m in rows if m != "base"]
    curves = pd.DataFrame([(m, s, 3.0 / s) for m in sources for s in range(1, 9)], columns=["model", "step", "loss"])
    learning = pd.DataFrame({"model": sources, "verdict": "learnt", "unit": "share", "gain": 0.3})
    tables = {
        **found.tables,
        "classes": long.reset_index(drop=True),
        "confusion": confusion.reset_index(drop=True),
        "lengths": lengths,
        "controls": controls.assign(unit="share"),
        "tags": tags.reset_index(drop=True),
        "curves": curves,
        "learning": learning,
    }
    return type(found)(findings=found.findings, tables=tables, settings=found.settings)


def _stats(datasets: list[str]) -> DatasetStats:
    rng = np.random.default_rng(5)
    words = ["good", "bad", "film", "price", "seven", "sum", "answer", "code"]
    texts = [
        DatasetText(
            name=name, prompts=tuple(" ".join(rng.choice(words, 9)) for _ in range(12)), answers=("yes", "no") * 6
        )
        for name in datasets
    ]
    return dataset_stats(texts, str.split)


@functools.cache
def _layers(tasks: tuple[str, ...]) -> LayersResult:
    """Layers of random states; half of the tasks were never seen by the mix."""

    def provider(task: str, models: tuple[str, ...]) -> dict[str, Acts]:
        rng = np.random.default_rng(len(task))
        return {m: Acts(tuple("abcdefghijklmnopqrst"), rng.normal(size=(6, 20, 8)).astype(np.float32)) for m in models}

    unseen = tasks[len(tasks) // 2 :] if len(tasks) > 1 else ()
    return analyse_layers(
        provider,
        tasks,
        controls={task: f"{task}-s0" for task in tasks},
        examples=20,
        mix="all-s0",
        unseen=unseen,
        clusters={task: f"{task} cluster {k % 3}" for k, task in enumerate(tasks)},
        measures=("cka",),
        depths=(1, 5),
        points=3,
        n_null=3,
        draws=9,
    )
