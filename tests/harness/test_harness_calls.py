"""What a harness task brings of its own: its templates are kept in a sandbox, and what its Python does is told."""

from __future__ import annotations

import json
import random
import re
from copy import deepcopy
from pathlib import Path
from typing import Any

import jinja2
import pytest
from harness_tasks import HEAD, YAMLS, harness_results
from test_harness_equal import study_text

from traitscope.config import load_config
from traitscope.errors import TraitscopeError
from traitscope.study import Study
from traitscope.tasks import Task
from traitscope.tasks.harness import library

PICK = YAMLS["pick"]
METRICS = PICK[PICK.index("metric_list") : PICK.index("metadata")]


def with_task(folder: Path, base: Path, yamls: Path, body: str, code: str = "") -> Path:
    """A study of one task ``it`` with a YAML and a Python file of the user's own."""
    mine = folder / "mine"
    mine.mkdir()
    head = "" if body.startswith("group") else HEAD.format(rows=yamls.as_posix(), name="pick")
    (mine / "it.yaml").write_text(head + body)
    (mine / "fn.py").write_text(code)
    text = study_text(base, mine, {}, {"it": "task: it, limit: 4, bootstrap_iters: 0"})
    (folder / "study.yaml").write_text(text)
    return folder / "study.yaml"


def loaded(study: Path) -> Task:
    config = load_config(study)
    task = Task("it", config.tasks["it"], config.root)
    task.load()
    return task


def pick(**changes: str) -> str:
    """The YAML of ``pick`` as ``it``, with other lines for some of its keys."""
    text = PICK.replace("task: pick", "task: it")
    for old, new in changes.items():
        text, n = re.subn(rf"(?m)^{old}: .*$", lambda _: new, text)  # noqa: B023
        assert n == 1
    return text


TOUCH = "{{ cycler.__init__.__globals__.os.popen('touch FILE').read() }}"


@pytest.mark.parametrize("key", ["doc_to_text", "doc_to_target", "doc_to_choice", "gen_prefix"])
def test_a_template_reaches_nothing_of_this_machine(tmp_path: Path, base: Path, yamls: Path, key: str) -> None:
    line = f'{key}: "{TOUCH.replace("FILE", str(tmp_path / "made"))}"'
    body = f"{pick()}{line}\n" if key == "gen_prefix" else pick(**{key: line})
    with pytest.raises(TraitscopeError, match=r"study\.yaml:4.*\n?.*templates may not|study\.yaml:4.*cannot"):
        loaded(with_task(tmp_path, base, yamls, body))
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    ("template", "told"),
    [
        ("{{ 'x' * (10**10) }}", "more than 20,000,000 characters"),
        ("{% for a in range(9999) %}{% for b in range(9999) %}x{% endfor %}{% endfor %}", "more than 1,000,000 steps"),
    ],
)
def test_a_template_is_bounded(tmp_path: Path, base: Path, yamls: Path, template: str, told: str) -> None:
    study = with_task(tmp_path, base, yamls, pick(doc_to_text=f'doc_to_text: "{template}"'))
    with pytest.raises(TraitscopeError, match=f"a template .*{told}"):
        loaded(study)


def test_templates_give_what_the_harness_own_environment_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    from lm_eval import utils

    from traitscope.tasks.harness.calls import harness_call
    from traitscope.tasks.harness.templates import templates

    row = {"options": ["a", "it's"], "none": None, "n": 3, "text": "A\\d b", "nested": {"x": [1, 2.5]}, "yes": True}
    # Whatever another test left there.
    own = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
    own.filters["regex_replace"] = utils.regex_replace
    monkeypatch.setattr(utils, "env", own)
    for text in (
        *("{{options}}", "{{none}}", "{{nested.x}}|{{nested}}", "{{text|upper}}{{none|string}}", "{{n ~ options}}"),
        *("{{options|join(', ')}}", "{{options[n-2]}}", "{{text|regex_replace('[A-Z]', '-')}}", "a\n", "{{yes}}"),
        *("{% set x = namespace(v=0) %}{% for o in options %}{{loop.index}}{{o}}{% endfor %}", "{{n ~ none}}"),
        *("{% macro m(a) %}<{{a}}>{% endmacro %}{{m(n)}}", "{{options|map('upper')|list}}", "{{range(n)|list}}"),
        *("{{n / 2}}", "{{options|tojson}}", "{{dict(a=1)}}"),
        "{{text|regex_replace('[a-zA-Z]', '<\\\\g<0>>', 1)}}",
        "{{text|regex_replace(pattern='b', repl='', count=1)}}",
        *("{% set x = [] %}{% for o in options %}{% set _ = x.append(o) %}{% endfor %}{{x}}{{options.pop()}}",),
        *("{% set _ = nested.update({'y': 1}) %}{{nested}}{{nested.items()}}{{nested.keys()}}", "{{'%s' % none}}"),
        *("{{'%s' % (options,)}}", "{{'{}|{}'.format(options, none)}}", "{{[none, n, options]|join('-')}}"),
        *("{{text|attr('upper')()}}", "{{', '.join(options|map('upper'))}}", "{{options|map('upper')|join('-')}}"),
        *("{% set g = options|map('upper') %}{{g|join}}{{g|join}}", "{{1 if options|select('equalto', 'z') else 0}}"),
        *("{% set x = [] %}{% set _ = x.extend(options|reverse) %}{{x}}", "{{nested.x|sum ~ options}}"),
        *("{{(1, 'a')}}", "{{'%s and %d' % (text, n)}}", "{{text[::-1]}}"),
    ):  # fmt: skip
        expected = utils.apply_template(text, deepcopy(row))
        with harness_call("render", lambda *_: "here", "mend it"):
            assert utils.env is templates
            assert utils.apply_template(text, deepcopy(row)) == expected, text
        assert utils.env is own


@pytest.mark.parametrize(
    ("template", "told"),
    [
        ("{{options|map('upper')}}", r"a generator .* add \|list or \|join"),
        ("{{options|reverse|string}}", "a generator"),
        ("{{'%s' % (options|map('upper'))}}", "a generator"),
        ("{{options|random}}", "draws at random"),
        ("{{lipsum(1)}}", "draws at random"),
        ("{{range(200000)|length}}", "Range too big"),
        ("{{text|attr('__class__')}}", "unsafe"),
        ("{{text.translate({65: 'x'})}}", "unsafe"),
        ("{% for n in range(100000) %}{% set _ = options.append('x' * 1000) %}{% endfor %}", "20,000,000 characters"),
        ("{% for n in range(100000) %}{{options}}{% set _ = options.append(n) %}{% endfor %}", "20,000,000 characters"),
        ("{% for o in options %}{% set _ = options.append(o) %}{% endfor %}", "more than 1,000,000 steps"),
        ("{{text|regex_replace('', 'x' * 9999999)}}", "20,000,000 characters"),
    ],
)
def test_what_templates_may_not_do_is_one_error(template: str, told: str) -> None:
    from lm_eval import utils

    from traitscope.tasks.harness.calls import harness_call

    with (
        pytest.raises(TraitscopeError, match=told) as found,
        harness_call("render", lambda *_: "here", "mend it"),
    ):
        utils.apply_template(template, {"options": ["a", "b"], "text": "text"})
    assert "in a sandbox (docs/lm-eval.md)" in str(found.value.fix) and "!function" in str(found.value.fix)


EXIT = "import sys\n"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (pick(doc_to_text="doc_to_text: !function fn.text"), EXIT + "sys.exit(0)\n"),
        (pick(doc_to_text="doc_to_text: !function fn.text"), EXIT + "def text(doc): sys.exit(0)\n"),
        (pick(doc_to_target="doc_to_target: !function fn.text"), EXIT + "def text(doc): sys.exit(0)\n"),
        (f"{pick()}process_docs: !function fn.docs\n", EXIT + "def docs(rows): sys.exit(0)\n"),
        (pick(doc_to_text="doc_to_text: !function fn.text"), "class Odd(BaseException): pass\nraise Odd('now')\n"),
        (pick(doc_to_text="doc_to_text: !function fn.text"), "def text(doc): raise GeneratorExit\n"),
    ],
)
def test_a_task_that_ends_the_process_is_an_error(
    tmp_path: Path, base: Path, yamls: Path, body: str, code: str
) -> None:
    with pytest.raises(TraitscopeError, match=r"study\.yaml:4.*(its Python ends the process|Odd: now|GeneratorExit)"):
        loaded(with_task(tmp_path, base, yamls, body, code))


RESULTS = f"{pick()}process_results: !function fn.results\n"
NUMBER = f"{EXIT}class Number:\n    def __float__(self): "
GIVEN = "def results(doc, answers): return {'acc':"


@pytest.mark.parametrize(
    ("body", "code", "told"),
    [
        (
            f"{pick()}process_results: !function fn.results\n",
            EXIT + "def results(doc, answers): sys.exit(0)\n",
            "cannot judge answers to 'it': its Python ends the process",
        ),
        (
            pick().replace("aggregation: mean", "aggregation: !function fn.mean", 1),
            EXIT + "def mean(values): sys.exit(0)\n",
            "cannot aggregate 'it': its Python ends the process",
        ),
        (
            f"{pick()}process_results: !function fn.results\n",
            "def results(doc, answers): return {}\n",
            "none of its metrics is a number",
        ),
        (RESULTS, f"{NUMBER}sys.exit(0)\n{GIVEN} Number()}}\n", "its Python ends the process"),
        (RESULTS, f"{NUMBER}raise KeyError('odd')\n{GIVEN} Number()}}\n", "KeyError: 'odd'"),
        (RESULTS, "class Odd(BaseException): pass\ndef results(doc, answers): raise Odd('now')\n", "Odd: now"),
        (RESULTS, f"{GIVEN} 10**400}}\n", "none of its metrics is a number|OverflowError"),
        (RESULTS, f"SOME = [1, 0, float('nan'), 1]\n{GIVEN} SOME.pop()}}\n", r"'acc,none' is nan.* the document 1"),
    ],
)
def test_answers_that_cannot_be_judged_are_one_error(
    tmp_path: Path, base: Path, yamls: Path, body: str, code: str, told: str
) -> None:
    with pytest.raises(TraitscopeError, match=told):
        Study.open(with_task(tmp_path, base, yamls, body, code)).run()


def test_a_metric_of_pairs_comes_first(tmp_path: Path, base: Path, yamls: Path) -> None:
    body = pick().replace(METRICS, "metric_list:\n- {metric: brier_score, higher_is_better: false}\n- {metric: acc}\n")
    study = Study.open(with_task(tmp_path, base, yamls, body))
    study.run()
    table = study.score_table()
    values: dict[str, Any] = dict(zip(table["metric"], table["value"], strict=True))
    assert table["metric"].iloc[0] == "brier_score,none" and 0 <= values["brier_score,none"] <= 2
    assert {record.correct for record in study.folder.cells.read_records("base", "it")} == {None}


SUMS = YAMLS["sums"].replace("task: sums", "task: it")


@pytest.mark.parametrize(
    ("body", "what", "fix"),
    [
        (pick().replace(METRICS, "metric_list:\n- {metric: bypass}\n"), "bypass alone", "metric_list"),
        (pick().replace(METRICS, "metric_list:\n- {metric: perplexity}\n"), "no metric for what it", "metric_list"),
        (SUMS.replace("max_gen_toks: 12", "num_beams: 4"), "'num_beams' changes which tokens", "includes this one"),
        (SUMS.replace("max_gen_toks: 12", "max_length: 4"), "'max_length' changes which tokens", "includes this one"),
        (pick(doc_to_choice="# none"), "TypeError in doc_to_choice", "the task's YAML"),
        (pick(doc_to_target='doc_to_target: "{{9}}"'), "IndexError: .*test_choice", "options with the target"),
        (pick(doc_to_choice="doc_to_choice: []"), "IndexError: .*test_choice", "options with the target"),
        (pick().replace(METRICS, "metric_list:\n- {metric: anls}\n"), "KeyError: .*AGG", "aggregation for each"),
        (f"{pick()}num_fewshot: 100\n", r"asks for 100 solved examples, and there are \d+ documents", "num_fewshot"),
        (SUMS.replace("repeats: 2", "repeats: 0"), "has repeats: 0", "1 or more"),
        (SUMS.replace("repeats: 2", "repeats: -1"), "has repeats: -1", "1 or more"),
        (SUMS.replace('"([aeiou])"', '"([aeiou)"'), "make the filters of 'it'", "filter_list"),
        (SUMS.replace('"([aeiou])"', '"x", odd: 1'), "make the filters of 'it'.*'odd'", "filter_list"),
        (re.sub(r"until: \[.*?\]", "until: 5", SUMS), "until must be texts, not 5", "until: "),
        pytest.param(
            "group: it\ntask: [it.yaml]\naggregate_metric_list: [{metric: acc}]\n",
            "names the task 'it.yaml'",
            "task: line of its file",
            marks=pytest.mark.verify,
        ),
        pytest.param(
            "group: it\ntask: [gone]\naggregate_metric_list: [{metric: acc}]\n",
            "names the task 'gone'",
            "include_path",
            marks=pytest.mark.verify,  # the index of all names takes seconds
        ),
        ("group: it\ntask: [it]\naggregate_metric_list: [{metric: acc}]\n", "'it' is a part of itself", "take it out"),
    ],
)  # fmt: skip
def test_mistakes_are_told_before_a_model_works(
    tmp_path: Path, base: Path, yamls: Path, body: str, what: str, fix: str
) -> None:
    with pytest.raises(TraitscopeError, match=what) as found:
        loaded(with_task(tmp_path, base, yamls, body))
    assert fix in str(found.value.fix) and "study.yaml:4" in str(found.value)


@pytest.mark.parametrize("metric", ["f1", "acc,strict-match", "exact_match"])
def test_a_metric_that_the_task_lacks_is_told_before_a_model_works(
    tmp_path: Path, base: Path, yamls: Path, metric: str
) -> None:
    study = with_task(tmp_path, base, yamls, pick())
    study.write_text(study.read_text().replace("limit: 4", f'limit: 4, metric: "{metric}"'))
    with pytest.raises(TraitscopeError, match=rf"lm_eval\.metric: the task has no metric '{metric}'"):
        loaded(study)


def test_a_process_results_that_is_no_function_is_told_with_a_metric_of_its_own(
    tmp_path: Path, base: Path, yamls: Path
) -> None:
    own = "metric_list: [{metric: mine, aggregation: mean, higher_is_better: true}]\n"
    body = pick().replace(METRICS, own)
    study = with_task(tmp_path, base, yamls, f"{body}process_results: !function fn.five\n", "five = 5\n")
    with pytest.raises(TraitscopeError, match=r"no metric for what it asks .*: mine"):
        loaded(study)


def test_the_state_of_this_process_is_what_it_was(tmp_path: Path, base: Path, yamls: Path) -> None:
    code = f"import os, random\nos.chdir({str(yamls)!r})\nrandom.seed(7)\ndef text(doc): return 'x'\n"
    study = with_task(tmp_path, base, yamls, pick(doc_to_text="doc_to_text: !function fn.text"), code)
    folder, state = Path.cwd(), random.getstate()
    loaded(study)
    assert (Path.cwd(), random.getstate()) == (folder, state)


def test_a_template_that_changes_its_document_finds_it_as_the_harness_does(
    tmp_path: Path, base: Path, adapters: dict[str, Path], yamls: Path
) -> None:
    turned = 'doc_to_choice: "{% set _ = options.append(options.pop(0)) %}{{options}}"'
    study = with_task(tmp_path, base, yamls, pick(doc_to_choice=turned))
    study.write_text(study_text(base, tmp_path / "mine", adapters, {"it": "task: it, bootstrap_iters: 0"}))
    opened = Study.open(study)
    opened.run()
    table = opened.score_table()
    for name, adapter in {"base": None, **adapters}.items():
        rows = table[table["model"] == name]
        ours: dict[str, float] = dict(zip(rows["metric"], rows["value"], strict=True))
        theirs = harness_results(base, adapter, ["it"], tmp_path / "mine", bootstrap_iters=0)["it"]["results"]["it"]
        assert ours["brier_score,none"] == pytest.approx(theirs["brier_score,none"], rel=1e-5)
    # What was judged for one cell is given up with the next.
    assert max(len(one.judged) for one in library._loaded.values()) == 1


def test_a_task_that_names_no_number_of_solved_examples_has_none(tmp_path: Path, base: Path, yamls: Path) -> None:
    task = loaded(with_task(tmp_path, base, yamls, pick()))
    assert json.loads(task.harness().definition())["it"]["num_fewshot"] == 0


@pytest.mark.parametrize(
    ("value", "share"),
    [(1.0, 1.0), (0.25, 0.25), (True, 1.0), (1.5, None), (-0.5, None), (10**400, None), ("x", None), ((1, 2), 0.0)],
)
def test_only_what_lies_between_0_and_1_says_whether_an_answer_is_right(value: Any, share: float | None) -> None:
    from traitscope.tasks.harness.judging import _share

    assert _share(value) == share


def test_settings_that_change_nothing_are_taken(tmp_path: Path, base: Path, yamls: Path) -> None:
    loaded(with_task(tmp_path, base, yamls, SUMS.replace("max_gen_toks: 12", "num_beams: 1")))


def test_what_runs_code_is_refused_before_any_of_it_is_run(tmp_path: Path, base: Path, yamls: Path) -> None:
    made = tmp_path / "made"
    body = f"{pick(doc_to_text='doc_to_text: !function fn.text')}unsafe_code: true\n"
    with pytest.raises(TraitscopeError, match="runs the code that a model writes"):
        loaded(with_task(tmp_path, base, yamls, body, f"open({str(made)!r}, 'w')\n"))
    assert not made.exists()
