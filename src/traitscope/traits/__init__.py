"""Latent traits of a score matrix: how many, which tasks they are made of, and how sure one can be."""

from traitscope.traits.count import HeldOutCells, SequentialTest, TraitCount
from traitscope.traits.fit import fit_traits
from traitscope.traits.intervals import Intervals, Stability
from traitscope.traits.naming import TraitName
from traitscope.traits.null import PermutationNull
from traitscope.traits.options import TraitOptions
from traitscope.traits.render import render
from traitscope.traits.result import Traits
from traitscope.traits.skills import SkillAgreement

__all__ = [
    "HeldOutCells",
    "Intervals",
    "PermutationNull",
    "SequentialTest",
    "SkillAgreement",
    "Stability",
    "TraitCount",
    "TraitName",
    "TraitOptions",
    "Traits",
    "fit_traits",
    "render",
]
