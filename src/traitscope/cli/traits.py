"""``traitscope traits``: latent traits of a study's matrix, or of anybody's matrix file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from traitscope.cli.common import DEFAULT_STUDY, OutOption, friendly, open_study

MATRIX_ENDINGS = (".csv", ".tsv", ".parquet")


@friendly
def traits(
    source: Annotated[
        Path, typer.Argument(help="A study file, a run folder, or a score matrix (csv, tsv, parquet; long or wide).")
    ] = DEFAULT_STUDY,
    out: OutOption = None,
    view: Annotated[str, typer.Option(help="raw, gain (over the base) or logit.")] = "raw",
    scale: Annotated[bool, typer.Option("--scale", help="Divide columns by their standard deviation.")] = False,
    rotate: Annotated[str | None, typer.Option(help="varimax or promax.")] = None,
    k: Annotated[int | None, typer.Option(help="Traits to keep. [default: as many as the cells support]")] = None,
    seeds: Annotated[str, typer.Option(help="mean: one row per source; rows: one per seed.")] = "mean",
    seed: Annotated[int, typer.Option(help="Seed of permutations and bootstrap.")] = 0,
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
    if source.suffix.lower() in MATRIX_ENDINGS:
        from traitscope.matrix import ScoreMatrix

        found = fit_traits(ScoreMatrix.read(source), **options)
        if out is not None:
            from traitscope.store import write_atomic

            write_atomic(out, found.to_json().encode())
    else:
        opened, _ = open_study(source, out, quiet=True)
        found = opened.traits(**options)
    typer.echo(found.to_json() if json else render(found), nl=json)
