"""The first screen: every number of matrix, chips and answers is recomputed from the records behind them."""

from __future__ import annotations

import base64
import functools
import re
from hashlib import sha256
from html import unescape
from urllib.parse import unquote

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest

from report import synthetic
from traitscope.effects import measure_effects
from traitscope.findings import Findings
from traitscope.matrix import ScoreMatrix
from traitscope.matrix.roles import Role
from traitscope.report import answers, trust
from traitscope.report.claims import Claim
from traitscope.report.figures import draw
from traitscope.report.links import address
from traitscope.report.matrix_table import matrix_table
from traitscope.report.matrix_view import GLYPHS, MatrixTable
from traitscope.report.page import SCRIPTS, render_page

ROLES = {
    **{task: Role("source", own=frozenset({task})) for task in synthetic.TASKS},
    "imdb.mislabel": Role("control", copies=frozenset({"imdb"}), parent="imdb"),
    "all": Role("mix", own=frozenset(synthetic.TASKS)),
}


@functools.cache
def found() -> Findings:
    records = synthetic._cells()[1]
    matrix = ScoreMatrix.from_long(synthetic.matrix().to_long(), roles=ROLES)
    training = {name: [3.0, 1.0, 0.5] for name in matrix.models if name != "base"}
    effects = measure_effects(
        matrix, records, classes=synthetic.CLASSES, training=training, replicates=200, permutations=99
    )
    return Findings(name="s", scores=matrix, traits=synthetic.traits(), effects=effects, layers=synthetic.layers())


def right(model: str, task: str) -> pd.Series:
    return synthetic._cells()[1][model, task].set_index("id")["correct"]


def table(findings: Findings) -> MatrixTable:
    return matrix_table(findings, trust.flags(trust.chips(findings)))


def claims(name: str, findings: Findings | None = None) -> tuple[Claim, ...]:
    return next(answer.claims for answer in answers.answers(findings or found()) if answer.name == name)


def transfers() -> dict[tuple[str, str], tuple[float, float]]:
    """Gain and exact McNemar p of every source on a task that is not its own, from the records alone."""
    told = {}
    for source in synthetic.TASKS:
        for task in synthetic.TASKS:
            if source != task:
                change = right(f"{source}-s0", task) - right("base", task)
                won, lost = int((change > 0).sum()), int((change < 0).sum())
                told[source, task] = change.mean(), binomtest(won, max(won + lost, 1)).pvalue if won + lost else 1.0
    return told


def held() -> dict[tuple[str, str], float]:
    """Those that hold by Benjamini and Hochberg's step-up at 5 %, written out."""
    all_ = transfers()
    order = sorted(all_, key=lambda at: all_[at][1])
    passed = [k for k, at in enumerate(order, 1) if all_[at][1] <= 0.05 * k / len(order)]
    return {at: all_[at][0] for at in order[: max(passed, default=0)]}


def test_the_strongest_help_and_harm_are_those_of_the_records() -> None:
    gains = held()
    for name, best in (("helps", max(gains, key=gains.get)), ("changes", min(gains, key=gains.get))):
        claim, value = claims(name)[0], gains[best]
        verb = "helps" if name == "helps" else "harms"
        assert claim.text.startswith(f"{best[0]} {verb} {best[1]} most: accuracy {100 * value:+.1f} points [")
        assert claim.href == f"#cell/{best[0]}-s0/{best[1]}"
        same = sum(np.sign(other) == np.sign(value) for other in gains.values())
        verb = ("help" if name == "helps" else "harm") + ("s" if same == 1 else "")
        assert f" {same} of {len(transfers())} transfers {verb}." in claim.text
        assert claim.numbers["value"] == pytest.approx(value)


def test_own_tasks_and_mixes_stand_apart() -> None:
    own = {task: float((right(f"{task}-s0", task) - right("base", task)).mean()) for task in synthetic.TASKS}
    best = max(own, key=own.get)
    text = claims("helps")[1].text
    assert f"own tasks up to {100 * own[best]:+.1f} points [" in text and f"({best} on {best})" in text
    assert re.search(r"mixes surely better than the base in \d of 5 cells", text)
    assert not any(
        "all-s0" in claim.href or "mislabel" in claim.href for name in ("helps", "changes") for claim in claims(name)
    )


def test_why_and_layers_say_what_is_known() -> None:
    traits, layers = synthetic.traits(), synthetic.layers()
    first = claims("why")[0]
    assert first.numbers["supported"] == traits.count.supported
    assert first.text.startswith(f"{traits.count.supported} latent trait")
    assert claims("why")[1].text == "No dataset statistics were held against the gains."
    sections = layers.sections["all tasks"]
    told = " ".join(claim.text for claim in claims("layers"))
    for name, (start, end) in sections.windows().items():
        assert f"{name} {start}–{end}" in told
    assert sections.windows() or "No boundary is identified" in told


def test_nothing_known_is_said_and_nothing_claimed() -> None:
    bare = Findings(name="s", scores=synthetic.matrix(), missing={"layers": "the study file has no layers"})
    assert [claims(name, bare)[0].text for name in ("why", "layers")] == [
        "Traits are not known.",
        "Not known: the study file has no layers.",
    ]


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        (["base"], "only the base was measured"),
        (["a", "b"], "there is no base row to compare with"),
        (["base", "x"], "every source was measured on what it was trained on alone"),
    ],
)
def test_where_there_is_no_transfer_the_reason_is_told(rows: list[str], why: str) -> None:
    scores = ScoreMatrix.from_wide(pd.DataFrame({"x": [0.4, 0.6][: len(rows)]}, index=rows))
    alone = Findings(name="s", scores=scores, effects=measure_effects(scores))
    for name in ("helps", "changes"):
        assert claims(name, alone)[0].text.endswith(f": {why}.")
    told = matrix_table(alone, {}).notes["score"]
    known = [said for said in ("Only the base was measured.", "There is no base row to compare with.") if said in told]
    assert [said.lower() for said in known] == ([] if "x" in rows else [f"{why}."])
    # Numbers of examples are not known here, which is not 0 of them.
    assert "examples" not in told
    assert ("gains" in {figure.name for figure in draw(alone)}) == ("x" in rows)


def test_cells_show_gain_score_and_what_holds() -> None:
    made, gains = table(found()), held()
    by_cell = {(cell.model, cell.task): cell for row in made.rows for cell in row.cells}
    for source in synthetic.TASKS:
        for task in synthetic.TASKS:
            cell = by_cell[f"{source}-s0", task]
            change = right(f"{source}-s0", task) - right("base", task)
            assert cell.gain == f"{100 * change.mean() + 0:+.1f}".replace("-", "−")
            assert cell.score == f"{100 * right(f'{source}-s0', task).mean():.1f}"
            assert cell.home == (source == task)
            if source != task:
                at = gains.get((source, task), 0)
                assert ("▲" in cell.glyphs, "▼" in cell.glyphs) == (at > 0, at < 0)
            won, lost = int((change > 0).sum()), int((change < 0).sum())
            assert f"{won} examples won, {lost} lost" in cell.tip
    assert by_cell["all-s0", "paws"].tip == ("all-s0 on paws", "not measured")
    assert set(made.glyphs) <= set(GLYPHS) and made.rows[0].kind == "base"


def scales(bases: tuple[str, ...] = ("one", "two"), error: float | None = 0.01) -> Findings:
    """Two sources on an accuracy, a loss and another accuracy; the loss of ``tone`` differs by base."""
    values = {
        "base": (0.5, 3.0, 0.2),
        "tone": (0.9, {"one": 2.6, "two": 3.4}, 0.1),
        "sums": (0.4, 2.9, 0.6),
    }
    lines = []
    for base in bases:
        for source, scores in values.items():
            for task, value in zip(("tone", "story", "sums"), scores, strict=True):
                trained = None if source == "base" else source
                about = {"base": base, "model": trained or "base", "source": trained, "task": task, "stderr": error}
                metric = "loss" if task == "story" else "accuracy"
                score = value[base] if isinstance(value, dict) else value
                lines.append({**about, "metric": metric, "value": score, "higher_is_better": metric != "loss"})
    matrix = ScoreMatrix.from_long(pd.DataFrame(lines))
    return Findings(name="s", scores=matrix, effects=measure_effects(matrix))


def test_the_strongest_of_every_scale_is_told_with_its_base_and_the_way_that_is_better() -> None:
    helps, harms = claims("helps", scales()), claims("changes", scales())
    # No transfer helps in points; the larger gain in nats is named, of the base that has it.
    assert helps[0].text.startswith("tone (one) helps story most: loss 0.4 lower [0.37")
    assert ", which is better, q < 0.0001. 3 of 8 transfers help." in helps[0].text
    # A harm in nats is not lost behind one in points.
    assert harms[0].text.startswith("tone (one) harms sums most: accuracy -10.0 points [")
    assert harms[1].text.startswith("tone (two) harms story most: loss 0.4 higher [0.37")
    assert "which is worse" in harms[1].text and harms[1].href == "#cell/two%2Ftone/story"
    alone = claims("helps", scales(bases=("one",), error=None))
    assert alone[0].text == (
        "tone does best beside the base on story: loss 0.4 lower, which is better. "
        "No error is known, so nothing is tested."
    )


def test_sizes_of_tasks_whose_metric_has_no_name_are_not_compared() -> None:
    scores = ScoreMatrix.from_wide(pd.DataFrame({"elo": [1200, 1300.0], "depth": [5.0, 5.4]}, index=["base", "a"]))
    told = claims("helps", Findings(name="s", scores=scores, effects=measure_effects(scores)))
    assert sorted(re.search(r" on (\w+): score (\+[\d.]*\d)\.", claim.text).groups() for claim in told) == [
        ("depth", "+0.4"),
        ("elo", "+100"),
    ]


def test_long_names_are_cut_in_answers() -> None:
    long = "a_dataset_" + "x" * 200
    scores = ScoreMatrix.from_wide(pd.DataFrame({"t": [0.1, 0.9]}, index=["base", long]))
    text = claims("helps", Findings(name="s", scores=scores, effects=measure_effects(scores)))[0].text
    assert text.startswith("a_dataset_") and "…" in text and len(text) < 200


def test_one_thing_is_told_in_the_singular() -> None:
    wide = pd.DataFrame({"t": [0.5, 0.7]}, index=["base", "a"])
    errors = pd.DataFrame({"t": [0.02, 0.02]}, index=["base", "a"])
    scores = ScoreMatrix.from_wide(wide, stderr=errors)
    bare = Findings(name="s", scores=scores, effects=measure_effects(scores))
    text = re.sub(r"<(script|style|pre)\b.*?</\1>|<[^>]*>", " ", render_page(bare, [], []), flags=re.S)
    assert "1 of 1 transfer helps" in text and "2 models × 1 task:" in text
    assert re.findall(r"(?<![\d.,])1 (?!is\b|was\b|has\b|of\b)[a-z]+s\b", text) == []


def test_frames_are_named_where_there_are_some_and_missing_gains_have_a_reason() -> None:
    holes = ScoreMatrix.from_wide(pd.DataFrame({"x": [np.nan, 0.2], "y": [0.5, 0.4]}, index=["base", "a"]))
    made = table(Findings(name="s", scores=holes))
    cell = made.rows[1].cells[0]
    assert cell.gain == "–" and cell.tip[-1] == "no gain: base was not measured on the task"
    assert made.notes["gain"].endswith("–: no gain, as the base was not measured there.")
    assert not made.has_home and table(found()).has_home
    page = render_page(Findings(name="s", scores=holes), [], [])
    assert "Framed" not in page and "hide own" not in page
    assert "no gain, as" not in table(found()).notes["gain"]


def test_a_tip_says_where_less_is_better() -> None:
    made = table(scales())
    tips = {(cell.model, cell.task): cell.tip for row in made.rows for cell in row.cells}
    assert tips["one/tone", "story"][1] == "loss 2.6 (lower is better), imported"
    assert tips["one/tone", "tone"][1] == "accuracy 90.0, imported"


def test_gains_in_percent_are_as_bright_as_the_same_in_shares() -> None:
    shares = pd.DataFrame({"x": [0.5, 0.7], "y": [0.5, 0.4]}, index=["base", "a"])
    tones = [
        [cell.tone for cell in table(Findings(name="s", scores=ScoreMatrix.from_wide(frame))).rows[1].cells]
        for frame in (shares, 100 * shares)
    ]
    assert tones[0] == pytest.approx([1.0, -0.5]) and tones[0] == pytest.approx(tones[1])


def test_classes_have_the_names_of_their_colours() -> None:
    told = {task: names for tasks, names in table(found()).classes for task in tasks}
    assert {task: names[: len(synthetic.CLASSES[task])] for task, names in told.items()} == synthetic.CLASSES


def test_what_chance_gives_stands_below_the_base() -> None:
    row = table(found()).rows[1]
    assert (row.name, row.kind) == ("best constant answer", "chance")
    for task, cell in zip(synthetic.TASKS, row.cells, strict=True):
        gold = synthetic._cells()[1]["base", task]["gold"]
        share = gold.value_counts().max() / len(gold)
        assert cell.score == (f"{100 * share:.1f}" if task in synthetic.CLASSES else "")


def test_chips_count_what_they_filter() -> None:
    chips = {chip.name: chip for chip in trust.chips(found())}
    assert chips["own"].text.endswith("of 6 adapters learnt their own task")
    assert set(chips["own"].cells) == {(f"{task}-s0", task) for task in synthetic.TASKS}
    assert chips["missing"].text == "1 missing cell" and chips["missing"].cells == (("all-s0", "paws"),)
    assert chips["seeds"].text == "1 seed a source: other runs may differ"
    flagged = [cell for row in table(found()).rows for cell in row.cells if "missing" in cell.flags]
    assert [(cell.model, cell.task) for cell in flagged] == [("all-s0", "paws")]


def test_cells_of_another_study_file_are_told_as_stale() -> None:
    stale = Findings(name="s", scores=synthetic.matrix(), left_out=(("all-s0", "paws"), ("gone-s0", "imdb")))
    chip = next(chip for chip in trust.chips(stale) if chip.name == "stale")
    assert (chip.text, chip.cells) == ("2 stale cells", (("all-s0", "paws"),))


def test_a_cell_without_a_score_counts_under_one_reason() -> None:
    out = [("a", "x"), ("a", "y"), ("b", "x")]
    wide = pd.DataFrame(0.5, index=["base", "a", "b"], columns=["x", "y"])
    for at in out:
        wide.loc[at] = np.nan
    matrix = ScoreMatrix.from_wide(wide)
    found = Findings(name="s", scores=matrix, left_out=(out[0],), damaged=(out[1],))
    chips = {chip.name: chip for chip in trust.chips(found)}
    assert {name: chips[name].cells for name in ("stale", "damaged", "missing")} == {
        "stale": (out[0],),
        "damaged": (out[1],),
        "missing": (out[2],),
    }
    assert chips["damaged"].text == "1 damaged cell" and "settings" not in chips["damaged"].title


def test_a_line_without_a_value_is_a_missing_cell_and_no_own_task_is_a_warning() -> None:
    scores = pd.DataFrame({"x": [0.5, np.nan], "y": [0.5, 0.4]}, index=["base", "a"])
    told = {chip.name: chip for chip in trust.chips(Findings(name="s", scores=ScoreMatrix.from_wide(scores)))}
    assert told["missing"].cells == (("a", "x"),) and len(told["imported"].cells) == 3
    assert told["own"].text == "own tasks not recognised"


def test_addresses_hold_any_name() -> None:
    href = address("a/b c#", "é?&")
    assert href.count("/") == 2 and [unquote(part) for part in href.split("/")[1:]] == ["a/b c#", "é?&"]


def test_alike_rows_stand_together_when_clustered() -> None:
    scores = pd.DataFrame(
        {"x": [0.5, 0.9, 0.1, 0.9, 0.1], "y": [0.5, 0.1, 0.9, 0.1, 0.9], "z": [0.5, 0.9, 0.1, 0.9, 0.1]},
        index=["base", "a", "b", "c", "d"],
    )
    rows = {row.name: row.cluster for row in table(Findings(name="s", scores=ScoreMatrix.from_wide(scores))).rows}
    assert abs(rows["a"] - rows["c"]) == abs(rows["b"] - rows["d"]) == 1


def test_the_policy_names_the_one_script_of_the_page() -> None:
    page = render_page(found(), [], [])
    scripts = re.findall(r"<script>(.*?)</script>", page, re.S)
    assert len(scripts) == 1 and len(SCRIPTS) > 1
    digest = base64.b64encode(sha256(scripts[0].encode()).digest()).decode()
    policy = unescape(re.search(r'Content-Security-Policy" content="([^"]*)"', page)[1])
    assert f"script-src 'sha256-{digest}';" in policy and policy.startswith("default-src 'none'")
    assert not re.search(r"\son\w+=", re.sub(r"<script.*?</script>", "", page, flags=re.S))
