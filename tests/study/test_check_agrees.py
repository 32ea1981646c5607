"""``check`` gives 0 exactly where ``run`` goes through: random small studies full of edge values, checked and run."""

from __future__ import annotations

import json
import random
import traceback
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import Result
from typer.testing import CliRunner

from traitscope.cli import app

WORDS = ("dull", "cold", "fine", "warm")
KINDS = {
    # What a file of rows may be like, as (text, label, label of the second task).
    "usual": lambda i: (f"film {i} is {WORDS[i % 4]}", ("no", "yes")[i % 2], str(i)),
    "one class": lambda i: (f"film {i} is {WORDS[i % 4]}", "yes", str(i)),
    "one row's answer is empty": lambda i: (f"film {i}", ("no", "yes")[i % 2], "" if i == 3 else str(i)),
    "an unknown label": lambda i: (f"film {i}", "maybe" if i == 5 else "no", str(i)),
    "one text is empty": lambda i: ("" if i == 2 else f"film {i}", ("no", "yes")[i % 2], str(i)),
    "all texts are equal": lambda i: ("film", ("no", "yes")[i % 2], str(i)),
    "one text is long": lambda i: ("long " * 60 if i == 4 else f"film {i}", ("no", "yes")[i % 2], str(i)),
    "one answer is long": lambda i: (f"film {i}", ("no", "yes")[i % 2], "9" * 200 if i == 4 else str(i)),
    "answers of white space": lambda i: (f"film {i}", ("no", "yes")[i % 2], " " * (i % 3)),
    "marks in the text": lambda i: (f"film <s> {i} </s>\u2028", ("no", "yes")[i % 2], str(i)),
}


def some(rng: random.Random, usual: Any, *edges: Any) -> Any:
    """Mostly the usual value: a study with ten faults shows none of them."""
    return usual if rng.random() < 0.93 else rng.choice(edges)


def random_study(seed: int, base: Path, folder: Path) -> Path:
    rng = random.Random(seed)
    folder.mkdir(parents=True)
    n = some(rng, 24, 0, 1, 2, 3, 12)
    make = KINDS[some(rng, "usual", *KINDS)]
    rows = [dict(zip(("text", "label", "number"), make(i), strict=True)) for i in range(n)]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    def data() -> dict[str, Any]:
        found = {"path": "rows.jsonl", "train": some(rng, 8, 0, 1, 2, "all", 12, 100)}
        found["eval"] = some(rng, 4, 0, 1, 2, "all", 100)
        return {**found, "seed": some(rng, 0, 1, 2**32 - 1), "duplicates": some(rng, "drop", "keep", "refuse")}

    choice = {"choice": [" no", " yes"], "gold": "{{ label }}"}
    generate = {
        "generate": {"gold": some(rng, " {{ number }}", "{{ number }}"), "max_tokens": some(rng, 2, 1, 126, 500)}
    }
    study: dict[str, Any] = {
        "study": "random",
        "base": {"model": str(base), "dtype": "fp32"},
        "recipe": {
            "rank": some(rng, 2, 1, 64),
            "alpha": some(rng, 4, 1e-6, 1e6),
            "lr": some(rng, 0.01, 1e-12, 1),
            "epochs": some(rng, 1, 2),
            "batch": some(rng, 4, 1, 16, 10**6),
            "max_tokens": some(rng, 64, 2, 8, 10**6),
            "warmup": some(rng, 0.03, 0, 0.99),
            "dropout": some(rng, 0, 0.99),
            "seeds": some(rng, [0], [0, 2**32 - 1]),
            "targets": some(rng, "all-linear", ["q_proj"], ["q_prj"], ["lm_head"], ["mlp.up_proj", "v_proj"]),
            "layers": some(rng, None, [0, 0], [1, 1], [0, 7]),
            "max_steps": some(rng, 2, 1, None),
        },
        "tasks": {
            "one": {
                "data": data(),
                "prompt": some(rng, "{{ text }}:", "{{ text }}", "", " ", "{{ absent }}"),
                "answer": choice,
                "metrics": some(rng, ["accuracy"], ["macro_f1", "mcc"], ["accuracy_norm"]),
                "overlong": some(rng, "error", "cut", "drop"),
                "shots": {"n": some(rng, 0, 1, 50)},
            },
            "two": {
                "data": data(),
                "prompt": "{{ text }}=",
                "answer": generate,
                "overlong": some(rng, "error", "drop"),
            },
            "three": {"data": {**data(), "train": 0}, "answer": {"loss": "{{ text }}"}},
        },
        "compute": {"device": "cpu", "threads": 1, "workers": 1, "slots": some(rng, "auto", 1)},
    }
    if rng.random() < 0.3:
        study["controls"] = {"one": some(rng, ["mislabel"], ["balance"], ["mislabel", "balance"])}
    if rng.random() < 0.4:
        study["mixes"] = {
            "all": {"per_task": some(rng, 2, 1, 1000), "hold_out": some(rng, [], ["one"], ["one", "two"])}
        }
    if rng.random() < 0.2:
        study["layers"] = {"examples": some(rng, 8, 500)}
    file = folder / "study.yaml"
    file.write_text(yaml.safe_dump(study, sort_keys=False))
    return file


def told(result: Result) -> str:
    fault = result.exception is not None and not isinstance(result.exception, SystemExit)
    trace = "".join(traceback.format_exception(result.exception)) if fault else ""
    return f"exit {result.exit_code}\n{result.output[-1500:]}\n{trace[-1500:]}"


def agree(seed: int, base: Path, folder: Path, *, report: bool = True) -> int:
    file = random_study(seed, base, folder)
    checked = CliRunner().invoke(app, ["check", str(file), "--no-prompts"])
    ran = CliRunner().invoke(app, ["run", str(file), "--quiet"])
    both = f"{file.read_text()}\ncheck: {told(checked)}\nrun: {told(ran)}"
    assert checked.exit_code in (0, 2) and ran.exit_code in (0, 2), both
    # No check can tell how a training goes: the run then ends all the same.
    nothing = "came to nothing, all else is done" in ran.output
    assert (checked.exit_code == 0) == (ran.exit_code == 0 or nothing), both
    again = CliRunner().invoke(app, ["run", str(file), "--quiet"])
    assert again.exit_code == ran.exit_code, f"{both}\nagain: {told(again)}"
    if report and (file.parent / "runs" / "random" / "cells").is_dir():
        reported = CliRunner().invoke(app, ["report", str(file)])
        assert reported.exit_code == 0, f"{both}\nreport: {told(reported)}"
    return ran.exit_code


def test_check_and_run_agree_on_a_dozen_studies(base: Path, tmp_path: Path) -> None:
    codes = [agree(seed, base, tmp_path / str(seed), report=False) for seed in range(12)]
    assert set(codes) == {0, 2}


@pytest.mark.verify
@pytest.mark.parametrize("block", range(10))
def test_check_and_run_agree_on_hundreds(block: int, base: Path, tmp_path: Path) -> None:
    for seed in range(100 + 30 * block, 130 + 30 * block):
        agree(seed, base, tmp_path / str(seed))
