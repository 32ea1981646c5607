"""A report's figures as files: formats, data that are what is drawn, the papers' counterparts, text that stays text."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import synthetic
from typer.testing import CliRunner

from traitscope import plots
from traitscope.cli import app
from traitscope.errors import TraitscopeError
from traitscope.findings import Findings
from traitscope.report import check_formats, report_files, write_report
from traitscope.report.counterparts import COUNTERPARTS
from traitscope.report.figure_kinds import KINDS, NAMES
from traitscope.report.figures import draw


@pytest.fixture(scope="module")
def found() -> Findings:
    return Findings(name="made", scores=synthetic.matrix(), traits=synthetic.traits(), effects=synthetic.effects())


@pytest.fixture(scope="module")
def folder(found: Findings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("report")
    write_report(found, made, ("pdf", "svg"))
    return made


def table(folder: Path, name: str) -> pd.DataFrame:
    return pd.read_csv(folder / f"tables/figures/{name}.csv")


def test_every_figure_has_its_svg_its_pdf_and_its_data(folder: Path) -> None:
    names = {path.stem for path in (folder / "figures").glob("*.svg")}
    assert {"scores", "gains", "transfer_by_target", "habits", "trait_stability", "confusion_pair"} <= names
    assert names == {path.stem for path in (folder / "figures").glob("*.pdf")}
    assert names == {path.stem for path in (folder / "tables/figures").glob("*.csv")}
    assert all(len(table(folder, name)) for name in names)
    listed = set(report_files(folder / "report.html"))
    assert {folder / f"figures/{name}.{kind}" for name in names for kind in ("svg", "pdf")} <= listed
    assert {folder / f"tables/figures/{name}.csv" for name in names} <= listed


def test_a_report_without_pdf_removes_those_of_an_earlier_one(found: Findings, tmp_path: Path) -> None:
    small = Findings(name="small", scores=found.scores)
    write_report(small, tmp_path, ("pdf",))
    assert (tmp_path / "figures/scores.pdf").exists() and not (tmp_path / "figures/scores.svg").exists()
    write_report(small, tmp_path)
    assert not (tmp_path / "figures/scores.pdf").exists() and (tmp_path / "figures/scores.svg").exists()


def test_a_pdf_is_the_same_every_time_without_a_date_and_its_text_is_text() -> None:
    first, again = (plots.pdf_bytes(plots.trait_stability(synthetic.traits())) for _ in range(2))
    assert first == again and first.startswith(b"%PDF")
    assert b"/CreationDate" not in first and b"/FontFile2" in first and b"/Type3" not in first


def test_an_svg_names_a_stack_of_fonts() -> None:
    svg = plots.svg_text(plots.trait_stability(synthetic.traits()), "x")
    assert set(re.findall(r"font-family: ([^;\"]+)", svg)) == {"'Helvetica Neue', Arial, 'DejaVu Sans', sans-serif"}


def test_the_gains_of_the_map_are_those_of_its_table(folder: Path) -> None:
    matrix, told = synthetic.matrix(), table(folder, "gains").set_index(["model", "task"])
    mesh = plots.gain_heatmap(matrix, synthetic.effects()).axes[0].collections[0].get_array()
    for i, model in enumerate(matrix.models[1:], start=1):
        for n, task in enumerate(matrix.tasks):
            gain = told.loc[(model, task), "gain"]
            if np.isfinite(gain):
                assert gain == pytest.approx(mesh[i, n])
                assert gain == pytest.approx(100 * (matrix.scores_IN[i, n] - matrix.scores_IN[0, n]))


def test_the_points_of_the_forest_are_those_of_its_table(folder: Path) -> None:
    told = table(folder, "transfer_by_target")
    figure = plots.forest_by_target(synthetic.effects())
    shown = [axes for axes in figure.axes if axes.get_visible()]
    for axes in shown:
        task = axes.get_title(loc="left")
        dots = [c for c in axes.collections if hasattr(c, "get_sizes") and len(c.get_sizes())]
        drawn = np.sort(np.concatenate([np.asarray(c.get_offsets())[:, 0] for c in dots]))
        assert drawn == pytest.approx(np.sort(told.loc[told["task"] == task, "value"]))
    gains = synthetic.effects().of_kind("gain")
    gains = gains[gains["relation"] == "transfer"]
    assert len(told) == len(gains) and np.sort(told["value"]) == pytest.approx(np.sort(100 * gains["value"]))
    assert told["held"].sum() == ((gains["q"] <= 0.05) & ((gains["lo"] > 0) | (gains["hi"] < 0))).sum()


def test_habits_are_distances_of_shares_counted_by_hand(folder: Path) -> None:
    told = table(folder, "habits").set_index(["model", "task", "habit"])["value"]
    classes = synthetic.effects().tables["classes"]
    part = classes[(classes["model"] == "gsm8k-s0") & (classes["task"] == "imdb")]
    moved = sum(abs(a - b) for a, b in zip(part["share"], part["base_share"], strict=True)) / 2
    # Every answer of the stand-in can be parsed.
    assert told["gsm8k-s0", "imdb", "class distance"] == pytest.approx(100 * moved)
    lengths = synthetic.effects().tables["lengths"].set_index(["model", "task"])["shift"]
    assert told["imdb-s0", "gsm8k", "length shift"] == pytest.approx(lengths["imdb-s0", "gsm8k"])


def test_the_confusion_pair_is_of_the_base_and_one_model_and_counts_every_example(folder: Path) -> None:
    told = table(folder, "confusion_pair")
    assert told["model"].iloc[0] == "base" and told["model"].nunique() == 2
    assert (told.groupby("model")["count"].sum() == synthetic.N).all()
    assert told.groupby(["model", "gold"])["share"].sum().to_numpy() == pytest.approx(100.0)


def test_shares_are_in_percent_as_on_the_axes(folder: Path) -> None:
    traits = synthetic.traits()
    told = plots.explained_variance_data(traits)
    bars = plots.explained_variance(traits).axes[0].patches
    assert [bar.get_height() for bar in bars] == pytest.approx(told["explained"].head(len(bars)))
    assert told["cumulative"].iloc[-1] == pytest.approx(100.0)
    shares = table(folder, "class_shares").groupby(["task", "model"])["share"].sum()
    assert shares.to_numpy() == pytest.approx(100.0)
    windows, check = plots.causal_windows_data(synthetic.causal()), synthetic.causal()
    assert windows["lost"].to_numpy() == pytest.approx([100 * window.lost for window in check.windows])


def test_marks_of_the_map_are_in_its_table_in_words() -> None:
    effects, matrix = synthetic.effects(), synthetic.matrix()
    odd = effects.tables["cells"].copy()
    task, model = synthetic.TASKS[0], "mnli-s0"
    odd.loc[odd["task"] == task, "base_at"] = "floor"
    odd.loc[(odd["task"] == synthetic.TASKS[1]) & (odd["model"] == model), "habit"] = "constant"
    changed = replace(effects, tables={**effects.tables, "cells": odd})
    told = plots.gain_heatmap_data(matrix, changed).set_index(["model", "task"])
    dashes = [text for text in plots.gain_heatmap(matrix, changed).axes[0].texts if text.get_text() == "–"]
    floor = told[told["mark"] == "floor"]
    assert len(floor) == len(dashes) > 0 and (floor["gain"] <= 0).all()
    assert set(floor.index.get_level_values("task")) == {task}
    assert told.loc[(model, synthetic.TASKS[1]), "mark"] == "constant"
    every = plots.overview_data(matrix, synthetic.traits(), changed)
    assert (every["mark"] == "floor").sum() == len(dashes)


def test_every_model_has_a_panel_of_lengths_with_the_base_behind() -> None:
    same = [1, 2, 2, 9]
    figure = plots.length_densities({"base": same, "a": same, "b": same}, "t")
    panels = [axes for axes in figure.axes if axes.get_visible()]
    assert [axes.get_title(loc="left") for axes in panels] == ["a (n = 4)", "b (n = 4)"]
    assert all([patch.get_fill() for patch in axes.patches] == [True, False] for axes in panels)
    # Nothing that is drawn is cut off at the top.
    top = plots.length_densities_data({"base": same})["density"].max()
    assert panels[0].get_ylim()[1] > top


def test_names_in_the_biplot_stand_on_a_ground_of_their_own() -> None:
    for axes in plots.biplot(synthetic.traits()).axes:
        named = [text for text in axes.texts if text.get_text()]
        assert named and all(text.get_bbox_patch() is not None for text in named)


def test_densities_of_lengths_sum_to_one_and_count_every_answer() -> None:
    lengths = {"base": [1, 2, 2, 9], "a": [30.0] * 5, "b": [np.nan, 4]}
    told = plots.length_densities_data(lengths)
    mass = (told["density"] * (told["high"] - told["low"])).groupby(told["model"]).sum()
    assert mass.to_numpy() == pytest.approx(1.0)
    assert told.groupby("model")["count"].sum().to_dict() == {"base": 4, "a": 5, "b": 1}
    two = told[(told["model"] == "base") & (told["low"] == 2)]
    assert two["count"].tolist() == [2]
    with pytest.raises(TraitscopeError, match="fix:"):
        plots.length_densities({"base": []})


def test_stability_marks_what_stays_and_greys_single_tasks() -> None:
    traits = synthetic.traits()
    told = plots.trait_stability_data(traits)
    figure = plots.trait_stability(traits)
    labels = figure.axes[0].get_yticklabels()
    assert [label.get_fontweight() == "bold" for label in labels] == told["stable"].tolist()
    assert [p.get_width() for p in figure.axes[0].patches] == pytest.approx(100 * traits.explained_K)
    assert told["stability"].to_numpy() == pytest.approx(traits.stability.figure_K, nan_ok=True)


def test_what_a_spreadsheet_would_run_is_text_in_the_data() -> None:
    wide = pd.DataFrame([["base", 0.5], ["=1+1", 0.7]], columns=["m", "t"]).set_index("m")
    drawn = draw(Findings(name="x", scores=type(synthetic.matrix()).from_wide(wide)))
    csv = next(figure.data for figure in drawn if figure.name == "scores")
    assert "\n=1+1" not in csv and "=1+1" in csv
    assert len(pd.read_csv(io.StringIO(csv))) == 2


def test_the_papers_figures_have_counterparts_among_ours() -> None:
    ours = {name for figures in COUNTERPARTS.values() for names in figures.values() for name in names}
    assert ours <= set(NAMES)
    assert len(COUNTERPARTS) == 2 and all(len(figures) == 6 for figures in COUNTERPARTS.values())


def test_the_list_of_figures_names_each_and_its_counterpart() -> None:
    said = CliRunner().invoke(app, ["report", "--list-figures"])
    assert said.exit_code == 0
    assert all(kind.name in said.output.split() for kind in KINDS)
    assert "layer paper" in said.output


def test_an_unknown_format_is_an_error_with_the_known_ones() -> None:
    assert check_formats(["pdf", "svg", "pdf"]) == ("svg", "pdf")
    with pytest.raises(TraitscopeError, match="choose from svg, pdf"):
        check_formats(["png"])
