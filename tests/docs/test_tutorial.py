"""docs/tutorial.md: every sentence and number that it quotes stands in the tables beside it.

``TRAITSCOPE_UPDATE_DOCS=1 pytest tests/docs/test_tutorial.py`` writes its matrix and its counts anew.
"""

from __future__ import annotations

import os
import re

import pandas as pd
from blocks import DOCS

PAGE = DOCS / "tutorial.md"
TABLES = {name: pd.read_csv(DOCS / "tutorial" / f"{name}.csv") for name in ("scores", "findings", "learning")}
TASKS = ("gsm8k", "svamp", "mbpp", "pawsx", "mnli", "toxicity", "amazon", "imdb", "yelp", "dbpedia14")


def matrix() -> str:
    scores = TABLES["scores"][TABLES["scores"]["primary"]]
    wide = 100 * scores.pivot(index="model", columns="task", values="value").loc[list(scores["model"].unique())]
    lines = [f"| model | {' | '.join(TASKS)} |", f"| --- |{' ---: |' * len(TASKS)}"]
    lines += [f"| {model} | {' | '.join(f'{row[task]:.1f}' for task in TASKS)} |" for model, row in wide.iterrows()]
    return "\n".join(lines)


def count(kind: str, family: str) -> str:
    """How many findings of a family hold: corrected, and with an interval that leaves out no effect."""
    rows = TABLES["findings"].query("kind == @kind and family == @family")
    tested = rows[rows["p"].notna()]
    held = tested[(tested["q"] <= 0.05) & ((tested["lo"] > 0) | (tested["hi"] < 0))]
    gains = "gain" if len(tested) == 1 else "gains"
    what = "own" if family == "own" else "transfer"
    return f"**{len(held)} of {len(tested)} {what} {gains} hold at q of 0.05.**"


def test_the_matrix_and_the_counts_are_those_of_the_tables() -> None:
    text = PAGE.read_text(encoding="utf-8")

    def put(match: re.Match[str]) -> str:
        name, *words = match[1].replace(":", "").split()
        return f"<!-- {match[1]} -->\n{matrix() if name == 'matrix' else count(*words)}\n<!-- end -->"

    made = re.sub(r"<!-- (matrix|count: \w+ \w+) -->\n.*?<!-- end -->", put, text, flags=re.DOTALL)
    if os.environ.get("TRAITSCOPE_UPDATE_DOCS"):
        PAGE.write_text(made, encoding="utf-8")
        text = made
    assert text == made and made.count("<!-- end -->") == 3


def test_every_sentence_set_off_is_the_reports_own() -> None:
    said = set(TABLES["findings"]["sentence"])
    quoted = re.findall(r"^> (.+)$", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert len(quoted) >= 6 and [one for one in quoted if one not in said] == []


def test_what_the_page_says_of_the_base_and_the_own_tasks_is_in_the_tables() -> None:
    scores = TABLES["scores"][TABLES["scores"]["primary"]].set_index(["model", "task"])["value"]
    assert scores["base", "svamp"] == scores["base", "gsm8k"] == 0 and scores["base", "dbpedia14"] == 0.475
    assert [round(80 * scores[model, "pawsx"], 6) for model in ("base", "pawsx-s0")] == [46, 37]
    assert all(0.85 <= round(scores["base", task], 2) <= 0.90 for task in ("amazon", "imdb", "yelp"))
    learning = TABLES["learning"]
    assert set(learning.loc[learning["role"] == "source", "steps"]) == {12}
    (constant,) = learning.loc[learning["model"] == "mnli-s0", "constant_score"]
    assert constant == scores["mnli-s0", "mnli"] == 0.425


def held(family: str) -> set[tuple[str, str]]:
    gains = TABLES["findings"].query("kind == 'gain' and family == @family and q <= 0.05")
    return set(gains[["model", "task"]].itertuples(index=False, name=None))


def test_what_the_page_says_of_gains_is_in_the_tables() -> None:
    learnt = TABLES["learning"].query("role == 'source' and verdict == 'learnt'")
    assert set(learnt["model"]) == {"dbpedia14-s0", "mnli-s0", "amazon-s0"}
    (amazon,) = TABLES["findings"].query("kind == 'gain' and model == 'amazon-s0' and task == 'amazon'")["q"]
    assert round(amazon, 3) == 0.117
    assert held("own") == {("dbpedia14-s0", "dbpedia14"), ("mnli-s0", "mnli")}
    assert held("mix") == {("all-s0", "dbpedia14"), ("all-s0", "imdb")} and held("transfer") == set()
    gains = TABLES["findings"].query("kind == 'gain' and family == 'transfer'")
    assert len(gains) == 90
    assert gains.loc[gains["value"].abs().idxmax(), ["model", "task"]].tolist() == ["mnli-s0", "dbpedia14"]
    nearest = gains.loc[gains["p"].idxmin()]
    assert (nearest["model"], nearest["task"], round(nearest["q"], 3)) == ("dbpedia14-s0", "yelp", 1)


def test_what_the_page_says_of_the_layers_is_what_was_printed() -> None:
    page = PAGE.read_text(encoding="utf-8")
    printed = (DOCS / "tutorial" / "layers.txt").read_text(encoding="utf-8")
    (quoted,) = re.findall(r"```text\n(layers: .*?)```", page, flags=re.DOTALL)
    assert printed.startswith(quoted)
    assert (
        "dimensions reach their plateau at layer 2 " in printed
        and "rows goes with cka(mix, control) is undefined" in printed
    )
    for figure in ("readability", "gain"):
        assert re.search(rf"whether {figure} goes with .* cannot be told at any layer \(.* q = 0.98\)", printed)


def test_what_the_page_says_of_the_traits_is_what_was_printed() -> None:
    page = PAGE.read_text(encoding="utf-8")
    traits = (DOCS / "tutorial" / "traits.txt").read_text(encoding="utf-8")
    (said,) = re.findall(r'`traitscope traits runs/ten-kinds` says: "([^"]+)"', page)
    assert said in traits
    share, null = re.findall(r"^1 +([\d.]+) +([\d.]+) ", traits, flags=re.MULTILINE)[0]
    stability = re.findall(r"T1 +[\d.]+ % +stability ([\d.]+)", traits)[0]
    why = page.split("## Why?")[1].split("## In which layers?")[0]
    assert f"{share} %" in why and f"{null} %" in why and f"of {stability}." in why
