"""What every kind of number means: one source for the report and docs/numbers.md.

``TRAITSCOPE_UPDATE_DOCS=1 pytest tests/report/test_methods.py`` writes the page anew.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from traitscope.effects.kinds import KINDS
from traitscope.report.methods import chapters, method, methods, page, pieces

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "numbers.md"
# Which entry says what the findings of a kind are; a kind that is added here needs one.
ENTRY = {
    "gain": "gain",
    "macro_f1": "macro-f1",
    "habit": "constant-answer",
    "class_share": "class-share",
    "recall": "recall",
    "class_pull": "pull",
    "class_pull_pooled": "pull",
    "length_shift": "length-shift",
    "length_weight": "length-weight",
    "length_weight_pooled": "length-weight",
    "invalid": "invalid",
    "cut_off": "invalid",
    "asymmetry": "asymmetry",
    "domain": "domain",
    "control_own": "controls",
    "control_transfer": "controls",
    "tag": "tag",
    "surprise": "surprise",
    "surprise_similarity": "surprise",
}


def test_the_page_is_made_from_the_source() -> None:
    if os.environ.get("TRAITSCOPE_UPDATE_DOCS"):
        PAGE.write_text(page(), encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == page()


def test_every_id_stands_once_and_is_an_anchor() -> None:
    ids = [entry.id for chapter in chapters() for entry in chapter.entries]
    assert len(ids) == len(set(ids)) == len(methods()) >= 40
    assert all(re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", one) for one in ids)
    with pytest.raises(KeyError):
        method("nonsense")


def test_every_kind_of_finding_has_its_entry() -> None:
    assert set(ENTRY) == set(KINDS)
    for name in ENTRY.values():
        assert method(name).means


@pytest.mark.parametrize("entry", methods().values(), ids=lambda entry: entry.id)
def test_an_entry_says_what_it_is_when_to_believe_it_and_when_not(entry) -> None:  # type: ignore[no-untyped-def]
    for text in (entry.title, entry.means, entry.believe, entry.doubt):
        assert text.strip() == text and text and "<" not in text
        # Marks other than code would be printed as they stand.
        assert not any(mark in part for part, code in pieces(text) if not code for mark in ("**", "](", "`"))
        assert text.count("`") % 2 == 0
    for file in re.sub(r" \(.*?\)", "", entry.source).split(", "):
        assert (ROOT / file).exists() or (ROOT / "src" / "traitscope" / file).exists(), file


def test_text_is_taken_apart_at_its_code() -> None:
    assert pieces("from `run_sd` on") == [("from ", False), ("run_sd", True), (" on", False)]
    assert pieces("`a`") == [("a", True)]
