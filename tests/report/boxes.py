"""Where the texts of a figure lie, and which of them are clipped or cover one another."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.text import Text

Corners = npt.NDArray[np.float64]
# Glyphs have side bearings: boxes that meet by less than this (pixels at 100 per inch) do not touch.
SLACK = 1.0


def texts(figure: Any) -> list[tuple[str, Corners]]:
    """Every text that is drawn, with the four corners of its box in pixels (turned as the text is)."""
    figure.draw_without_rendering()
    renderer = figure.canvas.get_renderer()
    found = []
    for artist in _drawn(figure):
        if not artist.get_text().strip():
            continue
        angle = artist.get_rotation()
        if angle % 90:
            # Only turned labels: they are anchored first and turned then.
            assert artist.get_rotation_mode() == "anchor"
            artist.set_rotation(0)
            box = Text.get_window_extent(artist, renderer)  # of an annotation without its arrow
            artist.set_rotation(angle)
        else:
            box = Text.get_window_extent(artist, renderer)  # of an annotation without its arrow
        corners = np.array([[box.x0, box.y0], [box.x1, box.y0], [box.x1, box.y1], [box.x0, box.y1]])
        if angle % 90:
            centre = artist.get_transform().transform(artist.get_position())
            turn = np.deg2rad(angle)
            matrix = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
            corners = (corners - centre) @ matrix.T + centre
        found.append((artist.get_text(), corners))
    return found


def _drawn(artist: Any) -> list[Text]:
    """The texts below an artist that are visible with everything above them."""
    if not artist.get_visible():
        return []
    found = [artist] if isinstance(artist, Text) else []
    children = artist.get_children()
    if hasattr(artist, "get_view_interval") and hasattr(artist, "_update_ticks"):
        # An axis makes more ticks than it draws.
        shown = artist._update_ticks()
        children = [t for tick in shown for t in (tick.label1, tick.label2)] + [artist.label, artist.offsetText]
    for child in children:
        found += _drawn(child)
    return found


def faults(figure: Any) -> list[str]:
    """Texts that leave the canvas, pairs that cover one another, and legends on the data, in words."""
    placed = texts(figure)
    wide, high = figure.canvas.get_width_height()
    told = []
    for text, corners in placed:
        low, top = corners.min(axis=0), corners.max(axis=0)
        beyond = max(-low[0], -low[1], top[0] - wide, top[1] - high)
        if beyond > SLACK:
            told.append(f"clipped by {beyond:.0f} px: {text!r}")
    told += _legends_on_data(figure)
    for (one, a), (other, b) in combinations(placed, 2):
        depth = overlap(a, b)
        if depth > SLACK:
            told.append(f"cover one another by {depth:.1f} px: {one!r} and {other!r}")
    return told


def _legends_on_data(figure: Any) -> list[str]:
    """Legends that stand within the frame of some axes: a curve may run through them."""
    frames = [axes.get_window_extent() for axes in figure.axes if axes.get_visible() and axes.axison]
    found = [axes.get_legend() for axes in figure.axes if axes.get_visible()] + list(figure.legends)
    boxes = [legend.get_window_extent() for legend in found if legend is not None]
    met = [1 for b in boxes for f in frames if meet(b, f)]
    return ["a legend lies on the data"] * len(met)


def meet(a: Any, b: Any) -> bool:
    """Whether two upright boxes share more than an edge."""
    wide, high = min(a.x1, b.x1) - max(a.x0, b.x0), min(a.y1, b.y1) - max(a.y0, b.y0)
    return bool(wide > SLACK and high > SLACK)


def overlap(a: Corners, b: Corners) -> float:
    """How deep two convex boxes lie in one another; 0 where a line parts them."""
    if (a.max(axis=0) < b.min(axis=0)).any() or (b.max(axis=0) < a.min(axis=0)).any():
        return 0.0
    depth = np.inf
    for box in (a, b):
        for side in (box[1] - box[0], box[2] - box[1]):
            length = np.hypot(*side)
            if not length:
                return 0.0
            along_a, along_b = a @ side / length, b @ side / length
            depth = min(depth, along_a.max() - along_b.min(), along_b.max() - along_a.min())
    return float(max(depth, 0.0))
