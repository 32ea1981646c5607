"""Where work runs. A study decides what is to be done and commits it; a backend computes.

``Local`` is this process: its processor, or one GPU. ``Pool`` is several processes of this machine. Both are a
``Backend``, and anything else that is one will do. Several runs, on one machine or on several that see the same disk,
may fill one run folder: leases keep them apart.
"""

from traitscope.compute.backend import Backend, BackendLost, ModelFacts, answer
from traitscope.compute.orders import (
    Adapted,
    Adapter,
    Capture,
    Checkpoint,
    Done,
    Evaluate,
    Event,
    Final,
    Lost,
    Order,
    Records,
    Refused,
    ScoringPlan,
    States,
    Train,
    TrainingJob,
    TrainingPlan,
)
from traitscope.compute.processes import processes_for

__all__ = [
    "Adapted",
    "Adapter",
    "Backend",
    "BackendLost",
    "Capture",
    "Checkpoint",
    "Done",
    "Evaluate",
    "Event",
    "Final",
    "Lost",
    "ModelFacts",
    "Order",
    "Records",
    "Refused",
    "ScoringPlan",
    "States",
    "Train",
    "TrainingJob",
    "TrainingPlan",
    "answer",
    "processes_for",
]
