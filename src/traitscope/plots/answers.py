"""What models answer: confusion matrices of base and model side by side, lengths, success by relation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from traitscope.errors import TraitscopeError
from traitscope.plots.heat import SEQUENTIAL, draw_cells
from traitscope.plots.panels import MAX_PANELS, few_ticks
from traitscope.plots.style import BLUE, GREY, INK, MUTED, Figure, new_figure, shorten, styled, tops

if TYPE_CHECKING:
    from traitscope.effects import Effects

MAX_CLASSES, MAX_CURVES, MAX_BARS = 12, 8, 30


def most_changed(effects: Effects) -> tuple[str, str] | None:
    """Model and task whose answers lie farthest from the base's by class, off what the model was trained on."""
    table = effects.tables.get("classes")
    if table is None or table.empty:
        return None
    sizes = table.groupby("task")["class"].nunique()
    kept = table[table["task"].map(sizes) <= MAX_CLASSES]
    gap = (kept["share"] - kept["base_share"]).abs().groupby([kept["model"], kept["task"]], sort=False).sum()
    homes = effects.of_kind("gain")
    own = set(zip(*(homes.loc[homes["relation"].isin(("own", "copy")), key] for key in ("model", "task")), strict=True))
    off = gap[[pair not in own for pair in gap.index]]
    gap = off if (off > 0).any() else gap
    if not (gap > 0).any():
        return None
    found: Any = gap.idxmax()
    return str(found[0]), str(found[1])


def confusion_pair_data(effects: Effects, model: str | None = None, task: str | None = None) -> pd.DataFrame:
    """Counts of true class and answer for the base and one model: task, model, gold, predicted, count, share (of
    the true class's examples), unit (percent).

    Args:
        model, task: by default the cell whose answers lie farthest from the base's (see ``most_changed``).

    Raises:
        TraitscopeError: there are no confusion matrices, or not of this cell.
    """
    table = effects.tables.get("confusion")
    chosen = most_changed(effects) if model is None or task is None else (model, task)
    if table is None or table.empty or chosen is None:
        raise TraitscopeError("no cell has a confusion matrix", where="plots", fix="only choice tasks have classes")
    model, task = chosen
    part = table[(table["task"] == task)]
    if not (part["model"] == model).any():
        raise TraitscopeError(f"no confusion matrix of {model} on {task}", where="plots", fix="name an evaluated cell")
    base = _base_of(effects, part, model)
    kept = pd.concat([part[part["model"] == name] for name in dict.fromkeys((base, model))])
    total = kept.groupby(["model", "gold"])["count"].transform("sum")
    kept = kept[["task", "model", "gold", "predicted", "count"]]
    return kept.assign(share=100 * kept["count"] / total.clip(lower=1), unit="percent")


def _base_of(effects: Effects, part: pd.DataFrame, model: str) -> str:
    """The base row of a model: the row without a source that is no finding's model."""
    measured = set(effects.of_kind("gain")["model"])
    bases = [str(m) for m in dict.fromkeys(part["model"]) if m not in measured]
    return bases[0] if bases else model


@styled
def confusion_pair(effects: Effects, model: str | None = None, task: str | None = None) -> Figure:
    """Confusion matrices of base and model on one task side by side: counts, coloured by share of the true class.

    Raises:
        TraitscopeError: there are no confusion matrices, or not of this cell.
    """
    table = confusion_pair_data(effects, model, task)
    golds = list(dict.fromkeys(table["gold"]))
    answers = list(dict.fromkeys([*golds, *table["predicted"]]))
    models = list(dict.fromkeys(table["model"]))
    side = max(1.9, 0.55 * len(answers))
    figure = new_figure(2.6 + (side + 0.5) * len(models), 1.8 + max(1.2, 0.42 * len(golds)))
    grid = figure.subplots(1, len(models), squeeze=False, sharey=True)[0]
    mesh: Any = None
    for axes, name in zip(grid, models, strict=True):
        part = table[table["model"] == name]
        wide = {key: part.pivot_table(index="gold", columns="predicted", values=key) for key in ("count", "share")}
        counts, shares = (wide[key].reindex(index=golds, columns=answers).to_numpy() for key in ("count", "share"))
        counts = np.nan_to_num(counts)
        mesh = draw_cells(
            axes,
            np.nan_to_num(shares),
            palette=SEQUENTIAL,
            low=0.0,
            high=100.0,
            text=lambda i, n, c=counts: f"{c[i, n]:.0f}",  # type: ignore[misc]
            outlined={(i, answers.index(g)) for i, g in enumerate(golds)},
        )
        tops(axes, [str(a) for a in answers], most=16)
        axes.set_xlabel(shorten(str(name), 30), fontweight="bold")
    grid[0].set_yticks(range(len(golds)), [shorten(str(g), 18) for g in golds])
    grid[0].set_ylabel("true class")
    figure.colorbar(mesh, ax=list(grid), shrink=0.9, pad=0.02, label="% of the true class").outline.set_visible(False)
    n = int(table[table["model"] == models[-1]]["count"].sum())
    figure.supxlabel(
        f"answers on {shorten(table['task'].iloc[0], 40)}, n = {n}; framed: right", fontsize=8, color=MUTED
    )
    return figure


Lengths = Mapping[str, npt.ArrayLike]


def length_densities_data(lengths: Lengths, bins: int = 40) -> pd.DataFrame:
    """Densities of answer lengths: model, low, high (edges of the bin, in tokens), count, density (per token).

    All models have the same bins, from the shortest to the longest answer of all.

    Raises:
        TraitscopeError: nobody answered.
    """
    known = {name: np.asarray(values, dtype=float) for name, values in lengths.items()}
    known = {name: values[np.isfinite(values)] for name, values in known.items()}
    every = np.concatenate([*known.values(), np.zeros(0)])
    if not every.size:
        raise TraitscopeError("there are no answers whose length is known", where="plots", fix="evaluate a cell")
    low, high = float(every.min()), float(every.max()) + 1.0
    # Lengths are whole numbers: bins are too, so that none is fuller by rounding alone.
    step = max(1, int(np.ceil((high - low) / bins)))
    edges = np.arange(low, high + step, step)
    rows = []
    for name, values in known.items():
        counts, _ = np.histogram(values, edges)
        rows += [
            (name, a, b, int(c), c / max(len(values), 1) / step)
            for a, b, c in zip(edges[:-1], edges[1:], counts, strict=True)
        ]
    return pd.DataFrame(rows, columns=["model", "low", "high", "count", "density"])


@styled
def length_densities(lengths: Lengths, task: str = "") -> Figure:
    """How long the answers to one task are, a panel per model with the first (the base) behind it; at most 8 models.

    Args:
        lengths: answer lengths in tokens, one per example, by model.
        task: for the note.
    """
    shown = dict(list(lengths.items())[:MAX_CURVES])
    table = length_densities_data(shown)
    parts = {str(name): part for name, part in table.groupby("model", sort=False)}
    first = next(iter(parts))
    # Curves of one panel would lie on one another where models answer alike.
    panels = [name for name in parts if name != first] or [first]
    columns = min(3, len(panels))
    down = -(-len(panels) // columns)
    figure = new_figure(max(4.2, 0.6 + 2.7 * columns), 0.9 + 1.7 * down)
    grid = figure.subplots(down, columns, squeeze=False, sharex=True, sharey=True)
    for axes in grid.flat[len(panels) :]:
        axes.set_visible(False)
    for axes, name in zip(grid.flat, panels, strict=False):
        for one, colour, fill in ((first, GREY, True), (name, BLUE, False)):
            part = parts[one]
            edges = [*part["low"], part["high"].iloc[-1]]
            axes.stairs(part["density"], edges, color=colour, fill=fill, alpha=0.45 if fill else 1.0, linewidth=1.4)
        n = int(parts[name]["count"].sum())
        axes.set_title(f"{shorten(name, 20)} (n = {n})", fontsize=8)
        axes.grid(axis="y")
        axes.tick_params(labelbottom=True)
        few_ticks(axes)
    grid[0, 0].set_ylim(0, 1.05 * float(table["density"].max()))
    figure.supylabel("density, per token", fontsize=8, color=MUTED)
    note = f"length of the answer{f' to {shorten(task, 40)}' if task else ''}, tokens; grey: {shorten(first, 26)}"
    figure.supxlabel(note, fontsize=8, color=MUTED)
    return figure


def relation_bars_data(effects: Effects, models: Sequence[str] | None = None) -> pd.DataFrame:
    """Success by tag of the examples (a dependency relation): model, task, tag, value, n, base_right, right, ratio, lo,
    hi, p, few; the largest ratios of each cell first, at most 30 a cell and 12 cells.

    Args:
        models: which ones; by default those with the largest ratio that more than a few examples bear.
    """
    table = effects.tables.get("tags")
    if table is None or table.empty:
        raise TraitscopeError("no example has tags", where="plots", fix="traitscope stats --spacy gives relations")
    if models is not None:
        table = table[table["model"].isin(models)]
    keys = ["model", "task", "tag"]
    best = table.assign(size=table["ratio"].where(~table["few"].astype(bool), 0.0)).groupby(keys, sort=False)["size"]
    order = best.max().sort_values(ascending=False, kind="stable").index[:MAX_PANELS]
    parts = [
        table[(table["model"] == m) & (table["task"] == t) & (table["tag"] == g)].nlargest(MAX_BARS, "ratio")
        for m, t, g in order
    ]
    keep = [*keys, "value", "n", "base_right", "right", "ratio", "lo", "hi", "p", "few"]
    return pd.concat(parts, ignore_index=True)[keep]


@styled
def relation_bars(effects: Effects, models: Sequence[str] | None = None) -> Figure:
    """Bars of the success ratio of model and base by relation with intervals and the counts behind them.

    Grey bars stand on fewer than 20 examples. At most six cells.

    Raises:
        TraitscopeError: no example has tags.
    """
    table = relation_bars_data(effects, models)
    cells = list(dict.fromkeys(zip(table["model"], table["task"], table["tag"], strict=True)))[:6]
    parts = [
        table[(table["model"] == m) & (table["task"] == t) & (table["tag"] == g)].reset_index(drop=True)
        for m, t, g in cells
    ]
    columns = min(2, len(cells))
    down = -(-len(cells) // columns)
    most = max(map(len, parts))
    figure = new_figure(4.6 * columns, 0.8 + down * (0.8 + 0.2 * max(most, 2)))
    grid = figure.subplots(down, columns, squeeze=False)
    for axes in grid.flat[len(cells) :]:
        axes.set_visible(False)
    for axes, part, (model, task, tag) in zip(grid.flat, parts, cells, strict=False):
        y = np.arange(len(part))
        axes.barh(y, part["ratio"], height=0.64, color=[GREY if f else BLUE for f in part["few"]])
        axes.hlines(y, part["lo"], part["hi"], color=INK, linewidth=0.9)
        axes.axvline(1, color=MUTED, linewidth=0.9, linestyle="--")
        counts = [
            f"{shorten(str(v), 14)} ({r}:{b} of {n})"
            for v, r, b, n in zip(part["value"], part["right"], part["base_right"], part["n"], strict=True)
        ]
        axes.set_yticks(y, counts, fontsize=7)
        axes.set_ylim(most - 0.5, -0.5)
        top = float(np.nanmax(part["ratio"]))
        axes.set_xlim(0, 1.6 * max(top, 1.0))
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="x")
        few_ticks(axes)
        axes.set_title(f"{shorten(model, 24)} on {shorten(task, 22)}, by {shorten(tag, 14)}", fontsize=8)
    note = "right answers, model to base (smoothed); in brackets right with the model : with the base, of how many; "
    figure.supxlabel(f"{note}lines: 95 % intervals; grey: few examples", fontsize=8, color=MUTED)
    return figure
