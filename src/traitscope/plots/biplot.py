"""The biplot: models and tasks in the plane of the first traits, or models along the one there is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from traitscope.plots.labels import Box, Label, place_labels, settle
from traitscope.plots.style import ARROW_TEXT, BLUE, INK, MUTED, ORANGE, Axes, Figure, new_figure, shorten, styled
from traitscope.plots.traits import trait_titles

if TYPE_CHECKING:
    from traitscope.traits import Traits

Floats = npt.NDArray[np.float64]


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
    named = [sum(label.style == "italic" for label in labels) for _, labels, _ in planes]
    note += ", short ones without a name" if min(named) < len(traits.tasks) else ""
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
    edge = 1.3 * reach
    # Names keep clear of the lines through the origin, too.
    arrows: list[Box] = [(-edge, 0.0, edge, 0.0), (0.0, -edge, 0.0, edge)]
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
    axes.set(xlabel=titles[a], ylabel=titles[b], xlim=(-edge, edge), ylim=(-edge, edge))
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
