"""The panels of all cells inside the page: one packed block for each task, within the room that is left."""

from __future__ import annotations

import base64
import gzip
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from traitscope.findings import Findings
from traitscope.report.digging import RULE, Dig, Digger
from traitscope.report.shown import evenly, json_text
from traitscope.texts import safe
from traitscope.ticks import ticks

# Bytes of a whole page; of a large matrix, and from how many cells on it is one.
PAGE, LARGE_PAGE, LARGE = 5_000_000, 15_000_000, 1000
# Examples of an outcome, as many as there is room for.
PER_TAB = (20, 10, 5, 2, 1, 0)
# Characters of a prompt or an answer, which all cells of a task share the prompts of.
MOST_TEXT = 4000
# Where the blocks come into the page; nothing else in it can read so, for what users write is escaped.
PLACE = Markup("<!--cells-->")


@dataclass(frozen=True, slots=True)
class Packed:
    """The panels of a task's cells: gzip of JSON as base64.

    Attributes:
        per_tab: examples of an outcome that there was room for.
    """

    task: str
    text: str
    per_tab: int

    def block(self) -> Markup:
        """As it stands in the page."""
        head = Markup('<script type="application/octet-stream" data-task="{}">').format(safe(self.task))
        return head + Markup(self.text) + Markup("</script>")


def with_panels(page: str, findings: Findings) -> str:
    """The page with the panels of all its cells where ``PLACE`` stands.

    The page is as large as ``PAGE`` at most (``LARGE_PAGE`` from ``LARGE`` cells on), unless it is without them. One
    without ``PLACE``, which has a server to ask, is left as it is.
    """
    if str(PLACE) not in page:
        return page
    size = PAGE if findings.scores.scores_IN.size < LARGE else LARGE_PAGE
    blocks = [packed.block() for packed in pack(findings, size - len(page.encode()))]
    return page.replace(str(PLACE), str(Markup("\n").join(blocks)), 1)


def pack(findings: Findings, room: int) -> list[Packed]:
    """The panels of all cells, task by task, with as many examples of an outcome as fit, the same number everywhere.

    Args:
        room: bytes of all blocks together; panels without any example are made all the same.
    """
    digger = Digger(findings)
    tasks = findings.scores.tasks
    by_size: dict[int, list[Packed]] = {per_tab: [] for per_tab in PER_TAB}
    left = dict.fromkeys(PER_TAB, room)
    # One task's panels are held at a time.
    for task in ticks(tasks, "cells of the page", len(tasks), "tasks"):
        panels = [_Panel.of(digger.dig(model, task, PER_TAB[0])) for model in digger.scores.models]
        for per_tab in list(by_size):
            packed = Packed(task, _packed(panels, per_tab), per_tab)
            left[per_tab] -= len(packed.block())
            if left[per_tab] >= 0 or per_tab == PER_TAB[-1]:
                by_size[per_tab].append(packed)
            else:
                del by_size[per_tab]  # so many will not fit
    return next(iter(by_size.values()))


@dataclass(frozen=True, slots=True)
class _Panel:
    """A panel as JSON: by tab its examples, each with its id, its question, the base's answer and the model's."""

    model: str
    base: str | None
    head: dict[str, Any]
    rows: dict[str, list[tuple[str, dict[str, Any], dict[str, Any] | None, dict[str, Any]]]]

    @classmethod
    def of(cls, dug: Dig) -> _Panel:
        rows = {
            tab.key: [
                (
                    one.id,
                    one.question(MOST_TEXT),
                    None if one.base is None else one.base.to_json(MOST_TEXT),
                    one.model.to_json(MOST_TEXT),
                )
                for one in tab.shown
            ]
            for tab in dug.tabs
        }
        return cls(safe(dug.model), None if dug.base is None else safe(dug.base), dug.head(), rows)


def packed_text(digs: list[Dig], per_tab: int) -> str:
    """Panels of one task as base64 of gzip of JSON, the same bytes for the same panels.

    ``rule`` says how examples were chosen, ``questions`` holds every example that some panel shows, with the base's
    answer by the base's name; ``cells`` by model the head of the panel and, by tab, pairs of the question's index and
    the model's answer. Of a tab with more than ``per_tab`` examples as many are kept, evenly over their order.
    """
    return _packed([_Panel.of(dug) for dug in digs], per_tab)


def _packed(panels: list[_Panel], per_tab: int) -> str:
    questions: list[dict[str, Any]] = []
    at: dict[str, int] = {}
    cells: dict[str, Any] = {}
    for panel in panels:
        rows: dict[str, list[list[Any]]] = {}
        for key, examples in panel.rows.items():
            for name, question, base, answer in evenly(examples, per_tab):
                if name not in at:
                    at[name] = len(questions)
                    questions.append({**question, "bases": {}})
                if base is not None and panel.base is not None:
                    questions[at[name]]["bases"].setdefault(panel.base, base)
                rows.setdefault(key, []).append([at[name], answer])
        cells[panel.model] = {"head": panel.head, "rows": rows}
    few = f" At most {per_tab} of an outcome are in this file, so that it does not grow too large."
    rule = RULE + (few if per_tab < PER_TAB[0] else "")
    text = json_text({"rule": rule, "questions": questions, "cells": cells})
    packed = gzip.compress(text.encode(), 9, mtime=0)
    # The tenth byte names the system that packed it.
    return base64.b64encode(packed[:9] + b"\xff" + packed[10:]).decode()


def order(findings: Findings) -> Markup:
    """Rows and columns of the matrix as a block of JSON, for the way from one panel to the next."""
    names = {"models": [safe(m) for m in findings.scores.models], "tasks": [safe(t) for t in findings.scores.tasks]}
    text = json_text(names).replace("<", "\\u003c")
    return Markup('<script type="application/json" id="cell-order">') + Markup(text) + Markup("</script>")
