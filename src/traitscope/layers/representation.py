"""One model's states of one task at one layer, with everything comparisons share computed once.

Every comparison starts from the centred Gram matrix (n x n) or, for the singular values, from whichever of
Gram and covariance (D x D) is smaller. Both are kept in float64.
"""

from __future__ import annotations

import copy
from functools import cached_property
from typing import Literal

import numpy as np

__all__ = ["Precision", "Representation", "linear_gram"]

Precision = Literal["auto", "float64", "float32"]

_BLOCK = 1024
_CONSTANT = 1e-12
_NOTHING_LEFT = 1e-9
_AUTO_FLOAT64 = 2e8


def linear_gram(x_SD: np.ndarray, *, precision: Precision = "float64", block: int = _BLOCK) -> np.ndarray:
    """Inner products of all pairs of rows, summed over blocks of features in float64.

    Args:
        x_SD: rows to compare, float.
        precision: ``"float64"`` multiplies in float64; ``"float32"`` multiplies blocks in float32 and adds
            them in float64 (CKA differs by about 1e-7, twice as fast); ``"auto"`` takes float32 above 2e8 products.
        block: features per product; bounds the temporary memory.

    Returns:
        gram_SS, float64, exactly symmetric.
    """
    n, d = x_SD.shape
    if precision == "auto":
        precision = "float64" if n * n * d <= _AUTO_FLOAT64 else "float32"
    gram_SS = np.zeros((n, n))
    for start in range(0, d, block):
        part_SB = np.ascontiguousarray(x_SD[:, start : start + block], dtype=precision)
        gram_SS += part_SB @ part_SB.T
    return gram_SS


def _centre(gram_SS: np.ndarray) -> np.ndarray:
    row_S = gram_SS.mean(axis=0)
    gram_SS -= row_S
    gram_SS -= row_S[:, None] - row_S.mean()
    return gram_SS


class Representation:
    """Centred states x_SD of one (model, task, layer) and their cached Gram, distances and spectrum.

    Args:
        x_SD: rows = examples, columns = features; finite.
        precision: see `linear_gram`.
        variant: ``"raw"``; ``"z"`` divides every feature by its standard deviation, so that no single
            dimension rules; ``"top"`` removes the largest principal components, max(1, D // 100) of them (Mu
            and Viswanath 2018, arXiv 1702.01417, section 3.2).

    ``undefined`` says why no comparison is possible (constant states, too few rows), else it is None.
    """

    def __init__(
        self, x_SD: np.ndarray, *, precision: Precision = "auto", variant: Literal["raw", "z", "top"] = "raw"
    ) -> None:
        self.n, self.d = x_SD.shape
        self.precision: Precision = precision
        self.variant = variant
        mean_D = x_SD.mean(axis=0, dtype=np.float64)
        wide = precision == "float64" or (precision == "auto" and self.n * self.n * self.d <= _AUTO_FLOAT64)
        dtype = np.float64 if wide else np.float32
        # A mean rounded to float32 shifts all rows alike, which the centring of the Gram matrix takes away again.
        centred_SD = x_SD.astype(dtype, copy=False) - mean_D.astype(dtype)
        total = float(np.einsum("sd,sd->", centred_SD, centred_SD, dtype=np.float64))
        size = total + self.n * float(mean_D @ mean_D)
        self.undefined: str | None = None
        if self.n < 4:
            self.undefined = f"{self.n} examples, at least 4 are needed"
        elif total <= _CONSTANT * size or total == 0.0:
            self.undefined = "constant: every example has the same state here"
        if variant == "z":
            sd_D = np.sqrt(np.einsum("sd,sd->d", centred_SD, centred_SD, dtype=np.float64) / self.n)
            alive_D = sd_D > np.sqrt(_CONSTANT) * np.abs(mean_D)
            centred_SD = centred_SD / np.where(alive_D, sd_D, np.inf).astype(centred_SD.dtype)
        self.x_SD = centred_SD
        self.embedded: dict[tuple[str, int], np.ndarray] = {}
        if variant == "top" and self.undefined is None:
            if self._removed >= self.n - 1:
                self.undefined = f"{self.n} examples leave nothing after {self._removed} components are removed"
            elif float(np.trace(self.gram_SS)) <= _NOTHING_LEFT * total:
                self.undefined = f"nothing is left after {self._removed} components are removed"

    @property
    def _removed(self) -> int:
        return max(1, self.d // 100)

    def rows(self, rows_S: np.ndarray) -> Representation:
        """The same features for some examples only, centred anew; scales and removed components stay."""
        part = copy.copy(self)
        for name in ("sqdist_SS", "eigenvalues", "factor_SR"):
            part.__dict__.pop(name, None)
        part.embedded = {}
        part.n = len(rows_S)
        part.x_SD = self.x_SD[rows_S] - self.x_SD[rows_S].mean(axis=0)
        part.__dict__["gram_SS"] = _centre(self.gram_SS[np.ix_(rows_S, rows_S)])
        if float(np.trace(part.gram_SS)) <= _CONSTANT * float(np.trace(self.gram_SS)):
            part.undefined = self.undefined or "constant: these examples have the same state here"
        return part

    @cached_property
    def gram_SS(self) -> np.ndarray:
        """Double-centred linear Gram matrix, float64."""
        gram_SS = linear_gram(self.x_SD, precision=self.precision)
        if self.variant == "top":
            gram_SS = self._without_top(gram_SS)
        # Features were centred already; this takes away what rounding left.
        return _centre(gram_SS)

    def _without_top(self, gram_SS: np.ndarray) -> np.ndarray:
        from scipy.linalg import eigh

        values_K, vectors_SK = eigh(gram_SS, subset_by_index=[self.n - self._removed, self.n - 1])
        return gram_SS - (vectors_SK * values_K) @ vectors_SK.T

    @cached_property
    def sqdist_SS(self) -> np.ndarray:
        """Squared Euclidean distances between rows, from the Gram matrix; never negative, zero diagonal."""
        squares_S = np.diag(self.gram_SS)
        sqdist_SS = squares_S[:, None] + squares_S[None, :] - 2.0 * self.gram_SS
        np.maximum(sqdist_SS, 0.0, out=sqdist_SS)
        np.fill_diagonal(sqdist_SS, 0.0)
        return sqdist_SS

    @cached_property
    def eigenvalues(self) -> np.ndarray:
        """Eigenvalues of the centred Gram matrix, largest first, min(n, D) of them, never negative."""
        if self.d < self.n and self.variant != "top":
            x_SD = self.x_SD.astype(np.float64, copy=False)
            square = x_SD.T @ x_SD
        else:
            square = self.gram_SS
        values = np.linalg.eigvalsh(square)[::-1][: min(self.n, self.d)]
        return np.maximum(values, 0.0)

    @cached_property
    def factor_SR(self) -> np.ndarray:
        """Rows with the same Gram matrix in at most min(n, D) columns, float64 (for singular values of products)."""
        if self.d <= self.n and self.variant != "top":
            return self.x_SD.astype(np.float64, copy=False)
        values_R, vectors_SR = np.linalg.eigh(self.gram_SS)
        keep_R = values_R > values_R[-1] * 1e-14
        return vectors_SR[:, keep_R] * np.sqrt(values_R[keep_R])
