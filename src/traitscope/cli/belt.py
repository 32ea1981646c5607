"""``traitscope belt``: which few adapters to ship, and which of them a prompt goes to."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from traitscope.cli.bases import of_each
from traitscope.cli.common import (
    DEFAULT_STUDY,
    SEEDS,
    AllowCodeOption,
    JsonOption,
    SetOption,
    TaskOption,
    friendly,
    keep_findings,
    open_study,
    refuse_unused,
    working,
)
from traitscope.cli.completion import words
from traitscope.cli.matrixfile import MatrixOptions, SourceArgument, is_matrix, takes_matrix_options
from traitscope.cli.output import say, say_json
from traitscope.cli.parsing import number
from traitscope.errors import TraitscopeError


@friendly
@takes_matrix_options
def belt(
    matrix_options: MatrixOptions,
    source: SourceArgument = DEFAULT_STUDY,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="A new folder: PEFT adapters, belt.json, router, README.")
    ] = None,
    task: TaskOption = None,
    loss: Annotated[
        float,
        typer.Option(parser=number(0), metavar="NUMBER", help="Points a task may lose against its best model."),
    ] = 1.0,
    size: Annotated[
        int | None, typer.Option(min=0, help="Number of adapters. [default: as few as --loss allows]")
    ] = None,
    merge: Annotated[
        list[str] | None,
        typer.Option(
            help="Judge the belt merged into one: linear, ties, dare or none; may be repeated.",
            autocompletion=words("linear", "ties", "dare", "none"),
        ),
    ] = None,
    weights: Annotated[
        str,
        typer.Option(help="Of merged adapters: equal, or gain over the base.", autocompletion=words("equal", "gain")),
    ] = "equal",
    rule: Annotated[
        str, typer.Option(help="Router: centroid, arrow or none.", autocompletion=words("centroid", "arrow", "none"))
    ] = "centroid",
    seed: Annotated[int, typer.Option(**SEEDS, help="Of the halves that choose and judge.")] = 0,
    changes: SetOption = None,
    allow_code: AllowCodeOption = False,
    json: JsonOption = False,
) -> None:
    """The fewest adapters that cover all tasks, merged ones and routers beside them, judged on rows held out.

    A matrix file gives the choice alone. Merged adapters and routers load the model.
    """
    from traitscope.study.belting import check_options

    if merge and "none" in merge and len(merge) > 1:
        raise TraitscopeError("none goes alone", where="--merge", fix="leave out none, or the other ways")
    ways = () if merge == ["none"] else tuple(merge or ("linear",))
    check_options(ways, weights, None if rule == "none" else rule)
    refuse_unused([(weights != "equal" and not ways, "--weights")], "does nothing without --merge")
    if is_matrix(source):
        refuse_unused(
            [(merge, "--merge"), (weights != "equal", "--weights"), (rule != "centroid", "--rule")],
            "is for a study: a matrix file has no adapters",
        )
        from traitscope.belt import BeltFindings, choose_belt

        if out is not None:
            raise TraitscopeError("a matrix file has no adapters to export", where="--out", fix="name a study")
        scores = matrix_options.read(source)
        scores = scores.select(tasks=task) if task else scores
        with working():
            found = BeltFindings(choice=choose_belt(scores, loss=loss, size=size, seed=seed))
    else:
        if out is not None:
            from traitscope.study.exporting import check_place

            check_place(out)
        opened, report = open_study(source, None, changes=changes, bases=matrix_options.bases, allow_code=allow_code)
        keep_findings(opened, changes)
        options = {"tasks": task or None, "loss": loss, "size": size, "merge": ways, "weights": weights, "seed": seed}
        options["rule"] = None if rule == "none" else rule
        if len(opened.by_base()) > 1:
            if out is not None:
                fix = f"add --base, one of {', '.join(opened.by_base())}"
                raise TraitscopeError("a belt is of one base model", where="--out", fix=fix)
            with working(report):
                of_each(opened, lambda part: part.belt(**options), lambda found: found.render(), as_json=json)
            return
        (opened,) = opened.by_base().values()
        with working(report):
            found = opened.belt(**options)
    if json:
        say_json(found.to_json())
    else:
        say(found.render())
    if out is not None:
        from traitscope.study.exporting import export_belt
        from traitscope.study.shipped import Belt

        export_belt(opened, found, out)
        say(f"\nwritten to {out}; inside it, vLLM serves it with\n", err=json)
        say(Belt.load(out).vllm_command, err=json, wrap=False)
