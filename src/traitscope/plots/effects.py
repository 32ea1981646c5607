"""Figures of side effects: class shares, answer lengths, asymmetry."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from traitscope.errors import TraitscopeError
from traitscope.plots.panels import in_points, relative, stacked
from traitscope.plots.style import BLUE, CATEGORIES, GREY, INK, MUTED, Axes, Figure, new_figure, shorten, styled

if TYPE_CHECKING:
    from traitscope.effects import Effects

MAX_MODELS, MAX_PANELS, MAX_CLASSES = 30, 12, 8


def class_shares_data(effects: Effects, tasks: list[str] | None = None) -> pd.DataFrame:
    """Every bar: task, model (``true`` for the true shares), class, share, unit (percent), n."""
    table, chosen, models = _shared(effects, tasks)
    part = table[table["task"].isin(chosen) & table["model"].isin(models)]
    true = part.drop_duplicates(["task", "class"]).assign(model="true")
    true = true.assign(share=true["gold_share"])
    made = pd.concat([true, part], ignore_index=True)
    made = made.assign(share=100 * made["share"], unit="percent")
    return made[["task", "model", "class", "share", "unit", "n"]]


def _shared(effects: Effects, tasks: list[str] | None) -> tuple[pd.DataFrame, list[str], list[str]]:
    """The table of class shares, and which tasks and models of it are shown."""
    table = effects.tables.get("classes", pd.DataFrame(columns=["task", "class", "model", "share", "gold_share"]))
    sizes = table.groupby("task", sort=False)["class"].nunique()
    chosen = [str(t) for t in (tasks or sizes.index) if t in sizes.index and sizes[t] <= MAX_CLASSES][:MAX_PANELS]
    if not chosen:
        raise TraitscopeError(
            "no task with predicted class shares", where="plots", fix="name choice tasks with at most 8 classes"
        )
    return table, chosen, list(dict.fromkeys(table["model"]))[:MAX_MODELS]


@styled
def class_shares(effects: Effects, tasks: list[str] | None = None) -> Figure:
    """Predicted class shares of every model, one panel per task, the true shares on top; at most 12 panels.

    Args:
        tasks: which ones; by default all choice tasks with up to 8 classes.

    Raises:
        TraitscopeError: no such task has class shares.
    """
    table, chosen, models = _shared(effects, tasks)
    classes = {task: list(dict.fromkeys(table.loc[table["task"] == task, "class"])) for task in chosen}
    columns = min(len(chosen), 3)
    rows = -(-len(chosen) // columns)
    figure = new_figure(1.6 + 2.9 * columns, rows * (1.1 + 0.2 * (len(models) + 1)))
    grid = figure.subplots(rows, columns, squeeze=False, sharey=True)
    for axes in grid.flat[len(chosen) :]:
        axes.set_visible(False)
    for axes, task in zip(grid.flat, chosen, strict=False):
        part = table[table["task"] == task]
        shares = part.pivot_table(index="model", columns="class", values="share", sort=False)
        gold = part.drop_duplicates("class").set_index("class")["gold_share"]
        _stack(axes, classes[task], gold, shares.reindex(models))
        n = int(part["n"].max()) if "n" in part else 0
        axes.set_title(f"{shorten(task, 20)} (n = {n})", fontsize=8.5)
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.06), ncols=min(3, len(classes[task])), fontsize=7)
        axes.set(xlim=(0, 100), xticks=[])
    for axes in grid[:, 0]:
        axes.set_yticks(range(len(models) + 1), ["true", *(shorten(m, 24) for m in models)])
        axes.get_yticklabels()[0].set_fontweight("bold")
    grid[0, 0].set_ylim(len(models) + 0.5, -0.5)
    note = "shares of the answers, 0 to 100 %; what is missing to 100 could not be parsed"
    figure.supxlabel(note, fontsize=8, color=MUTED)
    return figure


def _stack(axes: Axes, names: list[str], gold: pd.Series, shares: pd.DataFrame) -> None:
    y = np.arange(len(shares) + 1)
    left = np.zeros(len(y))
    for c, name in enumerate(names):
        width = 100 * np.concatenate([[gold[name]], shares[name].to_numpy(dtype=float)])
        axes.barh(
            y,
            np.nan_to_num(width),
            left=left,
            height=0.78,
            color=CATEGORIES[c % len(CATEGORIES)],
            edgecolor="#ffffff",
            linewidth=0.4,
            label=shorten(name, 14),
        )
        left += np.nan_to_num(width)
    axes.axhline(0.5, color=INK, linewidth=0.8)


def length_shift_data(effects: Effects) -> pd.DataFrame:
    """Every shift of the mean answer length in tokens: task, model, base_length, length, shift, lo, hi, p, n."""
    table = effects.tables.get("lengths")
    if table is None or table.empty:
        raise TraitscopeError(
            "no task with generated answers", where="plots", fix="only tasks with generated answers have lengths"
        )
    return table[["task", "model", "base_length", "length", "shift", "lo", "hi", "p", "n"]].reset_index(drop=True)


@styled
def length_shift(effects: Effects) -> Figure:
    """Shift of the mean answer length against the base, with intervals; one panel per generated task.

    Raises:
        TraitscopeError: no task's answers are generated.
    """
    table = length_shift_data(effects)
    tasks = list(dict.fromkeys(table["task"]))[:MAX_PANELS]
    models = list(dict.fromkeys(table["model"]))[:MAX_MODELS]
    columns = min(len(tasks), 3)
    rows = -(-len(tasks) // columns)
    figure = new_figure(1.8 + 2.7 * columns, rows * (1.0 + 0.2 * len(models)))
    grid = figure.subplots(rows, columns, squeeze=False, sharey=True)
    for axes in grid.flat[len(tasks) :]:
        axes.set_visible(False)
    for axes, task in zip(grid.flat, tasks, strict=False):
        part = table[table["task"] == task].set_index("model").reindex(models)
        _intervals(axes, part, "shift")
        base = float(part["base_length"].dropna().iloc[0])
        axes.set_title(f"{shorten(task, 20)} (base {base:.1f} tokens, n = {int(part['n'].max())})", fontsize=8.5)
    first = grid[0, 0]
    first.set_yticks(range(len(models)), [shorten(m, 24) for m in models])
    first.set_ylim(len(models) - 0.5, -0.5)
    figure.supxlabel(
        "shift of the mean answer length, tokens (95 % interval; blue: p ≤ 0.05, not corrected)",
        fontsize=8,
        color=MUTED,
    )
    return figure


def _intervals(axes: Axes, part: pd.DataFrame, value: str) -> None:
    y = np.arange(len(part))
    colours = [BLUE if p <= 0.05 else GREY for p in part["p"].fillna(1.0)]
    axes.hlines(y, part["lo"], part["hi"], color=colours, linewidth=1.4)
    axes.scatter(part[value], y, c=colours, s=16, zorder=3)
    axes.axvline(0, color=MUTED, linewidth=0.8)
    axes.grid(axis="x")


def asymmetry_data(effects: Effects, *, limit: int = 16, alpha: float = 0.05) -> pd.DataFrame:
    """Both directions of the pairs that differ most: pair, base, source, target, gain, lo, hi, differ (q of at most
    ``alpha``), unit; shares in points.

    Raises:
        TraitscopeError: no two sources are targets of each other.
    """
    table = effects.tables.get("asymmetry")
    if table is None or table.empty:
        raise TraitscopeError(
            "no pair of sources with both directions of transfer",
            where="plots",
            fix="make at least two sources targets as well",
        )
    found = effects.of_kind("asymmetry").reset_index(drop=True)
    held = set(effects.held(found, alpha).index)
    ends = [f"{way}{end}" for way in ("i_to_j", "j_to_i") for end in ("", "_lo", "_hi")]
    table = in_points(table.reset_index(drop=True).assign(task=lambda t: t["j"]), [*ends, "difference"], effects)
    order = relative(table["difference"], table["shown_unit"]).sort_values(ascending=False, kind="stable").index[:limit]
    rows = []
    for k, at in enumerate(order):
        pair = table.loc[at]
        for way, one, other in (("i_to_j", "i", "j"), ("j_to_i", "j", "i")):
            known = [float(pair[key]) for key in (way, f"{way}_lo", f"{way}_hi")]
            rows.append((k + 1, pair["base"], pair[one], pair[other], *known, at in held, pair["shown_unit"]))
    columns = ["pair", "base", "source", "target", "gain", "lo", "hi", "differ", "unit"]
    return pd.DataFrame(rows, columns=columns)


@styled
def asymmetry(effects: Effects, *, limit: int = 16, alpha: float = 0.05) -> Figure:
    """The pairs whose two directions of transfer differ most, each direction with its interval.

    Raises:
        TraitscopeError: no two sources are targets of each other.
    """
    table = asymmetry_data(effects, limit=limit, alpha=alpha)
    several = table["base"].nunique() > 1
    names = [
        f"{shorten(row['source'], 22)} → {shorten(row['target'], 22)}"
        + (f" ({shorten(row['base'], 14)})" if several else "")
        for row in table.to_dict("records")
    ]
    figure, grid = stacked(table, names, 8.0)
    for axes, part in grid:
        colours = [BLUE if differ else GREY for differ in part["differ"]]
        # The two directions of a pair stand close together.
        y = part["at"] + 0.2 - 0.4 * (part["at"] % 2)
        axes.hlines(y, part["lo"], part["hi"], color=colours, linewidth=1.4)
        axes.scatter(part["gain"], y, c=colours, s=18, zorder=3)
        axes.axvline(0, color=MUTED, linewidth=0.8)
        axes.set_yticks(y, axes.get_yticklabels())
        axes.set_xlabel(f"gain over the base, {part['unit'].iloc[0]}")
    note = "gain of both directions"
    if effects.of_kind("asymmetry")["q"].notna().any():
        pairs = len(effects.tables["asymmetry"])
        note += f"; 95 % intervals; blue: they differ, q ≤ {alpha:g} over {pairs} pair{'s' if pairs > 1 else ''}"
    else:
        note += "; no error is known, so nothing was tested"
    figure.supxlabel(note, fontsize=8, color=MUTED)
    return figure
