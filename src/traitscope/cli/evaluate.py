"""``traitscope eval``: the missing cells, or the scores of all cells anew; of rows named one by one, too."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from traitscope.cli.bases import has_several
from traitscope.cli.common import (
    DEFAULT_STUDY,
    AllowCodeOption,
    JsonOption,
    LimitOption,
    OnOption,
    OutOption,
    QuietOption,
    ReplaceOption,
    ReportToOption,
    SetOption,
    ShardOption,
    StudyArgument,
    friendly,
    refuse_unused,
    split_names,
)
from traitscope.cli.completion import models_of, tasks_of
from traitscope.cli.parsing import ListingVerb
from traitscope.cli.run import fill, read_part
from traitscope.errors import TraitscopeError

if TYPE_CHECKING:
    from traitscope.study import Study


class EvalVerb(ListingVerb):
    """Its rows may be listed with blanks between them."""

    listing = ("--adapters", "--models")
    beside = ("--adapters", "--base")


@friendly
def evaluate(
    context: typer.Context,
    study: StudyArgument = DEFAULT_STUDY,
    out: OutOption = None,
    rescore: Annotated[
        bool, typer.Option("--rescore", help="Judge all cells anew from their records; no model is loaded.")
    ] = False,
    replace: ReplaceOption = False,
    tasks: Annotated[
        list[str] | None,
        typer.Option(
            "--tasks",
            help="Only these tasks this time; with commas. Without a study: the file whose tasks are taken.",
            autocompletion=tasks_of,
        ),
    ] = None,
    models: Annotated[
        list[str] | None,
        typer.Option(
            "--models",
            help="Only these rows or sources this time; with commas. Without a study: full models, as --adapters.",
            autocompletion=models_of,
        ),
    ] = None,
    limit: LimitOption = None,
    base: Annotated[
        str | None,
        typer.Option(
            "--base",
            help="Without a study: the untuned model; a folder, a Hub id or a built-in name. "
            "Of a study of several base models: these alone.",
        ),
    ] = None,
    adapters: Annotated[
        list[str] | None,
        typer.Option(
            "--adapters",
            metavar="ADAPTER...",
            help="Without a study: PEFT folders or Hub ids of the base's adapters, all up to the next option; folders "
            "of such folders and patterns stand for all in them.",
        ),
    ] = None,
    changes: SetOption = None,
    allow_code: AllowCodeOption = False,
    on: OnOption = None,
    shard: ShardOption = None,
    quiet: QuietOption = False,
    report_to: ReportToOption = None,
    json: JsonOption = False,
) -> None:
    """Evaluate the models that are there on every target; train nothing.

    `--tasks`, `--models` and `--limit` evaluate a part, which later runs complete.

    Without a study: `traitscope eval --base B --adapters a b c --tasks t.yaml`. The rows are kept in a run folder of
    their own, to which the same base and tasks come back: further adapters are added, and nothing is computed twice.
    """
    # Of a study of several base models --base names some; else it is what rows without a study rest on.
    bases = [base] if base is not None and not adapters and has_several(study, out) else None
    if bases is None and (base is not None or adapters):
        # study.yaml is the one that is taken where none is named.
        source = context.get_parameter_source("study")
        named = study if study != DEFAULT_STUDY or (source is not None and source.name == "COMMANDLINE") else None
        opening = {"changes": changes, "report_to": report_to, "on": on, "allow_code": allow_code}
        _unwritten(named, out, rescore, replace, tasks, models, limit, base, adapters, shard, quiet, json, **opening)
        return
    part = read_part(tasks, models, limit, shard)
    if not rescore:
        fill(
            study,
            out,
            quiet,
            lambda opened, stop: opened.evaluate(replace=replace, stop=stop, **part),
            changes=changes,
            bases=bases,
            report_to=report_to,
            allow_code=allow_code,
            json=json,
            on=on,
        )
    elif report_to:
        raise TraitscopeError("does not go with --rescore", where="--report-to", fix="leave it out: a run tells them")
    elif part or replace or on:
        option = "--on" if on else "--replace" if replace else f"--{next(iter(part))}"
        raise TraitscopeError("does not go with --rescore, which judges all cells", where=option, fix="leave one out")
    else:
        fill(
            study,
            out,
            quiet,
            lambda opened, stop: opened.rescore(stop=stop),
            changes=changes,
            bases=bases,
            allow_code=allow_code,
            json=json,
        )


def _unwritten(
    study: Path | None,
    out: Path | None,
    rescore: bool,
    replace: bool,
    tasks: Sequence[str] | None,
    models: Sequence[str] | None,
    limit: int | None,
    base: str | None,
    adapters: Sequence[str] | None,
    shard: str | None,
    quiet: bool,
    json: bool,
    **opening: Any,
) -> None:
    from traitscope.study.unwritten import unwritten_study

    option = "--base" if base is not None else "--adapters"
    refuse_unused(
        [(study is not None, f"{option} beside {study}")],
        "is for rows without a study file",
        f"add them to the file, under models:, or write --tasks {study} to take its tasks alone",
    )
    refuse_unused([(rescore, "--rescore")], "needs a run folder", "name the one that was filled: eval FOLDER --rescore")
    if tasks is None or len(tasks) != 1:
        raise TraitscopeError(
            "the file with the tasks is not named" if not tasks else f"{len(tasks)} files are named",
            where="--tasks",
            fix="write --tasks t.yaml once: a study file, or one with `tasks:`",
        )
    found = unwritten_study(
        Path(tasks[0]), base=base, adapters=_names(adapters, "--adapters"), models=_names(models, "--models"), out=out
    )
    part: dict[str, Any] = {"models": ["base", *found.rows]} | ({} if limit is None else {"limit": limit})
    part |= {} if shard is None else {"shard": shard}

    def named_now(opened: Study) -> Study:
        from traitscope.study import Study

        kept = {name: opened.config.models[name] for name in found.rows}
        config = opened.config.model_copy(update={"models": kept})
        return Study.open(config, opened.folder.root, report=opened.report_to)

    fill(
        found.config,
        found.folder,
        quiet,
        lambda opened, stop: opened.evaluate(replace=replace, stop=stop, **part),
        json=json,
        view=named_now,
        **opening,
    )


def _names(given: Sequence[str] | None, option: str) -> list[str]:
    """The names of an option; one that holds commas is a list, unless something is called so."""
    # pathlib raises for a name that is too long.
    split = [[text] if os.path.exists(text) else split_names([text], option) or [] for text in given or ()]  # noqa: PTH110
    return list(dict.fromkeys(name for names in split for name in names))
