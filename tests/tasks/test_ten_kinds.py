"""The ten kinds on a real model: the study of the benchmarks loads over the shared files, and its rows are sane."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import pytest
from typer.testing import CliRunner

from traitscope.cli import app
from traitscope.config import StudyConfig, load_config
from traitscope.records import Example
from traitscope.tasks import Task, TaskData
from traitscope.tasks.parsers import parse

STUDY = Path(__file__).parents[2] / "benchmarks" / "ten_kinds.yaml"
KINDS = ["gsm8k", "svamp", "mbpp", "pawsx", "mnli", "toxicity", "amazon", "imdb", "yelp", "dbpedia14"]
# Classes of every choice task, and the share of the most frequent one among its evaluation rows.
CLASSES = {
    "pawsx": (2, 0.5, 0.65),
    "mnli": (3, 0.3, 0.45),
    "toxicity": (3, 0.7, 0.85),
    "amazon": (2, 0.5, 0.65),
    "imdb": (2, 0.5, 0.65),
    "yelp": (2, 0.5, 0.65),
    "dbpedia14": (14, 0.07, 0.25),
}


@pytest.fixture(scope="module")
def study_file(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The study with its paths where the files are here."""
    text = STUDY.read_text(encoding="utf-8")
    path = tmp_path_factory.mktemp("ten") / "study.yaml"
    path.write_text(text.replace("../../shared/data/", f"{shared_data}/"), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def study(study_file: Path) -> StudyConfig:
    return load_config(study_file)


_loaded: dict[str, TaskData] = {}


def rows(study: StudyConfig, name: str) -> TaskData:
    if name not in _loaded:
        _loaded[name] = Task(name, study.tasks[name], study.root).load()
    return _loaded[name]


def test_it_has_the_papers_ten_kinds_a_control_and_a_mix() -> None:
    text = STUDY.read_text(encoding="utf-8")
    study = load_config(STUDY)
    assert list(study.tasks) == KINDS and study.base.model == "smollm2-135m"
    assert [source.name for source in study.resolved_sources()].count("amazon.mislabel") == 1
    assert study.layers is not None and len(study.mix_sources("all")) == 10
    assert all(path.startswith("../../shared/data/") for path in re.findall(r"[\w./]*shared/data/\w\S*", text))


@pytest.mark.parametrize("name", KINDS)
def test_rows_are_as_many_as_asked_for_and_none_is_on_both_sides(study: StudyConfig, name: str) -> None:
    data, config = rows(study, name), study.tasks[name]
    assert (len(data.train), len(data.eval)) == (config.data.train, config.data.eval)
    assert not {example.prompt for example in data.train} & {example.prompt for example in data.eval}
    for example in (*data.train, *data.eval):
        assert "\r" not in example.prompt + example.answer and "{{" not in example.prompt
        assert example.prompt.strip() and example.answer.strip()


@pytest.mark.parametrize("name", list(CLASSES))
def test_a_gold_option_is_the_answer_and_classes_have_their_shares(study: StudyConfig, name: str) -> None:
    n, low, high = CLASSES[name]
    data = rows(study, name)
    for example in data.eval:
        assert example.options is not None and len(example.options) == n
        assert example.options[example.gold or 0] == example.answer
    shares = Counter(example.answer for example in data.eval)
    assert low <= max(shares.values()) / len(data.eval) <= high
    assert len(shares) >= min(n, 10)


def parsed(study: StudyConfig, name: str, example: Example) -> str | None:
    generate = study.tasks[name].answer.generate
    assert generate is not None
    text = example.answer
    for stop in generate.stop:
        text = text.split(stop)[0]
    return parse(generate.parse, text, None, name)


def test_the_number_of_a_worked_answer_is_that_of_the_file(study: StudyConfig, shared_data: Path) -> None:
    lines = [json.loads(line) for line in (shared_data / "gsm8k/test.jsonl").read_text(encoding="utf-8").splitlines()]
    for example in rows(study, "gsm8k").eval:
        row = lines[int(example.id.removeprefix("eval-"))]
        assert row["question"] in example.prompt and "<<" not in example.answer
        wanted = float(row["answer"].split("####")[1].replace(",", ""))
        assert float(str(parsed(study, "gsm8k", example))) == wanted


def test_the_number_of_a_short_answer_is_that_of_the_file(study: StudyConfig, shared_data: Path) -> None:
    file = json.loads((shared_data / "svamp/SVAMP.json").read_text(encoding="utf-8"))
    for example in rows(study, "svamp").eval:
        row = file[int(example.id.removeprefix("all-"))]
        assert row["Question"] in example.prompt and float(str(parsed(study, "svamp", example))) == row["Answer"]


def test_gold_code_is_code_and_survives_its_own_stop(study: StudyConfig) -> None:
    for example in rows(study, "mbpp").eval:
        code = parsed(study, "mbpp", example)
        assert code is not None and "```" not in code
        compile(code, example.id, "exec")


@pytest.mark.usefixtures("real_base")
def test_check_passes_and_tells_what_it_costs(study_file: Path) -> None:
    done = CliRunner().invoke(app, ["check", str(study_file), "--no-prompts"])
    assert done.exit_code == 0, done.output
    assert "adapters  0 of 12 trained" in done.output and "cells     0 of 130 evaluated" in done.output
    assert re.search(r"about [\d hmins]+ on this processor", done.output)
