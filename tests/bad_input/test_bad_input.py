"""What a user sees for bad input: one row per case, with the place, the problem and the fix.

To add a case, append to ``CASES`` of one of the files beside this one: a name, an action that takes an empty folder and
must fail, and the pieces of text that its message must hold (place, what is wrong, what to write instead).
``study(...)`` makes the action for a study file: the sound one with one piece replaced, loaded with all its tasks.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from bad_input import data_cases, row_cases, study_cases
from bad_input.sound import Case, study
from traitscope.errors import TraitscopeError

CASES = [*study_cases.CASES, *data_cases.CASES, *row_cases.CASES]


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_the_message_names_place_problem_and_fix(case: Case, tmp_path: Path) -> None:
    with pytest.raises(TraitscopeError) as caught:
        case.act(tmp_path)
    message = str(caught.value)
    for piece in case.says:
        assert piece in message, message
    assert "\n  fix: " in message, message
    assert "pydantic" not in message and "Traceback" not in message
    assert caught.value.where, message
    assert caught.value.__cause__ is None


LONG = "y" * 5000
# A key may have no more.
KEY = "y" * 1000


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("rank: 8", f"rank: {LONG}"),
        ("rank: 8", f"targets: {LONG}"),
        ("rank: 8", f"targets: [{LONG}, {LONG}]"),
        ("rank: 8", f"{KEY}: 8"),
        ("rank: 8", f"schedule: {LONG}"),
        ("base: embedded", f"base: {{model: embedded, dtype: {LONG}}}"),
        ("study: sound", f"study: {LONG}"),
        ("study: sound", f"study: '{LONG} a'"),
        ("sources: [one, two]", f"sources: [{LONG}]"),
        ("sources: [one, two]", f"targets: [{LONG}]"),
        ("mixes: {all: {of: sources}}", f"mixes: {{all: {{of: [{LONG}]}}}}"),
        ("mixes: {all: {of: sources}}", f"controls: {{one: [{LONG}]}}"),
        ("mixes: {all: {of: sources}}", f"controls: {{{KEY}: [balance]}}"),
        ("mixes: {all: {of: sources}}", f"compute: {{device: {LONG}}}"),
        ('[" no", " yes"]', f'[" no", " yes"], labels: {{{KEY}: {LONG}}}'),
        ("    prompt:", f"    metrics: [{LONG}]\n    prompt:"),
    ],
    ids=lambda text: text[:40],
)
def test_a_long_value_is_repeated_in_part(old: str, new: str, tmp_path: Path) -> None:
    with pytest.raises(TraitscopeError) as caught:
        study(old, new)(tmp_path)
    message = str(caught.value).replace(str(tmp_path), "")
    assert len(message) < 900 and "yyy" in message, (len(message), message[:1000])


def test_the_sound_study_is_sound(tmp_path: Path) -> None:
    study()(tmp_path)


def test_every_case_has_its_own_name() -> None:
    assert len({c.name for c in CASES}) == len(CASES)
