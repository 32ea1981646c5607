"""``traitscope ls``: what is in a study, and what is built in."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from traitscope.cli.common import (
    DEFAULT_STUDY,
    BaseOption,
    JsonOption,
    OutOption,
    SetOption,
    friendly,
    open_study,
    refuse_unused,
)
from traitscope.cli.completion import models_of, study_files, tasks_of
from traitscope.cli.output import say, say_json
from traitscope.errors import TraitscopeError


class What(StrEnum):
    """What can be listed."""

    tasks = "tasks"
    adapters = "adapters"
    cells = "cells"
    examples = "examples"
    metrics = "metrics"
    parsers = "parsers"
    formats = "formats"
    controls = "controls"
    measures = "measures"
    statistics = "statistics"
    predictors = "predictors"
    routers = "routers"


@friendly
def ls(
    what: Annotated[What, typer.Argument(help="What to list.")],
    study: Annotated[
        Path,
        typer.Argument(
            help="A study file, or a run folder (not needed for what is built in).", autocompletion=study_files
        ),
    ] = DEFAULT_STUDY,
    task: Annotated[
        str | None, typer.Option(help="Only this task (examples: needed).", autocompletion=tasks_of)
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Only this model (examples: with its answers).", autocompletion=models_of)
    ] = None,
    wrong: Annotated[
        bool, typer.Option("--wrong", help="Examples that the model got wrong, with the base's answer beside.")
    ] = False,
    right: Annotated[bool, typer.Option("--right", help="Examples that the model got right.")] = False,
    won: Annotated[bool, typer.Option("--won", help="Examples where the model did better than the base.")] = False,
    lost: Annotated[bool, typer.Option("--lost", help="Examples where the model did worse than the base.")] = False,
    both_wrong: Annotated[bool, typer.Option("--both-wrong", help="Examples that neither got right.")] = False,
    both_right: Annotated[bool, typer.Option("--both-right", help="Examples that both got right.")] = False,
    invalid: Annotated[
        bool, typer.Option("--invalid", help="Examples where the model's answer could not be parsed.")
    ] = False,
    n: Annotated[int, typer.Option("-n", min=0, help="At most this many examples.")] = 5,
    out: OutOption = None,
    base: BaseOption = None,
    changes: SetOption = None,
    json: JsonOption = False,
) -> None:
    """List tasks, adapters, cells or examples of a study, or what is built in: metrics, parsers, measures and so on.

    Without a study `ls tasks` lists the built-in generated tasks.
    """
    from traitscope.cli import listing

    outcomes = {
        "wrong": wrong,
        "right": right,
        "won": won,
        "lost": lost,
        "both_wrong": both_wrong,
        "both_right": both_right,
        "invalid": invalid,
    }
    flags = {key: f"--{key.replace('_', '-')}" for key, asked in outcomes.items() if asked}
    if what is not What.examples:
        refuse_unused(
            [*((True, flag) for flag in flags.values()), (n != 5, "-n")],
            "is for examples",
            fix="leave it out, or write ls examples",
        )
    if what not in (What.cells, What.examples):
        refuse_unused([(task, "--task"), (model, "--model")], "is for cells and examples")
    if len(flags) > 1:
        raise TraitscopeError("two outcomes of one example", where=", ".join(flags.values()), fix="name one of them")
    outcome = next(iter(flags), None)
    if outcome is not None and model is None:
        raise TraitscopeError("answered by which model?", where=flags[outcome], fix="add --model NAME")
    # A study's plugins may have added to what is built in.
    needed = what in (What.adapters, What.cells, What.examples) or study != DEFAULT_STUDY or study.exists()
    if not needed:
        refuse_unused(
            [(out, "--out"), (changes, "--set"), (base, "--base")],
            "is for a study",
            fix="name a study, or leave it out",
        )
    opened = None
    if needed:
        no_models = what is not What.adapters
        opened, _ = open_study(study, out, quiet=True, changes=changes, bases=base, without_models=no_models)
    if what is What.examples:
        assert opened is not None
        rows = listing.example_rows(opened, model, task, n, outcome)
        shown = listing.examples_text(rows)
    elif what is What.cells:
        assert opened is not None
        rows = listing.cell_rows(opened, model, task)
        shown = listing.cells_text(rows)
    else:
        rows = listing.registered_rows(what) if what not in (What.tasks, What.adapters) else []
        if what is What.adapters:
            assert opened is not None
            rows = listing.adapter_rows(opened)
        elif what is What.tasks:
            rows = listing.built_in_tasks() if opened is None else listing.task_rows(opened)
        shown = listing.rows_text(rows)
    if json:
        say_json(rows)
    else:
        say(shown)
