"""Sections below the first screen: their first lines and tables against the findings, none empty, all escaped."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
import synthetic
from test_report import full, tiny

from traitscope.belt import choose_belt
from traitscope.effects import Effects, across_bases, measure_effects
from traitscope.findings import Findings, Spent
from traitscope.matrix import ScoreMatrix
from traitscope.predict.evaluate import evaluate_predictors
from traitscope.predict.forecast import fit_predictor
from traitscope.predict.ranking import to_json
from traitscope.predict.rankings import Rankings
from traitscope.report import trust
from traitscope.report.answers import _traits_claim
from traitscope.report.matrix_table import matrix_table
from traitscope.report.methods import methods
from traitscope.report.page import render_page
from traitscope.report.sections import (
    belt,
    cells,
    habits,
    layers,
    prediction,
    sections,
    surprises,
    training,
    traits,
    transfer,
    why,
)


class Sections(HTMLParser):
    """The text of every section of a page without its heading, and the places that "?" lead to."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.text: dict[str, str] = {}
        self.answers: dict[str, str] = {}
        self.asked: set[str] = set()
        self.ids: set[str] = set()
        self._in, self._skip, self._answer = "", 0, False
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        known = dict(attrs)
        self.ids.add(known.get("id") or "")
        if tag == "section":
            self._in = known["id"]
            self.text[self._in] = ""
        if tag in ("h2", "script", "svg"):
            self._skip += 1
        if tag == "p" and "answer" in (known.get("class") or "").split():
            self._answer = True
        if tag == "a" and known.get("class") == "what":
            self.asked.add(known["href"].removeprefix("#"))

    def handle_endtag(self, tag):
        if tag in ("h2", "script", "svg"):
            self._skip -= 1
        if tag == "p":
            self._answer = False
        if tag == "section":
            self._in = ""

    def handle_data(self, data):
        if self._in and not self._skip:
            self.text[self._in] += data
        if self._answer:
            self.answers[self._in] = self.answers.get(self._in, "") + data


def everything() -> Findings:
    """All parts, with a forecast, an evaluation and a belt as their commands make them."""
    matrix = synthetic.matrix()
    forecast = fit_predictor(matrix, predictor="additive")
    return replace(
        full(),
        forecast=Rankings.from_json(to_json(forecast, list(matrix.tasks))),
        evaluation=evaluate_predictors(matrix, predictors=["column mean", "additive"], protocols=["cells"]),
        belt=choose_belt(matrix),
        spent=(Spent("imdb-s0", 10, 1000, 2.5), Spent("mnli-s0", 20, 3000, None)),
    )


@pytest.fixture(scope="module")
def found() -> Findings:
    return everything()


def one_task() -> Findings:
    rng = np.random.default_rng(0)
    right = {m: (rng.random(50) < p).astype(float) for m, p in (("base", 0.4), ("a", 0.8))}
    table = pd.DataFrame(
        {"model": ["base", "a"], "source": [None, "t"], "task": "t", "value": [float(r.mean()) for r in right.values()]}
    )
    matrix = ScoreMatrix.from_long(table, records={"t": right})
    return Findings(name="one", scores=matrix, effects=measure_effects(matrix))


def several() -> Findings:
    effects = synthetic.effects()
    across = across_bases({"one": effects, "two": effects})
    return Findings(name="several", scores=synthetic.matrix(), effects=effects, across=across)


CASES = {
    "everything": everything,
    "bare": lambda: Findings(name="bare", scores=tiny()),
    "no base": lambda: Findings(name="no base", scores=tiny(models=("m1", "m2", "m3"))),
    "no base, effects": lambda: Findings(
        name="x", scores=tiny(models=("m1", "m2", "m3")), missing={"effects": "there is no base row"}
    ),
    "one task": one_task,
    "several bases": several,
}


@pytest.mark.parametrize("case", CASES)
def test_no_section_is_empty_and_each_begins_with_its_answer(case: str) -> None:
    read = Sections(render_page(CASES[case](), [], []))
    assert len(read.text) == 15
    for name, text in read.text.items():
        assert len(text.split()) > 3, name
        if name != "first":
            assert re.search(r"\w.*[.)]\s*$", read.answers[name], re.DOTALL), (name, read.answers.get(name))


def test_what_is_not_known_says_which_command_gives_it() -> None:
    read = Sections(render_page(Findings(name="young", scores=tiny(), config="name: young"), [], []))
    for name, command in (
        ("transfer", "traitscope effects"),
        ("traits", "traitscope traits"),
        ("why", "traitscope stats"),
        ("layers", "traitscope layers"),
        ("prediction", "traitscope predict"),
        ("belt", "traitscope belt"),
        ("across", "bases"),
        ("training", "traitscope run"),
    ):
        assert command in read.text[name], name


def test_every_question_mark_leads_to_a_method(found: Findings) -> None:
    read = Sections(render_page(found, [], []))
    assert read.asked <= read.ids and len(read.asked) > 25
    assert {f"method-{name}" for name in methods()} <= read.ids


def test_transfer_counts_what_holds_by_hand(found: Findings) -> None:
    effects = synthetic.effects()
    gains = effects.findings[effects.findings["kind"] == "gain"]
    away = gains[~gains["relation"].isin(["own", "copy"])]
    moved = away[away["family"] == "transfer"]
    sure = moved[(moved["q"] <= 0.05) & ~((moved["lo"] <= 0) & (moved["hi"] >= 0))]
    up, down = (sure["value"] > 0).sum(), (sure["value"] < 0).sum()
    view = transfer.view(found)
    assert view.answer.startswith(f"{up} of {len(moved)} tested transfers help and {down} harm")
    assert f"the median is {100 * moved['value'].median():+.1f} points" in view.answer
    assert view.table is not None and len(view.table.lines) == len(away)
    shown = {line.cell: line for line in view.table.lines}
    for row in away.to_dict("records"):
        line = shown[(row["numbers"].get("runs") or [row["model"]])[0], row["task"]]
        assert line.items[4].sort == pytest.approx(100 * row["value"])
        assert line.items[7].text == f"{row['numbers']['won']:.0f}"
    assert sum(line.tone == "strong" for line in view.table.lines) == sum(
        (away["q"] <= 0.05) & ~((away["lo"] <= 0) & (away["hi"] >= 0))
    )
    own = gains[gains["relation"] == "own"]
    assert view.own is not None and view.own.gains.tested == len(own)
    assert view.own.gains.verdict == f"{int((own['q'] <= 0.05).sum())} of {len(own)} hold at q <= 0.05"


def test_habits_give_each_model_its_largest_changes(found: Findings) -> None:
    classes, lengths = (synthetic.effects().tables[name] for name in ("classes", "lengths"))
    view = habits.view(found)
    assert view.table is not None
    lines = {line.items[0].text: line for line in view.table.lines}
    assert len(lines) == len(view.table.lines) == len(set(classes["model"]) | set(lengths["model"]))
    for model, part in classes.groupby("model"):
        assert lines[model].items[2].sort == pytest.approx(100 * part["share_change"].abs().max())
    for model, part in lengths.groupby("model"):
        assert lines[model].items[5].sort == pytest.approx(part["shift"].abs().max())
    most = classes["share_change"].abs().max()
    assert f"{100 * most:.1f} points" in view.answer.replace("+", "").replace("-", "")


def test_a_base_that_answers_alike_has_not_changed(found: Findings) -> None:
    cells = found.effects.tables["cells"]
    same = replace(found.effects, tables={**found.effects.tables, "cells": cells.assign(habit="constant")})
    assert "base" in set(cells["model"])
    told = habits.view(replace(found, effects=same)).answer
    assert told.startswith(f"{len(set(cells['model']) - {'base'})} models answer alike")


def test_stable_traits_are_bold_and_those_of_one_task_grey(found: Findings) -> None:
    made = synthetic.traits()
    view = traits.view(found)
    assert view.table is not None and view.loadings is not None and view.profiles is not None
    for k, line in enumerate(view.table.lines):
        specific = made.names[k].proposed.startswith("specific to")
        stable = made.above_null_K[k] and round(float(made.stability.figure_K[k]), 2) >= 0.85
        assert line.tone == ("grey" if specific else "strong" if stable else "")
    assert view.explained[-1] == f"{100 * made.explained_K.sum():.0f}"
    assert [[text for text, _ in items] for _, items in view.loadings.rows] == [
        [f"{round(value, 2) + 0.0:+.2f}" for value in made.loadings_KN[:, n]] for n in range(len(made.tasks))
    ]
    assert len(view.profiles.rows) == len(made.models) + len(made.projected.models)


def test_a_trait_of_one_task_is_never_stable() -> None:
    from types import SimpleNamespace

    made = SimpleNamespace(
        stability=SimpleNamespace(figure_K=np.array([0.9, 0.9, 0.5])),
        above_null_K=(True, True, True),
        names=[SimpleNamespace(specific=specific) for specific in (False, True, False)],
    )
    assert [traits.is_stable(made, k) for k in range(3)] == [True, False, False]  # type: ignore[arg-type]


def test_a_stability_is_judged_at_the_digits_that_it_is_shown_with() -> None:
    made = synthetic.traits()
    stability = replace(made.stability, figure_K=np.array([0.846, 0.844]))
    near = replace(made, stability=stability, above_null_K=(True, True))
    told = _traits_claim(near).text.partition("oo unstable to be named")[2]
    assert "stability 0.84)" in told and "stability 0.85)" not in told


def test_statistics_have_datasets_down_and_figures_across(found: Findings) -> None:
    core = synthetic.stats().core()
    table = why.view(found).statistics
    assert table is not None and [line.items[0].text for line in table.lines] == list(core.index)
    assert len(table.columns) == 1 + core.shape[1]
    for line, (_, row) in zip(table.lines, core.iterrows(), strict=True):
        heads = [column.name.replace(" ", "_") for column in table.columns]
        told = dict(zip(heads, line.items, strict=True))
        for name, value in row.items():
            item = told[str(name).replace(" ", "_")]
            assert item.text == "–" if np.isnan(value) else item.sort == pytest.approx(value)


def test_why_answers_by_a_correlation_only_where_one_holds() -> None:
    from traitscope.effects import explain

    explanation = explain(synthetic.traits(), synthetic.stats(), permutations=99)
    view = why.view(Findings(name="x", scores=tiny(), stats=synthetic.stats(), explanation=explanation))
    held = explanation.correlations["q"] <= 0.05
    assert view.answer.startswith("No correlation holds") == (not held.any())
    assert view.correlations is not None
    assert sum(line.tone == "strong" for line in view.correlations.lines) == int(held.head(20).sum())


def test_curves_and_points_are_those_of_the_layers() -> None:
    made = synthetic.layers()
    told = layers.curves(made)
    assert list(told) == list(made.meta["measures"])
    summary = made.summary("cka", "mix~control").dropna(subset="value")
    lines = told["cka"]["pairs"]["mix and single-task models"]
    assert [line[0] for line in lines] == summary["layer"].tolist()
    assert [line[1] for line in lines] == pytest.approx(summary["value"].tolist(), abs=1e-4)
    points = layers.points(made)
    assert points is not None
    panel, first = points["layers"][0]["panels"][0], made.embeddings[0]
    assert [points["tasks"][t] for t in panel["task"]] == list(first.labels)
    # Order along the axis stays.
    assert np.corrcoef(panel["x"], first.xy_P2[:, 0])[0, 1] > 0.9999
    assert min(panel["x"]) == 0 and max(panel["x"]) == 1000


def test_forecast_and_evaluation_are_told_as_they_were_kept(found: Findings) -> None:
    matrix = synthetic.matrix()
    forecast = fit_predictor(matrix, predictor="additive")
    view = prediction.view(found)
    assert view.rankings is not None and view.predictors is not None and view.unjudged == ""
    for task in matrix.tasks:
        ranked = forecast.rank_sources(task)
        lines = [line for line in view.rankings.lines if line.items[0].text == task]
        assert [line.items[2].text for line in lines] == ranked["source"].tolist()
        assert [line.items[3].sort for line in lines] == pytest.approx(ranked["expected"].tolist())
    # One cell of the matrix is missing.
    assert view.answer.startswith("1 cell forecast by additive")
    # The one cell without a measurement, in points as all gains of the page.
    ((source, task),) = {(line.items[2].text, line.items[0].text) for line in view.rankings.lines if line.tone}
    expected = forecast.rank_sources(task).set_index("source").loc[source, "expected"]
    assert f"{100 * expected:+.1f} points [" in view.answer and f"({source} on {task})" in view.answer
    skill = found.evaluation.skill  # type: ignore[union-attr]
    row = skill[(skill["held"] == "each task alone") & (skill["against"] == "column mean")].iloc[0]
    assert f"saves {row['saved']:.0%} [{row['lo']:.0%}, {row['hi']:.0%}]" in view.answer


def test_the_belt_says_what_each_size_is_worth(found: Findings) -> None:
    choice = choose_belt(synthetic.matrix())
    view = belt.view(found)
    assert view.sizes is not None and view.tasks is not None and view.alternatives is not None
    assert [line.items[1].sort for line in view.sizes.lines] == pytest.approx(choice.sizes["judged"].tolist())
    (bold,) = [line for line in view.sizes.lines if line.tone == "strong"]
    assert bold.items[0].text == str(len(choice.models))
    assert all(model in view.answer for model in choice.models)
    assert len(view.tasks.lines) == len(choice.tasks)


def test_asymmetry_gives_both_directions_of_every_pair(found: Findings) -> None:
    table = synthetic.effects().tables["asymmetry"]
    view = surprises.view(found)
    assert view.asymmetry is not None and len(view.asymmetry.lines) == len(table)
    shown = {(line.items[0].text, line.items[1].text): line.items for line in view.asymmetry.lines}
    for row in table.to_dict("records"):
        items = shown[row["i"], row["j"]]
        assert (items[2].sort, items[4].sort) == pytest.approx((100 * row["i_to_j"], 100 * row["j_to_i"]))


def test_training_counts_what_was_learnt_and_what_it_cost(found: Findings) -> None:
    learning = synthetic.effects().tables["learning"]
    own = learning[learning["role"] == "source"]
    view = training.view(found)
    learnt = (own["verdict"] == "learnt").sum()
    assert view.answer.startswith(f"{learnt} of {len(own)} adapters learnt their own task")
    assert view.cost_text == "2 adapters: 30 steps and 4,000 tokens in all."
    assert view.cost is not None and [line.items[3].text for line in view.cost.lines] == ["2.5", "–"]


def test_cells_are_picked_by_chip_and_by_half_of_their_interval(found: Findings) -> None:
    chips = trust.chips(found)
    view = cells.view(found, chips, trust.flags(chips))
    gains = synthetic.effects().tables["gains"].set_index(["model", "task"])
    for line in view.table.lines:
        assert line.cell is not None
        if line.cell in gains.index:
            row = gains.loc[line.cell]
            if np.isfinite(row["gain"]) and np.isfinite(row["lo"]):
                assert line.half == pytest.approx(50 * (row["hi"] - row["lo"]))
                assert line.items[6].sort == pytest.approx(100 * row["gain"])
    for chip in chips:
        if chip.cells:
            assert {line.cell for line in view.table.lines if chip.name in line.flags} == set(chip.cells)


def test_without_errors_nothing_is_said_to_hold() -> None:
    matrix = tiny(models=("base", "x", "y"))
    effects = measure_effects(matrix)
    findings = Findings(name="x", scores=matrix, effects=effects)
    shown = matrix_table(findings, {})
    assert "examples" not in shown.notes["gain"] and not matrix.n_IN.any()
    told = [line for row in shown.rows for cell in row.cells for line in cell.tip]
    assert "not tested" in told and not any("hold" in line for line in told)
    view = transfer.view(findings)
    assert view.table is not None and view.table.flags == {"untested": "those not tested"}
    assert view.own is None or (view.own.learnt.endswith("no error is known.") and "corrected" not in view.own.learnt)
    assert "none was tested, as no error is known" in view.answer or "No transfer was measured" in view.answer
    assert view.table is None or not [line for line in view.table.lines if line.tone]


def test_names_of_users_are_text_in_tables_data_and_addresses() -> None:
    evil = '</script><b x="'
    table = pd.DataFrame(
        [("base", None, evil, 0.5), (evil, "s", evil, 0.25)], columns=["model", "source", "task", "value"]
    )
    matrix = ScoreMatrix.from_long(table)
    findings = Findings(
        name="x", scores=matrix, effects=measure_effects(matrix), spent=(Spent(evil, 1, 1, None),), layers=None
    )
    page = render_page(findings, [], [])
    assert evil not in page and page.count("<script") == page.count("</script>")
    assert "#cell/%3C%2Fscript%3E" in page


def test_data_for_the_script_is_json_that_ends_no_script(found: Findings) -> None:
    page = render_page(found, [], [])
    for name in ("measures", "points", "explained"):
        text = re.search(f'<script type="application/json" id="{name}">(.*?)</script>', page, re.DOTALL)
        assert text is not None and json.loads(text[1])


def test_sections_come_in_the_order_in_which_one_asks() -> None:
    names = [section.id for section in sections(Findings(name="x", scores=tiny()), [])]
    assert names[:5] == ["transfer", "habits", "traits", "why", "layers"] and names[-1] == "cells"


def test_the_effects_of_the_fixture_hold_something() -> None:
    effects: Effects = synthetic.effects()
    assert len(effects.held(effects.of_kind("gain"))) > 5
