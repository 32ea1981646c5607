"""``traitscope traits``: latent traits of a study's matrix, or of anybody's matrix file."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Annotated, Any

import typer

from traitscope.cli.common import (
    DEFAULT_STUDY,
    SEEDS,
    JsonOption,
    OutOption,
    RunSdOption,
    SetOption,
    friendly,
    keep_findings,
    open_study,
    read_run_sd,
    working,
)
from traitscope.cli.completion import words
from traitscope.cli.matrixfile import (
    MatrixOptions,
    SourceArgument,
    check_result,
    is_matrix,
    takes_matrix_options,
    write_result,
)
from traitscope.cli.output import say, say_json


@friendly
@partial(takes_matrix_options, of_studies=[("--rows", "all")])
def traits(
    matrix_options: MatrixOptions,
    source: SourceArgument = DEFAULT_STUDY,
    out: OutOption = None,
    view: Annotated[
        str, typer.Option(help="raw, gain (over the base) or logit.", autocompletion=words("raw", "gain", "logit"))
    ] = "raw",
    scale: Annotated[
        bool | None,
        typer.Option(
            "--scale/--no-scale",
            help="Divide columns by their standard deviation. [default: where tasks are measured in several units]",
        ),
    ] = None,
    rotate: Annotated[
        str | None, typer.Option(help="varimax or promax.", autocompletion=words("varimax", "promax"))
    ] = None,
    k: Annotated[
        int | None, typer.Option(min=1, help="Traits to keep. [default: as many as the cells support]")
    ] = None,
    own: Annotated[
        str,
        typer.Option(
            help="exclude: own tasks and copies count as not observed; include (with --rows all: the paper).",
            autocompletion=words("exclude", "include"),
        ),
    ] = "exclude",
    seeds: Annotated[
        str, typer.Option(help="mean: one row per source; rows: one per seed.", autocompletion=words("mean", "rows"))
    ] = "mean",
    run_sd: RunSdOption = None,
    seed: Annotated[int, typer.Option(**SEEDS, help="Seed of permutations and bootstrap.")] = 0,
    own_words: Annotated[
        list[str] | None, typer.Option("--word", help="name=task,task: a word of yours for what tasks share.")
    ] = None,
    changes: SetOption = None,
    json: JsonOption = False,
) -> None:
    """Directions of transfer: how many stand above the noise, of which tasks they are made, how sure one can be.

    Fitted on the transfer cells of base and sources; other rows are projected. `--rows all` fits on every row. Of a
    study of several base models, those of one matrix with the rows of all; of one of them with --base.
    """
    from traitscope.traits import fit_traits, render

    options: dict[str, Any] = {
        "view": view,
        "scale": scale,
        "rotate": rotate,
        "k": "auto" if k is None else k,
        "own": own,
        "seeds": seeds,
        "seed": seed,
    }
    if own_words:
        from traitscope.matrix.options import read_words

        options["words"] = read_words(own_words)
    options["run_sd"] = read_run_sd(run_sd)
    columns = [name.strip() for name in (matrix_options.rows or "").split(",")]
    if "all" in columns:
        options["rows"] = "all"
        named = ",".join(name for name in columns if name != "all")
        matrix_options = replace(matrix_options, rows=named or None)
    if is_matrix(source):
        check_result(out, source)
        matrix = matrix_options.read(source)
        with working():
            found = fit_traits(matrix, **options)
        write_result(out, found.to_json())
    else:
        opened, report = open_study(source, out, changes=changes, bases=matrix_options.bases)
        if len(opened.by_base()) == 1:
            (opened,) = opened.by_base().values()
        keep_findings(opened, changes)
        with working(report):
            found = opened.traits(**options)
    if json:
        say_json(found.to_json())
    else:
        say(render(found), nl=False)
