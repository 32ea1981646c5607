"""From contents and figures to the page."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from traitscope._version import __version__
from traitscope.findings import Findings, cells_text
from traitscope.report import words
from traitscope.report.figures import Drawn
from traitscope.report.tables import cell_notes, cell_rows

if TYPE_CHECKING:
    from jinja2 import Environment, Template

PARTS = {
    "traits": "The traits have not been computed",
    "effects": "The side effects have not been computed",
    "stats": "The dataset statistics have not been computed",
    "explanation": "Nothing was explained by dataset statistics",
    "layers": "The layers have not been analysed",
    "causal": "No causal check was made",
}
SECTIONS = ("matrix", "taught", "traits", "effects", "across", "stats", "layers", "forecast")
HOW = {
    "traits": "traitscope traits",
    "effects": "traitscope effects",
    "stats": "traitscope stats",
    "layers": "traitscope layers",
    "causal": "traitscope layers",
}


@cache
def _template() -> Template:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    folder = files("traitscope").joinpath("report/templates")
    environment: Environment = Environment(
        loader=FileSystemLoader(str(folder)),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template("report.html")


def render_page(findings: Findings, drawn: Sequence[Drawn], tables: Sequence[str]) -> str:
    """The whole page as text.

    Args:
        drawn: the figures; their SVG is our own, everything else is escaped.
        tables: names of the CSV files written beside it.
    """
    cells, n_cells = cell_rows(findings.scores, cell_notes(findings.effects))
    effects, traits, stats, layers = findings.effects, findings.traits, findings.stats, findings.layers
    return _template().render(
        name=findings.name,
        version=__version__,
        facts=findings.facts or (("Cells", cells_text(findings.scores)),),
        warnings=findings.warnings,
        matrix_notes=findings.scores.notes,
        figures={part: [f for f in drawn if f.section == part] for part in SECTIONS},
        absent={part: _absence(findings, part) for part in PARTS if getattr(findings, part) is None},
        traits=traits,
        trait_rows=words.trait_rows(traits) if traits is not None else [],
        profiles=words.profile_lines(traits) if traits is not None else [],
        taught=words.taught(effects) if effects is not None else None,
        groups=words.effect_groups(effects) if effects is not None else [],
        surprises=words.surprises(effects) if effects is not None else (),
        effects=effects,
        across=findings.across,
        across_groups=words.across_groups(findings.across) if findings.across is not None else [],
        across_gains=words.across_gains(findings.across) if findings.across is not None else [],
        stats=stats,
        statistics=words.statistics_rows(stats) if stats is not None else [],
        collisions=_collisions(findings),
        explanation=findings.explanation,
        layers=layers,
        sections=words.section_blocks(layers) if layers is not None else None,
        causal=findings.causal,
        correlates=findings.correlates,
        cells=cells,
        n_cells=n_cells,
        config=findings.config_text,
        lock=findings.lock_text,
        tables=tables,
        files=[f.name for f in drawn],
    )


def _absence(findings: Findings, part: str) -> str:
    reason = findings.missing.get(part)
    if reason:
        return f"{PARTS[part]}: {reason.rstrip('.')}."
    return f"{PARTS[part]} ({HOW[part]} does it)." if part in HOW else f"{PARTS[part]}."


def _collisions(findings: Findings) -> list[dict[str, Any]]:
    """Label words that mean different classes in two datasets."""
    if findings.stats is None or not len(findings.stats.collisions):
        return []
    found = findings.stats.collisions
    rows = found[found["collides"].astype(bool)].to_dict("records")
    return [{str(key): value for key, value in row.items()} for row in rows]
