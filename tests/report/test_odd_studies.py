"""Figures and sections of odd studies: mixed units, several seeds or base models, no errors, or the base alone."""

from __future__ import annotations

import re
from dataclasses import replace
from types import SimpleNamespace

import odd
import pandas as pd
import pytest
import synthetic

from traitscope import plots
from traitscope.matrix import ScoreMatrix
from traitscope.predict.forecast import fit_predictor
from traitscope.predict.ranking import to_json
from traitscope.predict.rankings import Rankings
from traitscope.report import gain_answers, trust
from traitscope.report.figure_kinds import KINDS
from traitscope.report.owntasks import OwnTasks, own_tasks
from traitscope.report.page import render_page
from traitscope.report.sections import cells, controls, habits, prediction, sections, surprises, training, transfer, why
from traitscope.report.words import sizes, taught


def shown(figure) -> list:
    return [axes for axes in figure.axes if axes.get_visible()]


def dots(axes) -> list[float]:
    """Values of the points in some axes."""
    return sorted(
        x
        for c in axes.collections
        if len(c.get_offsets()) and not hasattr(c, "get_segments")
        for x in c.get_offsets()[:, 0]
    )


@pytest.mark.parametrize("make", [plots.forest_by_source, plots.forest_by_target])
def test_a_panel_of_the_forest_holds_values_of_one_unit(make) -> None:
    effects = odd.mixed().effects
    told = plots.transfer_data(effects)
    assert set(told["unit"]) == {"points", "loss", "perplexity"}
    key = "model" if make is plots.forest_by_source else "task"
    for axes in shown(make(effects)):
        name, unit = re.fullmatch(r"(.*) \((.*)\)", axes.get_title(loc="left")).groups()
        part = told[(told[key] == name) & (told["unit"] == unit)]
        assert len(part) and dots(axes) == pytest.approx(sorted(part["value"]))


def test_every_unit_of_dumbbells_and_surprises_has_axes_of_its_own() -> None:
    effects = odd.mixed().effects
    table = plots.surprise_dumbbells_data(effects)
    for axes, unit in zip(shown(plots.surprise_dumbbells(effects)), dict.fromkeys(table["unit"]), strict=True):
        part = table[table["unit"] == unit]
        assert axes.get_xlabel().endswith(unit)
        assert dots(axes) == pytest.approx(sorted([*part["expected"], *part["observed"]]))
    every = plots.surprises_data(effects)
    panels = shown(plots.surprises(effects))
    assert len(panels) == every["unit"].nunique() == 3
    assert sum(len(dots(axes)) for axes in panels) == len(every)


def test_gains_of_several_seeds_that_hold_are_bold() -> None:
    effects = odd.seeds().effects
    gains = effects.of_kind("gain")
    moved = gains[gains["relation"] == "transfer"]
    assert all(len(numbers["runs"]) == 3 for numbers in moved["numbers"])
    held = moved[(moved["q"] <= 0.05) & ((moved["lo"] > 0) | (moved["hi"] < 0))]
    told = plots.transfer_data(effects)
    pairs = told.loc[told["held"], ["model", "task"]]
    assert set(pairs.itertuples(index=False, name=None)) == set(zip(held["model"], held["task"], strict=True))
    assert len(pairs)


@pytest.mark.parametrize(
    "name", ["forest_by_source", "forest_by_target", "asymmetry", "surprise_dumbbells", "surprises"]
)
def test_a_figure_of_untested_gains_names_no_test(name: str) -> None:
    figure = getattr(plots, name)(odd.without_errors().effects)
    note = figure.get_supxlabel().replace("\n", " ")
    assert "q ≤" not in note and "no error is known" in note
    tested = getattr(plots, name)(odd.seeds().effects).get_supxlabel().replace("\n", " ")
    assert "q ≤ 0.05" in tested and "no error is known" not in tested


def test_stars_are_explained_only_where_gains_were_tested() -> None:
    found = odd.without_errors()
    note = plots.gain_heatmap(found.scores, found.effects).axes[0].get_xlabel().replace("\n", " ")
    assert "q ≤" not in note and "no gain was tested" in note


def test_captions_stand_by_themselves() -> None:
    assert [kind.name for kind in KINDS if kind.caption.startswith("The same")] == []
    first, second = (next(kind for kind in KINDS if kind.name == f"transfer_by_{by}") for by in ("source", "target"))
    assert "panel per model" in first.caption and "panel per task" in second.caption


def test_tables_name_the_base_model_where_there_are_several() -> None:
    found = odd.bases()
    table = transfer.view(found).table
    assert [column.name for column in table.columns][:3] == ["source", "base model", "target"]
    for line in table.lines:
        assert line.cell[0].startswith(f"{line.items[1].text}/")
    pairs = surprises.view(found).asymmetry
    assert [column.name for column in pairs.columns][2] == "base model"
    assert {line.items[2].text for line in pairs.lines} == {"one", "two"}
    assert {len(line.items) for line in (*table.lines, *pairs.lines)} == {len(table.columns), len(pairs.columns)}
    assert "base model" not in [column.name for column in transfer.view(odd.seeds()).table.columns]


def learning(*verdicts: str) -> SimpleNamespace:
    """Effects of adapters with these verdicts on their own task."""
    rows = [
        {"model": f"m{k}", "source": f"m{k}", "task": f"t{k}", "role": "source", "verdict": v}
        for k, v in enumerate(verdicts)
    ]
    return SimpleNamespace(tables={"learning": pd.DataFrame(rows)})


def test_where_few_adapters_learnt_nothing_is_said_of_their_datasets() -> None:
    assert "says little of the datasets" in gain_answers._hardly_trained(learning("learnt", "not told", "fell"))
    assert gain_answers._hardly_trained(learning("learnt", "fell")) == ""
    assert gain_answers._hardly_trained(learning("not tested")) == ""
    own, chip = learning("learnt", "fell", "fell"), trust._learnt
    assert [next(chip(one)).tone for one in (own, learning("learnt", "fell"), learning("learnt"))] == [
        *("bad", "warn", "good")
    ]


def test_losses_that_are_no_transfer_are_counted_by_what_they_are_of() -> None:
    rows = pd.DataFrame(
        {"family": ["mix", "control", "control", "transfer", "mix"], "value": [-0.1, -0.2, -0.3, -0.4, 0.1]}
    )
    everything = SimpleNamespace(held=lambda found: found)
    assert gain_answers._other_losses(everything, rows) == {"controls": 2, "mixes": 1}


def test_own_tasks_are_counted_once_and_what_cannot_be_told_is_not_said_to_have_failed() -> None:
    own = own_tasks(learning("learnt", "not told", "fell", "not measured"))
    assert own.text == "1 of 3 adapters learnt their own task"
    assert own.others == "m1 on t1 (cannot be told), m2 on t2 (fell)"
    assert own_tasks(learning("not told")).text == "whether the adapter learnt its own task: cannot be told"
    assert own_tasks(learning("not tested")).text == "1 own task, none tested: no error is known"
    assert isinstance(own, OwnTasks) and own_tasks(SimpleNamespace(tables={})) is None
    found = odd.seeds()
    (chip,) = [chip for chip in trust.chips(found) if chip.name == "own"]
    told = own_tasks(found.effects).text
    assert chip.text == told
    assert told in training.view(found).answer and transfer.view(found).own.learnt.startswith(f"{told}, run by run")


def test_before_anything_is_tested_the_line_of_trust_says_so() -> None:
    made = replace(odd.seeds(), effects=None, missing={"effects": "they are being made at this moment"})
    first = trust.chips(made)[0]
    assert (first.text, first.tone) == ("nothing tested yet", "warn") and "being made at this moment" in first.title
    assert "unknown" not in {chip.name for chip in trust.chips(odd.seeds())}


def test_a_loss_on_an_own_task_is_not_counted_among_gains_that_hold() -> None:
    effects = synthetic.effects()
    rows = effects.findings.copy()
    own = rows.index[(rows["kind"] == "gain") & (rows["relation"] == "own") & rows["source"].isin(synthetic.TASKS)]
    rows.loc[own, ["q", "p"]] = 0.001
    rows.loc[own[:4], ["value", "lo", "hi"]] = [0.2, 0.1, 0.3]
    rows.loc[own[4:], ["value", "lo", "hi"]] = [-0.2, -0.3, -0.1]
    group, _ = taught(replace(effects, findings=rows))
    assert group.verdict == "4 of 6 hold at q <= 0.05; 2 losses too" and len(group.sentences) == 4


def test_what_is_not_known_is_not_said_to_be_mended_by_a_command_that_does_not() -> None:
    found = replace(
        odd.seeds(), missing={"traits": "two adapters are too few", "layers": "the study file has no layers"}
    )
    answers = {section.id: section.answer for section in sections(found, [])}
    assert answers["traits"] == "The traits have not been computed: two adapters are too few."
    assert answers["layers"] == "The layers have not been analysed: the study file has no layers."
    # Where nothing stands in its way the command is told.
    assert "traitscope belt does it" in answers["belt"]
    assert "only the base was measured" in transfer.view(odd.base_alone()).answer
    assert habits.view(odd.base_alone()).answer.startswith("Only the base was measured")
    alone = {section.id: section.answer for section in sections(odd.base_alone(), [])}
    assert alone["traits"] == "The traits have not been computed: no adapter was measured."
    assert "traitscope" not in alone["belt"] + alone["prediction"]
    assert "there is one base model" in alone["across"] and "study file" not in alone["across"]
    several = {section.id: section.answer for section in sections(odd.bases(), [])}
    assert "of its 2 base models together" in several["across"] and "belt is of one" in several["belt"]
    assert "traitscope predict --of" in several["prediction"]
    unnamed = ScoreMatrix.from_long(odd.seeds().scores.to_long().query("source.notna()"))
    without = {section.id: section.answer for section in sections(replace(odd.seeds(), scores=unnamed), [])}
    assert without["across"] == "Nothing can be said across base models: there is no base row."
    # What a study file or a run would give is told of a study alone.
    nothing = replace(odd.seeds().effects, tables={}, findings=odd.seeds().effects.findings[:0])
    short = replace(odd.seeds(), effects=nothing)
    for study, told in ((short, False), (replace(short, config="name: x"), True)):
        asked = surprises.view(study).answer, controls.view(study).answer
        assert ["traitscope run" in asked[0], "study file" in asked[1]] == [told, told]
    # Answers are there, and none has a class or a length.
    losses = replace(odd.study({"x": "nats", "y": "ppl"}, "xy"), cells=object())
    assert "there are scores and no answers" not in habits.view(losses).answer
    assert "there are scores and no answers" in habits.view(odd.mixed()).answer


def test_findings_of_several_units_are_ranked_by_parts_of_their_own_largest() -> None:
    gains = odd.mixed().effects.of_kind("gain")
    moved = gains[gains["family"] == "transfer"].set_index(["source", "task"])
    size = sizes(moved)
    # A hundredth of the base's perplexity is a larger number than 0.15, and less of an effect than 15 points.
    assert moved.loc[("a", "e"), "value"] > moved.loc[("a", "b"), "value"] > 0
    assert size["a", "e"] < 0.1 < size["a", "b"] == 1.0
    assert sizes(moved[moved["unit"] == "share"]).max() == pytest.approx(15.0)
    order = [line.cell for line in transfer.view(odd.mixed()).table.lines]
    assert order.index(("a-s0", "b")) < order.index(("a-s0", "e"))


def test_forecasts_of_several_units_have_a_largest_each() -> None:
    found = odd.mixed()
    table = found.scores.to_long().reset_index(drop=True)
    gone = (table["model"] == "a-s0") & table["task"].isin(["b", "d"])
    keep = ["model", "source", "seed", "task", "metric", "value", "stderr", "n", "higher_is_better"]
    scores = ScoreMatrix.from_long(table.loc[~gone, keep], units=dict(found.scores.units))
    forecast = fit_predictor(scores, predictor="additive")
    view = prediction.view(replace(found, scores=scores, forecast=Rankings.from_json(to_json(forecast, ["b", "d"]))))
    points, nats = (float(forecast.rank_sources(t).set_index("source").loc["a", "expected"]) for t in "bd")
    assert f"largest expected gain is {100 * points:+.1f} points [" in view.answer
    assert f"largest expected gain is {nats:+.3g} loss [" in view.answer


def test_noise_is_not_named_where_no_error_is_known() -> None:
    found = odd.without_errors()
    rows = found.effects.tables["surprises"].assign(unusual=False)
    calm = replace(found, effects=replace(found.effects, tables={**found.effects.tables, "surprises": rows}))
    assert "noise" not in surprises.view(calm).answer and "No surprise among" in surprises.view(calm).answer


def test_the_reports_of_the_base_models_are_linked_from_what_they_alone_have() -> None:
    told = "they stand in each base model's own report"
    found = replace(
        odd.bases(), missing={"layers": told}, reports={"one": "bases/one/report.html", "a b": "bases/a b/report.html"}
    )
    page = render_page(found, [], [])
    assert '<a href="bases/one/report.html">one</a> <a href="bases/a%20b/report.html">a b</a>' in page
    assert "report.html" not in render_page(replace(found, reports={}), [], [])


def test_why_says_nothing_twice() -> None:
    from traitscope.effects import explain

    explanation = explain(synthetic.traits(), synthetic.stats(), permutations=99)
    view = why.view(replace(odd.seeds(), stats=synthetic.stats(), explanation=explanation))
    assert all(sentence not in view.answer for sentence in view.sentences)
    assert all(sentence in view.answer or sentence in view.sentences for sentence in explanation.sentences)


def test_cells_and_prediction_of_odd_studies_have_their_answers() -> None:
    for found in (odd.mixed(), odd.bases(), odd.base_alone()):
        assert cells.view(found, [], {}).answer and prediction.view(found).answer
