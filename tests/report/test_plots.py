"""Every figure shows what it says: panels, labels, marks; nothing of pyplot is touched; bytes never differ."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import synthetic

from traitscope import plots
from traitscope.errors import TraitscopeError
from traitscope.matrix import ScoreMatrix
from traitscope.plots.heat import signed
from traitscope.plots.labels import Label, place_labels
from traitscope.plots.marks import significant_gains
from traitscope.plots.matrix import own_cells
from traitscope.plots.style import new_figure, shorten
from traitscope.plots.traits import trait_titles
from traitscope.traits.projection import Projected


def texts(axes) -> list[str]:
    return [t.get_text() for t in axes.texts]


def ticks(axes, which: str) -> list[str]:
    return [t.get_text() for t in getattr(axes, f"get_{which}ticklabels")()]


FIGURES: dict[str, tuple[Callable, int]] = {
    "explained_variance": (lambda: plots.explained_variance(synthetic.traits()), 2),
    "loadings": (lambda: plots.loadings_heatmap(synthetic.traits()), 2),
    "loadings_bars": (lambda: plots.loadings_bars(synthetic.traits(3)), 3),
    "biplot": (lambda: plots.biplot(synthetic.traits()), 1),
    "biplot of one trait": (lambda: plots.biplot(synthetic.traits(1)), 1),
    "profiles": (lambda: plots.profiles(synthetic.traits()), 2),
    "length_shift": (lambda: plots.length_shift(synthetic.effects()), 2),
    "surprises": (lambda: plots.surprises(synthetic.effects()), 1),
    "similarity_maps": (lambda: plots.similarity_maps(synthetic.stats()), 6),
    "similarity_boxes": (lambda: plots.similarity_boxes(synthetic.layers()), 2),
    "cluster_boxes": (lambda: plots.cluster_boxes(synthetic.layers()), 4),
    "section_curves": (lambda: plots.section_curves(synthetic.layers()), 3),
    "dimension_curves": (lambda: plots.dimension_curves(synthetic.layers()), 6),
    "measure_curves": (lambda: plots.measure_curves(synthetic.layers()), 1),
    "correlate_curves": (lambda: plots.correlate_curves(synthetic.correlates()), 3),
    "layer_maps": (lambda: plots.layer_maps(synthetic.layers()), 4),
    "separability_curves": (lambda: plots.separability_curves(synthetic.layers()), 6),
    "tsne_grid": (lambda: plots.tsne_grid(synthetic.layers()), 4),
    "causal_windows": (lambda: plots.causal_windows(synthetic.causal()), 2),
    "overview": (lambda: plots.overview(synthetic.matrix(), synthetic.traits(), synthetic.effects()), 4),
}


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_has_its_panels_and_every_panel_is_labelled(name):
    make, panels = FIGURES[name]
    figure = make()
    assert len(figure.axes) == panels
    words = [t for a in figure.axes for t in (a.get_title(loc="left"), a.get_xlabel(), a.get_ylabel())]
    assert any(words) or figure.legends


def test_no_figure_touches_pyplot():
    plots.explained_variance(synthetic.traits())
    pyplot = sys.modules.get("matplotlib.pyplot")
    assert pyplot is None or not pyplot.get_fignums()


def test_the_score_heat_map_shows_every_score_in_percent_and_hatches_the_missing_cell():
    matrix = synthetic.matrix()
    axes = plots.score_heatmap(matrix).axes[0]
    assert ticks(axes, "y") == list(matrix.models)
    assert ticks(axes, "x") == list(matrix.tasks)
    assert texts(axes)[0] == f"{100 * matrix.scores_IN[0, 0]:.0f}"
    assert len(texts(axes)) == matrix.scores_IN.size - 1
    assert sum(p.get_hatch() is not None for p in axes.patches) == 1
    assert axes.get_yticklabels()[0].get_fontweight() == "bold"


def test_scores_and_gains_in_the_cells_are_rounded_as_the_page_rounds_them():
    matrix = ScoreMatrix.from_wide(pd.DataFrame({"x": [0.625, 0.5], "y": [0.375, 0.5]}, index=["base", "a"]))
    assert texts(plots.score_heatmap(matrix).axes[0]) == ["63", "38", "50", "50"]
    assert texts(plots.gain_heatmap(matrix).axes[0])[2:] == ["-13", "+13"]


def test_the_gain_heat_map_is_centred_at_zero_and_stars_the_significant_gains():
    matrix, effects = synthetic.matrix(), synthetic.effects()
    axes = plots.gain_heatmap(matrix, effects).axes[0]
    low, high = axes.collections[0].get_clim()
    assert low == -high
    assert high == pytest.approx(100 * np.nanmax(np.abs(matrix.gains().values_IN)))
    found = effects.of_kind("gain")
    assert sum(t.endswith("*") for t in texts(axes)) == int((found["q"] <= 0.05).sum()) > 0
    assert texts(axes)[: len(matrix.tasks)] == [f"{100 * v:.0f}" for v in matrix.scores_IN[0]]


def hollow_points(axes) -> list[tuple[float, ...]]:
    """Where hollow points lie."""
    drawn = [line for line in axes.lines if line.get_markerfacecolor() == "none"]
    return [tuple(point) for line in drawn for point in line.get_xydata().tolist()]


def with_rows_outside(k: int, *rows: tuple[str, str, float, float]):
    """Traits and rows outside their fit: kind, name, scores in units of the largest score of the fit."""
    traits = synthetic.traits(k)
    largest = np.abs(traits.scores_IK).max()
    scores_PK = largest * np.array([row[2 : 2 + k] for row in rows])
    kinds, names = tuple(row[0] for row in rows), tuple(row[1] for row in rows)
    return replace(traits, projected=Projected(names, kinds, scores_PK)), largest


def test_rows_outside_the_fit_stand_hollow_in_the_biplot_and_the_outlying_at_its_edge():
    rows = [("control", "c", 0.5, -0.2), ("mix", "m", 1.5, 0.1), ("outlying", "far", 30.0, -15.0)]
    traits, largest = with_rows_outside(2, *rows, ("foreign", "empty", np.nan, np.nan))
    figure = plots.biplot(traits)
    (axes,) = figure.axes
    edge = 1.25 * 1.5
    expected = largest * np.array([(0.5, -0.2), (1.5, 0.1), (edge, -edge / 2)])
    assert np.array(hollow_points(axes)) == pytest.approx(expected)
    assert axes.get_xlim() == pytest.approx((-1.3 * 1.5 * largest, 1.3 * 1.5 * largest))
    assert {"c", "m", "far (further out)"} <= set(texts(axes)) and "empty" not in texts(axes)
    told = figure.get_supxlabel().replace("\n", " ")
    assert "hollow: control, mix, outlying, placed afterwards" in told
    assert "hollow" not in plots.biplot(with_rows_outside(2, ("foreign", "empty", np.nan, np.nan))[0]).get_supxlabel()


def test_rows_outside_the_fit_stand_hollow_in_their_order_on_one_trait():
    traits, largest = with_rows_outside(1, ("mix", "m", 0.0), ("control", "c", 2.0))
    (axes,) = plots.biplot(traits).axes
    names = [*traits.models, "m", "c"]
    score = dict(zip(names, [*traits.scores_IK[:, 0], 0.0, 2.0 * largest], strict=True))
    assert ticks(axes, "y") == sorted(names, key=lambda name: score[name])
    drawn = hollow_points(axes)
    assert drawn == [(0.0, ticks(axes, "y").index("m")), (pytest.approx(2 * largest), len(names) - 1)]
    filled = next(line for line in axes.lines if line.get_markerfacecolor() != "none")
    points = dict(zip(traits.models, filled.get_xydata().tolist(), strict=True))
    assert all(points[m] == [score[m], ticks(axes, "y").index(m)] for m in traits.models)
    lines = axes.collections[0].get_segments()
    assert [line[0][1] for line in lines] == [points[m][1] for m in traits.models]
    assert "hollow: control, mix, placed afterwards" in axes.get_xlabel()


def test_without_paired_tests_the_gain_heat_map_says_that_its_stars_are_not_corrected():
    axes = plots.gain_heatmap(synthetic.matrix()).axes[0]
    assert "not corrected" in axes.get_xlabel().replace("\n", " ")


def test_tasks_of_different_units_are_coloured_within_their_column():
    table = pd.DataFrame([["base", 0.5, 2.0], ["a", 0.6, 1.0], ["b", 0.9, 9.0]], columns=["m", "share", "nats"])
    matrix = ScoreMatrix.from_wide(table.set_index("m"), units={"share": "fraction", "nats": "other"})
    figure = plots.score_heatmap(matrix)
    assert "worst to best" in figure.axes[1].get_ylabel()
    assert figure.axes[0].collections[0].get_array().max() == pytest.approx(1.0)


def three(values: list[float], errors: list[float], lower: bool = False) -> ScoreMatrix:
    """Base and two adapters on one task; its seventh, eighth ... examples are the models' own."""
    rows = [
        {"model": m, "source": s, "value": v}
        for m, s, v in zip(("base", "a", "b"), (None, "a", "b"), values, strict=True)
    ]
    more = {"task": "t", "metric": "m", "stderr": errors, "n": [7, 8, 9], "higher_is_better": not lower}
    return ScoreMatrix.from_long(pd.DataFrame(rows).assign(**more), units="other" if lower else "fraction")


def test_without_paired_tests_gains_beyond_196_errors_are_starred():
    # The base has no error: z is 1.9 and 2.
    assert significant_gains(three([0.5, 0.69, 0.7], [0.0, 0.1, 0.1]), None) == {(2, 0)}


def test_a_gain_is_marked_by_its_q():
    effects = synthetic.effects()
    table = effects.findings.assign(q=1.0, p=0.001)
    best = table[table["kind"] == "gain"].index[0]
    table.loc[best, "q"] = 0.01
    matrix = synthetic.matrix()
    (cell,) = significant_gains(matrix, type(effects)(findings=table))
    assert (matrix.models[cell[0]], matrix.tasks[cell[1]]) == (table.loc[best, "model"], table.loc[best, "task"])


def test_the_lowest_loss_has_the_best_colour_and_the_first_model_the_top():
    axes = plots.score_heatmap(three([1.0, 2.0, 3.0], [0.1] * 3, lower=True)).axes[0]
    assert axes.collections[0].get_array().ravel().tolist() == [1.0, 0.5, 0.0]
    assert axes.get_ylim() == (2.5, -0.5)
    assert "n = 7–9 examples per cell" in axes.get_xlabel().replace("\n", " ")


def test_the_cells_of_a_control_on_its_sources_task_are_framed_too():
    matrix = synthetic.matrix()
    framed = {(matrix.models[i], matrix.tasks[n]) for i, n in own_cells(matrix)}
    assert framed == {("imdb.mislabel-s0", "imdb"), *((f"{task}-s0", task) for task in synthetic.TASKS)}


def test_a_gain_that_rounds_to_zero_has_a_plus():
    assert [signed(v, 1) for v in (-0.04, 0.04, -0.06)] == ["+0.0", "+0.0", "-0.1"]


def test_a_short_label_is_as_long_as_allowed():
    assert (shorten("x" * 10, 10), shorten("x" * 11, 10)) == ("x" * 10, "x" * 9 + "…")


def test_names_of_points_in_one_place_stand_side_by_side():
    axes = new_figure(4, 4).add_subplot()
    axes.set(xlim=(0, 1), ylim=(0, 1))
    assert place_labels(axes, [Label("one", 0.5, 0.5), Label("two", 0.5, 0.5)]) == []
    first, second = (text.xyann for text in axes.texts)
    # The first stands right of its point, on its height.
    assert first[0] > 5 and first[1] == pytest.approx(0, abs=0.01) and second != first


def test_only_traits_that_stay_are_named_in_figures():
    traits = synthetic.traits()
    named = tuple(replace(name, label="maths", proposed="maths") for name in traits.names)
    stability = replace(traits.stability, figure_K=np.array([0.9, 0.8]))
    changed = replace(traits, names=named, stability=stability)
    heads = ticks(plots.loadings_heatmap(changed).axes[0], "x")
    assert [head.startswith("maths?") for head in heads] == [True, False]
    assert ["maths" in text for text in trait_titles(changed)] == [True, False]


def test_class_shares_start_with_the_true_shares_and_each_bar_sums_to_one():
    effects = synthetic.effects()
    figure = plots.class_shares(effects)
    shown = [a for a in figure.axes if a.get_visible()]
    assert len(shown) == len(synthetic.CLASSES)
    assert ticks(shown[0], "y")[:2] == ["true", "base"]
    bars = [p for p in shown[0].patches if p.get_y() < 0]
    ends = np.cumsum([p.get_width() for p in bars])
    assert [p.get_x() for p in bars] == pytest.approx([0.0, *ends[:-1]]) and ends[-1] == pytest.approx(100.0)


def test_asymmetry_shows_both_directions_with_the_pairs_that_differ_most_first():
    effects = synthetic.effects()
    axes = plots.asymmetry(effects, limit=5).axes[0]
    table = effects.tables["asymmetry"]
    top = table.loc[table["difference"].abs().idxmax()]
    lines, dots = axes.collections
    points = dots.get_offsets()[:, 0].tolist()
    assert len(points) == 2 * min(5, len(table))
    assert points[:2] == pytest.approx([100 * top["i_to_j"], 100 * top["j_to_i"]])
    ends = lines.get_segments()[0][:, 0].tolist()
    assert ends == pytest.approx([100 * top["i_to_j_lo"], 100 * top["i_to_j_hi"]])
    names = [label.get_text() for label in axes.get_yticklabels()][:2]
    assert names == [f"{top['i']} → {top['j']}", f"{top['j']} → {top['i']}"]


def test_the_sections_strip_says_so_when_nothing_was_identified():
    result = synthetic.layers(clusters=False)
    sections = result.sections["all tasks"]
    unsure = type(result)(**{**vars(result), "sections": {"all tasks": _unidentified(sections)}})
    axes = plots.section_curves(unsure).axes[0]
    assert "boundary not identified" in texts(axes)


def _unidentified(sections):
    end = replace(sections.shared_end, identified=False, reasons=("the interval is too wide",))
    return replace(sections, shared_end=end)


def test_correlates_are_drawn_as_they_are_with_those_that_hold_filled():
    found = synthetic.correlates()
    # Two layers hold after correction, more without.
    held = found.correlates["layer"].isin(sorted(found.correlates["layer"].unique())[1:3])
    found = replace(found, correlates=found.correlates.assign(p=0.01, q=np.where(held, 0.04, 0.06)))
    axes = plots.correlate_curves(found).axes[0]
    table = found.correlates
    want = table[(table["covariate"] == "rows") & (table["method"] == "pearson")].sort_values("layer")
    np.testing.assert_allclose(axes.lines[0].get_ydata(), want["r"])
    np.testing.assert_allclose(axes.lines[1].get_ydata(), want["r"].iloc[1:3])
    # Six tasks: |r| must exceed .811 for p = .05 (a table of critical values).
    assert axes.lines[4].get_ydata()[0] == pytest.approx(-0.811, abs=0.001)


@pytest.mark.parametrize(
    "make",
    [
        lambda: plots.cluster_boxes(synthetic.layers(clusters=False)),
        lambda: plots.length_shift(type(synthetic.effects())(findings=synthetic.effects().findings)),
        lambda: plots.class_shares(synthetic.effects(), ["gsm8k"]),
    ],
    ids=["no clusters", "no lengths", "no classes"],
)
def test_a_figure_of_something_absent_says_what_is_absent(make):
    with pytest.raises(TraitscopeError, match="fix:"):
        make()


def test_the_same_figure_gives_the_same_bytes_and_two_names_share_no_identifier():
    first, again = (plots.svg_text(plots.loadings_heatmap(synthetic.traits()), "a") for _ in range(2))
    other = plots.svg_text(plots.loadings_heatmap(synthetic.traits()), "b")
    assert first == again

    def names(svg):
        return set(re.findall(r' id="([^"]+)"', svg))

    assert names(first) and not names(first) & names(other)


def test_dollar_signs_in_names_stay_text():
    table = pd.DataFrame([["base", 0.5], ["a$x_1$", 0.6], ["<b>", 0.7]], columns=["m", "cost_$5$"]).set_index("m")
    svg = plots.svg_text(plots.score_heatmap(ScoreMatrix.from_wide(table)), "money")
    # Comments hold every text as it was given, formula or not.
    shown = re.sub(r"<!--.*?-->", "", svg, flags=re.DOTALL)
    assert "a$x_1$" in shown and "cost_$5$" in shown and "&lt;b&gt;" in shown


def test_the_picture_for_the_readme_is_small():
    figure = plots.overview(synthetic.matrix(), synthetic.traits(), synthetic.effects())
    assert len(plots.png_bytes(figure)) < 300_000


def test_numbers_are_left_out_where_columns_are_too_many_to_read():
    values = np.random.default_rng(0).random((4, 40))
    frame = pd.DataFrame(values, index=["base", "a", "b", "c"], columns=[f"t{n}" for n in range(40)])
    assert not texts(plots.score_heatmap(ScoreMatrix.from_wide(frame)).axes[0])
