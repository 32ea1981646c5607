"""``traitscope effects``: what training on one dataset changes elsewhere."""

from __future__ import annotations

from typing import Annotated

import typer

from traitscope.cli.common import (
    DEFAULT_STUDY,
    SEEDS,
    JsonOption,
    ModelsOption,
    OutOption,
    RunSdOption,
    SetOption,
    TasksOption,
    friendly,
    keep_findings,
    open_study,
    read_run_sd,
    split_names,
    working,
)
from traitscope.cli.matrixfile import (
    MatrixOptions,
    SourceArgument,
    check_result,
    is_matrix,
    takes_matrix_options,
    write_result,
)
from traitscope.cli.output import say, say_json
from traitscope.cli.parsing import number
from traitscope.errors import TraitscopeError


@friendly
@takes_matrix_options
def effects(
    matrix_options: MatrixOptions,
    source: SourceArgument = DEFAULT_STUDY,
    out: OutOption = None,
    limit: Annotated[int, typer.Option("-n", min=0, help="Findings shown of each kind.")] = 5,
    alpha: Annotated[
        float,
        typer.Option(
            parser=number(above=0, below=1), metavar="NUMBER", help="Level after Benjamini-Hochberg correction."
        ),
    ] = 0.05,
    tasks: TasksOption = None,
    models: ModelsOption = None,
    seed: Annotated[int, typer.Option(**SEEDS, help="Seed of bootstrap and permutations.")] = 0,
    run_sd: RunSdOption = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Which dataset statistics go with traits and gains (several minutes).")
    ] = False,
    changes: SetOption = None,
    json: JsonOption = False,
) -> None:
    """Gains with intervals, class pull, answer lengths, asymmetry, controls, surprises; corrected over all cells."""
    known = read_run_sd(run_sd)
    rows, columns = split_names(models, "--models"), split_names(tasks, "--tasks")
    if is_matrix(source):
        from traitscope.effects import measure_effects

        if explain:
            fix = "name a study: a matrix file holds no datasets"
            raise TraitscopeError("--explain is for a study", where=str(source), fix=fix)
        check_result(out, source)
        matrix = matrix_options.read(source)
        with working():
            found = measure_effects(matrix, models=rows, tasks=columns, seed=seed, run_sd=known)
        write_result(out, found.to_json())
        explained = None
    else:
        opened, report = open_study(source, out, changes=changes)
        keep_findings(opened, changes)
        with working(report):
            found = opened.effects(models=rows, tasks=columns, seed=seed, run_sd=known)
            explained = opened.explain(seed=seed, run_sd=known) if explain else None
    if not json:
        say(found.render(limit, alpha))
        if explained is not None:
            say(explained.render())
    elif explained is None:
        say_json(found.to_json())
    else:
        say_json(f'{{"effects": {found.to_json()}, "explanation": {explained.to_json()}}}')
