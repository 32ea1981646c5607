"""Every similarity measure layer by layer, each between its permutation null and its two-seed ceiling."""

from __future__ import annotations

from typing import TYPE_CHECKING

from traitscope.errors import TraitscopeError
from traitscope.plots.layers import ALL, NULL, ROLE_COLOURS, UNSEEN, draw_band, draw_sections, pairs_of, sample_text
from traitscope.plots.panels import legend_above
from traitscope.plots.style import GREEN, INK, MUTED, Figure, measure_title, new_figure, styled

if TYPE_CHECKING:
    from traitscope.layers import LayersResult

TITLES = {
    "cka": "CKA (debiased)",
    "cka_z": "CKA, z-scored features",
    "cka_top": "CKA without the top components",
    "cka_biased": "CKA (biased, as published)",
    "cka_rbf": "CKA, Gaussian kernel",
    "knn": "overlap of 10 nearest neighbours",
    "rsa": "RSA (rank correlation of distances)",
    "procrustes": "Procrustes distance (0: alike)",
    "shape_angle": "angle between shapes (0: alike)",
}


@styled
def measure_curves(result: LayersResult) -> Figure:
    """Base and mix against the tasks' own adapters by every measure: medians with bands, null and ceiling beside them.

    Raises:
        TraitscopeError: no task has an adapter of its own.
    """
    names = [name for name in result.meta["measures"] if "mix~control" in pairs_of(result, name)]
    if not names:
        raise TraitscopeError("no task has an adapter of its own", where="plots", fix="train one adapter per task")
    columns = min(4, len(names))
    rows = -(-len(names) // columns)
    figure = new_figure(max(4.2, 2.5 * columns), 0.7 + 2.2 * rows)
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat[len(names) :]:
        axes.set_visible(False)
    for axes, name in zip(grid.flat, names, strict=False):
        for role in ("base", "mix"):
            draw_band(axes, result.summary(name, f"{role}~control", ALL), ROLE_COLOURS[role], role)
        ceiling = result.summary(name, "control~second", ALL)
        if len(ceiling):
            axes.plot(ceiling["layer"], ceiling["value"], color=GREEN, linewidth=1.1, label="two-seed ceiling")
        null = result.summary(name, "mix~control", NULL)
        if len(null):
            axes.plot(null["layer"], null["value"], color=INK, linewidth=0.9, linestyle="--", label="permutation null")
            axes.fill_between(null["layer"], null["low"], null["high"], color=MUTED, alpha=0.25, linewidth=0)
        axes.set_title(TITLES.get(name, name), fontsize=8)
        axes.grid(axis="y")
        axes.xaxis.get_major_locator().set_params(integer=True)
        if name == result.meta["section_measure"]:
            draw_sections(axes, result.sections.get("all tasks"))
    legend_above(figure, *grid.flat[: len(names)])
    figure.supxlabel(
        f"layer; likeness to the single-task models, median over {sample_text(result)}; "
        f"bands: 95 % over resampled tasks; of the null 5 to 95 %",
        fontsize=8,
        color=MUTED,
    )
    return figure


@styled
def unseen_curves(result: LayersResult) -> Figure:
    """Base and mix against the tasks' own adapters: over the tasks of the mix, and over tasks that it never saw.

    Raises:
        TraitscopeError: the mix saw every task.
    """
    measure = result.meta["section_measure"]
    unseen = result.meta["unseen"]
    if not len(unseen) or not len(result.summary(measure, "mix~control", UNSEEN)):
        raise TraitscopeError(
            "the mix saw every task", where="plots", fix="leave tasks out of the mix that have adapters of their own"
        )
    figure = new_figure(8.2, 3.2)
    panels = figure.subplots(1, 2, sharey=True)
    trained = len([task for task in result.tasks if task not in unseen])
    for axes, over, title in (
        (panels[0], ALL, f"trained tasks ({trained})"),
        (panels[1], UNSEEN, f"unseen tasks ({len(unseen)})"),
    ):
        for role in ("base", "mix"):
            draw_band(axes, result.summary(measure, f"{role}~control", over), ROLE_COLOURS[role], role)
        axes.set_title(title, fontsize=8.5)
        axes.grid(axis="y")
        axes.xaxis.get_major_locator().set_params(integer=True)
    panels[0].set_ylabel(measure_title(measure))
    legend_above(figure, *panels)
    figure.supxlabel(
        f"layer; likeness to the single-task models, median over tasks; n = {result.meta['n']} examples each; "
        f"bands: 95 % over resampled tasks",
        fontsize=8,
        color=MUTED,
    )
    return figure
