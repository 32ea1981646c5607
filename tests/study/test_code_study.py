"""A study with a task of code: nothing is run unless it was allowed, nothing is run twice, and it resumes as any."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import tiny
from typer.testing import CliRunner

from traitscope.cli import app
from traitscope.errors import TraitscopeError
from traitscope.sandbox import find_isolation
from traitscope.study import Study
from traitscope.tasks import coding as coding_module

# Whatever a random model writes stands in a comment, so that the row alone decides whether it passes.
CODE = """\
  code:
    data: {{path: {{train: sums-train.jsonl, eval: sums-eval.jsonl}}, train: 6, eval: 4}}
    prompt: "{{{{ question }}}}="
    answer:
      generate:
        gold: "{{{{ answer }}}}"
        max_tokens: 5
        samples: 4
        temperature: 1.0
        code: {{before: "#", tests: "assert {{{{ answer }}}} % 2 == 0"}}
    metrics: ["pass@1", "pass@3"]
controls"""
STUDY = tiny.STUDY.replace("controls", CODE).replace("seeds: [0]", "seeds: [0], max_steps: 2")


@pytest.fixture(scope="module", autouse=True)
def _isolated() -> None:
    try:
        find_isolation()
    except TraitscopeError as error:
        pytest.skip(str(error))


def invoke(*arguments: object) -> tuple[int, str]:
    done = CliRunner().invoke(app, [str(a) for a in arguments], env={"COLUMNS": "300"})
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.stdout + done.stderr


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory, base: Path) -> Path:
    study = tiny.make_study(tmp_path_factory.mktemp("code"), base, STUDY)
    part = ("--models", "base,tone-s0", "--tasks", "code,tone", "-q")
    status, said = invoke("run", study, *part)
    assert status == 2
    assert "to judge code the programs that models write must be run" in said and "--allow-code" in said
    assert "study.yaml:28, key tasks.code.answer.generate.code" in said, "the error names the place in the study file"
    assert not (study.parent / "runs" / "tiny" / "adapters").exists(), "refused before any work"
    status, said = invoke("run", study, *part, "--allow-code")
    assert status == 0, said
    return study


def test_samples_outcomes_and_scores_are_kept(ran: Path) -> None:
    study = Study.open(ran)
    gold = {example.id: int(example.answer) for example in study.examples("code")["eval"]}
    seen = set()
    for model in ("base", "tone-s0"):
        records = study.read_records(model, "code")
        assert len(records) == 4
        for record in records:
            assert record.outputs is not None and record.outcomes is not None and len(record.outputs) == 4
            assert record.output == record.outputs[0]
            for text, outcome in zip(record.outputs, record.outcomes, strict=True):
                if len(text.split()) == 1 and text.isprintable():
                    assert outcome == ("failed" if gold[record.id] % 2 else "passed")
                    seen.add(outcome)
            assert record.correct == pytest.approx(sum(o == "passed" for o in record.outcomes) / 4)
    assert seen == {"failed", "passed"}
    head = json.loads((study.folder.root / "cells" / "base" / "code" / "cell.json").read_text())
    assert sum(head["summary"]["outcomes"].values()) == 16
    assert [score["metric"] for score in head["scores"]] == ["pass@1", "pass@3", "loss"]


def test_check_says_what_is_needed_and_runs_right_answers_where_it_may(ran: Path, tmp_path: Path) -> None:
    status, said = invoke("check", ran, "--no-prompts")
    assert status == 0 and "judged by running what models write: run needs --allow-code" in said
    status, said = invoke("check", ran, "--no-prompts", "--allow-code")
    assert status == 0 and "of 4 right answers pass their tests (by " in said
    assert "(failed)" in said


def test_check_refuses_tests_that_no_right_answer_passes(ran: Path) -> None:
    tests = 'tasks.code.answer.generate.code.tests="assert False"'
    status, said = invoke("check", ran, "--no-prompts", "--allow-code", "--set", tests)
    assert status == 2 and "none of the 4 right answers passes its tests" in said and "(failed)" in said
    assert "tasks.code.answer.generate.code" in said
    assert invoke("check", ran, "--no-prompts", "--set", tests)[0] == 0


def test_check_refuses_where_programs_cannot_be_kept_apart(ran: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*a: object, **k: object) -> list[str]:
        raise TraitscopeError("programs cannot be kept apart", where="here", fix="none")

    monkeypatch.setattr(coding_module, "run_programs", none)
    status, said = invoke("check", ran, "--no-prompts", "--allow-code")
    assert status == 2 and "programs cannot be kept apart" in said


def test_judging_anew_runs_nothing_and_needs_no_leave(ran: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        coding_module, "run_programs", lambda programs, *a, **k: [] if not programs else pytest.fail("run")
    )
    status, said = invoke("eval", ran, "--rescore", "-q")
    assert status == 0, said
    changed = Study.open(ran, changes=["tasks.code.metrics=[pass@3]"])
    work = changed.rescore()
    assert work is not None and work.rescored == ["cells/base/code", "cells/tone-s0/code"]
    back = Study.open(ran).rescore()
    assert back is not None and len(back.rescored) == 2


def test_changed_tests_are_run_on_the_kept_answers(ran: Path) -> None:
    changes = ["tasks.code.answer.generate.code.tests=assert {{ answer }} % 2 == 1"]
    before = [record.outputs for record in Study.open(ran).read_records("base", "code")]
    with pytest.raises(TraitscopeError, match="--allow-code"):
        Study.open(ran, changes=changes).rescore()
    study = Study.open(ran, changes=changes, allow_code=True)
    work = study.rescore()
    assert work is not None and set(work.rescored) == {"cells/base/code", "cells/tone-s0/code"}
    assert [record.outputs for record in study.read_records("base", "code")] == before
    Study.open(ran, allow_code=True).rescore()


def test_leave_is_no_part_of_a_fingerprint_but_sampling_is(ran: Path) -> None:
    def marks(**options: object) -> tuple[list[str], list[str]]:
        units = Study.open(ran, **options).units()  # type: ignore[arg-type]
        cells = [cell for cell in units.cells if cell.task == "code"]
        return [cell.fingerprint for cell in cells], [cell.scoring for cell in cells]

    plain = marks()
    assert marks(allow_code=True) == plain
    for key, value in (("samples", 5), ("temperature", 0.5), ("top_p", 0.9), ("top_k", 3), ("seed", 1)):
        drawn, scoring = marks(changes=[f"tasks.code.answer.generate.{key}={value}"])
        assert drawn != plain[0] and scoring == plain[1], key
    for key, value in (("timeout_s", 2.0), ("memory_mb", 256), ("before", "import math"), ("tests", "pass")):
        same, scoring = marks(changes=[f"tasks.code.answer.generate.code.{key}={value}"])
        assert same == plain[0] and scoring != plain[1], key


def test_a_cell_grows_by_rows_with_the_same_draws(ran: Path, tmp_path: Path, base: Path) -> None:
    study = tiny.make_study(tmp_path, base, STUDY)
    part = ("--models", "base", "--tasks", "code", "-q", "--allow-code")
    assert invoke("run", study, *part, "--limit", "2")[0] == 0
    assert len(Study.open(study).read_records("base", "code")) == 2
    assert invoke("run", study, *part)[0] == 0
    assert Study.open(study).read_records("base", "code") == Study.open(ran).read_records("base", "code")


def test_several_processes_run_code_too(ran: Path, tmp_path: Path, base: Path) -> None:
    study = tiny.make_study(tmp_path, base, STUDY)
    part = ("--models", "base", "--tasks", "code", "-q", "--allow-code", "--set", "compute.workers=2")
    status, said = invoke("run", study, *part)
    assert status == 0, said
    whole, alone = (Study.open(one).read_records("base", "code") for one in (study, ran))
    assert [(r.outputs, r.outcomes) for r in whole] == [(r.outputs, r.outcomes) for r in alone]
