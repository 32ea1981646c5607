"""The score matrix: models x tasks with base row, standard errors, seeds and missing cells."""

from traitscope.matrix.core import ScoreMatrix
from traitscope.matrix.noise import CellNoise, SeedNoise
from traitscope.matrix.paired import (
    PairedMeans,
    align_records,
    bootstrap_means,
    paired_means,
)
from traitscope.matrix.part import MatrixPart, looked_at
from traitscope.matrix.roles import Role
from traitscope.matrix.table import COLUMNS
from traitscope.matrix.views import View

read_matrix = ScoreMatrix.read

__all__ = [
    "COLUMNS",
    "CellNoise",
    "MatrixPart",
    "PairedMeans",
    "Role",
    "ScoreMatrix",
    "SeedNoise",
    "View",
    "align_records",
    "bootstrap_means",
    "looked_at",
    "paired_means",
    "read_matrix",
]
