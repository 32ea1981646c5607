"""What a harness task brings of its own: its templates are kept in a sandbox, and what its Python does is told."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from harness_tasks import HEAD, YAMLS
from test_harness_equal import study_text

from traitscope.config import load_config
from traitscope.errors import TraitscopeError
from traitscope.study import Study
from traitscope.tasks import Task

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


def test_templates_give_what_the_harness_own_environment_gives() -> None:
    from lm_eval import utils

    from traitscope.tasks.harness.calls import _templates, harness_call

    row = {"options": ["a", "it's"], "none": None, "n": 3, "text": "A\\d b", "nested": {"x": [1, 2.5]}, "yes": True}
    before = utils.env
    for text in (
        *("{{options}}", "{{none}}", "{{nested.x}}|{{nested}}", "{{text|upper}}{{none|string}}", "{{n ~ options}}"),
        *("{{options|join(', ')}}", "{{options[n-2]}}", "{{text|regex_replace('[A-Z]', '-')}}", "a\n", "{{yes}}"),
        *("{% set x = namespace(v=0) %}{% for o in options %}{{loop.index}}{{o}}{% endfor %}", "{{n ~ none}}"),
        *("{% macro m(a) %}<{{a}}>{% endmacro %}{{m(n)}}", "{{options|map('upper')|list}}", "{{range(n)|list}}"),
        *("{{n / 2}}", "{{options|tojson}}", "{{dict(a=1)}}"),
        *("{{(1, 'a')}}", "{{'%s and %d' % (text, n)}}", "{{text[::-1]}}"),
    ):  # fmt: skip
        expected = utils.apply_template(text, row)
        with harness_call("render", lambda *_: "here", "mend it"):
            assert utils.env is _templates
            assert utils.apply_template(text, row) == expected
        assert utils.env is before


EXIT = "import sys\n"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (pick(doc_to_text="doc_to_text: !function fn.text"), EXIT + "sys.exit(0)\n"),
        (pick(doc_to_text="doc_to_text: !function fn.text"), EXIT + "def text(doc): sys.exit(0)\n"),
        (pick(doc_to_target="doc_to_target: !function fn.text"), EXIT + "def text(doc): sys.exit(0)\n"),
        (f"{pick()}process_docs: !function fn.docs\n", EXIT + "def docs(rows): sys.exit(0)\n"),
    ],
)
def test_a_task_that_ends_the_process_is_an_error(
    tmp_path: Path, base: Path, yamls: Path, body: str, code: str
) -> None:
    with pytest.raises(TraitscopeError, match=r"study\.yaml:4.*its Python ends the process"):
        loaded(with_task(tmp_path, base, yamls, body, code))


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


def test_settings_that_change_nothing_are_taken(tmp_path: Path, base: Path, yamls: Path) -> None:
    loaded(with_task(tmp_path, base, yamls, SUMS.replace("max_gen_toks: 12", "num_beams: 1")))


def test_what_runs_code_is_refused_before_any_of_it_is_run(tmp_path: Path, base: Path, yamls: Path) -> None:
    made = tmp_path / "made"
    body = f"{pick(doc_to_text='doc_to_text: !function fn.text')}unsafe_code: true\n"
    with pytest.raises(TraitscopeError, match="runs the code that a model writes"):
        loaded(with_task(tmp_path, base, yamls, body, f"open({str(made)!r}, 'w')\n"))
    assert not made.exists()
