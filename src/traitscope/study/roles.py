"""What the rows of a study's matrix are, and which of their cells are no transfer, from the study file."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from traitscope.config import StudyConfig, TaskConfig
from traitscope.matrix import Role

if TYPE_CHECKING:
    import pandas as pd


def study_roles(config: StudyConfig) -> dict[str, Role]:
    """The role of every source, control and mix of a study, and of every model whose training is told, by its name."""
    twins = _twins(config)
    found = {}
    for source in config.resolved_sources():
        same = twins[source.task]
        if source.control is None:
            found[source.name] = Role("source", frozenset({source.task}), same - {source.task})
        else:
            parent = source.name.removesuffix(f".{source.control}")
            found[source.name] = Role("control", copies=same, parent=parent)
    for mix in config.mixes:
        parts = config.mix_sources(mix)
        own = frozenset(part.task for part in parts if part.control is None)
        found[mix] = Role("mix", own, _union(twins[part.task] for part in parts) - own)
    for name, model in config.models.items():
        if model.trained_on is not None:
            own = frozenset(model.trained_on)
            kind = "mix" if len(own) > 1 else "source"
            found[name] = Role(kind, own, _union(twins[task] for task in own) - own)
    return found


def with_told_sources(table: pd.DataFrame, config: StudyConfig) -> pd.DataFrame:
    """The score table in which a model whose training is told is a source of its own name."""
    told = [name for name, model in config.models.items() if model.trained_on is not None]
    if not told:
        return table
    return table.assign(source=table["source"].where(~table["model"].isin(told), table["model"]))


def _twins(config: StudyConfig) -> dict[str, frozenset[str]]:
    """For every task the tasks that hold its rows and answers too, itself included.

    Those of ``copy_of``, and those that read the same answers from the same place.
    """
    groups = {name: {name} for name in config.tasks}

    def join(one: str, other: str) -> None:
        both = groups[one] | groups[other]
        for name in both:
            groups[name] = both

    first: dict[tuple[str, ...], str] = {}
    for name, task in config.tasks.items():
        place = task.data.model_dump_json(include={"path", "hub", "embedded", "subset", "field", "where_"})
        join(name, first.setdefault((place, *_golds(task)), name))
        if task.copy_of is not None:
            join(name, task.copy_of)
    return {name: frozenset(group) for name, group in groups.items()}


def _golds(task: TaskConfig) -> tuple[str, ...]:
    """The templates of a task's gold answers."""
    answer = task.answer
    free = answer.generate.gold if answer.generate is not None else ()
    return tuple(str(template).strip() for template in (answer.gold, answer.loss, *free))


def _union(sets: Iterable[frozenset[str]]) -> frozenset[str]:
    return frozenset().union(*sets)
