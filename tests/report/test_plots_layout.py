"""No text of a figure is clipped and none covers another, whatever is drawn."""

from __future__ import annotations

import boxes
import hostile
import numpy as np
import pytest
import synthetic
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text

from traitscope.errors import TraitscopeError
from traitscope.findings import Findings
from traitscope.plots.labels import Label, columns, cut, fold, place_labels, width_pt
from traitscope.plots.style import look, new_figure
from traitscope.report.figure_kinds import KINDS

CASES = {
    "one cell": (1, 1, "long", 0.1),
    "one task": (8, 1, "spaced", 0.1),
    "all values equal": (5, 4, "Arabic", 0.0),
    "two by three": (2, 3, "wide", 0.2),
    "Chinese": (9, 7, "Chinese", 0.1),
    "markup": (1, 4, "markup", 0.3),
    "thirty tasks": (6, 30, "long", 0.1),
    "thirty models": (30, 4, "long", 0.1),
}


def told(found: Findings, name: str) -> list[str]:
    """What is wrong with a figure; nothing of one that says why it cannot be made."""
    (kind,) = [kind for kind in KINDS if kind.name == name]
    if any(getattr(found, part) is None for part in kind.needs):
        return []
    try:
        figure = kind.make(found)
    except TraitscopeError as error:
        return [] if error.what else ["no reason given"]
    FigureCanvasAgg(figure)
    with look():
        return boxes.faults(figure)


# The larger ones take up to a minute each.
QUICK = ("one cell", "two by three", "markup")


@pytest.mark.parametrize(
    "case", [name if name in QUICK else pytest.param(name, marks=pytest.mark.verify) for name in CASES]
)
def test_whatever_is_drawn_nothing_is_clipped_and_no_text_covers_another(case: str) -> None:
    found = hostile.findings(*CASES[case])
    faults = {kind.name: told(found, kind.name) for kind in KINDS}
    assert {name: lines[:3] for name, lines in faults.items() if lines} == {}


@pytest.fixture(scope="module")
def usual() -> Findings:
    return Findings(
        name="usual",
        scores=synthetic.matrix(),
        traits=synthetic.traits(),
        effects=synthetic.effects(),
        stats=synthetic.stats(),
        layers=synthetic.layers(),
        correlates=synthetic.correlates(),
        causal=synthetic.causal(),
    )


@pytest.mark.parametrize("name", [kind.name for kind in KINDS])
def test_the_figures_of_a_usual_study_are_clean(name: str, usual: Findings) -> None:
    assert told(usual, name) == []


def test_the_check_itself_sees_what_is_wrong() -> None:
    figure = new_figure(3, 2)
    FigureCanvasAgg(figure)
    figure.text(0.9, 0.5, "leaves the canvas")
    figure.text(0.1, 0.2, "one over")
    figure.text(0.12, 0.22, "the other")
    turned = figure.text(0.5, 0.5, "turned", rotation=40, rotation_mode="anchor")
    figure.text(0.3, 0.6, "beside")
    assert turned.get_rotation() == 40
    found = boxes.faults(figure)
    assert len(found) == 2 and "clipped" in found[0] and "cover" in found[1]


def test_turned_boxes_that_lie_side_by_side_do_not_meet() -> None:
    square = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], dtype=float)
    turn = np.array([[1, -1], [1, 1]]) / np.sqrt(2)
    diamond = square @ turn.T
    assert boxes.overlap(square, diamond + np.array([1.8, 1.0])) == 0
    # Their upright boxes meet: only the turned sides part them.
    corner = diamond + np.array([1.5, 0.9])
    assert boxes.overlap(square, corner) == 0 and corner[:, 0].min() < 1 and corner[:, 1].min() < 1
    assert boxes.overlap(square, diamond + np.array([0.5, 0.5])) > 0.3


def test_names_cover_no_point_and_no_other_name_and_stay_inside() -> None:
    rng = np.random.default_rng(1)
    figure = new_figure(5, 4)
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set(xlim=(0, 1), ylim=(0, 1), xticks=[], yticks=[])
    at = rng.random((40, 2))
    left_out = place_labels(axes, [Label(f"name number {k}", *map(float, xy)) for k, xy in enumerate(at)])
    assert boxes.faults(figure) == []
    assert len(axes.texts) + len(left_out) == 40 and len(axes.texts) >= 30
    renderer = figure.canvas.get_renderer()
    frame, points = axes.get_window_extent(), axes.transData.transform(at)
    for text in axes.texts:
        box = Text.get_window_extent(text, renderer)
        assert frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0 and box.y1 <= frame.y1
        assert not any(box.x0 < x < box.x1 and box.y0 < y < box.y1 for x, y in points)


def test_a_name_without_a_free_place_is_left_out_and_told() -> None:
    axes = new_figure(2, 2).add_subplot()
    axes.set(xlim=(0, 1), ylim=(0, 1))
    labels = [Label("x" * 60, 0.5, 0.5), Label("y", 0.2, 0.2)]
    assert place_labels(axes, labels) == labels[:1]
    assert [text.get_text() for text in axes.texts] == ["y"]


def test_a_measured_width_is_what_matplotlib_draws_or_more() -> None:
    figure = new_figure(6, 2)
    FigureCanvasAgg(figure)
    for text in ("Transfer of 12 tasks", "Wij", "+0.12 – 5 ≤ 6"):
        drawn = figure.text(0, 0, text, size=10, family="DejaVu Sans").get_window_extent().width * 72 / figure.dpi
        assert drawn - 1 <= width_pt(text, 10) <= 1.25 * drawn + 1


def test_folded_lines_fit_and_lose_nothing_while_there_is_room() -> None:
    text = "loadings of every trait with their intervals over resampled examples"
    lines = fold(text, 120, 8).split("\n")
    assert " ".join(lines) == text and len(lines) > 1
    assert all(width_pt(line, 8) <= 120 for line in lines)
    short = fold(text, 120, 8, lines=2).split("\n")
    assert len(short) == 2 and short[1].endswith("…") and width_pt(short[1], 8) <= 120
    assert fold("WWWWWWWWWWWWWWWWWWWW", 60, 8).replace("\n", "") == "W" * 20


def test_letters_in_squares_count_twice() -> None:
    assert (columns("ab"), columns("数据")) == (2, 4)
    assert cut("数据集名称", 7) == "数据集…" and cut("数据集", 6) == "数据集" and cut("abcdef", 4) == "abc…"
