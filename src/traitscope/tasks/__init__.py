"""Tasks: rows from files or the Hub, prompts, answer forms, token rows, and how answers are judged.

The names are loaded on first use, since the configuration needs the parsers and templates in here alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from traitscope.tasks.encode import encode_pair, option_rows, prompt_rows, training_rows
    from traitscope.tasks.judge import judge_losses, judge_options, judge_texts, rejudge, summarise
    from traitscope.tasks.lengths import token_counts
    from traitscope.tasks.mix import mix_counts
    from traitscope.tasks.task import LoadReport, Task, TaskData

_HOMES = {
    "LoadReport": "task",
    "Task": "task",
    "TaskData": "task",
    "encode_pair": "encode",
    "judge_losses": "judge",
    "judge_options": "judge",
    "judge_texts": "judge",
    "mix_counts": "mix",
    "option_rows": "encode",
    "prompt_rows": "encode",
    "rejudge": "judge",
    "summarise": "judge",
    "token_counts": "lengths",
    "training_rows": "encode",
}

__all__ = [
    "LoadReport",
    "Task",
    "TaskData",
    "encode_pair",
    "judge_losses",
    "judge_options",
    "judge_texts",
    "mix_counts",
    "option_rows",
    "prompt_rows",
    "rejudge",
    "summarise",
    "token_counts",
    "training_rows",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'traitscope.tasks' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"traitscope.tasks.{_HOMES[name]}"), name)
