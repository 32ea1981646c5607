"""``traitscope eval``: the missing cells, or the scores of all cells anew."""

from __future__ import annotations

from typing import Annotated

import typer

from traitscope.cli.common import (
    DEFAULT_STUDY,
    AllowCodeOption,
    JsonOption,
    LimitOption,
    ModelsOption,
    OutOption,
    QuietOption,
    ReplaceOption,
    SetOption,
    StudyArgument,
    TasksOption,
    friendly,
)
from traitscope.cli.run import fill, read_part
from traitscope.errors import TraitscopeError


@friendly
def evaluate(
    study: StudyArgument = DEFAULT_STUDY,
    out: OutOption = None,
    rescore: Annotated[
        bool, typer.Option("--rescore", help="Judge all cells anew from their records; no model is loaded.")
    ] = False,
    replace: ReplaceOption = False,
    tasks: TasksOption = None,
    models: ModelsOption = None,
    limit: LimitOption = None,
    changes: SetOption = None,
    allow_code: AllowCodeOption = False,
    quiet: QuietOption = False,
    json: JsonOption = False,
) -> None:
    """Evaluate the models that are there on every target; train nothing.

    `--tasks`, `--models` and `--limit` evaluate a part, which later runs complete.
    """
    part = read_part(tasks, models, limit)
    if not rescore:
        fill(
            study,
            out,
            quiet,
            lambda opened, stop: opened.evaluate(replace=replace, stop=stop, **part),
            changes=changes,
            allow_code=allow_code,
            json=json,
        )
    elif part or replace:
        option = "--replace" if replace else f"--{next(iter(part))}"
        raise TraitscopeError("does not go with --rescore, which judges all cells", where=option, fix="leave one out")
    else:
        fill(
            study,
            out,
            quiet,
            lambda opened, stop: opened.rescore(stop=stop),
            changes=changes,
            allow_code=allow_code,
            json=json,
        )
