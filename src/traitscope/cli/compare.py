"""``traitscope compare``: two or more studies, run folders or matrix files held against each other."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from traitscope.cli.common import (
    SEEDS,
    JsonOption,
    TasksOption,
    friendly,
    split_names,
    working,
)
from traitscope.cli.completion import study_files
from traitscope.cli.matrixfile import MatrixOptions, is_matrix, takes_matrix_options
from traitscope.cli.output import say, say_json
from traitscope.cli.parsing import number


@friendly
@takes_matrix_options
def compare(
    matrix_options: MatrixOptions,
    sources: Annotated[
        list[Path],
        typer.Argument(
            help="Study files, run folders or score matrices; one of several base models counts as one for each.",
            autocompletion=study_files,
        ),
    ],
    names: Annotated[str | None, typer.Option(help="What to call them, with commas.")] = None,
    tasks: TasksOption = None,
    models: Annotated[
        list[str] | None, typer.Option("--models", help="Only these sources and models; with commas.")
    ] = None,
    limit: Annotated[int, typer.Option("-n", min=0, help="Cells shown of each pair.")] = 5,
    alpha: Annotated[
        float,
        typer.Option(
            parser=number(above=0, below=1), metavar="NUMBER", help="Level after Benjamini-Hochberg correction."
        ),
    ] = 0.05,
    seed: Annotated[int, typer.Option(**SEEDS, help="Seed of permutations.")] = 0,
    json: JsonOption = False,
) -> None:
    """What differs between studies: settings, scores and gains cell by cell, findings that repeat, traits.

    Scores are paired where the same rows were evaluated; repeats and traits are held against chance. The options of
    matrix files hold for all of them.
    """
    from traitscope.cli.common import open_study
    from traitscope.study.comparing import compare as hold

    opened = [source if is_matrix(source) else open_study(source, None, quiet=True)[0] for source in sources]
    with working():
        found = hold(
            *opened,
            names=split_names(None if names is None else [names], "--names"),
            tasks=split_names(tasks, "--tasks"),
            models=split_names(models, "--models"),
            alpha=alpha,
            seed=seed,
            read=matrix_options.read,
        )
    if json:
        say_json(found.to_json())
    else:
        say(found.render(limit))
