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
TASKS = ("svamp", "pawsx", "mnli", "toxicity", "amazon", "imdb", "yelp")


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
    assert scores["base", "svamp"] == scores["base", "gsm8k"] == 0
    assert [round(80 * scores[model, "pawsx"], 6) for model in ("base", "pawsx-s0")] == [46, 37]
    assert all(0.85 <= round(scores["base", task], 2) <= 0.90 for task in ("amazon", "imdb", "yelp"))
    learning = TABLES["learning"]
    assert set(learning.loc[learning["role"] == "source", "steps"]) == {12}
    gains = TABLES["findings"].query("kind == 'gain' and family == 'transfer'")
    largest = gains.loc[gains["value"].abs().idxmax()]
    assert (largest["model"], largest["task"], round(largest["q"], 2)) == ("dbpedia14-s0", "yelp", 0.88)
    assert gains.loc[gains["value"].idxmax(), ["model", "task"]].tolist() == ["yelp-s0", "amazon"]
    own = TABLES["findings"].query("kind == 'gain' and family == 'own'").sort_values("q").iloc[0]
    assert (own["task"], round(100 * own["value"], 1), round(own["q"], 3)) == ("mnli", 17.5, 0.068)
    assert not ((gains["q"] <= 0.05) & ((gains["lo"] > 0) | (gains["hi"] < 0))).any()


def test_what_the_page_says_of_the_traits_is_what_was_printed() -> None:
    page = PAGE.read_text(encoding="utf-8")
    traits = (DOCS / "tutorial" / "traits.txt").read_text(encoding="utf-8")
    (said,) = re.findall(r'`traitscope traits runs/ten-kinds` says: "([^"]+)"', page)
    assert said in traits
    share, null = re.findall(r"^1 +([\d.]+) +([\d.]+) ", traits, flags=re.MULTILINE)[0]
    stability = re.findall(r"T1 +[\d.]+ % +stability ([\d.]+)", traits)[0]
    why = page.split("## Why?")[1].split("## In which layers?")[0]
    assert f"{share} %" in why and f"{null} %" in why and f"of {stability}." in why
