"""The tool-belt: what every size of it loses, and what it scores task by task."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from traitscope.belt.result import BASIS
from traitscope.errors import TraitscopeError
from traitscope.plots.panels import MAX_ROWS, few_ticks, first
from traitscope.plots.style import BLUE, GREEN, GREY, INK, MUTED, ORANGE, Figure, new_figure, shorten, styled
from traitscope.texts import count_of

if TYPE_CHECKING:
    from traitscope.belt.choice import Choice


def belt_coverage_data(choice: Choice) -> pd.DataFrame:
    """What the figure draws: panel (size or task), name, value, lo, hi, worst, base, best, served_by; all in points."""
    sizes = pd.DataFrame(
        {
            "panel": "size",
            "name": choice.sizes["size"].astype(str),
            "value": choice.sizes["judged"],
            "lo": choice.sizes["lo"],
            "hi": choice.sizes["hi"],
            "worst": choice.sizes["judged_worst"],
            "served_by": choice.sizes["models"],
        }
    )
    tasks = pd.DataFrame(
        {
            "panel": "task",
            "name": choice.tasks["task"],
            "value": choice.tasks["score"],
            "base": choice.tasks["base"],
            "best": choice.tasks["best_score"],
            "served_by": choice.tasks["served_by"],
        }
    )
    made = pd.concat([sizes, tasks], ignore_index=True)
    return made[["panel", "name", "value", "lo", "hi", "worst", "base", "best", "served_by"]]


@styled
def belt_coverage(choice: Choice) -> Figure:
    """Loss against the best model per task by size of the belt; then the tasks with base, belt and best model.

    Raises:
        TraitscopeError: there is no task.
    """
    table = belt_coverage_data(choice)
    sizes, tasks = table[table["panel"] == "size"], table[table["panel"] == "task"]
    if tasks.empty:
        raise TraitscopeError("the belt serves no task", where="plots", fix="evaluate models on tasks")
    names, cut = first([str(name) for name in tasks["name"]], MAX_ROWS)
    tasks = tasks.head(len(names))
    figure = new_figure(9.4, max(3.0, 1.35 + 0.22 * len(names)))
    left, right = figure.subplots(1, 2, width_ratios=[1, 1.5])
    x = sizes["name"].astype(int).to_numpy()
    left.fill_between(x, sizes["lo"].astype(float), sizes["hi"].astype(float), color=BLUE, alpha=0.22, linewidth=0)
    left.plot(x, sizes["value"], color=BLUE, marker="o", markersize=3.5, label="mean over tasks")
    left.plot(x, sizes["worst"], color=ORANGE, marker="s", markersize=3.5, label="worst task")
    left.axhline(choice.loss, color=MUTED, linewidth=0.9, linestyle="--", label=f"allowed: {choice.loss:g}")
    left.axvline(len(choice.models), color=INK, linewidth=0.8, linestyle=":", label="chosen size")
    left.set(xlabel="adapters", ylabel="loss against the best of all, points")
    left.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2, fontsize=7)
    left.set_title("what a size loses", fontsize=8.5)
    few_ticks(left, 6)
    left.xaxis.get_major_locator().set_params(integer=True)
    y = np.arange(len(tasks))
    base, belt, best = (tasks[key].to_numpy(dtype=float) for key in ("base", "value", "best"))
    right.hlines(y, np.fmin(base, belt), np.fmax(np.fmax(base, belt), best), color=GREY, linewidth=1.0)
    right.scatter(base, y, s=18, facecolor="none", edgecolor=INK, linewidth=0.9, label="base", zorder=3)
    right.scatter(best, y, s=34, marker="|", color=GREEN, linewidth=1.6, label="best of all models", zorder=4)
    right.scatter(belt, y, s=24, color=BLUE, label="belt", zorder=5)
    served = zip(names, tasks["served_by"], strict=True)
    right.set_yticks(y, [f"{shorten(task, 20)} ← {shorten(by, 20)}" for task, by in served])
    right.set_ylim(len(names) - 0.5, -0.5)
    right.set_xlabel("score, points")
    right.grid(axis="x")
    right.tick_params(axis="y", length=0)
    figure.legend(*right.get_legend_handles_labels(), loc="outside upper right", ncols=3, fontsize=7)
    n, tasks_text = len(choice.models), count_of(len(choice.tasks), "task")
    note = f"{count_of(n, 'adapter')} {'serves' if n == 1 else 'serve'} {tasks_text}; {BASIS[choice.basis]}"
    note += f"; band: 95 %{cut}" if np.isfinite(sizes["lo"].astype(float)).any() else cut
    figure.supxlabel(note, fontsize=8, color=MUTED)
    return figure
