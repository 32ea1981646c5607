"""Real files load with nothing but YAML: the tasks of shared_study.yaml over the shared data folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from traitscope.config import StudyConfig, TaskConfig, load_config
from traitscope.tasks import Task, TaskData

STUDY = Path(__file__).with_name("shared_study.yaml")
NAMES = list(yaml.safe_load(STUDY.read_text(encoding="utf-8"))["tasks"])


@pytest.fixture(scope="module")
def study() -> StudyConfig:
    return load_config(STUDY)


_loaded: dict[str, TaskData] = {}


def load(study: StudyConfig, shared_data: Path, name: str) -> TaskData:
    if name not in _loaded:
        _loaded[name] = Task(name, study.tasks[name], shared_data).load()
    return _loaded[name]


def the_examples_are_whole(config: TaskConfig, data: TaskData, name: str) -> None:
    """As many examples as asked for, with distinct ids, rendered prompts, and the gold option as the answer."""
    if isinstance(config.data.train, int):
        assert len(data.train) == config.data.train
    if config.data.eval is not None:
        assert len(data.eval) == config.data.eval
    assert len(data.eval) >= 100 or name == "copa"
    for examples in (data.train, data.eval):
        assert len({e.id for e in examples}) == len(examples)
        for e in examples:
            assert e.answer.strip() and "{{" not in e.prompt
            assert e.prompt.strip() or config.answer.form == "loss"
            if e.options is not None:
                assert e.options[e.gold if e.gold is not None else -1] == e.answer
    if config.answer.classes and config.answer.choice:
        shares = data.report.shares
        assert sum(shares.values()) == pytest.approx(1)
        assert sum(s > 0 for s in shares.values()) >= 2


def the_splits_share_nothing(config: TaskConfig, data: TaskData) -> None:
    """No question trains and evaluates."""
    row_options = isinstance(config.answer.choice, str)
    loss = config.answer.form == "loss"
    asked = [
        {(e.prompt.strip(), e.options if row_options else None, e.answer if loss else None) for e in examples}
        for examples in (data.train, data.eval)
    ]
    assert not asked[0] & asked[1]
    assert config.shots.n or asked[1]


@pytest.mark.parametrize("name", NAMES)
def test_the_task_loads_and_its_examples_are_whole(study: StudyConfig, shared_data: Path, name: str) -> None:
    the_examples_are_whole(study.tasks[name], load(study, shared_data, name), name)


@pytest.mark.parametrize("name", NAMES)
def test_no_question_trains_and_evaluates(study: StudyConfig, shared_data: Path, name: str) -> None:
    the_splits_share_nothing(study.tasks[name], load(study, shared_data, name))


def test_sorted_files_are_shuffled(study: StudyConfig, shared_data: Path) -> None:
    answers = [e.answer for e in load(study, shared_data, "banking77").eval[:200]]
    assert len(set(answers)) > 50


def test_where_drops_rows_without_a_label(study: StudyConfig, shared_data: Path) -> None:
    report = load(study, shared_data, "mnli").report
    assert report.rows == {"train": 3000, "eval": 1500}
    assert report.filtered == 30


def test_skewed_classes_are_noted(study: StudyConfig, shared_data: Path) -> None:
    assert load(study, shared_data, "toxicity").report.shares["offensive"] == pytest.approx(0.78, abs=0.05)
    skewed = study.tasks["sms_spam"].model_copy(update={"metrics": ("accuracy",)})
    notes = Task("sms_spam", skewed, shared_data).load().report.notes
    assert any("add macro_f1 or mcc" in note for note in notes)


def test_joined_labels_stand_beside_their_rows(study: StudyConfig, shared_data: Path) -> None:
    example = next(e for e in load(study, shared_data, "piqa").train if "Rocky for sega" in e.prompt)
    assert example.answer.startswith("You have to defeat")


def test_options_come_out_of_a_text(study: StudyConfig, shared_data: Path) -> None:
    data = load(study, shared_data, "openbookqa")
    assert all(len(e.options or ()) == 4 for e in data.eval)
    raw = json.loads((shared_data / "openbookqa" / "test.json").read_text(encoding="utf-8"))
    for e in data.eval:
        row = raw[int(e.id.removeprefix("eval-"))]
        behind = row["instruction"].split(f"Answer{row['answer'][-1]}:")[1]
        assert behind.startswith(e.answer)


def test_several_references_are_kept(study: StudyConfig, shared_data: Path) -> None:
    data = load(study, shared_data, "nq_open")
    assert max(len(e.references) for e in data.eval) > 2
    assert all(r.startswith(" ") for e in data.eval for r in e.references)


def test_named_entities_come_out_of_columns_of_tokens(study: StudyConfig, shared_data: Path) -> None:
    names = [e.answer for e in load(study, shared_data, "wnut17").train]
    assert " none" in names and any(len(n.split()) > 1 for n in names)


def test_row_tags_are_rendered(study: StudyConfig, shared_data: Path) -> None:
    kinds = {e.tags["operation"] for e in load(study, shared_data, "svamp").eval}
    assert kinds == {"Addition", "Subtraction", "Multiplication", "Common-Division"}


def test_every_file_of_the_folder_that_fits_is_read(study: StudyConfig, shared_data: Path) -> None:
    text = STUDY.read_text(encoding="utf-8")
    folders = {p.name for p in shared_data.iterdir() if p.is_dir()}
    assert {f for f in folders if f"{f}/" not in text} == set()
