"""``traitscope stats``: hidden statistics of the datasets, from their text."""

from __future__ import annotations

from typing import Annotated

import typer

from traitscope.cli.bases import of_each
from traitscope.cli.common import (
    DEFAULT_STUDY,
    BaseOption,
    JsonOption,
    OutOption,
    SetOption,
    StudyArgument,
    friendly,
    keep_findings,
    open_study,
    working,
)


@friendly
def stats(
    study: StudyArgument = DEFAULT_STUDY,
    out: OutOption = None,
    spacy: Annotated[str | None, typer.Option(help="An installed spaCy model, for the dependency relations.")] = None,
    base: BaseOption = None,
    changes: SetOption = None,
    json: JsonOption = False,
) -> None:
    """Statistics of every dataset: lengths, labels and their collisions, style, readability, similarity."""
    opened, report = open_study(study, out, changes=changes, bases=base)
    keep_findings(opened, changes)
    with working(report):
        of_each(opened, lambda part: part.dataset_stats(spacy=spacy), lambda found: found.render(), as_json=json)
