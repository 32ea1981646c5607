"""Stability beside share: which traits are more than one task, and which stay when something is left out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from traitscope.plots.style import BLUE, GREY, INK, MUTED, Figure, new_figure, shorten, styled
from traitscope.traits.congruence import FAIR, reaches

if TYPE_CHECKING:
    from traitscope.traits import Traits


def trait_stability_data(traits: Traits) -> pd.DataFrame:
    """Every trait: trait, explained with lo and hi, unit of these (percent), stability (least absolute
    cosine), above_noise, stable (above the noise, not of a single task or model, stability of .85 or more), single,
    proposed.
    """
    low, high = (
        (traits.intervals.explained_low_K, traits.intervals.explained_high_K)
        if traits.intervals is not None
        else (np.full(traits.k, np.nan),) * 2
    )
    single = np.array([name.specific for name in traits.names], dtype=bool)
    above = np.array(traits.above_null_K, dtype=bool)
    stability_K = np.asarray(traits.stability.figure_K, dtype=float)
    return pd.DataFrame(
        {
            "trait": list(traits.trait_names),
            "explained": 100 * traits.explained_K,
            "lo": 100 * low,
            "hi": 100 * high,
            "unit": "percent",
            "stability": stability_K,
            "above_noise": above,
            "stable": above & ~single & np.array([reaches(stable, FAIR) for stable in stability_K], dtype=bool),
            "single": single,
            "proposed": [name.proposed for name in traits.names],
        }
    )


@styled
def trait_stability(traits: Traits) -> Figure:
    """One row per trait: its share of the variance, and its stability beside it; stable ones bold, single ones grey."""
    table = trait_stability_data(traits)
    y = np.arange(len(table))
    colours = [GREY if s else BLUE for s in table["single"]]
    figure = new_figure(7.6, 1.35 + 0.26 * max(len(table), 2))
    left, right = figure.subplots(1, 2, sharey=True)
    left.barh(y, table["explained"], color=colours, height=0.6)
    left.hlines(y, table["lo"], table["hi"], color=INK, linewidth=1.0)
    left.set(xlabel="explained variance, %")
    left.set_title("share", fontsize=8.5)
    known = np.isfinite(table["stability"].to_numpy(dtype=float))
    right.hlines(y[known], 0, table["stability"][known], color=np.array(colours)[known].tolist(), linewidth=1.4)
    right.scatter(table["stability"][known], y[known], s=26, c=np.array(colours)[known].tolist(), zorder=3)
    right.axvline(FAIR, color=MUTED, linewidth=0.9, linestyle="--")
    right.set(xlabel="least absolute cosine", xlim=(0, 1.04))
    right.set_title("stability", fontsize=8.5)
    names = [f"{r['trait']}: {shorten(r['proposed'], 34)}" for r in table.to_dict("records")]
    left.set_yticks(y, names)
    left.set_ylim(len(table) - 0.5, -0.5)
    for label, stable, one in zip(left.get_yticklabels(), table["stable"], table["single"], strict=True):
        label.set(fontweight="bold" if stable else "normal", color=MUTED if one else INK)
    for axes in (left, right):
        axes.grid(axis="x")
        axes.tick_params(axis="y", length=0)
    note = f"bold: above the noise, of several tasks and models, stability {FAIR:g} or more (dashed); "
    note += "grey: of a single task or model"
    figure.supxlabel(note, fontsize=8, color=MUTED)
    return figure
