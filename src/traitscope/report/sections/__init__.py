"""Everything below the first screen: sections, each a view of the findings with one answer in its first line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from traitscope.findings import Findings
from traitscope.report.figures import Drawn
from traitscope.report.sections import (
    across,
    belt,
    cells,
    controls,
    habits,
    layers,
    prediction,
    surprises,
    training,
    traits,
    transfer,
    why,
)
from traitscope.report.sections.absent import absence
from traitscope.report.trust import Chip, flags


@dataclass(frozen=True, slots=True)
class Section:
    """A section of the page.

    Attributes:
        id: its anchor and the name of its template. title: its heading; short: the same in the bar above.
        answer: its first line, made from the findings.
        view: what its template shows; None where the answer is all.
        figures: of it, by name; folded: those behind a click.
        absent: whether it is not known, so that the answer says why.
    """

    id: str
    title: str
    short: str
    answer: str
    view: Any
    figures: tuple[str, ...]
    folded: tuple[str, ...]
    absent: bool


# Where its finding is None, a section says why and no more; these three have more to say.
_MORE = ("why", "prediction", "training")
_MADE: tuple[tuple[str, str, str, ModuleType, str], ...] = (
    ("transfer", "Transfer", "Transfer", transfer, "effects"),
    ("habits", "Habits", "Habits", habits, "effects"),
    ("traits", "Traits", "Traits", traits, "traits"),
    ("why", "Why: statistics of the datasets", "Why", why, "stats"),
    ("layers", "Layer by layer", "Layers", layers, "layers"),
    ("prediction", "Prediction", "Prediction", prediction, "forecast"),
    ("belt", "Belt: a few adapters in place of all", "Belt", belt, "belt"),
    ("surprises", "Surprises and asymmetry", "Surprises", surprises, "effects"),
    ("controls", "Controls", "Controls", controls, "effects"),
    ("across", "Across base models", "Base models", across, "across"),
    ("training", "Training", "Training", training, "effects"),
)


def sections(findings: Findings, chips: Sequence[Chip]) -> list[Section]:
    """All sections in the order of the page.

    Args:
        findings: of the study.
        chips: of the first screen, by which cells can be picked in the table of all cells.
    """
    made = []
    for name, title, short, module, part in _MADE:
        absent = getattr(findings, part) is None
        if absent and name not in _MORE:
            figures = (*module.FIGURES, *module.FOLDED)
            made.append(Section(name, title, short, absence(findings, part), None, (), figures, absent))
        else:
            made.append(_section(name, title, short, module, module.view(findings), absent))
    every = cells.view(findings, chips, flags(list(chips)))
    made.append(_section("cells", "All cells", "All cells", cells, every, False))
    return made


def _section(name: str, title: str, short: str, module: ModuleType, view: Any, absent: bool) -> Section:
    return Section(name, title, short, view.answer, view, module.FIGURES, module.FOLDED, absent)


def placed(found: Sequence[Section]) -> set[str]:
    """The figures that some section shows."""
    shown = {name for section in found for name in (*section.figures, *section.folded)}
    return shown | {*layers.STATIC_MEASURES, *layers.STATIC_POINTS, *layers.CAUSAL}


def left_over(found: Sequence[Section], drawn: Sequence[Drawn]) -> list[Drawn]:
    """Figures that no section names: they stand folded at the end."""
    known = placed(found)
    return [figure for figure in drawn if figure.name not in known]
