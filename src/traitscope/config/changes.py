"""Keys of a study file that are given other values where it is opened: ``recipe.rank=16``."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from traitscope.config.yamlfile import KeyPath, Places, parse_yaml, read_yaml
from traitscope.errors import TraitscopeError
from traitscope.texts import shown

OPTION = "--set"
# Sections that may be written as one word, and the key that the word stands for.
_SHORT = {("base",): "model", ("bases", None): "model", ("models", None): "model", ("sources", None): "name"}


class _Dumper(yaml.SafeDumper):
    """Writes what stands in two places twice."""

    def ignore_aliases(self, data: Any) -> bool:
        """Always."""
        return True


def with_changes(data: Any, places: Places, changes: Sequence[str]) -> tuple[Any, Places]:
    """The content of a study file with some keys changed, and where they stand; neither argument is touched.

    Args:
        changes: ``key=value`` each; keys with dots, places of a list by their number from 0, values as YAML.

    Raises:
        TraitscopeError: a change that cannot be read, or that leads through a value that has no keys.
    """
    if not changes:
        return data, places
    data, given = copy.deepcopy(data), dict[KeyPath, str]()
    for change in changes:
        path, value = _read(change)
        place, made = _put(data, path, value)
        # What lacks in a section that a change made is the change's fault too.
        given |= dict.fromkeys((place[:made], place), f"{OPTION} {change.partition('=')[0].strip()}")
    return data, replace(places, given={**places.given, **given})


def changed_text(path: Path, changes: Sequence[str]) -> bytes:
    """A study file's text with the changes in it, as a run folder keeps it; comments of the file are lost."""
    data, places = read_yaml(path)
    changed, _ = with_changes(data, places, changes)
    head = "".join(f"# {OPTION} {' '.join(change.split())}\n" for change in changes)
    return (head + yaml.dump(changed, Dumper=_Dumper, sort_keys=False, allow_unicode=True)).encode()


def _read(change: str) -> tuple[list[str], Any]:
    key, sign, text = change.partition("=")
    parts = [part.strip() for part in key.replace("[", ".").replace("]", "").split(".")]
    if not sign or not all(parts):
        raise TraitscopeError(
            f"cannot read {shown(change)}", where=OPTION, fix="write key=value, such as recipe.rank=16"
        )
    return parts, parse_yaml(text, f"{OPTION} {key.strip()}")[0]


def _put(data: Any, parts: Sequence[str], value: Any) -> tuple[KeyPath, int]:
    """Puts a value at its place, making the mappings above it; gives the place, and how far its first new key goes."""
    path: list[str | int] = []
    made = len(parts)
    for i, part in enumerate(parts):
        last = i == len(parts) - 1
        if isinstance(data, list):
            if not part.isdecimal() or int(part) >= len(data):
                raise TraitscopeError(
                    f"{'.'.join(parts[:i])} is a list of {len(data)}: {shown(part)} is no place in it",
                    where=f"{OPTION} {'.'.join(parts)}",
                    fix=f"write a number from 0 to {len(data) - 1}" if data else "give the whole list",
                )
            key: Any = int(part)
        elif isinstance(data, dict):
            # A key of the file may be a number or a truth value.
            key = next((known for known in data if str(known) == part), part)
        else:
            raise TraitscopeError(
                f"{'.'.join(parts[:i])} holds {shown(data)}, which has no keys",
                where=f"{OPTION} {'.'.join(parts)}",
                fix=f"write {'.'.join(parts[:i])}=value",
            )
        path.append(key if isinstance(key, int) and isinstance(data, list) else str(key))
        if last:
            data[key] = value
            break
        inner = data[key] if isinstance(data, list) else data.get(key)
        short = next((word for place, word in _SHORT.items() if _fits(place, path)), None)
        if inner is None:
            inner, made = {}, min(made, len(path))
        elif short is not None and not isinstance(inner, Mapping | list):
            inner = {short: inner}
        data[key] = inner
        data = inner
    return tuple(path), made


def _fits(place: tuple[str | None, ...], path: Sequence[str | int]) -> bool:
    return len(place) == len(path) and all(p is None or p == q for p, q in zip(place, path, strict=True))
