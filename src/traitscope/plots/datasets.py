"""How alike the datasets are: one heat map per kind of similarity."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from traitscope.errors import TraitscopeError
from traitscope.plots.heat import SEQUENTIAL, draw_cells
from traitscope.plots.style import Figure, new_figure, shorten, styled, tops, wrap

if TYPE_CHECKING:
    from traitscope.stats import DatasetStats


def similarity_maps_data(stats: DatasetStats) -> pd.DataFrame:
    """Every pair of datasets: kind, dataset, other, value."""
    table = stats.named_tables()["similarity"]
    return table[table["dataset"] != table["other"]].reset_index(drop=True)


@styled
def similarity_maps(stats: DatasetStats) -> Figure:
    """Heat maps of dataset similarity, one panel per kind (semantic, style, overlap).

    Raises:
        TraitscopeError: no similarity was computed.
    """
    if not stats.similarity:
        raise TraitscopeError(
            "no similarity of datasets was computed", where="plots", fix="compute it with dataset_stats"
        )
    count = max(len(s.names) for s in stats.similarity.values())
    side = max(2.2, min(6.0, 0.34 * count))
    figure = new_figure(1.6 + (side + 0.7) * len(stats.similarity), side + 1.9)
    panels = figure.subplots(1, len(stats.similarity), squeeze=False)[0]
    for index, (axes, (kind, found)) in enumerate(zip(panels, stats.similarity.items(), strict=True)):
        values_MM = found.values_MM
        off_MM = np.where(np.eye(len(values_MM), dtype=bool), np.nan, values_MM)
        known = off_MM[np.isfinite(off_MM)]
        low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)
        high = high if high > low else low + 1.0
        digits = (lambda v=values_MM: lambda i, n: f"{v[i, n]:.2f}".replace("0.", "."))()
        mesh = draw_cells(
            axes,
            off_MM,
            palette=SEQUENTIAL,
            low=low,
            high=high,
            text=digits if len(values_MM) <= 14 else None,
            hatch=False,
        )
        tops(axes, found.names, most=18)
        axes.set_yticks(range(len(found.names)), [shorten(n, 22) if index == 0 else "" for n in found.names])
        axes.set_xlabel(wrap(f"{kind}: {found.method}", 34, lines=4), va="top")
        figure.colorbar(mesh, ax=axes, shrink=0.6, pad=0.02).outline.set_visible(False)
    return figure
