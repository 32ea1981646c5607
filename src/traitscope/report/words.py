"""Findings in words: what held, the strongest sentences, surprises, verdicts."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from traitscope.effects.grid import HOME
from traitscope.effects.kinds import KINDS
from traitscope.effects.words import POINTS
from traitscope.plots.panels import relative
from traitscope.texts import count_of, minus
from traitscope.traits.congruence import FAIR, reaches

if TYPE_CHECKING:
    from traitscope.effects import Across, Effects
    from traitscope.layers import LayersResult, Sections
    from traitscope.matrix import ScoreMatrix
    from traitscope.traits import Traits

ALPHA, LIMIT = 0.05, 6


@dataclass(frozen=True, slots=True)
class Sentence:
    """A finding's sentence and its q as text (empty where no test was made)."""

    text: str
    q: str


@dataclass(frozen=True, slots=True)
class Group:
    """The findings of one kind: how many were tested, how many of them hold in words, the strongest of them."""

    kind: str
    title: str
    tested: int
    verdict: str
    sentences: tuple[Sentence, ...]


def effect_groups(
    effects: Effects, *, kinds: Collection[str] = tuple(KINDS), limit: int = LIMIT, alpha: float = ALPHA
) -> list[Group]:
    """Kinds of findings, each with the ``limit`` strongest that hold after correction; surprises apart."""
    groups = []
    for name in kinds:
        kind, rows = KINDS[name], effects.of_kind(name)
        if name == "gain":
            rows = rows[~rows["relation"].isin(HOME)]
        if rows.empty or kind.table == "surprises":
            continue
        held = effects.held(rows, alpha)
        # Among a handful, those that changed nothing are not worth a line.
        tested = int(rows["p"].notna().sum())
        shown = held if tested and len(rows) > limit else rows[rows["value"] != 0]
        if name == "gain" and (shown["family"] == "transfer").any():
            # Copies, controls and mixes are counted, but do not lead.
            shown = shown[shown["family"] == "transfer"]
        order = sizes(shown).sort_values(ascending=False, kind="stable").index[:limit]
        groups.append(
            Group(name, kind.title, tested, effects.verdict(rows, alpha), sentences_of(effects, shown.loc[order]))
        )
    return groups


def sizes(rows: pd.DataFrame) -> pd.Series:
    """How large findings are, to rank them: percentage points, or parts of the largest where units differ."""
    points = rows["value"].abs() * rows["unit"].map(lambda unit: POINTS.get(unit, 1.0)).astype(float)
    units = [
        "points" if unit in POINTS else f"{unit} {numbers.get('metric', '')}"
        for unit, numbers in zip(rows["unit"], rows["numbers"], strict=True)
    ]
    return points if len(set(units)) < 2 else relative(points, pd.Series(units, index=rows.index))


def taught(effects: Effects, *, alpha: float = ALPHA) -> tuple[Group, list[str]]:
    """What datasets teach themselves: gains on own tasks that hold, and sentences on those that were not learnt."""
    rows = effects.of_kind("gain")
    rows = rows[rows["relation"] == "own"]
    learning = effects.tables.get("learning")
    sources = set() if learning is None else set(learning.loc[learning["role"] == "source", "source"])
    rows = rows[rows["source"].isin(sources)].sort_values("value", ascending=False, kind="stable")
    held, tested = effects.held(rows, alpha), int(rows["p"].notna().sum())
    lost = int((held["value"] < 0).sum())
    held = held[held["value"] > 0]
    if learning is not None:
        # A gain by one answer to everything is told among what was not learnt.
        same = learning[learning["verdict"] == "one answer"]
        habits = list(zip(same["model"], same["task"], strict=True))
        held = held[~pd.MultiIndex.from_frame(held[["model", "task"]]).isin(habits)]
    verdict = f"{len(held)} of {tested} hold at q <= {alpha:g}" if tested else effects.verdict(rows, alpha)
    verdict += f"; {count_of(lost, 'loss', 'losses')} too" if lost else ""
    found = Group("gain", "Own tasks", tested, verdict, sentences_of(effects, held if tested else rows))
    return found, effects.not_learnt() if tested else []


def surprises(effects: Effects, *, limit: int = 10) -> tuple[Sentence, ...]:
    """The cells flagged as surprises, most unusual first; where noise is unknown the unusual ones."""
    return sentences_of(effects, effects.surprising().head(limit))


def sentences_of(effects: Effects, rows: pd.DataFrame) -> tuple[Sentence, ...]:
    """Findings in words, each with its q."""
    return tuple(Sentence(text, q_text(q)) for text, q in zip(effects.sentences(rows), rows["q"], strict=True))


def across_groups(across: Across, *, limit: int = LIMIT, alpha: float = ALPHA) -> list[Group]:
    """Every kind of finding with the strongest that hold in two base models or more."""
    found, groups = across.replicated(alpha), []
    for kind in across.kinds():
        rows = found[found["kind"] == kind].head(limit)
        told = tuple(Sentence(across.sentence(row), "") for row in rows.to_dict("records"))  # type: ignore[arg-type]
        tested = int((across.findings["kind"] == kind).sum())
        groups.append(Group(kind, KINDS[kind].title, tested, across.verdict(kind, alpha), told))
    return groups


def across_gains(across: Across, *, limit: int = LIMIT, alpha: float = ALPHA) -> list[str]:
    """The largest pooled gains that hold."""
    held = across.gains[across.gains["q"] <= alpha]
    order = held["value"].abs().sort_values(kind="stable", ascending=False).index[:limit]
    return [across.gain_sentence(row) for row in held.loc[order].to_dict("records")]  # type: ignore[arg-type]


def bases_of(matrix: ScoreMatrix) -> dict[str, str]:
    """Every row's base model where there are several; empty where there is one, which needs no column."""
    bases = [str(name) for name in matrix.rows["base"]]
    return dict(zip(matrix.models, bases, strict=True)) if len(set(bases)) > 1 else {}


def q_text(q: Any) -> str:
    """A corrected p-value in words; empty where there is none."""
    if q is None or not np.isfinite(q):
        return ""
    return "q < 0.0001" if q < 1e-4 else f"q = {q:.2g}"


def trait_rows(traits: Traits) -> list[dict[str, str]]:
    """One row per trait: share of variance, verdict, stability, proposed name with what speaks for it, tasks."""
    rows = []
    for i, name in enumerate(traits.trait_names):
        proposal = traits.names[i]
        stable = float(traits.stability.figure_K[i])
        verdict = "yes" if traits.above_null_K[i] else "no"
        predictive = traits.count.predictive
        if traits.above_null_K[i] and predictive is not None and i >= predictive:
            verdict = "yes, but of no help in predicting held-out cells"
        fit = (
            f"too unstable to be named (below {FAIR})"
            if np.isfinite(stable) and not reaches(stable, FAIR)
            else f"{proposal.proposed} (cosine {proposal.cosine:+.2f}, p = {proposal.p:.2g})"
            if proposal.label is not None
            else proposal.proposed
            if proposal.specific
            else "no label fits"
        )
        rows.append(
            {
                "name": name,
                "explained": f"{100 * traits.explained_K[i]:.1f} %",
                "verdict": verdict,
                "stability": f"{stable:.2f}" if np.isfinite(stable) else "not known",
                "proposed": minus(fit),
                "tasks": minus(proposal.tasks),
            }
        )
    return rows


def section_blocks(layers: LayersResult) -> dict[str, Any]:
    """Sections in words: one block per group of tasks, one sentence on the groups that are too small, and what the fit
    says of the layer paper's network."""
    from traitscope.layers import CALIBRATION, told_apart

    told, small = told_apart(layers.sections)
    return {"blocks": [_section(sections) for sections in told], "small": small, "calibration": CALIBRATION}


def _section(sections: Sections) -> dict[str, Any]:
    windows = [f"{name}: layers {a}–{b}" for name, (a, b) in sections.windows().items()]
    return {
        "label": sections.label,
        "tasks": count_of(sections.n_tasks, "task"),
        "identified": bool(windows),
        "windows": "; ".join(windows) or "no boundary identified",
        "lines": sections.statements(),
        "notes": list(sections.notes),
    }
