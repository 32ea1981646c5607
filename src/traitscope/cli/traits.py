"""``traitscope traits``: latent traits of a study's matrix, or of anybody's matrix file."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from traitscope.cli.common import DEFAULT_STUDY, OutOption, friendly, open_study
from traitscope.cli.matrixfile import MatrixOptions, SourceArgument, is_matrix, takes_matrix_options, write_result


@friendly
@takes_matrix_options
def traits(
    matrix_options: MatrixOptions,
    source: SourceArgument = DEFAULT_STUDY,
    out: OutOption = None,
    view: Annotated[str, typer.Option(help="raw, gain (over the base) or logit.")] = "raw",
    scale: Annotated[bool, typer.Option("--scale", help="Divide columns by their standard deviation.")] = False,
    rotate: Annotated[str | None, typer.Option(help="varimax or promax.")] = None,
    k: Annotated[int | None, typer.Option(help="Traits to keep. [default: as many as the cells support]")] = None,
    seeds: Annotated[str, typer.Option(help="mean: one row per source; rows: one per seed.")] = "mean",
    seed: Annotated[int, typer.Option(help="Seed of permutations and bootstrap.")] = 0,
    words: Annotated[
        list[str] | None, typer.Option("--word", help="name=task,task: a word of yours for what tasks share.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print all of it as JSON.")] = False,
) -> None:
    """Principal components of the score matrix beside a permutation null: how many, of which tasks, how sure."""
    from traitscope.traits import fit_traits, render

    options: dict[str, Any] = {
        "view": view,
        "scale": scale,
        "rotate": rotate,
        "k": "auto" if k is None else k,
        "seeds": seeds,
        "seed": seed,
    }
    if words:
        from traitscope.matrix.options import read_words

        options["words"] = read_words(words)
    if is_matrix(source):
        matrix = matrix_options.read(source)
        found = fit_traits(matrix, **options)
        write_result(out, found.to_json())
    else:
        opened, _ = open_study(source, out, quiet=True)
        found = opened.traits(**options)
    typer.echo(found.to_json() if json else render(found), nl=json)
