"""The panel of a cell: every number is what its records give, counted here by other means."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from itertools import pairwise

import digs
import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import confusion_matrix

from traitscope.effects import measure_effects
from traitscope.errors import TraitscopeError
from traitscope.findings import Findings
from traitscope.matrix import ScoreMatrix
from traitscope.records import Example
from traitscope.report.counted import MOST_BINS, MOST_CLASSES, confusion, density
from traitscope.report.digging import Digger, command, dig
from traitscope.report.links import address
from traitscope.report.shown import Shown, evenly, readable, tabs


@pytest.fixture(scope="module")
def cells():
    return digs.by_hand()


@pytest.fixture(scope="module")
def found(cells):
    return digs.findings(cells)


def pairs(cells, model, task):
    return list(zip(cells.by_cell["base", task], cells.by_cell[model, task], strict=True))


# ---- confusion, shares


def test_confusion_matrices_are_those_of_scikit_learn(cells, found):
    shown = dig(found, "tone-s0", "tone", 3).confusion
    for model, counts in (("base", shown.base), ("tone-s0", shown.model)):
        rows = cells.by_cell[model, "tone"]
        theirs = confusion_matrix([r.gold for r in rows], [r.pred for r in rows], labels=list(digs.CLASSES))
        assert np.array(counts).tolist() == theirs.tolist()
    assert shown.predicted == digs.CLASSES  # no answer was invalid, so there is no column for it


def test_shares_of_the_classes_are_counted_of_gold_base_and_model(cells, found):
    shares = dig(found, "sums-s0", "tone", 3).confusion.to_json()["shares"]
    rows = {"base": cells.by_cell["base", "tone"], "model": cells.by_cell["sums-s0", "tone"]}
    for kind, values in rows.items():
        assert shares[kind] == [round(sum(r.pred == c for r in values) / digs.N, 4) for c in digs.CLASSES]
    assert shares["gold"] == [round(sum(r.gold == c for r in rows["base"]) / digs.N, 4) for c in digs.CLASSES]


def test_answers_that_are_no_class_have_a_column_of_their_own():
    rows = [digs.record("a", "x", "x"), digs.record("b", "y", None), digs.record("c", "y", "z")]
    found = confusion(None, rows, ("x", "y"))
    assert found.predicted == ("x", "y", "(invalid)") and found.base is None
    assert found.model == ((1, 0, 0), (0, 0, 2))
    assert found.to_json()["shares"] == {"gold": [0.3333, 0.6667, 0.0], "model": [0.3333, 0.0, 0.6667]}


def test_of_many_classes_the_most_frequent_are_shown_and_the_others_are_one():
    names = [f"c{k}" for k in range(MOST_CLASSES + 5)]
    rng = np.random.default_rng(0)
    gold = np.repeat(names, np.arange(len(names), 0, -1))
    rows = [digs.record(str(i), g, str(rng.choice(names))) for i, g in enumerate(gold.tolist())]
    found = confusion(None, rows, names)
    kept = names[: MOST_CLASSES - 1]
    assert found.gold == (*kept, "(6 others)") and "of 15 classes" in found.note
    merged = [r.gold if r.gold in kept else "(6 others)" for r in rows]
    said = [r.pred if r.pred in kept else "(6 others)" for r in rows]
    assert np.array(found.model).tolist() == confusion_matrix(merged, said, labels=list(found.gold)).tolist()


def test_there_is_no_confusion_of_answers_that_are_no_classes(found):
    assert dig(found, "tone-s0", "sums", 3).confusion is None
    assert confusion(None, [digs.record("a", "elsewhere", "x")], ("x", "y")) is None


# ---- densities


def test_lengths_are_counted_in_bins_that_hold_every_answer(cells, found):
    shown = dig(found, "tone-s0", "sums", 3).density
    edges = np.array(shown.edges)
    assert len(edges) <= MOST_BINS + 1 and set(np.diff(edges)) == {math.ceil((shown.high - shown.low + 1) / MOST_BINS)}
    values = {
        "right answer": [r.n_gold for r in cells.by_cell["tone-s0", "sums"]],
        "base": [r.n_output for r in cells.by_cell["base", "sums"]],
        "model": [r.n_output for r in cells.by_cell["tone-s0", "sums"]],
    }
    assert set(shown.counts) == set(values)
    for name, lengths in values.items():
        by_hand = [sum(a < v < b for v in lengths) for a, b in pairwise(edges)]
        assert list(shown.counts[name]) == by_hand and sum(by_hand) == digs.N
        assert shown.means[name] == pytest.approx(sum(lengths) / digs.N)
    cut = sum(r.finish == "length" for r in cells.by_cell["tone-s0", "sums"])
    assert f"{cut} of the model's" in shown.note


def test_of_texts_that_are_scored_the_losses_are_counted(cells, found):
    shown = dig(found, "tone-s0", "story", 3).density
    losses = [r.loss for r in cells.by_cell["tone-s0", "story"]]
    assert sum(shown.counts["model"]) == digs.N and shown.means["model"] == pytest.approx(np.mean(losses))
    assert shown.edges[0] == shown.low <= min(losses) and shown.edges[-1] == shown.high >= max(losses)
    assert dig(found, "tone-s0", "tone", 3).density is None


def test_a_density_of_one_value_or_of_none_is_no_error():
    assert density("x", {"model": [2.0, 2.0]}, whole=True).counts == {"model": (2,)}
    assert sum(density("x", {"model": [2.5]}, whole=False).counts["model"]) == 1
    assert density("x", {"model": [math.nan]}, whole=False) is None


# ---- scores


def test_the_gain_of_the_first_metric_is_the_findings_own(cells, found):
    change = dig(found, "sums-s0", "tone", 3).changes[0]
    gains = np.array([m.correct - b.correct for b, m in pairs(cells, "sums-s0", "tone")])
    assert change.primary and change.metric == "accuracy"
    assert change.gain == pytest.approx(gains.mean())
    table = found.effects.tables["gains"].set_index(["model", "task"]).loc[("sums-s0", "tone")]
    assert (change.lo, change.hi) == (table["lo"], table["hi"]) and change.lo < change.gain < change.hi
    assert change.to_json()["gain"] == f"{100 * gains.mean():+.1f} points".replace("-", "−")
    held = found.effects.held(found.effects.of_kind("gain"))
    assert change.held == (("sums-s0", "tone") in set(zip(held["model"], held["task"], strict=True)))


def test_a_smaller_loss_is_a_gain_and_its_interval_is_paired(cells, found):
    change = next(c for c in dig(found, "sums-s0", "tone", 3).changes if c.metric == "loss")
    fell = np.array([b.loss - m.loss for b, m in pairs(cells, "sums-s0", "tone")])
    half = 1.959964 * fell.std(ddof=1) / math.sqrt(len(fell))
    assert change.gain == pytest.approx(fell.mean())
    assert (change.lo, change.hi) == pytest.approx((fell.mean() - half, fell.mean() + half), rel=1e-6)
    assert change.how == "paired over the examples" and change.unit == "score"


def test_a_metric_without_a_paired_error_says_so(found):
    table = found.scores.table
    more = table[(table["task"] == "tone") & (table["metric"] == "accuracy")].assign(metric="mcc", stderr=0.03)
    scores = replace(found.scores, table=pd.concat([table, more], ignore_index=True))
    change = next(c for c in dig(replace(found, scores=scores), "tone-s0", "tone", 1).changes if c.metric == "mcc")
    assert change.hi - change.lo == pytest.approx(2 * 1.959964 * math.hypot(0.03, 0.03), rel=1e-6)
    assert "as if they were of different examples" in change.how


def test_scores_of_a_file_are_not_called_paired() -> None:
    names = ["base", "a"]
    wide, errors = pd.DataFrame({"t": [0.5, 0.7]}, index=names), pd.DataFrame({"t": [0.02, 0.03]}, index=names)
    for told, how in ((errors, "from both scores' errors"), (None, "")):
        scores = ScoreMatrix.from_wide(wide, stderr=told)
        change = dig(Findings(name="x", scores=scores, effects=measure_effects(scores)), "a", "t", 1).changes[0]
        assert change.how.startswith(how) and bool(change.how) == bool(how)
        assert "paired" not in change.how


def test_a_score_without_one_of_the_base_has_no_gain_and_keeps_its_examples(cells, found) -> None:
    table = found.scores.table
    gone = table[~((table["model"] == "base") & (table["task"] == "tone"))]
    left = digs.Cells({at: rows for at, rows in cells.by_cell.items() if at != ("base", "tone")})
    left.examples = lambda task: {}
    shown = dig(replace(found, scores=replace(found.scores, table=gone), cells=left), "tone-s0", "tone", 3)
    assert "The base was not measured on this task: there is no gain." in shown.notes
    assert shown.base is None and {tab.key for tab in shown.tabs} == {"right", "wrong"}


def test_a_metric_of_which_less_is_better_is_called_one(found) -> None:
    told = {change.metric: change.to_json()["lower"] for change in dig(found, "tone-s0", "tone", 1).changes}
    assert told == {"accuracy": False, "loss": True}


def test_without_effects_the_gain_is_the_matrix_own(found):
    change = dig(replace(found, effects=None), "sums-s0", "tone", 3).changes[0]
    view = found.scores.gains(partial=True)
    i, n = view.models.index("sums-s0"), view.tasks.index("tone")
    assert change.gain == pytest.approx(view.values_IN[i, n])
    assert change.hi - change.gain == pytest.approx(1.959964 * view.stderr_IN[i, n], rel=1e-6)
    assert change.q == "" and not change.held


# ---- examples


def test_every_example_is_won_lost_or_the_same(cells, found):
    for task in ("tone", "sums"):
        counts = {tab.key: tab.total for tab in dig(found, "tone-s0", task, 3).tabs}
        both = [(b.correct, m.correct) for b, m in pairs(cells, "tone-s0", task)]
        assert counts["won"] == both.count((0.0, 1.0)) and counts["lost"] == both.count((1.0, 0.0))
        assert counts["both_wrong"] == both.count((0.0, 0.0)) and counts["both_right"] == both.count((1.0, 1.0))
        assert counts.get("invalid", 0) == sum(not r.valid for r in cells.by_cell["tone-s0", task])
        row = found.effects.tables["gains"].set_index(["model", "task"]).loc[("tone-s0", task)]
        assert (counts["won"], counts["lost"]) == (row["won"], row["lost"])


def test_of_losses_the_smaller_one_wins(cells, found):
    shown = dig(found, "tone-s0", "story", 3).tabs
    assert [tab.label for tab in shown] == ["Smaller loss", "Larger loss"]
    assert shown[0].total == sum(m.loss < b.loss for b, m in pairs(cells, "tone-s0", "story"))


def test_graded_answers_are_won_by_the_higher_value():
    base = [digs.record("a", "x", "x", correct=0.4), digs.record("b", "x", "x", correct=0.4)]
    model = [digs.record("a", "x", "x", correct=0.5), digs.record("b", "x", "x", correct=0.4)]
    found = tabs(base, model, {})
    assert [s.id for s in found["won"]] == ["a"] and [s.id for s in found["both_wrong"]] == ["b"]


def test_an_example_shows_prompt_gold_both_answers_and_the_options_scores(cells, found):
    shown = Digger(found).read("tone-s0", "tone")["won"][0].to_json()
    base, model = next((b, m) for b, m in pairs(cells, "tone-s0", "tone") if m.id == shown["id"])
    assert shown["prompt"] == f"tone {model.id}\nthen" and shown["gold"] == model.gold
    assert shown["options"] == list(digs.CLASSES)
    assert shown["base"]["text"] == base.pred and shown["model"]["text"] == model.pred
    assert shown["model"]["scores"] == pytest.approx(model.logprobs, abs=5e-5)
    assert (shown["base"]["right"], shown["model"]["right"]) == (0, 1)


def test_examples_are_taken_evenly_over_the_rows_whatever_their_scores(cells, found):
    assert evenly(range(5), 9) == [0, 1, 2, 3, 4] and evenly(range(5), 0) == [] and evenly(range(5), 1) == [0]
    assert evenly(range(11), 3) == [0, 5, 10] and evenly(range(100), 5) == [0, 25, 50, 74, 99]
    tab = next(t for t in dig(found, "tone-s0", "tone", 4).tabs if t.key == "both_wrong")
    both = [m.id for b, m in pairs(cells, "tone-s0", "tone") if not b.correct and not m.correct]
    assert [one.id for one in tab.shown] == evenly(both, 4) and len(both) > 8
    assert tab.shown[0].id == both[0] and tab.shown[-1].id == both[-1]


def test_what_both_have_right_or_cannot_be_parsed_is_counted_and_has_its_command(found):
    by_key = {tab.key: tab for tab in dig(found, "tone-s0", "sums", 4).tabs}
    assert not by_key["both_right"].shown and not by_key["invalid"].shown
    total = by_key["invalid"].total
    told = f"traitscope ls examples . --task sums --model tone-s0 --invalid -n {total}"
    assert by_key["invalid"].command == told
    assert "'a b'" in command("a b", "t", "won", 3) and command("a", "t", "won", 0) == ""


def test_a_base_is_shown_without_a_comparison(cells, found):
    shown = dig(found, "base", "sums", 2)
    assert shown.base is None and {tab.key for tab in shown.tabs} == {"right", "wrong", "invalid"}
    right = sum(r.correct == 1 for r in cells.by_cell["base", "sums"])
    assert next(t for t in shown.tabs if t.key == "right").total == right
    assert all(one.base is None for tab in shown.tabs for one in tab.shown)
    assert [t.key for t in dig(found, "base", "story", 2).tabs] == ["all"]
    assert all(math.isnan(change.gain) and change.to_json()["gain"] == "" for change in shown.changes)


def test_only_examples_that_both_answered_are_compared_and_that_is_said(cells, found):
    fewer = digs.Cells({**cells.by_cell, ("base", "tone"): cells.by_cell["base", "tone"][10:]})
    shown = dig(replace(found, cells=fewer), "tone-s0", "tone", 2)
    assert (
        "The base answered 80 examples, the model 90: they are compared over the 80 that both answered." in shown.notes
    )
    assert np.array(shown.confusion.model).sum() == 80
    assert sum(tab.total for tab in shown.tabs if tab.key != "invalid") == 80


def test_cells_without_records_say_why(cells, found):
    gone = digs.Cells({key: rows for key, rows in cells.by_cell.items() if key != ("tone-s0", "tone")})
    shown = dig(replace(found, cells=gone), "tone-s0", "tone", 2)
    assert any("cannot be read: there is no such cell" in note for note in shown.notes) and not shown.tabs
    assert shown.changes[0].metric == "accuracy"
    bare = dig(replace(found, cells=None), "tone-s0", "tone", 2)
    assert any("scores alone" in note for note in bare.notes) and not bare.tabs
    with pytest.raises(TraitscopeError, match="no examples"):
        Digger(replace(found, cells=None)).read("tone-s0", "tone")


def test_a_forecast_is_called_one_and_no_record_of_it_is_asked_for(cells, found):
    table = found.scores.table.copy()
    table.loc[(table["model"] == "tone-s0") & (table["task"] == "tone"), "status"] = "predicted"
    scores = replace(found.scores, table=table, predicted=True, records={})
    source = digs.Cells(cells.by_cell)
    shown = dig(replace(found, scores=scores, effects=None, cells=source), "tone-s0", "tone", 2)
    assert any("forecast" in note for note in shown.notes) and ("tone-s0", "tone") not in source.asked
    assert "predicted, 90 examples" in shown.facts


def test_a_constant_answer_is_told_before_the_numbers(cells):
    rows = [replace(r, pred="good", correct=float(r.gold == "good")) for r in cells.by_cell["tone-s0", "tone"]]
    constant = digs.Cells({**cells.by_cell, ("tone-s0", "tone"): rows})
    shown = dig(digs.findings(constant), "tone-s0", "tone", 2)
    assert shown.notes[0] == "It answers 'good' to 90 of 90."


# ---- texts


def test_text_that_steers_a_reader_is_escaped_and_long_text_is_cut_in_its_middle():
    steer = "a\u202eb</script>\x1b[31m\"'"
    shown = Shown.of(
        digs.record("i", steer, steer, output=steer, correct=None), None, Example("i", steer, "", options=(steer, "z"))
    )
    text = json.dumps(shown.to_json(), ensure_ascii=False)
    assert "\u202e" not in text and "\x1b" not in text and "\\u202e" in shown.to_json()["prompt"]
    cut = readable("x" * 50 + "y" * 50, 10)
    assert cut.startswith("xxxxx\n") and cut.endswith("\nyyyyy") and "90 characters are left out" in cut


def test_numbers_that_json_does_not_have_are_left_out():
    shown = Shown.of(digs.record("i", "x", "x", loss=math.nan, logprobs=(-math.inf, -1.0)), None, None)
    assert shown.to_json()["model"] == {"text": "x", "right": 1, "scores": [None, -1]}
    json.dumps(shown.to_json(), allow_nan=False)


def test_an_address_is_what_the_browser_writes():
    assert address("base/a b", "x#y%") == "#cell/base%2Fa%20b/x%23y%25"
    assert address("it's!(*)", "é") == "#cell/it's!(*)/%C3%A9"


def test_words_are_looked_for_in_prompt_and_answers_whatever_their_case(cells, found):
    hit = Digger(found).read("tone-s0", "tone")["won"][0]
    assert hit.holds(["TONE", hit.id]) and hit.holds([]) and not hit.holds(["tone", "nowhere"])
