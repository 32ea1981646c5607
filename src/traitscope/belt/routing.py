"""Which model of a belt a prompt goes to, without a label: rules that place a prompt, and the router made of one.

A rule says how far every prompt lies from a few places (training sets, or adapters). A router adds what was seen on the
choosing rows: which model of the belt serves the prompts nearest to a place, and beyond which distance none does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from traitscope.belt.answers import surely_above
from traitscope.plugins import calling
from traitscope.registry import Registry
from traitscope.stats.similarity import cosine

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Arrays = dict[str, npt.NDArray[np.floating]]

# Of the choosing rows' distances to their nearest place: what lies farther is like nothing that was seen.
FAR = 0.995


class Rule(Protocol):
    """How far prompts lie from places. Stateless: what ``fit`` learns are plain arrays.

    Attributes:
        reads: what it needs of prompts: "states" (mean hidden states of the base's middle layer, [S, D]) or
            "alignments" (of the belt's adapters, [S, A]; see ``engine.alignments``).
    """

    reads: str

    def fit(self, places: Mapping[str, npt.NDArray[np.floating]]) -> Arrays:
        """Arrays to place prompts by, from what was read of prompts.

        Args:
            places: name -> what was read of P sets of prompts: the training rows of every source (states), or of any
                prompts that are likely (alignments; their names are not used).
        """
        ...

    def distances(self, arrays: Arrays, read: npt.NDArray[np.floating]) -> Floats:
        """Distance of every prompt from every place, [S, P]; what ``read`` holds is as ``reads`` says."""
        ...


ROUTERS: Registry[Rule] = Registry("router")


@ROUTERS.register(
    "centroid",
    version=1,
    reference="nearest training-set centroid, as in Belofsky 2023 (arXiv 2311.10847) and Jang et al. 2023 "
    "(arXiv 2302.03202); standardised as traitscope.stats.similarity",
)
class Centroid:
    """Nearest training set by the base's mean hidden states: 1 - cosine to its centroid.

    Every dimension is standardised over the training sets, since raw hidden states share a few huge dimensions and all
    their cosines are near 1.
    """

    reads = "states"

    @staticmethod
    def fit(places: Mapping[str, npt.NDArray[np.floating]]) -> Arrays:
        """Centre, spread and centroids: centre_D, spread_D, centroids_PD."""
        states = [np.asarray(states_SD, dtype=float) for states_SD in places.values()]
        means_PD = np.array([states_SD.mean(axis=0) for states_SD in states])
        centre_D = means_PD.mean(axis=0)
        spread_D = np.sqrt(np.mean([((states_SD - centre_D) ** 2).mean(axis=0) for states_SD in states], axis=0))
        spread_D = np.where(spread_D > 0, spread_D, 1.0)
        return {"centre_D": centre_D, "spread_D": spread_D, "centroids_PD": (means_PD - centre_D) / spread_D}

    @staticmethod
    def distances(arrays: Arrays, read: npt.NDArray[np.floating]) -> Floats:
        """1 - cosine, in 0..2."""
        scaled_SD = (np.asarray(read, dtype=float) - arrays["centre_D"]) / arrays["spread_D"]
        return 1.0 - np.nan_to_num(cosine(scaled_SD, np.asarray(arrays["centroids_PD"], dtype=float)))


@ROUTERS.register(
    "arrow",
    version=1,
    reference="Ostapenko et al. 2024, Towards Modular LLMs by Building and Reusing a Library of LoRAs (arXiv "
    "2405.11157); here one adapter per prompt, the values standardised",
)
class Arrow:
    """The adapter whose main directions the prompt's states lie along, by how far it stands above its own mean.

    The directions come from the weights alone. Their raw values do not compare: an adapter whose direction is that of
    all text wins every prompt. So each adapter's values are standardised over likely prompts, without labels.
    """

    reads = "alignments"

    @staticmethod
    def fit(places: Mapping[str, npt.NDArray[np.floating]]) -> Arrays:
        """Mean and deviation of every adapter's values: mean_P, spread_P."""
        values_SP = np.concatenate([np.asarray(values, dtype=float) for values in places.values()])
        spread_P = values_SP.std(axis=0)
        return {"mean_P": values_SP.mean(axis=0), "spread_P": np.where(spread_P > 0, spread_P, 1.0)}

    @staticmethod
    def distances(arrays: Arrays, read: npt.NDArray[np.floating]) -> Floats:
        """Standard deviations below the adapter's own mean."""
        return (arrays["mean_P"] - np.asarray(read, dtype=float)) / arrays["spread_P"]


@dataclass(frozen=True, eq=False)
class Router:
    """A rule with what it learned, and which model serves which place.

    Attributes:
        rule: its name in ``ROUTERS``.
        arrays: what the rule learned.
        places: names of the P places.
        serves: of each place the model that its prompts go to: the base where none surely gained over it there.
        gain_P: mean points that this model gained over the base on the choosing rows nearest to the place; 0 for the
            base, NaN where fewer than two choosing rows were nearest.
        far: distance beyond which a prompt goes to the base.
        fallback: the model that a refused prompt goes to: the base.
    """

    rule: str
    arrays: Arrays
    places: tuple[str, ...]
    serves: tuple[str, ...]
    gain_P: Floats
    far: float
    fallback: str

    def route(self, read: npt.NDArray[np.floating]) -> tuple[list[str], Ints, Floats]:
        """For every prompt the model's name, the nearest place and the distance from it, [S]."""
        distances_SP = _distances(self.rule, self.arrays, read, len(self.places))
        place_S, nearest_S = distances_SP.argmin(axis=1), distances_SP.min(axis=1)
        names = [
            self.serves[place] if distance <= self.far else self.fallback
            for place, distance in zip(place_S.tolist(), nearest_S.tolist(), strict=True)
        ]
        return names, np.asarray(place_S, dtype=np.int64), nearest_S


def fit_router(
    rule: str,
    places: Mapping[str, npt.NDArray[np.floating]],
    names: Sequence[str],
    read: npt.NDArray[np.floating],
    points_IS: Floats,
    models: Sequence[str],
    base: int,
) -> Router:
    """A router from what was read of the places' prompts and of the choosing rows.

    The prompts nearest to a place go to the model that scored best on the choosing rows nearest to it. Harm is refused:
    where that model does not surely gain over the base (``surely_above``: the best of several is above 0 by chance),
    where fewer than two choosing rows were nearest, and beyond ``FAR`` of the distances of the choosing rows, prompts
    go to the base.

    Args:
        rule: a name in ``ROUTERS``.
        places: see ``Rule.fit``.
        names: of the P places that the rule's distances are from.
        read: of the S choosing rows, of all tasks together.
        points_IS: what each of the belt's I models, the base among them, scores on each choosing row, in points.
        models: their names.
        base: which of them is the base.
    """
    entry = ROUTERS.get(rule)
    with calling(ROUTERS.kind, entry, f"{len(places)} places"):
        arrays = entry.value.fit(places)
    distances_SP = _distances(rule, arrays, read, len(names))
    place_S = distances_SP.argmin(axis=1)
    serves, gain_P = [], np.full(len(names), np.nan)
    for place in range(len(names)):
        rows = place_S == place
        best = base
        if rows.sum() > 1:
            gain_IS = points_IS[:, rows] - points_IS[base, rows]
            first = int(gain_IS.mean(axis=1).argmax())
            best = first if first != base and surely_above(gain_IS[first], len(models) - 1) else base
            gain_P[place] = gain_IS[best].mean()
        serves.append(models[best])
    far = float(np.quantile(distances_SP.min(axis=1), FAR))
    return Router(rule, arrays, tuple(names), tuple(serves), gain_P, far, models[base])


def _distances(rule: str, arrays: Arrays, read: npt.NDArray[np.floating], n_places: int) -> Floats:
    """A rule's distances, checked.

    Raises:
        TraitscopeError: the rule failed, or gave something else than a number for each prompt and place.
    """
    entry = ROUTERS.get(rule)
    with calling(ROUTERS.kind, entry, f"{len(read)} prompts, {n_places} places"):
        distances_SP = np.asarray(entry.value.distances(arrays, read), dtype=float)
        if distances_SP.shape != (len(read), n_places):
            raise ValueError(f"it gives distances of shape {distances_SP.shape}")
        if np.isnan(distances_SP).any():
            raise ValueError("it gives distances that are no numbers")
    return distances_SP
