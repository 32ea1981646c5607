"""The seam between a study and the machines: what a backend offers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from traitscope.compute.orders import (
    Adapter,
    Alignments,
    Event,
    Lost,
    Order,
    Records,
    Refused,
    ScoringPlan,
    States,
    TrainingJob,
    TrainingPlan,
)
from traitscope.errors import TraitscopeError
from traitscope.records import Progress
from traitscope.store.models import ModelSource

Receive = Callable[[Order, Event], None]
ShouldStop = Callable[[Order], bool]


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """A model as it was loaded: the Hub commit (None for a folder), its precision, and its fingerprint."""

    revision: str | None
    precision: str
    fingerprint: str


class Backend(Protocol):
    """Where work runs. It takes orders and gives events; it never reads or writes a run folder's state.

    The study decides what is ordered, holds the leases and commits what comes back. Everything passed either way is
    typed, can be pickled, and needs no torch on the study's side.
    """

    def inspect(self, model: ModelSource) -> ModelFacts:
        """Loads a model and says what it turned out to be.

        Raises:
            TraitscopeError: it is missing, or no causal language model.
        """

    def plan_training(self, model: ModelSource, jobs: Sequence[TrainingJob]) -> list[TrainingPlan]:
        """Divides jobs into banks that can be trained at the same time, each with its plan."""

    def plan_scoring(self, model: ModelSource) -> ScoringPlan:
        """How models on this base are evaluated here."""

    def work(self, orders: Iterable[Order], receive: Receive, should_stop: ShouldStop) -> None:
        """Carries out orders; the next one is taken from ``orders`` when there is room for it, not before.

        ``receive`` and the iteration of ``orders`` happen in the caller's thread. Every order ends in exactly one
        event that is a ``Final``.

        Args:
            should_stop: asked for every order under way. A training then hands over its state and ends in Done, what
                else is under way is given up as Lost.

        Raises:
            BackendLost: nothing is left that could work.
        """


class BackendLost(TraitscopeError):
    """A backend can do no more work; another may."""


Answer = Records | States | Alignments | Adapter


def answer(backend: Backend, order: Order, progress: Callable[[Progress], None] | None = None) -> Answer:
    """The result of a single order that has one.

    Raises:
        TraitscopeError: it cannot be carried out.
    """
    found: list[Answer] = []

    def receive(_: Order, event: Event) -> None:
        if isinstance(event, Answer):
            found.append(event)
        elif isinstance(event, Progress) and progress is not None:
            progress(event)
        elif isinstance(event, Refused):
            raise event.error()
        elif isinstance(event, Lost):
            raise BackendLost(event.why, where=order.key, fix="run the same command again")

    backend.work([order], receive, lambda _: False)
    return found[0]
