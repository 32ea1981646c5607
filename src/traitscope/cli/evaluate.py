"""``traitscope eval``: the missing cells, or the scores of all cells anew."""

from __future__ import annotations

from typing import Annotated

import typer

from traitscope.cli.common import DEFAULT_STUDY, OutOption, QuietOption, ReplaceOption, StudyArgument, friendly
from traitscope.cli.run import fill


@friendly
def evaluate(
    study: StudyArgument = DEFAULT_STUDY,
    out: OutOption = None,
    rescore: Annotated[
        bool, typer.Option("--rescore", help="Judge all cells anew from their records; no model is loaded.")
    ] = False,
    replace: ReplaceOption = False,
    quiet: QuietOption = False,
) -> None:
    """Evaluate the models that are there on every target; train nothing."""
    if rescore:
        fill(study, out, quiet, lambda opened, stop: opened.rescore(stop=stop))
    else:
        fill(study, out, quiet, lambda opened, stop: opened.evaluate(replace=replace, stop=stop))
