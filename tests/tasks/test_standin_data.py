"""The ways of reading of shared_study.yaml, over generated files in the same layouts."""

from __future__ import annotations

import pytest
from standin_data import NAMES, make_data
from test_shared_data import STUDY, the_examples_are_whole, the_splits_share_nothing

from traitscope.config import StudyConfig, load_config
from traitscope.tasks import Task, TaskData


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, TaskData]:
    root = make_data(tmp_path_factory.mktemp("standin"))
    study = load_config(STUDY)
    return {name: Task(name, study.tasks[name], root).load() for name in NAMES}


@pytest.fixture(scope="module")
def study() -> StudyConfig:
    return load_config(STUDY)


@pytest.mark.parametrize("name", NAMES)
def test_the_task_loads_whole_and_its_splits_share_nothing(
    study: StudyConfig, loaded: dict[str, TaskData], name: str
) -> None:
    the_examples_are_whole(study.tasks[name], loaded[name], name)
    the_splits_share_nothing(study.tasks[name], loaded[name])


def test_where_drops_rows(loaded: dict[str, TaskData]) -> None:
    assert loaded["mnli"].report.rows == {"train": 3000, "eval": 1530}
    assert loaded["mnli"].report.filtered == 30
    assert all(len(set(e.options or ())) == 5 for e in loaded["aqua_values"].eval)
    assert all(len(e.answer) > 100 for e in loaded["wikitext"].train)


def test_joined_lines_and_labels_stand_beside_their_rows(loaded: dict[str, TaskData]) -> None:
    for e in loaded["piqa"].train:
        i = int(e.prompt.split()[-1])
        assert e.answer == (f"one {i}", f"two {i}")[i // 2 % 2]
    for e in loaded["translation"].eval:
        assert e.answer.split()[-1] == e.prompt.split("\n")[0].split()[-1]


def test_options_references_tags_and_names_come_out_of_their_rows(loaded: dict[str, TaskData]) -> None:
    for e in loaded["openbookqa"].eval:
        i = int(e.prompt.split()[-1])
        assert e.options == tuple(f" thing {i} {k}" for k in range(1, 5)) and e.gold == i % 4
    assert {len(e.references) for e in loaded["nq_open"].eval} == {1, 2, 3}
    assert {e.tags["operation"] for e in loaded["svamp"].eval} == {
        "Addition", "Subtraction", "Multiplication", "Common-Division",
    }  # fmt: skip
    assert {e.answer for e in loaded["wnut17"].train} == {" none", " Ann", " Ann Lee"}
    assert {e.answer.strip() for e in loaded["snips_intents"].train} <= set(study_classes(loaded))


def study_classes(loaded: dict[str, TaskData]) -> list[str]:
    return [prompt.split()[1] for prompt in {e.prompt for e in loaded["snips_intents"].train}]
