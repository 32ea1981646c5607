"""``traitscope report``, ``traits`` and ``effects`` on a matrix file: no study, no records, and that is said."""

from __future__ import annotations

import csv
import dataclasses
import html
import re
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from traitscope.cli import app
from traitscope.cli.matrixfile import MatrixOptions
from traitscope.matrix import read_matrix
from traitscope.matrix.columns import KNOWN_NAMES
from traitscope.matrix.wide import SPLIT

TASKS = ("imdb", "amazon", "gsm8k", "goat", "boolq")


def invoke(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [str(a) for a in arguments], env={"COLUMNS": "200"})
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture
def matrix(tmp_path: Path) -> Path:
    """Semicolons, decimal commas, two settings; standard errors of 2 points."""
    rng = np.random.default_rng(0)
    lines = ["name;setting;" + ";".join(f"{task};{task}_stderr" for task in TASKS)]
    for name in ("plain", *TASKS, "flan"):
        for setting in ("few", "zero"):
            cells = [f"{50 + 30 * (name == task) + rng.normal():.2f};2,0" for task in TASKS]
            lines.append(f"{name};{setting};" + ";".join(cells).replace(".", ","))
    path = tmp_path / "scores.csv"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


OPTIONS = ("--where", "setting=few", "--base", "plain")


def words(page: Path) -> str:
    text = re.sub(r"<(svg|style|script).*?</\1>|<[^>]+>", " ", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    return re.sub(r"\s+", " ", html.unescape(text))


def test_the_report_of_a_file_holds_its_cells_and_says_what_it_cannot_tell(matrix: Path) -> None:
    status, out, _ = invoke("report", matrix, *OPTIONS)
    page = matrix.with_name("scores-report") / "report.html"
    assert status == 0 and out.strip() == str(page)
    told = words(page)
    for part in (
        "7 models × 5 tasks: 35 imported",
        "traitscope report scores.csv --where setting=few --base plain",
        "The dataset statistics have not been computed: a matrix file holds no texts of datasets.",
        "The layers have not been analysed: a matrix file holds no hidden states.",
        "imdb on imdb: score +",
        "5 cells are their row's own task, by equal names",
    ):
        assert part in told, part
    with (page.parent / "tables" / "scores.csv").open(encoding="utf-8") as file:
        rows = {row["model"]: row for row in csv.DictReader(file)}
    written = [line.split(";") for line in matrix.read_text(encoding="utf-8").splitlines()]
    for name, setting, *cells in written[1:]:
        if setting == "few":
            assert [float(rows[name][task]) for task in TASKS] == [float(c.replace(",", ".")) for c in cells[::2]]
    assert (page.parent / "figures" / "loadings.svg").is_file()


def test_names_of_columns_that_are_taken_apart_by_a_guess_are_told_at_once(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    heads = {
        "qa,qa_stderr,nli,nli_stderr": False,
        '"qa/acc,none","qa/acc_stderr,none","nli/acc,none","nli/acc_stderr,none"': False,
        "qa/acc,qa/acc_stderr,nli/acc,nli/acc_stderr": True,
    }
    for head, guessed in heads.items():
        path.write_text(f"model,{head}\nbase,.5,.01,.4,.01\na,.6,.01,.5,.02\n", encoding="utf-8")
        scores = read_matrix(path)
        assert scores.tasks == ("qa", "nli")
        assert any(note.startswith(SPLIT) for note in scores.notes) == guessed, head
    code, out, _ = invoke("report", path)
    page = Path(out.strip()).read_text(encoding="utf-8")
    assert code == 0
    assert "Names of columns were read as task and metric: qa/acc is metric acc of task qa." in page


def test_the_report_goes_where_it_is_told_but_into_no_study(matrix: Path, tmp_path: Path) -> None:
    (tmp_path / "pairs.csv").write_text("source,task\nflan,boolq\nflan,goat\n")
    assert invoke("report", matrix, *OPTIONS, "--own-pairs", tmp_path / "pairs.csv", "--out", tmp_path / "else")[0] == 0
    assert "2 cells are their row's own task, as stated" in words(tmp_path / "else" / "report.html")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "study.yaml").write_text("study: x\n")
    status, _, error = invoke("report", matrix, *OPTIONS, "--out", tmp_path / "run")
    assert status == 2 and "is the run folder of a study" in error and not (tmp_path / "run" / "report.html").exists()


def test_a_matrix_that_is_too_small_gets_a_report_that_says_so(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("model,a\nbase,0.5\n")
    assert invoke("report", tmp_path / "m.csv")[0] == 0
    assert "The traits have not been computed: " in words(tmp_path / "m-report" / "report.html")


@pytest.mark.parametrize("verb", ["report", "traits", "effects"])
def test_options_of_files_are_refused_for_studies_and_other_files_are_named(
    verb: str, tmp_path: Path, matrix: Path
) -> None:
    (tmp_path / "s.yaml").write_text("study: x\n")
    (tmp_path / "m.xlsx").write_bytes(b"PK\x03\x04")
    for arguments, says in (
        ((tmp_path / "s.yaml", "--values", "a"), "--values is for a matrix file"),
        ((tmp_path / "m.xlsx",), "unknown file type '.xlsx'"),
        ((matrix,), "they differ in setting (few, zero)"),
        ((matrix, *OPTIONS, "--value-column", "acc"), "no column 'acc'; columns: name, setting, imdb"),
        ((matrix, *OPTIONS, "--own-pairs", tmp_path / "none.csv"), "no such file"),
    ):
        status, _, error = invoke(verb, *arguments)
        assert status == 2 and says in error, error
        assert error.startswith("error: ") and "fix: " in error


PAGE = Path(__file__).resolve().parents[2] / "docs" / "matrix-files.md"


def test_the_page_names_every_option_and_its_example_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = PAGE.read_text(encoding="utf-8")
    options = {"--" + field.name.replace("_", "-") for field in dataclasses.fields(MatrixOptions)}
    assert options <= set(re.findall(r"--[a-z-]+", text))
    for part, names in KNOWN_NAMES.items():
        assert all(re.search(rf"\b{name}\b", text) for name in (part, *names))
    code = re.search(r"```python\n(.*?)```", text, re.DOTALL)
    assert code is not None
    monkeypatch.chdir(tmp_path)
    exec(compile(code[1], str(PAGE), "exec"), {})
    told = capsys.readouterr().out
    assert "[['model' 'model']\n ['own' 'transfer']]" in told and "1 of 4 cells is missing" in told


def test_a_known_deviation_between_runs_is_typed_alike_for_traits_and_effects(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text("model,rte,sst\nbase,50,60\nrte,72,61\nsst,51,59\nnli,50,66\n", encoding="utf-8")
    both, each = ("--run-sd", "2"), ("--run-sd", "rte=2", "--run-sd", "sst=2")
    told = [invoke("effects", path, *option) for option in (both, each)]
    assert told[0] == told[1] and "runs deviate by 2.0" in told[0][1]
    for verb in ("traits", "effects"):
        code, _, error = invoke(verb, path, "--run-sd", "two")
        assert code == 2 and "write --run-sd 2 once, or --run-sd task=0.02 once for each task" in error
        assert "not known for sst" in invoke(verb, path, "--run-sd", "rte=2")[2]
    for option in (both, each):
        assert invoke("report", path, *option, "--out", tmp_path / "page")[0] == 0
        page = (tmp_path / "page" / "report.html").read_text(encoding="utf-8")
        assert "runs deviate by 2.0" in page and f"traitscope report m.csv {' '.join(option)}" in page
