"""What the figures of layers draw, as tidy tables: one function beside each figure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from traitscope.errors import TraitscopeError
from traitscope.plots.layers import ALL, NULL, SPECTRA, UNSEEN, clusters_of, gap_of_tasks

if TYPE_CHECKING:
    from traitscope.layers import CausalCheck, LayersResult, TaskFigures

CURVE = ["measure", "pair", "over", "layer", "value", "low", "high"]


def similarity_boxes_data(
    result: LayersResult, tasks: Sequence[str] | None = None, measure: str | None = None
) -> pd.DataFrame:
    """What the boxes are of: measure, role (base or mix), task, layer, value; ``layers.csv`` has null and ceiling."""
    measure = measure or result.meta["section_measure"]
    chosen = [t for t in (tasks or result.tasks) if t not in result.meta["unseen"]]
    parts = []
    for role in ("base", "mix"):
        long = result.curves(measure, f"{role}~control", chosen).rename_axis("task").reset_index().melt("task")
        parts.append(long.rename(columns={"variable": "layer"}).assign(measure=measure, role=role))
    return pd.concat(parts, ignore_index=True)[["measure", "role", "task", "layer", "value"]].dropna(subset=["value"])


def cluster_boxes_data(result: LayersResult, measure: str | None = None) -> pd.DataFrame:
    """The same with the task's cluster."""
    clusters = clusters_of(result)
    table = similarity_boxes_data(result, [t for tasks in clusters.values() for t in tasks], measure)
    home = {task: name for name, tasks in clusters.items() for task in tasks}
    return table.assign(cluster=table["task"].map(home))[["cluster", *table.columns]]


def _curves(result: LayersResult, wanted: Sequence[tuple[str, str, str]]) -> pd.DataFrame:
    parts = [
        result.summary(measure, pair, over).assign(measure=measure, pair=pair, over=over)
        for measure, pair, over in wanted
    ]
    table = pd.concat([part for part in parts if len(part)] or parts[:1], ignore_index=True)
    return table[CURVE]


def section_curves_data(result: LayersResult) -> pd.DataFrame:
    """The curves of the figure: measure, pair, over (all, unseen or null), layer, value, low, high; and as pair
    ``mix~control - base~control`` every task's gap.
    """
    measure = result.meta["section_measure"]
    wanted = [
        *((measure, f"{role}~control", over) for role in ("base", "mix") for over in (ALL, UNSEEN)),
        (measure, "mix~control", NULL),
        (measure, "control~second", ALL),
        *(("dims99", role, ALL) for role in ("base", "mix", "control")),
    ]
    gap = gap_of_tasks(result, measure).rename_axis("over").reset_index().melt("over", var_name="layer")
    gap = gap.assign(measure=measure, pair="mix~control - base~control", low=np.nan, high=np.nan)
    return pd.concat([_curves(result, wanted), gap[CURVE]], ignore_index=True)


def measure_curves_data(result: LayersResult) -> pd.DataFrame:
    """Curves of every measure: base and mix against the controls, the ceiling, the null."""
    wanted = [
        (measure, pair, over)
        for measure in result.meta["measures"]
        for pair, over in (
            ("base~control", ALL),
            ("mix~control", ALL),
            ("control~second", ALL),
            ("mix~control", NULL),
        )
    ]
    return _curves(result, wanted)


def unseen_curves_data(result: LayersResult) -> pd.DataFrame:
    """Curves of base and mix against the controls, over trained tasks and over those that the mix never saw."""
    measure = result.meta["section_measure"]
    return _curves(result, [(measure, f"{r}~control", over) for over in (ALL, UNSEEN) for r in ("base", "mix")])


def dimension_curves_data(result: LayersResult) -> pd.DataFrame:
    """Spectral figures of base, mix and controls, mean over tasks with its interval."""
    return _curves(result, [(name, role, ALL) for name in SPECTRA for role in ("base", "mix", "control")])


def layer_maps_data(result: LayersResult) -> pd.DataFrame:
    """Every map, long: measure, pair, layer (of the first), other_layer (of the second), value."""
    rows = [
        (*name.split(":", 1), i, j, float(map_LL[i, j]))
        for name, map_LL in list(result.maps.items())[:4]
        for i, j in np.ndindex(*map_LL.shape)
    ]
    if not rows:
        raise TraitscopeError("no layer x layer maps were computed", where="plots", fix="pass map_measures")
    return pd.DataFrame(rows, columns=["measure", "pair", "layer", "other_layer", "value"])


def tsne_grid_data(result: LayersResult) -> pd.DataFrame:
    """Every point: model, layer, task, x, y."""
    parts = [
        pd.DataFrame(
            {"model": p.model, "layer": p.layer, "task": list(p.labels), "x": p.xy_P2[:, 0], "y": p.xy_P2[:, 1]}
        )
        for p in result.embeddings
    ]
    if not parts:
        raise TraitscopeError("no t-SNE panels were computed", where="plots", fix="pass depths to analyse_layers")
    return pd.concat(parts, ignore_index=True)


def separability_curves_data(result: LayersResult) -> pd.DataFrame:
    """Probe, purity and silhouette of base and mix by layer, with their chance levels."""
    return result.separability


def correlate_curves_data(found: TaskFigures) -> pd.DataFrame:
    """Correlations (covariate, method, layer, n, r, p, q) and traits' gaps (trait, layer, gap, q): panel says which."""
    known = found.correlates[found.correlates["status"] == "ok"].drop(columns=["status", "reason"])
    parts = [known.assign(panel="correlation"), found.traits.assign(panel="trait")]
    table = pd.concat([part for part in parts if len(part)] or parts[:1], ignore_index=True)
    return table[["panel", *(name for name in table.columns if name != "panel")]]


def causal_windows_data(check: CausalCheck) -> pd.DataFrame:
    """Every window: first and last layer, the gain lost and kept with their intervals, their unit (percent)."""
    shares = ["lost", "lost_low", "lost_high", "kept", "kept_low", "kept_high"]
    keys = ["first", "last", *shares]
    table = pd.DataFrame([{key: getattr(window, key) for key in keys} for window in check.windows], columns=keys)
    return table.assign(**{name: 100 * table[name].astype(float) for name in shares}, unit="percent")
