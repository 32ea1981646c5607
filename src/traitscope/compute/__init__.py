"""Where work runs. A study decides what is to be done and commits it; a backend computes.

``Local`` is this process: its processor, or one GPU. ``Pool`` is several processes of this machine, ``Cluster`` workers
on the machines of a Ray cluster. Each is a ``Backend``, and anything else that is one will do. Several runs, on one
machine or on several that see the same disk, may fill one run folder: leases keep them apart.
"""

from traitscope.compute.backend import Backend, BackendLost, ModelFacts, answer
from traitscope.compute.orders import (
    MERGES,
    Adapted,
    Adapter,
    Align,
    Alignments,
    Capture,
    Checkpoint,
    Differentiate,
    Diverged,
    Done,
    Evaluate,
    Event,
    Final,
    Gradient,
    Gradients,
    Lost,
    Merge,
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
    "MERGES",
    "Adapted",
    "Adapter",
    "Align",
    "Alignments",
    "Backend",
    "BackendLost",
    "Capture",
    "Checkpoint",
    "Differentiate",
    "Diverged",
    "Done",
    "Evaluate",
    "Event",
    "Final",
    "Gradient",
    "Gradients",
    "Lost",
    "Merge",
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
