"""The four questions, each answered in one or two sentences from the findings: helps, also changes, why, layers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import numpy as np
import pandas as pd

from traitscope.effects import Effects
from traitscope.effects.words import POINTS, number, span_words
from traitscope.findings import Findings
from traitscope.report.words import q_text
from traitscope.texts import count_of
from traitscope.traits.congruence import FAIR

if TYPE_CHECKING:
    from traitscope.effects import Explanation
    from traitscope.traits import Traits

# Kinds of findings that are habits, in shares of answers.
HABITS = ("habit", "class_share", "invalid", "cut_off")


@dataclass(frozen=True, slots=True)
class Claim:
    """One sentence, with the cell or section that bears it.

    Attributes:
        text: the sentence; ``strong`` is the part of its beginning that stands out.
        href: ``#cell/model/task`` or ``#section``; empty where there is none.
        numbers: every number that the sentence gives, by name, for whoever recomputes them.
    """

    text: str
    strong: str = ""
    href: str = ""
    numbers: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answer:
    """A question and what is known of it."""

    name: str
    question: str
    claims: tuple[Claim, ...]
    href: str


def answers(findings: Findings) -> list[Answer]:
    """Helps, also changes, why, layers; each says what is not known where nothing holds."""
    return [
        Answer("helps", "Which dataset helps which task?", tuple(_helps(findings)), "#transfer"),
        Answer("changes", "What else changes?", tuple(_changes(findings)), "#habits"),
        Answer("why", "Why?", tuple(_why(findings)), "#traits"),
        Answer("layers", "In which layers?", tuple(_layers(findings)), "#layers"),
    ]


def cell_href(model: str, task: str) -> str:
    """The address of a cell's panel."""
    return f"#cell/{quote(model, safe='')}/{quote(task, safe='')}"


def strongest(rows: pd.DataFrame, sign: int = 0) -> Mapping[str, Any] | None:
    """The largest finding: of those in percentage points by size, else by size over half of the interval.

    Args:
        rows: findings. sign: 1 for gains alone, -1 for losses alone.
    """
    if sign:
        rows = rows[np.sign(rows["value"]) == sign]
    if rows.empty:
        return None
    points = rows[rows["unit"].isin(list(POINTS))]
    if len(points):
        size = points["value"].abs() * points["unit"].map(POINTS)
        return dict(points.loc[size.sort_values(kind="stable", ascending=False).index[0]])
    half = ((rows["hi"] - rows["lo"]) / 2).replace(0.0, np.nan)
    size = (rows["value"].abs() / half).fillna(rows["value"].abs())
    return dict(rows.loc[size.sort_values(kind="stable", ascending=False).index[0]])


def _helps(findings: Findings) -> Iterator[Claim]:
    effects = findings.effects
    rows = None if effects is None else effects.of_kind("gain")
    if effects is None or rows is None or rows.empty:
        yield Claim(_absent(findings, "effects", f"Gains are not known: {_why_none(findings)}."))
        return
    transfer = rows[rows["family"] == "transfer"]
    held = effects.held(transfer)
    best = strongest(held, 1)
    if best is not None:
        yield _gain_claim(
            best, "helps {task} most", f"{len(held[held['value'] > 0])} of {len(transfer)} transfers help"
        )
    elif len(transfer) and transfer["p"].notna().any():
        largest = strongest(transfer, 1)
        yield Claim(
            f"No transfer holds among {len(transfer)}."
            + ("" if largest is None else f" The largest, {_name(largest)} on {largest['task']}, is {_size(largest)}."),
            strong="No transfer holds",
            href="" if largest is None else cell_href(_model(largest), largest["task"]),
            numbers={"transfers": len(transfer)} | ({} if largest is None else _numbers(largest)),
        )
    elif len(transfer):
        largest = strongest(transfer, 1)
        if largest is None:
            yield Claim("No dataset is better than the base on a task that is not its own; no error is known.")
        else:
            yield _gain_claim(
                largest, "is farthest above the base on {task}", "no error is known, so nothing is tested"
            )
    else:
        yield Claim(f"No transfer is known: {_why_none(findings)}.", strong="No transfer is known")
    own, mix = (effects.held(rows[rows["family"] == family]) for family in ("own", "mix"))
    parts = []
    numbers: dict[str, Any] = {}
    best_own = strongest(own[own["relation"] == "own"], 1) if len(own) else None
    if best_own is not None:
        parts.append(f"own tasks up to {_size(best_own)} ({_name(best_own)} on {best_own['task']})")
        numbers |= {f"own_{key}": value for key, value in _numbers(best_own).items()}
    tested = int((rows["family"] == "mix").sum())
    if tested:
        up = int((mix["value"] > 0).sum())
        parts.append(f"mixes surely better than the base in {up} of {count_of(tested, 'cell')}")
        numbers |= {"mix_better": up, "mix_cells": tested}
    if parts:
        text = "; ".join(parts)
        yield Claim(
            f"Beside transfer: {text}.",
            href="" if best_own is None else cell_href(_model(best_own), best_own["task"]),
            numbers=numbers,
        )


def _changes(findings: Findings) -> Iterator[Claim]:
    effects = findings.effects
    if effects is None:
        yield Claim(_absent(findings, "effects", "Side effects are not known."))
        return
    rows = effects.of_kind("gain")
    transfer = rows[rows["family"] == "transfer"]
    held = effects.held(transfer)
    worst = strongest(held, -1)
    if worst is not None:
        yield _gain_claim(
            worst, "harms {task} most", f"{len(held[held['value'] < 0])} of {len(transfer)} transfers harm"
        )
    elif transfer["p"].notna().any():
        stuck = _stuck(effects)
        room = f"; {count_of(stuck, 'task')} at the floor cannot fall" if stuck else ""
        yield Claim(
            f"No harm holds among {count_of(len(transfer), 'transfer')}{room}.",
            strong="No harm holds",
            numbers={"transfers": len(transfer), "floor": stuck},
        )
    else:
        yield Claim(
            "Harm was not tested: no error is known." if len(transfer) else f"No harm is known: {_why_none(findings)}."
        )
    habit = _strongest_habit(effects)
    if habit is not None:
        sentence = str(effects.sentences(pd.DataFrame([habit])).iloc[0])
        yield Claim(
            f"Strongest habit: {sentence}",
            strong="Strongest habit:",
            href=cell_href(_model(habit), habit["task"]),
            numbers=_numbers(habit),
        )


def _strongest_habit(effects: Effects) -> Mapping[str, Any] | None:
    """The largest change of how a source answers tasks that are not its own."""
    rows = effects.of_kind(*HABITS)
    rows = effects.held(rows[rows["family"] == "transfer"])
    return strongest(rows)


def _stuck(effects: Effects) -> int:
    table = effects.tables.get("cells")
    return 0 if table is None else int(table.loc[table["base_at"] == "floor", "task"].nunique())


def _why(findings: Findings) -> Iterator[Claim]:
    traits, explanation = findings.traits, findings.explanation
    if traits is None:
        yield Claim(_absent(findings, "traits", "Traits are not known."))
    else:
        yield _traits_claim(traits)
    if explanation is None:
        if traits is None and findings.missing.get("traits", "") == findings.missing.get("explanation"):
            return  # said already
        yield Claim(_absent(findings, "explanation", "No dataset statistics were held against the gains."))
    else:
        yield _statistics_claim(explanation)


def _traits_claim(traits: Traits) -> Claim:
    """How many directions of transfer there are, and those that a label fits."""
    count = traits.count
    known = "the measurement noise" if count.sequential is not None else "what unrelated tasks would give"
    help_ = (
        ""
        if count.predictive is None
        else f", {'none' if not count.predictive else count.predictive} of which "
        f"{'helps' if count.predictive == 1 else 'help'} to predict held-out cells"
    )
    held = [k for k in range(traits.k) if traits.above_null_K[k]]
    numbers: dict[str, Any] = {"supported": count.supported, "predictive": count.predictive}
    named = []
    for k in held:
        proposal, stable = traits.names[k], float(traits.stability.figure_K[k])
        share = 100 * float(traits.explained_K[k])
        told = f"{traits.trait_names[k]} ({share:.0f} % of the variance"
        told += f", stability {stable:.2f}" if np.isfinite(stable) else ""
        numbers |= {f"explained_{k}": share, f"stability_{k}": stable}
        if stable < FAIR:
            named.append(f"{told}): too unstable to be named")
        elif proposal.label is not None or proposal.specific:
            named.append(f"{told}): {proposal.proposed}")
        elif k == 0:
            named.append(f"{told}): no label fits")
    one = count.supported == 1
    strong = f"{count_of(count.supported, 'latent trait')} {'stands' if one else 'stand'} above {known}"
    return Claim(
        f"{strong if count.supported else f'No latent trait stands above {known}'}{help_ if count.supported else ''}."
        + (f" {'; '.join(named)}." if named else ""),
        strong=strong,
        href="#traits",
        numbers=numbers,
    )


def _statistics_claim(explanation: Explanation) -> Claim:
    """Whether a statistic of the datasets goes with traits or gains, and what could have been seen."""
    rows = explanation.correlations
    held = rows[rows["q"] <= 1 - explanation.level]
    if len(held):
        best = held.iloc[0]
        return Claim(
            f"{best['statistic']} goes with {best['outcome']}: rho {best['rho']:+.2f} "
            f"[{best['lo']:+.2f}, {best['hi']:+.2f}] over {best['n']} sources ({len(held)} of {len(rows)} hold).",
            strong=f"{best['statistic']} goes with {best['outcome']}",
            href="#why",
            numbers={"rho": best["rho"], "held": len(held), "looked_at": len(rows)},
        )
    sources = count_of(explanation.sources, "source")
    if not len(rows) or explanation.detectable > 1:
        return Claim(f"{sources} cannot tell which statistic of a dataset explains it.", href="#why")
    return Claim(
        f"No statistic of the datasets explains them; {sources} could show |rho| of {explanation.detectable:.2f} and "
        "more alone.",
        strong="No statistic of the datasets explains them",
        href="#why",
        numbers={"detectable": explanation.detectable, "sources": explanation.sources},
    )


def _layers(findings: Findings) -> Iterator[Claim]:
    layers = findings.layers
    if layers is None:
        yield Claim(
            _absent(findings, "layers", "Not known: hidden states were not compared."),
            href="#layers",
        )
        return
    sections = layers.sections.get("all tasks")
    if sections is None:
        yield Claim("No sections were looked for.", href="#layers")
        return
    windows = sections.windows()
    numbers: dict[str, Any] = dict(windows)
    if windows:
        told = ", ".join(f"{name} {first}–{last}" for name, (first, last) in windows.items())
        end = sections.shared_end
        yield Claim(
            f"Sections of layers {sections.layers[0]}–{sections.layers[-1]}: {told} (the first ends at {end.layer}, "
            f"90 % interval {end.low}–{end.high}).",
            strong="Sections",
            href="#layers",
            numbers=numbers,
        )
    else:
        reasons = "; ".join(sections.shared_end.reasons)
        yield Claim(f"No boundary is identified: {reasons}.", strong="No boundary is identified", href="#layers")
    if sections.nearer is not None:
        near = sections.nearer
        yield Claim(
            f"{near.render()[0].upper()}{near.render()[1:]}, of {sections.layers[-1]} layers.",
            href="#layers",
            numbers={"first": near.first, "gap": near.gap, "low": near.low, "high": near.high},
        )


def _gain_claim(row: Mapping[str, Any], verb: str, behind: str) -> Claim:
    strong = f"{_name(row)} {verb.format(task=row['task'])}"
    test = q_text(row["q"])
    told = f"{strong}: {row['numbers']['metric']} {_size(row)}" + (f", {test}" if test else "")
    remark = f" {row['numbers']['remark']}" if row["numbers"].get("remark") else ""
    return Claim(
        f"{told}.{remark} {behind[0].upper()}{behind[1:]}.",
        strong=strong,
        href=cell_href(_model(row), row["task"]),
        numbers=_numbers(row),
    )


def _size(row: Mapping[str, Any]) -> str:
    points = " points" if row["unit"] in POINTS else f" {row['unit']}" if row["unit"] != "score" else ""
    span = span_words(row["lo"], row["hi"], row["unit"])
    return f"{number(row['value'], row['unit'])}{points}" + (f" {span}" if span else "")


def _numbers(row: Mapping[str, Any]) -> dict[str, Any]:
    kept = ("kind", "model", "source", "task", "detail", "value", "lo", "hi", "p", "q", "unit", "n")
    return {key: row[key] for key in kept}


def _name(row: Mapping[str, Any]) -> str:
    return str(row["source"] or row["model"])


def _model(row: Mapping[str, Any]) -> str:
    """A row of the matrix that the finding is about: the first of its runs."""
    runs = row["numbers"].get("runs")
    return str(runs[0] if runs else row["model"])


def _why_none(findings: Findings) -> str:
    """Why there are no transfers to speak of."""
    matrix = findings.scores
    bases = {name for i, name in enumerate(matrix.models) if matrix.base_index_I[i] == i}
    if not bases:
        return "there is no base row to compare with"
    if len(bases) == len(matrix.models):
        return "only the base was measured"
    if not any(role.kind == "source" for role in matrix.roles_I):
        return "no row is a source"
    return "every source was measured on what it was trained on alone"


def _absent(findings: Findings, part: str, otherwise: str) -> str:
    reason = findings.missing.get(part)
    return f"Not known: {reason.rstrip('.')}." if reason else otherwise
