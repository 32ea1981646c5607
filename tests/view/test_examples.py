"""Single examples, held against the cell's parquet as pandas reads it; only the study's own names make a path."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from traitscope.errors import TraitscopeError
from traitscope.study import Study
from traitscope.view.examples import MOST, Query, _place, find


@pytest.fixture(scope="module")
def study(filled: Path) -> Study:
    return Study.open(filled)


def records(filled: Path, model: str, task: str) -> pd.DataFrame:
    return pd.read_parquet(filled.parent / f"runs/tiny/cells/{model}/{task}/examples.parquet").set_index("id")


def ask(study: Study, **given: str) -> dict[str, Any]:
    return find(study, Query.read(given))


@pytest.mark.parametrize("model", ["tone-s0", "sums-s0", "all-s0"])
@pytest.mark.parametrize("task", ["tone", "sums"])
def test_tabs_share_out_the_examples_by_who_was_right(study: Study, filled: Path, model: str, task: str) -> None:
    mine, base = records(filled, model, task), records(filled, "base", task)
    won, lost = mine["correct"] > base["correct"], mine["correct"] < base["correct"]
    wanted = {
        "won": won,
        "lost": lost,
        "both_wrong": ~won & ~lost & (mine["correct"] == 0),
        "both_right": ~won & ~lost & (mine["correct"] == 1),
        "invalid": ~mine["valid"],
    }
    found = ask(study, model=model, task=task)
    assert found["counts"] == {name: int(rows.sum()) for name, rows in wanted.items()}
    for name, rows in wanted.items():
        shown = ask(study, model=model, task=task, tab=name)["shown"]
        assert [one["id"] for one in shown] == mine.index[rows].tolist()
        for one in shown:
            assert one["gold"] == mine.loc[one["id"], "gold"]
            for whose, rows_of in (("base", base), ("model", mine)):
                pred = rows_of.loc[one["id"], "pred"]
                assert one[whose].get("text") == (None if pd.isna(pred) else pred)


def test_prompts_are_those_of_the_task(study: Study, filled: Path) -> None:
    rows = pd.read_parquet(filled.parent / "runs/tiny/tasks/tone.parquet").set_index("id")["prompt"]
    found = ask(study, model="tone-s0", task="tone")
    assert found["shown"] and all(one["prompt"] == rows[one["id"]] for one in found["shown"])


def test_words_are_searched_in_prompts_and_answers_whatever_the_case(study: Study, filled: Path) -> None:
    rows = pd.read_parquet(filled.parent / "runs/tiny/tasks/tone.parquet")
    prompts = rows[rows["split"] == "eval"]["prompt"].iloc[:8]
    for text in ("WARM", "eval 3", "is bright"):
        found = ask(study, model="tone-s0", task="tone", q=text)
        counts = {name: n for name, n in found["counts"].items() if name != "invalid"}
        # Gold answers and predictions are "good" and "bad", which none of these words occurs in.
        assert sum(counts.values()) == sum(all(w in p.lower() for w in text.lower().split()) for p in prompts)
    assert set(ask(study, model="tone-s0", task="tone", q="no such word")["counts"].values()) == {0}


def test_pages_of_a_tab_go_through_all_of_it_once(study: Study) -> None:
    counts = ask(study, model="tone-s0", task="tone")["counts"]
    tab = max(counts, key=lambda name: counts[name])
    seen = []
    for offset in range(0, counts[tab] + 2, 2):
        seen += ask(study, model="tone-s0", task="tone", tab=tab, offset=str(offset), limit="2")["shown"]
    assert seen == ask(study, model="tone-s0", task="tone", tab=tab)["shown"]
    assert Query.read({"model": "a", "task": "b", "limit": "999999999"}).limit == MOST


def test_the_base_is_compared_with_nothing(study: Study, filled: Path) -> None:
    base = records(filled, "base", "tone")
    found = ask(study, model="base", task="tone")
    assert found["counts"]["right"] == int((base["correct"] == 1).sum()) and "base" not in found["shown"][0]


@pytest.mark.parametrize(
    "name", ["..", "../..", "tone-s0/..", "/etc", "", "tone-s0/tone", "cells", "tone\x00", "..%2f..", "tone-s0/", "~"]
)
def test_no_other_name_leads_anywhere(study: Study, name: str) -> None:
    for given in ({"model": name, "task": "tone"}, {"model": "tone-s0", "task": name}):
        with pytest.raises(TraitscopeError):
            ask(study, **given)


@pytest.mark.parametrize(
    "given",
    [
        {"task": "tone"},
        {"model": "base"},
        {"model": "base", "task": "tone", "path": "/etc/passwd"},
        {"model": "base", "task": "tone", "offset": "-1"},
        {"model": "base", "task": "tone", "limit": "2e3"},
        {"model": "base", "task": "tone", "offset": "٣"},
        {"model": "base", "task": "tone", "tab": "everything"},
    ],
)
def test_a_query_that_is_none_is_told(study: Study, given: dict[str, str]) -> None:
    with pytest.raises(TraitscopeError):
        ask(study, **given)


def test_a_cell_that_was_made_anew_is_read_anew(copy: Path) -> None:
    study = Study.open(copy)
    before = ask(study, model="tone-s0", task="tone")
    cells = study.folder.root / "cells"
    for file in ("examples.parquet", "cell.json"):
        (cells / "tone-s0/tone" / file).unlink()
    with pytest.raises(TraitscopeError, match="there is no such cell"):
        ask(study, model="tone-s0", task="tone")
    Study.open(copy).run()
    assert ask(study, model="tone-s0", task="tone")["counts"] == before["counts"]
    for file in ("examples.parquet", "cell.json"):
        (cells / "base/tone" / file).unlink()
    # The base's records are looked at as well: nothing is compared with those that are gone.
    assert "won" not in ask(study, model="tone-s0", task="tone")["counts"]


def test_a_row_of_several_base_models_is_read_in_the_folder_of_its_own(study: Study) -> None:
    parts = {"one": SimpleNamespace(), "two": SimpleNamespace()}
    whole: Any = SimpleNamespace(inner=[*parts.values()], by_base=lambda: parts)
    assert _place(whole, "two/tone-s0") == ("base", "tone-s0", parts["two"])
    assert _place(whole, "one/base") == (None, "base", parts["one"])
    assert _place(study, "tone-s0") == ("base", "tone-s0", study)
