"""How tasks lie apart in the hidden states: t-SNE panels of base and mix at the same depths, separability curves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from traitscope.errors import TraitscopeError
from traitscope.plots.labels import width_pt
from traitscope.plots.layers import ROLE_COLOURS
from traitscope.plots.panels import legend_above
from traitscope.plots.style import CATEGORIES, INK, MARKERS, MUTED, Figure, new_figure, shorten, styled

if TYPE_CHECKING:
    from traitscope.layers import LayersResult

MAX_COLUMNS = 6


@styled
def tsne_grid(result: LayersResult) -> Figure:
    """One row per model (base, mix), one column per layer; tasks by colour and marker.

    Grids of more than six layers are folded into several pairs of rows. The points are drawn as pixels.

    Raises:
        TraitscopeError: there are no panels.
    """
    panels = result.embeddings
    if not panels:
        raise TraitscopeError("no t-SNE panels were computed", where="plots", fix="pass depths to analyse_layers")
    layers = sorted({p.layer for p in panels})
    models = list(dict.fromkeys(p.model for p in panels))
    at = {(p.model, p.layer): p for p in panels}
    columns = min(len(layers), MAX_COLUMNS)
    folds = -(-len(layers) // columns)
    tasks = list(dict.fromkeys(label for p in panels for label in p.labels))
    figure = new_figure(max(6.0, 1.9 * columns), 0.3 + 1.9 * len(models) * folds + 0.2 * (2 + len(tasks) // 3))
    grid = figure.subplots(folds * len(models), columns, squeeze=False)
    for axes in grid.flat:
        axes.set(xticks=[], yticks=[])
        axes.set_visible(False)
    handles: dict[str, object] = {}
    roles = {result.meta.get("base"): "base", result.meta.get("mix"): "mix"}
    for index, layer in enumerate(layers):
        fold, column = divmod(index, columns)
        for m, model in enumerate(models):
            panel = at.get((model, layer))
            if panel is None:
                continue
            axes = grid[fold * len(models) + m, column]
            axes.set_visible(True)
            for side in axes.spines.values():
                side.set(visible=True, linewidth=0.5)
            for t, task in enumerate(tasks):
                inside = [i for i, label in enumerate(panel.labels) if label == task]
                handles[task] = axes.scatter(
                    panel.xy_P2[inside, 0],
                    panel.xy_P2[inside, 1],
                    s=9,
                    color=CATEGORIES[t % len(CATEGORIES)],
                    marker=MARKERS[t % len(MARKERS)],
                    alpha=0.75,
                    linewidth=0,
                    rasterized=True,
                )
            axes.set_title(f"{shorten(roles.get(model, model), 14)}, layer {layer}", fontsize=8)
    names = [shorten(task, 24) for task in handles]
    first = panels[0]
    across = max(1, int((72 * figure.get_figwidth() - 10) // (max(width_pt(name, 7) for name in names) + 34)))
    legend = figure.legend(
        list(handles.values()),
        names,
        loc="outside lower center",
        ncols=across,
        fontsize=7,
        title=f"t-SNE of {len(first.labels)} examples, perplexity {first.perplexity:.3g}, seed {first.seed}; "
        "distances between groups mean little",
        title_fontsize=7.5,
    )
    legend.get_title().set_color(MUTED)
    return figure


@styled
def separability_curves(result: LayersResult) -> Figure:
    """How well tasks and clusters can be told apart, layer by layer, beside chance.

    Raises:
        TraitscopeError: separability was not computed.
    """
    table = result.separability
    if table.empty:
        raise TraitscopeError(
            "separability was not computed", where="plots", fix="run analyse_layers with at least two tasks"
        )
    kinds = list(dict.fromkeys(table["labels"]))
    roles = {result.meta["base"]: "base", result.meta["mix"]: "mix"}
    figure = new_figure(9.6, 0.5 + 2.4 * len(kinds))
    grid = figure.subplots(len(kinds), 3, squeeze=False, sharex=True)
    for row, kind in zip(grid, kinds, strict=True):
        for axes, (name, title) in zip(
            row,
            (
                ("probe", "linear probe, accuracy"),
                ("purity", "k nearest neighbours, purity"),
                ("silhouette", "silhouette"),
            ),
            strict=True,
        ):
            for model, part in table[table["labels"] == kind].groupby("model", sort=False):
                role = roles.get(str(model), "mix")
                axes.plot(part["layer"], part[name], color=ROLE_COLOURS[role], label=role)
                if f"{name}_chance" in part and role == "base":
                    axes.plot(
                        part["layer"], part[f"{name}_chance"], color=INK, linewidth=0.8, linestyle="--", label="chance"
                    )
            axes.set_title(f"{kind}: {title}", fontsize=8.5)
            axes.grid(axis="y")
    legend_above(figure, *grid.flat)
    points = result.meta.get("points_per_task")
    figure.supxlabel(f"layer; {points} examples per task" if points else "layer", fontsize=8, color=MUTED)
    return figure
