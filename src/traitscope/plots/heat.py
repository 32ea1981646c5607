"""Heat maps: cells with their numbers, missing ones hatched, marks beside the number."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection

import numpy as np
import numpy.typing as npt

from traitscope.plots.style import GRID, MUTED, Axes

Floats = npt.NDArray[np.float64]
DARK, LIGHT = "#101218", "#fbfbfb"
SEQUENTIAL = "YlGnBu"
MAX_NUMBERED_COLUMNS, MAX_VECTOR_CELLS = 26, 2500


def diverging(values: Floats) -> tuple[str, float, float]:
    """Palette and limits centred at 0: blue above, red below (safe for the colour-blind)."""
    known = np.abs(values[np.isfinite(values)])
    top = float(known.max()) if known.size and known.max() > 0 else 1.0
    return "RdBu", -top, top


def draw_cells(
    axes: Axes,
    values_IN: Floats,
    *,
    palette: str,
    low: float,
    high: float,
    text: Callable[[int, int], str] | None = None,
    bold: Collection[tuple[int, int]] = (),
    outlined: Collection[tuple[int, int]] = (),
    plain_rows: Collection[int] = (),
    plain: Collection[tuple[int, int]] = (),
    hatch: bool = True,
) -> object:
    """Draws a matrix as cells, first row on top.

    Args:
        values_IN: what gives the colour; NaN is hatched.
        palette, low, high: matplotlib's name of the palette and its limits.
        text: what to write into cell (row, column); left out where there are too many columns to read.
        bold: cells whose text is bold. outlined: cells with a frame.
        plain_rows: rows without colour (their numbers have another meaning). plain: cells without colour.
        hatch: whether cells without a number are hatched, or left empty.

    Returns:
        The mappable, for a colour bar.
    """
    from matplotlib import colormaps
    from matplotlib.patches import Rectangle

    n_rows, n_cols = values_IN.shape
    shown = np.array(values_IN, dtype=float)
    shown[list(plain_rows)] = np.nan
    for cell in plain:
        shown[cell] = np.nan
    many = shown.size > MAX_VECTOR_CELLS
    edges = {"edgecolors": "none"} if many else {"edgecolors": "#ffffff", "linewidth": 0.6}
    mesh = axes.pcolormesh(
        np.arange(n_cols + 1) - 0.5,
        np.arange(n_rows + 1) - 0.5,
        np.ma.masked_invalid(shown),
        cmap=palette,
        vmin=low,
        vmax=high,
        rasterized=many,
        **edges,
    )
    axes.set(xlim=(-0.5, n_cols - 0.5), ylim=(n_rows - 0.5, -0.5))
    for side in axes.spines.values():
        side.set_visible(False)
    axes.tick_params(length=0)
    for i, n in np.argwhere(~np.isfinite(values_IN)):
        if hatch and i not in plain_rows:
            axes.add_patch(Rectangle((n - 0.5, i - 0.5), 1, 1, fill=False, hatch="////", edgecolor=GRID, linewidth=0.5))
    if text is not None and n_cols <= MAX_NUMBERED_COLUMNS:
        colours = colormaps[palette]
        size = 7.5 if n_cols <= 14 else 6
        for i in range(n_rows):
            for n in range(n_cols):
                if not np.isfinite(values_IN[i, n]):
                    continue
                if i in plain_rows or (i, n) in plain:
                    colour = MUTED
                else:
                    share = (values_IN[i, n] - low) / (high - low) if high > low else 0.5
                    r, g, b, _ = colours(min(1.0, max(0.0, float(share))))
                    colour = DARK if 0.299 * r + 0.587 * g + 0.114 * b > 0.55 else LIGHT
                weight = "bold" if (i, n) in bold else "normal"
                axes.text(n, i, text(i, n), ha="center", va="center", size=size, color=colour, weight=weight)
    for i, n in sorted(outlined):
        axes.add_patch(Rectangle((n - 0.46, i - 0.44), 0.92, 0.88, fill=False, edgecolor=DARK, linewidth=1.1, zorder=4))
    return mesh


def signed(value: float, digits: int) -> str:
    """A number with its sign; one that rounds to zero is +0."""
    return f"{rounded(value, digits) + 0.0:+.{digits}f}"


def rounded(value: float, digits: int = 0) -> float:
    """A number rounded as a reader would: halves away from zero."""
    return math.copysign(math.floor(abs(value) * 10**digits + 0.5) / 10**digits, value)


def heat_size(n_rows: int, n_cols: int, *, label: float = 2.0, cell: float = 0.6) -> tuple[float, float]:
    """Width and height in inches that keep the cells readable."""
    width = label + max(3.0, min(14.0, (cell if n_cols <= MAX_NUMBERED_COLUMNS else 0.3) * n_cols)) + 0.8
    return max(width, 6.2), 1.9 + max(1.2, min(20.0, 0.26 * n_rows))
