"""Several processes of one machine share a run: how many pay, how the jobs are dealt out, what comes of it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from traitscope.study import Study, workers


@dataclass
class Job:
    name: str
    n_tokens: int


@dataclass
class Row:
    prompt: str
    answer: str = "yes"


def test_jobs_are_dealt_out_by_tokens() -> None:
    jobs = [Job("a", 10), Job("b", 50), Job("c", 30), Job("d", 15), Job("e", 5)]
    groups = workers.split(jobs, 2)
    assert sorted(i for group in groups for i in group) == [0, 1, 2, 3, 4]
    assert [sum(jobs[i].n_tokens for i in group) for group in groups] == [55, 55]
    assert workers.split(jobs[:1], 3) == [[0]]


def test_only_work_that_is_worth_a_process_gets_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "cores", lambda: 2)
    monkeypatch.setattr(workers, "_has_gpu", lambda: False)
    many, few = [Row("word " * 60)] * 10_000, [Row("word")] * 10
    size = workers.crew_size
    assert size("auto", "auto", "embedded", many, many) == 2
    assert size("auto", "auto", "embedded", few, few) == 1
    assert size("auto", "cuda", "embedded", many, many) == 1
    assert size(3, "auto", "embedded", few, few) == 3
    monkeypatch.setattr(workers, "_has_gpu", lambda: True)
    assert size("auto", "auto", "embedded", many, many) == 1
    monkeypatch.setenv(workers.WORKERS, "5")
    assert size("auto", "auto", "embedded", few, few) == 5


def test_two_processes_share_a_run(study_file: Path, tmp_path: Path) -> None:
    """Every unit is there once, whoever made it."""
    text = study_file.read_text().replace("threads: 1", "threads: 1, workers: 2")
    study_file.write_text(text)
    study = Study.open(study_file, tmp_path / "two")
    work = study.run()
    assert work is not None
    plan = study.plan()
    assert plan.complete
    assert len(work.trained) == plan.n_adapters
    assert len(work.evaluated) == plan.n_cells
    assert len(list((tmp_path / "two" / "plan").glob("bank-*.json"))) == 2
    log = [json.loads(line) for line in (tmp_path / "two" / "run.jsonl").read_text().splitlines()]
    assert sum(entry["event"] == "adapter" for entry in log) == plan.n_adapters
    assert sum(entry["event"] == "cell" for entry in log) == plan.n_cells


def test_a_process_that_fails_is_told_and_its_work_is_done(
    study_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers.sys, "executable", "/bin/false")
    study_file.write_text(study_file.read_text().replace("threads: 1", "threads: 1, workers: 2"))
    notes = []
    study = Study.open(study_file, tmp_path / "one")
    monkeypatch.setattr(study.report_to, "note", notes.append)
    assert study.run() is not None
    assert study.plan().complete
    assert any("ended early: exit status 1" in note for note in notes)
