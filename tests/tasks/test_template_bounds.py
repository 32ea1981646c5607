"""Templates give text and numbers only, and end in bounded time and size."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from task_helpers import write_rows

from traitscope.config import TaskConfig
from traitscope.config.problems import Problem
from traitscope.config.template import check_condition, check_template, evaluate, holds, render
from traitscope.errors import TraitscopeError
from traitscope.tasks import Task

ROW = {"text": "one two", "n": 3, "f": 2.5, "xs": ["a", "b"], "d": {"k": 1}, "long": "a" * 30_000 + "!"}
GROW = "{%% set s = namespace(x=%s) %%}{%% for i in range(90) %%}{%% set s.x = %s %%}{%% endfor %%}{{ s.x }}"

OBJECTS = [
    "{{ text.upper }}",
    "{{ 'a' ~ text.upper }}",
    "{{ [text.upper] | join }}",
    "{{ '%s' | format(text.upper) }}",
    "{{ '%s' % text.upper }}",
    "{{ '{}'.format(text.upper) }}",
    "{{ text.upper | string }}",
    "{{ text.replace('one', text.upper) }}",
    "{{ range }}",
    "{{ cycler('a') }}",
    "{{ joiner }}",
    "{{ namespace(a=1) }}",
    "{% macro m() %}{% endmacro %}{{ m }}",
    "{% for x in xs %}{{ loop }}{% endfor %}",
    "{{ self }}",
]


@pytest.mark.parametrize("template", OBJECTS)
def test_objects_do_not_come_out(template: str) -> None:
    with pytest.raises(TraitscopeError, match=r"object|missing") as caught:
        render(template, ROW, where="prompt, row 1")
    assert "prompt, row 1" in str(caught.value) and " at 0x" not in str(caught.value)


def test_a_method_is_no_condition() -> None:
    with pytest.raises(TraitscopeError, match="object"):
        holds("text.isalpha", ROW, where="where, row 1")
    assert holds("text.startswith('one')", ROW, where="w")


@pytest.mark.parametrize(
    ("template", "gives"),
    [
        ("{{ xs | map('upper') | list }}", ["A", "B"]),
        ("{{ xs | select('equalto', 'b') | list }}", ["b"]),
        ("{{ xs | map('upper') | join(', ') }}", "A, B"),
        ("{{ xs | batch(1) | first | first }}", "a"),
        ("{{ d.items() | map('first') | list }}", ["k"]),
        ("{% for x in xs %}{{ loop.index }}/{{ loop.length }}{{ x }}{% endfor %}", "1/2a2/2b"),
        ("{% for x in xs if x != 'a' %}{{ x }}{% else %}-{% endfor %}", "b"),
        ("{% macro m(a) %}<{{ a }}>{% endmacro %}{{ m(1) ~ m('b') }}", "<1><b>"),
        ("{{ n * 2 + n ** 2 % 5 }}", 10),
        ("{{ '-' * n }}", "---"),
        ("{{ 'x' ~ n ~ f }}", "x32.5"),
        ("{{ '%.2f|%03d' | format(f, n) }}", "2.50|003"),
        ("{{ '{:>5}'.format(n) }}", "    3"),
        ("{{ text | center(11) }}", "  one two  "),
        ("{{ xs | prefix(' ') }}", [" a", " b"]),
        ("{{ text | regex_replace('(\\w+) (\\w+)', '\\\\2 \\\\1') }}", "two one"),
        ("{{ text | regex_findall('\\w+') }}", ["one", "two"]),
        ("{{ text | tojson }}", '"one two"'),
    ],
)
def test_what_templates_are_for(template: str, gives: object) -> None:
    found = evaluate(template, ROW, where="w")
    assert found == gives and type(found) is type(gives)


BOUNDS = [
    "{{ range(10**9) }}",
    "{{ 'a' * 9999999999 }}",
    "{{ 9999999999 * 'a' }}",
    "{{ xs * 999999999 }}",
    "{{ 7 ** (7 ** 9) }}",
    "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
    "{% for i in range(99999) %}" + "x" * 1000 + "{% endfor %}",
    "{% macro f(n) %}{{ f(n + 1) }}{{ f(n + 1) }}{% endmacro %}{{ f(0) }}",
    "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}",
    "{% for i in [1] recursive %}{{ loop([1]) }}{% endfor %}",
    GROW % ("'ab'", "s.x ~ s.x"),
    GROW % ("'ab'", "s.x + s.x"),
    GROW % ("'ab'", "s.x.join([s.x, s.x])"),
    GROW % ("'ab'", "s.x | replace('a', s.x)"),
    GROW % ("'ab'", "'%s%s' % (s.x, s.x)"),
    GROW % ("[1]", "s.x + s.x"),
    GROW % ("[1]", "[s.x, s.x]"),
    GROW % ("[1]", "(s.x, s.x)"),
    GROW % ("[1]", "{1: s.x, 2: s.x}"),
    GROW % ("9", "s.x * s.x"),
    "{% set s = namespace(x='ab') %}{% for i in range(60) %}{% set s.x %}{{ s.x }}{{ s.x }}{% endset %}{% endfor %}",
    "{{ text.center(3000000000) }}",
    "{{ text | center(3e9) }}",
    "{{ text.ljust(10**9) }}",
    "{{ text.zfill(10**9) }}",
    "{{ text | indent(10**9) }}",
    "{{ xs | batch(10**9, 'x') | list }}",
    "{{ xs | slice(10**9) | list }}",
    "{{ d | tojson(indent=10**9) }}",
    "{{ n | round(10**9, 'ceil') }}",
    "{{ '%9999999999d' | format(1) }}",
    "{{ '%9999999999d' % 1 }}",
    "{{ '%*d' % (10**9, 1) }}",
    "{{ '{:9999999999}'.format(1) }}",
    "{{ '{:{}}'.format(1, 10**9) }}",
    "{{ long.replace('a', long) }}",
    "{{ range(99999) | join(long) }}",
    "{{ (long * 30) | wordwrap(1) }}",
    "{{ long | regex_replace('(x+x+)+y|(a+a+)+y') }}",
    "{{ long | regex_findall('(a+a+)+$') }}",
    "{{ long | regex_replace('.', long) }}",
    "{{ text | regex_replace('(?:(?:a{1000}){1000}){1000}') }}",
    "{{ text | regex_replace('" + "(" * 3000 + ")" * 3000 + "') }}",
]


@pytest.mark.parametrize("template", BOUNDS, ids=[str(k) for k in range(len(BOUNDS))])
def test_time_and_size_are_bounded(template: str) -> None:
    check_template(template)
    start = time.monotonic()
    with pytest.raises(TraitscopeError) as caught:
        render(template, ROW, where="prompt, row 1")
    assert time.monotonic() - start < 8
    assert "prompt, row 1: the template " in str(caught.value) and len(str(caught.value)) < 600


def test_a_template_out_of_bounds_is_tried_on_one_row_of_a_task_and_again_on_other_rows(tmp_path: Path) -> None:
    slow = "{{ text | regex_replace('(a+a+)+$', '') }}"
    settings = {"prompt": slow, "answer": {"choice": ["a", "b"], "gold": "0"}}
    data = {"path": "rows.jsonl", "train": 0, "eval": "all", "duplicates": "keep"}
    start = time.monotonic()
    write_rows(tmp_path, [{"text": f"{'a' * 3000}{n}!"} for n in range(40)], "rows.jsonl")
    with pytest.raises(TraitscopeError, match="takes too long on this text"):
        Task("t", TaskConfig(data=data, **settings), tmp_path).load()
    assert time.monotonic() - start < 8
    write_rows(tmp_path, [{"text": f"{n}!"} for n in range(40)], "rows.jsonl")
    assert len(Task("t", TaskConfig(data=data, **settings), tmp_path).load().eval) == 40


def test_the_steps_of_a_rendering_are_bounded_before_its_seconds_are() -> None:
    loops = "{% for i in range(1000) %}{% for j in range(1000) %}{% endfor %}{% endfor %}"
    with pytest.raises(TraitscopeError, match="takes more than 1,000,000 steps"):
        render(loops, ROW, where="prompt, row 1")


@pytest.mark.parametrize(
    "inside", ["(" * 3000 + "1" + ")" * 3000, "-" * 3000 + "1", "9" * 5000, "[" * 3000 + "]" * 3000, "xs | random"]
)
def test_what_python_cannot_compile_is_a_problem(inside: str) -> None:
    with pytest.raises(Problem):
        check_template("{{ " + inside + " }}")
    with pytest.raises(Problem):
        check_condition(inside)


def test_blocks_nested_too_deep_are_a_problem() -> None:
    with pytest.raises(Problem, match="too deep"):
        check_template("{% for i in xs %}" * 30 + "{% endfor %}" * 30)
