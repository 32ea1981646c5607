"""``traitscope effects``: what training on one dataset changes elsewhere."""

from __future__ import annotations

import json as jsons
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

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
    refuse_unused,
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

if TYPE_CHECKING:
    from traitscope.study import BasesStudy, Reporter


# The level of findings that are kept.
ALPHA = 0.05


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
    ] = ALPHA,
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
    """Gains with intervals, class pull, answer lengths, asymmetry, controls, surprises; corrected over all cells.

    Of a study of several base models, those of each and then what holds in how many of them.
    """
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
        from traitscope.study import BasesStudy

        opened, report = open_study(source, out, changes=changes, bases=matrix_options.bases)
        keep_findings(opened, changes)
        if isinstance(opened, BasesStudy) and len(opened.parts) > 1:
            options = {"models": rows, "tasks": columns, "seed": seed, "run_sd": known}
            refuse_unused(
                [(explain, "--explain")], "is of one base model", f"add --base, one of {', '.join(opened.parts)}"
            )
            with working(report):
                _of_several(opened, report, options, limit, alpha, as_json=json)
            return
        (opened,) = opened.by_base().values()
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


def _of_several(
    study: BasesStudy, report: Reporter, options: Mapping[str, Any], limit: int, alpha: float, *, as_json: bool
) -> None:
    """The effects of every base model that has cells, and what holds across them where there are two."""
    from traitscope.effects import across_bases

    found = study.effects_by_base(**options)
    plain = all(value in (None, 0) for value in options.values()) and alpha == ALPHA
    across = None
    if len(found) > 1:
        across = study.across() if plain else across_bases(found, alpha=alpha, scores=study.scores(records=True))
    if lacking := [name for name in study.parts if name not in found]:
        report.note(f"no cell has been evaluated yet, and left out: {', '.join(lacking)}")
    if as_json:
        bases = {name: jsons.loads(one.to_json()) for name, one in found.items()}
        say_json({"bases": bases, "across": None if across is None else jsons.loads(across.to_json())})
        return
    for name, one in found.items():
        say(name, bold=True)
        say(one.render(limit, alpha))
    if across is not None:
        say(across.render(limit, alpha))
