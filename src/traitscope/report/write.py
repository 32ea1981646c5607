"""Writing the report into a run folder; the same inputs give the same bytes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from traitscope.findings import Findings

if TYPE_CHECKING:
    from traitscope.report.figures import Drawn


def write_report(findings: Findings, folder: Path, figures: Sequence[str] = ("svg",)) -> Path:
    """Writes ``report.html``, ``figures/`` and ``tables/`` into ``folder``; returns the path of ``report.html``.

    What each figure draws goes to ``tables/figures/<name>.csv``. Figures of an earlier report that are not made any
    more are removed; other files are left alone.

    Args:
        figures: formats of the files in ``figures/``: svg, pdf.

    Raises:
        TraitscopeError: the folder cannot be written, or a format is not known.
    """
    from traitscope.report.figures import draw
    from traitscope.report.formats import check_formats
    from traitscope.report.page import render_page
    from traitscope.report.tables import csv_files
    from traitscope.store import write_atomic
    from traitscope.store.files import disk_errors

    formats = check_formats(figures)
    tables = folder / "tables"
    with disk_errors(folder):
        (folder / "figures").mkdir(parents=True, exist_ok=True)
        (tables / "figures").mkdir(parents=True, exist_ok=True)
    drawn = draw(findings, formats)
    findings = replace(findings, warnings=(*findings.warnings, *_boxes(drawn)))
    files = csv_files(findings)
    made: dict[Path, bytes] = {}
    for figure in drawn:
        documents = {"svg": figure.svg.encode(), "pdf": figure.pdf}
        texts = {"csv": figure.data.encode(), **{name: documents[name] for name in formats}}
        made |= {_place(folder, figure.name, ending): text for ending, text in texts.items() if text is not None}
    for path, data in made.items():
        write_atomic(path, data)
    for path in set(_places(folder)) - set(made):
        path.unlink(missing_ok=True)
    for name, text in files.items():
        write_atomic(tables / f"{name}.csv", text.encode())
    page = folder / "report.html"
    write_atomic(page, render_page(findings, drawn, sorted(files)).encode())
    return page


def _boxes(drawn: list[Drawn]) -> Iterator[str]:
    """Says that PDF figures lack letters, where they do."""
    from traitscope.plots.style import letters_without_glyph

    lacking = dict.fromkeys("".join(letters_without_glyph(one.svg) for one in drawn if one.pdf is not None))
    if lacking:
        some = " ".join(list(lacking)[:5]) + (" …" if len(lacking) > 5 else "")
        yield f"In the PDF figures some letters are boxes, which their font lacks: {some}. Here and in SVG they stand."


def report_files(page: Path) -> Iterator[Path]:
    """All files of a report, by its page."""
    yield page
    yield from (path for path in _places(page.parent) if path.exists())
    yield from (path for path in (page.parent / "tables").glob("*.csv") if not path.name.startswith("."))


def _place(folder: Path, name: str, ending: str) -> Path:
    """Where a figure's file of this ending lies: its data among the tables."""
    return folder / ("tables/figures" if ending == "csv" else "figures") / f"{name}.{ending}"


def _places(folder: Path) -> Iterator[Path]:
    """Every file of a figure that a report may write."""
    from traitscope.report.figure_kinds import NAMES
    from traitscope.report.formats import FORMATS

    return (_place(folder, name, ending) for name in NAMES for ending in (*FORMATS, "csv"))
