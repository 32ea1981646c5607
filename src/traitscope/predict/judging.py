"""One predictor on the folds of one protocol: errors, rankings, gains over the base, coverage of its intervals."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from traitscope.predict.conformal import calibrate, whole_columns, whole_scale
from traitscope.predict.predictor import Prediction, Predictor
from traitscope.predict.problem import Problem
from traitscope.predict.scoring import auroc, regret, spearman

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

# Harm is a score that lies this many standard deviations of its column below the untuned base.
HARM = 0.5
TOP = (1, 3, 5)


@dataclass(frozen=True, eq=False)
class Fold:
    """Cells of the target base that are hidden, and those of them that are judged: twins of a target are not."""

    hidden_IN: Bools
    judged_IN: Bools


@dataclass(eq=False)
class Tally:
    """What one predictor did under one protocol on one base model.

    Attributes:
        error_IN: sum of the squared errors in column SD. judged_IN: how often each cell was judged.
        covered: cells inside their interval. lists: other measures, one value for each column or fold.
        gains, truths: predicted and true gains over the untuned base, in column SD.
        seconds: of fitting and calibrating. only_means: whether every prediction was the column mean.
    """

    error_IN: Floats
    judged_IN: Floats
    covered: int = 0
    lists: dict[str, list[float]] = field(default_factory=dict)
    gains: list[Floats] = field(default_factory=list)
    truths: list[Floats] = field(default_factory=list)
    seconds: float = 0.0
    folds: int = 0
    only_means: bool = True

    def add(self, name: str, value: float) -> None:
        """Files a value, unless it is not defined."""
        if np.isfinite(value):
            self.lists.setdefault(name, []).append(value)

    def mean(self, name: str) -> float:
        """Mean of a measure; NaN where it never was defined."""
        found = self.lists.get(name)
        return float(np.mean(found)) if found else float("nan")


def judge(
    problem: Problem, predictor: Predictor, ranks: bool, folds: Sequence[Fold], rng: np.random.Generator
) -> Tally:
    """A predictor on the folds of a protocol, with its intervals.

    Args:
        problem: all that is known. ranks: whether sources are ranked inside the judged columns.

    Raises:
        CannotFit: the predictor lacks what it needs.
    """
    shape = problem.known_IN.shape
    tally = Tally(np.zeros(shape), np.zeros(shape))
    truth_IN = whole_columns(problem)
    # Two cells have a spread, but nothing to be ranked by.
    told_N = ~problem.scale.flat_BN[problem.target] & (problem.known_IN.sum(axis=0) > 2)
    for fold in folds:
        begun = time.perf_counter()
        seen = problem.hide(fold.hidden_IN)
        prediction = predictor(seen, rng)
        half_IN = calibrate(seen, predictor, prediction, rng).half_IN
        tally.seconds += time.perf_counter() - begun
        tally.folds += 1
        judged_IN = fold.judged_IN & problem.allowed_IN & told_N
        away_IN, width_IN = _in_column_sd(problem, truth_IN, prediction, half_IN)
        tally.error_IN[judged_IN] += away_IN[judged_IN] ** 2
        tally.judged_IN[judged_IN] += 1
        tally.covered += int((np.abs(away_IN) <= width_IN)[judged_IN].sum())
        if np.abs(prediction.z_IN[fold.hidden_IN]).max(initial=0.0) > 1e-9:
            tally.only_means = False
        _judge_gains(tally, problem, prediction, judged_IN)
        if ranks:
            for n in np.flatnonzero(judged_IN.any(axis=0)):
                _judge_ranking(tally, problem, prediction, judged_IN[:, n], int(n))
    return tally


def _in_column_sd(problem: Problem, truth_IN: Floats, prediction: Prediction, half_IN: Floats) -> tuple[Floats, Floats]:
    """Errors, and half widths of intervals, in standard deviations of the whole column."""
    known_IN = problem.known_IN
    count_N = np.maximum(known_IN.sum(axis=0), 1)
    centre_N, spread_N = whole_scale(problem)
    open_N = np.isnan(prediction.centre_N)
    middle_N = np.where(known_IN, prediction.z_IN, 0.0).sum(axis=0) / count_N
    expected_IN = np.where(open_N, prediction.z_IN - middle_N, (prediction.values_IN - centre_N) / spread_N)
    width_IN = np.where(open_N, half_IN, half_IN * prediction.spread_N / spread_N)
    return truth_IN - expected_IN, width_IN


def _judge_gains(tally: Tally, problem: Problem, prediction: Prediction, judged_IN: Bools) -> None:
    """Gains over the untuned base, in column SD: as predicted and as they are, where both can be told."""
    untuned_N = problem.untuned_BN[problem.target]
    gain_IN = (prediction.values_IN - untuned_N) / prediction.spread_N
    true_IN = (problem.values_IN - untuned_N) / whole_scale(problem)[1]
    told_IN = judged_IN & np.isfinite(gain_IN) & np.isfinite(true_IN)
    tally.gains.append(gain_IN[told_IN])
    tally.truths.append(true_IN[told_IN])


def _judge_ranking(tally: Tally, problem: Problem, prediction: Prediction, judged_I: Bools, n: int) -> None:
    """One column: how its sources are ordered, those that are known there by their score."""
    known_I = problem.known_IN[:, n]
    true_I = problem.values_IN[:, n]
    expected_I = prediction.z_IN[:, n]
    centre, spread = prediction.centre_N[n], prediction.spread_N[n]
    order_I = np.where(judged_I | np.isnan(centre), expected_I, (true_I - centre) / spread)
    tally.add("rho", spearman(order_I[known_I], true_I[known_I]))
    tally.add("rho_hidden", spearman(expected_I[judged_I], true_I[judged_I]))
    wide, best = float(np.ptp(true_I[known_I])), float(true_I[known_I].max())
    for k in TOP:
        lost = regret(order_I[known_I], true_I[known_I], k)
        tally.add(f"regret_{k}", lost / wide if wide > 0 else float("nan"))
        tally.add(f"regret_{k}_percent", 100.0 * lost / abs(best) if best else float("nan"))


def line(tally: Tally) -> dict[str, object]:
    """The tally as a row of the table of ``evaluate_predictors``."""
    judged = float(tally.judged_IN.sum())
    gain_C = np.concatenate(tally.gains) if tally.gains else np.zeros(0)
    true_C = np.concatenate(tally.truths) if tally.truths else np.zeros(0)
    return {
        "rmse": float(np.sqrt(tally.error_IN.sum() / judged)) if judged else float("nan"),
        "rho": tally.mean("rho"),
        "rho_hidden": tally.mean("rho_hidden"),
        **{f"regret_{k}": tally.mean(f"regret_{k}") for k in TOP},
        **{f"regret_{k}_percent": tally.mean(f"regret_{k}_percent") for k in TOP},
        "win_auroc": auroc(gain_C, true_C > 0),
        "harm_auroc": auroc(-gain_C, true_C < -HARM),
        "coverage": tally.covered / judged if judged else float("nan"),
        "cells": int(judged),
        "folds": tally.folds,
        "seconds": tally.seconds,
    }
