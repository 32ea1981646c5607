"""Names beside points, placed so that they cover neither points nor one another where there is room."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from traitscope.plots.style import INK, Axes

SIZE = 7.0
# Direction from the point, in the order in which they are tried.
SIDES = ((1, 0), (1, 1), (1, -1), (-1, 0), (-1, 1), (-1, -1), (0, 1), (0, -1))
ALIGN_X = {1: "left", -1: "right", 0: "center"}
ALIGN_Y = {1: "bottom", -1: "top", 0: "center"}


class Label(NamedTuple):
    """A name, the point it belongs to (data coordinates), and its look."""

    text: str
    x: float
    y: float
    colour: str = INK
    weight: str = "normal"
    style: str = "normal"


def place_labels(axes: Axes, labels: Sequence[Label], size_pt: tuple[float, float]) -> None:
    """Writes the labels, each on the side of its point that collides least with what is there already.

    Args:
        axes: with its final limits.
        size_pt: about how wide and high the axes will be, in points.
    """
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    at = [((la.x - left) / (right - left) * size_pt[0], (la.y - bottom) / (top - bottom) * size_pt[1]) for la in labels]
    taken = [(x - 3, y - 3, x + 3, y + 3) for x, y in at]
    for label, (x, y) in zip(labels, at, strict=True):
        width, height = 0.62 * SIZE * len(label.text), 1.25 * SIZE
        best: tuple[float, tuple[int, int], tuple[float, float, float, float]] | None = None
        for order, (dx, dy) in enumerate(SIDES):
            low_x = x + (5 if dx > 0 else -5 - width if dx < 0 else -width / 2)
            low_y = y + (3 if dy > 0 else -3 - height if dy < 0 else -height / 2)
            if dx == 0:
                low_y += 2 * dy
            box = (low_x, low_y, low_x + width, low_y + height)
            outside = max(0.0, -box[0], box[2] - size_pt[0]) + max(0.0, -box[1], box[3] - size_pt[1])
            cost = sum(_overlap(box, other) for other in taken) + 20 * outside + 0.5 * order
            if best is None or cost < best[0]:
                best = (cost, (dx, dy), box)
        assert best is not None
        _, (dx, dy), box = best
        taken.append(box)
        axes.annotate(
            label.text,
            (label.x, label.y),
            xytext=(5 * dx, (5 if dx == 0 else 3) * dy),
            textcoords="offset points",
            ha=ALIGN_X[dx],
            va=ALIGN_Y[dy],
            size=SIZE,
            color=label.colour,
            weight=label.weight,
            style=label.style,
        )


def _overlap(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> float:
    """Area that two boxes (left, bottom, right, top) share."""
    return max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
