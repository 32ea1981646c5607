"""Scores of harness tasks are those of lm-eval's ``simple_evaluate`` with HFLM and PEFT, to the last digit in fp32."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from harness_tasks import harness_results

from traitscope.records import ExampleRecord
from traitscope.study import Study

TASKS = ("pick", "shots", "last", "corpus", "sums", "blank", "both", "even")


def study_text(base: Path, yamls: Path, adapters: dict[str, Path], tasks: dict[str, str]) -> str:
    bodies = "".join(f"  {name}: {{lm_eval: {{include_path: {yamls}, {body}}}}}\n" for name, body in tasks.items())
    models = "".join(f"  {name}: {path}\n" for name, path in adapters.items())
    return (
        f"study: harness\nbase: {{model: {base}, dtype: fp32}}\ntasks:\n{bodies}"
        + (f"models:\n{models}" if models else "")
        + "compute: {device: cpu, threads: 1, workers: 1}\n"
    )


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory, base: Path, yamls: Path, adapters: dict[str, Path]) -> Study:
    """A study of all tasks, the base and two adapters, run to its end."""
    folder = tmp_path_factory.mktemp("study")
    text = study_text(base, yamls, adapters, {name: f"task: {name}, bootstrap_iters: 200" for name in TASKS})
    (folder / "study.yaml").write_text(text)
    study = Study.open(folder / "study.yaml")
    study.run()
    return study


@pytest.fixture(scope="session")
def truth(base: Path, yamls: Path, adapters: dict[str, Path]) -> dict[str, dict[str, Any]]:
    """What lm-eval says of every model."""
    models = {"base": None, **adapters}
    return {
        name: harness_results(base, adapter, list(TASKS), yamls, bootstrap_iters=200)
        for name, adapter in models.items()
    }


@pytest.mark.parametrize("task", TASKS)
def test_every_metric_is_the_harness_own(filled: Study, truth: dict[str, dict[str, Any]], task: str) -> None:
    table = filled.score_table()
    for model, results in truth.items():
        expected = {
            name: value for name, value in results[task]["results"][task].items()
            if "," in name and "_stderr" not in name
        }  # fmt: skip
        ours = table[(table["model"] == model) & (table["task"] == task) & (table["metric"] != "loss")]
        assert dict(zip(ours["metric"], ours["value"], strict=True)) == pytest.approx(expected, rel=1e-6, abs=1e-9)
        assert len(expected) >= 1
