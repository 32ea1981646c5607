"""Surprises: cells far from what an additive model, and a similarity model, expect of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from traitscope.effects.gains import Paired
from traitscope.effects.grid import HOME, Grid, Row
from traitscope.effects.significance import benjamini_hochberg, normal_p, normal_quantile
from traitscope.stats.similarity import Similarity

Floats = NDArray[np.float64]
MIN_ROWS, MIN_COLUMNS = 4, 3
FLAG_Q = 0.05
FLAG_MODEL_Z = 2.0


@dataclass(frozen=True, eq=False)
class LeftOut:
    """Every cell against a linear model fitted without it; arrays over the V cells.

    Attributes:
        expected: what the model expects, in the cells' own unit.
        residual: observed minus expected.
        stderr: noise of the residual (of the cell and of the fit); NaN where the cells' noise is not known.
        z_noise: residual in units of that noise: is it real?
        z_model: residual in units of the cells' robust spread around the model: is it unusual?
        slope: of the similarity (standardised gain per unit of similarity), NaN in the additive model.
    """

    expected: Floats
    residual: Floats
    stderr: Floats
    z_noise: Floats
    z_model: Floats
    slope: float


@dataclass(frozen=True, eq=False)
class Cells:
    """V cells: row, column, value, scale of the column, standard error and, where known, replicates_RV."""

    row_V: NDArray[np.int64]
    column_V: NDArray[np.int64]
    value_V: Floats
    scale_V: Floats
    stderr_V: Floats
    replicates_RV: Floats | None

    @property
    def determined(self) -> bool:
        """Whether there are enough rows and columns for a model of rows and columns."""
        return len(np.unique(self.row_V)) >= MIN_ROWS and len(np.unique(self.column_V)) >= MIN_COLUMNS

    def only(self, keep_V: NDArray[np.bool_]) -> Cells:
        """Some of the cells."""
        reps_RV = self.replicates_RV if self.replicates_RV is None else self.replicates_RV[:, keep_V]
        row_V, column_V, value_V = self.row_V[keep_V], self.column_V[keep_V], self.value_V[keep_V]
        return Cells(row_V, column_V, value_V, self.scale_V[keep_V], self.stderr_V[keep_V], reps_RV)


def leave_one_out(cells: Cells, extra_V: Floats | None = None) -> LeftOut | None:
    """Additive model (row + column, columns scaled to unit deviation), with an optional third regressor.

    Residuals are those of the fit without the cell itself, r / (1 - h). Noise goes through the same fit: by
    the bootstrap replicates where there are some (errors of models on one task are correlated), else as
    independent standard errors.

    Returns:
        None where the cells do not determine the model.
    """
    y = cells.value_V / cells.scale_V
    blocks = [(codes[:, None] == np.unique(codes)[None, :]).astype(float) for codes in (cells.row_V, cells.column_V)]
    if extra_V is not None:
        blocks.append((extra_V - extra_V.mean())[:, None])
    design = np.hstack(blocks)
    left, singular, right = np.linalg.svd(design, full_matrices=False)
    kept = singular > 1e-9 * singular[0]
    basis = left[:, kept]
    room = 1.0 - (basis**2).sum(axis=1)
    if (room < 1e-6).any():
        return None
    slope = float("nan")
    if extra_V is not None:
        slope = float((right[kept].T @ ((basis.T @ y) / singular[kept]))[-1])
    residual = (y - basis @ (basis.T @ y)) / room
    if cells.replicates_RV is not None:
        scaled = cells.replicates_RV / cells.scale_V
        stderr = (scaled - (scaled @ basis) @ basis.T).std(axis=0, ddof=1) / room
    elif np.isfinite(cells.stderr_V).all():
        variance = (cells.stderr_V / cells.scale_V) ** 2
        # Var of (I - H) e, with H = basis basis': its rows squared against the variances.
        hat = basis @ basis.T
        stderr = np.sqrt((1 - 2 * np.diag(hat)) * variance + (hat**2) @ variance) / room
    else:
        stderr = np.full(len(y), np.nan)
    spread = 1.4826 * float(np.median(np.abs(residual)))
    with np.errstate(divide="ignore", invalid="ignore"):
        z_noise = np.where(stderr > 0, residual / stderr, np.where(np.isnan(stderr), np.nan, 0.0))
    return LeftOut(
        expected=(y - residual) * cells.scale_V,
        residual=residual * cells.scale_V,
        stderr=stderr * cells.scale_V,
        z_noise=z_noise,
        z_model=residual / spread if spread > 1e-9 else np.zeros(len(y)),
        slope=slope,
    )


def surprise_cells(grid: Grid, paired: Paired) -> Cells | None:
    """Cells of all trained rows on tasks not their own; None below four rows or three columns.

    Paired gains take the place of the matrix's; scores that of gains where there is no base.
    """
    members = grid.trained.tolist() or [i for i in range(len(grid.models)) if not grid.is_base(i)]
    values = grid.gains_IN if np.isfinite(grid.gains_IN[members]).any() else grid.scores_IN
    errors = grid.stderr_IN if np.isfinite(grid.stderr_IN[members]).any() else grid.gain_stderr_IN
    found = []
    for i in members:
        for n, task in enumerate(grid.tasks):
            if grid.relation(grid.sources[i], task) not in HOME:
                row = paired.get((grid.models[i], task))
                found.append((i, n, values[i, n] if row is None else row["gain"], errors[i, n]))
    table = pd.DataFrame(found, columns=["row", "column", "value", "stderr"])
    table = table[np.isfinite(table["value"])]
    # A row or column with a single cell is fitted exactly and can surprise nobody.
    while (alone := ~(table.duplicated("row", keep=False) & table.duplicated("column", keep=False))).any():
        table = table[~alone]
    if table["row"].nunique() < MIN_ROWS or table["column"].nunique() < MIN_COLUMNS:
        return None
    row_V, column_V, value_V, stderr_V = (table[name].to_numpy() for name in table.columns)
    scale_V = np.ones(len(table))
    for n in np.unique(column_V):
        spread = float(value_V[column_V == n].std(ddof=1))
        scale_V[column_V == n] = spread if spread > 0 else 1.0
    keys = [(grid.models[i], grid.tasks[n]) for i, n in zip(row_V, column_V, strict=True)]
    replicates_RV = None
    if all(key in paired for key in keys):
        replicates_RV = np.stack([paired[key]["_replicates"] for key in keys], axis=1).astype(float)
    return Cells(row_V, column_V, value_V, scale_V, stderr_V, replicates_RV)


def surprise_rows(
    grid: Grid, paired: Paired, similarity: Similarity | None, level: float
) -> tuple[list[Row], list[str]]:
    """Every cell against the additive model, and against that with similarity where it is known.

    A cell is flagged as a surprise where its residual is real (q <= 0.05 over all cells) and unusual (at
    least twice the robust spread of the cells around the model).

    Returns:
        The rows of the table ``surprises``, and notes.
    """
    cells = surprise_cells(grid, paired)
    if cells is None:
        return [], ["surprises: fewer than four models or three tasks besides the models' own"]
    notes = []
    if cells.replicates_RV is None and not np.isfinite(cells.stderr_V).all():
        notes.append(
            "surprises: cells have no standard errors, so whether a residual is more than noise cannot be said; "
            "they are ranked by how unusual they are among the cells (z_model)"
        )
    models: list[tuple[str, str, Cells, Floats | None]] = [("surprise", "an additive model", cells, None)]
    if similarity is not None:
        alike_V = _similarities(grid, cells, similarity)
        known_V = np.isfinite(alike_V)
        part, alike_V = cells.only(known_V), alike_V[known_V]
        if part.determined and np.ptp(alike_V) > 0:
            models.append(("surprise_similarity", f"an additive model with {similarity.label}", part, alike_V))
        else:
            notes.append(f"surprises: the {similarity.label} of source and task is not known for enough cells")
    rows: list[Row] = []
    for kind, expectation, part, extra_V in models:
        fit = leave_one_out(part, extra_V)
        if fit is None:
            notes.append(f"surprises: the cells do not determine {expectation}")
        else:
            rows += [
                {**row, "against": kind, "_expectation": expectation} for row in _rows(grid, paired, part, fit, level)
            ]
    return rows, notes


def _similarities(grid: Grid, cells: Cells, similarity: Similarity) -> Floats:
    """Similarity of source (of a control: what it alters) and task by cell; NaN where not known."""
    at = {name: k for k, name in enumerate(similarity.names)}
    sources = [grid.parents.get(s or "", s or "") for s in (grid.sources[i] for i in cells.row_V)]
    pairs = zip(sources, (grid.tasks[n] for n in cells.column_V), strict=True)
    return np.array(
        [similarity.values_MM[at[s], at[t]] if s in at and t in at else np.nan for s, t in pairs], dtype=float
    )


def _rows(grid: Grid, paired: Paired, cells: Cells, fit: LeftOut, level: float) -> list[Row]:
    p_V = normal_p(fit.z_noise)
    q_V = benjamini_hochberg(p_V)
    half_V = normal_quantile(level) * fit.stderr
    rows = []
    for v in np.argsort(-np.abs(fit.z_model), kind="stable"):
        i, n = int(cells.row_V[v]), int(cells.column_V[v])
        cell = paired.get((grid.models[i], grid.tasks[n]))
        unusual = bool(abs(fit.z_model[v]) >= FLAG_MODEL_Z)
        rows.append(
            {
                **grid.where(i, grid.tasks[n]),
                "observed": cells.value_V[v],
                "expected": fit.expected[v],
                "residual": fit.residual[v],
                "stderr": fit.stderr[v],
                "z_noise": fit.z_noise[v],
                "z_model": fit.z_model[v],
                "p": p_V[v],
                "q": q_V[v],
                "surprising": bool(unusual and q_V[v] <= FLAG_Q) if np.isfinite(q_V[v]) else None,
                "unusual": unusual,
                "unit": grid.unit(n) if cell is None else cell["unit"],
                "_lo": fit.residual[v] - half_V[v],
                "_hi": fit.residual[v] + half_V[v],
                "_n": len(cells.value_V),
                "_method": "noise of the cell and the fit" if np.isfinite(half_V[v]) else "none",
                "_times": abs(fit.z_model[v]),
            }
        )
    return rows
