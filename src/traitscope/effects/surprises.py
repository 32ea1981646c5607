"""Surprises: cells far from what an additive model, and a similarity model, expect of them."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from traitscope.effects.gains import Paired
from traitscope.effects.grid import Found, Grid, Row
from traitscope.effects.significance import additive_basis, benjamini_hochberg, normal_p, normal_quantile
from traitscope.stats.similarity import Similarity

Floats = NDArray[np.float64]
MIN_ROWS, MIN_COLUMNS = 4, 3
FLAG_Q = 0.05
FLAG_MODEL_Z = 2.0


def surprise_cells(grid: Grid, paired: Paired) -> pd.DataFrame:
    """Transfer cells of the sources, as far as a row and a column have two of them.

    Paired gains take the place of the matrix's; scores that of gains where there is no base.

    Returns:
        One line per cell: its row i and column n, value, scale (the deviation of its column), error (standard
        error), unit, replicates (of the paired gain, else None).
    """
    members = grid.fitted.tolist()
    values = grid.gains_IN if np.isfinite(grid.gains_IN[members]).any() else grid.scores_IN
    errors = grid.stderr_IN if np.isfinite(grid.stderr_IN[members]).any() else grid.gain_stderr_IN
    found = []
    for i in members:
        for n, task in enumerate(grid.tasks):
            if grid.relation(grid.sources[i], task) == "transfer":
                matrix = {"gain": values[i, n], "unit": grid.unit(n), "_replicates": None}
                cell = paired.get((grid.models[i], task), matrix)
                found.append((i, n, cell["gain"], errors[i, n], cell["unit"], cell["_replicates"]))
    cells = pd.DataFrame(found, columns=["i", "n", "value", "error", "unit", "replicates"])
    cells = cells[np.isfinite(cells["value"].astype(float))]
    # A row or column with a single cell is fitted exactly and can surprise nobody.
    while (alone := ~(cells.duplicated("i", keep=False) & cells.duplicated("n", keep=False))).any():
        cells = cells[~alone]
    spread = cells.groupby("n")["value"].transform(lambda value: value.to_numpy().std(ddof=1))
    return cells.assign(scale=spread.where(spread > 0, 1.0))


def leave_one_out(cells: pd.DataFrame, extra_V: Floats | None = None) -> pd.DataFrame | None:
    """Every cell against an additive model (row + column, columns scaled to unit deviation) fitted without it.

    Residuals are r / (1 - h). Noise goes through the same fit: by the bootstrap replicates where there are some
    (errors of models on one task are correlated), else as independent standard errors.

    Args:
        cells: see :func:`surprise_cells`.
        extra_V: a third regressor.

    Returns:
        The cells with the columns expected and residual (in the cells' own unit), stderr (of the residual: noise
        of the cell and of the fit; NaN where not known), z_noise (residual by that: is it real?) and z_model
        (residual by the cells' robust spread around the model: is it unusual?). None where the cells do not
        determine the model.
    """
    scale_V = cells["scale"].to_numpy()
    y = cells["value"].to_numpy() / scale_V
    basis = additive_basis(cells["i"], cells["n"], extra_V)
    room = 1.0 - (basis**2).sum(axis=1)
    if (room < 1e-6).any():
        return None
    residual = (y - basis @ (basis.T @ y)) / room
    if cells["replicates"].notna().all():
        scaled = np.stack(list(cells["replicates"]), axis=1).astype(float) / scale_V
        stderr = (scaled - (scaled @ basis) @ basis.T).std(axis=0, ddof=1) / room
    elif np.isfinite(cells["error"]).all():
        variance = (cells["error"].to_numpy() / scale_V) ** 2
        # Var of (I - H) e, with H = basis basis': its rows squared against the variances.
        hat = basis @ basis.T
        stderr = np.sqrt((1 - 2 * np.diag(hat)) * variance + (hat**2) @ variance) / room
    else:
        stderr = np.full(len(y), np.nan)
    spread = 1.4826 * float(np.median(np.abs(residual)))
    with np.errstate(divide="ignore", invalid="ignore"):
        z_noise = np.where(stderr > 0, residual / stderr, np.where(np.isnan(stderr), np.nan, 0.0))
    return cells.assign(
        expected=(y - residual) * scale_V,
        residual=residual * scale_V,
        stderr=stderr * scale_V,
        z_noise=z_noise,
        z_model=residual / spread if spread > 1e-9 else np.zeros(len(y)),
    )


def surprise_rows(grid: Grid, paired: Paired, similarity: Similarity | None, level: float) -> Found:
    """Every cell against the additive model, and against that with similarity where it is known.

    A cell is flagged as a surprise where its residual is real (q <= 0.05 over all cells) and unusual (at
    least twice the robust spread of the cells around the model).
    """
    cells = surprise_cells(grid, paired)
    if not _enough(cells):
        return {}, ["surprises: fewer than four models or three tasks besides the models' own"]
    rows: list[Row] = []
    notes = []
    if cells["replicates"].isna().any() and not np.isfinite(cells["error"]).all():
        notes.append(
            "surprises: cells have no standard errors, so whether a residual is more than noise cannot be said; "
            "they are ranked by how unusual they are among the cells (z_model)"
        )
    models: list[tuple[str, str, pd.DataFrame, Floats | None]] = [("surprise", "an additive model", cells, None)]
    if similarity is not None:
        alike_V = _similarities(grid, cells, similarity)
        known_V = np.isfinite(alike_V)
        if _enough(cells[known_V]) and np.ptp(alike_V[known_V]) > 0:
            words = f"an additive model with {similarity.label}"
            models.append(("surprise_similarity", words, cells[known_V], alike_V[known_V]))
        else:
            notes.append(f"surprises: the {similarity.label} of source and task is not known for enough cells")
    for kind, expectation, part, extra_V in models:
        fit = leave_one_out(part, extra_V)
        if fit is None:
            notes.append(f"surprises: the cells do not determine {expectation}")
        else:
            rows += _rows(grid, fit, level, {"against": kind, "_expectation": expectation})
    return {"surprises": rows}, notes


def _enough(cells: pd.DataFrame) -> bool:
    return bool(cells["i"].nunique() >= MIN_ROWS and cells["n"].nunique() >= MIN_COLUMNS)


def _similarities(grid: Grid, cells: pd.DataFrame, similarity: Similarity) -> Floats:
    """Similarity of source (of a control: what it alters) and task by cell; NaN where not known."""
    at = {name: k for k, name in enumerate(similarity.names)}
    sources = [grid.parents.get(s or "", s or "") for s in (grid.sources[i] for i in cells["i"])]
    pairs = zip(sources, (grid.tasks[n] for n in cells["n"]), strict=True)
    return np.array(
        [similarity.values_MM[at[s], at[t]] if s in at and t in at else np.nan for s, t in pairs], dtype=float
    )


def _rows(grid: Grid, fit: pd.DataFrame, level: float, about: Row) -> list[Row]:
    p_V = normal_p(fit["z_noise"])
    half_V = normal_quantile(level) * fit["stderr"]
    fit = fit.assign(p=p_V, q=benjamini_hochberg(p_V), lo=fit["residual"] - half_V, hi=fit["residual"] + half_V)
    order = np.argsort(-np.abs(fit["z_model"].to_numpy()), kind="stable")
    rows = []
    for cell in fit.iloc[order].to_dict("records"):
        unusual = bool(abs(cell["z_model"]) >= FLAG_MODEL_Z)
        row = {**about, **grid.where(cell["i"], grid.tasks[cell["n"]]), "observed": cell["value"]}
        row |= {name: cell[name] for name in ("expected", "residual", "stderr", "z_noise", "z_model", "p", "q", "unit")}
        row |= {"unusual": unusual, "surprising": unusual and cell["q"] <= FLAG_Q if np.isfinite(cell["q"]) else None}
        row |= {"_lo": cell["lo"], "_hi": cell["hi"], "_n": len(fit), "_times": abs(cell["z_model"])}
        rows.append(row | {"_method": "noise of the cell and the fit" if np.isfinite(cell["lo"]) else "none"})
    return rows
