"""Latent traits of a score matrix: how many, which tasks they are made of, and how sure one can be."""

from traitscope.traits.fit import fit_traits
from traitscope.traits.null import PermutationNull, permutation_null
from traitscope.traits.render import render
from traitscope.traits.result import Traits

__all__ = ["PermutationNull", "Traits", "fit_traits", "permutation_null", "render"]
