"""The figures of a report: those that its findings allow, each with its documents, its caption and its data."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

from traitscope.errors import TraitscopeError
from traitscope.findings import Findings
from traitscope.matrix import looked_at
from traitscope.plots.style import inline_svg, pdf_bytes, svg_text
from traitscope.report.figure_kinds import KINDS
from traitscope.report.tables import csv_text
from traitscope.ticks import ticks


@dataclass(frozen=True, slots=True)
class Drawn:
    """A figure of the report.

    Attributes:
        name: of its files. section: of the page. caption: what it shows.
        svg: the document. inline: the element for the page. pdf: None where it was not asked for.
        data: what it draws, as CSV.
    """

    name: str
    section: str
    caption: str
    svg: str
    inline: str
    data: str
    pdf: bytes | None = None


def draw(findings: Findings, formats: Collection[str] = ("svg",)) -> list[Drawn]:
    """All figures that the contents allow; what a result does not hold is left out.

    Of a large matrix they show the part that is looked at cell by cell (``matrix.looked_at``).

    Args:
        formats: with ``pdf`` each is made as PDF too.
    """
    drawn, part = [], looked_at(findings.scores)
    if part.note:
        traits = findings.traits and findings.traits.shown(part.models, part.tasks)
        findings = replace(findings, scores=findings.scores.select(models=part.models, tasks=part.tasks), traits=traits)
    shown = f" Shown are {len(part.models)} models on {len(part.tasks)} tasks, spread evenly." if part.note else ""
    wanted = [kind for kind in KINDS if all(getattr(findings, part) is not None for part in kind.needs)]
    for kind in ticks(wanted, "figures", len(wanted), "figures"):
        try:
            figure = kind.make(findings)
        except TraitscopeError:
            continue  # the text says what is missing
        svg = svg_text(figure, kind.name)
        caption = kind.caption + (shown if kind.section in ("files", "traits") else "")
        data = csv_text(kind.data(findings), index=False)
        pdf = pdf_bytes(figure) if "pdf" in formats else None
        drawn.append(Drawn(kind.name, kind.section, caption, svg, inline_svg(svg, caption), data, pdf))
    return drawn
