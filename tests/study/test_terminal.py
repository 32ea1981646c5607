"""Every verb at the terminal: tables that fit, JSON alone, names that steer nothing, values that are refused."""

from __future__ import annotations

import importlib
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tiny
import typer
from rich.cells import cell_len
from typer.testing import CliRunner

from traitscope.cli import app
from traitscope.cli.completion import models_of, study_files, tasks_of
from traitscope.study import Study

VERBS = typer.main.get_command(app).commands  # type: ignore[attr-defined]
# What each verb is asked for; STUDY is a filled study, MATRIX a matrix file, NEW a path of nothing.
CALLS: dict[str, tuple[str, ...]] = {
    "init": ("NEW.yaml",),
    "demo": ("--out", "DEMO", "-q"),
    "check": ("STUDY",),
    "plan": ("STUDY",),
    "run": ("STUDY", "-q"),
    "train": ("STUDY", "-q"),
    "eval": ("STUDY", "-q"),
    "traits": ("MATRIX",),
    "effects": ("MATRIX",),
    "stats": ("STUDY",),
    "predict": ("MATRIX",),
    "belt": ("MATRIX",),
    "layers": ("STUDY", "--no-causal", "-q"),
    "report": ("MATRIX",),
    "ls": ("cells", "STUDY"),
    "verify": ("STUDY",),
    "compare": ("MATRIX", "MATRIX"),
}
STEERS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory, base: Path) -> dict[str, str]:
    """What the words in ``CALLS`` stand for."""
    folder = tmp_path_factory.mktemp("terminal")
    study = tiny.make_study(folder / "study", base)
    Study.open(study).run()
    rng = np.random.default_rng(0)
    names = ["base", *(f"a_source_of_a_rather_long_name_number_{i}" for i in range(11))]
    frame = pd.DataFrame(rng.normal(50, 5, (12, 6)) + rng.normal(0, 8, (12, 1)), index=names)
    frame.columns = [f"a_task_family_with_a_long_name_{n}" for n in range(6)]
    frame.rename_axis("model").to_csv(folder / "matrix.csv")
    return {"STUDY": str(study), "MATRIX": str(folder / "matrix.csv"), "DEMO": str(study.parent / "runs/tiny")}


@pytest.fixture(autouse=True)
def small_demo(places: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    presets = Path(places["STUDY"]).parent / "presets"
    presets.mkdir(exist_ok=True)
    text = Path(places["STUDY"]).read_text()
    (presets / "demo.yaml").write_text(re.sub(r"(train|eval): (\w+-\w+\.jsonl)", r"\1: ../\2", text))
    monkeypatch.setattr(importlib.import_module("traitscope.cli.demo"), "PRESETS", presets)


def invoke(*arguments: object, **env: str) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, [str(a) for a in arguments], env={"COLUMNS": "200", **env})
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.stdout, done.stderr


def call(verb: str, places: dict[str, str], new: Path, *more: str, **env: str) -> str:
    """Standard output of a verb that ends well."""
    words = [places.get(word, word.replace("NEW", str(new))) for word in CALLS[verb]]
    status, out, err = invoke(verb, *words, *more, **env)
    assert status == 0, err
    return out


def test_no_verb_is_forgotten_here() -> None:
    # What is pushed needs a Hub (tests/end_to_end/test_hub_push.py); the live page ends with Ctrl-C (tests/view).
    assert set(CALLS) == set(VERBS) - {"push", "view"}


@pytest.mark.parametrize("verb", CALLS)
def test_output_fits_a_narrow_terminal(verb: str, places: dict[str, str], tmp_path: Path) -> None:
    for line in call(verb, places, tmp_path / "new", COLUMNS="40").splitlines():
        # A path stays whole; a prompt is shown as it is.
        whole = max(map(cell_len, line.split()), default=0) > 36 or "/" in line
        assert cell_len(line) <= 40 or whole or line.startswith("    "), line


@pytest.mark.parametrize("verb", CALLS)
def test_json_is_one_document_alone_on_standard_output(verb: str, places: dict[str, str], tmp_path: Path) -> None:
    found = json.loads(call(verb, places, tmp_path / "new", "--json", FORCE_COLOR="1"))
    assert isinstance(found, dict | list)
    if verb in ("run", "train", "eval", "demo"):
        table = Study.open(places["STUDY"]).score_table()
        assert found["complete"] and found["trained"] == [] and len(found["scores"]) == len(table)
        assert found["scores"][0]["value"] == table["value"].iloc[0]


def test_effects_with_an_explanation_are_one_document_too(places: dict[str, str]) -> None:
    status, out, err = invoke("effects", places["STUDY"], "--explain", "--json")
    if status == 0:
        assert json.loads(out).keys() == {"effects", "explanation"}
    else:
        assert out == "" and "fix: " in err


def _numbers() -> list[tuple[str, str, str]]:
    """Every option that takes a number, with a value out of its bounds."""
    found = []
    for verb, command in VERBS.items():
        for param in command.params:
            name = next((opt for opt in param.opts if opt.startswith("-")), None)
            if name is not None and param.type_descriptor.annotation in (int, float):
                bad = ["nan", "inf", "-3"] if param.metavar == "NUMBER" else ["-3", "1.5"]
                found += [(verb, name, value) for value in (*bad, "x", "\x1b[31m")]
    return found


@pytest.mark.parametrize(("verb", "option", "value"), _numbers())
def test_a_number_out_of_bounds_is_refused_by_its_option(
    verb: str, option: str, value: str, places: dict[str, str]
) -> None:
    first = "tasks" if verb == "ls" else places["STUDY"] if verb not in ("demo", "init") else None
    status, out, err = invoke(verb, *([first] if first else []), option, value)
    assert status == 2 and out == "" and option in err and not STEERS.search(err)


def test_the_numbers_that_were_accepted_are_among_them() -> None:
    options = {(verb, option) for verb, option, _ in _numbers()}
    named = {("effects", "--alpha"), ("effects", "-n"), ("run", "--limit"), ("belt", "--loss"), ("traits", "--k")}
    assert named <= options


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["traits", "MATRIX", "--view", "rw"], "'rw'"),
        (["traits", "MATRIX", "--rotate", "vari"], "'vari'"),
        (["traits", "MATRIX", "--own", "no"], "'no'"),
        (["traits", "MATRIX", "--seeds", "all"], "'all'"),
        (["traits", "MATRIX", "--layout", "tall"], "'tall'"),
        (["traits", "MATRIX", "--unit", "points"], "'points'"),
        (["traits", "MATRIX", "--duplicates", "first"], "'first'"),
        (["traits", "MATRIX", "--word", "x=a,zz"], "unknown task 'a'"),
        (["traits", "MATRIX", "--run-sd", "nan"], "--run-sd"),
        (["traits", "MATRIX", "--run-sd", "-1"], "--run-sd"),
        (["belt", "MATRIX", "--rule", "near"], "'near'"),
        (["belt", "MATRIX", "--merge", "mean"], "'mean'"),
        (["belt", "MATRIX", "--weights", "all"], "'all'"),
        (["belt", "MATRIX", "--task", "nix"], "nix"),
        (["predict", "MATRIX", "--task", "nix"], "nix"),
        (["predict", "MATRIX", "--predictors", "nix"], "nix"),
        (["predict", "MATRIX", "--evaluate", "--protocols", "nix"], "nix"),
        (["predict", "STUDY", "--evidence", "nix"], "nix"),
        (["predict", "MATRIX", "--predictors", ","], "--predictors"),
        (["plan", "MATRIX", "--budget", "nan"], "--budget"),
        (["plan", "MATRIX", "--budget", "200%"], "--budget"),
        (["plan", "MATRIX", "--budget", "25%", "--rule", "nix"], "'nix'"),
        (["effects", "MATRIX", "--explain"], "--explain is for a study"),
        (["effects", "MATRIX", "--set", "recipe.rank=2"], "--set is for a study"),
        (["run", "STUDY", "--tasks", "tune"], "did you mean 'tone'?"),
        (["run", "STUDY", "--models", "ton-s0"], "did you mean 'tone-s0'"),
        (["run", "STUDY", "--tasks", ","], "--tasks"),
        (["eval", "STUDY", "--models", "al"], "did you mean"),
        (["run", "STUDY", "--budget", "25%", "--limit", "2"], "--limit"),
        (["eval", "STUDY", "--rescore", "--tasks", "tone"], "--tasks"),
        (["ls", "examples", "STUDY", "--task", "tone", "--wrong"], "--model NAME"),
        (["ls", "examples", "STUDY", "--task", "story", "--model", "base", "--wrong"], "neither right nor wrong"),
        (["ls", "cells", "STUDY", "--wrong"], "--wrong"),
        (["ls", "cells", "STUDY", "--both-right"], "--both-right"),
        (["ls", "examples", "STUDY", "--task", "tone", "--won"], "--model NAME"),
        (["ls", "examples", "STUDY", "--task", "tone", "--model", "base", "--won"], "nothing to compare with"),
        (["ls", "examples", "STUDY", "--task", "tone", "--model", "sums-s0", "--won", "--lost"], "name one of them"),
        (["check", "STUDY", "--set", "recipe.rnk=16"], "--set recipe.rnk: unknown key 'rnk'"),
        (["check", "STUDY", "--set", "recepie.rank=16"], "did you mean 'recipe'?"),
        (["check", "STUDY", "--set", "recipe.rank=x"], "--set recipe.rank"),
        (["check", "STUDY", "--set", "recipe.rank"], "key=value"),
        (["check", "STUDY", "--set", "=1"], "key=value"),
        (["check", "STUDY", "--set", "study.x=1"], "has no keys"),
        (["check", "STUDY", "--set", "tasks.tone.metrics.9=loss"], "is no place in it"),
        (["check", "STUDY", "--set", "recipe=[1"], "not valid YAML"),
        (["check", "STUDY--out", "x"], "is a space missing before --out?"),
        (["check", "STUDY", "--out--json"], "is a space missing behind --out?"),
        (["check", "STUDY", "--out", "--json"], "--out needs a value"),
        (["traits", "MATRIX", "--seed0"], "is a space missing behind --seed?"),
        (["traits", "FOLDER/workbook.xlsx"], "save it as .csv"),
        (["traits", "FOLDER/workbook.csv"], "an Excel workbook"),
        (["traits", "FOLDER/workbook.parquet"], "cannot be read as parquet"),
        (["traits", "FOLDER/picture.png"], "unknown file type"),
        (["traits", "FOLDER/\udcff.csv"], "\\xff.csv: no such file"),
        (["check", "FOLDER/\udcff.yaml"], "\\xff.yaml: there is no such file"),
        (["check", "FOLDER/workbook.xlsx"], "not valid YAML"),
        (["check", "FOLDER"], "holds no study"),
        (["init", "FOLDER"], "is a folder"),
        (["init", "FOLDER/workbook.csv/study.yaml"], "workbook.csv"),
        (["traits", "MATRIX", "--out", "FOLDER"], "FOLDER"),
        (["traits", "MATRIX", "--out", "FOLDER/workbook.csv/out.json"], "workbook.csv"),
        (["report", "MATRIX", "--out", "MATRIX"], "MATRIX"),
        (["report", "MATRIX", "--out", "/proc/nowhere/report"], "/proc/nowhere"),
        (["run", "STUDY", "--out", "MATRIX"], "MATRIX"),
    ],
    ids=lambda value: " ".join(value[2:])[:60].replace("\udcff", "byte") if isinstance(value, list) else None,
)
def test_a_mistake_is_one_message_that_names_it(
    arguments: list[str], says: str, places: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "workbook.xlsx").write_bytes(b"PK\x03\x04\0\0junk")
    for name in ("workbook.csv", "workbook.parquet", "picture.png"):
        (tmp_path / name).write_bytes(b"PK\x03\x04\0\0junk")
    words = {**places, "FOLDER": str(tmp_path)}

    def filled(text: str) -> str:
        for word in ("STUDY", "MATRIX", "FOLDER"):
            text = text.replace(word, words[word])
        return text

    status, out, err = invoke(*map(filled, arguments), COLUMNS="1000")
    assert status == 2 and out == "", out
    assert filled(says) in err and "Traceback" not in err and len(err) < 6000


def test_what_is_built_in_can_be_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from traitscope.tasks.embedded import NAMES

    monkeypatch.chdir(tmp_path)
    assert [row["task"] for row in json.loads(invoke("ls", "tasks", "--json")[1])] == list(NAMES)
    named = {"parsers": "final_number", "measures": "cka", "statistics": "n_examples", "metrics": "mcc"}
    for kind, name in named.items():
        rows = json.loads(invoke("ls", kind, "--json")[1])
        found = {next(iter(row.values())): row for row in rows}
        assert found[name]["version"] >= 1 and all(row["reference"] for row in rows)
        assert all(row["what"] for row in rows), kind


def test_wrong_answers_stand_beside_the_base(places: dict[str, str]) -> None:
    folder = Path(places["STUDY"]).parent / "runs/tiny/cells"
    ours, base = (pd.read_parquet(folder / m / "tone/examples.parquet").set_index("id") for m in ("sums-s0", "base"))
    wrong = ours[ours["pred"] != ours["gold"]]
    assert 0 < len(wrong) < len(ours)
    status, out, _ = invoke(
        *("ls", "examples", places["STUDY"], "--task", "tone", "--model", "sums-s0", "--wrong", "-n", 99, "--json")
    )
    rows = json.loads(out)
    assert status == 0 and [row["id"] for row in rows] == list(wrong.index)
    for row in rows:
        assert row["base"]["predicted"] == base.loc[row["id"], "pred"] and row["predicted"] != row["right"]
        assert list(row["options"].values()) == list(ours.loc[row["id"], "logprobs"])
        assert list(row["base"]["options"].values()) == list(base.loc[row["id"], "logprobs"])
    asked = ("ls", "examples", places["STUDY"], "--task", "tone", "--model", "sums-s0", "-n", 99, "--json")
    hit, base_hit = ours["pred"] == ours["gold"], (base["pred"] == base["gold"]).loc[ours.index]
    outcomes = {
        "--won": hit & ~base_hit,
        "--lost": ~hit & base_hit,
        "--both-right": hit & base_hit,
        "--both-wrong": ~hit & ~base_hit,
        "--right": hit,
    }
    for flag, kept in outcomes.items():
        assert [row["id"] for row in json.loads(invoke(*asked, flag)[1])] == list(ours.index[kept]), flag
    _, text, _ = invoke("ls", "examples", places["STUDY"], "--task", "tone", "--model", "sums-s0", "--wrong", "-n", 1)
    assert "base: " in text and "log-likelihood" in text


def test_half_an_answer_is_not_right() -> None:
    from types import SimpleNamespace

    from traitscope.cli.listing import example_rows
    from traitscope.records import ExampleRecord

    records = [
        ExampleRecord(str(share), "g", "p", None, share, True, None, None, 1, 1, 1.0)
        for share in (0.0, 0.25, 0.99, 1.0)
    ]
    study: Any = SimpleNamespace(
        inner=(),
        config=SimpleNamespace(tasks={"t": None}),
        models=lambda: ("base",),
        read_records=lambda model, task: records,
        examples=lambda task: {"eval": []},
    )
    assert [row["id"] for row in example_rows(study, "base", "t", 9, "wrong")] == ["0.0", "0.25", "0.99"]
    assert [row["id"] for row in example_rows(study, "base", "t", 9, "right")] == ["1.0"]


def test_a_shell_completes_studies_tasks_and_models(places: dict[str, str]) -> None:
    study = Path(places["STUDY"])
    context: Any = type("Context", (), {"params": {"study": study}})
    assert str(study) in list(study_files(str(study)[:-4]))
    assert tasks_of(context, "") == ["tone", "sums", "story"]
    assert tasks_of(context, "tone,s") == ["tone,sums", "tone,story"]
    assert models_of(context, "a") == ["all-s0"] and "tone-s0" in models_of(context, "")
    assert tasks_of(type("Context", (), {"params": {"study": "nowhere.yaml"}}), "") == []  # type: ignore[arg-type]
    done = CliRunner().invoke(
        app, [], env={"_TRAITSCOPE_COMPLETE": "complete_bash", "COMP_WORDS": "traitscope ls par", "COMP_CWORD": "2"}
    )
    assert "parsers" in done.output


def test_results_have_a_short_repr_and_escaped_html(places: dict[str, str]) -> None:
    from traitscope import ScoreMatrix, choose_belt, fit_predictor, fit_traits, measure_effects
    from traitscope.belt import BeltFindings

    frame = pd.read_csv(places["MATRIX"], index_col=0)
    frame.columns = ["<script>alert(1)</script>", *frame.columns[1:]]
    scores = ScoreMatrix.from_wide(frame)
    study = Study.open(places["STUDY"])
    results = [
        scores,
        fit_traits(scores),
        measure_effects(scores),
        fit_predictor(scores),
        BeltFindings(choice=choose_belt(scores)),
        study,
        study.dataset_stats(),
        study.layers(causal=False),
        *study.layers(causal=False).layers.sections.values(),
    ]
    for result in results:
        assert len(repr(result)) < 300 and "\n" not in repr(result) and type(result).__name__ in repr(result)
        assert "<script>" not in result._repr_html_() and "<pre>" in result._repr_html_()
    assert "&lt;script&gt;" in scores._repr_html_()
    assert repr(scores) == "<ScoreMatrix: 12 models x 6 tasks, 72 cells>"


def test_a_terminal_of_sixty_columns_is_filled_and_no_library_speaks(places: dict[str, str], tmp_path: Path) -> None:
    import fcntl
    import os
    import pty
    import struct
    import subprocess
    import sys
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 60, 0, 0))
    env = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "NO_COLOR", "FORCE_COLOR")}
    (tmp_path / "chatty.py").write_text(
        "import logging, sys, warnings\n"
        "import traitscope.cli.show\n"
        "from traitscope.cli import main\n"
        "old = traitscope.cli.show.work_text\n"
        "def chatty(*given):\n"
        "    warnings.warn('a library warns')\n"
        "    logging.getLogger('somebody').warning('a library logs')\n"
        "    from tqdm import tqdm\n"
        "    list(tqdm(range(3), desc='a bar'))\n"
        "    return old(*given)\n"
        "traitscope.cli.show.work_text = chatty\n"
        "sys.argv = ['traitscope', *sys.argv[1:]]\n"
        "main()\n"
    )
    command = [sys.executable, str(tmp_path / "chatty.py"), "run", places["STUDY"]]
    with subprocess.Popen(command, stdout=theirs, stderr=subprocess.PIPE, env={**env, "TERM": "xterm"}) as process:
        os.close(theirs)
        said = b""
        while True:
            try:
                part = os.read(ours, 65536)
            except OSError:
                break
            if not part:
                break
            said += part
        assert process.stderr is not None
        err = process.stderr.read().decode()
    os.close(ours)
    plain = re.sub(r"\x1b\[[0-9;]*m", "", said.decode())
    assert process.returncode == 0 and "base" in plain, err
    assert max(map(cell_len, plain.splitlines())) <= 60
    assert "a library" not in err and "a bar" not in err and "nothing was missing" in err
