"""Prediction: what was expected of cells, how surely, beside baselines; and how well such forecasts do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from traitscope.effects.words import POINTS
from traitscope.findings import Findings
from traitscope.matrix import ScoreMatrix
from traitscope.predict.evaluation import ALL, Evaluation
from traitscope.predict.rankings import Rankings
from traitscope.report.amounts import unit_of
from traitscope.report.sections.absent import absence
from traitscope.report.sections.table import Column, Item, Line, Table
from traitscope.texts import count_of

FIGURES, FOLDED = ("forecast_calibration",), ("forecast_rankings",)

# Kinds of numbers that are forecast: gains where the untuned base is known, else scores or places among the sources.
EXPECTED = {"gain": "gain", "score": "score", "minus score": "score, its sign turned,", "z": "place among the sources"}


@dataclass(frozen=True, slots=True)
class Prediction:
    """The answer in one line, sources ranked for every target, predictors beside baselines, and what must be known."""

    answer: str
    unjudged: str = ""
    rankings: Table | None = None
    predictors: Table | None = None
    notes: tuple[str, ...] = ()


def view(findings: Findings) -> Prediction:
    """The section of a study's findings."""
    forecast, evaluation = findings.forecast, findings.evaluation
    parts = [_forecast_answer(forecast, findings.scores) if forecast is not None else absence(findings, "forecast")]
    if evaluation is not None:
        parts.append(_skill_answer(evaluation))
    return Prediction(
        " ".join(parts),
        absence(findings, "evaluation") if evaluation is None else "",
        None if forecast is None or forecast.table.empty else _rankings(forecast),
        None if evaluation is None or evaluation.table.empty else _predictors(evaluation),
        () if evaluation is None else tuple(evaluation.notes),
    )


def _forecast_answer(forecast: Rankings, scores: ScoreMatrix) -> str:
    table = forecast.table
    open_ = table[table["status"] == "predicted"] if len(table) else table
    if open_.empty:
        return f"Every transfer cell was measured, so {forecast.predictor} had none to forecast."
    told = []
    # Of different units none is the largest: each has its own.
    for (kind, unit), part in open_.groupby([open_["unit"], _units(open_, scores)], sort=False):
        best = part.sort_values("expected", ascending=False, kind="stable").iloc[0]
        scale = POINTS.get(unit_of(scores.units[best["task"]]), 1.0) if unit == "points" else 1.0
        value, lo, hi = (scale * best[key] for key in ("expected", "lo", "hi"))
        shown = ".1f" if unit == "points" else ".3g"
        told.append(
            f"largest expected {EXPECTED[str(kind)]} is {value:+{shown}} {unit} [{lo:+{shown}}, {hi:+{shown}}] "
            f"({best['source']} on {best['task']})"
        )
    return (
        f"{count_of(len(open_), 'cell')} forecast by {forecast.predictor}; the {'; the '.join(told)}, "
        f"{forecast.level:.0%} interval{'s' if len(told) > 1 else ''}."
    )


def _units(rows: pd.DataFrame, scores: ScoreMatrix) -> pd.Series:
    """What the numbers of each forecast are in: points, the task's metric, or standard deviations."""
    return pd.Series(
        [
            "standard deviations"
            if kind == "z"
            else "points"
            if unit_of(scores.units[task]) in POINTS
            else scores.metrics[task]
            for kind, task in zip(rows["unit"], rows["task"], strict=True)
        ],
        index=rows.index,
    )


def _skill_answer(evaluation: Evaluation) -> str:
    rows = evaluation.skill
    rows = rows[(rows["held"] == ALL) & (rows["against"] == "column mean")] if len(rows) else rows
    rows = rows[rows["saved"].notna()] if len(rows) else rows
    if rows.empty:
        return "Too few cells are measured to judge forecasts."
    better = rows[rows["better"].astype(bool)]
    best = rows.sort_values("saved", ascending=False, kind="stable").iloc[0]
    of = (
        f"{len(better)} of {count_of(len(rows), 'predictor')} surely save squared error against the mean of the sources"
    )
    return (
        f"{of} on held-out cells; the most, {best['predictor']}, saves {best['saved']:.0%} [{best['lo']:.0%}, "
        f"{best['hi']:.0%}]."
    )


def _rankings(forecast: Rankings) -> Table:
    known = [name for name in forecast.baselines if name in forecast.table.columns]
    columns = (
        Column("target"),
        Column("place", True),
        Column("source"),
        Column("expected", True, title="in the task's own unit: shares are parts of 1"),
        Column(f"{forecast.level:.0%} interval", True, "forecast-interval"),
        Column("chance of harm", True, "harm"),
        *(Column(name, True) for name in known),
        Column("status", method="status"),
        Column("of what", title="gain over the untuned base, score, or z: standard deviations of the column"),
    )
    lines = []
    for task, part in forecast.table.groupby("task", sort=False):
        for place, row in enumerate(part.to_dict("records"), start=1):
            lines.append(_ranked(str(task), place, row, known))
    return Table(
        id="rankings",
        label="Sources for every target, best expected first",
        columns=columns,
        lines=tuple(lines),
        filter=True,
        csv="rankings.csv",
    )


def _ranked(task: str, place: int, row: Mapping[Any, Any], known: list[str]) -> Line:
    measured = row["status"] == "measured"
    ends = "measured" if measured else f"[{row['lo']:+.3f}, {row['hi']:+.3f}]"
    harm = row["harm"]
    return Line(
        (
            Item(task),
            Item(str(place), place),
            Item(str(row["source"])),
            Item(f"{row['expected']:+.3f}", float(row["expected"])),
            Item(ends, None if measured else float(row["hi"] - row["lo"])),
            Item("–" if pd.isna(harm) else f"{harm:.0%}", None if pd.isna(harm) else float(harm)),
            *(_signed(row[name]) for name in known),
            Item(str(row["status"])),
            Item(str(row["unit"])),
        ),
        tone="" if measured else "strong",
    )


def _signed(value: Any) -> Item:
    return Item("–") if pd.isna(value) else Item(f"{value:+.3f}", float(value))


def _predictors(evaluation: Evaluation) -> Table:
    columns = (
        Column("held out"),
        Column("predictor"),
        Column("RMSE", True, title="in standard deviations of the whole column"),
        Column("win", True, title="AUROC of being above the untuned base"),
        Column("harm", True, "harm", "AUROC of being half a standard deviation below it"),
        Column("regret", True, "regret", "share of the column's range lost by training the source ranked first"),
        Column("coverage", True, "calibration", "share of held-out cells inside their 90 % interval"),
        Column("saved", True, "skill", "share of the column mean's squared error"),
        Column("interval", True, "interval"),
    )
    skill = {
        (row["held"], row["protocol"], row["predictor"]): row
        for row in evaluation.skill.to_dict("records")
        if row["against"] == "column mean"
    }
    lines = []
    for row in evaluation.summary().to_dict("records"):
        one = skill.get((row["held"], row["protocol"], row["predictor"]))
        known = one is not None and np.isfinite(one["saved"])
        lines.append(
            Line(
                (
                    Item(f"{row['protocol']}, {row['held']}"),
                    Item(str(row["predictor"])),
                    *(_plain(row[name]) for name in ("rmse", "win_auroc", "harm_auroc", "regret_1")),
                    Item(f"{row['coverage']:.0%}", float(row["coverage"])) if pd.notna(row["coverage"]) else Item("–"),
                    Item(f"{one['saved']:.0%}", float(one["saved"])) if one is not None and known else Item("–"),
                    Item(f"[{one['lo']:.0%}, {one['hi']:.0%}]", float(one["hi"] - one["lo"]))
                    if one is not None and known
                    else Item("–"),
                ),
                tone="strong" if one is not None and bool(one["better"]) else "",
            )
        )
    return Table(id="predictors", label="Predictors on held-out cells", columns=columns, lines=tuple(lines))


def _plain(value: Any) -> Item:
    return Item("–") if pd.isna(value) else Item(f"{value:.2f}", float(value))
