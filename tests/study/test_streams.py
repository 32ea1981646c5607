"""Standard streams that are closed, full or no longer read; options that nothing would heed; what a shell completes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from traitscope.cli import app
from traitscope.cli.completion import models_of, study_files, words

COMMAND = f"{sys.executable} -c 'from traitscope.cli import main; main()'"


def shell(line: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """What a shell does with a line in which ``traitscope`` stands for the command."""
    return subprocess.run(
        ["bash", "-c", line.replace("traitscope", COMMAND)], cwd=folder, capture_output=True, text=True, timeout=60
    )


@pytest.mark.parametrize("words", ["--version", "--help", "ls --help", "ls metrics --json"])
def test_full_standard_output_is_told_by_its_name(words: str, tmp_path: Path) -> None:
    done = shell(f"traitscope {words} >/dev/full", tmp_path)
    assert done.returncode == 2 and "standard output: cannot be written: No space left" in done.stderr
    assert (
        "Traceback" not in done.stderr
        and "Exception ignored" not in done.stderr
        and "every finished" not in done.stderr
    )


def test_closed_streams_are_no_error(tmp_path: Path) -> None:
    lines = ("traitscope --version >&-", "traitscope init a.yaml >&- 2>&- <&-", "traitscope ls metrics 2>&-")
    done = shell(" && ".join([*lines, "test -s a.yaml"]), tmp_path)
    assert done.returncode == 0 and done.stderr == "" and "macro_f1" in done.stdout
    assert shell("traitscope traits nowhere.csv 2>&-", tmp_path).returncode == 2


@pytest.mark.parametrize("words", ["--help", "ls --help"])
def test_a_reader_of_help_may_go_away(words: str, tmp_path: Path) -> None:
    done = shell(f"traitscope {words} | true; echo ${{PIPESTATUS[0]}}", tmp_path)
    assert done.stdout == "0\n" and done.stderr == ""


def invoke(*arguments: object) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, [str(a) for a in arguments], env={"COLUMNS": "1000"})
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.stdout, done.stderr


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("predict m.csv --protocols cells", "--protocols: goes with --evaluate"),
        ("predict m.csv --seed 3", "--seed: goes with --evaluate"),
        ("predict m.csv --evidence text", "--evidence: is for a study"),
        ("predict m.csv --evaluate --evidence text", "--evidence: is for a study"),
        ("predict m.csv --evaluate --others o.csv", "--others: is for a study"),
        ("predict m.csv --evaluate --task x", "--task: does not go with --evaluate"),
        ("predict study.yaml --evaluate --new x.csv", "--new: does not go with --evaluate"),
        ("predict study.yaml --evaluate --explain", "--explain: does not go with --evaluate"),
        ("predict study.yaml --of base", "--of: is for a matrix file"),
        ("plan study.yaml --of base", "--of: is for a matrix file"),
        ("plan study.yaml --rule nix", "--rule: is for a matrix file"),
        ("plan study.yaml --margin 0.5", "--margin: goes with --budget"),
        ("plan m.csv --budget 25% --margin 0.5", "--margin: is for a study"),
        ("plan m.csv --budget 25% --out x", "--out: is for a study"),
        ("run study.yaml --margin 0.5", "--margin: goes with --budget"),
        ("belt m.csv --merge ties", "--merge: is for a study"),
        ("belt m.csv --rule arrow", "--rule: is for a study"),
        ("belt study.yaml --merge none --merge ties", "--merge: none goes alone"),
        ("belt study.yaml --merge none --weights gain", "--weights: does nothing without --merge"),
        ("ls tasks study.yaml --task nix", "--task: is for cells and examples"),
        ("ls adapters study.yaml --model nix", "--model: is for cells and examples"),
        ("ls metrics --model x", "--model: is for cells and examples"),
        ("ls metrics --out x", "--out: is for a study"),
        ("ls metrics --set recipe.rank=2", "--set: is for a study"),
        ("effects m.csv --alpha=0.1 --alpha=0.2", "--alpha is given 2 times"),
        ("effects m.csv -n 3 -n3", "-n is given 2 times"),
        ("traits m.csv --out a -o b", "--out is given 2 times"),
        ("effects m.csv --out x-n 3", "x-n: is a space missing before -n?"),
        ("effects m.csv --out x--json", "is a space missing before --json?"),
        ("effects m.csv more", "unexpected extra argument"),
    ],
)
def test_an_option_that_nothing_heeds_is_refused(
    line: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    # None of them is read: an option is refused before any work.
    (tmp_path / "m.csv").write_text("model,a\n")
    status, out, err = invoke(*line.replace("study.yaml", "nowhere.yaml").split())
    assert status == 2 and out == "" and says in err and list(tmp_path.iterdir()) == [tmp_path / "m.csv"]


def test_flags_and_lists_may_be_given_twice() -> None:
    status, out, _ = invoke("ls", "metrics", "--json", "--json")
    assert status == 0 and out.startswith("[")
    assert "'x'" in invoke("belt", "m.csv", "--merge", "ties", "--merge", "x")[2]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("tasks.new.data.path=x", "--set tasks.new.data.path, key tasks.new.answer: the key 'answer' is missing"),
        ("a.b.c.d=1", "--set a.b.c.d: unknown key 'a'"),
        ("recipe.x.y=1", "--set recipe.x.y: unknown key 'x'"),
        ("recipe.rank=0", "--set recipe.rank: "),
        ("tasks.tone.prompt.x=1", "--set tasks.tone.prompt.x: "),
    ],
)
def test_what_a_change_made_is_blamed_on_it(change: str, says: str, study_file: Path) -> None:
    status, _, err = invoke("check", study_file, "--set", change)
    assert status == 2 and err.startswith(f"error: {says}")


STUDY = """\
tasks:
  tone: {data: {path: {train: a, eval: b}}}
  sums: {data: {embedded: x}}
  story: {data: {path: {eval: c}}}
  held: {data: {path: d, train: 0}}
  split: {data: {hub: e, splits: {eval: f}}}
controls: {tone: [mislabel, shuffle], sums: mislabel}
"""


def test_a_shell_completes_controls_and_no_adapter_of_a_task_without_training_rows(tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text(STUDY)
    context: Any = type("Context", (), {"params": {"study": tmp_path / "study.yaml"}})
    assert models_of(context, "tone.m") == ["tone.mislabel-s0"]
    assert models_of(context, "") == [
        *("base", "tone-s0", "tone.mislabel-s0", "tone.shuffle-s0", "sums-s0", "sums.mislabel-s0"),
    ]


def test_a_shell_completes_words_and_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.csv").touch()
    (tmp_path / "runs").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path))
    assert list(study_files("~/")) == ["~/a.csv", "~/runs/"] and list(study_files("~/a")) == ["~/a.csv"]
    assert words("raw", "gain")("g") == ["gain"] and words("text", "base")("text,b") == ["text,base"]
    for option, word in (("--view", "logit"), ("--rotate", "promax"), ("--unit", "percent"), ("--layout", "wide")):
        env = {
            "_TRAITSCOPE_COMPLETE": "complete_bash",
            "COMP_WORDS": f"traitscope traits m.csv {option} ",
            "COMP_CWORD": "4",
        }
        assert word in CliRunner().invoke(app, [], env=env).output.split()
