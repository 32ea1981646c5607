"""The result of the section finder: two boundaries, why they hold or do not, and how to say so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from traitscope.texts import Shown

__all__ = ["MIN_TASKS", "Boundary", "Nearer", "Sections", "told_apart"]

MIN_TASKS = 5
"""Fewer tasks identify no boundary."""


@dataclass(frozen=True, slots=True)
class Boundary:
    """The last layer of a section.

    Attributes:
        layer: what the fit gives on all tasks; None where there is none. To be quoted only if ``identified``.
        low, high: 90 % interval over resampled tasks; None where it could not be computed.
        identified: False where any of ``reasons`` speaks against it.
        reasons: why it is not identified.
        distribution: share of task resamples by layer number as text.
    """

    layer: int | None
    low: int | None
    high: int | None
    identified: bool
    reasons: tuple[str, ...] = ()
    distribution: dict[str, float] = field(default_factory=dict)

    def render(self) -> str:
        """``9 (90 % interval 8-10)`` or ``boundary not identified: ...``."""
        if self.identified:
            return f"{self.layer} (90 % interval {self.low}-{self.high})"
        return f"boundary not identified: {'; '.join(self.reasons)}"


@dataclass(frozen=True, slots=True)
class Nearer:
    """From which layer on the mix lies nearer to the single-task models than the base does.

    Attributes:
        first: from this layer to the last, each layer's mean gap over tasks is above 0 (t interval, 95 %).
        gap: mean over those layers and the tasks. low, high: its 95 % t interval over tasks.
    """

    first: int
    gap: float
    low: float
    high: float

    def render(self) -> str:
        """One sentence."""
        return (
            "the mix lies nearer to the single-task models than the base does from layer "
            f"{self.first} on (gap {self.gap:+.2f} [{self.low:+.2f}, {self.high:+.2f}])"
        )


@dataclass(frozen=True, slots=True, repr=False)
class Sections(Shown):
    """Sections of a network for one set of tasks.

    Attributes:
        label: which tasks. measure: which similarity. n_tasks: how many tasks were used.
        layers: layer numbers looked at.
        shape: what the gap looks like, in words ("flat - rise - flat", "step", "late opening", ...).
        shared_end, transition_end: the two boundaries.
        nearer: what is known of the gap whether or not the boundaries are; None where nothing is.
        dims_plateau: first layer where the mix's dimensions reach their plateau, and its 90 % interval over resampled
            tasks; None where there is no dimension curve or it never does.
        curves: by name, one value per layer: ``gap`` (mean over tasks), ``fit`` (flat - rise - flat).
        notes: what a reader must know (layers or tasks left out).
    """

    label: str
    measure: str
    layers: tuple[int, ...]
    n_tasks: int
    shape: str
    shared_end: Boundary
    transition_end: Boundary
    nearer: Nearer | None = None
    dims_plateau: tuple[int, int, int] | None = None
    curves: dict[str, tuple[float, ...]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def headline(self) -> str:
        """What it is of, in a few words."""
        found = ", ".join(f"{name} {first}-{last}" for name, (first, last) in self.windows().items())
        return f"{self.label}, {found or 'no boundary identified'}"

    @property
    def shared(self) -> tuple[int, int] | None:
        """First and last layer of the shared section; None if its end is not identified."""
        end = self.shared_end
        return (self.layers[0], end.layer) if end.identified and end.layer is not None else None

    @property
    def transition(self) -> tuple[int, int] | None:
        """First and last layer of the transition; None if either end is not identified."""
        start, end = self.shared, self.transition_end
        if start is None or not end.identified or end.layer is None:
            return None
        return (self._next(start[1]), end.layer)

    @property
    def refinement(self) -> tuple[int, int] | None:
        """First and last layer of the refinement section; None if the transition is not named."""
        middle = self.transition
        return None if middle is None else (self._next(middle[1]), self.layers[-1])

    def _next(self, layer: int) -> int:
        return next(other for other in self.layers if other > layer)

    def windows(self) -> dict[str, tuple[int, int]]:
        """The identified sections by name, for gating and figures."""
        named = {"shared": self.shared, "transition": self.transition, "refinement": self.refinement}
        return {name: window for name, window in named.items() if window is not None}

    def statements(self) -> list[str]:
        """What is known, one sentence each: shape, boundaries or why there are none, nearness, dimensions."""
        lines = [f"shape of the gap: {self.shape}"]
        ends = {"shared section": self.shared_end, "transition": self.transition_end}
        if self.shared_end.reasons and self.shared_end.reasons == self.transition_end.reasons:
            lines.append(f"no boundary is identified: {'; '.join(self.shared_end.reasons)}")
        else:
            lines += [f"end of the {name}: {end.render()}" for name, end in ends.items()]
        if self.nearer is not None:
            lines.append(self.nearer.render())
        if self.dims_plateau is not None:
            layer, low, high = self.dims_plateau
            lines.append(f"the mix's dimensions reach their plateau at layer {layer} (90 % interval {low}-{high})")
        return lines

    def render(self) -> str:
        """A few lines of text."""
        tasks = "1 task" if self.n_tasks == 1 else f"{self.n_tasks} tasks"
        lines = [f"sections of {self.label}: {tasks}, layers {self.layers[0]}-{self.layers[-1]}"]
        windows = self.windows()
        if windows:
            spans = (f"{name} {first}-{last}" for name, (first, last) in windows.items())
            lines.append("  " + " | ".join(spans))
        lines += [f"  {line}" for line in self.statements()]
        lines += [f"  note: {note}" for note in self.notes]
        return "\n".join(lines)

    def to_json(self) -> dict[str, Any]:
        """All fields, and the identified windows under ``sections``."""
        return asdict(self) | {"sections": {name: list(window) for name, window in self.windows().items()}}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Sections:
        """Inverse of `to_json`."""
        fields = {name: value for name, value in data.items() if name != "sections"}
        for name in ("shared_end", "transition_end"):
            fields[name] = Boundary(**{**fields[name], "reasons": tuple(fields[name]["reasons"])})
        fields["nearer"] = None if fields["nearer"] is None else Nearer(**fields["nearer"])
        for name in ("layers", "notes", "dims_plateau"):
            fields[name] = None if fields[name] is None else tuple(fields[name])
        fields["curves"] = {name: tuple(values) for name, values in fields["curves"].items()}
        return cls(**fields)


def told_apart(groups: Mapping[str, Sections]) -> tuple[list[Sections], str | None]:
    """The groups of tasks that are worth an account of their own, and one sentence on those that are too small."""
    small = [found for label, found in groups.items() if label != "all tasks" and found.n_tasks < MIN_TASKS]
    if len(small) < 2:
        return list(groups.values()), None
    names = ", ".join(f"{found.label} ({found.n_tasks})" for found in small)
    sentence = f"no boundary can be identified with fewer than {MIN_TASKS} tasks: {names}"
    return [found for found in groups.values() if found not in small], sentence
