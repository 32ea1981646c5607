"""Which cells of a study are no transfer, worked out by hand."""

from __future__ import annotations

from typing import Any

import pytest

from traitscope.config import StudyConfig
from traitscope.errors import TraitscopeError
from traitscope.study.roles import study_roles


def task(path: str, gold: str = "{{ label }}", **keys: Any) -> dict[str, Any]:
    answer = {"choice": [" no", " yes"], "gold": gold}
    return {"data": {"path": path}, "prompt": "{{ text }}", "answer": answer, **keys}


def study(**keys: Any) -> StudyConfig:
    tasks = {
        "films": task("films.jsonl"),
        "films_asked_otherwise": task("films.jsonl", prompt="Well: {{ text }}"),
        "genres": task("films.jsonl", gold="{{ genre }}"),
        "films_even": task("even.jsonl", copy_of="films"),
        "shoes": task("shoes.jsonl"),
        "left_shoes": {**task("x"), "data": {"path": "shoes.jsonl", "where": {"side": "left"}}},
    }
    return StudyConfig(**{"study": "s", "base": "embedded", "tasks": tasks, **keys})


def relations(config: StudyConfig, name: str) -> dict[str, list[str]]:
    role = study_roles(config)[name]
    found: dict[str, list[str]] = {}
    for target in config.tasks:
        found.setdefault(role.relation(target), []).append(target)
    return found


def test_a_source_owns_its_task_and_copies_are_those_declared_or_read_from_the_same_rows() -> None:
    config = study()
    assert relations(config, "films") == {
        "own": ["films"], "copy": ["films_asked_otherwise", "films_even"],
        "transfer": ["genres", "shoes", "left_shoes"],
    }  # fmt: skip
    # Copies of one task are copies of each other.
    assert relations(config, "films_even")["copy"] == ["films", "films_asked_otherwise"]
    assert relations(config, "shoes")["transfer"][-1] == "left_shoes"


def test_a_source_may_bear_another_name_than_its_task() -> None:
    config = study(sources=["shoes", {"wide": {"task": "films", "rank": 64}}], controls={"wide": ["mislabel"]})
    assert relations(config, "wide")["own"] == ["films"]
    role = study_roles(config)["wide.mislabel"]
    assert (role.kind, role.parent, role.relation("films"), role.relation("films_even")) == (
        "control", "wide", "copy", "copy",
    )  # fmt: skip
    assert role.relation("shoes") == "transfer"


def test_a_mix_owns_the_tasks_of_its_parts() -> None:
    config = study(mixes={"all": {"of": ["films", "shoes"]}, "rest": {"hold_out": ["films", "shoes"]}})
    assert relations(config, "all") == {
        "own": ["films", "shoes"], "copy": ["films_asked_otherwise", "films_even"],
        "transfer": ["genres", "left_shoes"],
    }  # fmt: skip
    assert relations(config, "rest")["copy"] == ["films"]


def test_a_mix_of_controls_owns_nothing() -> None:
    config = study(controls={"shoes": ["mislabel"]}, mixes={"wrong": {"of": ["shoes.mislabel"]}})
    assert study_roles(config)["wrong"].relation("shoes") == "copy"


def test_a_model_whose_training_is_told_is_a_source_and_owns_those_tasks() -> None:
    models = {
        "of_films": {"model": "a", "trained_on": "films"},
        "of_both": {"model": "b", "trained_on": ["films", "shoes"]},
        "of_neither": {"model": "c", "trained_on": []},
        "unknown": "d",
    }
    config = study(models=models)
    roles = study_roles(config)
    assert "unknown" not in roles
    assert [roles[name].kind for name in ("of_films", "of_both", "of_neither")] == ["source", "mix", "source"]
    assert relations(config, "of_films") == {
        "own": ["films"], "copy": ["films_asked_otherwise", "films_even"],
        "transfer": ["genres", "shoes", "left_shoes"],
    }  # fmt: skip
    assert relations(config, "of_both")["own"] == ["films", "shoes"]
    assert relations(config, "of_neither") == {"transfer": list(config.tasks)}


def test_training_on_a_task_that_the_study_lacks_is_refused_by_its_place() -> None:
    with pytest.raises(TraitscopeError, match=r"'film' is no task of this study") as caught:
        study(models={"other": {"model": "a", "trained_on": ["shoes", "film"]}})
    assert "models.other.trained_on[1]" in str(caught.value) and "films" in caught.value.fix


@pytest.mark.parametrize("name", ["filmz", "shoes"])
def test_a_copy_of_nothing_is_refused(name: str) -> None:
    with pytest.raises(TraitscopeError, match="no other task") as caught:
        study(tasks={"films": task("a.jsonl"), "shoes": task("b.jsonl", copy_of=name)})
    assert "tasks.shoes.copy_of" in str(caught.value)


@pytest.mark.parametrize(
    ("run_sd", "says"),
    [
        ({"films": 0.02, "lost": 0.02}, "'lost' is no target"),
        ({"films": 0.02}, "no value for films_asked"),
        (-1, "greater than 0"),
        (float("inf"), "finite"),
    ],
)
def test_a_deviation_between_runs_is_given_to_all_targets(run_sd: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        study(run_sd=run_sd)
