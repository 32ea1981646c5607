"""Rows that are too long for a model: told in words, counted in cells."""

from __future__ import annotations

from traitscope.study.data import StudyData


def left_over(data: StudyData, task: str, split: str) -> str | None:
    """In words, how many rows of a split are too long, and what becomes of them; None where all fit."""
    found = data.overlong(task, split)
    if not found.ids:
        return None
    fate = {"cut": "their prompts are cut in the middle", "drop": "left out for every model", "error": "refused"}
    return f"{len(found.ids)} of {found.n} {split} rows are too long: {fate[data.config.tasks[task].overlong]}"


def cell_overlong(data: StudyData, task: str, model: str) -> dict[str, int]:
    """What a cell keeps of it: prompts that its model reads cut, or rows that no model reads."""
    found = data.overlong(task, "eval")
    if data.config.tasks[task].overlong == "drop":
        return {"dropped": len(found.ids)} if found.ids else {}
    own = model if model in {reader.name for reader in data.readers} else "base"
    return {"cut": len(found.by[own])} if own in found.by else {}
