"""Surprises: cells far from what an additive model, and a similarity model, expect of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from traitscope.effects.findings import Finding, number, p_words, span, words
from traitscope.effects.gains import GainReplicates
from traitscope.effects.grid import Grid
from traitscope.effects.significance import benjamini_hochberg, normal_p, normal_quantile
from traitscope.stats.similarity import Similarity

Floats = NDArray[np.float64]
MIN_ROWS = 4
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


def surprise_cells(
    grid: Grid, observed: dict[tuple[str, str], tuple[float, str]], replicates: GainReplicates
) -> Cells | None:
    """Cells of all trained rows on tasks not their own; None below four rows or three columns."""
    rows = grid.trained.tolist() or [i for i in range(len(grid.models)) if not grid.is_base(i)]
    with_gain = any(np.isfinite(grid.gains_IN[i]).any() for i in rows)
    values = grid.gains_IN if with_gain else grid.scores_IN
    errors = grid.stderr_IN if np.isfinite(grid.stderr_IN[rows]).any() else grid.gain_stderr_IN
    found = []
    for i in rows:
        for n, task in enumerate(grid.tasks):
            if grid.relation(i, task) == "own":
                continue
            value = observed.get((grid.models[i], task), (values[i, n], ""))[0]
            if np.isfinite(value):
                found.append((i, n, value, errors[i, n]))
    # A row or column with a single cell is fitted exactly and can surprise nobody.
    while True:
        row_counts = pd.Series([f[0] for f in found]).value_counts()
        column_counts = pd.Series([f[1] for f in found]).value_counts()
        kept = [f for f in found if row_counts[f[0]] > 1 and column_counts[f[1]] > 1]
        if len(kept) == len(found):
            break
        found = kept
    if len({f[0] for f in found}) < MIN_ROWS or len({f[1] for f in found}) < 3:
        return None
    row = np.array([f[0] for f in found])
    column = np.array([f[1] for f in found])
    value = np.array([f[2] for f in found], dtype=float)
    scale = np.ones(len(found))
    for n in np.unique(column):
        spread = float(value[column == n].std(ddof=1))
        scale[column == n] = spread if spread > 0 else 1.0
    keys = [(grid.models[i], grid.tasks[n]) for i, n in zip(row, column, strict=True)]
    reps = None
    if all(key in replicates for key in keys):
        reps = np.stack([replicates[key] for key in keys], axis=1).astype(float)
    return Cells(row, column, value, scale, np.array([f[3] for f in found], dtype=float), reps)


def surprise_effects(
    grid: Grid,
    observed: dict[tuple[str, str], tuple[float, str]],
    replicates: GainReplicates,
    similarity: Similarity | None,
    level: float,
) -> tuple[list[Finding], list[dict], list[str]]:
    """Every cell against the additive model, and against that with similarity where it is known.

    A cell is flagged as a surprise where its residual is real (q <= 0.05 over all cells) and unusual (at
    least twice the robust spread of the cells around the model).

    Returns:
        Findings of kind ``surprise`` and ``surprise_similarity``, the rows of the table ``surprises``, and
        notes.
    """
    cells = surprise_cells(grid, observed, replicates)
    if cells is None:
        return [], [], ["surprises: fewer than four models or three tasks besides the models' own"]
    notes = []
    if cells.replicates_RV is None and not np.isfinite(cells.stderr_V).all():
        notes.append(
            "surprises: cells have no standard errors, so whether a residual is more than noise cannot be "
            "said; "
            "they are ranked by how unusual they are among the cells (z_model)"
        )
    findings, rows = [], []
    models: list[tuple[str, str, Cells, Floats | None]] = [("surprise", "an additive model", cells, None)]
    if similarity is not None:
        part, alike = _with_similarity(grid, cells, similarity)
        if part is not None and alike is not None:
            text = f"additive model with {similarity.label}"
            models.append(("surprise_similarity", f"an {text}", part, alike))
        else:
            notes.append(f"surprises: the {similarity.label} of source and task is not known for enough cells")
    for kind, text, part, alike in models:
        fit = leave_one_out(part, alike)
        if fit is None:
            notes.append(f"surprises: the cells do not determine {text}")
            continue
        found, table = _surprises(grid, observed, part, fit, kind, text, level)
        findings.extend(found)
        rows.extend(table)
    return findings, rows, notes


def _with_similarity(grid: Grid, cells: Cells, similarity: Similarity) -> tuple[Cells | None, Floats | None]:
    at = {name: i for i, name in enumerate(similarity.names)}
    source = [grid.parents.get(s or "", s or "") for s in (grid.sources[i] for i in cells.row_V)]
    alike = np.array(
        [
            similarity.values_MM[at[s], at[grid.tasks[n]]] if s in at and grid.tasks[n] in at else np.nan
            for s, n in zip(source, cells.column_V, strict=True)
        ]
    )
    keep = np.isfinite(alike)
    reps = cells.replicates_RV
    part = Cells(
        cells.row_V[keep],
        cells.column_V[keep],
        cells.value_V[keep],
        cells.scale_V[keep],
        cells.stderr_V[keep],
        None if reps is None else reps[:, keep],
    )
    enough = len(np.unique(part.row_V)) >= MIN_ROWS and len(np.unique(part.column_V)) >= 3
    return (part, alike[keep]) if enough and np.ptp(alike[keep]) > 0 else (None, None)


def _surprises(
    grid: Grid,
    observed: dict[tuple[str, str], tuple[float, str]],
    cells: Cells,
    fit: LeftOut,
    kind: str,
    text: str,
    level: float,
) -> tuple[list[Finding], list[dict]]:
    p = normal_p(fit.z_noise)
    q = benjamini_hochberg(p)
    half = normal_quantile(level) * fit.stderr
    findings, rows = [], []
    for v in np.argsort(-np.abs(fit.z_model), kind="stable"):
        i, n = int(cells.row_V[v]), int(cells.column_V[v])
        model, task = grid.models[i], grid.tasks[n]
        unit = observed.get((model, task), (0.0, grid.unit(int(n))))[1]
        residual, lo, hi = (
            float(fit.residual[v]),
            float(fit.residual[v] - half[v]),
            float(fit.residual[v] + half[v]),
        )
        unusual = abs(fit.z_model[v]) >= FLAG_MODEL_Z
        real = bool(q[v] <= FLAG_Q) if np.isfinite(q[v]) else None
        rows.append(
            {
                **grid.where(i, task),
                "against": kind,
                "observed": cells.value_V[v],
                "expected": fit.expected[v],
                "residual": residual,
                "stderr": fit.stderr[v],
                "z_noise": fit.z_noise[v],
                "z_model": fit.z_model[v],
                "p": p[v],
                "q": q[v],
                "surprising": bool(unusual and real is not False) if real is not None else None,
                "unusual": bool(unusual),
                "unit": unit,
            }
        )
        noise = f"; {span(lo, hi, unit)}, {p_words(float(p[v]))}" if np.isfinite(half[v]) else ""
        findings.append(
            Finding(
                kind=kind,
                **grid.where(i, task),
                value=residual,
                lo=lo,
                hi=hi,
                unit=unit,
                n=len(cells.value_V),
                p=float(p[v]),
                interval="noise of the cell and the fit" if np.isfinite(half[v]) else "none",
                sentence=(
                    f"{model} on {task}: {number(float(cells.value_V[v]), unit)} {words(unit)} where "
                    f"{text} fitted to the other cells expects "
                    f"{number(float(fit.expected[v]), unit)}, {number(residual, unit)} off "
                    f"({abs(fit.z_model[v]):.1f} times the usual spread{noise})."
                ),
            )
        )
    return findings, rows
