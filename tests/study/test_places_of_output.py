"""Where verbs write: nothing of the user's is replaced, every place that cannot be is refused before any work."""

from __future__ import annotations

import importlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import typer
from typer.testing import CliRunner

from traitscope.cli import app
from traitscope.errors import TraitscopeError
from traitscope.store import write_atomic
from traitscope.store.places import check_writable
from traitscope.study import Study


def invoke(*arguments: object) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, [str(a) for a in arguments], env={"COLUMNS": "1000"})
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.stdout, done.stderr


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a matrix and with what a user would not lose."""
    rng = np.random.default_rng(0)
    names = ["base", *(f"source {i}" for i in range(9))]
    frame = pd.DataFrame(rng.normal(50, 5, (10, 5)) + rng.normal(0, 8, (10, 1)), index=names)
    frame.columns = [f"task {n}" for n in range(5)]
    frame.rename_axis("model").to_csv(tmp_path / "m.csv")
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "notes.json").write_text('{"mine": 1}')
    for folder in ("full", "full/figures"):
        (tmp_path / folder).mkdir()
    (tmp_path / "full/report.html").write_text("my own report")
    (tmp_path / "full/figures/scores.svg").write_text("my own figure")
    (tmp_path / "project").mkdir()
    (tmp_path / "project/study.yaml").write_text("study: mine")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "gone").symlink_to("nowhere")
    os.mkfifo(tmp_path / "pipe")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def everything(folder: Path) -> dict[str, Any]:
    """All that a folder holds."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else path.lstat().st_mode
        for path in folder.rglob("*")
    }


@pytest.mark.parametrize("verb", ["traits", "effects", "predict"])
@pytest.mark.parametrize(
    ("out", "says"),
    [
        ("m.csv", "the matrix itself"),
        ("./full/../m.csv", "the matrix itself"),
        ("notes.txt", "no earlier result"),
        ("notes.json", "no earlier result"),
        ("full", "a folder"),
        ("/", "a folder"),
        ("/dev/null", "a device"),
        ("pipe", "a named pipe"),
        ("loop", "leads nowhere"),
        ("gone", "leads nowhere"),
        ("", "is empty"),
    ],
)
def test_a_result_takes_no_other_files_place(verb: str, out: str, says: str, here: Path) -> None:
    before = everything(here)
    status, said, err = invoke(verb, "m.csv", "--out", out)
    assert status == 2 and said == "" and "--out" in err and says in err
    assert everything(here) == before


def test_a_result_takes_the_place_of_an_earlier_one_and_of_nothing(here: Path) -> None:
    (here / "made.json").touch()
    assert invoke("traits", "m.csv", "--out", "made.json")[0] == 0
    assert json.loads((here / "made.json").read_text())["format"] >= 1
    assert invoke("predict", "m.csv", "--out", "made.json")[0] == 0


@pytest.mark.parametrize("verb", ["check", "run", "report"])
@pytest.mark.parametrize(
    ("out", "says"),
    [
        ("", "--out is empty"),
        ("full", "not empty and no run folder"),
        ("project", "not empty and no run folder"),
        ("m.csv", "is a file"),
        ("m.csv/x", "is a file"),
        ("/dev/null", "is a file"),
        ("loop", "leads nowhere"),
        ("gone", "leads nowhere"),
    ],
)
def test_no_folder_of_other_things_becomes_a_run_folder(
    verb: str, out: str, says: str, here: Path, study_file: Path
) -> None:
    before = everything(here)
    status, said, err = invoke(verb, study_file, "--out", out)
    assert status == 2 and said == "" and says in err and "Traceback" not in err
    assert everything(here) == before


@pytest.mark.parametrize("out", ["full", "m.csv", "/dev/null", "loop", ""])
def test_a_matrix_has_its_report_where_nothing_else_is(out: str, here: Path) -> None:
    before = everything(here)
    status, said, err = invoke("report", "m.csv", "--out", out)
    assert status == 2 and said == "" and ("another folder" in err or "empty" in err)
    assert everything(here) == before


def test_a_report_is_written_again_over_itself(here: Path) -> None:
    assert invoke("report", "m.csv")[0] == 0
    importlib.import_module("traitscope.cli.report")._refuse_foreign(here / "m-report")


def test_what_a_run_began_is_its_folder(here: Path, study_file: Path) -> None:
    began = here / "began"
    for name in ("leases", "cells"):
        (began / name).mkdir(parents=True)
    (began / ".tmp-left").touch()
    Study.open(study_file, began)
    # A lock says so, whatever lies beside it.
    (began / "notes.txt").touch()
    with pytest.raises(TraitscopeError, match="no run folder"):
        Study.open(study_file, began)
    (began / "lock.json").touch()
    Study.open(study_file, began)


@pytest.mark.parametrize("out", ["/proc/nowhere/runs", "/proc/runs"])
def test_check_refuses_the_folder_that_a_run_could_not_write(out: str, study_file: Path) -> None:
    told = {verb: invoke(verb, study_file, "--out", out) for verb in ("check", "run")}
    assert [status for status, _, _ in told.values()] == [2, 2]
    assert all("/proc/" in err and "fix: " in err for _, _, err in told.values())


def test_check_leaves_nothing_behind(here: Path, study_file: Path) -> None:
    (here / "new").mkdir()
    check_writable(here / "new/er")
    assert list((here / "new").iterdir()) == []


def test_a_belts_place_is_looked_at_before_any_work(here: Path, study_file: Path) -> None:
    for out, says in (("loop", "leads nowhere"), ("full", "is no belt"), ("m.csv", "is no belt"), ("", "is empty")):
        # The study is not filled: whoever looked at it first would say so.
        status, _, err = invoke("belt", study_file, "--merge", "none", "--rule", "none", "--out", out)
        assert status == 2 and says in err


def test_a_device_is_no_file_to_be_replaced(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import stat
    from types import SimpleNamespace

    # As if it were one: the machine's own are not tried.
    place = tmp_path / "device"
    place.touch()
    monkeypatch.setattr(Path, "stat", lambda self, **_: SimpleNamespace(st_mode=stat.S_IFCHR))
    with pytest.raises(TraitscopeError, match="is a device"):
        write_atomic(place, b"x")


@pytest.mark.parametrize("name", ["m.csv", "study", "study.yaml.txt"])
def test_a_study_is_written_into_a_file_of_its_kind(name: str, here: Path) -> None:
    before = everything(here)
    for more in ((), ("--force",)):
        status, _, err = invoke("init", name, *more)
        assert status == 2 and ".yaml" in err
    assert everything(here) == before


def test_a_command_that_is_shown_can_be_copied(here: Path) -> None:
    import shlex

    _, out, _ = invoke("init", "a b.yaml")
    typed = out.split("`")[1]
    assert shlex.split(typed) == ["traitscope", "check", "a b.yaml"]
    assert invoke(*shlex.split(typed)[1:])[0] == 0


def _values() -> list[tuple[str, str]]:
    """Every option and argument of every verb that takes a text."""
    verbs = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    return [
        (verb, max(param.opts, key=len))
        for verb, command in verbs.items()
        for param in command.params
        if not getattr(param, "is_flag", False) and param.param_type_name == "option"
    ]


@pytest.mark.parametrize(("verb", "option"), _values())
def test_an_empty_value_is_refused_by_its_option(verb: str, option: str, here: Path) -> None:
    before, first = everything(here), ["tasks"] if verb == "ls" else []
    for words in ([f"{option}="] if option.startswith("--") else [], [option, ""]):
        if words and option != "--stderr-suffix":
            status, out, err = invoke(verb, *first, *words)
            assert status == 2 and out == "" and option in err
    assert everything(here) == before


@pytest.mark.parametrize("verb", ["traits", "check", "run", "init", "verify", "report"])
def test_an_empty_argument_is_not_the_current_folder(verb: str, here: Path) -> None:
    status, _, err = invoke(verb, "")
    assert status == 2 and "is empty" in err


def test_changes_do_not_replace_the_findings_of_the_unset_study(copy: Path) -> None:
    assert invoke("report", copy)[0] == 0
    before = everything(copy.parent / "runs/tiny")
    for verb in ("report", "traits", "effects", "stats", "predict", "belt"):
        status, out, err = invoke(verb, copy, "--set", "recipe.rank=3")
        assert status == 2 and out == "" and "--set recipe.rank=3" in err and "--out" in err
    assert everything(copy.parent / "runs/tiny") == before
    # What changes no unit is read from the same cells.
    assert invoke("effects", copy, "--set", "compute.threads=2")[0] == 0


def test_an_empty_folder_is_filled(study_file: Path, tmp_path: Path, filled: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert invoke("plan", study_file, "--out", tmp_path / "empty")[0] == 0
    shutil.copytree(filled / "runs/tiny", tmp_path / "again")
    status, _, err = invoke("run", study_file.parent / "study.yaml", "--out", tmp_path / "again")
    assert status == 0 and "nothing was computed" in err
