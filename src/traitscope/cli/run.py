"""``traitscope run``: all that is missing."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from traitscope.cli.common import (
    DEFAULT_STUDY,
    BudgetOption,
    MarginOption,
    OutOption,
    QuietOption,
    ReplaceOption,
    StudyArgument,
    friendly,
    open_study,
    read_share,
    stop_on_signal,
)

if TYPE_CHECKING:
    from traitscope.config import StudyConfig
    from traitscope.study import Study


@friendly
def run(
    study: StudyArgument = DEFAULT_STUDY,
    out: OutOption = None,
    replace: ReplaceOption = False,
    quiet: QuietOption = False,
    budget: BudgetOption = None,
    margin: MarginOption = 0.01,
) -> None:
    """Train and evaluate all that is missing; the same command goes on after a kill.

    Prints the score matrix at the end. Several processes may run the same study at once. With `--budget 25%` it makes
    what is needed to find every target's best source within that share of the cost, and prints the choice.
    """
    if budget is None:
        fill(study, out, quiet, lambda opened, stop: opened.run(replace=replace, stop=stop))
        return
    share, made = read_share(budget), list[str]()

    def decide(opened: Study, stop: Callable[[], bool]) -> None:
        made.append(opened.decide(share, margin=margin, stop=stop).render())

    fill(study, out, quiet, decide, show=False)
    typer.echo("\n".join(made))


def fill(
    source: Path | StudyConfig,
    out: Path | None,
    quiet: bool,
    what: Callable[[Study, Callable[[], bool]], Any],
    *,
    show: bool = True,
) -> Study:
    """Opens a study, lets ``what`` do its work with progress and an orderly stop, and prints the summary."""
    from traitscope.cli.show import matrix_text, work_text
    from traitscope.study import Stopped

    opened, report = open_study(source, out, quiet=quiet)
    start = time.monotonic()
    try:
        with stop_on_signal() as asked, report:  # type: ignore[attr-defined]
            work = what(opened, asked)
    except Stopped:
        typer.echo(f"stopped; all finished units are in {opened.folder.root}", err=True)
        typer.echo("run the same command again to go on where it stopped", err=True)
        raise typer.Exit(asked.status) from None
    if show:
        typer.echo(matrix_text(opened))
    typer.echo(f"{opened.folder.root}: {work_text(work, time.monotonic() - start)}", err=True)
    return opened
