"""How a study tells its caller what it is doing. Library code never prints: it calls one of these."""

from __future__ import annotations

from typing import Protocol

from traitscope.records import Progress


class Reporter(Protocol):
    """What the command line (or a notebook) shows while a study runs."""

    def stage(self, text: str) -> None:
        """A new piece of work begins: a bank, a group of cells, the analysis."""

    def progress(
        self, done: float, total: float, *, unit: str, per_s: float, seconds_left: float, note: str = ""
    ) -> None:
        """How far the present piece is: ``done`` of ``total``, in ``unit`` (tokens, rows), and its speed."""

    def finished(self, unit: str, text: str = "") -> None:
        """A unit (adapter or cell) was committed."""

    def note(self, text: str) -> None:
        """Something the user should know."""


class Silent:
    """A reporter that says nothing."""

    def stage(self, text: str) -> None:
        """Says nothing."""

    def progress(
        self, done: float, total: float, *, unit: str, per_s: float, seconds_left: float, note: str = ""
    ) -> None:
        """Says nothing."""

    def finished(self, unit: str, text: str = "") -> None:
        """Says nothing."""

    def note(self, text: str) -> None:
        """Says nothing."""


class Under:
    """A reporter that says of whom it speaks, and tells another one."""

    def __init__(self, report: Reporter, name: str) -> None:
        self._report = report
        self._name = name

    def stage(self, text: str) -> None:
        """As the other, with the name before it."""
        self._report.stage(f"{self._name}: {text}")

    def progress(
        self, done: float, total: float, *, unit: str, per_s: float, seconds_left: float, note: str = ""
    ) -> None:
        """As the other."""
        self._report.progress(done, total, unit=unit, per_s=per_s, seconds_left=seconds_left, note=note)

    def finished(self, unit: str, text: str = "") -> None:
        """As the other, with the name before the unit."""
        self._report.finished(f"{self._name}/{unit}", text)

    def note(self, text: str) -> None:
        """As the other, with the name before it."""
        self._report.note(f"{self._name}: {text}")


def show_tokens(report: Reporter, *parts: Progress) -> None:
    """Tells how far the orders under way are, all together; the last one spoke last."""
    share = parts[-1].share_of_peak
    report.progress(
        sum(part.done_tokens for part in parts),
        sum(part.total_tokens for part in parts),
        unit="tokens",
        per_s=sum(part.tokens_per_s for part in parts),
        seconds_left=max(part.seconds_left for part in parts),
        note=parts[-1].note or (f"at {share:.0%} of the device's full speed" if share is not None else ""),
    )


class Stopped(Exception):
    """The work was asked to stop; everything committed so far is kept and the bank's state is saved."""
