"""Reports of five kinds of studies, made of numbers in seconds: they differ in what is absent, and in size."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from report import synthetic
from report.test_first_screen import found
from traitscope.belt import choose_belt
from traitscope.effects import across_bases, explain, measure_effects
from traitscope.errors import TraitscopeError
from traitscope.findings import Findings, Spent
from traitscope.matrix import ScoreMatrix
from traitscope.predict.evaluate import evaluate_predictors
from traitscope.predict.forecast import fit_predictor
from traitscope.predict.ranking import to_json
from traitscope.predict.rankings import Rankings
from traitscope.report.figures import draw
from traitscope.report.page import render_page
from traitscope.report.tables import csv_files
from traitscope.traits import fit_traits


@functools.cache
def like_the_demo() -> Findings:
    """Adapters, a mix, a control, layers, forecasts and a belt: every section is filled."""
    matrix, layers = found().scores, synthetic.layers()
    # A second measure, as a study may ask for: half as much everywhere.
    half = layers.table.assign(measure="cka_biased", value=layers.table["value"] / 2)
    forecast = fit_predictor(matrix, predictor="additive")
    return replace(
        found(),
        name="like the demo",
        stats=synthetic.stats(),
        layers=replace(
            layers,
            table=pd.concat([layers.table, half], ignore_index=True),
            meta={**layers.meta, "measures": [*layers.meta["measures"], "cka_biased"]},
        ),
        explanation=explain(synthetic.traits(), synthetic.stats()),
        causal=synthetic.causal(),
        correlates=synthetic.correlates(),
        forecast=Rankings.from_json(to_json(forecast, list(matrix.tasks))),
        evaluation=evaluate_predictors(matrix, predictors=["column mean", "additive"], protocols=["cells"]),
        belt=choose_belt(matrix),
        spent=(Spent("imdb-s0", 10, 1000, 2.5), Spent("mnli-s0", 20, 3000, None)),
        facts=(("Base model", "tiny"),),
        config="study: like-the-demo\nbase: tiny  # <smallest>\n",
        lock={"traitscope": "0.1.0"},
    )


def one_task() -> Findings:
    """Base and one adapter on one task."""
    rng = np.random.default_rng(0)
    right = {m: (rng.random(50) < p).astype(float) for m, p in (("base", 0.4), ("t-s0", 0.8))}
    table = pd.DataFrame(
        {"model": [*right], "source": [None, "t"], "task": "t", "value": [float(r.mean()) for r in right.values()]}
    )
    matrix = ScoreMatrix.from_long(table, records={"t": right})
    return Findings(name="one task", scores=matrix, effects=measure_effects(matrix))


def _of_scores(name: str, matrix: ScoreMatrix) -> Findings:
    """What a matrix file gives: no records, no texts, no hidden states."""
    made: dict[str, Any] = {}
    missing = dict.fromkeys(("stats", "explanation"), "a matrix file holds no texts of datasets")
    missing |= dict.fromkeys(("layers", "causal"), "a matrix file holds no hidden states")
    makers: dict[str, Callable[..., Any]] = {
        "traits": lambda: fit_traits(matrix, permutations=39, draws=39, replicates=20),
        "effects": lambda: measure_effects(matrix),
    }
    for part, make in makers.items():
        try:
            made[part] = make()
        except TraitscopeError as error:
            missing[part] = error.what
    return Findings(name=name, scores=matrix, **made, missing=missing)


def matrix_file() -> Findings:
    """Scores alone, in percent, with nothing told of them."""
    rng = np.random.default_rng(1)
    frame = pd.DataFrame(55 + 9 * rng.normal(size=(7, 5)), ["base", *"abcdef"], [f"task {n}" for n in range(5)])
    return _of_scores("matrix file", ScoreMatrix.from_wide(frame))


def large(size: int = 60) -> Findings:
    """``size`` x ``size`` cells of three traits with known errors."""
    rng = np.random.default_rng(2)
    tasks = [f"t{n}" for n in range(size)]
    models = ["base", *(f"{task}-s0" for task in tasks[1:])]
    skill, asked = rng.normal(size=(size, 3)), rng.normal(size=(size, 3))
    skill[0] = 0
    value = 1 / (1 + np.exp(-(0.3 * skill @ asked.T + rng.normal(size=size) + 0.1 * rng.normal(size=(size, size)))))
    names = [(m, None if m == "base" else m[:-3], t) for m in models for t in tasks]
    table = pd.DataFrame(names, columns=["model", "source", "task"])
    table = table.assign(value=value.ravel(), n=400, stderr=np.sqrt(value * (1 - value) / 400).ravel())
    return _of_scores("large", ScoreMatrix.from_long(table))


def several_bases() -> Findings:
    """Two base models of which the same was found."""
    effects = found().effects
    assert effects is not None
    return replace(found(), name="several bases", layers=None, across=across_bases({"one": effects, "two": effects}))


KINDS: dict[str, Callable[[], Findings]] = {
    "like the demo": like_the_demo,
    "one task": one_task,
    "matrix file": matrix_file,
    "several bases": several_bases,
}


def page(findings: Findings, *, figures: bool = True) -> str:
    """The report, with its figures where they are asked for."""
    drawn = draw(findings) if figures else []
    return render_page(findings, drawn, sorted(csv_files(findings)))
