"""What the verbs share: their arguments, how errors and Ctrl-C are shown, how a study is opened."""

from __future__ import annotations

import functools
import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from traitscope.cli.completion import bases_of, models_of, study_files, tasks_of
from traitscope.cli.output import drop_output, say, say_error, width
from traitscope.cli.parsing import number
from traitscope.errors import TraitscopeError, is_out_of_memory, no_memory
from traitscope.texts import count_of, fitted

if TYPE_CHECKING:
    from traitscope.config import StudyConfig
    from traitscope.study import Reporter, Study

F = TypeVar("F", bound=Callable[..., Any])

StudyArgument = Annotated[
    Path,
    typer.Argument(
        help="A study file, or a run folder.", metavar="STUDY", show_default=True, autocompletion=study_files
    ),
]
OutOption = Annotated[
    Path | None, typer.Option("--out", "-o", help="The run folder. [default: runs/<study> beside the study file]")
]
ReplaceOption = Annotated[
    bool,
    typer.Option(
        "--replace", help="Put units that were made under other settings aside (in replaced/) and make them anew."
    ),
]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but the summary.")]

RunSdOption = Annotated[
    list[str] | None,
    typer.Option("--run-sd", help="Deviation between two runs, where it is known: points, or task=value in its unit."),
]

BudgetOption = Annotated[
    str | None, typer.Option("--budget", help="Share of the whole grid's cost that may be spent, such as 25%.")
]
MARGIN = 0.01
MarginOption = Annotated[
    float,
    typer.Option(
        "--margin",
        parser=number(0),
        metavar="NUMBER",
        help="With --budget: a difference of scores that does not matter.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print all of it as JSON, alone on standard output.")]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change a key of the study file: recipe.rank=16; may be repeated."),
]
TasksOption = Annotated[
    list[str] | None,
    typer.Option("--tasks", help="Only these tasks this time; with commas.", autocompletion=tasks_of),
]
ModelsOption = Annotated[
    list[str] | None,
    typer.Option("--models", help="Only these rows or sources this time; with commas.", autocompletion=models_of),
]
BaseOption = Annotated[
    list[str] | None,
    typer.Option(
        "--base", help="Of a study of several base models, these alone; with commas.", autocompletion=bases_of
    ),
]
OnOption = Annotated[
    str | None,
    typer.Option(
        "--on", metavar="WHERE", help="A Ray cluster does the work: ray (that of this machine), or ray://HOST."
    ),
]
ShardOption = Annotated[
    str | None, typer.Option("--shard", metavar="I/N", help="Only the I-th of N equal shares this time: 1/8 to 8/8.")
]
LimitOption = Annotated[
    int | None, typer.Option("--limit", min=1, help="At most this many rows of every target this time.")
]
ReportToOption = Annotated[
    list[str] | None,
    typer.Option(
        "--report-to",
        metavar="TRACKER",
        help="Tell losses and scores to tensorboard, wandb or trackio; none: to nobody. [default: as the study says]",
    ),
]
AllowCodeOption = Annotated[
    bool,
    typer.Option(
        "--allow-code",
        help="Run the programs that models write, each in a sandbox, where tasks are judged by tests (docs/code.md).",
    ),
]
TaskOption = Annotated[
    list[str] | None,
    typer.Option("--task", "-t", help="This task; may be repeated. [default: all]", autocompletion=tasks_of),
]
SEEDS = {"min": 0, "max": 2**32 - 1}

DEFAULT_STUDY = Path("study.yaml")
# A shell's status of a process that a signal ended: 128 and the signal's number.
INTERRUPTED = 128 + signal.SIGINT


def friendly(verb: F) -> F:
    """A verb whose user errors are one message and exit status 2, and whose Ctrl-C is status 130."""

    @functools.wraps(verb)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        try:
            with fitted(width()):
                return verb(*args, **kwargs)
        except BrokenPipeError:
            # The reader of our output (head, a pager) went away: not an error of ours.
            drop_output()
            raise typer.Exit(0) from None
        except Exception as error:
            told = _told(error)
            if told is None:
                raise
            say_error(told)
            raise typer.Exit(2) from None
        except KeyboardInterrupt:
            say("interrupted; run the same command again to go on", err=True)
            raise typer.Exit(INTERRUPTED) from None

    return wrapped  # type: ignore[return-value]


def _told(error: Exception) -> TraitscopeError | None:
    """An error as a user is told it; None for a fault of ours, which keeps its traceback."""
    if isinstance(error, TraitscopeError):
        return error
    if is_out_of_memory(error):
        return no_memory("this process")
    from traitscope.store.files import disk_problem

    told = disk_problem(error, getattr(error, "filename", None) or "the disk")
    if told is None and isinstance(error, OSError) and error.filename is not None:
        fix = "check the path, its permissions and the room on the disk"
        return TraitscopeError(error.strerror or str(error), where=str(error.filename), fix=fix)
    return told


def open_study(
    source: Path | StudyConfig,
    out: Path | None,
    *,
    quiet: bool = False,
    changes: Sequence[str] | None = None,
    bases: Sequence[str] | None = None,
    report_to: Sequence[str] | None = None,
    on: str | None = None,
    allow_code: bool = False,
    opened_as: Callable[[Study], None] | None = None,
    without_models: bool = False,
) -> tuple[Study, Reporter]:
    """The study that a verb's arguments name, and the reporter it talks to.

    Args:
        source, out, quiet, changes: as the verbs have them.
        bases: what ``--base`` says; of a study of several base models these alone.
        opened_as: is given the study before anything of it is asked of the Hub.
        without_models: something can be done where neither the Hub nor this disk has them.

    Raises:
        TraitscopeError: no such study, or ``--base`` for one that has none to choose from, or not that.
    """
    from traitscope.cli.hub import hub_models, moved_on, settled
    from traitscope.cli.reporter import hear_library, make_reporter
    from traitscope.study import BasesStudy, Study

    if source == DEFAULT_STUDY and not DEFAULT_STUDY.exists():
        raise TraitscopeError(
            "there is no study.yaml in this folder",
            fix="name a study file or a run folder, or write one with `traitscope init`",
        )
    report = make_reporter(quiet=quiet)
    hear_library(report)
    trackers = split_names(report_to, "--report-to")
    opened = Study.open(
        source, out, report=report, changes=changes or (), on=on, report_to=trackers, allow_code=allow_code
    )
    if (names := split_names(bases, "--base")) is not None:
        refuse_unused([(not isinstance(opened, BasesStudy), "--base")], "the study has one base model")
        assert isinstance(opened, BasesStudy)
        opened = opened.only(names)
    if opened_as is not None:
        opened_as(opened)
    models = hub_models(opened.config)
    if not models and all(task.data.hub is None and task.lm_eval is None for task in opened.config.tasks.values()):
        # Nothing may ask the network then, and bars of loading would break the live line.
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    elif not all(settled(part) for part in opened.by_base().values()):
        from traitscope.store.hub import without_waiting

        # A folder that was filled is analysed without its models.
        without_waiting(() if without_models or opened.folder.exists() else models)
        for line in moved_on(opened):
            report.note(line)
    return opened, report


def keep_findings(study: Study, changes: Sequence[str] | None) -> None:
    """Refuses changes that would put findings without some cells in the place of those of the whole folder.

    Raises:
        TraitscopeError: under the changes cells of the folder are left out.
    """
    for part in study.by_base().values():
        if changes and part.folder.exists() and (left_out := part.present().left_out):
            raise TraitscopeError(
                f"under it {count_of(len(left_out), 'cell')} would be left out, and the folder's findings replaced by "
                "ones without",
                where=f"--set {', '.join(changes)}",
                fix="leave it out, or fill another folder first (run --set ... --out DIR) and name that",
            )


def refuse_unused(given: Iterable[tuple[object, str]], says: str, fix: str = "leave it out") -> None:
    """Refuses the first option that was given and that nothing would heed.

    Args:
        given: whether it was, and the option. says: why it is none here. fix: what to write instead.

    Raises:
        TraitscopeError: one was given.
    """
    for was_given, option in given:
        if was_given:
            raise TraitscopeError(says, where=option, fix=fix)


@contextmanager
def working(report: Any = None, *, after_s: float = 2.0) -> Iterator[None]:
    """While an analysis runs, its loops are told to ``report`` (by default a new one), with the time they have left.

    Args:
        report: whom to tell. after_s: seconds in which nobody is told.
    """
    from traitscope.cli.reporter import make_reporter
    from traitscope.ticks import heard_by

    report = report if report is not None else make_reporter()
    opened = begun = time.monotonic()

    def tell(what: str, done: int, total: int, unit: str) -> None:
        nonlocal begun
        now = time.monotonic()
        if not done:
            begun = now  # what went on between two loops is no pace of the second
        elif now - opened >= after_s:
            per_s = done / max(now - begun, 1e-3)
            note = "" if what == unit else what
            report.progress(done, total, unit=unit, per_s=per_s, seconds_left=(total - done) / per_s, note=note)

    with report, heard_by(tell):
        yield


def split_names(given: Sequence[str] | None, option: str) -> list[str] | None:
    """The names of an option that may be repeated and may hold commas; None where it was not given.

    Raises:
        TraitscopeError: it was, and names nothing.
    """
    names = [name.strip() for text in given or () for name in text.split(",") if name.strip()]
    if given and not names:
        raise TraitscopeError("an empty list of names", where=option, fix="name one, or leave the option out")
    return list(dict.fromkeys(names)) or None


@dataclass
class Asked:
    """Whether Ctrl-C or SIGTERM was sent: called, it says so; ``status`` is the exit status that this gives."""

    status: int = 0

    def __call__(self) -> bool:
        return bool(self.status)


@contextmanager
def stop_on_signal() -> Iterator[Asked]:
    """Gives what says whether Ctrl-C (or SIGTERM) was sent; a second one ends the process at once."""
    asked = Asked()

    def ask(number: int, frame: Any) -> None:
        if asked():
            raise KeyboardInterrupt
        asked.status = 128 + number
        say("\nstopping: the work so far is being saved (once more: stop at once)", err=True)

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def read_share(text: str) -> float:
    """``25%`` or ``0.25`` as a share.

    Raises:
        TraitscopeError: neither, or not between 0 and 1.
    """
    number = text.strip()
    try:
        share = float(number[:-1]) / 100 if number.endswith("%") else float(number)
    except ValueError:
        share = -1.0
    if not 0 < share <= 1:
        raise TraitscopeError(f"cannot read {text!r}", where="--budget", fix="write a share such as 25%, or 0.25")
    return share


def read_run_sd(given: list[str] | None) -> float | dict[str, float] | None:
    """``2`` (points for all tasks) or ``task=value`` pairs; None where nothing is given.

    Raises:
        TraitscopeError: neither.
    """
    if not given:
        return None
    try:
        if len(given) == 1 and "=" not in given[0]:
            return _positive(given[0])
        pairs = [(task, _positive(value)) for task, _, value in (pair.rpartition("=") for pair in given)]
        if "" in dict(pairs) or len(dict(pairs)) < len(pairs):
            raise ValueError("one number for all tasks, or each task once")
        return dict(pairs)
    except ValueError as error:
        raise TraitscopeError(
            f"cannot read {', '.join(given)!r}",
            where="--run-sd",
            fix="write --run-sd 2 once, or --run-sd task=0.02 once for each task",
        ) from error


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise ValueError("a deviation is above 0")
    return value
