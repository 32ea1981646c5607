"""The options of a matrix file at the terminal: none is empty or given twice, errors name them as they are typed."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from traitscope.cli import app
from traitscope.cli.matrixfile import MatrixOptions

SCORES = "model,t0,t1,t2\nbase,.1,.2,.3\na,.3,.1,.4\nb,.5,.7,.2\nc,.2,.4,.5\n"
OPTIONS = ["--" + field.name.replace("_", "-") for field in dataclasses.fields(MatrixOptions)]


def refused(folder: Path, *options: str, text: str = SCORES, verb: str = "traits") -> str:
    """The error of a verb on a matrix file."""
    path = folder / "m.csv"
    path.write_text(text)
    result = CliRunner().invoke(app, [verb, str(path), *options], env={"COLUMNS": "200"})
    assert isinstance(result.exception, SystemExit) and result.exit_code == 2, result.output
    return result.stderr


@pytest.mark.parametrize("verb", ["traits", "effects"])
@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("text", ["", "  "])
def test_an_empty_option_is_named(tmp_path: Path, option: str, verb: str, text: str) -> None:
    if (option, text) != ("--delimiter", "  "):
        assert f"{option} is empty: give a value" in refused(tmp_path, option, text, verb=verb)


@pytest.mark.parametrize(
    ("text", "options", "says"),
    [
        ("task,base\nt0,.1\n", (), "or --rows ... if"),
        ("model,t0,average\nbase,.1,.1\n", (), "--values '!average'; or name the score columns: --values ..."),
        ("model,t0\nbase,.1\na,30\nb,.2\n", (), "which it is: --unit percent"),
        ("a,b,value\nx,y,.1\n", ("--model-column", "a"), "--task-column ...; a file .* \\(--layout wide\\)"),
        ("model,run,t\nbase,,1\np,1,2\np,2,3\n", ("--values", "t"), "--seed-column ...\\), .* \\(--duplicates mean\\)"),
        ('model,t0\nbase,"1,234"\n', (), "--decimal . or --decimal ,"),
        (SCORES, ("--view", "gain", "--base", "x"), "m.csv, --base: no base row"),
        (SCORES, ("--unit", "points"), "error: --unit: unknown unit"),
        (SCORES, ("--family", "t0"), "m.csv, --family: column 't0' holds numbers"),
        (SCORES, ("--word", "x=t0", "--word", "x=t1"), "--word: 'x' is given twice"),
        (SCORES, ("--examples", "t0=9", "--examples", "t0=8"), "--examples: 't0' is given twice"),
        (SCORES, ("--run-sd", "1e300"), "error: --run-sd: 1e\\+300 is more than .*\n  fix: write at most 100"),
        (SCORES, ("--run-sd", "t0=1e300", "--run-sd", "t1=1", "--run-sd", "t2=1"), "fix: write at most 1e\\+09"),
    ],
)  # fmt: skip
def test_an_error_names_options_as_they_are_typed(
    tmp_path: Path, text: str, options: tuple[str, ...], says: str
) -> None:
    error = refused(tmp_path, *options, text=text)
    assert re.search(says, error), error
    assert not re.search(r"\b[a-z]+(?:_[a-z]+)?=(?:\.\.\.|[a-z'])", error.replace("\\", "")), error


def test_notes_name_options_as_they_are_typed(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text("model,task,metric,value\na,t,acc,.5\na,t,f1,.6\nb,t,acc,.4\nb,t,f1,.7\n")
    notes = " ".join(MatrixOptions().read(path).notes)
    assert "acc is shown (--metric ... for another)" in notes
    assert "untuned model's row with --base ..." in notes and "=" not in notes


def test_a_list_of_choices_is_left_as_it_is(tmp_path: Path) -> None:
    """One of them has the name of an option."""
    (tmp_path / "m.csv").write_text(SCORES)
    command = ["predict", str(tmp_path / "m.csv"), "--evaluate", "--protocols", "x"]
    told = CliRunner().invoke(app, command, env={"COLUMNS": "200"}).stderr
    assert re.search(r"write some of: .*\bbase\b", told) and "--base" not in told
