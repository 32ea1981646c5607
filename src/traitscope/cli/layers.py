"""``traitscope layers``: where in the network the tasks are learnt."""

from __future__ import annotations

from typing import Annotated

import typer

from traitscope.cli.common import DEFAULT_STUDY, OutOption, QuietOption, StudyArgument, friendly
from traitscope.cli.run import fill


@friendly
def layers(
    study: StudyArgument = DEFAULT_STUDY,
    out: OutOption = None,
    mix: Annotated[str | None, typer.Option(help="The mix to compare. [default: the study's first]")] = None,
    causal: Annotated[bool, typer.Option(help="Switch adapters off in windows of layers as well.")] = True,
    quiet: QuietOption = False,
) -> None:
    """Similarity of base, mix and single-task adapters layer by layer; sections; correlates; the causal check."""
    opened = fill(study, out, quiet, lambda opened, stop: opened.run(stop=stop), show=False)
    found = opened.layers(mix=mix, causal=causal)
    typer.echo(found.layers.render())
    if found.correlates is not None:
        typer.echo(found.correlates.render())
    if found.causal is not None:
        typer.echo(found.causal.render())
