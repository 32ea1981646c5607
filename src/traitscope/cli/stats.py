"""``traitscope stats``: hidden statistics of the datasets, from their text."""

from __future__ import annotations

from typing import Annotated

import typer

from traitscope.cli.common import DEFAULT_STUDY, OutOption, StudyArgument, friendly, open_study


@friendly
def stats(
    study: StudyArgument = DEFAULT_STUDY,
    out: OutOption = None,
    spacy: Annotated[str | None, typer.Option(help="An installed spaCy model, for the dependency relations.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print all of it as JSON.")] = False,
) -> None:
    """Statistics of every dataset: lengths, labels and their collisions, style, readability, similarity."""
    opened, _ = open_study(study, out, quiet=True)
    found = opened.dataset_stats(spacy=spacy)
    typer.echo(found.to_json() if json else found.render())
