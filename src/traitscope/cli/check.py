"""``traitscope check``: whether a study will run, and what it will cost."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from traitscope.cli.common import DEFAULT_STUDY, OutOption, StudyArgument, friendly, open_study

if TYPE_CHECKING:
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
    from traitscope.cli.examples import example_text
    from traitscope.study.overlong import check_rows, left_over

    opened, _ = open_study(study, out, quiet=True)
    data = opened.data
    tokenizer = data.readers[0].tokenizer
    for note in _tokenizer_notes(tokenizer):
        typer.echo(f"note: {note}")
    for name, task in data.tasks.items():
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
    check_rows(data)
    plan = opened.plan(cost=True)
    typer.echo(str(plan))
    for unit, reason in list(plan.state.changed.items())[:10]:
        typer.echo(f"  changed   {unit}: {reason}")


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
