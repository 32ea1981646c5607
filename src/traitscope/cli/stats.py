"""``traitscope stats``: hidden statistics of the datasets, from their text."""

from __future__ import annotations

from typing import Annotated

import typer

from traitscope.cli.common import (
    DEFAULT_STUDY,
    JsonOption,
    OutOption,
    SetOption,
    StudyArgument,
    friendly,
    keep_findings,
    open_study,
    working,
)
from traitscope.cli.output import say, say_json


@friendly
def stats(
    study: StudyArgument = DEFAULT_STUDY,
    out: OutOption = None,
    spacy: Annotated[str | None, typer.Option(help="An installed spaCy model, for the dependency relations.")] = None,
    changes: SetOption = None,
    json: JsonOption = False,
) -> None:
    """Statistics of every dataset: lengths, labels and their collisions, style, readability, similarity."""
    opened, report = open_study(study, out, changes=changes)
    keep_findings(opened, changes)
    with working(report):
        found = opened.dataset_stats(spacy=spacy)
    if json:
        say_json(found.to_json())
    else:
        say(found.render())
