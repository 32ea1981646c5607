"""The report's words and tables, each against a few findings that were written down by hand."""

from __future__ import annotations

import io
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import synthetic

from traitscope.effects import Effects
from traitscope.findings import Findings, cells_text
from traitscope.layers.section_types import Boundary, Nearer, Sections
from traitscope.matrix import ScoreMatrix
from traitscope.report import words
from traitscope.report.figures import draw
from traitscope.report.page import render_page
from traitscope.report.sections import cells, why
from traitscope.report.tables import cells_frame, csv_files
from traitscope.stats import DatasetText, dataset_stats
from traitscope.texts import count_of
from traitscope.traits.count import HeldOutCells
from traitscope.traits.naming import TraitName


def gains(*cells: tuple[str, float, float, float]) -> Effects:
    """Gains on one task: model, value, p, q."""
    rows = [
        {
            "kind": "gain",
            "model": model,
            "source": model,
            "seed": 0,
            "task": "t",
            "detail": "",
            "relation": "transfer",
            "value": value,
            "lo": value - 0.01,
            "hi": value + 0.01,
            "p": p,
            "q": q,
            "family": "transfer",
            "n": 10,
            "unit": "share",
            "method": "bootstrap",
            "numbers": {"metric": "accuracy", "base_value": 0.5, "won": 3, "lost": 1, "remark": "", "base_at": ""}
            | dict.fromkeys(("deviation", "seeds", "all_seeds", "runs")),
        }
        for model, value, p, q in cells
    ]
    return Effects(findings=pd.DataFrame(rows))


CELLS = (
    ("a", 0.1, 0.001, 0.01),
    ("b", -0.3, 0.001, 0.02),
    ("c", 0.05, 0.002, 0.05),
    ("d", 0.4, 0.04, 0.2),
    ("e", 0.0, 1.0, 1.0),
)


def told(effects: Effects, limit: int) -> tuple[str, list[str]]:
    (group,) = words.effect_groups(effects, limit=limit)
    return group.verdict, [sentence.text[0] for sentence in group.sentences]


def test_of_many_findings_the_strongest_that_hold_are_told_and_of_few_all_that_changed_something() -> None:
    assert told(gains(*CELLS), 2) == ("3 of 5 hold at q <= 0.05", ["b", "a"])
    assert told(gains(*CELLS), 4) == ("3 of 5 hold at q <= 0.05", ["b", "a", "c"])
    assert told(gains(*CELLS), 5) == ("3 of 5 hold at q <= 0.05", ["d", "b", "a", "c"])


def test_where_nothing_was_tested_the_largest_are_told() -> None:
    untested = gains(*((model, value, np.nan, np.nan) for model, value, _, _ in CELLS))
    assert told(untested, 2) == ("no test was possible", ["d", "b"])
    assert {sentence.q for group in words.effect_groups(untested) for sentence in group.sentences} == {""}


@pytest.mark.parametrize(
    ("q", "text"),
    [(0.03, "q = 0.03"), (0.00123, "q = 0.0012"), (0.00009, "q < 0.0001"), (np.nan, ""), (None, ""), (1.0, "q = 1")],
)
def test_q_in_words(q: Any, text: str) -> None:
    assert words.q_text(q) == text


def test_a_trait_that_is_above_the_noise_may_still_be_of_no_help() -> None:
    fitted = synthetic.traits()
    held_out = HeldOutCells(
        rmse_M=np.array([1.0, 0.9, 1.1]), best=1, count=1, p_J=np.zeros(0), folds=5, repeats=3, unit="noise"
    )
    names = (TraitName("sentiment", "sentiment", 0.9, 0.01, "imdb +0.7"), TraitName("x", None, 0.2, 0.5, "mnli -0.6"))
    changed = replace(
        fitted,
        explained_K=np.array([0.625, 0.25]),
        above_null_K=np.array([True, True]),
        count=replace(fitted.count, supported=2, held_out=held_out),
        stability=replace(fitted.stability, figure_K=np.array([0.914, np.nan])),
        names=names,
    )
    first, second = words.trait_rows(changed)
    assert (first["explained"], second["explained"]) == ("62.5 %", "25.0 %")
    assert first["verdict"] == "yes"
    assert second["verdict"] == "yes, but of no help in predicting held-out cells"
    assert (first["stability"], second["stability"]) == ("0.91", "not known")
    assert first["proposed"] == "sentiment (cosine +0.90, p = 0.01)"
    assert second["proposed"] == "no label fits"


def sections_of(label: str, n_tasks: int) -> Sections:
    end = Boundary(3, 2, 4, n_tasks >= 5, () if n_tasks >= 5 else (f"only {n_tasks} tasks (fewer than 5)",))
    return Sections(
        label=label,
        measure="cka",
        layers=tuple(range(1, 9)),
        n_tasks=n_tasks,
        shape="flat - rise - flat",
        shared_end=end,
        transition_end=replace(end, layer=6),
        nearer=Nearer(4, 0.061, 0.03, 0.092),
    )


def test_sections_are_told_with_what_is_known_and_small_groups_in_one_line() -> None:
    sizes = {"all tasks": 4, "cluster a": 2, "cluster b": 6, "unseen tasks": 2}
    groups = {label: sections_of(label, n) for label, n in sizes.items()}
    told = words.section_blocks(SimpleNamespace(sections=groups))  # type: ignore[arg-type]
    every, cluster = told["blocks"]
    assert (every["label"], every["tasks"], every["windows"]) == ("all tasks", "4 tasks", "no boundary identified")
    assert every["lines"][1] == "no boundary is identified: only 4 tasks (fewer than 5)"
    nearer = (
        "the mix lies nearer to the single-task models than the base does from layer 4 on (gap +0.06 [+0.03, +0.09])"
    )
    assert every["lines"][2] == nearer
    assert cluster["windows"] == "shared: layers 1–3; transition: layers 4–6; refinement: layers 7–8"
    assert "end of the transition: 6 (90 % interval 2-4)" in cluster["lines"]
    assert told["small"] == "no boundary can be identified with fewer than 5 tasks: cluster a (2), unseen tasks (2)"
    assert "layers 9 and 15" in told["calibration"]
    del groups["unseen tasks"]
    told = words.section_blocks(SimpleNamespace(sections=groups))  # type: ignore[arg-type]
    assert (len(told["blocks"]), told["small"]) == (3, None)


def test_counts_in_words() -> None:
    assert [count_of(n, "mix", "mixes") for n in (0, 1, 2)] == ["0 mixes", "1 mix", "2 mixes"]
    assert count_of(2, "task") == "2 tasks"


def two_metrics() -> ScoreMatrix:
    """Four cells on one task in accuracy (the shown one) and loss; errors known of some."""
    rows = []
    for model, status, accuracy, error in (("base", "measured", 0.5, 0.1), ("a", "imported", 0.75, None)):
        common = {"model": model, "task": "t", "status": status, "n": 4}
        rows.append({**common, "metric": "accuracy", "value": accuracy, "stderr": error, "primary": True})
        rows.append({**common, "metric": "loss", "value": 1.5, "stderr": None, "primary": False})
    return ScoreMatrix.from_long(pd.DataFrame(rows)).with_records(
        {"t": {"base": np.array([0.0, 0.0, 1.0, 1.0]), "a": np.array([0.0, 1.0, 1.0, 1.0])}}
    )


def test_missing_errors_of_the_shown_metric_are_those_of_the_records() -> None:
    frame = cells_frame(two_metrics()).set_index(["model", "metric"])["stderr"]
    assert frame["base", "accuracy"] == 0.1
    # Of 0 1 1 1: deviation 1/2 (n - 1), over the root of 4.
    assert frame["a", "accuracy"] == pytest.approx(0.25)
    assert frame["base", "loss"] != frame["base", "loss"] and frame["a", "loss"] != frame["a", "loss"]


def test_the_error_of_a_prediction_is_kept() -> None:
    cells = {"model": ["base", "a"], "task": "t", "value": [0.5, 0.6], "stderr": [0.1, 0.2]}
    matrix = ScoreMatrix.from_long(pd.DataFrame(cells).assign(status=["measured", "predicted"]))
    assert np.isnan(matrix.stderr_IN[1, 0])
    assert cells_frame(matrix)["stderr"].tolist()[:2] == [0.1, 0.2]


def test_fractions_of_the_shown_metric_are_percentages() -> None:
    view = cells.view(Findings(name="x", scores=two_metrics()), [], {})
    shown = {tuple(i.text for i in (line.items[0], line.items[2])): line.items for line in view.table.lines}
    assert "4 values over all metrics" in view.answer
    assert [item.text for item in shown["base", "accuracy"][3:5]] == ["50 %", "10"]
    assert [item.text for item in shown["base", "loss"][3:5]] == ["1.5", "–"]


def test_cells_that_the_page_leaves_out_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cells, "MOST", 50)
    wide = pd.DataFrame(np.zeros((2, 40)), index=["base", "a"], columns=[f"t{i}" for i in range(40)])
    view = cells.view(Findings(name="x", scores=ScoreMatrix.from_wide(wide)), [], {})
    assert len(view.table.lines) == 50 and "80 values over all metrics" in view.answer
    assert view.more == "The first 50 are shown; all 80 are in tables/cells.csv (traitscope report)."


def test_cells_are_counted_by_where_they_come_from() -> None:
    assert cells_text(two_metrics()) == "2 models × 1 task: 1 measured, 1 imported"


def test_tables_keep_names_and_digits() -> None:
    wide = pd.DataFrame([[0.123456789], [0.5]], index=["base", "a"], columns=["t"])
    traits = synthetic.traits()
    files = csv_files(Findings(name="x", scores=ScoreMatrix.from_wide(wide), traits=traits))
    assert pd.read_csv(io.StringIO(files["scores"]), index_col="model").loc["base", "t"] == 0.123456789
    assert pd.read_csv(io.StringIO(files["trait_scores"]))["model"].tolist() == list(traits.models)


def test_the_page_tells_only_words_that_mean_different_things() -> None:
    texts = [
        DatasetText(name=name, prompts=("p", "q"), answers=classes, classes=classes)
        for name, classes in (
            ("first", ("constant", "turned")),
            ("second", ("constant", "other")),
            ("third", ("turned", "z")),
        )
    ]
    findings = Findings(
        name="x",
        scores=two_metrics(),
        stats=dataset_stats(texts, str.split),
        missing={"traits": "two adapters are too few."},
        lock={"b": {"a": "ü"}},
    )
    assert set(findings.stats.collisions["word"]) == {"constant", "turned"}  # type: ignore[union-attr]
    told = " ".join(why.view(findings).collisions)
    assert "turned" in told and "constant" not in told
    page = render_page(findings, [], [])
    assert "The traits have not been computed: two adapters are too few.</p>" in page
    assert told.split(" is class")[0] in page
    assert findings.lock_text == '{\n "b": {\n  "a": "ü"\n }\n}'


def test_the_gains_of_the_report_are_starred_by_their_paired_tests() -> None:
    found = draw(Findings(name="x", scores=synthetic.matrix(), effects=synthetic.effects()))
    (figure,) = [figure for figure in found if figure.name == "gains"]
    assert "q ≤ 0.05, paired" in figure.svg
