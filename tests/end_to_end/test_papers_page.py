"""docs/papers.md: every command parses and runs, every call gives something, every file and every value is there."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
from test_hub import Verbs

import traitscope as ts
from traitscope.cli import app

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "papers.md").read_text(encoding="utf-8")
# They need a spaCy model, or minutes: known by their options alone.
LONG = ("--spacy", "--explain")


def rows() -> Iterator[dict[str, str]]:
    """The rows of both tables; "the same" is the command above."""
    command = ""
    for line in PAGE.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")] if line.startswith("| ") else []
        if len(cells) != 6 or cells[0] in ("where", "---"):
            continue
        if cells[2] != "the same":
            command = cells[2].strip("`")
        names = ("where", "what", "command", "call", "file", "values")
        yield dict(zip(names, [*cells[:2], command, *cells[3:]], strict=True))


ROWS = list(rows())
COMMANDS = list(dict.fromkeys(row["command"] for row in ROWS))


def test_both_papers_are_there() -> None:
    assert len(ROWS) >= 24
    assert sum("figure" in row["where"] for row in ROWS) >= 5


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_the_options_it_is_shown_with(command: str) -> None:
    name, verb, *arguments = shlex.split(command)
    assert name == "traitscope"
    group = typer.main.get_command(app)
    found: Any = group.get_command(None, verb)  # type: ignore[attr-defined,arg-type]
    assert found is not None, verb
    found.make_context(verb, arguments)


@pytest.mark.parametrize("command", [one for one in COMMANDS if not any(option in one for option in LONG)])
def test_every_command_runs(command: str, preset_run: Path, preset_verbs: Verbs) -> None:
    _, *arguments = shlex.split(command.replace("study.yaml", str(preset_run)))
    status, _, said = preset_verbs(*arguments)
    assert status == 0, said


@pytest.mark.parametrize("call", list(dict.fromkeys(row["call"].strip("`") for row in ROWS)))
def test_every_call_gives_something(call: str, preset_run: Path) -> None:
    assert eval(call, {"ts": ts, "study": ts.Study.open(preset_run)}) is not None


def test_every_file_is_there(preset_run: Path) -> None:
    made_by_long = {"analysis/explanation.json"}
    for row in ROWS:
        for name in re.findall(r"`([^`(]+\.\w+)`", row["file"]):
            if name not in made_by_long:
                assert (preset_run / name.replace("<task>", "flipkart")).is_file(), name
    assert "(unseen)" in (preset_run / "tables/layers.csv").read_text()


def printed(where: str) -> set[float]:
    """All numbers among the values of the rows whose content begins so."""
    text = " ".join(row["values"] for row in ROWS if row["what"].startswith(where))
    return {float(number) for number in re.findall(r"(?<![\w.])-?\d+(?:\.\d+)?", text.replace(",", ""))}


def test_the_values_are_the_papers(shared: Path) -> None:
    traits = json.loads((shared / "papers/latent_traits.json").read_text())
    layers = json.loads((shared / "papers/layer_by_layer.json").read_text())
    cells = {value for row in traits["known_cells_percent"].values() for value in row.values()}
    assert printed("score of every model") <= cells
    loadings = {value for row in traits["loadings"].values() for value in row}
    assert printed("loadings") <= loadings and len(printed("loadings")) >= 8
    assert printed("scores of the models") <= {value for row in traits["scores"] for value in row["scores"]}
    for kind, what in (("semantic", "semantic similarity"), ("stylistic", "stylistic similarity")):
        known = {value for row in traits["dataset_similarity"][f"{kind}_cosine"] for value in row}
        assert printed(what) <= known and printed(what)
    curves = {row["layer"]: row for row in layers["cka_and_dims"]}
    quoted = {curves[at][model]["median"] for at in (1, 9, 15, 32) for model in ("base", "sft")}
    assert printed("CKA of base and mix") == quoted | {1, 9, 15, 32}
    quoted = {curves[at][model]["dims99"] for at in (1, 9, 15, 32) for model in ("base", "sft")}
    assert printed("dimensions that hold") == quoted | {1, 9, 15, 32}
    unseen = layers["unseen_tasks_median"]
    quoted = {unseen[str(at)][model] for at in (10, 15, 20, 32) for model in ("base", "sft")}
    assert printed("CKA of tasks that") == quoted | {10, 15, 20, 32}
    medians = layers["cluster_medians"]
    assert printed("CKA by cluster") == {medians[name]["15"][m] for name in medians for m in ("base", "sft")} | {15}


def test_what_the_confusion_matrices_say_is_counted(shared: Path) -> None:
    confusion = json.loads((shared / "papers/latent_traits.json").read_text())["confusion"]
    flipkart, imdb = confusion["Flipkart test"], confusion["IMDB test"]
    neutral = flipkart["labels"].index("neutral")
    said = {sum(row[neutral] for row in flipkart[f"{name} adapter"]) for name in ("IMDB", "Pile")}
    assert printed("IMDB's and Pile's") == said | {2000, sum(flipkart["IMDB adapter"][neutral])}
    adapters = ("Flipkart balanced", "Flipkart")
    negative = [100 * sum(row[0] for row in imdb[f"{name} adapter"]) / 2000 for name in adapters]
    # 92.55 is printed as 92.6.
    assert sorted(printed("class shares are carried"), reverse=True) == pytest.approx(negative, abs=0.0501)
