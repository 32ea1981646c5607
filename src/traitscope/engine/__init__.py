"""The multi-adapter engine: one frozen base, many adapters, one pass."""

from traitscope.engine.bank import Bank, Gated
from traitscope.engine.base import Base, load_base, wrap_model
from traitscope.engine.jobs import Progress, StepRecord, TrainJob
from traitscope.engine.lora import Adapter, LoraSpec
from traitscope.engine.plan import BankPlan, plan_bank
from traitscope.engine.train import Interrupted, TrainResult, train

__all__ = [
    "Adapter",
    "Bank",
    "BankPlan",
    "Base",
    "Gated",
    "Interrupted",
    "LoraSpec",
    "Progress",
    "StepRecord",
    "TrainJob",
    "TrainResult",
    "load_base",
    "plan_bank",
    "train",
    "wrap_model",
]
