"""Surprises: cells far from what an additive model, and a similarity model, expect of them."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from traitscope.effects.gains import SourceGains, source_gains
from traitscope.effects.grid import Found, Grid, Row
from traitscope.effects.significance import additive_basis, benjamini_hochberg, normal_quantile
from traitscope.jsontables import plain
from traitscope.stats.similarity import Similarity

Floats = NDArray[np.float64]
MIN_ROWS, MIN_COLUMNS = 4, 3
FLAG_Q = 0.05
FLAG_MODEL_Z = 2.0


def surprise_cells(grid: Grid, gains: SourceGains, level: float) -> pd.DataFrame:
    """Transfer cells of the sources, seeds averaged, as far as a row and a column have two, and the column two values.

    Args:
        grid: rows, columns and roles.
        gains: of the sources; scores take their place where there is no base.
        level: of the intervals of ``gains``.

    Returns:
        One line per cell: model (the source where it has several seeds), source, seed, its row i and column n, value,
        low and high (the ends that its score sets it), scale (the deviation of its column), error (standard error over
        examples), run and doubt (see ``Runs``; NaN where not known), unit, replicates (of the paired gain, else None),
        seeds, remark (what is odd of its answers).
    """
    values = gains or source_gains(grid, {}, level, scores=True)
    own_IN = grid.stderr_IN if np.isfinite(grid.stderr_IN[grid.fitted]).any() else grid.gain_stderr_IN
    rows = {key: i for i, key in enumerate(grid.by_source())}
    members = grid.by_source()
    found = []
    for (b, source, task), gain in values.items():
        if (b, source) in rows and grid.relation(source, task) == "transfer":
            at, n = members[b, source], grid.column[task]
            one = len(at) == 1
            # Of the cell alone: what all rows of a column share with the base is no part of a residual.
            error = float(np.sqrt(np.mean(own_IN[at, n] ** 2)))
            if gain["replicates"] is not None:
                error = (gain["hi"] - gain["lo"]) / (2 * normal_quantile(level))
            run, doubt = gain["runs"] or (np.nan, np.nan)
            about = (grid.models[at[0]] if one else grid.name_of(b, source), source, grid.seeds[at[0]] if one else None)
            ends = _reach(grid, n, gain["value"], float(grid.scores_IN[b, n]) if gains and b >= 0 else 0.0)
            cell = (error, run, doubt, gain["unit"], gain["replicates"], gain["seeds"], gain["remark"])
            found.append((*about, rows[b, source], n, gain["value"], *ends, *cell))
    columns = ["model", "source", "seed", "i", "n", "value", "low", "high", "error", "run", "doubt", "unit"]
    columns += ["replicates", "seeds", "remark"]
    cells = pd.DataFrame(found, columns=columns)
    # A task on which nothing moved has no usual distance: any expectation would be in the units of other tasks.
    cells = cells[cells.groupby("n")["value"].transform(np.ptp) > 0]
    # A row or column with a single cell is fitted exactly and can surprise nobody.
    while (alone := ~(cells.duplicated("i", keep=False) & cells.duplicated("n", keep=False))).any():
        cells = cells[~alone]
    cells = cells.sort_values(["i", "n"], kind="stable")
    spread = cells.groupby("n")["value"].transform(lambda value: value.to_numpy().std(ddof=1))
    return cells.assign(scale=spread.where(spread > 0, 1.0))


def _reach(grid: Grid, n: int, value: float, base: float) -> tuple[float, float]:
    """The least and the most that a gain over ``base`` can be on column n; without ends where the score has none."""
    top = {"fraction": 1.0, "percent": 100.0}.get(grid.units[n], np.inf)
    # Scores where lower is better come with their sign turned.
    turned = grid.tasks[n] in grid.lower
    low, high = (-top, 0.0) if turned and np.isfinite(top) else (0.0 if np.isfinite(top) else -np.inf, top)
    return min(low - base, value), max(high - base, value)


def leave_one_out(cells: pd.DataFrame, extra_V: Floats | None = None) -> pd.DataFrame | None:
    """Every cell against an additive model (row + column, columns scaled to unit deviation) fitted without it.

    Residuals are r / (1 - h). Noise goes through the same fit: that of the examples by the bootstrap replicates where
    there are some (errors of models on one task are correlated), else as independent standard errors; that of training
    runs, where it is known, is independent between cells and has Satterthwaite's degrees of freedom.

    Args:
        cells: see :func:`surprise_cells`.
        extra_V: a third regressor.

    Returns:
        The cells with the columns expected and residual (in the cells' own unit; the expectation goes no farther than
        a score can: a base with nothing right cannot be expected to fall), stderr (of the residual: noise
        of the cell and of the fit; NaN where not known) and its degrees of freedom df, z_noise (residual by that: is
        it real?) and z_model (residual by the cells' robust spread around the model: is it unusual?). None where the
        cells do not determine the model.
    """
    scale_V = cells["scale"].to_numpy()
    y = cells["value"].to_numpy() / scale_V
    basis = additive_basis(cells["i"], cells["n"], extra_V)
    room = 1.0 - (basis**2).sum(axis=1)
    if (room < 1e-6).any():
        return None
    # residual = weight @ y, and so are the residuals of noise.
    weight_VV = (np.eye(len(y)) - basis @ basis.T) / room[:, None]
    residual = weight_VV @ y
    run_V = cells["run"].to_numpy() / scale_V**2
    runs_known = bool(np.isfinite(run_V).all())
    if cells["replicates"].notna().all():
        scaled_RV = np.stack(list(cells["replicates"]), axis=1).astype(float) / scale_V
        variance = (scaled_RV @ weight_VV.T).var(axis=0, ddof=1)
        # Where hardly any example differs, a bootstrap has far less noise than a score interval says.
        drawn_V, said_V = scaled_RV.var(axis=0, ddof=1), (cells["error"].to_numpy() / scale_V) ** 2
        variance = variance + weight_VV**2 @ np.where(drawn_V < said_V / 2, said_V - drawn_V, 0.0)
    elif np.isfinite(cells["error"]).all():
        variance = weight_VV**2 @ (cells["error"].to_numpy() / scale_V) ** 2
    else:
        # What scatters between runs is an error, be the rest known or not.
        variance = np.full(len(y), 0.0 if runs_known else np.nan)
    df = np.full(len(y), np.inf)
    if runs_known:
        variance = variance + weight_VV**2 @ run_V
        # The runs' variance is one estimate for all cells of a task.
        task_VN = pd.get_dummies(cells["n"]).to_numpy(dtype=float)
        root_V = np.sqrt(cells["doubt"].to_numpy()) / scale_V**2
        doubt = (((weight_VV**2 * root_V) @ task_VN) ** 2).sum(axis=1)
        with np.errstate(divide="ignore"):
            df = np.maximum(variance**2 / doubt, 1.0)
    stderr = np.sqrt(variance)
    spread = 1.4826 * float(np.median(np.abs(residual)))
    expected = np.clip((y - residual) * scale_V, cells["low"], cells["high"]).to_numpy()
    residual = y - expected / scale_V
    with np.errstate(divide="ignore", invalid="ignore"):
        z_noise = np.where(stderr > 0, residual / stderr, np.where(np.isnan(stderr), np.nan, 0.0))
    return cells.assign(
        expected=expected,
        residual=residual * scale_V,
        stderr=stderr * scale_V,
        df=df,
        z_noise=z_noise,
        z_model=residual / spread if spread > 1e-9 else np.zeros(len(y)),
    )


def surprise_rows(grid: Grid, gains: SourceGains, similarity: Similarity | None, level: float) -> Found:
    """Every cell against the additive model, and against that with similarity where it is known.

    A cell is flagged as a surprise where its residual is real (q <= 0.05 over all cells) and unusual (at
    least twice the robust spread of the cells around the model).
    """
    cells = surprise_cells(grid, gains, level)
    if not _enough(cells):
        return {}, [
            "surprises: fewer than four models or three tasks besides the models' own and those where nothing moved"
        ]
    rows: list[Row] = []
    notes = []
    noiseless = cells["replicates"].isna().any() and not np.isfinite(cells["error"]).all()
    if noiseless and not np.isfinite(cells["run"]).all():
        notes.append(
            "surprises: cells have neither standard errors nor second seeds, so whether a residual is more than "
            "noise cannot be said; "
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
            lacks = "is the same for all cells" if _enough(cells[known_V]) else "is not known for enough cells"
            notes.append(f"surprises: the {similarity.label} of source and task {lacks}")
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
    """Similarity of source and task by cell; NaN where not known."""
    at = {name: k for k, name in enumerate(similarity.names)}
    pairs = zip(cells["source"], (grid.tasks[n] for n in cells["n"]), strict=True)
    return np.array(
        [similarity.values_MM[at[s], at[t]] if s in at and t in at else np.nan for s, t in pairs], dtype=float
    )


def _rows(grid: Grid, fit: pd.DataFrame, level: float, about: Row) -> list[Row]:
    from scipy.stats import t as student

    p_V = 2 * student.sf(np.abs(fit["z_noise"]), fit["df"])
    half_V = student.ppf(0.5 + level / 2, fit["df"]) * fit["stderr"]
    fit = fit.assign(p=p_V, q=benjamini_hochberg(p_V), lo=fit["residual"] - half_V, hi=fit["residual"] + half_V)
    order = np.argsort(-np.abs(fit["z_model"].to_numpy()), kind="stable")
    method = "noise of the cell and the fit" + (", runs among it" if np.isfinite(fit["run"]).all() else "")
    rows = []
    for cell in fit.iloc[order].to_dict("records"):
        unusual = bool(abs(cell["z_model"]) >= FLAG_MODEL_Z)
        row = {**about, "model": cell["model"], "source": cell["source"], "seed": plain(cell["seed"])}
        row |= {"task": grid.tasks[cell["n"]], "observed": cell["value"]}
        row |= {name: cell[name] for name in ("expected", "residual", "stderr", "z_noise", "z_model", "p", "q", "unit")}
        row |= {"unusual": unusual, "surprising": unusual and cell["q"] <= FLAG_Q if np.isfinite(cell["q"]) else None}
        row |= {"_lo": cell["lo"], "_hi": cell["hi"], "_n": len(fit), "_times": abs(cell["z_model"])}
        row |= {
            "_seeds": cell["seeds"],
            "_remark": cell["remark"],
            "_method": method if np.isfinite(cell["lo"]) else "none",
        }
        rows.append(row)
    return rows
