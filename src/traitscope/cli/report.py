"""``traitscope report``: the findings as one file that needs nothing else."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from traitscope.cli.common import (
    DEFAULT_STUDY,
    JsonOption,
    OutOption,
    RunSdOption,
    SetOption,
    friendly,
    keep_findings,
    open_study,
    read_run_sd,
    working,
)
from traitscope.cli.matrixfile import MatrixOptions, SourceArgument, is_matrix, takes_matrix_options
from traitscope.cli.output import say, say_json
from traitscope.errors import TraitscopeError
from traitscope.report.formats import check_formats
from traitscope.texts import safe

if TYPE_CHECKING:
    from traitscope.matrix import ScoreMatrix


FiguresOption = Annotated[
    str, typer.Option("--figures", metavar="FORMATS", help="Formats of the files in figures/: svg, pdf, or svg,pdf.")
]
ListOption = Annotated[
    bool, typer.Option("--list-figures", help="Only list the figures, and which figure of the papers each shows too.")
]


@friendly
@takes_matrix_options
def report(
    matrix_options: MatrixOptions,
    source: SourceArgument = DEFAULT_STUDY,
    out: OutOption = None,
    run_sd: RunSdOption = None,
    changes: SetOption = None,
    figures: FiguresOption = "svg",
    list_figures: ListOption = False,
    json: JsonOption = False,
) -> None:
    """Write report.html, figures/ and tables/ into the run folder, or into <file>-report/ beside a matrix file.

    What each figure draws is in tables/figures/, as CSV.
    """
    if list_figures:
        return _list_figures(json)
    formats = check_formats([name.strip() for name in figures.split(",")])
    if is_matrix(source):
        with working():
            page = _matrix_report(source, matrix_options, out, run_sd, formats)
    elif run_sd:
        fix = "write run_sd: into the study file, so that the whole report follows it"
        raise TraitscopeError("a study's report takes no such option", where="--run-sd", fix=fix)
    else:
        opened, reporter = open_study(source, out, changes=changes, bases=matrix_options.bases)
        keep_findings(opened, changes)
        with working(reporter):
            page = opened.report(figures=formats)
    if json:
        from traitscope.report import report_files

        say_json({"report": str(page), "files": [str(path) for path in report_files(page)]})
    else:
        say(page, wrap=False)
    return None


def _list_figures(as_json: bool) -> None:
    """Every figure that a report may have."""
    from traitscope.report.counterparts import counterpart
    from traitscope.report.figure_kinds import KINDS

    rows = [
        {"figure": kind.name, "section": kind.section, "shows": kind.caption, "papers": counterpart(kind.name)}
        for kind in KINDS
    ]
    if as_json:
        return say_json(rows)
    for row in rows:
        say(row["figure"], bold=True)
        say(f"  {row['shows']}" + (f" [{row['papers']}]" if row["papers"] else ""))
    return None


def _refuse_foreign(folder: Path) -> None:
    """Refuses a place that is neither new, nor an empty folder, nor holds a report of a matrix."""
    what, page = None, folder / "report.html"
    if (folder / "study.yaml").exists():
        what = "is the run folder of a study"
    elif not folder.is_dir():
        what = "is there and is no folder" if os.path.lexists(folder) else None
    elif any(folder.iterdir()) and not (page.is_file() and b"traitscope report</title>" in page.read_bytes()[:4096]):
        what = "is not empty and holds no report"
    if what is not None:
        raise TraitscopeError(what, where=str(folder), fix="name a new or an empty folder with --out")


def _matrix_report(
    source: Path, options: MatrixOptions, out: Path | None, run_sd: list[str] | None, figures: tuple[str, ...]
) -> Path:
    """The report of what a matrix file alone can tell; what it cannot is said."""
    from traitscope.effects import measure_effects
    from traitscope.findings import Findings, cells_text
    from traitscope.matrix.wide import SPLIT
    from traitscope.report import write_report
    from traitscope.store.fingerprints import hash_file
    from traitscope.traits import fit_traits

    folder = out if out is not None else source.with_name(f"{source.stem}-report")
    _refuse_foreign(folder)
    scores = options.read(source)
    known = read_run_sd(run_sd)
    if known is not None:
        scores = scores.with_run_sd(known)
    found: dict[str, Any] = {}
    missing = dict.fromkeys(("stats", "explanation"), "a matrix file holds no texts of datasets")
    missing |= dict.fromkeys(("layers", "causal"), "a matrix file holds no hidden states")
    makers: dict[str, Callable[[ScoreMatrix], Any]] = {"traits": fit_traits, "effects": measure_effects}
    for part, make in makers.items():
        try:
            found[part] = make(scores)
        except TraitscopeError as error:
            missing[part] = error.what
    command = [
        "traitscope report",
        safe(source.name, line=True),
        *(f"{name} {shlex.quote(text)}" for name, text in options.given()),
    ]
    command += [f"--run-sd {shlex.quote(text)}" for text in run_sd or ()]
    facts = (
        ("Matrix file", f"{safe(source.name, line=True)}, SHA-256 {hash_file(source)[:12]}"),
        ("Command", " ".join(command)),
        ("Cells", cells_text(scores)),
    )
    # Who did not mean the names of columns so must see it at once.
    split = tuple(f"{note[0].upper()}{note[1:]}." for note in scores.notes if note.startswith(SPLIT))
    name = safe(source.stem, line=True)
    contents = Findings(name=name, scores=scores, **found, facts=facts, warnings=split, missing=missing)
    return write_report(contents, folder, figures)
