"""Small builders that the tests of tasks share."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from traitscope.config import TaskConfig
from traitscope.tasks import Task

CHOICE: dict[str, Any] = {"choice": [" no", " yes"], "gold": "{{ label }}"}


def write_rows(folder: Path, rows: list[dict[str, Any]], name: str = "rows.jsonl") -> str:
    """A JSON-lines file; gives its name for ``data.path``."""
    (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return name


def task_of(folder: Path, rows: list[dict[str, Any]], **keys: Any) -> Task:
    """A task over ``rows``; by default a choice of no and yes, one row training and all others evaluating."""
    data = {"path": write_rows(folder, rows), "train": 1, "eval": len(rows) - 1, **keys.pop("data", {})}
    keys.setdefault("prompt", "{{ text }}\nAnswer:") if "messages" not in keys else None
    return Task("t", TaskConfig(data=data, answer=keys.pop("answer", CHOICE), **keys), folder)
