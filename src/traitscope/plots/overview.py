"""The one picture of a study: who helps whom, beside the traits behind it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from traitscope.plots.heat import MAX_NUMBERED_COLUMNS
from traitscope.plots.marks import gain_marks_text, star_text
from traitscope.plots.matrix import counts_text, draw_gains, framed_text, gain_heatmap_data
from traitscope.plots.style import MUTED, Figure, new_figure, styled
from traitscope.plots.traits import draw_loadings, loadings_data

if TYPE_CHECKING:
    from traitscope.effects import Effects
    from traitscope.matrix import ScoreMatrix
    from traitscope.traits import Traits


def overview_data(
    matrix: ScoreMatrix, traits: Traits, effects: Effects | None = None, *, alpha: float = 0.05
) -> pd.DataFrame:
    """Both panels in one table: panel (gains or loadings), then the columns of ``gain_heatmap_data`` and those of
    ``loadings_data``.
    """
    gains = gain_heatmap_data(matrix, effects, alpha=alpha).assign(panel="gains")
    table = pd.concat([gains, loadings_data(traits).assign(panel="loadings")], ignore_index=True)
    return table[["panel", *(name for name in table.columns if name != "panel")]]


@styled
def overview(matrix: ScoreMatrix, traits: Traits, effects: Effects | None = None, *, alpha: float = 0.05) -> Figure:
    """Gains over the base beside the traits' loadings.

    Raises:
        TraitscopeError: the matrix has no base row.
    """
    n_models, n_tasks = len(matrix.models), len(matrix.tasks)
    wide = min(12.0, (0.62 if n_tasks <= MAX_NUMBERED_COLUMNS else 0.3) * n_tasks) + 3.0
    narrow = min(6.0, 0.85 * traits.k) + 2.6
    height = 1.9 + max(2.4, min(16.0, 0.27 * max(n_models, n_tasks)))
    figure = new_figure(wide + narrow, height)
    left, right = figure.subfigures(1, 2, width_ratios=[wide, narrow])
    draw_gains(left, left.subplots(), matrix, effects, alpha, note=False)
    draw_loadings(right, right.subplots(), traits)
    left.suptitle("What each adapter (row) gains on each task (column)", fontsize=10, fontweight="bold")
    right.suptitle("The traits behind it", fontsize=10, fontweight="bold")
    marks = gain_marks_text(matrix, effects)
    note = (
        f"{counts_text(matrix)}; {star_text(effects, alpha)}{framed_text(matrix)}; first row: the base's scores{marks}"
    )
    figure.supxlabel(note, fontsize=8, color=MUTED)
    return figure
