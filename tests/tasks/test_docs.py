"""docs/tasks.md is true: its examples load and render as shown, its tables are the code's own.

``TRAITSCOPE_UPDATE_DOCS=1 pytest tests/tasks/test_docs.py`` writes the tables anew.
"""

from __future__ import annotations

import inspect
import os
import re
from pathlib import Path
from typing import Any

import pytest

from traitscope.config import (
    AnswerConfig,
    CodeConfig,
    DataConfig,
    GenerateConfig,
    MessageConfig,
    ShotsConfig,
    TaskConfig,
    load_config,
)
from traitscope.metrics import METRICS
from traitscope.tasks import Task
from traitscope.tasks.controls import CONTROLS
from traitscope.tasks.parsers import PARSERS

DOC = Path(__file__).resolve().parents[2] / "docs" / "tasks.md"
FENCE = re.compile(r"^```(\w+)(?: (\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(kind: str) -> list[tuple[str, str]]:
    found = FENCE.findall(DOC.read_text(encoding="utf-8"))
    return [(name, body) for language, name, body in found if language == kind]


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Task]:
    folder = tmp_path_factory.mktemp("docs")
    for name, body in blocks("jsonl") + blocks("csv"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(body, encoding="utf-8")
    bodies = "".join(re.sub(r"^", "  ", body, flags=re.MULTILINE).rstrip() + "\n" for _, body in blocks("yaml"))
    (folder / "study.yaml").write_text(f"study: docs\nbase: embedded\ntasks:\n{bodies}", encoding="utf-8")
    config = load_config(folder / "study.yaml")
    return {name: Task(name, task, config.root) for name, task in config.tasks.items()}


def test_every_example_loads(tasks: dict[str, Task]) -> None:
    assert len(tasks) >= 7
    for task in tasks.values():
        data = task.load()
        assert data.train and data.eval


def test_examples_render_as_shown(tasks: dict[str, Task]) -> None:
    shown = blocks("text")
    assert len(shown) >= 4
    for name, text in shown:
        example = tasks[name].load().eval[0]
        assert example.prompt + example.answer + "\n" == text


def first_sentence(thing: Any) -> str:
    text = " ".join((inspect.getdoc(thing) or "").split("\n\n")[0].split())
    return text.replace("|", "\\|").replace("``", "`")


def table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(cells) + " |\n" for cells in lines)


def keys_of(cls: Any) -> str:
    rows = []
    for name, info in cls.model_fields.items():
        default = "required" if info.is_required() else repr(info.get_default(call_default_factory=True))
        default = {"None": "", "()": "", "{}": "", "''": ""}.get(default, default)
        default = "" if "Config(" in default else default.lower() if default in ("True", "False") else default
        rows.append(
            [f"`{info.alias or name}`", default.replace("\n", "\\n"), (info.description or "").replace("|", "\\|")]
        )
    return table(["key", "default", "meaning"], rows)


def generated() -> dict[str, str]:
    sections = {
        "The task": TaskConfig,
        "data": DataConfig,
        "answer": AnswerConfig,
        "answer.generate": GenerateConfig,
        "answer.generate.code": CodeConfig,
        "messages": MessageConfig,
        "shots": ShotsConfig,
    }
    metric_rows = [
        [
            f"`{e.name}`",
            ", ".join(sorted(e.value.forms)),
            f"{e.value.low:g} to {e.value.high:g}",
            "higher" if e.value.higher_is_better else "lower",
            e.reference,
        ]
        for e in METRICS
    ]
    return {
        "parsers": table(["parser", "gives"], [[f"`{e.name}`", first_sentence(e.value)] for e in PARSERS]),
        "metrics": table(["metric", "forms", "range", "better", "as in"], metric_rows),
        "controls": "".join(
            f"- `{e.name}`: {' '.join((inspect.getdoc(e.value) or '').split()).replace('``', '`')}\n" for e in CONTROLS
        ),
        "keys": "\n".join(f"### {title}\n\n{keys_of(cls)}" for title, cls in sections.items()),
    }


@pytest.mark.parametrize("name", ["parsers", "metrics", "controls", "keys"])
def test_tables_are_the_codes_own(name: str) -> None:
    text = DOC.read_text(encoding="utf-8")
    pattern = re.compile(rf"(<!-- {name} -->\n)(.*?)(<!-- end -->)", re.DOTALL)
    if os.environ.get("TRAITSCOPE_UPDATE_DOCS"):
        text = pattern.sub(lambda m: m[1] + "\n" + generated()[name] + "\n" + m[3], text)
        DOC.write_text(text, encoding="utf-8")
    match = pattern.search(text)
    assert match is not None
    assert match[2].strip() == generated()[name].strip()
