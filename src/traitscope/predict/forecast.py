"""Forecasts for a user: which source helps a target, by how much and how surely, baselines beside."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from traitscope.errors import TraitscopeError, check_shares
from traitscope.frames import Tabular
from traitscope.matrix import Role, ScoreMatrix
from traitscope.predict.conformal import LEVEL, Calibration, calibrate
from traitscope.predict.pairs import PairFeatures
from traitscope.predict.predictor import CannotFit, Prediction, predictor_named
from traitscope.predict.problem import Problem
from traitscope.registry import did_you_mean
from traitscope.texts import Shown, count_of, table_text

if TYPE_CHECKING:
    from traitscope.predict.evaluation import Evaluation

Floats = npt.NDArray[np.float64]

DEFAULT = "residual gp"
BASELINES = ("column mean", "additive")


@dataclass(frozen=True, eq=False, repr=False)
class Forecast(Shown, Tabular):
    """Every cell of one base model as a predictor expects it.

    Attributes:
        problem: what was known. predictor: name of the predictor.
        prediction: expected cells, in z. calibration: their intervals.
        baselines: predictions of the column mean and the additive model, by name.
        scores: what was measured.
    """

    problem: Problem
    predictor: str
    prediction: Prediction
    calibration: Calibration
    baselines: dict[str, Prediction]
    scores: ScoreMatrix

    def headline(self) -> str:
        """What it is of, in a few words."""
        n = int((self.problem.allowed_IN & ~self.problem.known_IN).sum())
        return f"{count_of(n, 'predicted cell')} of {self.base} by {self.predictor}"

    def shown_text(self) -> str:
        """What a notebook shows below the headline."""
        tasks = [task for n, task in enumerate(self.problem.tasks) if self.problem.allowed_IN[:, n].any()]
        rows = [["task", "best source", "expected", "status"]]
        for task in tasks[:40]:
            best = self.rank_sources(task).iloc[0]
            rows.append([task, str(best["source"]), f"{best['expected']:+.3f}", str(best["status"])])
        return table_text(rows, right=(2,))

    def named_tables(self) -> dict[str, pd.DataFrame]:
        """``cells``: every cell that nobody measured; ``ranking``: the sources of every task, measured ones too."""
        tasks = [task for n, task in enumerate(self.problem.tasks) if self.problem.allowed_IN[:, n].any()]
        ranked = [self.rank_sources(task).assign(task=task) for task in tasks]
        return {"cells": self.cells(), "ranking": pd.concat(ranked)}

    def skill(self, protocol: str = "cells") -> pd.DataFrame:
        """What the predictor saves of the baselines' squared error on measured cells that are held out.

        Args:
            protocol: ``cells`` for holes among measured cells, ``source`` for a source of which nothing is measured,
                ``column`` for such a target; or another of ``protocols.PROTOCOLS``.

        Returns:
            The rows of ``Evaluation.skill``: against each baseline saved, lo, hi, better.

        Raises:
            TraitscopeError: too few cells are measured for that.
        """
        table = self.evaluate(protocol).skill
        if table.empty:
            raise TraitscopeError(
                f"nothing can be held out by {protocol!r}", where="skill", fix="name another protocol, or measure more"
            )
        return table[table["predictor"] == self.predictor].reset_index(drop=True)

    def evaluate(self, protocol: str) -> Evaluation:
        """The predictor and the baselines on measured cells that are held out; as ``skill``."""
        from traitscope.predict.evaluate import evaluate_predictors

        return evaluate_predictors(
            self.scores,
            features=self.problem.features,
            base=self.base,
            predictors=[*BASELINES, self.predictor],
            protocols=[protocol],
        )

    @property
    def base(self) -> str:
        """The base model that is forecast."""
        return self.problem.bases[self.problem.target]

    def rank_sources(self, task: str) -> pd.DataFrame:
        """The sources for a target, best expected first.

        Args:
            task: a task of the matrix.

        Returns:
            One row per source whose cell is transfer: source, status (``measured`` or ``predicted``), expected and its
            interval lo, hi (of predicted cells), harm (the chance that a predicted gain is below 0), then the
            baselines' expectations by their names, measured (NaN where it is not), unit and note. The unit is ``gain``
            over the untuned base, ``score`` where the base was not measured, or ``z`` (column SD around the mean of the
            sources) where no cell of the target is known. Where lower scores are better they are turned: higher is
            better here.

        Raises:
            TraitscopeError: no task of this name, or no source that could help it.
        """
        problem = self.problem
        if task not in problem.tasks:
            fix = did_you_mean(task, problem.tasks)
            if any(note.startswith("empty columns") and task in note for note in self.scores.notes):
                fix = "its column is empty: name it among --values (values=) to keep it as a target"
            raise TraitscopeError(f"no task is named {task!r}", where="rank_sources", fix=fix)
        n = problem.tasks.index(task)
        rows = np.flatnonzero(problem.allowed_IN[:, n])
        if not len(rows):
            raise TraitscopeError(f"no source is transfer to {task!r}", where="rank_sources", fix="name another task")
        untuned = float(problem.untuned_BN[problem.target, n])
        centre, spread = self.prediction.centre_N[n], self.prediction.spread_N[n]
        if np.isnan(centre):
            unit, centre, spread = "z", 0.0, 1.0
        elif np.isfinite(untuned):
            unit, centre = "gain", centre - untuned
        else:
            unit = "score" if problem.sign_N[n] > 0 else "minus score"
        measured_I = problem.values_IN[rows, n] - (untuned if unit == "gain" else 0.0)
        expected_I = centre + spread * self.prediction.z_IN[rows, n]
        half_I = spread * self.calibration.half_IN[rows, n]
        known_I = np.isfinite(measured_I)
        told = {
            name: (found.z_IN[rows, n] if unit == "z" else centre + found.spread_N[n] * found.z_IN[rows, n])
            for name, found in self.baselines.items()
        }
        table = pd.DataFrame(
            {
                "source": [problem.sources[i] for i in rows],
                "status": np.where(known_I, "measured", "predicted"),
                "expected": np.where(known_I, measured_I, expected_I),
                "lo": np.where(known_I, np.nan, expected_I - half_I),
                "hi": np.where(known_I, np.nan, expected_I + half_I),
                "harm": np.where(
                    known_I | (unit != "gain"), np.nan, below_zero(expected_I, half_I, self.calibration.level)
                ),
                **told,
                "measured": measured_I,
                "unit": unit,
                "note": [self._note(int(i), n) for i in rows],
            }
        )
        return table.sort_values("expected", ascending=False, kind="stable").reset_index(drop=True)

    def explain(self, task: str) -> pd.DataFrame:
        """What every source's expectation is the sum of, beside its rank: one column a piece.

        Args:
            task: as in ``rank_sources``, in whose unit the pieces are; they add up to the expected value around the
                mean of the known sources.

        Raises:
            TraitscopeError: as ``rank_sources``.
        """
        ranked = self.rank_sources(task)
        n = self.problem.tasks.index(task)
        rows = [self.problem.sources.index(source) for source in ranked["source"]]
        spread = 1.0 if np.isnan(self.prediction.centre_N[n]) else float(self.prediction.spread_N[n])
        pieces = {name: spread * piece_IN[rows, n] for name, piece_IN in self.prediction.pieces.items()}
        return pd.DataFrame({"source": ranked["source"], "status": ranked["status"], **pieces})

    def gains(self) -> Floats:
        """Gain_IN over the untuned base, measured where it is and expected elsewhere; NaN where neither is told."""
        problem = self.problem
        expected_IN = self.prediction.centre_N + self.prediction.spread_N * self.prediction.z_IN
        values_IN = np.where(problem.known_IN, problem.values_IN, expected_IN)
        found_IN = values_IN - problem.untuned_BN[problem.target]
        return np.where(problem.allowed_IN | problem.known_IN, found_IN, np.nan)

    def cells(self) -> pd.DataFrame:
        """Every transfer cell that nobody measured: base, source, task, expected, lo, hi, unit, note."""
        problem = self.problem
        found = []
        for n in np.flatnonzero((problem.allowed_IN & ~problem.known_IN).any(axis=0)):
            ranked = self.rank_sources(problem.tasks[n])
            ranked = ranked[ranked["status"] == "predicted"]
            found.append(ranked.assign(base=self.base, task=problem.tasks[n]))
        columns = ["base", "source", "task", "expected", "lo", "hi", "unit", "note"]
        return pd.concat(found, ignore_index=True)[columns] if found else pd.DataFrame(columns=columns)

    def _note(self, i: int, n: int) -> str:
        problem = self.problem
        if problem.known_IN[i, n]:
            return ""
        notes = []
        features = problem.features is not None and bool(problem.features.names)
        if not np.isfinite(problem.values_BIN[:, i]).any() and not features:
            notes.append("nothing is known of this source: it is the column mean")
        if not problem.known_IN[:, n].any():
            notes.append("no source is measured on this task: an order, not a score")
        if problem.scale.flat_BN[problem.target, n]:
            notes.append("a flat column: its scores differ no more than their noise")
        if self.prediction.note and not notes:
            notes.append(self.prediction.note)
        return "; ".join(notes)


def below_zero(expected_I: Floats, half_I: Floats, level: float) -> Floats:
    """Chance of a value below 0, the interval of that coverage taken as a normal one's."""
    from scipy.stats import norm

    return np.asarray(norm.cdf(-expected_I / np.maximum(half_I / norm.ppf(0.5 + level / 2), 1e-12)))


def fit_predictor(
    scores: ScoreMatrix,
    features: PairFeatures | None = None,
    base: str | None = None,
    *,
    more: Mapping[str, Role] | None = None,
    predictor: str = DEFAULT,
    level: float = LEVEL,
    seed: int = 0,
) -> Forecast:
    """A forecast of every transfer cell of one base model, from the cells that are known.

    Args:
        scores: a score matrix with holes; other base models in it are used.
        features: of the pairs of the base model's sources and targets.
        base: the base model to forecast; may be left out where there is one.
        more: sources of which nothing is measured, with their roles.
        predictor: name of a registered predictor.
        level: coverage of the intervals, between 0 and 1.
        seed: of the inner folds.

    Raises:
        TraitscopeError: an unknown predictor or base model, no transfer cell, or a predictor that lacks what it needs.
    """
    fit = predictor_named(predictor)
    if seed < 0:
        raise TraitscopeError(f"a seed of {seed}", where="seed", fix="write 0 or a positive number")
    check_shares("predict", level=level)
    problem = Problem.from_scores(scores, base, features, more)
    if not np.isfinite(problem.values_BIN).any():
        raise TraitscopeError("no transfer cell is known", where="predict", fix="measure some cells first")
    rng = np.random.default_rng(seed)
    try:
        prediction = fit(problem, rng)
        calibration = calibrate(problem, fit, prediction, rng, level)
    except CannotFit as reason:
        raise TraitscopeError(
            f"{predictor} cannot be fitted: {reason}",
            where="predict",
            fix=f"use {DEFAULT!r}, which takes what there is"
            if predictor != DEFAULT
            else "use 'low rank' or 'additive'",
        ) from None
    baselines = {name: predictor_named(name)(problem, rng) for name in BASELINES}
    return Forecast(problem, predictor, prediction, calibration, baselines, scores)
