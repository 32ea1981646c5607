"""``traitscope report``: the findings as one file that needs nothing else."""

from __future__ import annotations

import typer

from traitscope.cli.common import DEFAULT_STUDY, OutOption, StudyArgument, friendly, open_study


@friendly
def report(study: StudyArgument = DEFAULT_STUDY, out: OutOption = None) -> None:
    """Write report.html, figures/ and tables/ into the run folder."""
    opened, _ = open_study(study, out, quiet=True)
    typer.echo(str(opened.report()))
