"""Texts that fit: how wide a text is, names beside points, titles and notes folded into the room they have."""

from __future__ import annotations

import functools
import math
import unicodedata
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

INK, PAPER = "#1c2331", "#fefefd"

if TYPE_CHECKING:
    Axes = Any
    Figure = Any

SIZE = 7.0
GAP_PT = 6.0
# Directions from a point in the order in which they are tried, and distances in points; far ones get a line.
SIDES = ((1, 0), (1, 1), (1, -1), (-1, 0), (-1, 1), (-1, -1), (0, 1), (0, -1))
REACHES = (5.0, 11.0, 20.0, 32.0, 48.0, 70.0)
POINT_PT = 3.0
Style = Literal["normal", "italic"]
Box = tuple[float, float, float, float]


class Label(NamedTuple):
    """A name, the point it belongs to (data coordinates), and its look."""

    text: str
    x: float
    y: float
    colour: str = INK
    weight: str = "normal"
    style: Style = "normal"


@functools.lru_cache(maxsize=4096)
def width_pt(text: str, size: float, weight: str = "normal", style: Style = "normal") -> float:
    """How wide a line is, in points, in the font that figures are measured with.

    Letters that this font does not have count as wide as a square, so that no other font needs more room.
    """
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    font = FontProperties(family="DejaVu Sans", size=size, weight=weight, style=style)
    known = text.encode("ascii", "ignore").decode()
    rest = [letter for letter in text if ord(letter) > 127]
    width, _, _ = text_to_path.get_text_width_height_descent(known, font, ismath=False) if known else (0.0, 0, 0)
    return float(width) + sum(1.15 * size if _square(letter) else 0.75 * size for letter in rest)


def _square(letter: str) -> bool:
    # Punctuation, arrows and signs (2000 to 2BFF) are none; of other scripts some letters are as wide.
    return unicodedata.east_asian_width(letter) in "WF" or (ord(letter) > 0x58F and not 0x2000 <= ord(letter) < 0x2C00)


def columns(text: str) -> int:
    """How many columns a text takes: letters of scripts that are written in squares take two."""
    return sum(1 + _square(letter) for letter in text)


def cut(text: str, most: int) -> str:
    """A text of at most ``most`` columns, in one line; fewer where its letters are wider than most."""
    plain = " ".join(str(text).split())
    if _fits(plain, most):
        return plain
    while plain and not _fits(plain + "…", most):
        plain = plain[:-1]
    return plain.rstrip() + "…"


def _fits(text: str, most: int) -> bool:
    return columns(text) <= most and width_pt(text, 10.0) <= 6.8 * most


def fold(text: str, room_pt: float, size: float, weight: str = "normal", lines: int = 4) -> str:
    """A text broken at blanks into lines no wider than ``room_pt``; what does not fit into ``lines`` is cut.

    Lines that the text has already stay; a word that is wider than a line is broken.
    """
    made: list[str] = []
    for given in str(text).split("\n"):
        line = ""
        for word in given.split():
            for piece in _pieces(word, room_pt, size, weight):
                longer = f"{line} {piece}" if line else piece
                if line and width_pt(longer, size, weight) > room_pt:
                    made.append(line)
                    line = piece
                else:
                    line = longer
        made.append(line)
    if len(made) <= lines:
        return "\n".join(made)
    last = made[lines - 1]
    while last and width_pt(last + "…", size, weight) > room_pt:
        last = last[:-1]
    return "\n".join([*made[: lines - 1], last.rstrip() + "…"])


def _pieces(word: str, room_pt: float, size: float, weight: str) -> Iterator[str]:
    while width_pt(word, size, weight) > room_pt and len(word) > 1:
        n = max(1, int(len(word) * room_pt / width_pt(word, size, weight)))
        while n > 1 and width_pt(word[:n], size, weight) > room_pt:
            n -= 1
        yield word[:n]
        word = word[n:]
    yield word


def place_labels(axes: Axes, labels: Sequence[Label], lines: Sequence[Box] = ()) -> list[Label]:
    """Writes each name on a free side of its point, farther out with a thin line where none is free close by.

    No name covers a point, another name or the edge of the axes. A name without a free place is left out. Call it last:
    with the final limits, and all titles and notes in place.

    Args:
        labels: in the order in which they choose.
        lines: what names keep clear of as well where they can, each (x, y, x, y) in data coordinates.

    Returns:
        Labels that were left out.
    """
    figure = axes.get_figure(root=True)
    lay_out(figure)
    scale = 72.0 / figure.dpi
    frame = axes.get_window_extent()
    edge = tuple(scale * v for v in (frame.x0, frame.y0, frame.x1, frame.y1))
    at = [tuple(scale * v for v in axes.transData.transform((label.x, label.y))) for label in labels]
    taken = [(x - POINT_PT, y - POINT_PT, x + POINT_PT, y + POINT_PT) for x, y in at]
    ends = [axes.transData.transform(((line[0], line[1]), (line[2], line[3]))) for line in lines]
    arrows = [tuple(scale * v for v in end.ravel()) for end in ends]
    leaders: list[Box] = []
    left_out = []
    for label, (x, y) in zip(labels, at, strict=True):
        width, height = width_pt(label.text, SIZE, label.weight, label.style) + 1, 1.55 * SIZE
        places = [_box(x, y, r, dx, dy, width, height) for r in REACHES for dx, dy in SIDES]
        free = [
            (box, end)
            for box, end in places
            if edge[0] <= box[0] and edge[1] <= box[1] and box[2] <= edge[2] and box[3] <= edge[3]
            if not any(meet(box, other) for other in taken)
            if not any(_crosses(line, box) for line in leaders)
            if not _far(x, y, end) or not any(_crosses((x, y, *end), o) for o in taken if not _holds(o, x, y))
        ]
        if not free:
            left_out.append(label)
            continue
        box, end = min(free, key=lambda place: _cost((x, y), place[0], place[1], arrows))
        far = _far(x, y, end)
        taken.append(box)
        if far:
            leaders.append((x, y, *end))
        # The line leaves the name where it was tried, not at its middle: no other name lies on its way.
        side = ((end[0] - box[0]) / (box[2] - box[0]), (end[1] - box[1]) / (box[3] - box[1]))
        line_look = {"arrowstyle": "-", "color": label.colour, "lw": 0.4, "relpos": side, "shrinkA": 0, "shrinkB": 2}
        axes.annotate(
            label.text,
            (label.x, label.y),
            xytext=((box[0] + box[2]) / 2 - x, (box[1] + box[3]) / 2 - y),
            textcoords="offset points",
            ha="center",
            va="center",
            size=SIZE,
            color=label.colour,
            weight=label.weight,
            style=label.style,
            # An axis or an arrow that runs below a name does not strike it out.
            bbox={"facecolor": PAPER, "edgecolor": "none", "pad": 0.4, "alpha": 0.85},
            arrowprops=line_look if far else None,
        )
    return left_out


def _cost(at: tuple[float, float], box: Box, end: tuple[float, float], lines: Sequence[Box]) -> float:
    """How bad a place is, in points: its distance, and what it costs to lie over lines or to have a line of its own.

    One line under a name is better than a name far away, a name far away better than two.
    """
    under = sum(_crosses(line, box) for line in lines)
    # Rounded, so that of equal distances the direction that is tried first is taken.
    return round(math.dist(at, end), 1) + 40.0 * under + 15.0 * _far(*at, end)


def _far(x: float, y: float, end: tuple[float, float]) -> bool:
    """Whether a name is so far from its point that a line must join them."""
    return math.hypot(end[0] - x, end[1] - y) > REACHES[1] + 0.1


def _box(
    x: float, y: float, reach: float, dx: int, dy: int, width: float, height: float
) -> tuple[Box, tuple[float, float]]:
    """The box of a name on one side of a point, and the end of its line there."""
    step = reach if not (dx and dy) else reach / math.sqrt(2)
    end = (x + dx * step, y + dy * step)
    low_x = end[0] if dx > 0 else end[0] - width if dx < 0 else end[0] - width / 2
    low_y = end[1] if dy > 0 else end[1] - height if dy < 0 else end[1] - height / 2
    return (low_x, low_y, low_x + width, low_y + height), end


def meet(a: Box, b: Box) -> bool:
    """Whether two boxes (left, bottom, right, top) share an area."""
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _holds(box: Box, x: float, y: float) -> bool:
    return box[0] <= x <= box[2] and box[1] <= y <= box[3]


def _crosses(line: Box, box: Box) -> bool:
    """Whether a line from (x, y) to (x, y) enters a box (Liang and Barsky 1984)."""
    x0, y0, x1, y1 = line
    first, last = 0.0, 1.0
    for step, low, high in ((x1 - x0, box[0] - x0, box[2] - x0), (y1 - y0, box[1] - y0, box[3] - y0)):
        if step == 0:
            if low >= 0 or high <= 0:
                return False
            continue
        enter, leave = sorted((low / step, high / step))
        first, last = max(first, enter), min(last, leave)
    return first < last


def lay_out(figure: Figure) -> None:
    """Gives the axes their places, as drawing would, which takes twice as long."""
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)
    for axes in figure.get_axes():
        axes.apply_aspect()


def settle(figure: Figure) -> None:
    """Folds titles, axis labels and notes into the room that the layout leaves them, and lays the figure out."""
    lay_out(figure)
    before = _texts(figure)
    scale = 72.0 / figure.dpi
    wide, high = (72.0 * inches for inches in figure.get_size_inches())
    for part in (figure, *figure.subfigs):
        _suptexts(part, scale)
    shown = [axes for axes in figure.get_axes() if axes.get_visible()]
    boxes = [_points(axes.get_window_extent(), scale) for axes in shown]
    for axes, box in zip(shown, boxes, strict=True):
        beside = [b for b in boxes if b is not box and b[1] < box[3] and box[1] < b[3]]
        above = [b for b in boxes if b is not box and b[0] < box[2] and box[0] < b[2]]
        frame = axes.get_figure()
        limit = _points(frame.bbox, scale) if frame is not figure else (0.0, 0.0, wide, high)
        right = min([b[0] for b in beside if b[0] >= box[2] - 1] + [limit[2]])
        left = max([b[2] for b in beside if b[2] <= box[0] + 1] + [limit[0]])
        top = min([b[1] for b in above if b[1] >= box[3] - 1] + [limit[3]])
        bottom = max([b[3] for b in above if b[3] <= box[1] + 1] + [limit[1]])
        title = axes._left_title
        # The layout moves once more when what was folded is lower.
        _fold(title, right - box[0] - 2 * GAP_PT)
        _fold(axes.xaxis.label, _between(left, right, box[0], box[2], limit[0], limit[2]))
        _fold(axes.yaxis.label, _between(bottom, top, box[1], box[3], limit[1], limit[3]))
    if _texts(figure) != before:
        lay_out(figure)


def _texts(figure: Figure) -> list[str]:
    """Texts that may be folded."""
    parts = [(part._suptitle, part._supxlabel, part._supylabel) for part in (figure, *figure.subfigs)]
    parts += [(axes._left_title, axes.xaxis.label, axes.yaxis.label) for axes in figure.get_axes()]
    return [text.get_text() for part in parts for text in part if text is not None]


def _between(low: float, high: float, start: float, end: float, first: float, last: float) -> float:
    """Room of a text centred on ``start`` to ``end``: to the canvas, or half of the way to a neighbour."""
    middle = (start + end) / 2
    before = low if low <= first else (low + start) / 2
    behind = high if high >= last else (high + end) / 2
    return 2 * min(middle - before, behind - middle) - GAP_PT


def _suptexts(part: Figure, scale: float) -> None:
    box = _points(part.bbox, scale)
    for text, room in (
        (part._suptitle, box[2] - box[0]),
        (part._supxlabel, box[2] - box[0]),
        (part._supylabel, box[3] - box[1]),
    ):
        if text is not None:
            _fold(text, room - 2 * GAP_PT)


def _fold(text: Any, room_pt: float) -> None:
    """Breaks a text of a figure where it is wider than its room."""
    size, weight = text.get_fontsize(), text.get_fontweight()
    given = text.get_text()
    if given and max(width_pt(line, size, weight) for line in given.split("\n")) > room_pt:
        text.set_text(fold(given, max(room_pt, 5 * size), size, weight, lines=6))


def _points(box: Any, scale: float) -> Box:
    return (scale * box.x0, scale * box.y0, scale * box.x1, scale * box.y1)
