"""``traitscope effects``: what training on one dataset changes elsewhere."""

from __future__ import annotations

from typing import Annotated

import typer

from traitscope.cli.common import DEFAULT_STUDY, OutOption, friendly, open_study
from traitscope.cli.matrixfile import (
    BaseOption,
    DuplicatesOption,
    FamilyOption,
    LowerOption,
    RowsOption,
    SeedColumnOption,
    SizesOption,
    SourceArgument,
    TagsOption,
    ValuesOption,
    WhereOption,
    is_matrix,
    read_matrix,
)


@friendly
def effects(
    source: SourceArgument = DEFAULT_STUDY,
    out: OutOption = None,
    limit: Annotated[int, typer.Option("-n", help="Findings shown of each kind.")] = 5,
    alpha: Annotated[float, typer.Option(help="Level after Benjamini-Hochberg correction.")] = 0.05,
    seed: Annotated[int, typer.Option(help="Seed of bootstrap and permutations.")] = 0,
    explain: Annotated[
        bool, typer.Option("--explain", help="Which dataset statistics go with traits and gains (several minutes).")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print all of it as JSON.")] = False,
    rows: RowsOption = None,
    values: ValuesOption = None,
    where: WhereOption = None,
    base: BaseOption = None,
    family: FamilyOption = None,
    seed_column: SeedColumnOption = None,
    duplicates: DuplicatesOption = "error",
    examples: SizesOption = None,
    lower_is_better: LowerOption = None,
    tags: TagsOption = None,
) -> None:
    """Gains with intervals, class pull, answer lengths, asymmetry, controls, surprises; corrected over all cells."""
    if is_matrix(source):
        from traitscope.effects import measure_effects

        matrix = read_matrix(
            source, rows, values, where, base, family, seed_column, duplicates, examples, lower_is_better, tags
        )
        bare = measure_effects(matrix, seed=seed)
        if out is not None:
            from traitscope.store import write_atomic

            write_atomic(out, bare.to_json().encode())
        typer.echo(bare.to_json() if json else bare.render(limit, alpha))
        return
    opened, _ = open_study(source, out, quiet=True)
    found = opened.effects(seed=seed)
    typer.echo(found.to_json() if json else found.render(limit, alpha))
    if explain:
        explained = opened.explain(seed=seed)
        typer.echo(explained.to_json() if json else explained.render())
