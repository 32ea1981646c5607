"""What figures draw, held against the numbers they are of: signs, colours, order, units, notes."""

from __future__ import annotations

from importlib import import_module
from types import SimpleNamespace
from typing import Any

import numpy as np
import odd
import pandas as pd
import pytest
import synthetic
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.text import Text

from traitscope import plots
from traitscope.effects import across_bases
from traitscope.findings import Findings
from traitscope.matrix import ScoreMatrix
from traitscope.plots import layers, panels
from traitscope.plots.labels import Label, place_labels
from traitscope.plots.marks import significant_gains
from traitscope.plots.matrix import counts_text, framed_text
from traitscope.plots.style import BLUE, GREY, ORANGE, RED, letters_without_glyph, new_figure
from traitscope.report import figures, write
from traitscope.report.figure_kinds import KINDS, answer_lengths
from traitscope.study import whole
from traitscope.view.looks import SLOW, Looks


def axes_of() -> Any:
    figure = new_figure(5, 4)
    FigureCanvasAgg(figure)
    return figure.add_subplot()


def note_of(figure: Any) -> str:
    return figure.get_supxlabel().replace("\n", " ")


def test_points_that_hold_are_blue_above_zero_and_red_below_and_the_others_grey() -> None:
    axes = axes_of()
    rows = pd.DataFrame({"value": [2.0, -3.0, 4.0], "lo": [1.0, -4.0, -1.0], "hi": [3.0, -2.0, 9.0]})
    panels.points(axes, rows, np.arange(3), np.array([True, True, False]))
    dots = [c for c in axes.collections if not hasattr(c, "get_segments") and len(c.get_offsets())]
    assert {float(c.get_offsets()[0, 0]): to_hex(c.get_edgecolors()[0]) for c in dots} == {2: BLUE, -3: RED, 4: GREY}


def test_lines_that_go_up_are_blue_and_down_orange_where_they_are_sure() -> None:
    axes = axes_of()
    rows = pd.DataFrame({"from": [0.0, 0.0, 0.0], "to": [1.0, -1.0, 1.0], "at": [0, 1, 2]})
    panels.bells(axes, rows, "from", "to", np.array([True, True, False]))
    assert [to_hex(colour) for colour in axes.collections[0].get_colors()] == [BLUE, ORANGE, GREY]


def test_sizes_are_parts_of_the_largest_of_their_own_unit() -> None:
    found = panels.relative(pd.Series([10.0, -5.0, -1.0, 0.5]), pd.Series(["a", "a", "b", "b"]))
    assert found.tolist() == [1.0, 0.5, 1.0, 0.5]


def test_rows_of_every_unit_bear_their_own_names() -> None:
    table = pd.DataFrame({"unit": ["a", "b", "a", "b"]})
    _, grid = panels.stacked(table, ["one", "two", "three", "four"], 5.0)
    names = [[label.get_text() for label in axes.get_yticklabels()] for axes, _ in grid]
    assert names == [["one", "three"], ["two", "four"]]


def forest(monkeypatch: pytest.MonkeyPatch, relation: str) -> Any:
    lines = [("a", "t", 9.0, False, "points"), ("a", "u", 2.0, True, "points"), ("b", "t", 1.0, True, "nats per token")]
    table = pd.DataFrame(lines, columns=["model", "task", "value", "held", "unit"])
    table = table.assign(lo=table["value"] - 1, hi=table["value"] + 1, q=0.01)
    more = pd.DataFrame([("c", "v", -7.0, True, "nats per token", -8.0, -6.0, 0.01)])
    table = pd.concat([table, more.set_axis(table.columns, axis=1)], ignore_index=True)
    monkeypatch.setattr("traitscope.plots.transfer.transfer_data", lambda effects, alpha: table)
    gains = table.assign(relation=relation)
    return plots.forest_by_target(SimpleNamespace(of_kind=lambda kind: gains))


def test_panels_of_a_forest_begin_with_the_largest_gain_that_holds_and_a_unit_has_one_axis(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    figure = forest(monkeypatch, "transfer")
    shown = [axes for axes in figure.axes if axes.get_visible()]
    # t's 9 points do not hold: v holds the largest of its unit, u 2 of 9 points, t in nats 1 of 7.
    titles = [axes.get_title(loc="left") for axes in shown]
    assert titles == ["v (nats/token)", "u (points)", "t (nats/token)", "t (points)"]
    ends = [tuple(axes.get_xlim()) for axes in shown]
    assert ends[0] == ends[2] != ends[1] == ends[3]
    assert ends[0][0] <= -8 and ends[0][1] >= 2 and ends[1][1] >= 10
    assert "trained tasks" not in note_of(figure)
    assert "trained tasks left out" in note_of(forest(monkeypatch, "own"))


def test_the_dumbbells_below_are_those_farthest_below() -> None:
    every, told = plots.surprises_data(synthetic.effects()), plots.surprise_dumbbells_data(synthetic.effects())
    below = np.sort(every.loc[every["residual"] < 0, "residual"])
    assert len(below) > 12
    drawn = told.loc[told["residual"] < 0, "residual"]
    assert np.sort(drawn) == pytest.approx(below[:12])


def test_dumbbells_of_surprises_are_coloured_and_others_grey(monkeypatch: pytest.MonkeyPatch) -> None:
    table = plots.surprise_dumbbells_data(synthetic.effects()).head(3).assign(flagged=[True, False, False])
    monkeypatch.setattr(import_module("traitscope.plots.surprises"), "surprise_dumbbells_data", lambda effects: table)
    colours = plots.surprise_dumbbells(SimpleNamespace()).axes[0].collections[0].get_colors()
    assert [to_hex(colour) != GREY for colour in colours] == [True, False, False]


def test_every_run_of_a_source_whose_mean_gain_holds_is_marked() -> None:
    found = odd.seeds()
    marked = {
        (found.scores.models[i], found.scores.tasks[n]) for i, n in significant_gains(found.scores, found.effects)
    }
    assert {f"a-s{k}" for k in range(3)} == {model for model, task in marked if task == "a" and model.startswith("a-")}


def test_points_of_the_biplot_are_the_scores_and_the_diamond_is_the_base() -> None:
    traits = synthetic.traits()
    at = [
        tuple(float(v[0]) for v in line.get_data()) for line in plots.biplot(traits).axes[0].lines[: len(traits.models)]
    ]
    assert np.array(at) == pytest.approx(traits.scores_IK[:, :2])
    marks = [line.get_marker() for line in plots.biplot(traits).axes[0].lines[: len(traits.models)]]
    assert [name for name, mark in zip(traits.models, marks, strict=True) if mark == "D"] == [traits.base]


def test_a_name_lies_over_one_line_at_most_and_rather_far_away_than_over_two() -> None:
    axes = axes_of()
    axes.set(xlim=(0, 1), ylim=(0, 1))
    fence = [(x, 0.0, x, 1.0) for x in (0.46, 0.47, 0.53, 0.54)]
    assert place_labels(axes, [Label("a name", 0.5, 0.5)], fence) == []
    axes.figure.canvas.draw()
    box = axes.transData.inverted().transform(Text.get_window_extent(axes.texts[0]))
    assert box[1, 0] < 0.46 or box[0, 0] > 0.54


def test_the_note_of_the_biplot_says_when_arrows_have_no_name() -> None:
    traits = synthetic.traits()
    named = [text for text in plots.biplot(traits).axes[0].texts if text.get_style() == "italic"]
    assert ("short ones without a name" in note_of(plots.biplot(traits))) == (len(named) < len(traits.tasks))


def test_the_gap_of_the_layers_is_that_of_the_mix_less_that_of_the_base() -> None:
    found = synthetic.layers()
    gap = layers.gap_of_tasks(found, "cka")
    mix, base = (found.curves("cka", f"{role}~control") for role in ("mix", "base"))
    assert gap[8].to_numpy() == pytest.approx((mix[8] - base[8])[gap.index].to_numpy())
    # The mix was made to follow the tasks' own adapters, and the base was not.
    assert (gap[8] > 0).all()


def test_the_null_line_is_its_upper_end() -> None:
    found = synthetic.layers()
    null = found.summary("cka", "mix~control", layers.NULL)
    (line,) = [line for line in plots.similarity_boxes(found).axes[1].lines if "null" in str(line.get_label())]
    assert line.get_ydata() == pytest.approx(null["high"].to_numpy())
    assert (null["high"] > null["low"]).any()


def test_the_strip_of_a_section_spans_its_layers() -> None:
    axes = axes_of()
    axes.set(xlim=(0, 8), ylim=(0, 1))
    unknown = SimpleNamespace(identified=False, layer=None, low=None, high=None)
    windows = {"shared": (1, 3), "refinement": (4, 8)}
    made: Any = SimpleNamespace(windows=lambda: windows, shared_end=unknown, transition_end=unknown)
    layers.draw_sections(axes, made)
    spans = [(patch.get_extents().x0, patch.get_extents().x1) for patch in axes.patches]
    ends = axes.transData.inverted().transform([(x, 0) for span in spans for x in span])[:, 0]
    assert ends == pytest.approx([0.5, 3.5, 3.5, 8.5])


def test_clusters_hold_no_task_that_the_mix_never_saw() -> None:
    meta = {"clusters": {"a": "x", "b": "x"}, "controls": {"a": "a-s0", "b": "b-s0"}, "unseen": ["b"]}
    found: Any = SimpleNamespace(tasks=("a", "b"), meta=meta)
    assert layers.clusters_of(found) == {"x": ["a"]}


def test_lengths_are_of_the_task_that_moves_most_for_its_length_and_of_the_models_farthest_from_the_base() -> None:
    lines = [("long", "m1", 100.0, 30.0), *[("short", f"m{k}", 10.0, float(k)) for k in range(1, 8)]]
    table = pd.DataFrame(lines, columns=["task", "model", "base_length", "shift"])
    table = table.assign(length=0.0, lo=0.0, hi=0.0, p=1.0, n=1)
    found: Any = SimpleNamespace(
        effects=SimpleNamespace(tables={"lengths": table}),
        scores=SimpleNamespace(models=("base", "m1"), base_index_I=[0, 0]),
        cells=SimpleNamespace(records=lambda model, task: [SimpleNamespace(n_output=3)]),
    )
    lengths, task = answer_lengths(found)
    assert (task, list(lengths)) == ("short", ["base", "m7", "m6", "m5", "m4", "m3"])


def test_of_a_large_matrix_a_part_is_drawn_and_the_caption_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    matrix = synthetic.matrix()
    part = SimpleNamespace(models=matrix.models[:3], tasks=matrix.tasks[:2], note="an even part")
    monkeypatch.setattr(figures, "looked_at", lambda scores: part)
    monkeypatch.setattr(figures, "KINDS", [kind for kind in KINDS if kind.name == "gains"])
    (drawn,) = figures.draw(Findings(name="x", scores=matrix))
    assert "Shown are 3 models on 2 tasks" in drawn.caption
    assert len(drawn.data.splitlines()) == 1 + 2 * 2


def test_data_of_scores_and_gains_tell_their_units() -> None:
    found = odd.mixed()
    scores, gains = plots.score_heatmap_data(found.scores), plots.gain_heatmap_data(found.scores)
    wanted = {"a": "percent", "b": "percent", "c": "percent", "d": "loss", "e": "perplexity"}
    assert dict(zip(scores["task"], scores["unit"], strict=True)) == wanted
    points = {task: "points" if unit == "percent" else unit for task, unit in wanted.items()}
    assert dict(zip(gains["task"], gains["unit"], strict=True)) == points
    traits, effects = synthetic.traits(), synthetic.effects()
    tables = [plots.class_shares_data(effects), plots.confusion_pair_data(effects)]
    tables += [plots.explained_variance_data(traits), plots.trait_stability_data(traits)]
    assert all((table["unit"] == "percent").all() for table in tables)


def test_data_of_training_hold_the_gain_in_the_title_and_what_the_colour_means() -> None:
    effects = synthetic.effects()
    told, own = plots.training_curves_data(effects), effects.tables["learning"].set_index("model")
    first = told.groupby("model", sort=False).first()
    panels_of = dict(zip(first.index, plots.training_curves(effects).axes, strict=False))
    model = "imdb-s0"
    gain = 100 * float(own.loc[model, "gain"])
    assert first.loc[model, "own_gain"] == pytest.approx(gain) and first.loc[model, "own_unit"] == "points"
    assert panels_of[model].get_title(loc="left") == f"{model} ({gain:+.1f})"
    assert all((line.lines[0].get_color() == BLUE) == first.loc[name, "learnt"] for name, line in panels_of.items())


def test_gains_across_base_models_are_coloured_by_unit_and_the_note_tells_units_and_bold() -> None:
    effects = {name: odd.study(odd.MIXED, "abcde").effects for name in ("one", "two")}
    across = across_bases(effects)
    figure, told = plots.across_heatmap(across), plots.across_heatmap_data(across)
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert {name.rsplit("(")[-1].rstrip(")") for name in names} == set(told["unit"]) == {"points", "score"}
    colours = np.ma.filled(figure.axes[0].collections[0].get_array(), np.nan)
    # Loss and perplexity are scores of different scales.
    largest = told["value"].abs().groupby(told["task"].where(told["unit"] == "score", "points")).transform("max")
    assert np.sort(colours.ravel()) == pytest.approx(np.sort(told["value"] / largest))
    assert len(figure.axes) == 2 and "bold: it holds" in note_of(figure) and "unit in brackets" in note_of(figure)


def test_notes_say_of_how_many_tasks_n_is_not_known_and_nothing_of_frames_that_are_not_there() -> None:
    lines = [(m, t, 0.5, n) for m in ("base", "x") for t, n in (("a", 200), ("b", 200), ("c", np.nan))]
    table = pd.DataFrame(lines, columns=["model", "task", "value", "n"]).assign(metric="accuracy")
    bare = ScoreMatrix.from_long(table)
    assert counts_text(bare) == "n = 200 examples per cell, not known of 1 task" and framed_text(bare) == ""
    assert counts_text(synthetic.matrix()) == f"n = {synthetic.N} examples per cell"
    assert "framed: trained on" in framed_text(synthetic.matrix())


@pytest.mark.parametrize("busy", [True, False])
def test_what_is_not_known_yet_has_a_subject(busy: bool) -> None:
    shown = Findings(name="x", scores=synthetic.matrix())
    made = Looks._with_last(SimpleNamespace(_found=None), shown, busy)  # type: ignore[arg-type]
    assert set(made.missing) == set(SLOW)
    assert not any("they" in why for why in (*made.missing.values(), *whole._OWN.values()))
    assert all("findings are" in why for why in made.missing.values())


def test_letters_that_pdf_figures_lack_are_told() -> None:
    wide = pd.DataFrame([["base", 0.5], ["名前", 0.7]], columns=["m", "é"]).set_index("m")
    svg = plots.svg_text(plots.score_heatmap(ScoreMatrix.from_wide(wide)), "x")
    assert letters_without_glyph(svg) == "名前"
    (said,) = write._boxes([SimpleNamespace(svg=svg, pdf=b"")])  # type: ignore[list-item]
    assert "PDF" in said and "名 前" in said
    assert list(write._boxes([SimpleNamespace(svg=svg, pdf=None)])) == []  # type: ignore[list-item]
