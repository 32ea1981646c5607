"""The four questions, each answered in one or two sentences from the findings: helps, also changes, why, layers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from traitscope.findings import Findings
from traitscope.report.claims import NAME_SIGNS, Claim
from traitscope.report.gain_answers import absent, changes, helps
from traitscope.texts import count_of, short
from traitscope.traits.congruence import FAIR, reaches

if TYPE_CHECKING:
    from traitscope.effects import Explanation
    from traitscope.traits import TraitCount, Traits

# Traits that are named one by one.
MOST_TRAITS = 3


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
        Answer("helps", "Which dataset helps which task?", tuple(helps(findings)), "#transfer"),
        Answer("changes", "What else changes?", tuple(changes(findings)), "#habits"),
        Answer("why", "Why?", tuple(_why(findings)), "#traits"),
        Answer("layers", "In which layers?", tuple(_layers(findings)), "#layers"),
    ]


def _why(findings: Findings) -> Iterator[Claim]:
    traits, explanation = findings.traits, findings.explanation
    if traits is None:
        yield Claim(absent(findings, "traits", "Traits are not known."))
    else:
        yield _traits_claim(traits)
    same = traits is None and findings.missing.get("traits") == findings.missing.get("explanation", "")
    if explanation is None and not same:
        yield Claim(absent(findings, "explanation", "No dataset statistics were held against the gains."))
    elif explanation is not None:
        yield _statistics_claim(explanation)


def _traits_claim(traits: Traits) -> Claim:
    """How many directions of transfer there are, and those that a label fits."""
    count = traits.count
    known = "the measurement noise" if count.sequential is not None else "what unrelated tasks would give"
    numbers: dict[str, Any] = {"supported": count.supported, "predictive": count.predictive}
    named, unstable = [], []
    for k in (k for k in range(traits.k) if traits.above_null_K[k]):
        proposal, stable = traits.names[k], float(traits.stability.figure_K[k])
        share = 100 * float(traits.explained_K[k])
        told = f"{short(traits.trait_names[k], NAME_SIGNS)} ({share:.0f} % of the variance"
        told += f", stability {stable:.2f})" if np.isfinite(stable) else ")"
        numbers |= {f"explained_{k}": share, f"stability_{k}": stable}
        if np.isfinite(stable) and not reaches(stable, FAIR):
            unstable.append(told)
        elif proposal.label is not None or proposal.specific:
            named.append(f"{told}: {short(proposal.proposed, 2 * NAME_SIGNS)}")
        elif k == 0:
            named.append(f"{told}: no label fits")
    if unstable:
        named.append(f"too unstable to be named (below {FAIR}): {', '.join(unstable[:MOST_TRAITS])}")
        named[-1] += f" and {len(unstable) - MOST_TRAITS} more" if len(unstable) > MOST_TRAITS else ""
    one = count.supported == 1
    strong = f"{count_of(count.supported, 'latent trait')} {'stands' if one else 'stand'} above {known}"
    strong = strong if count.supported else f"No latent trait stands above {known}"
    listed = "; ".join(named)
    more = f" {listed[0].upper()}{listed[1:]}." if named else ""
    return Claim(
        f"{strong}{_predictive(count) if count.supported else ''}.{more}",
        strong=strong,
        href="#traits",
        numbers=numbers,
    )


def _predictive(count: TraitCount) -> str:
    """How many of the traits help to predict, behind their number; empty where that was not looked at."""
    if count.predictive is None:
        return ""
    if count.supported == 1:
        return f", which {'helps' if count.predictive else 'does not help'} to predict held-out cells"
    some = count.predictive or "none"
    return f", {some} of which {'helps' if count.predictive == 1 else 'help'} to predict held-out cells"


def _statistics_claim(explanation: Explanation) -> Claim:
    """Whether a statistic of the datasets goes with traits or gains, and what could have been seen."""
    rows = explanation.correlations
    held = rows[rows["q"] <= 1 - explanation.level]
    if len(held):
        best = held.iloc[0]
        return Claim(
            f"{best['statistic']} goes with {best['outcome']}: rho {best['rho']:+.2f} "
            f"[{best['lo']:+.2f}, {best['hi']:+.2f}] over {count_of(best['n'], 'source')} ({len(held)} of {len(rows)} "
            f"{'holds' if len(held) == 1 else 'hold'}).",
            strong=f"{best['statistic']} goes with {best['outcome']}",
            href="#why",
            numbers={"rho": best["rho"], "held": len(held), "looked_at": len(rows)},
        )
    sources = count_of(explanation.sources, "source")
    if not len(rows) or explanation.detectable > 1:
        return Claim(f"{sources} cannot tell which statistic of a dataset explains it.", href="#why")
    return Claim(
        f"No statistic of the datasets explains the gains; among {sources} only correlations of "
        f"{explanation.detectable:.2f} and more (|rho|) could hold.",
        strong="No statistic of the datasets explains the gains",
        href="#why",
        numbers={"detectable": explanation.detectable, "sources": explanation.sources},
    )


def _layers(findings: Findings) -> Iterator[Claim]:
    layers = findings.layers
    if layers is None:
        yield Claim(
            absent(findings, "layers", "Not known: hidden states were not compared."),
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
