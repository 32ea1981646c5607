"""Several base models in one study: how they are written down, and what each is called."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePath
from typing import Any

from pydantic import Field

from traitscope.config.data import Name
from traitscope.config.problems import Problem
from traitscope.config.recipe import RecipeChange
from traitscope.config.sections import BaseConfig
from traitscope.texts import shown

LONGEST = 80


class NamedBase(BaseConfig):
    """One of several base models, with its departures from the study's recipe."""

    name: Name | None = Field(
        None, description="What its folder and its rows are called; default: the last part of the model's name"
    )
    recipe: RecipeChange | None = Field(None, description="Changes to the recipe for this base model alone")

    @property
    def alone(self) -> BaseConfig:
        """The base model without its name and its recipe."""
        found = BaseConfig(**self.model_dump(exclude_unset=True, exclude={"name", "recipe"}))
        found._origin = self._origin
        return found


def base_entries(value: Any) -> Any:
    """``[a, {model: b}]`` or ``{name: a, other: {model: b}}`` as a list of mappings."""
    if isinstance(value, str):
        value = [value]
    if isinstance(value, Mapping) and "model" in value:
        raise Problem("this is one base model", fix="write a list of them, or base: for one")
    if isinstance(value, Mapping):
        named = [(name, {"model": one} if isinstance(one, str) else one) for name, one in value.items()]
        for name, one in named:
            if not isinstance(one, Mapping):
                raise Problem(f"{shown(name)} names no model", fix=f"write {name}: model", keys=(name,))
        value = [{"name": name, **one} for name, one in named]
    if not isinstance(value, list | tuple):
        return value
    return [{"model": one} if isinstance(one, str) else one for one in value]


def base_names(bases: Sequence[NamedBase]) -> tuple[str, ...]:
    """What every base model is called: its own name, else the last part of its model's, made longer until it is free.

    A base that is added at the end changes no name before it.

    Raises:
        Problem: a name is taken, or a base model with one recipe stands there twice.
    """
    taken: dict[str, int] = {}
    seen: dict[tuple[Any, ...], int] = {}
    for index, base in enumerate(bases):
        what = (base.model, base.revision, base.dtype, base.recipe and base.recipe.model_dump_json(exclude_unset=True))
        if (first := seen.setdefault(what, index)) != index:
            raise Problem(
                f"{shown(base.model)} stands there twice",
                fix=f"remove one of places {first} and {index}, or give them other revisions, precisions or recipes",
                keys=(index,),
            )
        free = (name for name in _names(base) if name.lower() not in taken)
        name = next(free, None)
        if name is None:
            raise Problem(
                f"the name {shown(next(_names(base)))} is taken by another base model",
                fix="give each a name of its own: {model: ..., name: ...}; capitals do not tell them apart",
                keys=(index,),
            )
        taken[name.lower()] = index
    return tuple(_by_place(bases, taken))


def _by_place(bases: Sequence[NamedBase], taken: Mapping[str, int]) -> Iterator[str]:
    for name, index in sorted(taken.items(), key=lambda item: item[1]):
        yield next(one for one in _names(bases[index]) if one.lower() == name)


def _names(base: NamedBase) -> Iterator[str]:
    """What a base may be called, the best first."""
    if base.name is not None:
        yield base.name
        return
    parts = [part for part in PurePath(base.model).parts if part.strip("/.~")]
    last = _plain(parts[-1]) if parts else "model"
    yield last
    if len(parts) > 1:
        yield _plain(f"{parts[-2]}-{parts[-1]}")
    if base.revision is not None:
        yield _plain(f"{last}-{base.revision}")
    if base.dtype != "auto":
        yield _plain(f"{last}-{base.dtype}")


def _plain(text: str) -> str:
    """A text as a folder may be called."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", text).strip("-._")[:LONGEST].rstrip("-._") or "model"
