"""The options of the verbs that also take anybody's matrix file, and its reading."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from traitscope.matrix import ScoreMatrix

MATRIX_ENDINGS = (".csv", ".tsv", ".parquet")
PANEL = "A matrix file"

SourceArgument = Annotated[
    Path, typer.Argument(help="A study file, a run folder, or a score matrix (csv, tsv, parquet; long or wide).")
]
RowsOption = Annotated[
    str | None, typer.Option(help="Column, or columns with commas, that name the rows.", rich_help_panel=PANEL)
]
ValuesOption = Annotated[
    str | None, typer.Option(help='Score columns or patterns; "!" before one leaves it out.', rich_help_panel=PANEL)
]
WhereOption = Annotated[
    list[str] | None,
    typer.Option(help="Rows to keep: column=a,b (NA: empty), column>=3.", rich_help_panel=PANEL),
]
BaseOption = Annotated[str | None, typer.Option(help="Name of the untuned model's row.", rich_help_panel=PANEL)]
FamilyOption = Annotated[
    str | None, typer.Option(help="Column with the base model: a base row for each.", rich_help_panel=PANEL)
]
SeedColumnOption = Annotated[
    str | None, typer.Option(help="Column that tells repeated runs apart.", rich_help_panel=PANEL)
]
DuplicatesOption = Annotated[str, typer.Option(help="Rows of one name: error or mean.", rich_help_panel=PANEL)]
SizesOption = Annotated[
    list[str] | None,
    typer.Option("--examples", help="task=1319: examples, for binomial standard errors.", rich_help_panel=PANEL),
]
LowerOption = Annotated[
    str | None, typer.Option(help="Tasks whose scores are errors or losses.", rich_help_panel=PANEL)
]
TagsOption = Annotated[
    Path | None, typer.Option(help="YAML or JSON file with the tasks' kinds and skills.", rich_help_panel=PANEL)
]


def is_matrix(source: Path) -> bool:
    """True for a matrix file, False for a study."""
    return source.suffix.lower() in MATRIX_ENDINGS


def read_matrix(
    source: Path,
    rows: str | None,
    values: str | None,
    where: list[str] | None,
    base: str | None,
    family: str | None,
    seed_column: str | None,
    duplicates: str,
    examples: list[str] | None,
    lower_is_better: str | None,
    tags: Path | None,
) -> ScoreMatrix:
    """The matrix of a file, read as the options say.

    Raises:
        TraitscopeError: the file or an option cannot be read.
    """
    from traitscope.matrix.options import read_typed

    return read_typed(
        source,
        rows=rows,
        values=values,
        where=where or (),
        base=base,
        family=family,
        seed_column=seed_column,
        duplicates=duplicates,
        n=examples or (),
        lower_is_better=lower_is_better,
        tags=tags,
    )
