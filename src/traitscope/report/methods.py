"""What every kind of number means, when to believe it and when not: one source for the report and docs/numbers.md."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

HEAD = """# What each number means

Every kind of number that the report prints: what it is, when to believe it, and when not. The report has the same text in its
section *Methods*; each "?" in it leads to the entry here that has the same name.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """One kind of number.

    Attributes:
        id: its anchor, in the report behind ``method-`` and in docs/numbers.md as it is.
        title: what it is called.
        means: what it is, with its unit.
        believe: when to believe it.
        doubt: when not.
        source: the files or pages that have the formula.

    Texts may hold code between single backquotes and no other marks (see :func:`pieces`).
    """

    id: str
    title: str
    means: str
    believe: str
    doubt: str
    source: str


@dataclass(frozen=True, slots=True)
class Chapter:
    """Kinds of numbers that belong together."""

    title: str
    entries: tuple[Method, ...]


@cache
def chapters() -> tuple[Chapter, ...]:
    """All kinds of numbers, in the order in which a reader meets them."""
    import yaml

    text = files("traitscope").joinpath("report/methods.yaml").read_text(encoding="utf-8")
    return tuple(
        Chapter(chapter["title"], tuple(Method(**entry) for entry in chapter["entries"]))
        for chapter in yaml.safe_load(text)
    )


@cache
def methods() -> dict[str, Method]:
    """Every kind of number by its id."""
    return {entry.id: entry for chapter in chapters() for entry in chapter.entries}


def method(name: str) -> Method:
    """The kind of number with this id. KeyError where there is none: a "?" that leads nowhere is a mistake of ours."""
    return methods()[name]


def pieces(text: str) -> list[tuple[str, bool]]:
    """A text in parts, each with whether it is code."""
    return [(part, bool(i % 2)) for i, part in enumerate(text.split("`")) if part]


def slug(title: str) -> str:
    """The anchor that a heading has by itself, on the site and where the page is shown as it is."""
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")


def page() -> str:
    """docs/numbers.md."""
    parts = [HEAD]
    for chapter in chapters():
        parts.append(f"## {chapter.title}\n")
        for entry in chapter.entries:
            anchor = "" if slug(entry.title) == entry.id else f'<a id="{entry.id}"></a>'
            parts.append(f"### {anchor}{entry.title}\n\n{entry.means}\n")
            parts.append(f"- **Believe it:** {entry.believe}\n- **Do not:** {entry.doubt}")
            parts.append(f"- **From:** {entry.source}\n")
    return "\n".join(parts)
