"""Progress on a terminal (one live line) and off it (plain lines with the time)."""

from __future__ import annotations

import logging
import sys
import time
from contextlib import suppress
from datetime import datetime
from types import TracebackType
from typing import Any

from traitscope.cli.output import in_colour, width
from traitscope.study.planning import duration
from traitscope.study.progress import Reporter, Silent
from traitscope.texts import safe

EVERY_S = 10.0


class Plain:
    """Lines with the time of day; progress at most every ten seconds."""

    def __init__(self, every_s: float = EVERY_S) -> None:
        self.every_s = every_s
        self._last = time.monotonic()

    def __enter__(self) -> Plain:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def stage(self, text: str) -> None:
        """A new piece of work."""
        self._last = time.monotonic()
        self._line(text)

    def progress(
        self, done: float, total: float, *, unit: str, per_s: float, seconds_left: float, note: str = ""
    ) -> None:
        """How far it is."""
        if time.monotonic() - self._last < self.every_s:
            return
        self._last = time.monotonic()
        self._line("  " + progress_words(done, total, unit, per_s, seconds_left, note))

    def finished(self, unit: str, text: str = "") -> None:
        """A unit was committed."""
        self._line(f"  {unit}  {text}")

    def note(self, text: str) -> None:
        """Something to know."""
        self._line(f"note: {text}")

    def _line(self, text: str) -> None:
        now = datetime.now().astimezone().strftime("%H:%M:%S")
        with suppress(OSError):  # nobody listens
            print(f"{now} {safe(text, line=True)}", file=sys.stderr, flush=True)  # noqa: T201  (the command line)


class Live:
    """One live line under the lines of finished units, by rich."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

        self._console = Console(stderr=True, no_color=not in_colour(sys.stderr))
        columns = width(sys.stderr) or 80
        # What is done and the time left come first: a narrow terminal cuts what stands behind them.
        bar = [BarColumn(bar_width=24)] if columns >= 100 else []
        self._bar = Progress(
            SpinnerColumn(),
            *bar,
            TextColumn("{task.fields[words]}", markup=False),
            TextColumn("{task.description}", markup=False),
            console=self._console,
            transient=True,
        )
        self._task: Any = None

    def __enter__(self) -> Live:
        if self._task is not None:
            self._bar.remove_task(self._task)
            self._task = None
        self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._bar.stop()

    def stage(self, text: str) -> None:
        """A new piece of work."""
        if self._task is not None:
            self._bar.remove_task(self._task)
        text = safe(text, line=True)
        self._task = self._bar.add_task(text, total=None, words="")
        self._console.print(text, style="bold", highlight=False, markup=False)

    def progress(
        self, done: float, total: float, *, unit: str, per_s: float, seconds_left: float, note: str = ""
    ) -> None:
        """How far it is."""
        if self._task is None:
            self.stage(note or "working")
        words = progress_words(done, total, unit, per_s, seconds_left, note)
        self._bar.update(self._task, completed=done, total=total, words=safe(words, line=True))

    def finished(self, unit: str, text: str = "") -> None:
        """A unit was committed."""
        self._console.print(safe(f"  {unit}  {text}", line=True), highlight=False, markup=False)

    def note(self, text: str) -> None:
        """Something to know."""
        self._console.print(safe(f"note: {text}", line=True), style="yellow", highlight=False, markup=False)


class Quiet(Silent):
    """Says nothing, and may stand where the others do."""

    def __enter__(self) -> Quiet:
        return self

    def __exit__(self, *_: object) -> None:
        pass


class _Notes(logging.Handler):
    """What the library logs, as notes of the run under way."""

    def __init__(self, report: Reporter) -> None:
        super().__init__(logging.WARNING)
        self.report = report

    def emit(self, record: logging.LogRecord) -> None:
        """One note."""
        self.report.note(record.getMessage())


def hear_library(report: Reporter) -> None:
    """From here on ``report`` is told what the library logs, and nobody else."""
    logger = logging.getLogger("traitscope")
    for handler in [one for one in logger.handlers if isinstance(one, _Notes)]:
        logger.removeHandler(handler)
    logger.addHandler(_Notes(report))


def make_reporter(*, quiet: bool = False) -> Any:
    """The reporter for where standard error goes; use it as a context manager."""
    if quiet:
        return Quiet()
    return Live() if sys.stderr.isatty() else Plain()


def progress_words(done: float, total: float, unit: str, per_s: float, seconds_left: float, note: str) -> str:
    """``12,000 of 40,000 tokens, 6 s left, 5,100 tokens/s``."""
    words = f"{done:,.0f} of {total:,.0f} {unit}, {duration(seconds_left)} left"
    words += f", {per_s:,.0f} {unit}/s" if per_s >= 1 else ""
    return f"{words}, {note}" if note else words


__all__ = ["Live", "Plain", "Quiet", "Reporter", "hear_library", "make_reporter", "progress_words"]
