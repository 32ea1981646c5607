"""What the steps of a run share: leases around orders, commits of what comes back, stops, progress."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property

from traitscope.compute import Backend, Event, Final, Lost, Order, Refused
from traitscope.config import StudyConfig
from traitscope.errors import TraitscopeError
from traitscope.records import Progress
from traitscope.store import LeaseLost, Leases, RunFolder
from traitscope.store.pulse import Pulses
from traitscope.study.data import StudyData
from traitscope.study.part import Part
from traitscope.study.progress import Reporter, Stopped, show_tokens
from traitscope.study.state import State, Units, find_state
from traitscope.study.tracking import Tracking

# How often in a row a unit may be lost with the process that worked on it.
TRIES = 3


def _raise(refused: Refused) -> None:
    raise refused.error()


@dataclass(frozen=True, slots=True)
class Step:
    """One unit of work: leased, ordered from the backend, committed.

    Attributes:
        unit: the lease.
        order: makes the order, once the lease is held; None if there is nothing left to do.
        receive: what to do with an event of the order; commits are made under the lease.
        refused: what to do if the order cannot be carried out; by default that ends the run.
    """

    unit: str
    order: Callable[[], Order | None]
    receive: Callable[[Event], None]
    refused: Callable[[Refused], None] = _raise


@dataclass
class Work:
    """One process filling one run folder.

    Attributes:
        every_s: seconds between checkpoints of a bank.
        asked_to_stop: asked between units and after every step.
        trained, evaluated, rescored, captured: units that this run committed.
        tokens: trained by this run.
        unreadable: datasets that the base cannot read; they are tried once a run.
        part: what this run is about; None for all of the study.
        tracking: whom steps and scores are told.
        allow_code: programs that models write may be run.
    """

    config: StudyConfig
    folder: RunFolder
    leases: Leases
    data: StudyData
    units: Units
    backend: Backend
    report: Reporter
    every_s: float = 60.0
    asked_to_stop: Callable[[], bool] = lambda: False
    trained: list[str] = field(default_factory=list)
    evaluated: list[str] = field(default_factory=list)
    rescored: list[str] = field(default_factory=list)
    captured: list[str] = field(default_factory=list)
    tokens: int = 0
    unreadable: set[str] = field(default_factory=set)
    part: Part | None = None
    tracking: Tracking = field(default_factory=Tracking)
    allow_code: bool = False
    _under_way: dict[str, Progress] = field(default_factory=dict)
    _lost: Counter[str] = field(default_factory=Counter)

    def state(self) -> State:
        """Where what this run is about stands at this moment."""
        return find_state(self.wanted, self.folder, self.data)

    @cached_property
    def wanted(self) -> Units:
        """The units that this run is about."""
        return self.units if self.part is None else self.part.of(self.units, self.data)

    def stop_if_asked(self) -> None:
        """Ends the run between two units.

        Raises:
            Stopped: somebody asked for it.
        """
        if self.asked_to_stop():
            raise Stopped

    def wait(self, seconds: float) -> None:
        """Sleeps, but not through a request to stop."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.stop_if_asked()
            time.sleep(min(0.1, max(0.0, end - time.monotonic())))

    @contextmanager
    def leased(self, unit: str) -> Iterator[bool]:
        """Holds a unit while something is done to it; False if another process holds it."""
        if not self.leases.acquire(unit):
            yield False
            return
        try:
            yield True
        finally:
            self.leases.release(unit)

    def carry_out(self, steps: Iterable[Step]) -> bool:
        """Has the backend do what no other process does; True if something is left to others, or was lost.

        Raises:
            Stopped: the run was asked to stop; what was under way is saved as far as it can be.
            TraitscopeError: an order cannot be carried out, or was lost again and again.
        """
        held: dict[str, Step] = {}
        left = False

        def orders() -> Iterator[Order]:
            nonlocal left
            for step in steps:
                if self.asked_to_stop():
                    return
                if not self.leases.acquire(step.unit):
                    left = True
                    continue
                held[step.unit] = step
                try:
                    order = step.order()
                except LeaseLost as lost:
                    self.report.note(str(lost))
                    left, order = True, None
                if order is None:
                    self._let_go(held, step.unit)
                else:
                    yield order

        def receive(order: Order, event: Event) -> None:
            nonlocal left
            if order.key not in held:
                return  # it has ended: a machine that was given up may still speak
            if isinstance(event, Progress):
                self._show(order.key, event)
                return
            final = isinstance(event, Final)
            try:
                if isinstance(event, Lost):
                    left = True
                    self._note_loss(order.key, event)
                elif isinstance(event, Refused):
                    held[order.key].refused(event)
                else:
                    self._lost.pop(order.key, None)
                    held[order.key].receive(event)
            except LeaseLost as lost:
                left = True
                if final:
                    self.report.note(str(lost))
            finally:
                if final:
                    self._let_go(held, order.key)

        try:
            self.backend.work(orders(), receive, lambda order: self.asked_to_stop() or self.leases.lost(order.key))
            for unit in held:
                left = True
                self._note_loss(unit, Lost("the backend ended without an answer"))
        finally:
            for unit in list(held):
                self._let_go(held, unit)
        self.stop_if_asked()
        return left

    @cached_property
    def pulses(self) -> Pulses:
        """What whoever looks on is told of the units under way."""
        return Pulses(self.leases.folder)

    def _let_go(self, held: dict[str, Step], unit: str) -> None:
        self._under_way.pop(unit, None)
        self.pulses.end(unit)
        del held[unit]
        self.leases.release(unit)

    def _note_loss(self, unit: str, event: Lost) -> None:
        if self.asked_to_stop() or self.leases.lost(unit):
            return
        self._lost[unit] += 1
        self.report.note(f"{unit}: {event.why}")
        if self._lost[unit] >= TRIES:
            raise TraitscopeError(
                f"was lost {TRIES} times: {event.why}",
                where=unit,
                fix="see what ends it (memory, a limit of the machine), then run the same command again",
            )

    def _show(self, unit: str, progress: Progress) -> None:
        self._under_way.pop(unit, None)
        self._under_way[unit] = progress
        self.tracking.steps(progress.steps)
        self.pulses.tell(unit, progress)
        show_tokens(self.report, *self._under_way.values())
