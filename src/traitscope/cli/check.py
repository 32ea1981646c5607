"""``traitscope check``: whether a study will run, and what it will cost."""

from __future__ import annotations

from typing import Annotated

import typer

from traitscope.cli.common import DEFAULT_STUDY, OutOption, StudyArgument, friendly, open_study


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
    from traitscope.study.costs import load_tokenizer

    opened, _ = open_study(study, out, quiet=True)
    tokenizer = load_tokenizer(opened.asked(opened.config.base))
    for name, task in opened.data.tasks.items():
        loaded = task.load()
        shown = (loaded.train or loaded.eval)[0]
        metrics = ", ".join(task.metric_names)
        typer.secho(f"{name}", bold=True, nl=False)
        typer.echo(f"  {task.form}, {metrics}; {len(loaded.train)} train, {len(loaded.eval)} eval rows")
        for note in loaded.report.notes:
            typer.echo(f"  note: {note}")
        if prompts:
            typer.echo(example_text(task, shown, tokenizer))
    plan = opened.plan(cost=True)
    typer.echo(str(plan))
    for unit, reason in list(plan.state.changed.items())[:10]:
        typer.echo(f"  changed   {unit}: {reason}")
