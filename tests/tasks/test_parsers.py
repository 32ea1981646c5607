"""What is read out of generated text, and what is called invalid."""

from __future__ import annotations

import pytest

from traitscope.tasks.parsers import PARSERS

LABELS = ("positive", "negative", "not sure")

CASES: list[tuple[str, str, str | None]] = [
    ("raw", "  a b \n", "a b"),
    ("raw", " \n ", None),
    ("first_line", "\n yes \nno", "yes"),
    ("last_line", "yes\n no \n\n", "no"),
    ("first_line", "", None),
    ("first_word", " **Yes**, it is", "Yes"),
    ("first_word", "don't know", "don't"),
    ("first_word", "...", None),
    ("final_number", "She has 3 + 4 = <<3+4=7>>7 clips.\n#### 7", "7"),
    ("final_number", "#### 1,234.50 dollars", "1234.5"),
    ("final_number", "The answer is $1,000,000.", "1000000"),
    ("final_number", "about 12.5%", "12.5"),
    ("final_number", "it falls by -3", "-3"),
    ("final_number", "-$5", "-5"),
    ("final_number", "$-5", "-5"),
    ("final_number", "10-5", "5"),
    ("final_number", "10 - 5", "5"),
    ("final_number", "(3)-2", "2"),
    ("final_number", "= -0", "0"),
    ("final_number", "between 3, 4", "4"),
    ("final_number", ".5", "0.5"),
    ("final_number", "007", "7"),
    ("final_number", "1,2,3", "3"),
    ("final_number", "12,345,678", "12345678"),
    ("final_number", "take x2 of 8kg", "8"),
    ("final_number", "#### none, but 5 before", "5"),
    ("final_number", "5 then ####", None),
    ("final_number", "no number", None),
    ("final_number", "−7", "-7"),
    ("label", " Positive.", "positive"),
    ("label", "It is NEGATIVE, not positive", "negative"),
    ("label", "I am not sure", "not sure"),
    ("label", "positively", None),
    ("label", "", None),
    ("letter", "The answer is (B).", "B"),
    ("letter", "A) or so; answer: C", "C"),
    ("letter", "(D) because", "D"),
    ("letter", "B", "B"),
    ("letter", "A dog", "A"),
    ("letter", "because", None),
    ("code", "Here:\n```python\nx = 1\n```\nthen", "x = 1"),
    ("code", "    return a + b\n\n", "    return a + b"),
    ("code", "```\nopen end", "open end"),
    ("code", "\n", None),
]


@pytest.mark.parametrize(("parser", "text", "expected"), CASES)
def test_parsed(parser: str, text: str, expected: str | None) -> None:
    assert PARSERS.get(parser).value(text, LABELS) == expected


@pytest.mark.parametrize("entry", list(PARSERS), ids=lambda e: e.name)
def test_every_parser_calls_an_empty_text_invalid(entry: object) -> None:
    assert entry.value("", LABELS) is None  # type: ignore[attr-defined]
    assert entry.value.__doc__  # type: ignore[attr-defined]
