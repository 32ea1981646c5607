"""From pydantic's validation errors to messages that name the place, the problem and what to write."""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from traitscope.config.yamlfile import KeyPath, Places, dotted
from traitscope.errors import TraitscopeError
from traitscope.registry import did_you_mean, near_names, registry
from traitscope.texts import shown

# Problems that are looked at, of a file that is something else altogether.
_MOST = 200
# What may name a part of a study: a folder bears it too.
NAME = r"^[A-Za-z0-9][A-Za-z0-9_.-]*$"
_OF_NAME = "use letters, digits, - _ and . only, a letter or digit first"


class Problem(ValueError):
    """Raised inside a validator: what is wrong and what to write; ``keys`` leads from the model to the place."""

    def __init__(self, what: str, *, fix: str, keys: KeyPath = ()) -> None:
        super().__init__(what)
        self.what = what
        self.fix = fix
        self.keys = keys


def check_name(kind: str, name: str, keys: KeyPath = (), *, also: tuple[str, ...] = ()) -> None:
    """Raises ``Problem`` where nothing of this kind is registered under the name, which is none of ``also`` either."""
    if name not in also and name not in registry(kind):
        known = (*registry(kind).names(), *also)
        raise Problem(f"unknown {kind} {shown(name)}", fix=did_you_mean(name, known), keys=keys)


@dataclass(frozen=True, slots=True)
class _Found:
    """One problem. ``must_be`` is what the value had to be, where that was the problem."""

    path: KeyPath
    what: str
    fix: str
    must_be: str = ""


def explain(error: ValidationError, cls: type[BaseModel], data: Any, places: Places | None) -> TraitscopeError:
    """The first problem of a validation error as ours; the others are counted and placed behind it."""
    items = error.errors()
    found = _merged([_one(dict(item), cls, data) for item in items[:_MOST]])
    # Where a value may be of several kinds, pydantic reports each; the one that got furthest in is meant.
    found = [f for f in found if not any(len(o.path) > len(f.path) == _shared(o.path, f.path) for o in found)]
    # A missing key often follows from a misspelt one: the misspelt one is the better message.
    found.sort(key=lambda f: not f.what.startswith("unknown key"))
    first, rest = found[0], found[1:]
    what = first.what
    if rest:
        also = "; ".join(f"{dotted(r.path)}: {r.what}" for r in rest[:4])
        what += f" (and {len(rest) + len(items[_MOST:])} more: {also}{'; ...' if len(rest) > 4 else ''})"
    where = places.where(first.path) if places is not None else dotted(first.path) or cls.__name__
    return TraitscopeError(what, where=where, fix=first.fix)


def _merged(found: list[_Found]) -> list[_Found]:
    """One problem per place; alternatives of one value as "a whole number or 'all'"."""
    by_path: dict[KeyPath, list[_Found]] = {}
    for item in found:
        by_path.setdefault(item.path, []).append(item)
    merged = []
    for items in by_path.values():
        first = items[0]
        kinds = list(dict.fromkeys(i.must_be for i in items))
        if len(kinds) > 1 and all(kinds):
            must_be = " or ".join(kinds)
            fix = next((i.fix for i in items if i.fix.startswith(("did you mean", "put it in quotes"))), first.fix)
            fix = fix.replace(f"write {first.must_be}", f"write {must_be}", 1)
            first = _Found(first.path, first.what.replace(first.must_be, must_be, 1), fix, must_be)
        merged.append(first)
    return merged


def _shared(a: KeyPath, b: KeyPath) -> int:
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))


_KINDS = {
    "int": "a whole number",
    "float": "a number",
    "finite_number": "a finite number",
    "bool": "true or false",
    "string": "text",
    "tuple": "a list",
    "list": "a list",
    "dict": "a mapping of keys to values",
    "model": "a mapping of keys to values",
}


def _one(item: dict[str, Any], cls: type[BaseModel], data: Any) -> _Found:
    kind, value, context = item["type"], item.get("input"), item.get("ctx", {})
    path = _real_path(item["loc"], data, keep_last=kind in ("missing", "extra_forbidden"))
    word = max((i for i, part in enumerate(path) if isinstance(part, str)), default=0)
    key = dotted(path[word:]) if path else "the file"
    info = _field_at(cls, path)
    says = (info.description or "") if info else ""
    behind = f": {says}" if says else ""
    if kind == "extra_forbidden":
        owner = _model_at(cls, path[:-1])
        # What other programs call it, or why it is not there.
        elsewhere = getattr(owner, "ANSWERS", {}).get(str(path[-1]))
        if elsewhere is not None:
            return _Found(path, f"unknown key {shown(str(path[-1]))}", elsewhere)
        known = [f.alias or n for n, f in owner.model_fields.items()] if owner else []
        fix = did_you_mean(str(path[-1]), known)
        if not fix.startswith("write one of"):
            fix += f" (keys here: {', '.join(known)})"
        return _Found(path, f"unknown key {shown(str(path[-1]))}", fix)
    if kind == "missing" and path and isinstance(path[-1], int):
        return _Found(path[:-1], f"{shown(dotted(path[word:-1]))} needs {path[-1] + 1} values", "add the missing ones")
    if kind == "missing":
        return _Found(path, f"the key {key!r} is missing", f"add `{key}:`" + (f" ({says})" if says else ""))
    if kind == "value_error" and isinstance(context.get("error"), Problem):
        problem = context["error"]
        return _Found((*path, *problem.keys), problem.what, problem.fix)
    if kind == "literal_error":
        must_be = context["expected"]
        near = near_names(str(value), [a.strip(" '\"") for a in must_be.replace(" or ", ", ").split(",")])
        fix = f"did you mean {near[0]!r}?" if near else f"write {must_be}{behind}"
        return _Found(path, f"{key!r} must be {must_be}, not {_show(value)}", fix, must_be)
    if kind in ("greater_than", "greater_than_equal", "less_than", "less_than_equal"):
        limit = f"{next(iter(context.values())):.15g}"
        words = kind.replace("_equal", "_or_equal_to").replace("_", " ")
        return _Found(
            path, f"{key!r} must be {words} {limit}, not {shown(value)}", f"write a number {words} {limit}{behind}"
        )
    if kind == "too_short":
        return _Found(path, f"{key!r} needs at least {context['min_length']}", f"add one{behind}")
    if kind == "too_long":
        return _Found(path, f"{key!r} has more than {context['max_length']} values", f"remove some{behind}")
    if kind == "string_pattern_mismatch":
        of_name = context.get("pattern") == NAME
        fix = _OF_NAME if of_name or not says else f"write {says}"
        return _Found(path, f"{shown(value)} is not allowed here", fix)
    for start, name in _KINDS.items():
        if kind.startswith(start + "_") or kind == start:
            fix = f"write {name}{behind}"
            if start == "string" and isinstance(value, bool | int | float):
                fix = f'put it in quotes: "{value}"'
            return _Found(path, f"{key!r} must be {name}, not {_show(value)}", fix, name)
    return _Found(path, f"{key!r}: {item['msg']}", f"correct it{behind}")


def _show(value: Any) -> str:
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    return "nothing" if value is None else shown(value)


def _real_path(loc: tuple[str | int, ...], data: Any, *, keep_last: bool) -> KeyPath:
    """``loc`` without the parts that pydantic adds for unions and the like: only keys that ``data`` has."""
    path: list[str | int] = []
    for position, part in enumerate(loc):
        if keep_last and position == len(loc) - 1:
            path.append(part)
        elif isinstance(data, Mapping):
            named = next((k for k in data if str(k) == str(part)), None)
            if named is None:
                continue
            data = data[named]
            path.append(str(part))
        elif isinstance(data, list | tuple) and isinstance(part, int) and part < len(data):
            data = data[part]
            path.append(part)
    return tuple(path)


def _field_at(cls: type[BaseModel], path: KeyPath) -> FieldInfo | None:
    owner = _model_at(cls, path[:-1]) if path else None
    return _field(owner, str(path[-1])) if owner else None


def _field(cls: type[BaseModel], key: str) -> FieldInfo | None:
    return next((f for n, f in cls.model_fields.items() if key in (f.alias or n, n)), None)


def _model_at(cls: type[BaseModel] | None, path: KeyPath) -> type[BaseModel] | None:
    """The model class whose keys stand below ``path``; None where there is none."""
    skip = 0
    for part in path:
        if skip:
            skip -= 1
            continue
        info = _field(cls, str(part)) if cls else None
        if info is None:
            return None
        cls, skip = _inner(info.annotation)
    return None if skip else cls


def _inner(annotation: Any) -> tuple[type[BaseModel] | None, int]:
    """The model class inside an annotation and how many container levels lie above it."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation, 0
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType, Annotated):
        for argument in arguments:
            model, depth = _inner(argument)
            if model:
                return model, depth
        return None, 0
    if origin in (dict, tuple, Mapping) and arguments:
        model, depth = _inner(arguments[-1] if origin is dict else arguments[0])
        return model, depth + 1 if model else 0
    return None, 0
