"""``traitscope run``: all that is missing."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from traitscope.cli.common import (
    DEFAULT_STUDY,
    MARGIN,
    AllowCodeOption,
    BaseOption,
    BudgetOption,
    JsonOption,
    LimitOption,
    MarginOption,
    ModelsOption,
    OnOption,
    OutOption,
    QuietOption,
    ReplaceOption,
    ReportToOption,
    SetOption,
    ShardOption,
    StudyArgument,
    TasksOption,
    friendly,
    open_study,
    read_share,
    refuse_unused,
    split_names,
    stop_on_signal,
)
from traitscope.cli.output import say, say_json
from traitscope.errors import TraitscopeError

if TYPE_CHECKING:
    from traitscope.config import StudyConfig
    from traitscope.study import Study


@friendly
def run(
    study: StudyArgument = DEFAULT_STUDY,
    out: OutOption = None,
    replace: ReplaceOption = False,
    tasks: TasksOption = None,
    models: ModelsOption = None,
    limit: LimitOption = None,
    base: BaseOption = None,
    changes: SetOption = None,
    allow_code: AllowCodeOption = False,
    quiet: QuietOption = False,
    on: OnOption = None,
    shard: ShardOption = None,
    budget: BudgetOption = None,
    margin: MarginOption = MARGIN,
    report_to: ReportToOption = None,
    json: JsonOption = False,
) -> None:
    """Train and evaluate all that is missing; the same command goes on after a kill.

    Prints the score matrix at the end. Several processes may run the same study at once. `--tasks`, `--models` and
    `--limit` make a part of it, which later runs complete; `--shard 2/8` makes one of eight shares, for job arrays.
    With `--budget 25%` it makes what is needed to find every target's best source within that share of the cost, and
    prints the choice.
    """
    part = read_part(tasks, models, limit, shard)
    opening: dict[str, Any] = {"changes": changes, "bases": base, "report_to": report_to, "on": on}
    opening["allow_code"] = allow_code
    refuse_unused([(budget is None and margin != MARGIN, "--margin")], "goes with --budget", "add --budget 25%, say")
    if budget is None:
        fill(
            study,
            out,
            quiet,
            lambda opened, stop: opened.run(replace=replace, stop=stop, **part),
            json=json,
            **opening,
        )
        return
    if part or replace:
        option = "--replace" if replace else f"--{next(iter(part))}"
        raise TraitscopeError("does not go with --budget, which chooses itself", where=option, fix="leave one out")
    share, made = read_share(budget), list[Any]()

    def decide(opened: Study, stop: Callable[[], bool]) -> None:
        made.append(opened.decide(share, margin=margin, stop=stop))

    fill(study, out, quiet, decide, show=False, **opening)
    if json:
        say_json(made[0].to_json())
    else:
        say(made[0].render())


def read_part(
    tasks: Sequence[str] | None, models: Sequence[str] | None, limit: int | None = None, shard: str | None = None
) -> dict[str, Any]:
    """What ``--tasks``, ``--models``, ``--limit`` and ``--shard`` say, as ``Study.run`` takes it, where given."""
    given: dict[str, Any] = {"tasks": split_names(tasks, "--tasks"), "models": split_names(models, "--models")}
    given |= {"limit": limit, "shard": shard}
    return {name: value for name, value in given.items() if value is not None}


def fill(
    source: Path | StudyConfig,
    out: Path | None,
    quiet: bool,
    what: Callable[[Study, Callable[[], bool]], Any],
    *,
    show: bool = True,
    json: bool = False,
    view: Callable[[Study], Study] | None = None,
    **opening: Any,
) -> Study:
    """Opens a study, lets ``what`` do its work with progress and an orderly stop, and prints the summary.

    Args:
        source, out, opening: as of ``open_study``. quiet: no progress. what: the work.
        show: print the score matrix. json: print the summary as JSON instead.
        view: the part of the study that is shown; all of it where left out.
    """
    from traitscope.cli.show import matrix_text, work_json, work_text
    from traitscope.study import Stopped

    opened, report = open_study(source, out, quiet=quiet, **opening)
    start = time.monotonic()
    try:
        with stop_on_signal() as asked, report:  # type: ignore[attr-defined]
            work = what(opened, asked)
    except Stopped:
        say(f"stopped; all finished units are in {opened.folder.root}", err=True)
        say("run the same command again to go on where it stopped", err=True)
        raise typer.Exit(asked.status) from None
    opened = opened if view is None else view(opened)
    if json:
        say_json(work_json(opened, work, time.monotonic() - start))
    elif show:
        say(matrix_text(opened))
    say(f"{opened.folder.root}: {work_text(work, time.monotonic() - start)}", err=True)
    if getattr(work, "part", None) is not None and not (plan := opened.plan()).complete:
        say(plan.left_text(), err=True)
    return opened
