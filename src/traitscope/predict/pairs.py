"""What is known of every pair of a source and a target before the adapter is trained: features, with their cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from traitscope.errors import TraitscopeError

Floats = npt.NDArray[np.float64]

# What a feature needs, cheapest first.
COSTS = ("text", "base", "probe", "adapters")


@dataclass(frozen=True, eq=False)
class PairFeatures:
    """F features of every pair of a source and a target.

    Attributes:
        sources: names of the I sources. tasks: names of the N targets.
        names: names of the F features.
        costs: of each feature what it needs, one of ``COSTS``.
        values_FIN: the features; NaN where one is not known.
        seconds: of each feature what it took to make on this machine; NaN where nobody measured it.
    """

    sources: tuple[str, ...]
    tasks: tuple[str, ...]
    names: tuple[str, ...]
    costs: tuple[str, ...]
    values_FIN: Floats
    seconds: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        shape = (len(self.names), len(self.sources), len(self.tasks))
        if np.shape(self.values_FIN) != shape:
            raise TraitscopeError(
                f"values_FIN has shape {np.shape(self.values_FIN)} for {shape[0]} names of features, {shape[1]} of "
                f"sources and {shape[2]} of tasks",
                where="features",
                fix="give an array of features x sources x tasks",
            )
        if len(self.costs) != len(self.names) or set(self.costs) - set(COSTS):
            raise TraitscopeError(
                f"costs {self.costs} of {len(self.names)} features", where="features", fix=f"each one of {COSTS}"
            )

    def of(self, sources: Sequence[str], tasks: Sequence[str]) -> PairFeatures:
        """The same features in another order of sources and targets; NaN for pairs that are not known."""
        values_FIN = np.full((len(self.names), len(sources), len(tasks)), np.nan)
        rows = {name: i for i, name in enumerate(self.sources)}
        columns = {name: n for n, name in enumerate(self.tasks)}
        for i, source in enumerate(sources):
            for n, task in enumerate(tasks):
                if source in rows and task in columns:
                    values_FIN[:, i, n] = self.values_FIN[:, rows[source], columns[task]]
        return replace(self, sources=tuple(sources), tasks=tuple(tasks), values_FIN=values_FIN)

    def only(self, names: Sequence[str]) -> PairFeatures:
        """The named features.

        Raises:
            TraitscopeError: a name is not known.
        """
        unknown = [name for name in names if name not in self.names]
        if unknown:
            raise TraitscopeError(
                f"no feature is named {unknown[0]!r}", where="features", fix=f"known: {', '.join(self.names)}"
            )
        kept = [self.names.index(name) for name in names]
        return replace(
            self,
            names=tuple(names),
            costs=tuple(self.costs[f] for f in kept),
            values_FIN=self.values_FIN[kept],
            seconds=tuple(self.seconds[f] for f in kept) if self.seconds else (),
        )
