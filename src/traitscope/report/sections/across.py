"""Across base models: what holds in how many of them."""

from __future__ import annotations

from dataclasses import dataclass

from traitscope.findings import Findings
from traitscope.report.words import ALPHA, Group, across_gains, across_groups
from traitscope.texts import count_of

FIGURES, FOLDED = ("across",), ()


@dataclass(frozen=True, slots=True)
class AcrossView:
    """The answer in one line, what holds in two base models or more, and pooled gains in words."""

    answer: str
    groups: tuple[Group, ...] = ()
    gains: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def view(findings: Findings) -> AcrossView:
    """The section of a study of several base models."""
    across = findings.across
    assert across is not None
    replicated, gains = across.replicated(ALPHA), across.gains
    held = int((gains["q"] <= ALPHA).sum()) if len(gains) else 0
    return AcrossView(
        f"{len(replicated)} of {count_of(len(across.findings), 'finding')} hold in two or more of "
        f"{count_of(len(across.bases), 'base model')}; {held} of {count_of(len(gains), 'pooled gain')} hold.",
        tuple(across_groups(across)),
        tuple(across_gains(across)),
        tuple(across.notes),
    )
