"""``traitscope effects``: what training on one dataset changes elsewhere."""

from __future__ import annotations

from typing import Annotated

import typer

from traitscope.cli.common import DEFAULT_STUDY, OutOption, StudyArgument, friendly, open_study


@friendly
def effects(
    study: StudyArgument = DEFAULT_STUDY,
    out: OutOption = None,
    limit: Annotated[int, typer.Option("-n", help="Findings shown of each kind.")] = 5,
    alpha: Annotated[float, typer.Option(help="Level after Benjamini-Hochberg correction.")] = 0.05,
    seed: Annotated[int, typer.Option(help="Seed of bootstrap and permutations.")] = 0,
    explain: Annotated[
        bool, typer.Option("--explain", help="Which dataset statistics go with traits and gains (several minutes).")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print all of it as JSON.")] = False,
) -> None:
    """Gains with intervals, class pull, answer lengths, asymmetry, controls, surprises; corrected over all cells."""
    opened, _ = open_study(study, out, quiet=True)
    found = opened.effects(seed=seed)
    typer.echo(found.to_json() if json else found.render(limit, alpha))
    if explain:
        explained = opened.explain(seed=seed)
        typer.echo(explained.to_json() if json else explained.render())
