"""The result of the section finder: two boundaries, why they hold or do not, and how to say so."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

__all__ = ["Boundary", "Sections"]


@dataclass(frozen=True, slots=True)
class Boundary:
    """The last layer of a section.

    Attributes:
        layer: what the rule gives on all tasks; None where it gives nothing. To be quoted only if ``identified``.
        low, high: 90 % interval over resampled tasks; None where it could not be computed.
        identified: False where any of ``reasons`` speaks against it.
        reasons: why it is not identified.
        distribution: share of task resamples by layer number as text; ``"none"`` where the rule found nothing.
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
        return f"boundary not identified: {'; '.join(self.reasons) or 'the rule found none'}"


@dataclass(frozen=True, slots=True)
class Sections:
    """Sections of a network for one set of tasks.

    Attributes:
        label: which tasks. measure: which similarity. n_tasks: how many tasks were used.
        layers: layer numbers looked at.
        shared_end, transition_end: the two boundaries.
        hinge_p: p of the hinge-against-line test on the gap curve; NaN where it could not be made.
        change_points: last layers of the segments that exact change-point detection finds on the same curves.
        change_points_agree: whether they confirm every identified boundary; None where none is identified.
        curves: what the rule looked at, by name, one value per layer.
        notes: what a reader must know (too few tasks, layers left out).
    """

    label: str
    measure: str
    layers: tuple[int, ...]
    n_tasks: int
    shared_end: Boundary
    transition_end: Boundary
    hinge_p: float
    change_points: tuple[int, ...]
    change_points_agree: bool | None
    curves: dict[str, tuple[float, ...]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

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

    def render(self) -> str:
        """A few lines of text."""
        tasks = "1 task" if self.n_tasks == 1 else f"{self.n_tasks} tasks"
        lines = [f"sections of {self.label}: {tasks}, layers {self.layers[0]}-{self.layers[-1]}"]
        windows = self.windows()
        if windows:
            spans = (f"{name} {first}-{last}" for name, (first, last) in windows.items())
            lines.append("  " + " | ".join(spans))
        lines.append(f"  end of shared: {self.shared_end.render()}")
        lines.append(f"  end of transition: {self.transition_end.render()}")
        if self.change_points:
            verdict = {True: ": they agree", False: ": they do not agree", None: ""}[self.change_points_agree]
            lines.append(f"  change points after layers {', '.join(map(str, self.change_points))}{verdict}")
        else:
            lines.append("  change points: none")
        lines += [f"  note: {note}" for note in self.notes]
        return "\n".join(lines)

    def to_json(self) -> dict[str, Any]:
        """All fields, and the identified windows under ``sections``; NaN becomes null."""
        data = asdict(self)
        data["hinge_p"] = None if self.hinge_p != self.hinge_p else self.hinge_p
        data["sections"] = {name: list(window) for name, window in self.windows().items()}
        return data

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Sections:
        """Inverse of `to_json`."""
        fields = {name: value for name, value in data.items() if name != "sections"}
        for name in ("shared_end", "transition_end"):
            boundary = dict(fields[name])
            boundary["reasons"] = tuple(boundary["reasons"])
            fields[name] = Boundary(**boundary)
        fields["hinge_p"] = float("nan") if fields["hinge_p"] is None else fields["hinge_p"]
        for name in ("layers", "change_points", "notes"):
            fields[name] = tuple(fields[name])
        fields["curves"] = {name: tuple(values) for name, values in fields["curves"].items()}
        return cls(**fields)
