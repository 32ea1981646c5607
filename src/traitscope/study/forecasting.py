"""Forecasts of a study: the cells that nobody measured, with the evidence of its folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from traitscope.errors import TraitscopeError
from traitscope.matrix.table import row_labels
from traitscope.study.analysis import scores
from traitscope.study.context import Context
from traitscope.study.evidence import gather_evidence
from traitscope.study.newdata import probe_all, with_dataset
from traitscope.study.probes import plain_sources
from traitscope.study.roles import study_roles

# What is known of a source before it is trained in full.
FREE = ("text", "base", "probe")

if TYPE_CHECKING:
    from traitscope.matrix import ScoreMatrix
    from traitscope.predict.forecast import Forecast
    from traitscope.predict.pairs import PairFeatures


def study_forecast(
    study: Context,
    *,
    new: Path | None = None,
    like: str | None = None,
    probe: bool = False,
    costs: Sequence[str] = FREE,
    others: Sequence[ScoreMatrix] = (),
    predictor: str | None = None,
    stop: Callable[[], bool] | None = None,
) -> Forecast:
    """Every transfer cell that is not measured, and those of a new dataset.

    Args:
        study: with some cells.
        new, like: a dataset as in ``newdata.with_dataset``.
        probe: train short adapters where there are none, the new dataset's too.
        costs: kinds of evidence (``predict.pairs.COSTS``); with ``base`` the mean gradients that are missing are made.
        others: matrices of other base models, with sources and tasks of the same names.
        predictor: name of a predictor.
        stop: as in ``Study.run``.

    Raises:
        TraitscopeError: no cell yet, or whatever the new dataset lacks.
        Stopped: ``stop`` said so.
    """
    from traitscope.predict.forecast import DEFAULT, fit_predictor

    matrix = joined(scores(study), others)
    beside, name = (study, None) if new is None else with_dataset(study, new, like)
    if probe:
        probe_all(study, beside, stop)
    features = study_features(beside, costs, None if name is None else [name], stop)
    roles = study_roles(beside.config)
    more = {source: roles[source] for source in features.sources}
    return fit_predictor(matrix, features, study.base_name, more=more, predictor=predictor or DEFAULT)


def study_features(
    study: Context,
    costs: Sequence[str] = FREE,
    told: Sequence[str] | None = None,
    stop: Callable[[], bool] | None = None,
) -> PairFeatures:
    """Features of a study's sources and targets that are known of some sources, by default of all.

    Args:
        study: with or without cells.
        costs: as in ``study_forecast``.
        told: sources that every feature must be known of.
        stop: as in ``Study.run``.

    Raises:
        TraitscopeError: an unknown kind of evidence, or the base is not at hand.
        Stopped: ``stop`` said so.
    """
    from traitscope.predict.evidence import pair_features
    from traitscope.predict.pairs import COSTS

    unknown = [cost for cost in costs if cost not in COSTS]
    if unknown:
        raise TraitscopeError(f"no evidence is called {unknown[0]!r}", where="evidence", fix=f"of {', '.join(COSTS)}")
    evidence = gather_evidence(study, gradients_wanted="base" in costs, stop=stop)
    sources = [source.name for source in plain_sources(study.config)]
    features = pair_features(evidence, sources, study.config.target_names(), costs)
    return for_all(features, sources if told is None else told)


def for_all(features: PairFeatures, sources: Sequence[str]) -> PairFeatures:
    """The features that are known of all these sources: what is told by others could not tell them apart."""
    rows = [features.sources.index(source) for source in sources]
    known_F = [bool(np.isfinite(values_IN[rows]).any(axis=1).all()) for values_IN in features.values_FIN]
    return features.only([name for name, known in zip(features.names, known_F, strict=True) if known])


def joined(matrix: ScoreMatrix, others: Sequence[ScoreMatrix]) -> ScoreMatrix:
    """One matrix of a study and of other base models, in the study's metrics and units.

    Tasks that the study lacks are left out; what a matrix says of a task that both have is taken to be of the study's
    metric, whatever the file calls it, and turned from percent to shares or back.

    Raises:
        TraitscopeError: another matrix shares no task or no source with the study, is of the same base model, or has a
            task in a unit that cannot be turned.
    """
    if not others:
        return matrix
    from traitscope.matrix import ScoreMatrix

    tables = [matrix.table]
    bases = set(matrix.rows["base"])
    sources = {s for s in matrix.sources_I if s is not None}
    for other in others:
        alike = sources & {s for s in other.sources_I if s is not None}
        tasks = [task for task in other.tasks if task in matrix.tasks]
        if not tasks or not alike:
            raise TraitscopeError(
                "shares no task or no source with the study", where="--others", fix="names must be the same in both"
            )
        if bases & set(other.rows["base"]):
            raise TraitscopeError(
                "is of the study's own base model, or names none", where="--others", fix="give it a column base"
            )
        bases |= set(other.rows["base"])
        tables.append(_in_terms_of(matrix, other, tasks))
    return ScoreMatrix.from_long(
        pd.concat(tables, ignore_index=True),
        base=matrix.base_name,
        metric=dict(matrix.metrics),
        units=dict(matrix.units),
        roles=matrix.roles,
    )


def _in_terms_of(matrix: ScoreMatrix, other: ScoreMatrix, tasks: Sequence[str]) -> pd.DataFrame:
    """The long table of another matrix's tasks under the study's metrics and in its units, base rows by its name."""
    named = dict(zip(other.models, other.sources_I, strict=True))
    parts = []
    for task in tasks:
        table = other.table[(other.table["task"] == task) & (other.table["metric"] == other.metrics[task])].copy()
        ours, theirs = matrix.units[task], other.units[task]
        shares = {"fraction": 1.0, "percent": 100.0}
        if ours != theirs and not {ours, theirs} <= shares.keys():
            raise TraitscopeError(
                f"{task!r} is in another unit ({theirs}) than the study's ({ours})",
                where="--others",
                fix="leave it out",
            )
        factor = shares[ours] / shares[theirs] if ours != theirs else 1.0
        for column in ("value", "stderr"):
            table[column] = table[column] * factor
        first = matrix.table[(matrix.table["task"] == task) & (matrix.table["metric"] == matrix.metrics[task])]
        table["higher_is_better"] = bool(first["higher_is_better"].iloc[0])
        table["metric"], table["primary"] = matrix.metrics[task], True
        table["source"] = [named.get(label) for label in row_labels(table)]
        if other.base_name is not None and matrix.base_name is not None:
            table["model"] = table["model"].replace(other.base_name, matrix.base_name)
        parts.append(table)
    return pd.concat(parts, ignore_index=True)
