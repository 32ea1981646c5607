"""What is read out of generated text, and what is called invalid."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from traitscope.metrics.numbers import final_number, reads_part
from traitscope.tasks.parsers import PARSERS, cut_at_stop

LABELS = ("positive", "negative", "not sure")
TABLE = yaml.safe_load((Path(__file__).parent / "parsed_answers.yaml").read_text(encoding="utf-8"))
# Of the table's head: words of which one is two.
CLASSES = {"positive negative not sure": LABELS}

CASES: list[tuple[str, str, str | None]] = [
    ("raw", "  a b \n", "a b"),
    ("raw", " \n ", None),
    ("first_line", "", None),
    ("first_word", " **Yes**, it is", "Yes"),
    ("first_word", "don't know", "don't"),
    ("first_word", "...", None),
    ("code", "Here:\n```python\nx = 1\n```\nthen", "x = 1"),
    ("code", "    return a + b\n\n", "    return a + b"),
    ("code", "```\nopen end", "open end"),
    ("code", "x = 1\n```", "x = 1"),
    ("code", "\n", None),
]


@pytest.mark.parametrize(("parser", "text", "expected"), CASES)
def test_parsed(parser: str, text: str, expected: str | None) -> None:
    assert PARSERS.get(parser).value(text, LABELS) == expected


@pytest.mark.parametrize(
    ("parser", "classes", "text", "expected"),
    [
        pytest.param(parser, CLASSES.get(words, tuple(words.split())), text, expected, id=f"{parser} {text[:40]}")
        for parser, by_words in TABLE.items()
        for words, rows in by_words.items()
        for text, expected in rows
    ],
)
def test_parsed_as_a_careful_reader_does(
    parser: str, classes: tuple[str, ...], text: str, expected: str | None
) -> None:
    assert PARSERS.get(parser).value(text, classes) == expected


def test_the_table_is_large() -> None:
    assert sum(len(rows) for by_words in TABLE.values() for rows in by_words.values()) >= 200


NUMBERS = [text for text, answer in TABLE["final_number"][""] if answer is not None]


@pytest.mark.parametrize("text", NUMBERS)
def test_a_number_in_plain_form_reads_as_itself(text: str) -> None:
    plain = final_number(text)
    assert plain is not None and final_number(plain) == plain


def test_long_numbers_are_exact_and_those_of_thousands_of_digits_none() -> None:
    assert final_number("1" * 400) == "1" * 400
    assert final_number("1e400") == "1" + "0" * 400
    assert final_number("9" * 5000) is final_number("3, no: 1e999999999") is None


@pytest.mark.parametrize(
    ("gold", "part"),
    [
        *((text, False) for text in ("1/4", "12 km", "$1,234", "50%", "-5", "0,5", "1 1/2", "7 x 3 = 21", "5 m/s")),
        *((text, False) for text in ("x=5", "12 (twelve)", "so 3 + 4 #### 7", "\\boxed{12} of 30", "90^\\circ")),
        ("3 + 4 = 7. The answer is 7.", False),
        *((text, True) for text in ("10-12", "10–12", "x + 1", "2x + 1", "2021-05-03", "1,2,3", "(3,4)", "10:30")),
        *((text, True) for text in ("3\\sqrt{2}", "x^2+1", "3 and 4", "\\boxed{3, 4}", "5 apples, 3 pears")),
    ],
)  # fmt: skip
def test_a_right_answer_that_says_more_than_its_number(gold: str, part: bool) -> None:
    assert reads_part(gold) == part


@pytest.mark.parametrize(
    ("text", "stops", "left"),
    [
        ("a#b##c", ("##", "#"), "a"),
        ("a#b##c", ("#", "##"), "a"),
        ("one\ntwo.", (".", "\n"), "one"),
        ("a", ("b", "c"), "a"),
    ],
)
def test_an_answer_ends_at_the_first_of_several_stops(text: str, stops: tuple[str, ...], left: str) -> None:
    assert cut_at_stop(text, stops) == left


@pytest.mark.parametrize("entry", list(PARSERS), ids=lambda e: e.name)
def test_every_parser_calls_an_empty_text_invalid(entry: object) -> None:
    assert entry.value("", LABELS) is None  # type: ignore[attr-defined]
    assert entry.value.__doc__  # type: ignore[attr-defined]
