"""The registry of similarity measures between two models' states on the same examples.

To add one: a function from a `Representation` to an n x n matrix whose cosine is the measure
(``@cosine_measure``), or a `Measure` with ``compare``, registered with name, version and reference.
tests/layers/test_conformance.py walks them all.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np

from traitscope.errors import TraitscopeError
from traitscope.layers.cka import Interval, cka_jackknife, rbf_kernel, u_centre
from traitscope.layers.geometry import distance_ranks, neighbour_weights, procrustes_cosine
from traitscope.layers.representation import Representation
from traitscope.plugins import calling, number
from traitscope.registry import Entry, Registry, did_you_mean

__all__ = ["MEASURES", "CosineMeasure", "Measure", "compare", "cosine_measure", "subsample_interval"]

Variant = Literal["raw", "z", "top"]
Embed = Callable[[Representation], np.ndarray]

NEIGHBOURS = 10


class Measure(ABC):
    """Compares two representations of the same examples.

    Attributes:
        name: registry name.
        variant: the features that it wants (see `Representation`).
        identical: its value for two equal representations.
        bounds: smallest and largest possible value.
        similarity: True where larger means more alike.
        null_limit: re-orderings that a null makes at most, where each costs a decomposition; None for all.
    """

    null_limit: int | None = None

    def __init__(
        self, name: str, variant: Variant, *, identical: float, bounds: tuple[float, float], similarity: bool
    ) -> None:
        self.name = name
        self.variant: Variant = variant
        self.identical = identical
        self.bounds = bounds
        self.similarity = similarity

    @abstractmethod
    def compare(self, a: Representation, b: Representation, rows_S: np.ndarray | None = None) -> float:
        """The value; NaN where one side is undefined. ``rows_S`` re-orders the second side's examples."""

    def null(self, a: Sequence[Representation], b: Representation, orders_PS: np.ndarray) -> np.ndarray:
        """Values of every ``a`` against ``b`` re-ordered: shape [len(a), P], NaN past ``null_limit``."""
        values = np.full((len(a), len(orders_PS)), np.nan)
        for i, x in enumerate(a):
            for j, rows_S in enumerate(orders_PS[: self.null_limit]):
                values[i, j] = self.compare(x, b, rows_S)
        return values

    def interval(self, a: Representation, b: Representation) -> Interval:
        """The value with an interval over examples; bounds NaN where the measure has no cheap one."""
        return Interval(self.compare(a, b), float("nan"), float("nan"))


class CosineMeasure(Measure):
    """A measure that is the cosine between two n x n matrices, each made from one side alone."""

    def __init__(
        self,
        name: str,
        variant: Variant,
        embed: Embed,
        *,
        bounds: tuple[float, float],
        kernel: Embed | None = None,
        biased: bool = False,
    ) -> None:
        super().__init__(name, variant, identical=1.0, bounds=bounds, similarity=True)
        self._embed = embed
        self._kernel = kernel
        self._biased = biased

    def embed(self, rep: Representation) -> np.ndarray:
        """The matrix scaled to norm 1 (computed once per representation); NaN where undefined."""
        key = (self.name, id(self))
        if key not in rep.embedded:
            rep.embedded[key] = self._unit(rep)
        return rep.embedded[key]

    def _unit(self, rep: Representation) -> np.ndarray:
        if rep.undefined is None:
            matrix_SS = np.asarray(self._embed(rep))
            if matrix_SS.shape != (rep.n, rep.n):
                raise ValueError(f"it gives a matrix of shape {matrix_SS.shape} for {rep.n} examples")
            norm = float(np.linalg.norm(matrix_SS))
            if rep.undefined is None and norm > 0:
                return matrix_SS / norm
        return np.full((rep.n, rep.n), np.nan)

    def compare(self, a: Representation, b: Representation, rows_S: np.ndarray | None = None) -> float:
        other_SS = self.embed(b)
        if rows_S is not None:
            other_SS = other_SS[rows_S][:, rows_S]
        return float(np.vdot(self.embed(a), other_SS))

    def null(self, a: Sequence[Representation], b: Representation, orders_PS: np.ndarray) -> np.ndarray:
        sides_MX = np.stack([self.embed(x).ravel() for x in a])
        other_SS = self.embed(b)
        return np.stack([sides_MX @ other_SS[rows_S][:, rows_S].ravel() for rows_S in orders_PS], axis=1)

    def interval(self, a: Representation, b: Representation) -> Interval:
        if self._kernel is None or a.undefined or b.undefined:
            return super().interval(a, b)
        return cka_jackknife(self._kernel(a), self._kernel(b), biased=self._biased)


class ShapeMeasure(Measure):
    """A function of the Procrustes cosine."""

    null_limit = 10

    def __init__(self, name: str, transform: Callable[[float], float], *, bounds: tuple[float, float]) -> None:
        super().__init__(name, "raw", identical=0.0, bounds=bounds, similarity=False)
        self._transform = transform

    def compare(self, a: Representation, b: Representation, rows_S: np.ndarray | None = None) -> float:
        if a.undefined or b.undefined:
            return float("nan")
        return self._transform(min(1.0, procrustes_cosine(a, b, rows_S)))


MEASURES: Registry[Measure] = Registry("measure")


def cosine_measure(
    name: str,
    *,
    version: int,
    reference: str,
    bounds: tuple[float, float],
    variants: Sequence[Variant] = ("raw",),
    kernel: Embed | None = None,
    biased: bool = False,
) -> Callable[[Embed], Embed]:
    """Register a function from a representation to the n x n matrix whose cosine is the measure.

    A variant adds its name: ``cka``, ``cka_z`` (z-scored features), ``cka_top`` (largest components removed).
    With a ``kernel`` the measure is a CKA and has a jackknife interval.
    """

    def keep(embed: Embed) -> Embed:
        for variant in variants:
            full = name if variant == "raw" else f"{name}_{variant}"
            item = CosineMeasure(full, variant, embed, bounds=bounds, kernel=kernel, biased=biased)
            MEASURES.register(full, version=version, reference=reference)(item)
        return embed

    return keep


def _linear(rep: Representation) -> np.ndarray:
    return rep.gram_SS


def _rbf(rep: Representation) -> np.ndarray:
    return rbf_kernel(rep.sqdist_SS)


@cosine_measure(
    "cka",
    version=2,
    reference="Song et al. 2012 (JMLR 13), eq. 5; ratio of Kornblith et al. 2019 (arXiv 1905.00414), eq. 2",
    bounds=(-1.0, 1.0),
    variants=("raw", "z", "top"),
    kernel=_linear,
)
def debiased_cka(rep: Representation) -> np.ndarray:
    """Linear CKA with the unbiased HSIC; not clamped, so that unrelated states average 0."""
    return u_centre(rep.gram_SS)


@cosine_measure(
    "cka_biased",
    version=2,
    reference="Kornblith et al. 2019 (arXiv 1905.00414), eq. 2",
    bounds=(0.0, 1.0),
    variants=("raw", "z", "top"),
    kernel=_linear,
    biased=True,
)
def biased_cka(rep: Representation) -> np.ndarray:
    """Linear CKA with the plain HSIC, as the layer paper has it."""
    return rep.gram_SS


@cosine_measure(
    "cka_rbf",
    version=2,
    reference="Kornblith et al. 2019 (arXiv 1905.00414), section 3; HSIC of Song et al. 2012 (JMLR 13)",
    bounds=(-1.0, 1.0),
    variants=("raw", "z", "top"),
    kernel=_rbf,
)
def rbf_cka(rep: Representation) -> np.ndarray:
    """Debiased CKA with a Gaussian kernel at the median distance."""
    return u_centre(rbf_kernel(rep.sqdist_SS))


@cosine_measure(
    "knn",
    version=1,
    reference="mutual k-NN of Huh et al. 2024 (arXiv 2405.07987), appendix A; Euclidean, k = 10",
    bounds=(0.0, 1.0),
)
def knn_overlap(rep: Representation) -> np.ndarray:
    """Share of the 10 nearest neighbours that both models agree on."""
    return neighbour_weights(rep.sqdist_SS, NEIGHBOURS)


@cosine_measure(
    "rsa",
    version=1,
    reference="Kriegeskorte et al. 2008 (10.3389/neuro.06.004.2008); Euclidean dissimilarities, Spearman",
    bounds=(-1.0, 1.0),
)
def rsa(rep: Representation) -> np.ndarray:
    """Rank correlation of the two models' distances between examples."""
    return distance_ranks(rep.sqdist_SS)


MEASURES.register(
    "procrustes",
    version=1,
    reference="Ding et al. 2021 (arXiv 2108.01661), eq. 6, after scaling both sides to norm 1",
)(ShapeMeasure("procrustes", lambda cosine: 2.0 - 2.0 * cosine, bounds=(0.0, 2.0)))

MEASURES.register(
    "shape_angle",
    version=1,
    reference="Williams et al. 2021 (arXiv 2110.14739), eq. 4: angle under rotations, in radians",
)(ShapeMeasure("shape_angle", lambda cosine: float(np.arccos(cosine)), bounds=(0.0, float(np.pi / 2))))


def measure_named(name: str) -> Entry[Measure]:
    """A registered measure.

    Raises:
        TraitscopeError: there is none of this name.
    """
    if name not in MEASURES:
        raise TraitscopeError(f"unknown measure {name!r}", where="layers", fix=did_you_mean(name, MEASURES.names()))
    return MEASURES.get(name)


def value_of(found: object) -> float:
    """What a measure gives as a plain float; NaN where a side is undefined.

    Raises:
        TypeError, ValueError: it is no number, or infinite.
    """
    value = number(found)
    if np.isinf(value):
        raise ValueError(f"it gives {value}")
    return value


def compare(x_SD: np.ndarray, y_SE: np.ndarray, measure: str = "cka") -> float:
    """One measure of two arrays whose rows are the same examples (float64).

    Raises:
        TraitscopeError: for an unknown measure, or one that fails.
    """
    entry = measure_named(measure)
    sides = [Representation(side, precision="float64", variant=entry.value.variant) for side in (x_SD, y_SE)]
    with calling("measure", entry, "compare"):
        return value_of(entry.value.compare(sides[0], sides[1]))


def subsample_interval(
    measure: Measure,
    a: Representation,
    b: Representation,
    *,
    draws: int = 40,
    seed: int = 0,
    z: float = 1.959964,
) -> Interval:
    """A measure with an interval over examples from half-samples drawn without replacement.

    The standard error is the delete-half jackknife's: the root mean squared deviation of the half-sample
    values (Shao and Wu 1989, Annals of Statistics 17). For any measure; `Measure.interval` is exact and faster for CKA.
    """
    rng = np.random.default_rng(seed)
    half = a.n // 2
    values = np.empty(draws)
    for i in range(draws):
        rows_S = np.sort(rng.choice(a.n, size=half, replace=False))
        values[i] = value_of(measure.compare(a.rows(rows_S), b.rows(rows_S)))
    value = measure.compare(a, b)
    error = float(np.sqrt(half / (a.n - half) * np.mean(np.square(values - values.mean()))))
    return Interval(value, value - z * error, value + z * error)
