"""``traitscope layers``: where in the network the tasks are learnt."""

from __future__ import annotations

from typing import Annotated

import typer

from traitscope.cli.bases import of_each
from traitscope.cli.common import (
    DEFAULT_STUDY,
    AllowCodeOption,
    BaseOption,
    JsonOption,
    OutOption,
    QuietOption,
    SetOption,
    StudyArgument,
    friendly,
    working,
)
from traitscope.cli.run import fill


@friendly
def layers(
    study: StudyArgument = DEFAULT_STUDY,
    out: OutOption = None,
    mix: Annotated[str | None, typer.Option(help="The mix to compare. [default: the study's first]")] = None,
    causal: Annotated[bool, typer.Option(help="Switch adapters off in windows of layers as well.")] = True,
    base: BaseOption = None,
    changes: SetOption = None,
    allow_code: AllowCodeOption = False,
    quiet: QuietOption = False,
    json: JsonOption = False,
) -> None:
    """Similarity of base, mix and single-task adapters layer by layer; sections; correlates; the causal check."""
    opened = fill(
        study,
        out,
        quiet,
        lambda opened, stop: opened.run(stop=stop),
        show=False,
        changes=changes,
        bases=base,
        allow_code=allow_code,
    )
    with working(opened.report_to):
        of_each(opened, lambda part: part.layers(mix=mix, causal=causal), lambda found: found.render(), as_json=json)
