"""What backends of several workers have in common: questions, which any one of their workers answers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from traitscope.compute.backend import ModelFacts
from traitscope.compute.orders import ScoringPlan, TrainingJob, TrainingPlan
from traitscope.compute.worker import Inspect, PlanBanks, PlanScoring, Question
from traitscope.store.models import ModelSource


class Asking(ABC):
    """The methods of ``Backend`` that ask a worker. ``size`` is how many workers there are to be."""

    size: int

    @abstractmethod
    def _ask(self, question: Question) -> ModelFacts | list[TrainingPlan] | ScoringPlan:
        """A worker's answer."""

    def inspect(self, model: ModelSource) -> ModelFacts:
        """See ``Backend``."""
        found = self._ask(Inspect(model))
        assert isinstance(found, ModelFacts)
        return found

    def plan_training(self, model: ModelSource, jobs: Sequence[TrainingJob]) -> list[TrainingPlan]:
        """See ``Backend``: one bank for each worker."""
        found = self._ask(PlanBanks(model, tuple(jobs), max(1, self.size)))
        assert isinstance(found, list)
        return found

    def plan_scoring(self, model: ModelSource) -> ScoringPlan:
        """See ``Backend``."""
        found = self._ask(PlanScoring(model))
        assert isinstance(found, ScoringPlan)
        return found
