"""``traitscope effects``: what training on one dataset changes elsewhere."""

from __future__ import annotations

from typing import Annotated

import typer

from traitscope.cli.common import DEFAULT_STUDY, OutOption, RunSdOption, friendly, open_study, read_run_sd
from traitscope.cli.matrixfile import MatrixOptions, SourceArgument, is_matrix, takes_matrix_options, write_result


@friendly
@takes_matrix_options
def effects(
    matrix_options: MatrixOptions,
    source: SourceArgument = DEFAULT_STUDY,
    out: OutOption = None,
    limit: Annotated[int, typer.Option("-n", help="Findings shown of each kind.")] = 5,
    alpha: Annotated[float, typer.Option(help="Level after Benjamini-Hochberg correction.")] = 0.05,
    seed: Annotated[int, typer.Option(help="Seed of bootstrap and permutations.")] = 0,
    run_sd: RunSdOption = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Which dataset statistics go with traits and gains (several minutes).")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print all of it as JSON.")] = False,
) -> None:
    """Gains with intervals, class pull, answer lengths, asymmetry, controls, surprises; corrected over all cells."""
    if is_matrix(source):
        from traitscope.effects import measure_effects

        matrix = matrix_options.read(source)
        bare = measure_effects(matrix, seed=seed, run_sd=read_run_sd(run_sd))
        write_result(out, bare.to_json())
        typer.echo(bare.to_json() if json else bare.render(limit, alpha))
        return
    opened, _ = open_study(source, out, quiet=True)
    known = read_run_sd(run_sd)
    found = opened.effects(seed=seed, run_sd=known)
    typer.echo(found.to_json() if json else found.render(limit, alpha))
    if explain:
        explained = opened.explain(seed=seed, run_sd=known)
        typer.echo(explained.to_json() if json else explained.render())
