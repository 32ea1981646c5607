"""The predictors that come with traitscope; importing this registers them."""

from __future__ import annotations

from traitscope.predict.baselines import additive, column_mean, other_bases
from traitscope.predict.low_rank import low_rank
from traitscope.predict.ppca import ppca
from traitscope.predict.residual_gp import factor_gp, residual_gp
from traitscope.predict.trait_regression import trait_regression

__all__ = [
    "additive",
    "column_mean",
    "factor_gp",
    "low_rank",
    "other_bases",
    "ppca",
    "residual_gp",
    "trait_regression",
]
