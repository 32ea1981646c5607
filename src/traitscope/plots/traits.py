"""Figures of the traits: explained variance, loadings, biplot, profiles."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from traitscope.plots.heat import diverging, draw_cells, heat_size, signed
from traitscope.plots.labels import Box, Label, place_labels, settle
from traitscope.plots.panels import legend_above
from traitscope.plots.style import (
    ARROW_TEXT,
    BLUE,
    GREY,
    INK,
    MUTED,
    ORANGE,
    Axes,
    Figure,
    new_figure,
    shorten,
    styled,
    wrap,
)

if TYPE_CHECKING:
    from traitscope.traits import Traits

Floats = npt.NDArray[np.float64]
MAX_COMPONENTS = 15


def trait_titles(traits: Traits, *, named: bool = True) -> list[str]:
    """``T1, 34 %`` and the proposed name where a label fits; a dagger where the trait is not above the null."""
    titles = []
    for i, name in enumerate(traits.trait_names):
        proposal = traits.names[i]
        title = f"{name}, {100 * traits.explained_K[i]:.0f} %" + ("" if traits.above_null_K[i] else " †")
        if named and proposal.label is not None:
            title += f" ({shorten(proposal.proposed, 22)}?)"
        titles.append(title)
    return titles


def _heads(axes: Axes, traits: Traits) -> None:
    """Trait names over the columns, the proposed name in lines of their own."""
    titles = trait_titles(traits, named=False)
    names = [f"{wrap(t.proposed, 13)}?" if t.label is not None else "" for t in traits.names]
    axes.set_xticks(range(traits.k), [f"{n}\n{t}" if n else t for t, n in zip(titles, names, strict=True)])
    axes.xaxis.set_ticks_position("top")
    axes.tick_params(length=0)


def _footnotes(traits: Traits, bold: bool) -> list[str]:
    notes = []
    if bold and traits.intervals is not None:
        notes.append(f"bold: {100 * traits.intervals.level:g} % interval leaves out 0")
    if not all(traits.above_null_K):
        notes.append("†: not above the noise")
    return notes


def explained_variance_data(traits: Traits) -> pd.DataFrame:
    """Every component: explained share, the null's mean, 95 % quantile and p, and the same of components together."""
    return traits.null.frame().rename_axis("component").reset_index()


@styled
def explained_variance(traits: Traits) -> Figure:
    """Explained variance per component and together, each beside the permutation null."""
    null = traits.null
    m = min(len(null.explained_M), MAX_COMPONENTS)
    x = np.arange(1, m + 1)
    figure = new_figure(9.0, 3.3)
    left, right = figure.subplots(1, 2)
    kept = [i < traits.count.supported for i in range(m)]
    left.bar(x, 100 * null.explained_M[:m], color=[BLUE if k else GREY for k in kept], width=0.62)
    left.fill_between(
        x,
        100 * null.mean_M[:m],
        100 * null.q95_M[:m],
        color=ORANGE,
        alpha=0.35,
        linewidth=0,
        label="permutation null, mean to 95 %",
    )
    left.plot(x, 100 * null.mean_M[:m], color=ORANGE, linewidth=1.2, marker="o", markersize=2.5)
    left.set(xlabel="component", ylabel="explained variance, %", xticks=x)
    left.set_title("Each component")
    right.plot(x, 100 * null.cumulative_M[:m], color=BLUE, marker="o", markersize=3.5, label="this matrix")
    right.plot(
        x,
        100 * null.cumulative_mean_M[:m],
        color=ORANGE,
        marker="o",
        markersize=3,
        label=f"permuted columns ({null.permutations} draws)",
    )
    right.set(xlabel="components together", ylabel="explained variance, %", ylim=(0, 103), xticks=x)
    right.set_title("Together")
    right.grid(axis="y")
    legend_above(figure, left, right)
    note = f"{len(traits.models)} models × {len(traits.tasks)} tasks; blue bars: components that hold against the noise"
    figure.supxlabel(note, fontsize=8, color=MUTED)
    return figure


def loadings_data(traits: Traits) -> pd.DataFrame:
    """Every loading: trait, task, loading, lo, hi (NaN where errors are not known)."""
    at, found = list(np.ndindex(*traits.loadings_KN.shape)), traits.intervals
    low, high = (found.loadings_low_KN, found.loadings_high_KN) if found is not None else (np.nan, np.nan)
    return pd.DataFrame(
        {
            "trait": [traits.trait_names[k] for k, _ in at],
            "task": [traits.tasks[n] for _, n in at],
            "loading": traits.loadings_KN.ravel(),
            "lo": np.broadcast_to(low, traits.loadings_KN.shape).ravel(),
            "hi": np.broadcast_to(high, traits.loadings_KN.shape).ravel(),
        }
    )


@styled
def loadings_heatmap(traits: Traits) -> Figure:
    """Loadings as a heat map: tasks down, traits across; bold where the interval leaves 0 out."""
    figure = new_figure(*heat_size(len(traits.tasks), traits.k, cell=1.0))
    draw_loadings(figure, figure.add_subplot(), traits)
    return figure


def draw_loadings(figure: Figure, axes: Axes, traits: Traits) -> None:
    """The loadings' heat map in given axes."""
    values_NK = traits.loadings_KN.T
    palette, low, high = diverging(values_NK)
    bold: set[tuple[int, int]] = set()
    if traits.intervals is not None:
        clear_NK = (traits.intervals.loadings_low_KN * traits.intervals.loadings_high_KN > 0).T
        bold = {(int(n), int(k)) for n, k in np.argwhere(clear_NK)}
    mesh = draw_cells(
        axes, values_NK, palette=palette, low=low, high=high, text=lambda n, k: signed(values_NK[n, k], 2), bold=bold
    )
    _heads(axes, traits)
    axes.set_yticks(range(len(traits.tasks)), [shorten(t) for t in traits.tasks])
    figure.colorbar(mesh, ax=axes, shrink=0.8, pad=0.03, label="loading (unit norm)").outline.set_visible(False)
    axes.set_xlabel("\n".join(_footnotes(traits, bool(bold))))


@styled
def loadings_bars(traits: Traits) -> Figure:
    """Loadings of every trait with their intervals, one panel per trait."""
    count = len(traits.tasks)
    columns = min(traits.k, 4)
    rows = -(-traits.k // columns)
    figure = new_figure(1.8 + 2.2 * columns, rows * (0.9 + max(1.2, 0.24 * count)))
    grid = figure.subplots(rows, columns, squeeze=False, sharey=True, sharex=True)
    y = np.arange(count)
    for i, axes in enumerate(grid.flat):
        if i >= traits.k:
            axes.set_visible(False)
            continue
        values_N = traits.loadings_KN[i]
        colours = [BLUE if v > 0 else ORANGE for v in values_N]
        axes.barh(y, values_N, color=colours, height=0.62)
        if traits.intervals is not None:
            low_N, high_N = traits.intervals.loadings_low_KN[i], traits.intervals.loadings_high_KN[i]
            axes.hlines(y, low_N, high_N, color=INK, linewidth=1.1)
        axes.axvline(0, color=MUTED, linewidth=0.8)
        axes.set_title(shorten(trait_titles(traits)[i], 34), fontsize=8.5)
        axes.grid(axis="x")
    grid[0, 0].set_yticks(y, [shorten(t) for t in traits.tasks])
    grid[0, 0].invert_yaxis()
    line = "loading (unit norm)"
    if traits.intervals is not None:
        line += f"; lines: {100 * traits.intervals.level:g} % intervals over {traits.intervals.source}"
    if not all(traits.above_null_K):
        line += "; †: not above the noise"
    figure.supxlabel(line, fontsize=8, color=MUTED)
    return figure


def biplot_data(traits: Traits) -> pd.DataFrame:
    """Places of all that is drawn: kind (model, task, or that of a row placed afterwards), name, one column per trait:
    unit-norm scores of models, loadings of tasks before they are stretched to the plot.
    """
    rows = [("model", name, *traits.scores_IK[i]) for i, name in enumerate(traits.models)]
    rows += [("task", name, *traits.loadings_KN[:, n]) for n, name in enumerate(traits.tasks)]
    rows += [(kind, name, *scores_K) for kind, name, scores_K in _beside(traits)]
    return pd.DataFrame(rows, columns=["kind", "name", *traits.trait_names])


@styled
def biplot(traits: Traits) -> Figure:
    """Models as points and tasks as arrows in the plane of the first traits; one trait becomes a line of models."""
    if traits.k == 1:
        return _one_trait(traits)
    pairs = [(0, 1)] if traits.k == 2 else [(0, 1), (0, 2)]
    figure = new_figure(4.9 * len(pairs), 4.6)
    planes = []
    for axes, (a, b) in zip(figure.subplots(1, len(pairs), squeeze=False)[0], pairs, strict=True):
        planes.append((axes, *_plane(axes, traits, a, b)))
    note = "points: models (unit-norm scores), the base a diamond" + _hollow(traits)
    note += "; arrows: tasks (loadings, scaled to the plot)"
    note += "" if all(traits.above_null_K) else "; †: not above the noise"
    figure.supxlabel(note, fontsize=8, color=MUTED)
    settle(figure)
    for axes, labels, arrows in planes:
        place_labels(axes, labels, arrows)
    return figure


def _hollow(traits: Traits) -> str:
    """What hollow points are, in words; empty where there are none."""
    kinds = sorted({kind for kind, _, _ in _beside(traits)})
    return f"; hollow: {', '.join(kinds)}, placed afterwards" if kinds else ""


def _beside(traits: Traits) -> list[tuple[str, str, Floats]]:
    """Kind, name and scores of the rows outside the fit that have a place."""
    found = traits.projected
    rows = zip(found.kinds, found.models, found.scores_PK, strict=True)
    return [(kind, model, scores_K) for kind, model, scores_K in rows if np.isfinite(scores_K).all()]


def _plane(axes: Axes, traits: Traits, a: int, b: int) -> tuple[list[Label], list[Box]]:
    """Draws models and tasks of two traits; gives their names, to be placed, the base's first, and the arrows."""
    x_I, y_I = traits.scores_IK[:, a], traits.scores_IK[:, b]
    beside = [(kind, model, scores_K[[a, b]]) for kind, model, scores_K in _beside(traits)]
    # An outlying row has a place at the edge: its distance would leave no room for the others.
    inside = [float(np.abs(scores_2).max()) for kind, _, scores_2 in beside if kind != "outlying"]
    reach = max(float(np.abs([x_I, y_I]).max()), *inside, 0.0) or 1.0
    arrows_2N = traits.loadings_KN[[a, b]]
    stretch = 0.95 * reach / max(float(np.hypot(*arrows_2N).max()), 1e-12)
    labels: list[Label] = []
    arrows: list[Box] = []
    for n, task in enumerate(traits.tasks):
        dx, dy = stretch * arrows_2N[:, n]
        axes.annotate("", (dx, dy), (0, 0), arrowprops={"arrowstyle": "->", "color": ORANGE, "lw": 1.0})
        arrows.append((0.0, 0.0, float(dx), float(dy)))
        if np.hypot(dx, dy) > 0.35 * reach:
            labels.append(Label(shorten(task, 18), float(dx), float(dy), colour=ARROW_TEXT, style="italic"))
    for i, model in enumerate(traits.models):
        is_base = model == traits.base
        axes.plot(x_I[i], y_I[i], "D" if is_base else "o", color=INK if is_base else BLUE, markersize=4.5)
        labels.append(Label(shorten(model, 20), float(x_I[i]), float(y_I[i]), weight="bold" if is_base else "normal"))
    for _, model, scores_2 in beside:
        beyond = float(np.abs(scores_2).max()) / (1.25 * reach)
        x, y = (scores_2 / max(beyond, 1.0)).tolist()
        axes.plot(x, y, "o", color=BLUE, markerfacecolor="none", markersize=4.5)
        name = shorten(model, 20) + (" (further out)" if beyond > 1 else "")
        labels.append(Label(name, x, y, colour=MUTED))
    axes.axhline(0, color=MUTED, linewidth=0.6)
    axes.axvline(0, color=MUTED, linewidth=0.6)
    titles = trait_titles(traits)
    axes.set(xlabel=titles[a], ylabel=titles[b], xlim=(-1.3 * reach, 1.3 * reach), ylim=(-1.3 * reach, 1.3 * reach))
    return sorted(labels, key=lambda label: label.weight != "bold"), arrows


def _one_trait(traits: Traits) -> Figure:
    beside = _beside(traits)
    names = [*traits.models, *(model for _, model, _ in beside)]
    score_M = np.array([*traits.scores_IK[:, 0], *(scores_K[0] for _, _, scores_K in beside)])
    order = np.argsort(score_M, kind="stable")
    place_M = np.argsort(order)
    figure = new_figure(7.0, 1.0 + 0.24 * len(order))
    axes = figure.add_subplot()
    fitted = len(traits.models)
    y_I = place_M[:fitted]
    axes.plot(score_M[:fitted], y_I, "o", color=BLUE)
    axes.plot(score_M[fitted:], place_M[fitted:], "o", color=BLUE, markerfacecolor="none")
    if traits.intervals is not None:
        low_IK, high_IK = traits.intervals.scores_low_IK, traits.intervals.scores_high_IK
        axes.hlines(y_I, low_IK[:, 0], high_IK[:, 0], color=BLUE)
    axes.axvline(0, color=MUTED, linewidth=0.8)
    axes.set_yticks(range(len(order)), [shorten(names[m]) for m in order])
    axes.set_xlabel(f"{trait_titles(traits)[0]}: score (unit norm){_hollow(traits)}")
    axes.grid(axis="x")
    return figure


def profiles_data(traits: Traits) -> pd.DataFrame:
    """Every profile: model, trait, points (100 times the unit-norm score), lo, hi (NaN where errors are not known)."""
    at, found = list(np.ndindex(*traits.scores_IK.shape)), traits.intervals
    low, high = (found.scores_low_IK, found.scores_high_IK) if found is not None else (np.nan, np.nan)
    return pd.DataFrame(
        {
            "model": [traits.models[i] for i, _ in at],
            "trait": [traits.trait_names[k] for _, k in at],
            "points": 100 * traits.scores_IK.ravel(),
            "lo": 100 * np.broadcast_to(low, traits.scores_IK.shape).ravel(),
            "hi": 100 * np.broadcast_to(high, traits.scores_IK.shape).ravel(),
        }
    )


@styled
def profiles(traits: Traits) -> Figure:
    """Every model's profile in points: 100 times its unit-norm score on each trait; bold where clear of 0."""
    values_IK = 100 * traits.scores_IK
    figure = new_figure(*heat_size(len(traits.models), traits.k, cell=1.0))
    axes = figure.add_subplot()
    palette, low, high = diverging(values_IK)
    bold: set[tuple[int, int]] = set()
    if traits.intervals is not None:
        clear_IK = traits.intervals.scores_low_IK * traits.intervals.scores_high_IK > 0
        bold = {(int(i), int(k)) for i, k in np.argwhere(clear_IK)}
    mesh = draw_cells(
        axes, values_IK, palette=palette, low=low, high=high, text=lambda i, k: signed(values_IK[i, k], 0), bold=bold
    )
    _heads(axes, traits)
    axes.set_yticks(range(len(traits.models)), [shorten(m, 30) for m in traits.models])
    if traits.base in traits.models:
        axes.get_yticklabels()[traits.models.index(traits.base)].set_fontweight("bold")
    figure.colorbar(mesh, ax=axes, shrink=0.8, pad=0.03, label="points (100 × score)").outline.set_visible(False)
    axes.set_xlabel("\n".join(["points compare models within a trait, not traits", *_footnotes(traits, bool(bold))]))
    return figure
