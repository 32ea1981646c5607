"""``traitscope check``: whether a study will run, and what it will cost."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any

import typer

from traitscope.cli.common import DEFAULT_STUDY, OutOption, StudyArgument, friendly, open_study
from traitscope.errors import TraitscopeError

if TYPE_CHECKING:
    from traitscope.study import Study
    from traitscope.tasks.task import Task


@friendly
def check(
    study: StudyArgument = DEFAULT_STUDY,
    out: OutOption = None,
    prompts: Annotated[bool, typer.Option(help="Show one rendered prompt per task.")] = True,
) -> None:
    """Validate a study: load its rows, show one prompt per task, what is missing and what it costs.

    No GPU is used and no weights are loaded.
    """
    from traitscope.study.checking import check_models, check_rest

    opened, _ = open_study(study, out, quiet=True)
    base = check_models(opened)
    data = opened.data
    tokenizer = data.readers[0].tokenizer
    for note in _tokenizer_notes(tokenizer):
        typer.echo(f"note: {note}")
    for name, task in data.tasks.items():
        # What is wrong with the rows is told below, of all tasks together.
        with suppress(TraitscopeError):
            _show_task(opened, name, task, tokenizer, prompts)
    check_rest(opened, base)
    plan = opened.plan(cost=True)
    typer.echo(str(plan))
    for unit, reason in list(plan.state.changed.items())[:10]:
        typer.echo(f"  changed   {unit}: {reason}")


def _show_task(study: Study, name: str, task: Task, tokenizer: Any, prompts: bool) -> None:
    from traitscope.cli.examples import example_text
    from traitscope.study.overlong import left_over

    data = study.data
    loaded = data.load(name)
    shown = next(iter((*loaded.train, *loaded.eval)), None)
    metrics = ", ".join(task.metric_names)
    typer.secho(f"{name}", bold=True, nl=False)
    typer.echo(f"  {task.form}, {metrics}; {len(loaded.train)} train, {len(loaded.eval)} eval rows")
    too_long = (left_over(data, name, split) for split in data.splits(name))
    for note in (*loaded.report.notes, *_chat_notes(task, tokenizer), *filter(None, too_long)):
        typer.echo(f"  note: {note}")
    if prompts and shown is not None:
        typer.echo(example_text(task, shown, tokenizer))


def _tokenizer_notes(tokenizer: Any) -> Iterator[str]:
    from traitscope.tasks.encode import added_behind

    behind = added_behind(tokenizer)
    if behind:
        tokens = " ".join(repr(token) for token in tokenizer.convert_ids_to_tokens(behind))
        yield f"the tokenizer puts {tokens} behind every text by itself: left out of prompts, options and answers"


def _chat_notes(task: Task, tokenizer: Any) -> Iterator[str]:
    from traitscope.tasks.chat import Chat

    if task.config.uses_chat and not Chat(task, tokenizer).writes_first_token():
        yield "the chat template does not write the tokenizer's first token, so chats have none"
