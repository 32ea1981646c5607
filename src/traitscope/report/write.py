"""Writing the report into a run folder; the same inputs give the same bytes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from traitscope.report.contents import Contents, StudyFindings, study_contents

if TYPE_CHECKING:
    from traitscope.study import Study


def write_report(study: Study, findings: StudyFindings) -> Path:
    """Writes ``report.html``, ``figures/`` and ``tables/`` into a study's folder; returns the report's path.

    Raises:
        TraitscopeError: the folder cannot be written.
    """
    return build_report(study_contents(study, findings), study.folder.root)


def build_report(contents: Contents, folder: Path) -> Path:
    """Writes the report of any results into ``folder``; returns the path of ``report.html``.

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
    drawn = draw(contents)
    files = csv_files(contents)
    for figure in drawn:
        write_atomic(figures / f"{figure.name}.svg", figure.svg.encode())
    for name in set(NAMES) - {figure.name for figure in drawn}:
        (figures / f"{name}.svg").unlink(missing_ok=True)
    for name, text in files.items():
        write_atomic(tables / f"{name}.csv", text.encode())
    page = folder / "report.html"
    write_atomic(page, render_page(contents, drawn, sorted(files)).encode())
    return page
