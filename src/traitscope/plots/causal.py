"""The causal check: the gain lost with the adapters off, and kept with them on, in windows of layers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from traitscope.errors import TraitscopeError
from traitscope.plots.layers import draw_sections
from traitscope.plots.style import BLUE, GREEN, GREY, INK, MUTED, Axes, Figure, new_figure, styled

if TYPE_CHECKING:
    from traitscope.layers import CausalCheck, Sections


@styled
def causal_windows(check: CausalCheck, sections: Sections | None = None) -> Figure:
    """Share of the gain lost (adapters off) and kept (adapters on only there) per window, with intervals.

    Raises:
        TraitscopeError: no task gained enough, so there are no windows.
    """
    if not check.windows:
        raise TraitscopeError(
            "no task gains enough for windows to be compared",
            where="plots",
            fix="lower min_gain, or use tasks that gain more",
        )
    with_kept = any(w.kept is not None for w in check.windows)
    figure = new_figure(9.6 if with_kept else 5.6, 3.5)
    panels = figure.subplots(1, 1 + with_kept, squeeze=False)[0]
    centre = np.array([(w.first + w.last) / 2 for w in check.windows])
    half = np.array([(w.last - w.first + 1) / 2 for w in check.windows])
    # Bounds that are None become NaN, which is not drawn.
    lost = np.array([(w.lost, w.lost_low, w.lost_high) for w in check.windows], dtype=float)
    _curve(panels[0], centre, half, lost, BLUE)
    each_NW = np.array([w.lost_N for w in check.windows]).T
    panels[0].plot(centre, 100 * np.clip(each_NW, -1, 2).T, color=GREY, linewidth=0.6, alpha=0.6, zorder=1)
    panels[0].set_title("adapters off in the window: gain lost")
    if with_kept:
        kept = np.array([(w.kept, w.kept_low, w.kept_high) for w in check.windows], dtype=float)
        _curve(panels[1], centre, half, kept, GREEN)
        panels[1].set_title("adapters on only there: gain kept")
    for axes in panels:
        axes.axhline(0, color=INK, linewidth=0.7)
        axes.set(ylabel="% of the tasks' summed gain")
        draw_sections(axes, sections)
    several = f"{len(check.tasks)} tasks; vertical: 95 % over resampled tasks; grey: single tasks"
    figure.supxlabel(
        f"layer; horizontal lines: the windows; {several if len(check.tasks) > 1 else '1 task, no interval'}",
        fontsize=8,
        color=MUTED,
    )
    return figure


def _curve(axes: Axes, centre: np.ndarray, half: np.ndarray, share: np.ndarray, colour: str) -> None:
    value, low, high = 100 * share.T
    axes.hlines(value, centre - half, centre + half, color=colour, linewidth=2.2, zorder=3)
    axes.vlines(centre, low, high, color=colour, linewidth=1.1, zorder=3)
    axes.plot(centre, value, "o", color=colour, markersize=4, zorder=4)
    axes.grid(axis="y")
