"""``traitscope demo``: the embedded study from start to report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from traitscope.cli.common import QuietOption, friendly

PRESETS = Path(__file__).parents[1] / "presets"


@friendly
def demo(
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The run folder. [default: runs/demo or runs/demo-full]")
    ] = None,
    full: Annotated[bool, typer.Option("--full", help="Two seeds, more rows on both sides.")] = False,
    quiet: QuietOption = False,
) -> None:
    """The embedded study, start to report: ten generated tasks on a small built-in model, without a network.

    Run again it takes seconds and computes nothing.
    """
    from traitscope.cli.run import fill

    name = "demo-full" if full else "demo"
    opened = fill(PRESETS / f"{name}.yaml", out or Path("runs") / name, quiet, lambda study, stop: study.run(stop=stop))
    typer.echo(str(opened.report()))
