"""What the page counts and orders, of a study so small that each number here was reckoned by hand from its table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import digs
import numpy as np
import odd
import pandas as pd
import pytest

from traitscope.effects import measure_effects
from traitscope.findings import Findings
from traitscope.matrix import ScoreMatrix
from traitscope.matrix.roles import Role
from traitscope.report import gain_answers, trust
from traitscope.report.counted import cell_density, confusion, invalid_note
from traitscope.report.matrix_table import matrix_table
from traitscope.report.matrix_view import FLOOR, Cell
from traitscope.report.sections import habits, transfer

# By task: metric, unit, error of every score, whether higher is better. All errors are far below the gains.
TASKS = {
    "film": ("accuracy", "fraction", 0.01, True),
    "law": ("accuracy", "percent", 1.0, True),
    "sums": ("exact_match", "fraction", 0.01, True),
    "story": ("loss", "other", 0.02, False),
}
SCORES = {
    "base": (0.50, 40, 0.50, 3.0),
    "film": (0.60, 60, 0.50, 2.5),
    "law": (0.75, 38, 0.20, 3.4),
    "film.mislabel": (0.45, 40, 0.50, 3.0),
    "all": (0.70, 25, 0.50, 3.0),
}
ROLES = {
    "film": Role("source", own=frozenset({"film"})),
    "law": Role("source", own=frozenset({"law"})),
    "film.mislabel": Role("control", copies=frozenset({"film"}), parent="film"),
    "all": Role("mix", own=frozenset({"film", "law"})),
}
# What is odd about a task (where the base is; what the best constant answer scores) and about two cells.
BASE_AT = {"film": "ceiling", "law": "ceiling", "sums": "floor", "story": ""}
CONSTANT = {"film": 0.55, "law": 0.45, "sums": np.nan, "story": 2.8}
HABITS = {("film", "film"): "constant", ("film", "sums"): "unparsable"}
RATES = [("invalid", "film", "sums", 0.6), ("cut_off", "film", "law", 0.3)]


def study(rows: Sequence[str] = tuple(SCORES)) -> Findings:
    """The table above with its tested gains, and tables of cells and rates as its records would give them."""
    lines = [
        {"base": "base", "model": row, "source": None if row == "base" else row, "task": task, "value": value}
        | {"metric": metric, "stderr": error, "higher_is_better": up}
        for row in rows
        for value, (task, (metric, _, error, up)) in zip(SCORES[row], TASKS.items(), strict=True)
    ]
    units = {task: unit for task, (_, unit, _, _) in TASKS.items()}
    roles = {name: role for name, role in ROLES.items() if name in rows}
    matrix = ScoreMatrix.from_long(pd.DataFrame(lines), units=units, roles=roles)
    cells = [
        {"model": row, "task": task, "metric": TASKS[task][0], "chance": 0.5, "remark": ""}
        | {"habit": HABITS.get((row, task), ""), "base_at": BASE_AT[task], "constant_score": CONSTANT[task]}
        for row in rows
        for task in TASKS
    ]
    effects = measure_effects(matrix, permutations=99)
    made = {"cells": pd.DataFrame(cells), "rates": pd.DataFrame(RATES, columns=["rate", "model", "task", "change"])}
    return Findings(name="by hand", scores=matrix, effects=replace(effects, tables={**effects.tables, **made}))


@pytest.fixture(scope="module")
def found() -> Findings:
    return study()


def column(findings: Findings, task: str) -> dict[str, Cell]:
    """The cells of a task by the name of their row."""
    table = matrix_table(findings, {})
    return {row.name: cell for row in table.rows for cell in row.cells if cell.task == task}


def test_colours_run_from_the_worst_of_a_column_to_its_best_and_points_share_one_scale(found: Findings) -> None:
    sums, film, law, story = (column(found, task) for task in ("sums", "film", "law", "story"))
    # The largest change in points is law's -30 on sums; the largest in nats film's 0.5 on story.
    assert [sums["law"].tone, film["law"].tone, law["film"].tone] == pytest.approx([-1, 25 / 30, 20 / 30])
    assert [story["film"].tone, story["law"].tone] == pytest.approx([1, -0.8])
    assert [film[row].shade for row in ("film.mislabel", "base", "law")] == pytest.approx([0, 0.05 / 0.3, 1])
    # Of a loss the smallest is best, in colour and in order.
    assert [story[row].shade for row in ("law", "base", "film")] == pytest.approx([0, 0.4 / 0.9, 1])
    assert [story[row].score_sort for row in ("law", "base", "film")] == [-3.4, -3.0, -2.5]


def test_the_script_knows_which_way_is_better_and_which_columns_are_alike(found: Findings) -> None:
    assert [head.higher for head in matrix_table(found, {}).columns] == [True, True, True, False]
    wide = pd.DataFrame({"x": [0.5, 0.9, 0.1], "y": [0.5, 0.1, 0.9], "z": [0.5, 0.9, 0.2]}, index=["base", "a", "b"])
    heads = matrix_table(Findings(name="x", scores=ScoreMatrix.from_wide(wide)), {}).columns
    places = {head.task: head.cluster for head in heads}
    assert sorted(places.values()) == [0, 1, 2] and abs(places["x"] - places["z"]) == 1


def test_only_a_floor_is_marked_as_one(found: Findings) -> None:
    marked = {task for task in TASKS for cell in column(found, task).values() if FLOOR in cell.glyphs}
    assert marked == {"sums"}


def test_a_control_is_at_home_where_it_saw_a_copy(found: Findings) -> None:
    home = {(row, task) for task in TASKS for row, cell in column(found, task).items() if cell.home}
    assert home == {("film", "film"), ("law", "law"), ("film.mislabel", "film"), ("all", "film"), ("all", "law")}


def test_chance_is_told_in_the_units_of_its_column_and_its_gain_is_better_above_0(found: Findings) -> None:
    told = [column(found, task)["best constant answer"] for task in TASKS]
    # 55 % beside a base of 50, 45 beside 40 (the findings have it as a share), a loss of 2.8 beside 3.
    assert [(cell.score, cell.gain) for cell in told] == [("55.0", "+5.0"), ("45.0", "+5.0"), ("", ""), ("2.8", "+0.2")]
    assert [cell.gain_sort for cell in told] == [*map(pytest.approx, (0.05, 5.0)), None, pytest.approx(0.2)]
    assert told[0].tip == ("best constant answer on film", "accuracy 55.0, chance 50.0 % right")
    # Of two bases each has its own.
    two = odd.bases()
    about = {"task": "a", "metric": "accuracy", "chance": 0.5, "constant_score": 0.55}
    about |= {"habit": "", "base_at": "", "remark": ""}
    rows = pd.DataFrame([{"model": f"{base}/base", **about} for base in ("one", "two")])
    table = matrix_table(replace(two, effects=replace(two.effects, tables={"cells": rows})), {})
    assert [row.name for row in table.rows if row.kind == "chance"] == [
        f"best constant answer beside {base}/base" for base in ("one", "two")
    ]
    assert [cell.score_sort for cell in told] == [*map(pytest.approx, (0.55, 45.0)), None, pytest.approx(-2.8)]


def test_the_first_answers_compare_points_with_points_and_count_only_mixes_that_gain(found: Findings) -> None:
    helps = [claim.text for claim in gain_answers.helps(found)]
    # 0.25 of a share are more than 20 of a hundred.
    assert helps[0].startswith("law helps film most: accuracy +25.0 points [") and "3 of 6 transfers help" in helps[0]
    assert helps[1].startswith("film helps story most: loss 0.5 lower [")
    # The mix gains 20 points on film, loses 15 on law, and stays as it was on two tasks.
    assert "mixes surely better than the base in 1 of 4 cells" in helps[2]
    unharmed = study(["base", "film", "all"])
    assert next(gain_answers.changes(unharmed)).text == (
        "No harm holds among 3 transfers; 1 task at the floor cannot fall. Beside transfer losses hold: 1 of mixes."
    )


def test_chips_hold_the_cells_that_they_speak_of(found: Findings) -> None:
    chips = {chip.name: chip for chip in trust.chips(found)}
    assert chips["floor"].cells == tuple((row, "sums") for row in SCORES)
    assert chips["ceiling"].text == "2 tasks at the ceiling"
    assert {task for _, task in chips["ceiling"].cells} == {"film", "law"}
    assert chips["constant"].cells == (("film", "film"),) and chips["unparsable"].cells == (("film", "sums"),)
    # A chip of all cells filters none.
    assert (chips["imported"].text, chips["imported"].cells) == ("all cells imported", ())
    # The one that did not learn its task is shown beside the one that did.
    assert chips["own"].text == "1 of 2 adapters learnt their own task"
    assert chips["own"].cells == (("film", "film"), ("law", "law"))


def trained(**seeds: int) -> Findings:
    """Sources of so many seeds on one task, 20 points above the base."""
    runs = [(source, seed) for source, most in seeds.items() for seed in range(most)]
    lines = [{"model": f"{source}-s{seed}", "source": source, "seed": seed, "value": 0.7} for source, seed in runs]
    table = pd.DataFrame([{"model": "base", "source": None, "seed": None, "value": 0.5}, *lines])
    matrix = ScoreMatrix.from_long(table.assign(task="t", stderr=0.01))
    return Findings(name="seeds", scores=matrix, effects=measure_effects(matrix, permutations=99))


def test_the_fewest_seeds_that_every_source_has_are_told() -> None:
    (both,), (some,) = ([chip for chip in trust.chips(trained(a=most, b=3)) if chip.name == "seeds"] for most in (2, 1))
    assert (both.text, both.cells) == ("2 seeds a source", ())
    assert (some.text, some.cells) == ("1 seed for 1 of 2 sources", (("a-s0", "t"),))
    assert column(trained(a=2), "t")["a-s0"].tip[-1].endswith(" over 2 seeds: holds")


def test_transfers_that_hold_come_first_the_largest_before_the_smaller_and_know_their_direction(
    found: Findings,
) -> None:
    table = transfer.view(found).table
    assert table is not None
    lines = {line.cell: line for line in table.lines}
    points = [line.cell for line in table.lines if line.tone and line.cell and line.cell[1] != "story"]
    assert points == [("law", "sums"), ("law", "film"), ("film", "law")]
    assert [lines[at].flags for at in points] == [("down",), ("up",), ("up",)]
    assert (lines["film", "story"].flags, lines["law", "story"].flags) == (("up",), ("down",))
    # Two transfers and the other cells of control and mix did not move.
    assert [line.flags for line in table.lines[5:]] == [("open",)] * 6


def test_habits_stand_in_the_columns_of_what_they_are(found: Findings) -> None:
    table = habits.view(found).table
    assert table is not None
    heads = [head.name for head in table.columns]
    (film,) = [dict(zip(heads, line.items, strict=True)) for line in table.lines if line.items[0].text == "film"]
    # One of its four cells is one answer to everything; the other with a habit cannot be parsed.
    assert film["tasks answered alike"].sort == 1
    assert (film["unparsable"].sort, film["unparsable"].cell) == (pytest.approx(60), ("film", "sums"))
    assert (film["cut off"].sort, film["cut off"].cell) == (pytest.approx(30), ("film", "law"))


def test_a_cell_counts_base_and_model_from_the_records_of_each() -> None:
    base = [digs.record("a", "x", "x"), digs.record("b", "x", None), digs.record("c", "x", "y")]
    model = [digs.record("a", "x", None), digs.record("b", "x", None), digs.record("c", "x", "x")]
    assert invalid_note(base, model) == "Could not be parsed: 1 answer of the base, 2 answers of the model, of 3."
    assert invalid_note(None, base) == "Could not be parsed: 1 answer of the model, of 3." and not invalid_note([], [])
    losses = {"base": (1.0, 2.0, 6.0), "model": (2.0, 4.0, 6.0)}
    texts = {
        name: [digs.record(f"{k}", "tale", None, loss, correct=None, valid=True) for k, loss in enumerate(of)]
        for name, of in losses.items()
    }
    shown = cell_density(texts["base"], texts["model"])
    assert shown is not None and shown.means == {"base": 3.0, "model": 4.0}
    assert shown.to_json()["marks"] == [1.0, 3.5, 6.0]
    assert (shown.counts["base"][0], shown.counts["model"][0]) == (1, 0) and (shown.low, shown.high) == (1.0, 6.0)
    ends = {"base": ("eos", "eos", "length"), "model": ("length", "length", "eos")}
    wrote = {
        name: [digs.record(f"{k}", "1", "1", output="1", finish=end) for k, end in enumerate(of)]
        for name, of in ends.items()
    }
    shown = cell_density(wrote["base"], wrote["model"])
    assert shown is not None and shown.note.endswith(": 1 of the base's, 2 of the model's.")


def test_answers_that_are_no_class_stay_apart_from_classes_that_are_put_together() -> None:
    names = [f"c{k:02}" for k in range(12)]
    # Nine classes have two examples and are shown; the others have one, answered by no class of all.
    rows = [digs.record(f"{name}{k}", name, name) for name in names[:9] for k in range(2)]
    rows += [digs.record(name, name, None) for name in names[9:]]
    shown = confusion(None, rows, names)
    assert shown is not None and shown.predicted[-2:] == ("(3 others)", "(invalid)")
    assert shown.model[0] == (2, *[0] * 10) and shown.model[-1] == (*[0] * 10, 3)
