"""Figure of the adapters' training: loss curves, and what they gained on their own tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from traitscope.effects.words import POINTS
from traitscope.errors import TraitscopeError
from traitscope.plots.heat import signed
from traitscope.plots.style import BLUE, GREY, MUTED, Figure, new_figure, shorten, styled

if TYPE_CHECKING:
    from traitscope.effects import Effects

MAX_PANELS, COLUMNS = 24, 4


def training_curves_data(effects: Effects) -> pd.DataFrame:
    """Every step that is drawn: model, step, loss (nats per answer token), own_gain and own_unit (of the one task that
    the model was trained on; shares in points) and learnt (every own task; the curve is blue).

    Raises:
        TraitscopeError: no training was recorded.
    """
    curves = effects.tables.get("curves")
    if curves is None or curves.empty:
        raise TraitscopeError("no training was recorded", where="plots", fix="only adapters trained here have curves")
    models = list(dict.fromkeys(curves["model"]))[:MAX_PANELS]
    drawn = curves.loc[curves["model"].isin(models), ["model", "step", "loss"]].reset_index(drop=True)
    own = {name: _own(effects, name) for name in models}
    columns = {name: [own[model][k] for model in drawn["model"]] for k, name in enumerate(("own_gain", "own_unit"))}
    return drawn.assign(**columns, learnt=[own[model][2] for model in drawn["model"]])


def _own(effects: Effects, model: str) -> tuple[float, str, bool]:
    """A model's gain on its own task and the unit of it (none of several tasks), and whether it learnt them all."""
    learning = effects.tables.get("learning")
    rows = [] if learning is None else learning[learning["model"] == model].to_dict("records")
    learnt = bool(rows) and all(row["verdict"] == "learnt" for row in rows)
    if len(rows) != 1:
        return float("nan"), "", learnt
    unit = str(rows[0]["unit"])
    return POINTS.get(unit, 1.0) * float(rows[0]["gain"]), "points" if unit in POINTS else unit, learnt


@styled
def training_curves(effects: Effects) -> Figure:
    """Loss by step, one panel per adapter, blue where it learnt its own task; at most 24 adapters.

    Raises:
        TraitscopeError: no training was recorded.
    """
    curves = training_curves_data(effects)
    models = list(dict.fromkeys(curves["model"]))
    columns = min(COLUMNS, len(models))
    rows = -(-len(models) // columns)
    figure = new_figure(max(5.6, 0.8 + 2.3 * columns), 0.8 + 1.5 * rows)
    grid = figure.subplots(rows, columns, squeeze=False, sharey=True)
    for axes in grid.flat[len(models) :]:
        axes.set_visible(False)
    for axes, model in zip(grid.flat, models, strict=False):
        part = curves[curves["model"] == model]
        gain, unit, learnt = (part[name].iloc[0] for name in ("own_gain", "own_unit", "learnt"))
        axes.plot(part["step"], part["loss"], color=BLUE if learnt else GREY, linewidth=1.2)
        title = shorten(str(model), 26)
        title += f" ({signed(gain, 1)})" if unit == "points" and np.isfinite(gain) else ""
        axes.set_title(title, fontsize=7.5)
        axes.tick_params(labelsize=6.5)
        axes.grid(axis="y")
    figure.supxlabel(
        "optimiser step; in brackets the gain on the own task in points; blue: learnt (p \u2264 0.05)",
        fontsize=8,
        color=MUTED,
    )
    figure.supylabel("loss, nats per answer token", fontsize=8, color=MUTED)
    return figure
