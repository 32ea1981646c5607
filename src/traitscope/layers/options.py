"""What ``analyse_layers`` can be asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from traitscope.errors import TraitscopeError
from traitscope.layers.measures import measure_named
from traitscope.layers.representation import Precision

__all__ = ["DEFAULT_MEASURES", "Depths", "LayerOptions"]

DEFAULT_MEASURES = ("cka", "cka_z", "cka_top", "cka_biased", "cka_rbf", "knn", "rsa", "procrustes")

Depths = Sequence[int] | Literal["five", "all"]


@dataclass(frozen=True, kw_only=True)
class LayerOptions:
    """Options of ``analyse_layers``, given to it by name.

    Raises:
        TraitscopeError: an unknown measure, or one that is used and not among ``measures``.
    """

    controls: Mapping[str, str]
    """By task, the model trained on that task alone; tasks without one get spectra and maps of base and mix only."""

    examples: int
    """Rows per task, the same for all (a seeded sample); a task with fewer is excluded and listed with its reason."""

    base: str = "base"
    """Name of the untuned model."""

    mix: str = "mix"
    """Name of the model trained on the tasks together."""

    seconds: Mapping[str, str] | None = None
    """By task, the control's other seed (the ceiling)."""

    clusters: Mapping[str, str] | None = None
    """Cluster of each task."""

    unseen: Sequence[str] = ()
    """Tasks held out of the mix; analysed apart."""

    measures: Sequence[str] = DEFAULT_MEASURES
    """Registry names of the similarities."""

    map_measures: Sequence[str] = ("cka",)
    """Those of them that also give layer x layer maps."""

    section_measure: str = "cka"
    """The one of them that the section rule reads."""

    depths: Depths = "five"
    """Layers with t-SNE panels: five evenly spaced ones, all, or a list."""

    points: int = 40
    """Points per task for separability and t-SNE (lowered so that at most about 2,000 are pooled)."""

    perplexity: float = 30.0
    """Of t-SNE."""

    n_null: int = 40
    """Re-orderings of the permutation null."""

    draws: int = 1000
    """Bootstrap resamples of tasks."""

    subsamples: int = 0
    """Half-samples for intervals over examples of measures without a jackknife (0: none)."""

    seed: int = 0
    """Seed of every draw."""

    precision: Precision = "auto"
    """Of the Gram matrices, see ``linear_gram``."""

    def __post_init__(self) -> None:
        for name in (*self.measures, *self.map_measures, self.section_measure):
            measure_named(name)
        for name in (*self.map_measures, self.section_measure):
            if name not in self.measures:
                raise TraitscopeError(
                    f"{name!r} is not among the measures", where="analyse_layers", fix=f"add {name!r} to measures"
                )

    def roles(self, task: str) -> dict[str, str]:
        """The models that are compared on a task, by role: base, mix, and where they exist control and second."""
        roles = {"base": self.base, "mix": self.mix}
        if task in self.controls:
            roles["control"] = self.controls[task]
            if self.seconds and task in self.seconds:
                roles["second"] = self.seconds[task]
        return roles
