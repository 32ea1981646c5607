"""The options of the verbs that also take anybody's matrix file, and its reading."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from traitscope.cli.completion import study_files, words
from traitscope.errors import TraitscopeError

if TYPE_CHECKING:
    from traitscope.matrix import ScoreMatrix

PANEL = "A matrix file"
STUDY_ENDINGS = (".yaml", ".yml")
UNITS = ("fraction", "percent", "other")

SourceArgument = Annotated[
    Path,
    typer.Argument(
        help="A study file, a run folder, or a score matrix (csv, tsv, parquet; long or wide).",
        autocompletion=study_files,
    ),
]


def _option(text: str, *choices: str) -> Any:
    return typer.Option(help=text, rich_help_panel=PANEL, autocompletion=words(*choices) if choices else None)


@dataclass(frozen=True, kw_only=True)
class MatrixOptions:
    """How a matrix file is read; a verb with ``takes_matrix_options`` has each field as an option."""

    layout: Annotated[str, _option("long, wide or auto.", "long", "wide", "auto")] = "auto"
    rows: Annotated[str | None, _option("Wide: column, or columns with commas, that name the rows.")] = None
    values: Annotated[str | None, _option('Score columns, or tasks, or patterns; "!" before one leaves it out.')] = None
    where: Annotated[list[str] | None, _option("Rows to keep: column=a,b (NA: empty), column>=3.")] = None
    model_column: Annotated[str | None, _option("Long: column with the model.")] = None
    source_column: Annotated[str | None, _option("Long: column with what the model was trained on.")] = None
    task_column: Annotated[str | None, _option("Long: column with the task.")] = None
    metric_column: Annotated[str | None, _option("Long: column with the metric.")] = None
    value_column: Annotated[str | None, _option("Long: column with the score.")] = None
    stderr_column: Annotated[str | None, _option("Long: column with the standard error.")] = None
    n_column: Annotated[str | None, _option("Long: column with the number of examples.")] = None
    seed_column: Annotated[str | None, _option("Column that tells repeated runs apart.")] = None
    stderr_suffix: Annotated[str, _option("Wide: <task><suffix> holds standard errors.")] = "_stderr"
    base: Annotated[str | None, _option("Name of the untuned model's row; of a study of several: these bases.")] = None
    family: Annotated[str | None, _option("Column with the base model: a base row for each.")] = None
    own_pairs: Annotated[
        str | None, _option("File of a row's own tasks (source,task), or none; by equal names if left out.")
    ] = None
    metric: Annotated[str | None, _option("Metric to show; each task's first if left out.")] = None
    unit: Annotated[str | None, _option("fraction, percent or other; guessed if left out.", *UNITS)] = None
    duplicates: Annotated[str, _option("Rows of one name: error or mean.", "error", "mean")] = "error"
    examples: Annotated[list[str] | None, _option("task=1319: examples, for binomial standard errors.")] = None
    lower_is_better: Annotated[str | None, _option("Tasks whose scores are errors or losses.")] = None
    tags: Annotated[Path | None, _option("YAML or JSON file with the tasks' kinds and skills.")] = None
    delimiter: Annotated[str | None, _option("Between cells; recognised if left out.")] = None
    decimal: Annotated[str | None, _option("Decimal sign, . or a comma; recognised if left out.")] = None

    def read(self, source: Path) -> ScoreMatrix:
        """The matrix of a file.

        Raises:
            TraitscopeError: the file or an option cannot be read.
        """
        from traitscope.matrix.options import read_typed

        given = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        matrix = read_typed(source, n=given.pop("examples") or (), where=given.pop("where") or (), **given)
        return dataclasses.replace(matrix, notes=tuple(map(_as_typed, matrix.notes)))

    @property
    def bases(self) -> list[str] | None:
        """What ``--base`` says of a study."""
        return None if self.base is None else [self.base]

    def given(self) -> list[tuple[str, str]]:
        """The options that were given, as (name, text) pairs in their order."""
        pairs = []
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if value != field.default:
                name = "--" + field.name.replace("_", "-")
                pairs += [(name, str(one)) for one in (value if isinstance(value, list) else [value])]
        return pairs


# Where Python's name is another one than the option's.
_OPTIONS = {"units": "unit", "own": "own-pairs", "run_sd": "run-sd"}


def _as_typed(text: str, *, place_too: bool = False) -> str:
    """Options in a message as they are typed: ``--task-column ...`` for Python's ``task_column=...``."""
    names = [*(field.name for field in dataclasses.fields(MatrixOptions)), *_OPTIONS]
    # rows="all" has its option beside it already; ", family" at the end of a place is one.
    python = rf"(?<![\w.'\"=-])(?P<name>{'|'.join(names)})=(?P<end> ?)(?!\")"
    text = re.sub(python, lambda m: f"--{_OPTIONS.get(m['name'], m['name'])}".replace("_", "-") + " ", text)
    if not place_too:
        return text
    place = rf"(?<=, )(?:{'|'.join(names)})\Z|\A(?:{'|'.join(_OPTIONS)})\Z"
    return re.sub(place, lambda m: f"--{_OPTIONS.get(m[0], m[0])}".replace("_", "-"), text)


def takes_matrix_options(
    verb: Callable[..., None], *, of_studies: Sequence[tuple[str, str]] = ()
) -> Callable[..., None]:
    """A verb whose parameter ``matrix_options`` is made from the options of ``MatrixOptions``.

    Args:
        verb: gets them. of_studies: options, with their values, that mean something for a study too.
    """
    hints = get_type_hints(MatrixOptions, include_extras=True)
    fields = dataclasses.fields(MatrixOptions)

    @functools.wraps(verb)
    def wrapped(**given: Any) -> None:
        options = MatrixOptions(**{field.name: given.pop(field.name) for field in fields})
        # Of a study --base is one of its base models.
        alone = [option for option in options.given() if option not in of_studies and option[0] != "--base"]
        # A verb may take several.
        named = given["sources"] if "sources" in given else [given["source"]]
        if alone and not any(map(is_matrix, named)):
            raise TraitscopeError(f"{alone[0][0]} is for a matrix file", where=str(named[0]), fix="leave it out")
        if given.get("changes") and is_matrix(named[0]):
            raise TraitscopeError("--set is for a study", where=str(named[0]), fix="leave it out")
        if not any(map(is_matrix, named)):
            return verb(matrix_options=options, **given)
        try:
            verb(matrix_options=options, **given)
        except TraitscopeError as error:
            where = None if error.where is None else _as_typed(error.where, place_too=True)
            fix = None if error.fix is None else _as_typed(error.fix)
            raise TraitscopeError(_as_typed(error.what), where=where, fix=fix) from error

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
    """True for a matrix file, False for a study (a YAML file or a folder).

    A file of any other kind is meant as a matrix: its reading says what is wrong with it.
    """
    from traitscope.matrix.tablefile import ENDINGS

    return source.suffix.lower() in ENDINGS or (source.is_file() and source.suffix.lower() not in STUDY_ENDINGS)


def check_result(out: Path | None, source: Path) -> None:
    """Sees, before any work, that what will be found in a matrix file may take the place of what is at ``out``.

    Raises:
        TraitscopeError: that is the matrix itself, no regular file, or one that holds no earlier result.
    """
    from traitscope.config.inputfile import check_file

    if out is None:
        return
    where, fix = f"--out {out}", "name a new file"
    if out.is_symlink() and not out.exists():
        raise TraitscopeError("this is a link that leads nowhere", where=where, fix=fix)
    try:
        check_file(out, where)
    except FileNotFoundError:
        return
    if source.exists() and out.samefile(source):
        raise TraitscopeError("this is the matrix itself", where=where, fix=fix)
    if out.stat().st_size and not _is_result(out):
        raise TraitscopeError("is there and holds no earlier result", where=where, fix=fix)


def _is_result(path: Path) -> bool:
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(found, dict) and isinstance(found.get("format"), int)


def write_result(out: Path | None, text: str) -> None:
    """Writes what was found in a matrix file, if a place was named (see ``check_result``)."""
    if out is not None:
        from traitscope.store import write_atomic

        write_atomic(out, text.encode())
