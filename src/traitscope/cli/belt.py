"""``traitscope belt``: which few adapters to ship, and which of them a prompt goes to."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from traitscope.cli.common import DEFAULT_STUDY, friendly, open_study
from traitscope.cli.matrixfile import MatrixOptions, SourceArgument, is_matrix, takes_matrix_options
from traitscope.errors import TraitscopeError


@friendly
@takes_matrix_options
def belt(
    matrix_options: MatrixOptions,
    source: SourceArgument = DEFAULT_STUDY,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="A new folder: PEFT adapters, belt.json, router, README.")
    ] = None,
    task: Annotated[
        list[str] | None, typer.Option("--task", "-t", help="Task to cover; may be repeated. [default: all]")
    ] = None,
    loss: Annotated[float, typer.Option(help="Points a task may lose against its best model.")] = 1.0,
    size: Annotated[int | None, typer.Option(help="Number of adapters. [default: as few as --loss allows]")] = None,
    merge: Annotated[
        list[str] | None,
        typer.Option(help="Judge the belt merged into one: linear, ties, dare or none; may be repeated."),
    ] = None,
    weights: Annotated[str, typer.Option(help="Of merged adapters: equal, or gain over the base.")] = "equal",
    rule: Annotated[str, typer.Option(help="Router: centroid, arrow or none.")] = "centroid",
    seed: Annotated[int, typer.Option(min=0, help="Of the halves that choose and judge.")] = 0,
    json: Annotated[bool, typer.Option("--json", help="Print all of it as JSON.")] = False,
) -> None:
    """The fewest adapters that cover all tasks, merged ones and routers beside them, judged on rows held out.

    A matrix file gives the choice alone. Merged adapters and routers load the model.
    """
    from traitscope.study.belting import check_options

    ways = () if merge == ["none"] else tuple(merge or ("linear",))
    check_options(ways, weights, None if rule == "none" else rule)
    if is_matrix(source):
        from traitscope.belt import BeltFindings, choose_belt

        if out is not None:
            raise TraitscopeError("a matrix file has no adapters to export", where="--out", fix="name a study")
        scores = matrix_options.read(source)
        scores = scores.select(tasks=task) if task else scores
        found = BeltFindings(choice=choose_belt(scores, loss=loss, size=size, seed=seed))
    else:
        opened, _ = open_study(source, None)
        found = opened.belt(
            tasks=task or None,
            loss=loss,
            size=size,
            merge=ways,
            weights=weights,
            rule=None if rule == "none" else rule,
            seed=seed,
        )
    typer.echo(found.to_json() if json else found.render(), nl=not json)
    if out is not None:
        from traitscope.study.exporting import export_belt
        from traitscope.study.shipped import Belt

        export_belt(opened, found, out)
        typer.echo(f"\nwritten to {out}; inside it, vLLM serves it with\n\n{Belt.load(out).vllm_command}", err=json)
