"""Side effects of transfer: gains, classes, lengths, asymmetry, controls, tags, surprises; explained."""

from traitscope.effects.across import across_bases
from traitscope.effects.across_result import Across
from traitscope.effects.compute import measure_effects
from traitscope.effects.explain import explain, explain_outcomes
from traitscope.effects.explanation import Explanation
from traitscope.effects.result import Effects

__all__ = ["Across", "Effects", "Explanation", "across_bases", "explain", "explain_outcomes", "measure_effects"]
