"""The report's tables: as CSV files, and what is odd about a cell."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from traitscope.effects import Effects
from traitscope.findings import Findings
from traitscope.matrix import ScoreMatrix
from traitscope.texts import guarded, safe


def csv_files(findings: Findings) -> dict[str, str]:
    """File name -> CSV text of everything that has rows and columns."""
    frames: dict[str, tuple[pd.DataFrame, bool]] = {
        "cells": (cells_frame(findings.scores), False),
        "scores": (findings.scores.to_wide().rename_axis("model"), True),
    }
    traits, effects, stats = findings.traits, findings.effects, findings.stats
    if traits is not None:
        frames["loadings"] = (traits.loadings.rename_axis("trait"), True)
        frames["trait_scores"] = (traits.scores.rename_axis("model"), True)
        frames["explained_variance"] = (traits.null.frame(), True)
    if effects is not None:
        told = effects.findings.drop(columns="numbers").assign(sentence=effects.sentences())
        frames["findings"] = (told, False)
        frames |= {f"effects_{name}": (table, False) for name, table in effects.tables.items()}
    if findings.across is not None:
        frames["across_findings"] = (findings.across.findings, False)
        frames["across_gains"] = (findings.across.gains, False)
        frames["across_by_base"] = (findings.across.by_base, False)
    if stats is not None:
        frames["statistics"] = (stats.frame.rename_axis("dataset"), True)
        frames |= {f"similarity_{kind}": (s.frame.rename_axis("dataset"), True) for kind, s in stats.similarity.items()}
    if findings.explanation is not None:
        frames["explanation"] = (findings.explanation.correlations, False)
    if findings.layers is not None:
        over = findings.layers.table["task"].isin(("(all)", "(unseen)", "(null)"))
        frames["layers"] = (findings.layers.table[over], False)
        frames["layers_separability"] = (findings.layers.separability, False)
    if findings.correlates is not None:
        frames["layers_correlates"] = (findings.correlates.correlates, False)
        frames["layers_traits"] = (findings.correlates.traits, False)
        frames["layers_task_figures"] = (findings.correlates.figures.rename_axis("task"), True)
    if findings.causal is not None and findings.causal.windows:
        keys = ("first", "last", "lost", "lost_low", "lost_high", "kept", "kept_low", "kept_high")
        rows = [{key: getattr(w, key) for key in keys} for w in findings.causal.windows]
        frames["causal_windows"] = (pd.DataFrame(rows), False)
    return {name: csv_text(frame, index=index) for name, (frame, index) in frames.items()}


def csv_text(frame: pd.DataFrame, *, index: bool) -> str:
    """A frame as CSV in which no text steers a reader or is a formula to a spreadsheet; numbers stay numbers."""
    shown = frame.map(_guarded)
    shown.columns = pd.Index([_guarded(name) for name in frame.columns], name=frame.columns.name)
    shown.index = pd.Index([_guarded(name) for name in frame.index], name=_guarded(frame.index.name))
    return shown.to_csv(index=index, lineterminator="\n", float_format="%.10g")


def _guarded(value: Any) -> Any:
    return guarded(safe(value)) if isinstance(value, str) else value


def cells_frame(matrix: ScoreMatrix) -> pd.DataFrame:
    """All cells, all metrics: model, source, seed, task, metric, value, stderr, n, status, direction.

    Missing standard errors of the shown metric are filled from the example records where there are some.
    """
    table = matrix.to_long().reset_index(drop=True)
    known = {(m, t): (i, n) for i, m in enumerate(matrix.models) for n, t in enumerate(matrix.tasks)}
    filled = table["stderr"].to_numpy(dtype=float, na_value=np.nan).copy()
    for k, row in enumerate(table[["model", "task", "metric"]].itertuples(index=False)):
        at = known.get((str(row.model), str(row.task)))
        if np.isnan(filled[k]) and at is not None and matrix.metrics.get(str(row.task)) == row.metric:
            filled[k] = matrix.stderr_IN[at]
    table["stderr"] = filled
    # A line without a value tells of no cell.
    table.loc[table["value"].isna() & table["status"].isin(("measured", "imported")), "status"] = "missing"
    keep = ("base", "model", "source", "seed", "task", "metric", "value", "stderr", "n", "status", "higher_is_better")
    return table[[c for c in keep if c in table.columns]]


def cell_notes(effects: Effects | None) -> dict[tuple[str, str], str]:
    """What is odd about a cell, in words, by (model, task)."""
    table = None if effects is None else effects.tables.get("cells")
    if table is None:
        return {}
    found = {}
    for row in table.to_dict("records"):
        told = [row["remark"]] if row["habit"] else []
        if row["base_at"]:
            told.append(f"The base is at the {row['base_at']}.")
        found[str(row["model"]), str(row["task"])] = " ".join(told)
    return found
