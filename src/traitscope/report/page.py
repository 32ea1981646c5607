"""From contents and figures to the page."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import TYPE_CHECKING
from urllib.parse import quote

from markupsafe import Markup

from traitscope._version import __version__
from traitscope.findings import Findings, cells_text
from traitscope.report import methods, packing, trust
from traitscope.report.answers import answers
from traitscope.report.figures import Drawn
from traitscope.report.matrix_table import matrix_table
from traitscope.report.sections import layers, left_over, sections
from traitscope.report.typeset import typeset
from traitscope.texts import safe

if TYPE_CHECKING:
    from jinja2 import Environment, Template

# In the order in which they stand in the page.
SCRIPTS = ("js/table.js", "js/matrix.js", "js/traits.js", "js/layers.js", "js/cell.js", "js/live.js")
STYLES = ("css/base.css", "css/first.css", "css/sections.css", "css/cell.css", "css/live.css")


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
        # What would steer the reader stands there by its escape, wherever a text comes in.
        finalize=lambda value: safe(value) if isinstance(value, str) and not isinstance(value, Markup) else value,
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
    chips, script = trust.chips(findings), _text(SCRIPTS)
    made = sections(findings, chips)
    further = [figure.name for figure in left_over(made, drawn)]
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
        sections=made,
        figures={figure.name: figure for figure in drawn},
        further=further,
        STATIC_MEASURES=layers.STATIC_MEASURES,
        STATIC_POINTS=layers.STATIC_POINTS,
        CAUSAL=layers.CAUSAL,
        method=methods.method,
        chapters=methods.chapters(),
        method_count=len(methods.methods()),
        pieces=methods.pieces,
        config=findings.config_text,
        config_told=_config_told(findings),
        lock=findings.lock_text,
        tables=tables,
        files=[f.name for f in drawn],
        revision=revision,
        # The live page's server has no such files.
        reports=[] if revision is not None else [(name, quote(place)) for name, place in findings.reports.items()],
        order=packing.order(findings),
        # A server is asked for the panels of its page.
        panels=packing.PLACE if revision is None else "",
    )
    return packing.with_panels(typeset(page), findings)


def render_waiting(name: str, revision: int, *, begun: bool) -> str:
    """The live page of a study that has no cell yet, or, where it has begun, whose page is still being made."""
    script = _text(SCRIPTS)  # all of them: the page that comes later brings none
    made = {"policy": policy(script), "script": script, "style": _text(STYLES)}
    return _template("waiting.html").render(name=name, version=__version__, revision=revision, begun=begun, **made)


def _config_told(findings: Findings) -> str:
    """What is kept of how this was made, in one line."""
    if findings.bare:
        return "A bare matrix: there is no study file and no lock (traitscope run keeps both)."
    lock = findings.lock or {}
    made = f"traitscope {lock['traitscope']}" if lock.get("traitscope") else f"traitscope {__version__}"
    packages = dict(lock.get("packages", {})) if isinstance(lock.get("packages"), dict) else {}
    with_ = ", ".join(f"{name} {packages[name]}" for name in ("torch", "transformers", "peft") if packages.get(name))
    return f"Made by {made}" + (f" with {with_}" if with_ else "") + "; the exact study file and lock are below."


def _summary(findings: Findings) -> str:
    """One line of facts: base, rows, tasks, cells."""
    facts = dict(findings.facts)
    parts = [facts[key].split(", fingerprint")[0] for key in ("Base model",) if key in facts]
    parts += [facts[key] for key in ("Adapters",) if key in facts]
    return " · ".join([*parts, cells_text(findings.scores), f"traitscope {__version__}"])
