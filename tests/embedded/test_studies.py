"""The two embedded study files: complete, loadable, and the longer one a longer copy of the other."""

from __future__ import annotations

from pathlib import Path

import traitscope
from traitscope.config import StudyConfig, load_config
from traitscope.tasks.embedded import NAMES, SKILLS, TASKS

PRESETS = Path(traitscope.__file__).parent / "presets"


def study(name: str) -> StudyConfig:
    return load_config(PRESETS / f"{name}.yaml")


def test_the_demo_has_every_embedded_task_with_its_skills_classes_and_200_rows_of_evaluation() -> None:
    demo = study("demo")
    assert tuple(demo.tasks) == NAMES and demo.base.model == "embedded"
    for name, task in demo.tasks.items():
        assert (task.data.embedded, task.data.eval) == (name, 200)
        assert tuple(task.tags["skills"].split(", ")) == SKILLS[name]
        if TASKS[name].shares:
            assert task.answer.classes == tuple(TASKS[name].shares)
    assert demo.controls == {"clothing_reviews": ("mislabel",)}
    assert [mix.of for mix in demo.mixes.values()] == ["sources"]


def test_the_full_demo_differs_in_seeds_and_row_numbers_only() -> None:
    demo, full = study("demo").model_dump(), study("demo-full").model_dump()
    assert full["recipe"].pop("seeds") == (0, 1) and demo["recipe"].pop("seeds") == (0,)
    for short, long in zip(demo["tasks"].values(), full["tasks"].values(), strict=True):
        assert long["data"].pop("train") == 2 * short["data"].pop("train")
        assert long["data"].pop("eval") > short["data"].pop("eval")
    assert full["mixes"]["all"].pop("per_task") == 2 * demo["mixes"]["all"].pop("per_task")
    assert full["layers"].pop("examples") > demo["layers"].pop("examples")
    assert full["layers"].pop("causal") > demo["layers"].pop("causal")
    assert (full.pop("study"), demo.pop("study")) == ("demo-full", "demo")
    assert full == demo


def test_the_demo_on_a_real_model_has_the_same_tasks_and_fewer_rows() -> None:
    demo, real = study("demo"), study("demo-smollm2-135m")
    assert real.base.model == "smollm2-135m" and tuple(real.tasks) == NAMES
    for name, task in real.tasks.items():
        other = demo.tasks[name]
        assert (task.data.train, task.data.eval) == (96, 32)
        assert (task.metrics, task.tags, task.answer.form) == (other.metrics, other.tags, other.answer.form)
        # Questions with a worked answer are put as a chat; everything else is asked as on the small base.
        assert task.chat == (name in ("word_problems", "code"))
        assert task.chat or (task.prompt, task.answer) == (other.prompt, other.answer)
    assert real.controls == demo.controls and list(real.mixes) == list(demo.mixes)
    assert real.layers is not None
