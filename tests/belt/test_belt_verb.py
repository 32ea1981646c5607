"""``traitscope belt`` on anybody's matrix file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from traitscope.cli import app


def invoke(*arguments: object) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, ["belt", *(str(a) for a in arguments)], env={"COLUMNS": "200"})
    return done.exit_code, done.stdout, done.stderr


@pytest.fixture
def matrix(tmp_path: Path) -> Path:
    path = tmp_path / "m.csv"
    path.write_text(
        "model,maths,code,reviews\nbase,10,20,50\ngsm,60,21,50\nmagi,20,40,52\nimdb,9,20,80\nmany,59.5,39.5,70\n"
    )
    return path


def test_the_sets_and_what_they_lose_are_printed(matrix: Path) -> None:
    status, out, _ = invoke(matrix)
    assert status == 0
    assert out.startswith("Belt: 2 adapters for 3 tasks, judged on the scores it was chosen on.\n  imdb, many\n")
    lines = [line.split() for line in out.splitlines() if line.strip()[:1].isdigit()]
    # Worst losses: base 50, 20, 30; many 0.5, 0.5, 10; imdb and many 0.5, 0.5, 0; then one half less, then nothing.
    assert [(line[0], line[1], line[2]) for line in lines] == [
        ("0", "33.33", "50.0"),
        ("1", "3.67", "10.0"),
        ("2", "0.33", "0.5"),
        ("3", "0.00", "0.0"),
    ]
    assert "flatters" in out


def test_a_larger_loss_needs_fewer_and_a_size_is_a_size(matrix: Path) -> None:
    assert json.loads(invoke(matrix, "--loss", "10", "--json")[1])["models"] == ["many"]
    assert len(json.loads(invoke(matrix, "--size", "4", "--json")[1])["models"]) == 4


def test_what_a_matrix_cannot_give_is_refused_in_one_message(matrix: Path, tmp_path: Path) -> None:
    status, _, said = invoke(matrix, "--out", tmp_path / "belt")
    assert status == 2 and "a matrix file has no adapters to export" in said and "fix: name a study" in said
    status, _, said = invoke(matrix, "--loss", "-1")
    assert status == 2 and "--loss" in said and "at least 0" in said
