"""Tasks of code: their configuration, their programs, and how samples are judged and judged again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from task_helpers import task_of

from traitscope.config import TaskConfig
from traitscope.errors import TraitscopeError
from traitscope.records import Generated
from traitscope.sandbox import find_isolation
from traitscope.store.fingerprints import RowsHash
from traitscope.store.tables import examples_bytes, examples_from, read_parquet, records_bytes, records_from
from traitscope.tasks import Task, judge_texts, rejudge, summarise
from traitscope.tasks import coding as coding_module
from traitscope.tasks.coding import reference_outcomes

ROWS = [{"text": f"add {n}", "code": f"def f(x): return x + {n}", "n": n} for n in range(3)]
CODE = {"tests": "assert f(1) == {{ 1 + n }}\nassert f(5) == {{ 5 + n }}"}
DRAWN = {"samples": 3, "temperature": 0.8}
GENERATE = {"gold": "{{ code }}", "parse": "code", **DRAWN, "code": CODE}


@pytest.fixture(scope="module", autouse=True)
def _isolated() -> None:
    try:
        find_isolation()
    except TraitscopeError as error:
        pytest.skip(str(error))


def code_task(tmp_path: Path, **changes: Any) -> Task:
    metrics = changes.pop("metrics", ["pass@1", "pass@3"])
    generate = {key: value for key, value in {**GENERATE, **changes}.items() if value is not None}
    return task_of(tmp_path, ROWS, answer={"generate": generate}, metrics=metrics, data={"train": 0, "eval": 3})


def said(*texts: str) -> list[Generated]:
    return [Generated((7,) * 4, text, "eos") for text in texts]


def numbers(task: Task) -> list[int]:
    return [int(example.prompt.split()[1]) for example in task.load().eval]


def judged(task: Task, **options: Any) -> list[Any]:
    """One example with two right answers, one with a wrong and two broken ones, one right behind prose."""
    examples, order = task.load().eval, numbers(task)
    answers = {
        0: said("def f(x): return x", "```python\ndef f(x):\n    return x + 0\n```", "def f(x): return 1"),
        1: said("def f(x): return x", "def f(x) return", "   "),
        2: said("Here:\n```\nf = lambda x: x + 2\n```\nDone.", "import sys; sys.exit()", "while True: pass"),
    }
    logprobs = [[np.array([-1.0, -1.0])] for _ in examples]
    return judge_texts(task, examples, [answers[n] for n in order], logprobs, **options)


def by_number(task: Task, records: list[Any]) -> dict[int, Any]:
    return dict(zip(numbers(task), records, strict=True))


def test_samples_are_run_and_counted(tmp_path: Path) -> None:
    task = code_task(tmp_path, code={**CODE, "timeout_s": 1})
    records = judged(task, allow_code=True)
    found = by_number(task, records)
    assert found[0].outcomes == ("passed", "passed", "failed")
    assert found[1].outcomes == ("failed", "error: SyntaxError", "no code")
    assert found[2].outcomes == ("passed", "exited", "timeout")
    assert [found[n].correct for n in range(3)] == pytest.approx([2 / 3, 0, 1 / 3])
    assert found[1].outputs == ("def f(x): return x", "def f(x) return", "   ")
    assert found[0].output == found[0].outputs[0] == found[0].pred
    scores, summary = summarise(task, records)
    assert {s.metric: s.value for s in scores if s.metric != "loss"} == pytest.approx(
        {"pass@1": 1 / 3, "pass@3": 2 / 3}
    )
    assert summary["outcomes"] == {
        "passed": 3, "failed": 2, "error: SyntaxError": 1, "no code": 1, "exited": 1, "timeout": 1,
    }  # fmt: skip


def test_nothing_is_run_unless_it_was_allowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coding_module, "run_programs", lambda *a, **k: pytest.fail("programs were run"))
    task = code_task(tmp_path)
    with pytest.raises(TraitscopeError, match="--allow-code"):
        judged(task)


def test_judging_again_runs_only_what_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task = code_task(tmp_path, code={**CODE, "timeout_s": 1})
    records = judged(task, allow_code=True)
    with monkeypatch.context() as patch:
        patch.setattr(
            coding_module, "run_programs", lambda programs, *a, **k: [] if not programs else pytest.fail("run")
        )
        assert rejudge(task, task.load().eval, records) == records
        other = code_task(tmp_path, code={**CODE, "timeout_s": 1}, metrics=["pass@3"])
        again = rejudge(other, other.load().eval, records)
        assert sorted(r.correct for r in again) == [0, 1, 1]
    harder = code_task(tmp_path, code={"tests": CODE["tests"] + "\nassert f(-1) == {{ n - 1 }} and f.__name__ == 'f'"})
    with pytest.raises(TraitscopeError, match="--allow-code"):
        rejudge(harder, harder.load().eval, records)
    anew = by_number(harder, rejudge(harder, harder.load().eval, records, allow_code=True))
    assert anew[2].outcomes[0] == "failed", "a lambda has another name"
    assert anew[0].outcomes == ("passed", "passed", "failed")
    changed = [replace(records[0], outputs=("x = 1", *records[0].outputs[1:])), *records[1:]]
    with pytest.raises(TraitscopeError, match="--allow-code"):
        rejudge(task, task.load().eval, changed)


def test_one_greedy_answer_is_judged_too(tmp_path: Path) -> None:
    task = code_task(tmp_path, samples=None, temperature=None, metrics=())
    assert task.metric_names == ("pass@1",)
    examples = task.load().eval
    answers = [said(f"def f(x): return x + {1 if n else 5}")[0] for n in numbers(task)]
    records = judge_texts(task, examples, answers, [[np.array([-1.0])]] * 3, allow_code=True)
    assert {n: r.correct for n, r in by_number(task, records).items()} == {0: 0.0, 1: 1.0, 2: 0.0}
    assert records[0].outputs is None


def test_samples_of_plain_answers_count_where_they_equal_a_reference(tmp_path: Path) -> None:
    rows = [{"text": f"q {n}", "a": n} for n in range(3)]
    generate = {"gold": "{{ a }}", "parse": "final_number", **DRAWN}
    task = task_of(
        tmp_path, rows, answer={"generate": generate}, metrics=["pass@2", "exact_match"], data={"train": 0, "eval": 3}
    )
    examples = task.load().eval
    answers = [said(f"it is {n}", "it is 7", "none") for n in numbers(task)]
    records = judge_texts(task, examples, answers, [[np.array([-1.0])]] * 3)
    assert [r.correct for r in records] == pytest.approx([2 / 3] * 3)
    assert summarise(task, records)[0][1].value == 1.0, "the other metrics judge the first sample"


def test_records_and_examples_come_back_from_parquet(tmp_path: Path) -> None:
    task = code_task(tmp_path, code={**CODE, "timeout_s": 1})
    records, examples = judged(task, allow_code=True), task.load().eval
    again = read_parquet(records_bytes(records), where="r", fix="f")
    assert records_from(again) == records
    assert examples_from(read_parquet(examples_bytes({"eval": examples}), where="e", fix="f"))["eval"] == list(examples)
    plain = replace(examples[0], program=None)
    assert "program" not in read_parquet(examples_bytes({"eval": [plain]}), where="e", fix="f").column_names
    old = again.drop_columns(["outputs", "outcomes", "ran"])
    assert records_from(old)[0] == replace(records[0], outputs=None, outcomes=None, ran=None)


def test_tests_are_no_part_of_what_is_asked(tmp_path: Path) -> None:
    one, other = code_task(tmp_path), code_task(tmp_path, code={"tests": "assert True"})
    assert one.load().eval != other.load().eval
    assert RowsHash(one.load().eval).whole == RowsHash(other.load().eval).whole


def test_train_rows_need_no_tests(tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_text('{"text": "a", "code": "x = 1"}\n')
    (tmp_path / "eval.jsonl").write_text('{"text": "b", "code": "y = 1", "n": 1}\n')
    data = {"path": {"train": "train.jsonl", "eval": "eval.jsonl"}}
    task = Task("t", TaskConfig(data=data, prompt="{{ text }}", answer={"generate": GENERATE}), tmp_path)
    loaded = task.load()
    assert [e.program is None for e in (*loaded.train, *loaded.eval)] == [True, False]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"temperature": None}, "greedy"),
        ({"samples": None, "temperature": None, "top_p": 0.5, "metrics": ["pass@1"]}, "greedy"),
        ({"samples": 2, "metrics": ["pass@1", "pass@3"]}, "needs 3 samples"),
        ({"metrics": ["exact_match"]}, "no metric counts them"),
        ({"code": None, "metrics": ["exact_match"]}, "3 samples are drawn"),
        ({"code": {"tests": "{{ nothing }}"}}, "no column 'nothing'"),
        ({"code": {"tests": "{% if n > 5 %}x{% endif %}"}}, "every program would pass"),
        ({"code": {"before": "x"}}, "tests"),
        ({"code": {**CODE, "timeout_s": 0}}, "timeout_s"),
        ({"code": {**CODE, "timeout_s": 1e-9}}, "timeout_s"),
        ({"code": {**CODE, "memory_mb": 1}}, "memory_mb"),
        ({"code": {**CODE, "memory_mb": (1 << 20) + 1}}, "less than or equal to 1048576, not 1048577"),
        ({"temperature": -1.0}, "temperature"),
        ({"temperature": 1e-40}, "write 0 for greedy answers, or 1e-06"),
        ({"temperature": 9.99e-7}, "too low to divide by"),
        ({"metrics": ["pass@7"]}, "needs 7 samples"),
        ({"metrics": ["pass@99999999999999999999"]}, "needs 99999999999999999999 samples"),
        *(({"metrics": [f"pass@{k}"]}, "unknown metric") for k in ("0", "01", "-1", "1.5", "", "1 ", "\u0661")),
    ],
)
def test_what_cannot_be_meant_is_refused(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(TraitscopeError, match=words):
        code_task(tmp_path, **changes).load()


# ---- real tasks

MBPP = {
    "data": {"path": "mbpp/mbpp.jsonl", "eval": 60},
    "prompt": "{{ text }}\n{{ test_list | join('\\n') }}\n",
    "answer": {
        "generate": {
            "gold": "{{ code | replace('\\r', '') }}",
            "parse": "code",
            "max_tokens": 256,
            "code": {"tests": "{{ test_setup_code }}\n{{ test_list | join('\\n') }}"},
        }
    },
}
HUMANEVAL = {
    "data": {"path": {"eval": "humaneval/HumanEval.jsonl.gz"}, "eval": 60},
    "prompt": "{{ prompt }}",
    "answer": {
        "generate": {
            "gold": "{{ canonical_solution }}",
            "parse": "code",
            "max_tokens": 384,
            "stop": ["\nclass", "\ndef", "\n#", "\nif", "\nprint"],
            "code": {"before": "{{ prompt }}", "tests": "{{ test }}\ncheck({{ entry_point }})"},
        }
    },
}


def real(config: dict[str, Any], root: Path, n: int | None = None) -> Task:
    if n is not None:
        config = {**config, "data": {**config["data"], "eval": n}}
    return Task("t", TaskConfig(**config), root)


@pytest.mark.parametrize("config", [MBPP, HUMANEVAL], ids=["mbpp", "humaneval"])
def test_right_answers_of_real_tasks_pass_and_wrong_ones_do_not(shared_data: Path, config: dict[str, Any]) -> None:
    task = real(config, shared_data)
    examples = task.load().eval
    outcomes = reference_outcomes(task, examples)
    assert len(outcomes) == 60
    assert set(outcomes.values()) == {"passed"}, outcomes
    # Each with the body of another.
    turned = [replace(e, references=f.references) for e, f in zip(examples, (*examples[1:], examples[0]), strict=True)]
    wrong = reference_outcomes(task, turned)
    assert sum(outcome == "passed" for outcome in wrong.values()) <= 2


@pytest.mark.verify
@pytest.mark.parametrize(("config", "n"), [(MBPP, 974), (HUMANEVAL, 164)], ids=["mbpp", "humaneval"])
def test_all_right_answers_of_real_tasks_pass(shared_data: Path, config: dict[str, Any], n: int) -> None:
    if config is MBPP:
        config = {**MBPP, "data": {"path": {"eval": "mbpp/mbpp.jsonl"}}}
    task = real(config, shared_data, n)
    outcomes = reference_outcomes(task, task.load().eval)
    assert len(outcomes) == n
    failing = {name: what for name, what in outcomes.items() if what != "passed"}
    assert len(failing) <= n // 100, failing
