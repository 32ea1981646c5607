"""The multi-adapter engine: one frozen base, many adapters, one pass."""

from traitscope.engine.arrow import alignments
from traitscope.engine.bank import Bank, Gated
from traitscope.engine.base import Base
from traitscope.engine.capture import capture
from traitscope.engine.generate import generate, generate_and_score, generate_each, sample, sample_and_score
from traitscope.engine.gradients import MeanGradient, mean_gradients
from traitscope.engine.jobs import TrainJob
from traitscope.engine.loading import load_base
from traitscope.engine.lora import Adapter, LoraSpec
from traitscope.engine.merge import merge_adapters
from traitscope.engine.plan import BankPlan, plan_bank
from traitscope.engine.sampling import Sampling
from traitscope.engine.score import score_options
from traitscope.engine.train import Interrupted, train
from traitscope.engine.trainer import TrainResult
from traitscope.engine.wrap import wrap_model
from traitscope.records import Progress, StepRecord

__all__ = [
    "Adapter",
    "Bank",
    "BankPlan",
    "Base",
    "Gated",
    "Interrupted",
    "LoraSpec",
    "MeanGradient",
    "Progress",
    "Sampling",
    "StepRecord",
    "TrainJob",
    "TrainResult",
    "alignments",
    "capture",
    "generate",
    "generate_and_score",
    "generate_each",
    "load_base",
    "mean_gradients",
    "merge_adapters",
    "plan_bank",
    "sample",
    "sample_and_score",
    "score_options",
    "train",
    "wrap_model",
]
