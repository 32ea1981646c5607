"""Traits: how many there are, which stay, what they are made of, and who has how much of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from traitscope.findings import Findings
from traitscope.plots.heat import signed
from traitscope.report.sections.table import Column, Item, Line, Table
from traitscope.report.words import trait_rows
from traitscope.traits import Traits
from traitscope.traits.congruence import FAIR, reaches

FIGURES, FOLDED = (
    ("overview", "trait_stability"),
    (*("explained_variance", "loadings", "loadings_intervals", "biplot", "profiles"),),
)
VIEWS = {"raw": "scores", "gain": "gains over the base", "logit": "log-odds"}
COLUMNS = (
    Column("trait"),
    Column("variance", True, "trait-share"),
    Column("above the noise", method="null"),
    Column("stability", True, "stability", "smallest absolute cosine when an adapter, a task or the noise changes"),
    Column("proposed name", method="trait-name"),
    Column("heaviest tasks", method="loading"),
)


@dataclass(frozen=True, slots=True)
class Heat:
    """A table in colour of which the slider shows the first k traits.

    Attributes:
        id, label: as of a table. corner: the head of the first column. heads: the traits.
        rows: name, then per trait the text and the tone, -1..1.
    """

    id: str
    label: str
    corner: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, tuple[tuple[str, float], ...]], ...]


@dataclass(frozen=True, slots=True)
class TraitsView:
    """What the section shows.

    Attributes:
        answer: in one line. about: what was decomposed. table: a line per trait.
        loadings, profiles: tasks and models by trait; k: how many traits are shown at first.
        skills: statement and lines on declared skills; None where tasks declare none.
        explained: of the first 1, 2, ... traits together, in percent.
    """

    answer: str
    about: str = ""
    table: Table | None = None
    loadings: Heat | None = None
    profiles: Heat | None = None
    k: int = 0
    explained: tuple[str, ...] = ()
    skills: tuple[str, list[str]] | None = None
    notes: tuple[str, ...] = ()


def view(findings: Findings) -> TraitsView:
    """The section of a study whose traits are known."""
    traits = findings.traits
    assert traits is not None
    kept = max(1, min(traits.k, int(traits.count.supported)))
    shares = np.cumsum(100 * np.asarray(traits.explained_K, dtype=float))
    skills = traits.skills
    return TraitsView(
        f"{traits.count.statement[0].upper()}{traits.count.statement[1:].rstrip('.')}.",
        _about(traits),
        _table(traits),
        _loadings(traits),
        _profiles(traits),
        kept,
        tuple(f"{share:.0f}" for share in shares),
        None if skills is None else (skills.statement(), skills.lines(traits.trait_names)),
        tuple(traits.notes),
    )


def _about(traits: Traits) -> str:
    scaled = " and divided by their standard deviation" if traits.scaled else ""
    rotated = f", rotated by {traits.rotation}" if traits.rotation else ""
    return (
        f"Principal components of the {traits.cells} ({VIEWS[traits.view]}, columns centred over these rows"
        f"{scaled}{rotated}). Names are proposals, never findings."
    )


def is_stable(traits: Traits, k: int) -> bool:
    """Whether a trait is above the noise, of more than one task or model, and stays with one of them left out."""
    single = traits.names[k].specific
    return bool(traits.above_null_K[k]) and not single and reaches(traits.stability.figure_K[k], FAIR)


def _table(traits: Traits) -> Table:
    lines = []
    for k, row in enumerate(trait_rows(traits)):
        single = traits.names[k].specific
        lines.append(
            Line(
                (
                    Item(row["name"], k),
                    Item(row["explained"], float(traits.explained_K[k])),
                    Item(row["verdict"]),
                    Item(row["stability"], float(traits.stability.figure_K[k])),
                    Item(row["proposed"]),
                    Item(row["tasks"]),
                ),
                tone="grey" if single else "strong" if is_stable(traits, k) else "",
            )
        )
    return Table(id="traits-found", label="Traits", columns=COLUMNS, lines=tuple(lines))


def _loadings(traits: Traits) -> Heat:
    size = float(np.abs(traits.loadings_KN).max()) or 1.0
    rows = [
        (task, tuple((signed(value, 2), float(value) / size) for value in traits.loadings_KN[:, n]))
        for n, task in enumerate(traits.tasks)
    ]
    return Heat("loadings-by-task", "Loadings of tasks on traits", "task", traits.trait_names, tuple(rows))


def _profiles(traits: Traits) -> Heat:
    beside = traits.projected
    rows = [(model, traits.scores_IK[i]) for i, model in enumerate(traits.models)]
    rows += [
        (f"{model} ({kind}, projected)", beside.scores_PK[p])
        for p, (model, kind) in enumerate(zip(beside.models, beside.kinds, strict=True))
    ]
    size = max(float(np.nanmax(np.abs(traits.scores_IK))), 1e-12)
    made = []
    for name, scores_K in rows:
        known: list[tuple[str, float]] = []
        for value in scores_K:
            told = np.isfinite(value)
            known.append(
                (signed(100 * value, 0) if told else "–", float(np.clip(value / size, -1, 1)) if told else 0.0)
            )
        made.append((name, tuple(known)))
    return Heat("profiles-by-model", "Profiles of models on traits", "model", traits.trait_names, tuple(made))
