"""Figure of the adapters' training: loss curves, and what they gained on their own tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from traitscope.errors import TraitscopeError
from traitscope.plots.style import BLUE, GREY, MUTED, Figure, new_figure, shorten, styled

if TYPE_CHECKING:
    from traitscope.effects import Effects

MAX_PANELS, COLUMNS = 24, 4


def training_curves_data(effects: Effects) -> pd.DataFrame:
    """Every step that is drawn: model, step, loss (nats per answer token).

    Raises:
        TraitscopeError: no training was recorded.
    """
    curves = effects.tables.get("curves")
    if curves is None or curves.empty:
        raise TraitscopeError("no training was recorded", where="plots", fix="only adapters trained here have curves")
    models = list(dict.fromkeys(curves["model"]))[:MAX_PANELS]
    return curves.loc[curves["model"].isin(models), ["model", "step", "loss"]].reset_index(drop=True)


@styled
def training_curves(effects: Effects) -> Figure:
    """Loss by step, one panel per adapter, blue where it learnt its own task; at most 24 adapters.

    Raises:
        TraitscopeError: no training was recorded.
    """
    curves, learning = training_curves_data(effects), effects.tables.get("learning")
    models = list(dict.fromkeys(curves["model"]))
    columns = min(COLUMNS, len(models))
    rows = -(-len(models) // columns)
    figure = new_figure(max(5.6, 0.8 + 2.3 * columns), 0.8 + 1.5 * rows)
    grid = figure.subplots(rows, columns, squeeze=False, sharey=True)
    for axes in grid.flat[len(models) :]:
        axes.set_visible(False)
    for axes, model in zip(grid.flat, models, strict=False):
        part = curves[curves["model"] == model]
        own = learning[learning["model"] == model] if learning is not None else None
        learnt = own is not None and len(own) > 0 and bool((own["verdict"] == "learnt").all())
        axes.plot(part["step"], part["loss"], color=BLUE if learnt else GREY, linewidth=1.2)
        title = shorten(str(model), 26)
        if own is not None and len(own) == 1 and str(own["unit"].iloc[0]) == "share":
            title += f" ({100 * float(own['gain'].iloc[0]):+.0f})"
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
