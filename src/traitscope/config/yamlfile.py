"""Reading YAML so that every key keeps its line, and so that text stays text."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from traitscope.config.inputfile import read_input
from traitscope.errors import TraitscopeError
from traitscope.texts import MOST_SHOWN, shown

KeyPath = tuple[str | int, ...]

# The parser reads about 100,000 bytes in a second.
_MOST_BYTES = 5_000_000
_MOST_NODES = 500_000
# More than 64 bits hold.
_MOST_DIGITS = 18
_TAGS = {f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "null", "map", "seq", "merge")}
_PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")
# Also what starts a terminal's commands.
_NO_CHARACTER = re.compile("[\0\x1b\x9b\ud800-\udfff]")


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
        name = shown(part)[1:-1] if len(str(part)) > MOST_SHOWN else str(part)
        text += f"[{part}]" if isinstance(part, int) else f".{name}" if text else name
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
        text = read_input(path, str(path), most=_MOST_BYTES).decode("utf-8-sig")
    except FileNotFoundError:
        raise TraitscopeError(
            "there is no such file", where=str(path), fix="check the path; `traitscope init` writes a new one"
        ) from None
    except UnicodeDecodeError as error:
        raise TraitscopeError(
            f"the file is not UTF-8 text (byte {error.start})", where=str(path), fix="save it as UTF-8"
        ) from None
    return parse_yaml(text, str(path))


def parse_yaml(text: str, file: str) -> tuple[Any, Places]:
    """As ``read_yaml``, from a text; ``file`` is the name that errors show."""
    loader: _Loader | None = None
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        places = Places(file)
        if node is None:
            return None, places
        _vet(node, file, set(), {})
        _walk(loader, node, (), places)
        return loader.construct_document(node), places
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = "" if mark is None else f":{mark.line + 1}"
        raise TraitscopeError(
            f"not valid YAML: {error.problem or error.context}",
            where=f"{file}{line}",
            fix="check the indentation (spaces, no tabs), colons and quotes on this line and the one above",
        ) from None
    except yaml.reader.ReaderError as error:
        number = text[: error.position].count("\n") + 1
        raise TraitscopeError(
            f"not valid YAML: the character U+{ord(text[error.position]):04X} is not allowed",
            where=f"{file}:{number}",
            fix="take it out",
        ) from None
    except RecursionError:
        raise TraitscopeError(
            "the brackets or levels are nested too deep", where=file, fix="write it in fewer nested parts"
        ) from None
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        if isinstance(error, TraitscopeError):
            raise
        # A tag such as !!int in front of what is none.
        raise TraitscopeError(
            f"not valid YAML: {error}", where=file, fix="remove the tags (!!int and the like)"
        ) from None
    finally:
        if loader is not None:
            loader.dispose()


def _vet(node: yaml.Node, file: str, above: set[int], sizes: dict[int, int]) -> int:
    """Refuses what no study file needs; gives how many nodes there are with every alias written out."""
    where = f"{file}:{node.start_mark.line + 1}"
    if id(node) in above:
        raise TraitscopeError("an alias stands inside of what it names", where=where, fix="write out what is meant")
    if id(node) in sizes:
        return sizes[id(node)]
    if node.tag not in _TAGS:
        tag = node.tag.replace("tag:yaml.org,2002:", "!!")
        raise TraitscopeError(
            f"the tag {tag} is not allowed", where=where, fix="remove it: texts and numbers need none"
        )
    parts: list[yaml.Node] = []
    if isinstance(node, yaml.ScalarNode):
        _vet_text(node, where)
    elif isinstance(node, yaml.MappingNode):
        parts = [part for pair in node.value for part in pair]
    else:
        parts = list(node.value)
    above.add(id(node))
    size = 1 + sum(_vet(part, file, above, sizes) for part in parts)
    above.discard(id(node))
    if size > _MOST_NODES:
        raise TraitscopeError(
            f"its aliases stand for more than {_MOST_NODES:,} values", where=where, fix="write out what is meant"
        )
    sizes[id(node)] = size
    return size


def _vet_text(node: yaml.ScalarNode, where: str) -> None:
    # Two escapes of one character, as JSON writes them.
    node.value = _PAIR.sub(lambda m: m[0].encode("utf-16", "surrogatepass").decode("utf-16"), node.value)
    if (found := _NO_CHARACTER.search(node.value)) is not None:
        raise TraitscopeError(
            f"a text holds the character U+{ord(found[0]):04X}, which no model reads and a terminal obeys",
            where=where,
            fix="take it out",
        )
    if node.tag == "tag:yaml.org,2002:int" and len(node.value) > _MOST_DIGITS:
        raise TraitscopeError(
            f"a number of {len(node.value):,} digits", where=where, fix="write a smaller one, or a text in quotes"
        )


def _walk(loader: _Loader, node: yaml.Node, path: KeyPath, places: Places) -> None:
    """Notes the line of every key below ``node`` and refuses a key that is said twice."""
    if isinstance(node, yaml.MappingNode):
        seen: dict[Any, int] = {}
        for key_node, value_node in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            line = key_node.start_mark.line + 1
            key = loader.construct_object(key_node) if isinstance(key_node, yaml.ScalarNode) else None
            if key is None:
                template = isinstance(key_node, yaml.MappingNode)
                raise TraitscopeError(
                    "{{ ... }} without quotes is a mapping in YAML" if template else "a key must be a word",
                    where=f"{places.file}:{line}",
                    fix='put the whole template in quotes: "{{ text }}"' if template else "put it in quotes",
                )
            if key in seen:
                raise TraitscopeError(
                    f"the key {shown(key)} stands here twice (first on line {seen[key]})",
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
