"""From contents and figures to the page."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from traitscope._version import __version__
from traitscope.findings import Findings, cells_text
from traitscope.report import packing, trust, words
from traitscope.report.answers import answers
from traitscope.report.figures import Drawn
from traitscope.report.matrix_table import matrix_table
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
SECTIONS = ("taught", "traits", "effects", "across", "stats", "layers", "forecast")
HOW = {
    "traits": "traitscope traits",
    "effects": "traitscope effects",
    "stats": "traitscope stats",
    "layers": "traitscope layers",
    "causal": "traitscope layers",
}


# In the order in which they stand in the page.
SCRIPTS = ("js/table.js", "js/matrix.js", "js/cell.js", "js/live.js")
STYLES = ("css/base.css", "css/first.css", "css/cell.css", "css/live.css")


def _text(names: Sequence[str]) -> str:
    folder = files("traitscope").joinpath("report/templates")
    return "\n".join(folder.joinpath(name).read_text(encoding="utf-8") for name in names)


def policy(script: str) -> str:
    """The content-security policy of a page with one script: nothing but this script runs, nothing is loaded.

    Styles stand in the page, figures' too; ``connect-src 'self'`` is for the live page alone (a file has no such
    address).
    """
    digest = base64.b64encode(sha256(script.encode()).digest()).decode()
    return (
        f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; img-src data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'"
    )


@cache
def _template(name: str = "report.html") -> Template:
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
    environment.filters["mark"] = _mark
    return environment.get_template(name)


def _mark(text: str) -> str:
    """What tells whether a part of the page is still what it was."""
    return sha256(text.encode(errors="surrogatepass")).hexdigest()[:16]


def render_page(
    findings: Findings, drawn: Sequence[Drawn], tables: Sequence[str], *, revision: int | None = None
) -> str:
    """The whole page as text.

    Args:
        drawn: the figures; their SVG is our own, everything else is escaped.
        tables: names of the CSV files written beside it.
        revision: of the live page, which has a server to ask; None: the page is a file.
    """
    cells, n_cells = cell_rows(findings.scores, cell_notes(findings.effects))
    effects, traits, stats, layers = findings.effects, findings.traits, findings.stats, findings.layers
    chips, script = trust.chips(findings), _text(SCRIPTS)
    page = _template().render(
        name=findings.name,
        version=__version__,
        policy=policy(script),
        script=script,
        style=_text(STYLES),
        summary=_summary(findings),
        chips=chips,
        table=matrix_table(findings, trust.flags(chips)),
        answers=answers(findings),
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
        revision=revision,
        order=packing.order(findings),
        # A server is asked for the panels of its page.
        panels=packing.PLACE if revision is None else "",
    )
    return packing.with_panels(page, findings)


def render_waiting(name: str, revision: int, *, begun: bool) -> str:
    """The live page of a study that has no cell yet, or, where it has begun, whose page is still being made."""
    script = _text(SCRIPTS)  # all of them: the page that comes later brings none
    made = {"policy": policy(script), "script": script, "style": _text(STYLES)}
    return _template("waiting.html").render(name=name, version=__version__, revision=revision, begun=begun, **made)


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


def _summary(findings: Findings) -> str:
    """One line of facts: base, rows, tasks, cells."""
    facts = dict(findings.facts)
    parts = [facts[key].split(", fingerprint")[0] for key in ("Base model",) if key in facts]
    parts += [facts[key] for key in ("Adapters",) if key in facts]
    return " · ".join([*parts, cells_text(findings.scores), f"traitscope {__version__}"])
