"""A layer analysis beside figures of its tasks: correlates and traits as one result, as text and as a file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from traitscope.errors import TraitscopeError
from traitscope.frames import Tabular
from traitscope.layers.correlates import layer_correlates, trait_layers
from traitscope.layers.result import LayersResult
from traitscope.texts import Shown, count_of

__all__ = ["TaskFigures", "task_figures"]

_LEVEL = 0.05


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class TaskFigures(Shown, Tabular):
    """What goes with similarity layer by layer, and which trait lives where.

    Attributes:
        measure: the similarity; always between the mix and each task's control.
        tasks: the N tasks looked at.
        figures: one row per task, one column per figure (readability, rows, gain), NaN where unknown.
        correlates: see `layer_correlates`.
        traits: see `trait_layers`, ``trait`` by name; empty where there are no traits.
        notes: what could not be had, and why.
    """

    measure: str
    tasks: tuple[str, ...]
    figures: pd.DataFrame
    correlates: pd.DataFrame
    traits: pd.DataFrame
    notes: tuple[str, ...] = ()

    def headline(self) -> str:
        """What it is of, in a few words."""
        return f"{count_of(len(self.tasks), 'task')}"

    def named_tables(self) -> dict[str, pd.DataFrame]:
        """``correlates``, ``figures`` and ``traits``."""
        figures = self.figures.rename_axis("task")
        return {"correlates": self.correlates, "figures": figures, "traits": self.traits}

    def lines(self) -> list[str]:
        """One sentence per figure and per trait: the strongest correlation, and whether any holds after correction."""
        similar = f"{self.measure}(mix, single-task)"
        ranked = self.correlates[self.correlates["method"] == "spearman"]
        lines = [
            _sentence(part, f"tasks with more {figure}", f"{figure} goes with {similar}", similar)
            for figure, part in ranked.groupby("covariate", sort=False)
        ]
        for trait, part in self.traits.groupby("trait", sort=False):
            centre = float(part["centre"].iloc[0])
            where = f"from the base around layer {centre:.1f}" if np.isfinite(centre) else "from the base nowhere"
            link = f"the loading on {trait} goes with the gap"
            more = _sentence(part, f"tasks that load more on {trait}", link, "gap")
            lines.append(f"tasks that load on {trait} part {where}; {more}")
        return lines

    def render(self) -> str:
        """A few lines of text."""
        tests = int(np.isfinite(self.correlates["p"]).sum())
        how = f"rho: Spearman; q: Benjamini-Hochberg over {count_of(tests, 'test')}"
        head = f"correlates over {count_of(len(self.tasks), 'task')} ({how})"
        return "\n".join([head, *(f"  {line}" for line in self.lines()), *(f"  note: {note}" for note in self.notes)])

    def to_json(self) -> str:
        """All of it as one JSON text; NaN becomes null."""
        tables = {"figures": self.figures.rename_axis("task").reset_index()}
        tables |= {"correlates": self.correlates, "traits": self.traits}
        data: dict[str, Any] = {"measure": self.measure, "tasks": list(self.tasks), "notes": list(self.notes)}
        data |= {
            name: {
                "columns": list(table.columns),
                "rows": json.loads(table.to_json(orient="values", double_precision=15)),
            }
            for name, table in tables.items()
        }
        return json.dumps(data, indent=1, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> TaskFigures:
        """Inverse of `to_json`."""
        data = json.loads(text)
        tables = {
            name: pd.DataFrame(data[name]["rows"], columns=data[name]["columns"])
            for name in ("figures", "correlates", "traits")
        }
        for table in tables.values():
            for column in set(table.columns) - {"task", "covariate", "method", "status", "reason", "trait"}:
                table[column] = pd.to_numeric(table[column])
        tables["figures"] = tables["figures"].set_index("task").astype(float)
        return cls(measure=data["measure"], tasks=tuple(data["tasks"]), notes=tuple(data["notes"]), **tables)


def task_figures(
    result: LayersResult,
    figures: Mapping[str, Mapping[str, float]],
    loadings: pd.DataFrame | None = None,
    *,
    measure: str | None = None,
    notes: Sequence[str] = (),
) -> TaskFigures:
    """Correlate CKA(mix, control) of the trained tasks with figures of theirs at every layer, and place the traits.

    Args:
        result: the layer analysis; layer 0 and tasks held out of the mix are left out.
        figures: by name, one number per task; tasks that are missing count as unknown.
        loadings: traits down, tasks across; traits need all tasks, so other tasks are left out of their part.
        measure: a similarity of the analysis; by default the one the sections are read from.
        notes: what a reader must know of the figures.

    Raises:
        TraitscopeError: no trained task has a control.
    """
    controls = result.meta["controls"]
    if not any(task in controls and task not in result.meta["unseen"] for task in result.tasks):
        raise TraitscopeError(
            "no trained task has an adapter of its own to compare the mix with",
            where="layer correlates",
            fix="train one adapter per task",
        )
    curves = result.section_curves(measure)
    layers = [int(layer) for layer in curves.layers_L]
    columns = {
        name: np.array([float(values.get(task, float("nan"))) for task in curves.tasks])
        for name, values in figures.items()
    }
    traits = pd.DataFrame(columns=["trait", "layer", "gap", "rest", "r", "p", "q", "centre"])
    if loadings is not None:
        shared = [task for task in curves.tasks if task in loadings.columns]
        if shared:
            part = curves.subset(shared)
            traits = trait_layers(layers, part.mix_NL - part.base_NL, loadings[shared].to_numpy(dtype=float))
            names = [str(name) for name in loadings.index]
            traits["trait"] = [names[int(k)] for k in traits["trait"]]
    return TaskFigures(
        measure=curves.measure,
        tasks=curves.tasks,
        figures=pd.DataFrame(columns, index=pd.Index(curves.tasks, name="task")),
        correlates=layer_correlates(layers, curves.mix_NL, columns),
        traits=traits,
        notes=tuple(notes),
    )


def _sentence(ranked: pd.DataFrame, tasks: str, link: str, similar: str) -> str:
    """Spearman's correlations over the layers in a sentence: the largest that holds, else that none does."""
    known = ranked[np.isfinite(ranked["r"].to_numpy(dtype=float))]
    if known.empty:
        reason = ranked["reason"].dropna() if "reason" in ranked else pd.Series(dtype=object)
        return f"whether {link} is undefined ({reason.iloc[0] if len(reason) else 'no two tasks differ'})"
    held = known[known["q"] <= _LEVEL]
    among = known if held.empty else held
    best = among.loc[among["r"].abs().idxmax()]
    figures = f"rho {best['r']:+.2f}, q = {best['q']:.2g}"
    if held.empty:
        return f"whether {link} cannot be told at any layer (largest at layer {best['layer']:.0f}: {figures})"
    direction = "higher" if best["r"] > 0 else "lower"
    layers = f"{len(held)} of {len(known)} layers"
    return f"{tasks} have the {direction} {similar}, most of all at layer {best['layer']:.0f} ({figures}; at {layers})"
