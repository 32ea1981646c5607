"""Side effects of transfer: gains, classes, lengths, asymmetry, controls, tags, surprises."""

from traitscope.effects.compute import measure_effects
from traitscope.effects.result import Effects

__all__ = ["Effects", "measure_effects"]
