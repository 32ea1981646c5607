"""A sound study, and what replaces a piece of it with a bad one."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from traitscope.config import load_config
from traitscope.study import Study
from traitscope.tasks import Task

STUDY = """\
study: sound
base: embedded
recipe: {rank: 8, lr: 2e-4}
tasks:
  one:
    data: {path: rows.jsonl, train: 4, eval: 4}
    prompt: "{{ text }}\\nAnswer:"
    answer: {choice: [" no", " yes"], gold: "{{ label }}"}
  two:
    data: {path: rows.jsonl, train: 4, eval: 4}
    prompt: "{{ text }}\\nAnswer:"
    answer: {generate: {gold: " {{ label }}"}}
sources: [one, two]
mixes: {all: {of: sources}}
"""

ROWS: list[dict[str, Any]] = [{"text": f"row {i}", "label": ["no", "yes"][i % 2]} for i in range(10)]

Files = dict[str, str | bytes]


@dataclass(frozen=True)
class Case:
    name: str
    act: Callable[[Path], Any]
    says: tuple[str, ...]


def jsonl(rows: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def study(old: str = "", new: str = "", files: Files | None = None) -> Callable[[Path], None]:
    """Loads the sound study with the first ``old`` replaced by ``new``, beside its rows and ``files``."""
    assert old in STUDY, old

    def act(folder: Path) -> None:
        for name, content in {"rows.jsonl": jsonl(ROWS), **(files or {})}.items():
            (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
        (folder / "study.yaml").write_text(STUDY.replace(old, new, 1), encoding="utf-8")
        config = load_config(folder / "study.yaml")
        for name, task in config.tasks.items():
            Task(name, task, config.root).load()

    return act


DATA = "{path: rows.jsonl, train: 4, eval: 4}"
CHOICE = '{choice: [" no", " yes"], gold: "{{ label }}"}'
GENERATE = '{generate: {gold: " {{ label }}"}}'
PROMPT = '"{{ text }}\\nAnswer:"'


def data(new: str, files: Files | None = None) -> Callable[[Path], None]:
    """The study with other data for its first task."""
    return study(DATA, new, files)


def rows(*more: dict[str, Any]) -> Files:
    return {"rows.jsonl": jsonl([*ROWS, *more])}


def study_path(folder: Path, change: tuple[str, str] = ("", "")) -> Path:
    """Writes the sound study and its rows."""
    (folder / "rows.jsonl").write_text(jsonl(ROWS))
    return write(folder, STUDY.replace(*change))


def run_folder(files: Files, ask: Callable[[Study], object] = Study.plan) -> Callable[[Path], None]:
    """Plans the sound study, or asks it something else, over a run folder that holds ``files``."""

    def act(folder: Path) -> None:
        for name, content in files.items():
            path = folder / "out" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else str(content).encode())
        ask(Study.open(study_path(folder), folder / "out"))

    return act


def write(folder: Path, content: str | bytes) -> Path:
    path = folder / "study.yaml"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path
