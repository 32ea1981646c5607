"""Backends that stand in for a machine: what a study needs of one, and nothing of the engine."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from traitscope.compute import (
    Event,
    ModelFacts,
    Order,
    ScoringPlan,
    TrainingJob,
    TrainingPlan,
)
from traitscope.compute.backend import Receive, ShouldStop
from traitscope.compute.local import Local
from traitscope.store.models import ModelSource


class Idle:
    """Refuses to compute anything: for what must need no model."""

    def inspect(self, model: ModelSource) -> ModelFacts:
        raise AssertionError(f"{model} was loaded")

    def plan_training(self, model: ModelSource, jobs: Sequence[TrainingJob]) -> list[TrainingPlan]:
        raise AssertionError("a training was planned")

    def plan_scoring(self, model: ModelSource) -> ScoringPlan:
        raise AssertionError("a scoring was planned")

    def work(self, orders: Iterable[Order], receive: Receive, should_stop: ShouldStop) -> None:
        for order in orders:
            raise AssertionError(f"ordered: {order.key}")


class Changed(Local):
    """This process, with some orders answered by hand: ``instead`` gives their events, or None for the real ones."""

    def __init__(self, instead: Callable[[Order], list[Event] | None]) -> None:
        super().__init__()
        self.instead = instead

    def carry_out(self, order: Order, emit: Callable[[Event], None], should_stop: Callable[[], bool]) -> None:
        events = self.instead(order)
        if events is None:
            super().carry_out(order, emit, should_stop)
        for event in events or ():
            emit(event)
