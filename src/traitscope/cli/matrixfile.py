"""The options of the verbs that also take anybody's matrix file, and its reading."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

if TYPE_CHECKING:
    from traitscope.matrix import ScoreMatrix

MATRIX_ENDINGS = (".csv", ".tsv", ".parquet")
PANEL = "A matrix file"

SourceArgument = Annotated[
    Path, typer.Argument(help="A study file, a run folder, or a score matrix (csv, tsv, parquet; long or wide).")
]


def _option(text: str, *names: str) -> Any:
    return typer.Option(*names, help=text, rich_help_panel=PANEL)


@dataclass(frozen=True, kw_only=True)
class MatrixOptions:
    """How a matrix file is read; a verb with ``takes_matrix_options`` has each field as an option."""

    rows: Annotated[str | None, _option("Column, or columns with commas, that name the rows.")] = None
    values: Annotated[str | None, _option('Score columns or patterns; "!" before one leaves it out.')] = None
    where: Annotated[list[str] | None, _option("Rows to keep: column=a,b (NA: empty), column>=3.")] = None
    base: Annotated[str | None, _option("Name of the untuned model's row.")] = None
    family: Annotated[str | None, _option("Column with the base model: a base row for each.")] = None
    seed_column: Annotated[str | None, _option("Column that tells repeated runs apart.")] = None
    duplicates: Annotated[str, _option("Rows of one name: error or mean.")] = "error"
    examples: Annotated[list[str] | None, _option("task=1319: examples, for binomial standard errors.")] = None
    lower_is_better: Annotated[str | None, _option("Tasks whose scores are errors or losses.")] = None
    tags: Annotated[Path | None, _option("YAML or JSON file with the tasks' kinds and skills.")] = None

    def read(self, source: Path) -> ScoreMatrix:
        """The matrix of a file.

        Raises:
            TraitscopeError: the file or an option cannot be read.
        """
        from traitscope.matrix.options import read_typed

        return read_typed(
            source,
            rows=self.rows,
            values=self.values,
            where=self.where or (),
            base=self.base,
            family=self.family,
            seed_column=self.seed_column,
            duplicates=self.duplicates,
            n=self.examples or (),
            lower_is_better=self.lower_is_better,
            tags=self.tags,
        )


def takes_matrix_options(verb: Callable[..., None]) -> Callable[..., None]:
    """A verb whose parameter ``matrix_options`` is made from the options of ``MatrixOptions``."""
    hints = get_type_hints(MatrixOptions, include_extras=True)
    fields = dataclasses.fields(MatrixOptions)

    @functools.wraps(verb)
    def wrapped(**given: Any) -> None:
        options = {field.name: given.pop(field.name) for field in fields}
        verb(matrix_options=MatrixOptions(**options), **given)

    own = inspect.signature(verb, eval_str=True)
    kept = [
        parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for parameter in own.parameters.values()
        if parameter.name != "matrix_options"
    ]
    added = [
        inspect.Parameter(
            field.name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=hints[field.name]
        )
        for field in fields
    ]
    # The command line is made from the signature.
    wrapped.__signature__ = own.replace(parameters=[*kept, *added])  # type: ignore[attr-defined]
    return wrapped


def is_matrix(source: Path) -> bool:
    """True for a matrix file, False for a study."""
    return source.suffix.lower() in MATRIX_ENDINGS


def write_result(out: Path | None, text: str) -> None:
    """Writes what was found in a matrix file, if a place was named."""
    if out is not None:
        from traitscope.store import write_atomic

        write_atomic(out, text.encode())
