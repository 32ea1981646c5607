"""``traitscope demo``: the embedded study from start to report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from traitscope.cli.common import QuietOption, friendly


@friendly
def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="The run folder.")] = Path("runs/demo"),
    full: Annotated[bool, typer.Option("--full", help="Two seeds and more rows.")] = False,
    quiet: QuietOption = False,
) -> None:
    """The embedded study, start to report: ten generated tasks on a small built-in model, without a network.

    Run again it takes seconds and computes nothing.
    """
    from importlib.resources import as_file, files

    from traitscope.cli.run import fill

    preset = "presets/demo-full.yaml" if full else "presets/demo.yaml"
    with as_file(files("traitscope").joinpath(preset)) as path:
        opened = fill(path, out, quiet, lambda study, stop: study.run(stop=stop))
        typer.echo(str(opened.report()))
