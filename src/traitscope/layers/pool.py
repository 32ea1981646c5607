"""A few examples of every task side by side: can tasks be told apart, layer by layer?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from traitscope.errors import TraitscopeError
from traitscope.layers.activations import TaskActs
from traitscope.layers.embedding import Embedding, tsne
from traitscope.layers.options import Depths
from traitscope.layers.separability import separability

__all__ = ["Pool"]

_SIMPLE_DEPTHS = 5


class Pool:
    """States of some examples of each task under some models.

    Args:
        models: whose states are kept.
        points: examples per task.
        seed: which examples.
    """

    def __init__(self, models: Sequence[str], points: int, seed: int) -> None:
        self.points = points
        self.seed = seed
        self.labels: list[str] = []
        self._parts: dict[str, list[np.ndarray]] = {model: [] for model in models}

    def add(self, acts: TaskActs) -> None:
        """Keep a task's share of the points, labelled with its name."""
        rng = np.random.default_rng([self.seed, 1, *acts.task.encode()])
        picked = np.sort(rng.choice(acts.n, self.points, replace=False))
        for model, parts in self._parts.items():
            parts.append(acts.models[model][:, picked].astype(np.float32))
        self.labels += [acts.task] * self.points

    def _at(self, model: str, layer: int) -> np.ndarray:
        """All points of one model in one layer, x_PD."""
        return np.concatenate([part_LPD[layer] for part_LPD in self._parts[model]])

    def separability(self, clusters: Mapping[str, str]) -> pd.DataFrame:
        """How well tasks, and clusters of tasks, can be told apart: a row per model, layer and kind of label."""
        rows = []
        inside = [i for i, task in enumerate(self.labels) if task in clusters]
        own = [self.labels[i] for i in inside]
        for model, parts in self._parts.items():
            for layer in range(len(parts[0])):
                x_PD = self._at(model, layer)
                kinds: list[tuple[str, np.ndarray, list[str], list[str] | None]] = [("task", x_PD, self.labels, None)]
                if inside:
                    kinds.append(("cluster", x_PD[inside], [clusters[task] for task in own], own))
                for kind, x, names, groups in kinds:
                    figures = separability(x, names, groups, seed=self.seed).to_json()
                    rows.append({"model": model, "layer": layer, "labels": kind, **figures})
        return pd.DataFrame(rows)

    def panels(self, depths: Depths, n_layers: int, perplexity: float) -> tuple[Embedding, ...]:
        """t-SNE of every model at the chosen depths; none where the points are too few or all alike.

        Raises:
            TraitscopeError: a depth that the models do not have.
        """
        if depths == "all":
            chosen = list(range(1, n_layers + 1))
        elif depths == "five":
            chosen = sorted({round(1 + (n_layers - 1) * i / (_SIMPLE_DEPTHS - 1)) for i in range(_SIMPLE_DEPTHS)})
        else:
            chosen = [int(layer) for layer in depths]
            if any(not 0 <= layer <= n_layers for layer in chosen):
                raise TraitscopeError(
                    f"layers {chosen} for t-SNE", where="layers.depths", fix=f"choose within 0..{n_layers}"
                )
        if len(self.labels) < 8:
            return ()
        panels = []
        for layer in chosen:
            for model in self._parts:
                x_PD = self._at(model, layer)
                if float(np.ptp(x_PD, axis=0).max()) > 0:
                    panels.append(
                        tsne(x_PD, self.labels, model=model, layer=layer, perplexity=perplexity, seed=self.seed)
                    )
        return tuple(panels)
