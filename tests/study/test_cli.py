"""The command line as a user meets it: verbs, messages, exit statuses, Ctrl-C, start-up time."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import tiny
import typer.main
from processes import snapshot
from typer.testing import CliRunner

from traitscope.cli import app
from traitscope.study import Study

VERBS = ["demo", "init", "check", "run", "train", "eval", "traits", "effects", "stats", "layers", "report", "ls"]
COMMAND = [sys.executable, "-c", "from traitscope.cli import main; main()"]


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory, base: Path) -> Path:
    """The study file of a filled folder."""
    study = tiny.make_study(tmp_path_factory.mktemp("filled"), base)
    assert invoke("run", study)[0] == 0
    return study


@pytest.fixture
def copy(filled: Path, tmp_path: Path) -> Path:
    shutil.copytree(filled.parent, tmp_path / "copy")
    return tmp_path / "copy/study.yaml"


def invoke(*arguments: object) -> tuple[int, str, str]:
    """Exit status, standard output and standard error of a verb run in this process."""
    result = CliRunner().invoke(app, [str(a) for a in arguments], env={"COLUMNS": "200"})
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


def test_help_names_every_verb_and_imports_nothing_heavy() -> None:
    code = (
        "import sys, time; start = time.perf_counter()\n"
        "import runpy; sys.argv = ['traitscope', '--help']\n"
        "from traitscope.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {"
        "'torch', 'transformers', 'peft', 'datasets', 'pandas', 'numpy', 'sklearn', 'matplotlib', 'pydantic'}\n"
        "print('heavy:', sorted(heavy & set(sys.modules)), 'seconds:', time.process_time())\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert all(f" {verb} " in done.stdout for verb in VERBS)
    last = done.stdout.splitlines()[-1]
    assert last.startswith("heavy: []")
    assert float(last.rsplit(" ", 1)[1]) < 1.0


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself(verb: str) -> None:
    status, out, _ = invoke(verb, "--help")
    assert status == 0 and "Usage" in out


def test_every_verb_gives_json_but_the_one_that_serves() -> None:
    verbs = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    assert [name for name, verb in verbs.items() if not any("--json" in one.opts for one in verb.params)] == ["view"]


def test_a_complete_study_is_passed_over_without_torch(filled: Path) -> None:
    code = (
        f"import sys; sys.argv = ['traitscope', 'run', {str(filled)!r}]\n"
        "from traitscope.cli import main\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code\n"
        "print('heavy:', sorted({'torch', 'transformers', 'peft', 'datasets'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "heavy: []"
    assert "nothing was computed" in done.stderr


def test_run_prints_the_matrix(filled: Path) -> None:
    status, out, err = invoke("run", filled, "--quiet")
    assert status == 0
    lines = out.splitlines()
    assert lines[0].split() == ["model", "tone", "sums", "story"]
    assert lines[1].split() == ["accuracy", "exact_match", "loss"]
    assert lines[3].startswith("best constant answer")
    models = ["base", "tone-s0", "tone.mislabel-s0", "sums-s0", "all-s0"]
    assert [line.split()[0] for line in [lines[2], *lines[4:8]]] == models
    assert "nothing was missing" in err


def test_run_says_what_it_does(study_file: Path) -> None:
    status, _, err = invoke("run", study_file)
    assert status == 0
    for words in ("training 4 adapters together", "adapters/all-s0", "cells/base/tone  accuracy", "15 cells evaluated"):
        assert words in err


def test_train_then_eval(study_file: Path) -> None:
    status, out, err = invoke("train", study_file)
    assert status == 0 and out == "" and "4 adapters trained" in err
    status, out, err = invoke("eval", study_file)
    assert status == 0 and "15 cells evaluated" in err and out.startswith("model")


def test_eval_rescore_judges_with_the_new_metric(copy: Path) -> None:
    copy.write_text(copy.read_text().replace("metrics: [accuracy, macro_f1]", "metrics: [mcc]"))
    status, out, err = invoke("eval", copy, "--rescore")
    assert status == 0 and "5 judged anew" in err
    assert out.splitlines()[1].split() == ["mcc", "exact_match", "loss"]


def test_check_shows_prompts_what_is_missing_and_the_cost(study_file: Path) -> None:
    status, out, _ = invoke("check", study_file)
    assert status == 0
    for words in (
        "tone  choice, accuracy, macro_f1; 12 train, 8 eval rows",
        "    | train ",
        "options: ' bad', ' good'",
    ):
        assert words in out
    assert "0 of 4 trained" in out and "0 of 15 evaluated" in out
    assert "tokens to train" in out and "of memory" in out and "on disk" in out
    assert not (study_file.parent / "runs").exists()


def test_check_counts_the_tokens_that_training_then_passes(study_file: Path) -> None:
    _, out, _ = invoke("check", study_file)
    promised = int(out.split(" tokens to train")[0].split()[-1].replace(",", ""))
    work = Study.open(study_file).train()
    assert work is not None
    assert promised == pytest.approx(work.tokens, rel=0.02)


def test_check_of_a_changed_study_says_what_no_longer_fits(copy: Path) -> None:
    copy.write_text(copy.read_text().replace("per_task: 6", "per_task: 7"))
    status, out, _ = invoke("check", copy, "--no-prompts")
    assert status == 0 and "adapters/all-s0" in out and "made under other settings" in out


def test_a_changed_study_is_exit_status_2_with_the_ways_on(copy: Path) -> None:
    copy.write_text(copy.read_text().replace("lr: 0.01", "lr: 0.5"))
    status, out, err = invoke("run", copy)
    assert status == 2 and out == ""
    assert "error: " in err and "recipe.lr: 0.01 -> 0.5" in err and "fix: " in err and "Traceback" not in err
    status, _, err = invoke("run", copy, "--out", copy.parent / "another")
    assert status == 0 and "15 cells" in err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["run", "nowhere.yaml"], "there is no such file"),
        (["run", "."], "holds no study"),
        (["run"], "there is no study.yaml in this folder"),
        (["traits", "nowhere.csv"], "nowhere.csv"),
        (["ls", "cells", "FILLED", "--task", "tune"], "did you mean 'tone'?"),
        (["ls", "cells", "FILLED", "--model", "tone-s9"], "did you mean"),
        (["ls", "examples", "FILLED"], "--task NAME"),
        (["layers", "FILLED", "--mix", "al"], "did you mean 'all'?"),
        (["init", "FILLED"], "is there already"),
    ],
)
def test_mistakes_are_one_message_and_exit_status_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, filled: Path, arguments: list[str], says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    status, _, err = invoke(*[str(filled) if a == "FILLED" else a for a in arguments])
    assert status == 2 and says in err and "fix: " in err


def test_ls_lists_tasks_metrics_adapters_cells_and_examples(filled: Path) -> None:
    _, out, _ = invoke("ls", "tasks", filled)
    assert out.splitlines()[1].split() == ["tone", "choice", "accuracy,", "macro_f1", "12", "8", "kind:", "sentiment"]
    assert "macro_f1" in invoke("ls", "metrics")[1]
    _, out, _ = invoke("ls", "adapters", filled)
    assert len(out.splitlines()) == 5 and out.count("trained") == 4
    _, out, _ = invoke("ls", "cells", filled, "--model", "base", "--task", "tone")
    assert [line.split()[2] for line in out.splitlines()[1:-1]] == ["accuracy*", "macro_f1", "loss"]
    _, out, _ = invoke("ls", "examples", filled, "--task", "sums", "-n", 2)
    assert out.count("-> ") == 4
    _, out, _ = invoke("ls", "examples", filled, "--task", "sums", "--model", "base", "-n", 1)
    assert "right: " in out and "wrote " in out and out.count("-> ") == 1


def test_traits_of_a_bare_matrix_file(tmp_path: Path) -> None:
    import numpy as np
    import pandas as pd

    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(6, 4)) + 5 * rng.normal(size=(6, 1)), columns=list("abcd"))
    frame.insert(0, "model", [f"m{i}" for i in range(6)])
    frame.to_csv(tmp_path / "matrix.csv", index=False)
    status, out, _ = invoke("traits", tmp_path / "matrix.csv", "--out", tmp_path / "traits.json")
    assert status == 0 and "T1" in out
    saved = json.loads((tmp_path / "traits.json").read_text())
    assert (
        saved["tasks"]["items"] == list("abcd") if isinstance(saved["tasks"], dict) else saved["tasks"] == list("abcd")
    )


def test_traits_effects_and_stats_of_a_study_print_and_write_their_findings(copy: Path) -> None:
    # Two sources are too few for traits of transfer alone.
    status, _, err = invoke("traits", copy)
    assert status == 2 and "--own include" in err
    for verb, more in (("traits", ("--own", "include")), ("effects", ()), ("stats", ())):
        status, out, _ = invoke(verb, copy, *more)
        assert status == 0 and out.strip()
        written = (copy.parent / "runs/tiny/analysis" / f"{verb}.json").read_text()
        assert json.loads(invoke(verb, copy, *more, "--json")[1]) == json.loads(written)


def test_init_writes_a_study_that_is_valid_and_refuses_to_overwrite(tmp_path: Path) -> None:
    from traitscope.config import load_config

    status, out, _ = invoke("init", tmp_path / "study.yaml")
    assert status == 0 and "traitscope run" in out
    assert load_config(tmp_path / "study.yaml").study == "my-study"
    (tmp_path / "study.yaml").write_text("mine")
    assert invoke("init", tmp_path / "study.yaml")[0] == 2
    assert (tmp_path / "study.yaml").read_text() == "mine"
    assert invoke("init", tmp_path / "study.yaml", "--force")[0] == 0
    status, out, errors = invoke("check", tmp_path / "study.yaml")
    assert status == 0 and "0 of 18 evaluated" in out, errors


def test_a_reader_that_goes_away_is_no_error(filled: Path) -> None:
    done = subprocess.run(
        f"{' '.join(COMMAND[:1])} -c '{COMMAND[2]}' ls cells {filled} | head -1",
        shell=True, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0 and done.stdout.startswith("model") and "Traceback" not in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.verify)])
def test_a_signal_saves_the_bank_says_how_to_go_on_and_is_the_status_of_a_shell(
    study_file: Path, filled: Path, number: signal.Signals
) -> None:
    text = study_file.read_text().replace("epochs: 2", "epochs: 400")
    study_file.write_text(text)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    running = subprocess.Popen(
        [*COMMAND, "run", str(study_file)], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    )
    folder = study_file.parent / "runs/tiny"
    end = time.monotonic() + 120
    while not list(folder.glob("plan/bank-*.json")) and time.monotonic() < end:
        time.sleep(0.05)
    time.sleep(0.5)
    running.send_signal(number)
    _, err = running.communicate(timeout=120)
    assert running.returncode == {signal.SIGINT: 130, signal.SIGTERM: 143}[number]
    assert "run the same command again" in err and "Traceback" not in err
    assert list(folder.glob("checkpoints/bank-*/*"))
    assert list((folder / "leases").iterdir()) == [folder / "leases/.guard"]


def test_a_read_only_folder_is_analysed_and_refuses_to_run(copy: Path, tmp_path: Path) -> None:
    folder = tmp_path / "fixed"
    shutil.move(copy.parent / "runs/tiny", folder)
    mounted = subprocess.run(["mount", "--bind", folder, folder], capture_output=True)
    if mounted.returncode:
        pytest.skip("a read-only mount needs root")
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", folder], check=True)
        status, out, _ = invoke("traits", copy, "--out", folder, "--own", "include")
        assert status == 0 and "T1" in out
        assert invoke("run", copy, "--out", folder)[0] == 0
        copy.write_text(copy.read_text().replace("eval: 6", "eval: 9"))
        status, _, err = invoke("run", copy, "--out", folder)
        assert status == 2 and "cannot be written" in err
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def test_a_full_disk_stops_the_run_with_one_message_and_the_next_run_goes_on(
    filled: Path, study_file: Path, tmp_path: Path
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=160k", "none", disk], capture_output=True).returncode:
        pytest.skip("mounting a small disk needs root")
    try:
        status, _, err = invoke("run", study_file, "--out", disk / "out")
        assert status == 2 and "no space left on the disk" in err and "every finished unit is kept" in err
        subprocess.run(["mount", "-o", "remount,size=20m", disk], check=True)
        assert invoke("run", study_file, "--out", disk / "out")[0] == 0
        assert snapshot(disk / "out") == snapshot(filled.parent / "runs/tiny")
    finally:
        subprocess.run(["umount", "-l", disk], check=True)
