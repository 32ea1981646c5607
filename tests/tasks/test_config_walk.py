"""Every key of a study file, fed with values of every wrong kind: refused with its place, or excused here."""

from __future__ import annotations

import types
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import pytest
import yaml

from traitscope.config import StudyConfig, load_config
from traitscope.config.sections import HubModel
from traitscope.config.settings import Settings
from traitscope.errors import TraitscopeError

SOUND: dict[str, Any] = {
    "study": "sound",
    "base": {"model": "embedded", "revision": None, "dtype": "fp32"},
    "recipe": {"rank": 4},
    "tasks": {
        "one": {
            "data": {"path": {"train": "a.jsonl", "eval": "b.jsonl"}},
            "prompt": "{{ text }}",
            "answer": {"choice": [" no", " yes"], "gold": "{{ label }}"},
            "shots": {"n": 0},
        },
        "two": {
            "data": {"hub": "a/b", "splits": {"train": "train", "eval": "test"}},
            "messages": [{"role": "user", "content": "{{ text }}"}],
            "answer": {"generate": {"gold": "{{ label }}", "temperature": 0.5, "code": {"tests": "assert f()"}}},
        },
        "three": {"data": {"path": "c.jsonl"}, "answer": {"loss": "{{ text }}"}},
    },
    "sources": [{"name": "one", "rank": 8}, "two"],
    "mixes": {"all": {"of": "sources"}},
    "models": {"other": {"model": "embedded"}},
    "layers": {"examples": 8},
    "compute": {"device": "cpu"},
}

# What is true, text, nothing, no finite number, below or above all that is sensible, or a container.
WRONG: dict[str, Any] = {
    "a truth value": True,
    "a number as text": "7",
    "text": "seven",
    "empty text": "",
    "nothing": None,
    "no number": float("nan"),
    "infinity": float("inf"),
    "below zero": -1,
    "a fraction": 2.5,
    "a whole fraction": 8.0,
    "huge": 10**12,
    "an empty list": [],
    "a list of nothing": [None],
    "a list of lists": [[1]],
    "a mapping": {"no such key": 1},
}

Key = tuple[str | int, ...]


def fields(model: Settings, path: Key = ()) -> Iterator[tuple[Key, type[Settings], str]]:
    """Every key of a model and of all models inside it, with the class it belongs to and its field's name."""
    for name, info in type(model).model_fields.items():
        key = (*path, info.alias or name)
        yield key, type(model), name
        value = getattr(model, name)
        parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, tuple) else ()
        for inner, part in [((), value), *(((place,), part) for place, part in parts)]:
            if isinstance(part, Settings):
                yield from fields(part, (*key, *inner))


def kinds(annotation: Any) -> set[str]:
    """The plain kinds of value that a field's annotation allows."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return kinds(arguments[0])
    if origin in (Union, types.UnionType):
        return set().union(*map(kinds, arguments))
    if origin is Literal:
        return {"word"}
    if annotation is type(None):
        return {"nothing"}
    if origin in (dict, tuple):
        # A list of texts may be written as one text, a list of numbers as one number.
        return {"list" if origin is tuple else "mapping"} | (kinds(arguments[0]) if origin is tuple else set())
    return {getattr(annotation, "__name__", str(annotation))}


def allowed(kind: str, owner: type[Settings], name: str) -> str | None:
    """Why a value of this wrong kind is none for this key; None where it must be refused."""
    takes, value = kinds(owner.model_fields[name].annotation), WRONG[kind]
    if value is None and "nothing" in takes:
        return "null is the same as leaving the key out"
    if value is None and name == "report_to":
        return "null is nobody, as none is"
    if isinstance(value, bool):
        return "true and false are what it takes" if "bool" in takes else None
    if isinstance(value, str) and "str" in takes:
        return "any text may be a name or a template, where nothing else is known of it"
    if isinstance(value, str) and value and (owner.__name__, name) == ("StudyConfig", "base"):
        return "base: name is short for base: {model: name}"
    if kind == "a mapping" and any(k == "mapping" for k in takes):
        return "keys are the user's own: allowed values of a column, variables of a template"
    if kind == "an empty list" and "list" in takes:
        return "an empty list where all may be left out"
    if kind == "below zero" and (owner.__name__, name) == ("AnswerConfig", "gold"):
        return "an index of the options: judged row by row"
    if kind == "huge" and (owner.__name__, name) == ("AnswerConfig", "gold"):
        return "an index of the options: judged row by row"
    if kind in ("a fraction", "a whole fraction") and "float" in takes:
        return "a number"
    return None


def put(study: dict[str, Any], key: Key, value: Any) -> None:
    """Sets a key of the study file, making the mappings on the way."""
    place: Any = study
    for part in key[:-1]:
        if isinstance(place, list) and not isinstance(place[part], dict):  # type: ignore[index]
            place[part] = {"name": place[part]}  # type: ignore[index]
        if isinstance(place, dict) and not isinstance(place.get(part), dict | list):
            place[part] = {}
        place = place[part]  # type: ignore[index]
    place[key[-1]] = value


def refusal(file: Path) -> TraitscopeError | None:
    try:
        load_config(file)
    except TraitscopeError as error:
        return error
    return None


def sound() -> dict[str, Any]:
    return yaml.safe_load(yaml.safe_dump(SOUND))  # type: ignore[no-any-return]


@pytest.mark.parametrize("kind", WRONG)
def test_a_value_of_the_wrong_kind_is_refused_with_its_key_and_line(kind: str, tmp_path: Path) -> None:
    file = tmp_path / "study.yaml"
    accepted = []
    for key, owner, name in fields(StudyConfig(**SOUND)):
        study = sound()
        put(study, key, WRONG[kind])
        file.write_text(yaml.safe_dump(study, sort_keys=False))
        error = refusal(file)
        if error is None:
            if allowed(kind, owner, name) is None:
                accepted.append((key, WRONG[kind]))
            continue
        assert error.where and error.where.startswith(f"{file}:"), (key, error)
        assert error.fix, (key, error)
        # Without a key the fault may show elsewhere: a task without rows is no target.
        elsewhere = kind in ("nothing", "an empty list", "text", "a number as text")
        assert str(key[0]) in error.where or elsewhere, (key, error)
    assert not accepted


def test_the_walk_reaches_every_class_that_a_study_file_may_hold() -> None:
    def classes(cls: type[Settings]) -> set[type[Settings]]:
        return {cls}.union(*map(classes, cls.__subclasses__()))

    reached = {owner for _, owner, _ in fields(StudyConfig(**SOUND))}
    theirs = {cls for cls in classes(Settings) if cls.__module__.startswith("traitscope.config")} - {Settings, HubModel}
    # A change of a recipe stands in a source or a mix, whose keys it gives; several bases stand in place of base.
    # A harness task's keys are tried in tests/harness; its data and answer are stand-ins that no file holds.
    elsewhere = {"RecipeChange", "NamedBase", "LmEvalConfig", "HarnessData", "HarnessAnswer"}
    assert {cls.__name__ for cls in theirs - reached} == elsewhere


@pytest.mark.parametrize("key", [key for key, *_ in fields(StudyConfig(**SOUND)) if isinstance(key[-1], str)])
def test_a_key_that_does_not_exist_is_told_with_the_nearest_one(key: Key, tmp_path: Path) -> None:
    study, misspelt = sound(), f"{key[-1]}x"
    put(study, (*key[:-1], misspelt), 1)
    file = tmp_path / "study.yaml"
    file.write_text(yaml.safe_dump(study, sort_keys=False))
    with pytest.raises(TraitscopeError, match=f"unknown key '{misspelt}'") as caught:
        load_config(file)
    assert "did you mean" in str(caught.value) and misspelt in str(caught.value.where)
