"""Layers: sections of the network, likeness by every measure, hidden states of examples, and the causal check."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from traitscope.findings import Findings
from traitscope.layers import LayersResult
from traitscope.layers.result import ALL, NULL
from traitscope.plots.measures import TITLES
from traitscope.report.answers import answers
from traitscope.report.sections.absent import absence
from traitscope.report.words import section_blocks
from traitscope.texts import count_of

FIGURES, FOLDED = (
    ("layer_similarity",),
    (
        *("layer_sections", "layer_similarity_clusters", "layer_unseen", "layer_dimensions", "layer_maps"),
        *("layer_separability", "layer_correlates"),
    ),
)
STATIC_MEASURES, STATIC_POINTS, CAUSAL = ("layer_measures",), ("layer_tsne",), ("causal_windows",)
PAIRS = {
    "base~control": "base and single-task models",
    "mix~control": "mix and single-task models",
    "control~second": "two seeds of one task",
}


@dataclass(frozen=True, slots=True)
class Layers:
    """What the section shows.

    Attributes:
        answer: in one line. about: what was compared.
        blocks, small, calibration: sections in words (see ``words.section_blocks``).
        left_out: tasks left out, with the reason.
        curves: for the script: every measure's medians by pair and layer. points: hidden states of examples by layer
            and model; None where there are none.
        causal: the verdict, or why there is none. causal_left_out: tasks left out of it.
        correlates: what goes with likeness, in words.
    """

    answer: str
    about: str = ""
    blocks: tuple[Mapping[str, Any], ...] = ()
    small: str = ""
    calibration: str = ""
    left_out: tuple[str, ...] = ()
    curves: Mapping[str, Any] | None = None
    points: Mapping[str, Any] | None = None
    causal: str = ""
    causal_left_out: tuple[str, ...] = ()
    correlates: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def view(findings: Findings) -> Layers:
    """The section of a study whose layers were analysed."""
    layers = findings.layers
    assert layers is not None
    answer = next(one for one in answers(findings) if one.name == "layers")
    told, causal, found = section_blocks(layers), findings.causal, findings.correlates
    left_out = () if causal is None else tuple(f"{task}: {reason}" for task, reason in causal.left_out.items())
    return Layers(
        " ".join(claim.text for claim in answer.claims),
        _about(layers),
        tuple(told["blocks"]),
        told["small"] or "",
        told["calibration"] if told["blocks"] else "",
        tuple(f"{task}: {reason}" for task, reason in layers.meta["excluded"].items()),
        curves(layers) or None,
        points(layers),
        absence(findings, "causal") if causal is None else _sentence(causal.verdict),
        left_out,
        () if found is None else tuple(found.lines()),
        () if found is None else tuple(found.notes),
    )


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:].rstrip('.')}." if text else "Nothing can be told."


def _about(layers: LayersResult) -> str:
    meta = layers.meta
    return (
        f"{count_of(len(layers.tasks), 'task')}, {meta['n_layers']} layers, n = {meta['n']} examples a task, hidden "
        f"size {meta['hidden_size']}, n/D = {meta['n_over_d']:.2f}; mix: {meta['mix'] or 'none'}."
    )


def curves(layers: LayersResult) -> dict[str, Any]:
    """Per measure its title and per pair [layer, value, low, high] lines over tasks, the permutation null beside."""
    found: dict[str, Any] = {}
    for measure in layers.meta["measures"]:
        pairs = {}
        for pair, title in PAIRS.items():
            rows = _lines(layers, measure, pair, ALL)
            if rows:
                pairs[title] = rows
        null = _lines(layers, measure, "mix~control", NULL)
        if null:
            pairs["permutation null"] = null
        if pairs:
            found[measure] = {"title": TITLES.get(measure, measure), "pairs": pairs}
    return found


def _lines(layers: LayersResult, measure: str, pair: str, over: str) -> list[list[float | None]]:
    table = layers.summary(measure, pair, over)
    columns = [table[name].to_numpy(dtype=float) for name in ("layer", "value", "low", "high")]
    made = [[_short(value) for value in row] for row in zip(*columns, strict=True)]
    return [row for row in made if row[1] is not None]


def _short(value: float) -> float | None:
    return round(float(value), 4) if np.isfinite(value) else None


def points(layers: LayersResult) -> dict[str, Any] | None:
    """t-SNE panels for the script: tasks, their clusters, and per layer and model x and y of every example, 0..1000."""
    panels = layers.embeddings
    if not panels:
        return None
    tasks = list(dict.fromkeys(label for panel in panels for label in panel.labels))
    roles = {layers.meta.get("base"): "base", layers.meta.get("mix"): "mix"}
    clusters = layers.meta.get("clusters") or {}
    made: dict[str, list[Any]] = {}
    for panel in panels:
        low, high = panel.xy_P2.min(axis=0), panel.xy_P2.max(axis=0)
        xy = (panel.xy_P2 - low) / np.where(high > low, high - low, 1.0) * 1000
        made.setdefault(str(panel.layer), []).append(
            {
                "model": roles.get(panel.model, panel.model),
                "x": [round(value) for value in xy[:, 0].tolist()],
                "y": [round(value) for value in xy[:, 1].tolist()],
                "task": [tasks.index(label) for label in panel.labels],
            }
        )
    layers_in_order = sorted(made, key=int)
    return {
        "tasks": tasks,
        "clusters": [clusters.get(task, "") for task in tasks],
        "layers": [{"layer": int(layer), "panels": made[layer]} for layer in layers_in_order],
        "caption": f"t-SNE, perplexity {panels[0].perplexity:g}, seed {panels[0].seed}; distances between groups mean "
        "little.",
    }
