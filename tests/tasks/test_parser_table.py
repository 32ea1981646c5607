"""The parsers against a table of answers as models write them, and against answers that take a slow pattern long."""

from __future__ import annotations

import time

import pytest
from parser_cases import LABELS, LETTERS, MORE, NUMBERS, PIECES, WHOLE

from traitscope.metrics.numbers import reads_part
from traitscope.tasks.parsers import PARSERS


@pytest.mark.parametrize(("text", "expected"), NUMBERS)
def test_a_number(text: str, expected: str | None) -> None:
    assert PARSERS.get("final_number").value(text, ()) == expected


@pytest.mark.parametrize(("text", "expected"), LETTERS)
def test_a_letter(text: str, expected: str | None) -> None:
    assert PARSERS.get("letter").value(text, ()) == expected


def test_only_the_letters_of_the_classes_count() -> None:
    assert PARSERS.get("letter").value("Plan X: the second, B", ("A", "B", "C", "D")) == "B"
    assert PARSERS.get("letter").value("The answer is F", ("A", "B")) is None


@pytest.mark.parametrize(("text", "classes", "expected"), LABELS)
def test_a_label(text: str, classes: tuple[str, ...], expected: str | None) -> None:
    assert PARSERS.get("label").value(text, classes) == expected


@pytest.mark.parametrize("line", ["a\u2028b", "a\x0cb", "a\x85b", "a\x1db", "a\x0bb"])
def test_a_line_ends_at_a_line_break_alone(line: str) -> None:
    assert PARSERS.get("first_line").value(f"{line}\r\nmore", ()) == line
    assert PARSERS.get("last_line").value(f"more\r{line}\n", ()) == line


@pytest.mark.parametrize("parser", PARSERS.names())
@pytest.mark.parametrize("piece", PIECES)
def test_a_long_answer_takes_a_moment(parser: str, piece: str) -> None:
    """100,000 characters of anything: no pattern goes back and back."""
    start = time.process_time()
    PARSERS.get(parser).value(piece * (100_000 // len(piece)), ("yes", "no"))
    assert time.process_time() - start < 5.0


@pytest.mark.parametrize("gold", WHOLE)
def test_a_right_answer_that_is_its_number(gold: str) -> None:
    assert not reads_part(gold)


@pytest.mark.parametrize("gold", MORE)
def test_a_right_answer_that_is_more_than_its_number(gold: str) -> None:
    assert reads_part(gold)
