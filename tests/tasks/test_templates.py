"""Templates: what comes out is text and numbers, the same at every start, and it comes soon or is refused."""

from __future__ import annotations

import time
from contextlib import suppress
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from traitscope.config.problems import Problem
from traitscope.config.template import check_template, evaluate, holds, render
from traitscope.errors import TraitscopeError

ROW: dict[str, Any] = {
    "text": "Some text",
    "n": 3,
    "share": 0.5,
    "names": ["b", "a"],
    "spans": [{"start": 1, "end": 2}, {"start": 3, "end": 4}],
    "day": date(2026, 1, 2),
    "price": Decimal("1.50"),
    "raw": b"\xff",
    "deep": {"a": [{"b": 1}]},
}

SOUND = {
    "{{ text }} {{ n }} {{ share }}": "Some text 3 0.5",
    "{{ names | join(', ') }}": "b, a",
    "{{ names | map('upper') | join(' ') }}": "B A",
    "{{ names | map('upper') | list | first }}": "B",
    "{{ ', '.join(names | map('upper')) }}": "B, A",
    "{% for s in spans %}{{ loop.index }}:{{ s.start }}-{{ s['end'] }} {% endfor %}": "1:1-2 2:3-4 ",
    "{% for k, v in deep.items() %}{{ k }}{{ v | length }}{% endfor %}": "a1",
    "{{ names | sort | join }}": "ab",
    "{{ 'x' * n }}{{ n + 1 }}{{ n ** 2 }}{{ n % 2 }}": "xxx491",
    "{{ '%s is %d' % (text, n) }}": "Some text is 3",
    "{{ '%.2f' | format(share) }}": "0.50",
    "{{ '{:>5}'.format(n) }}": "    3",
    "{{ text ~ '!' ~ n }}": "Some text!3",
    "{{ text.upper().split()[0] }}": "SOME",
    "{{ text.replace('e', '3') }}": "Som3 t3xt",
    "{{ text | regex_replace('[aeiou]', '') }}": "Sm txt",
    "{{ text | regex_findall('t(.)') | join }}": "e",
    "{{ text.center(11) }}|": " Some text |",
    "{{ day }} {{ price }}": "2026-01-02 1.50",
    "{% macro f(x) %}<{{ x }}>{% endmacro %}{{ f(1) }}{{ f(text) }}": "<1><Some text>",
    "{% set ns = namespace(k=0) %}{% for i in range(4) %}{% set ns.k = ns.k + i %}{% endfor %}{{ ns.k }}": "6",
    "{% for i in range(3) recursive %}{{ i }}{% endfor %}": "012",
    "{{ spans | map(attribute='start') | sum }}": "4",
    "{{ dict(a=1).a }}{{ [1, 2, 3][1:] | length }}": "12",
    "{{ deep | tojson }}": '{"a": [{"b": 1}]}',
    "{{ 12345678901234 }}": "12345678901234",
    "{{ '%(start)s' % spans[0] }}{{ '%s%%' % n }}": "13%",
    "{{ '{0[1]} {1[a][0][b]}'.format(names, deep) }}": "a 1",
    "{{ spans | join('-', attribute='end') }}": "2-4",
    "{{ ('9' * 300) | int - 1 == ('9' * 299 ~ '8') | int }}": "True",
}


@pytest.mark.parametrize("template", SOUND)
def test_what_templates_are_for(template: str) -> None:
    check_template(template)
    assert render(template, ROW, where="here") == SOUND[template]


NO_TEXT = [
    "{{ names | map('upper') }}",
    "{{ names | select('string') }}",
    "{{ names | batch(2) }}",
    "{{ text.upper }}",
    "{{ text.upper | string }}",
    "{{ text.upper ~ '' }}",
    "{{ '%s' % text.upper }}",
    "{{ '%s' | format(text.upper) }}",
    "{{ '{}'.format(text.upper) }}",
    "{{ names | map('upper') | string }}",
    "{{ range }}",
    "{{ range(3) }}",
    "{{ namespace(a=1) }}",
    "{{ deep.items }}",
    "{{ deep.items() }}",
    "{{ raw }}",
    "{{ loop }}",
    "{{ cycler }}",
    "{% for i in names %}{{ loop }}{% endfor %}",
    "{% macro f() %}{% endmacro %}{{ f }}",
    "{{ lipsum() }}",
    "{{ [text.upper] | join }}",
    "{{ {'a': text.upper} | tojson }}",
    "{{ self }}",
    "{{ joiner(',') }}",
    "{{ (0 - 8) ** 0.5 }}",
    "{{ ((0 - 8) ** 0.5) ~ '' }}",
    "{{ '1e999' | float }}",
    "{{ '%s' % (1e999) }}",
    *(
        "{{ " + expression.replace("X", value) + " }}"
        for value in ("names", "deep", "[1, names]", "none", "(0 - 8) ** 0.5", "1e999")
        for expression in (
            *("'%s' % [X][0]", "'%r' % (X,)", "'%(a)s' % {'a': X}", "'%s' | format(X)", "'%(a)s' | format(a=X)"),
            *(
                "'{}'.format(X)",
                "'{!s}'.format(X)",
                "'{a}'.format(a=X)",
                "[1, X] | join",
                "[{'a': X}] | join(attribute='a')",
            ),
            *("X | string", "X ~ ''", "X | pprint", "'a' | replace('a', X)", "['a', 'b'] | join(X)"),
        )
    ),
]


@pytest.mark.parametrize("template", NO_TEXT)
@pytest.mark.parametrize("reading", [render, evaluate])
def test_nothing_but_text_and_numbers_comes_out(template: str, reading: Any) -> None:
    with pytest.raises(TraitscopeError, match="here"):
        reading(template, ROW, where="here")


@pytest.mark.parametrize("template", ["{{ names | random }}", "{{ text | _counted }}"])
def test_there_are_no_such_filters(template: str) -> None:
    with pytest.raises(Problem, match="No filter named"):
        check_template(template)


NESTED = "{% set ns = namespace(x=[1]) %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}"
BOMBS = [
    "{{ 'a' * 9999999999 }}",
    "{{ 9999999999 * 'a' }}",
    "{{ [0] * 9999999999 }}",
    "{{ ([0] * 9999) * 9999 | int }}",
    "{{ 9 ** 999999999 }}",
    "{{ (9 ** 9999) ** 9999 }}",
    "{{ range(10 ** 9) | list | length }}",
    "{{ range(1000000000) | join }}",
    "{% for i in range(10 ** 9) %}{% endfor %}",
    "{% for i in range(9999) %}" * 3 + "{% endfor %}" * 3,
    "{% for i in range(99999) %}" + "x" * 5000 + "{% endfor %}",
    "{% macro f(x) %}{{ f(x) }}{% endmacro %}{{ f(1) }}",
    "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}",
    "{% for i in [names] recursive %}{{ loop([names]) }}{% endfor %}",
    "{{ text.center(3000000000) }}",
    "{{ text | center(3000000000) }}",
    "{{ text.ljust(3000000000) }}",
    "{{ '7'.zfill(3000000000) }}",
    "{{ '\\t'.expandtabs(3000000000) }}",
    "{{ '%9999999999d' % 1 }}",
    "{{ '%*d' % (9999999999, 1) }}",
    "{{ '%.999999999f' | format(1.5) }}",
    "{{ '{:9999999999}'.format(1) }}",
    "{{ '{:{}}'.format(1, '9999999999') }}",
    "{{ '{:{}{}}'.format(1, '9999', 999999) }}",
    "{{ '{x:{w}}'.format(x=1, w='9999999999') }}",
    "{{ '{x:{w}}'.format_map({'x': 1, 'w': 9999999999}) }}",
    "{{ ('{:{}}' | e).format(1, '9999999999') }}",
    "{{ ('{:9999}' * 90000).format(*range(90000)) }}",
    "{{ ('%9999d' * 90000) | format(*range(90000)) }}",
    "{{ ('%*d' * 40000) | format(*([9999] * 80000)) }}",
    "{{ 1.5 | round(999999999) }}",
    "{{ text | indent(3000000000, true) }}",
    "{{ text | wordwrap(1) | indent(999999999) }}",
    "{{ names | batch(3000000000, 'x') | list }}",
    "{{ names | slice(3000000000) | list }}",
    "{{ (text * 9000) | replace('', text * 9000) }}",
    "{{ (text * 9000).replace('e', text * 9000) }}",
    "{{ (text * 9000).join(range(90000) | map('string') | list) }}",
    "{{ range(90000) | join(text * 9000) }}",
    "{% set ns = namespace(x='a') %}{% for i in range(60) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}",
    "{% set ns = namespace(x='a') %}{% for i in range(60) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
    "{% set ns = namespace(x=[1]) %}{% for i in range(60) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
    NESTED + "{{ ns.x | string }}",
    NESTED + "{{ ns.x | tojson }}",
    "{% set a = 'aaaaaaaaaa' %}" + "{% set a %}{{ a }}{{ a }}{{ a }}{{ a }}{% endset %}" * 20,
    "{{ ('a' * 40 ~ 'b') | regex_findall('(a|aa)+$') }}",
    "{{ n.to_bytes(9999999999) }}",
    "{{ 1e999 | int }}",
    "{{ ('9' * 5000) | int }}",
    "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}",
    "{{ " + "-" * 20000 + "1 }}",
]


@pytest.mark.parametrize("template", BOMBS)
def test_a_bomb_is_one_error_in_a_moment(template: str) -> None:
    start = time.process_time()
    with pytest.raises(Exception) as raised:
        check_template(template)
        render(template, ROW, where="here")
    assert isinstance(raised.value, TraitscopeError | Problem), raised.value
    assert time.process_time() - start < 12.0


@pytest.mark.parametrize("pattern", ["(a+)+$", "(a*)*b$", "(a|aa)+$", "(a+a+)+y", "(.*a){20}", r"(\\w+\\s?)*$"])
@pytest.mark.parametrize("use", ["regex_replace({}, '')", "regex_findall({}) | length"])
def test_a_pattern_that_goes_back_and_back_ends(use: str, pattern: str) -> None:
    start = time.process_time()
    with suppress(TraitscopeError):
        render("{{ ('a' * 40 ~ '!') | " + use.format(f"'{pattern}'") + " }}", ROW, where="here")
    assert time.process_time() - start < 12.0


@pytest.mark.parametrize("condition", ["'a' * 9999999999", "range(10 ** 9) | list", "text | regex_findall('(S|SS)+x')"])
def test_conditions_are_bounded_alike(condition: str) -> None:
    row = {**ROW, "text": "S" * 40}
    with pytest.raises(TraitscopeError, match="here"):
        holds(condition, row, where="here")


def test_a_long_document_is_no_bomb() -> None:
    text = "word " * 200_000
    row = {"text": text, "parts": text.split()[:50_000]}
    assert len(render("{{ text.strip() | replace('word', 'Word') }}", row, where="here")) == len(text) - 1
    assert render("{% for p in parts %}{{ p }} {% endfor %}", row, where="here").count("word") == 50_000
