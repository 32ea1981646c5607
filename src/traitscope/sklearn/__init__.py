"""Estimators after scikit-learn's conventions: traits, filling of missing cells, and gains from evidence on pairs.

They take arrays or frames of scores, models down and tasks across, NaN where a cell is missing, and go into pipelines,
``clone`` and ``GridSearchCV``. Their numbers are those of ``fit_traits`` and of the registered predictors.
"""

from traitscope.sklearn.evidence import EvidenceRidge, TransferPairs, transfer_pairs
from traitscope.sklearn.imputer import ScoreImputer
from traitscope.sklearn.pca import TraitPCA

__all__ = ["EvidenceRidge", "ScoreImputer", "TraitPCA", "TransferPairs", "transfer_pairs"]
