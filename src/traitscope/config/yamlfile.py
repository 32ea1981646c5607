"""Reading YAML so that every key keeps its line, and so that text stays text."""

from __future__ import annotations

import re
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from traitscope.errors import TraitscopeError

KeyPath = tuple[str | int, ...]

MOST_BYTES = 50_000_000
MOST_VALUES = 1_000_000
_FORBIDDEN = re.compile("[\x00\x1b\x9b\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Places:
    """Where the keys of one YAML file stand: ``lines`` maps a key path to a line number from 1.

    ``given`` names the places of keys that were changed outside the file.
    """

    file: str
    lines: dict[KeyPath, int] = field(default_factory=dict)
    given: dict[KeyPath, str] = field(default_factory=dict)

    def line(self, path: KeyPath) -> int | None:
        """The line of ``path``, or of the nearest key above it that the file holds."""
        for end in range(len(path), 0, -1):
            if path[:end] in self.lines:
                return self.lines[path[:end]]
        return None

    def where(self, path: KeyPath) -> str:
        """``study.yaml:12, key tasks.imdb.prompt``: what an error message starts with."""
        for upto in reversed(range(len(path) + 1)):
            if (outside := self.given.get(path[:upto])) is not None:
                return outside if upto == len(path) else f"{outside}, key {dotted(path)}"
        line = self.line(path)
        head = self.file if line is None else f"{self.file}:{line}"
        return f"{head}, key {dotted(path)}" if path else head


def dotted(path: KeyPath) -> str:
    """``("tasks", "a", "shots", 0)`` as ``tasks.a.shots[0]``."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


class _Loader(yaml.SafeLoader):
    """Safe YAML with the core schema of YAML 1.2 for plain words, without the surprises of YAML 1.1.

    ``yes``, ``no``, ``on`` and ``off`` stay text (they are class words more often than booleans), as do dates,
    ``007`` and ``12:30``; ``2e-4`` is a number.
    """


_PLAIN = {
    "bool": (r"^(?:true|True|TRUE|false|False|FALSE)$", "tTfF"),
    "int": (r"^[-+]?(?:0|[1-9][0-9]*)$", "-+0123456789"),
    "float": (
        r"^(?:[-+]?(?:(?:[0-9]+\.[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?|[0-9]+[eE][-+]?[0-9]+|\.(?:inf|Inf|INF))"
        r"|\.(?:nan|NaN|NAN))$",
        "-+.0123456789",
    ),
    "null": (r"^(?:~|null|Null|NULL|)$", ["~", "n", "N", ""]),
    "merge": (r"^<<$", "<"),
}
_Loader.yaml_implicit_resolvers = {}
for _tag, (_pattern, _first) in _PLAIN.items():
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(_pattern), list(_first))


def read_yaml(path: Path) -> tuple[Any, Places]:
    """The content of a YAML file and the line of every key in it.

    Raises:
        TraitscopeError: if the file is missing, is not UTF-8, is not valid YAML, or says a key twice.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode) and not stat.S_ISDIR(status.st_mode):
            raise TraitscopeError("is a pipe, a socket or a device", where=str(path), fix="name the YAML file")
        if status.st_size > MOST_BYTES:
            raise TraitscopeError(
                f"is too large for a study file: {status.st_size:,} bytes", where=str(path), fix="name the YAML file"
            )
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise TraitscopeError(
            "there is no such file", where=str(path), fix="check the path; `traitscope init` writes a new one"
        ) from None
    except IsADirectoryError:
        raise TraitscopeError("this is a folder, not a file", where=str(path), fix="name the YAML file") from None
    except UnicodeDecodeError as error:
        raise TraitscopeError(
            f"the file is not UTF-8 text (byte {error.start})", where=str(path), fix="save it as UTF-8"
        ) from None
    return parse_yaml(text, str(path))


def parse_yaml(text: str, file: str) -> tuple[Any, Places]:
    """As ``read_yaml``, from a text; ``file`` is the name that errors show."""
    try:
        loader = _Loader(text)
    except yaml.YAMLError as error:
        raise _no_yaml(error, file) from None
    try:
        node = loader.get_single_node()
        places = Places(file)
        if node is None:
            return None, places
        _weigh(node, {}, file)
        _walk(loader, node, (), places)
        return loader.construct_document(node), places
    except yaml.YAMLError as error:
        raise _no_yaml(error, file) from None
    except RecursionError:
        raise TraitscopeError(
            "the file is nested too deep", where=file, fix="write it with a few levels, as `traitscope init` does"
        ) from None
    except (ValueError, TypeError, OverflowError) as error:
        if isinstance(error, TraitscopeError):
            raise
        raise TraitscopeError(
            f"a value cannot be read: {error}", where=file, fix="correct the number, or put it in quotes"
        ) from None
    finally:
        loader.dispose()


def _no_yaml(error: yaml.YAMLError, file: str) -> TraitscopeError:
    if isinstance(error, yaml.MarkedYAMLError):
        mark = error.problem_mark or error.context_mark
        return TraitscopeError(
            f"not valid YAML: {error.problem or error.context}",
            where=file if mark is None else f"{file}:{mark.line + 1}",
            fix="check the indentation (spaces, no tabs), colons and quotes on this line and the one above",
        )
    return TraitscopeError(f"not valid YAML: {error}", where=file, fix="remove the character that YAML does not allow")


def _weigh(node: yaml.Node, known: dict[int, int], file: str) -> int:
    """How many values a node stands for, its aliases written out.

    Raises:
        TraitscopeError: they are far more than a study has, or a node holds itself; or a text holds what none may.
    """
    mark = id(node)
    if mark in known:
        if known[mark] == 0:
            raise TraitscopeError(
                "an alias stands inside of what it names",
                where=f"{file}:{node.start_mark.line + 1}",
                fix="write the value out",
            )
        return known[mark]
    known[mark] = 0
    weight = 1
    if isinstance(node, yaml.ScalarNode):
        _check_scalar(node, file)
    else:
        for part in node.value:
            weight += sum(_weigh(one, known, file) for one in (part if isinstance(part, tuple) else (part,)))
    if weight > MOST_VALUES:
        raise TraitscopeError(
            f"its aliases stand for more than {MOST_VALUES:,} values",
            where=f"{file}:{node.start_mark.line + 1}",
            fix="write out what is meant",
        )
    known[mark] = weight
    return weight


def _check_scalar(node: yaml.ScalarNode, file: str) -> None:
    found = _FORBIDDEN.search(node.value)
    if found is not None:
        raise TraitscopeError(
            f"a text holds the character U+{ord(found[0]):04X}, which no model reads and a terminal obeys",
            where=f"{file}:{node.start_mark.line + 1}",
            fix="take it out",
        )


def _walk(loader: _Loader, node: yaml.Node, path: KeyPath, places: Places) -> None:
    """Notes the line of every key below ``node`` and refuses a key that is said twice."""
    if isinstance(node, yaml.MappingNode):
        seen: dict[Any, int] = {}
        for key_node, value_node in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            key = loader.construct_object(key_node, deep=True)
            line = key_node.start_mark.line + 1
            if not isinstance(key, str | int | float | bool):
                template = isinstance(key, dict)
                raise TraitscopeError(
                    "{{ ... }} without quotes is a mapping in YAML" if template else "a key must be a word",
                    where=f"{places.file}:{line}",
                    fix='put the whole template in quotes: "{{ text }}"' if template else "put it in quotes",
                )
            if key in seen:
                raise TraitscopeError(
                    f"the key {key!r} stands here twice (first on line {seen[key]})",
                    where=f"{places.file}:{line}, key {dotted((*path, str(key)))}",
                    fix="rename or remove one of the two",
                )
            seen[key] = line
            places.lines[(*path, str(key))] = line
            _walk(loader, value_node, (*path, str(key)), places)
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            places.lines[(*path, index)] = item.start_mark.line + 1
            _walk(loader, item, (*path, index), places)
