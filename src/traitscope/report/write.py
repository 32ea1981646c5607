"""Writing the report into a run folder; the same inputs give the same bytes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from traitscope.findings import Findings
from traitscope.texts import safe


def write_report(findings: Findings, folder: Path) -> Path:
    """Writes ``report.html``, ``figures/`` and ``tables/`` into ``folder``; returns the path of ``report.html``.

    Figures of an earlier report that are not made any more are removed; other files are left alone.

    Raises:
        TraitscopeError: the folder cannot be written.
    """
    from traitscope.report.figures import NAMES, draw
    from traitscope.report.page import render_page
    from traitscope.report.tables import csv_files
    from traitscope.store import write_atomic
    from traitscope.store.files import disk_errors

    figures, tables = folder / "figures", folder / "tables"
    with disk_errors(folder):
        figures.mkdir(parents=True, exist_ok=True)
        tables.mkdir(parents=True, exist_ok=True)
    drawn = draw(findings)
    files = csv_files(findings)
    for figure in drawn:
        write_atomic(figures / f"{figure.name}.svg", figure.svg.encode())
    for name in set(NAMES) - {figure.name for figure in drawn}:
        (figures / f"{name}.svg").unlink(missing_ok=True)
    for name, text in files.items():
        write_atomic(tables / f"{name}.csv", text.encode())
    page = folder / "report.html"
    write_atomic(page, safe(render_page(findings, drawn, sorted(files))).encode())
    return page


def report_files(page: Path) -> Iterator[Path]:
    """All files of a report, by its page."""
    from traitscope.report.figures import NAMES

    yield page
    yield from (path for name in NAMES if (path := page.parent / "figures" / f"{name}.svg").exists())
    yield from (path for path in (page.parent / "tables").glob("*.csv") if not path.name.startswith("."))
