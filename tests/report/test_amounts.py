"""Numbers and names as the page sets them: one sign, one rule of decimals, and nothing that moves a number."""

from __future__ import annotations

import math

import pytest
from matplotlib.figure import Figure

from traitscope.effects.words import number
from traitscope.plots.style import inline_svg, svg_text
from traitscope.report.amounts import gain_text, score_text, sized, span_text
from traitscope.report.sections.table import count_item
from traitscope.report.typeset import typeset
from traitscope.texts import isolated, minus, short


@pytest.mark.parametrize(
    ("value", "unit", "gain", "score"),
    [
        (0.125, "share", "+12.5", "12.5"),
        (-12.34, "percent", "−12.3", "−12.3"),
        (-0.0004, "share", "+0.0", "0.0"),
        (-0.0, "score", "+0", "0"),
        (-0.01234, "score", "−0.0123", "−0.01234"),
        (1312.4, "score", "+1312", "1312"),
        (-99999.6, "score", "−100000", "−100000"),
        (math.nan, "share", "–", ""),
    ],
)
def test_a_gain_and_a_score_as_text(value: float, unit: str, gain: str, score: str) -> None:
    assert (gain_text(value, unit), score_text(value, unit)) == (gain, score)


def test_units_stand_behind_what_is_no_percentage() -> None:
    assert sized(0.1, "share") == "+10.0" and sized(0.1, "share", "points") == "+10.0 points"
    assert sized(-2.0, "nats per token") == "−2 nats per token" and sized(2.0, "score") == "+2"
    assert span_text(-0.1, 0.2, "share") == "[−10.0, +20.0]" and span_text(-0.1, math.nan, "share") == ""


def test_words_for_terminals_and_files_keep_the_hyphen() -> None:
    assert number(-0.1, "share") == "-10.0" and number(-1e-9, "score", signed=False) == "-1e-09"


@pytest.mark.parametrize(
    ("text", "set_"),
    [
        ("gap [-0.1, -0.05]", "gap [−0.1, −0.05]"),
        ("(-0.00) and -0", "(0.00) and 0"),
        ("gpt-2, layers 3-5, 1e-05, a -n 5", "gpt-2, layers 3-5, 1e-05, a -n 5"),
        ("answers '-1' and &#39;-1&#39;", "answers '-1' and &#39;-1&#39;"),
    ],
)
def test_minus_signs_are_those_of_numbers(text: str, set_: str) -> None:
    assert minus(text) == set_


def test_a_page_is_set_but_its_names_code_and_data_stay() -> None:
    page = (
        '<p title="by -3">by -3</p><td>-1</td><td class="number up">-1</td><td class="long">a, -1</td>'
        '<td data-model="-1" data-tip="gain -2">x</td><pre>-4</pre><script>a = -5</script><svg><text>-6</text></svg>'
    )
    assert typeset(page) == (
        '<p title="by −3">by −3</p><td>-1</td><td class="number up">−1</td><td class="long">a, −1</td>'
        '<td data-model="-1" data-tip="gain −2">x</td><pre>-4</pre><script>a = -5</script><svg><text>-6</text></svg>'
    )


def test_names_that_are_read_from_right_to_left_stand_apart() -> None:
    name = "\u0645\u0647\u0645\u0629 \u0639\u0631\u0628\u064a\u0629"
    assert isolated(f"{name} on {name}: +3") == f"\u2068{name}\u2069 on \u2068{name}\u2069: +3"
    assert typeset(f'<p title="{name} 3">{name}, {name} -3</p>') == (
        f'<p title="\u2068{name}\u2069 3"><bdi>{name}</bdi>, <bdi>{name}</bdi> −3</p>'
    )
    figure = Figure()
    figure.text(0.5, 0.5, f"{name} -3")
    svg = inline_svg(svg_text(figure, "x"), f"of {name}")
    assert f">\u2068{name}\u2069 −3</text>" in svg and f'aria-label="of \u2068{name}\u2069"' in svg


def test_counts_of_several_runs_are_means_with_a_decimal() -> None:
    assert [count_item(value).text for value in (12, 12.5, 1200, None)] == ["12", "12.5", "1,200", "–"]


def test_a_long_name_is_cut_in_its_middle_and_steers_nobody() -> None:
    assert short("a" * 50, 10) == "aaaaa…aaaa" and short("a\u202eb", 20) == "a\\u202eb"
