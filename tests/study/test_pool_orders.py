"""The pool and its processes, told what to do by hand: stops, errors, and processes that end; no model, no torch."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from traitscope.compute import BackendLost, Capture, Event, Order, Train, pool
from traitscope.compute.backend import answer
from traitscope.compute.orders import Checkpoint, Done, Lost, Refused, States, TrainingPlan
from traitscope.compute.pool import REPLACED, Pool
from traitscope.config import ComputeConfig
from traitscope.errors import TraitscopeError
from traitscope.records import Progress
from traitscope.store.models import ModelSource

# The real loop of a worker around a backend that does what an order's key says.
WORKER = """
import sys, time, types
from traitscope.compute.orders import Checkpoint, Done
from traitscope.errors import TraitscopeError
from traitscope.records import Progress

class Local:
    def __init__(self, config):
        pass

    def carry_out(self, order, emit, should_stop):
        if order.key == "fault":
            raise ZeroDivisionError("ours")
        if order.key == "mistake":
            raise TraitscopeError("theirs", where="there")
        emit(Progress(1, 2, 1.0, None, 1.0, ""))
        end = time.monotonic() + 20
        while order.key == "endless" and not should_stop() and time.monotonic() < end:
            time.sleep(0.01)
        stopped = should_stop()
        if stopped:
            emit(Checkpoint(b"state"))
        emit(Done(stopped))

sys.modules["traitscope.compute.local"] = types.SimpleNamespace(Local=Local)
from traitscope.compute.worker import main
main(int(sys.argv[1]))
"""
MODEL = ModelSource("m", None, "fp32")
PLAN = TrainingPlan(jobs=(), threads=1, device="cpu", bank={})


def train(key: str) -> Train:
    return Train(key=key, model=MODEL, jobs=(), plan=PLAN, checkpoint=None, every_s=60.0)


def capture(key: str) -> Capture:
    task: Any = None
    return Capture(key=key, model=MODEL, models={}, task=task, examples=(), position="last")


def started(monkeypatch: pytest.MonkeyPatch, command: list[str]) -> list[int]:
    """What processes of a pool are started with; the handles of those that are, as they come."""
    handles: list[int] = []

    def fake(handle: int) -> list[str]:
        handles.append(handle)
        return [*command, str(handle)]

    monkeypatch.setattr(pool, "command", fake)
    return handles


@pytest.fixture
def two(monkeypatch: pytest.MonkeyPatch) -> Iterator[Pool]:
    started(monkeypatch, [sys.executable, "-c", WORKER])
    with Pool(ComputeConfig(threads=1), 2, root=Path()) as made:
        yield made


def events_of(backend: Pool, orders: list[Order], stop: bool = False) -> list[Event]:
    """What comes of the orders, which are asked to stop once they have begun."""
    found: list[Event] = []
    backend.work(iter(orders), lambda _, event: found.append(event), lambda _: stop and bool(found))
    return [event for event in found if not isinstance(event, Progress)]


def test_every_training_is_told_to_stop_and_a_stop_is_over_with_its_order(two: Pool) -> None:
    for _ in range(2):
        assert events_of(two, [train("endless")], stop=True) == [Checkpoint(b"state"), Done(stopped=True)]
    assert events_of(two, [train("short")]) == [Done()]


def test_an_error_lets_the_trainings_under_way_hand_over_their_states(two: Pool) -> None:
    found: list[tuple[str, Event]] = []

    def receive(order: Order, event: Event) -> None:
        before = {key for key, _ in found}
        found.append((order.key, event))
        # Once both are under way.
        if before != {"endless", "short"} == {key for key, _ in found} == {"endless", "short"}:
            raise OSError("the disk is full")

    orders = iter([train("endless"), train("short")])
    with pytest.raises(OSError, match="the disk is full"):
        two.work(orders, receive, lambda _: False)
    assert ("endless", Checkpoint(b"state")) in found


def test_an_error_of_ours_comes_with_its_traceback_and_one_of_theirs_as_it_was(two: Pool) -> None:
    with pytest.raises(RuntimeError, match=r"(?s)in a process of this run:.*carry_out.*ZeroDivisionError: ours"):
        events_of(two, [train("fault")])
    with pytest.raises(TraitscopeError) as raised:
        events_of(two, [train("mistake")])
    assert (raised.value.what, raised.value.where) == ("theirs", "there")


def test_processes_that_end_by_themselves_are_replaced_twice_and_those_we_end_always(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    handles = started(monkeypatch, ["sh", "-c", "exec sleep 60"])
    with Pool(ComputeConfig(threads=1), 1) as made:
        found: list[Event] = []
        for _ in range(REPLACED):
            made.work(iter([capture("asked")]), lambda _, event: found.append(event), lambda _: True)
        assert found == REPLACED * [Lost("it was asked to stop")]
        # Its end of the pipe is closed while the process is still there for a moment.
        handles = started(
            monkeypatch, [sys.executable, "-c", "import os, sys, time\nos.close(int(sys.argv[1])); time.sleep(0.2)"]
        )
        made.work(iter([capture("asked")]), lambda _, event: None, lambda _: True)
        lost: list[Event] = []
        with pytest.raises(BackendLost, match="every process of this run ended early"):
            made.work(iter([capture(str(k)) for k in range(9)]), lambda _, event: lost.append(event), lambda _: False)
    assert len(handles) == len(lost) == 1 + REPLACED


class Answering:
    """Gives these events to its one order."""

    def __init__(self, *events: Event) -> None:
        self.events = events

    def work(self, orders: Any, receive: Any, should_stop: Any) -> None:
        for order in orders:
            for event in self.events:
                receive(order, event)


def test_a_single_order_gives_its_result_or_an_error() -> None:
    told: list[Progress] = []
    progress, states = Progress(1, 2, 1.0, None, 1.0, ""), States({}, 0)

    def ask(*events: Event) -> object:
        backend: Any = Answering(*events)
        return answer(backend, capture("one"), told.append)

    assert ask(progress, states) is states and told == [progress]
    with pytest.raises(BackendLost, match="one: the node is gone"):
        ask(Lost("the node is gone"))
    with pytest.raises(TraitscopeError, match="here: too long"):
        ask(Refused("too long", "here", "cut it"))
