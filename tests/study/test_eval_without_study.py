"""``traitscope eval --base B --adapters a b c --tasks t.yaml``: a matrix without a study file, kept in a run folder."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import foreign
import numpy as np
import pytest
import tiny
import yaml
from typer.testing import CliRunner

from traitscope.cli import app
from traitscope.errors import TraitscopeError
from traitscope.study import Study
from traitscope.study.unwritten import unwritten_study

TASKS = """\
tone:
  data: {path: {train: tone-train.jsonl, eval: tone-eval.jsonl}, eval: 8}
  prompt: "{{ text }} is"
  answer: {choice: [" bad", " good"], gold: "{{ label }}"}
story:
  data: {path: {eval: story-eval.jsonl}, eval: 5}
  answer: {loss: "{{ text }}"}
"""
OPTIONS = ["--set", "base.dtype=fp32", "--set", "compute={device: cpu, threads: 1, workers: 1}"]


@pytest.fixture(scope="module")
def made(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Adapters, models and rows, as somebody has them on a disk."""
    folder = tmp_path_factory.mktemp("made")
    tiny.make_tasks(folder)
    (folder / "t.yaml").write_text(TASKS)
    for kind in ("plain", "dora", "patterns"):
        foreign.make_adapter(kind, base, folder / "lora" / kind)
    for place, kind in (("first", "plain"), ("second", "two-layers")):
        foreign.make_adapter(kind, base, folder / place / "final")
    shutil.copytree(base, folder / "base")
    foreign.merged_model(base, folder / "lora/dora", folder / "whole")
    return folder


@pytest.fixture
def here(made: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A working directory of its own in which the same things lie."""
    for path in made.iterdir():
        (tmp_path / path.name).symlink_to(path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRAITSCOPE_CACHE", str(made / "cache"))
    return tmp_path


def call(*arguments: str) -> tuple[int, str, str]:
    """Exit status, standard output and standard error of ``traitscope eval``."""
    done = CliRunner().invoke(app, ["eval", *arguments, *OPTIONS], env={"COLUMNS": "200"})
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.stdout, done.stderr


def shown(text: str) -> dict[str, list[str]]:
    """The printed scores by row, without their marks."""
    lines = [line.split() for line in text.splitlines()[2:]]
    return {line[0]: [cell.rstrip("+-=?") for cell in line[1:]] for line in lines if len(line) == 3}


def accuracy(made: Path, model: object, tokenizer: object) -> float:
    """Of a model on the rows of ``tone`` by hand: how often the likelier word is the label."""
    ids = [f"eval-{n}" for n in range(16)]
    labels = [json.loads(line)["label"] for line in (made / "tone-eval.jsonl").read_text().splitlines()]
    found = foreign.option_logprobs(model, tokenizer, foreign.tone_prompts(made, ids), [" bad", " good"])
    chosen = [("bad", "good")[int(np.argmax(row))] for row in found]
    return float(np.mean([one == label for one, label in zip(chosen, labels, strict=True)]))


def test_the_printed_matrix_is_what_pefts_own_models_score(here: Path, made: Path, base: Path) -> None:
    (here / "all.yaml").write_text(TASKS.replace("eval: 8}", "eval: 16}"))
    status, out, said = call("--base", "base", "--adapters", "lora/plain", "lora/dora", "--tasks", "all.yaml")
    assert status == 0 and "6 cells evaluated" in said
    assert out.splitlines()[0].split() == ["model", "tone", "story"]
    table = shown(out)
    assert list(table) == ["base", "plain", "dora"]
    for name in ("plain", "dora"):
        assert table[name][0] == f"{accuracy(made, *foreign.peft_model(base, made / 'lora' / name)):.3f}"
    (folder,) = (here / "runs").iterdir()
    for name in ("plain", "dora"):
        records = Study.open(folder).records(name, "tone")
        prompts = foreign.tone_prompts(made, records["id"])
        theirs = foreign.option_logprobs(*foreign.peft_model(base, made / "lora" / name), prompts, [" bad", " good"])
        assert [list(row) for row in records["logprobs"]] == [pytest.approx(row, abs=2e-4) for row in theirs]


def test_the_same_command_computes_nothing_and_further_rows_are_added(here: Path) -> None:
    first = ["--base", "base", "--adapters", "lora/plain", "--tasks", "t.yaml"]
    assert call(*first)[0] == 0
    (folder,) = (here / "runs").iterdir()
    assert folder.name.startswith("eval-t-")
    status, out, said = call(*first)
    assert status == 0 and "nothing was missing" in said and list(shown(out)) == ["base", "plain"]
    status, out, said = call("--base", "base", "--adapters", "lora/pat*", "--models", "whole", "--tasks", "t.yaml")
    assert "4 cells evaluated" in said and list(shown(out)) == ["base", "patterns", "whole"]
    assert [path.name for path in (here / "runs").iterdir()] == [folder.name]
    # The folder is a study with all of them, that every other verb takes.
    assert list(Study.open(folder).score_table().model.unique()) == ["base", "plain", "patterns", "whole"]
    done = CliRunner().invoke(app, ["eval", str(folder), "--json"])
    assert json.loads(done.stdout)["complete"]


def test_a_limit_is_grown_by_the_next_call_and_json_holds_the_named_rows_alone(here: Path) -> None:
    given = ["--base", "base", "--adapters", "lora/plain,lora/patterns", "--tasks", "t.yaml", "--out", "kept", "--json"]
    found = json.loads(call(*given, "--limit", "3")[1])
    assert {row["n"] for row in found["scores"]} == {3} and not found["complete"]
    found = json.loads(call("--base", "base", "--adapters", "lora/plain", *given[4:])[1])
    sizes = {(row["model"], row["task"]): row["n"] for row in found["scores"]}
    assert sizes == {(model, task): n for model in ("base", "plain") for task, n in (("tone", 8), ("story", 5))}
    assert found["complete"] and found["folder"] == "kept"


def names(*adapters: str, models: tuple[str, ...] = (), out: Path | None = None, tasks: str = "t.yaml") -> list[str]:
    return list(unwritten_study(Path(tasks), base="base", adapters=adapters, models=models, out=out).rows)


def test_rows_are_called_by_the_folders_that_tell_them_apart(here: Path, made: Path) -> None:
    assert names("lora") == ["dora", "patterns", "plain"]
    assert names("first/final", "lora/plain") == ["final", "plain"]
    shutil.copytree(here / "lora/plain", here / "ünï")
    assert names("ünï") == ["uni"]
    assert names("first/final", "second/final") == ["first-final", "second-final"]
    assert names("someone/a-lora", "other/a-lora", "a.b/c") == ["someone-a-lora", "other-a-lora", "c"]
    assert names("lora/plain", "lora/plain/", "./lora/plain") == ["plain"]
    assert names(models=("base", "whole")) == [f"{made.name}-base", "whole"]
    for text, plain in (("łódź", "lodz"), ("straße", "strasse"), ("Ørsted", "Orsted")):
        shutil.copytree(here / "lora/plain", here / text)
        assert names(text) == [plain]
    long = ["x" * 70 + "-one", "x" * 70 + "-two"]
    assert [name[-6:] for name in names(*(f"someone/{one}" for one in long))] == ["xx-one", "xx-two"]
    # A row that is called like a task would be taken for what was trained on it.
    shutil.copytree(here / "lora/plain", here / "tone")
    assert names("tone") == [f"{here.name}-tone"]


def test_a_name_holds_no_place_of_the_machine_and_is_the_same_in_other_company(here: Path) -> None:
    folders = ["日本語", "中文", "😀", "Ω", "__", "模型a"]
    for folder in folders:
        shutil.copytree(here / "lora/plain", here / "in" / folder)
    found = dict(zip(sorted(folders), names("in"), strict=True))
    assert all(re.fullmatch("row-[0-9a-f]{4}" if one != "模型a" else "a-[0-9a-f]{4}", found[one]) for one in folders)
    assert len(set(found.values())) == len(folders)
    assert all(names(f"in/{one}") == [found[one]] for one in folders)
    # Names that differ in case alone are one file on some disks.
    both = names("someone/a", "someone/A")
    assert re.fullmatch("a-[0-9a-f]{4} A-[0-9a-f]{4}", " ".join(both)) and both[0][2:] != both[1][2:]
    assert names("someone/A", "someone/a") == both[::-1] and names("someone/A") == ["A"]


def test_a_name_that_the_folder_knows_stays_with_its_model(here: Path) -> None:
    given = ["--base", "base", "--adapters", "first/final", "--tasks", "t.yaml", "--out", "kept", "--limit", "2"]
    assert call(*given)[0] == 0
    out = here / "kept"
    assert names("second/final", "first/final", out=out) == ["second-final", "final"]


def test_what_a_row_was_trained_on_is_told_once(here: Path) -> None:
    given = ["--base", "base", "--adapters", "lora/plain", "--tasks", "t.yaml", "--out", "kept", "--limit", "2"]
    assert call(*given, "--set", "models.plain.trained_on=[tone]")[0] == 0
    assert call(*given)[0] == 0
    assert yaml.safe_load((here / "kept/study.yaml").read_text())["models"]["plain"]["trained_on"] == ["tone"]
    matrix = Study.open(here / "kept").scores()
    row = matrix.models.index("plain")
    assert matrix.roles_I[row].kind == "source"
    assert dict(zip(matrix.tasks, matrix.relation_IN[row], strict=True)) == {"tone": "own", "story": "transfer"}
    assert matrix.transfer_IN[row].tolist() == [task == "story" for task in matrix.tasks]


def test_tasks_come_from_a_study_file_with_its_base(here: Path, base: Path) -> None:
    tiny.make_study(here / "study", base)
    found = unwritten_study(here / "study/study.yaml", adapters=["lora/plain"], out=None)
    assert list(found.config.tasks) == ["tone", "sums", "story"] and found.config.base.model == str(base)
    assert found.config.base.dtype == "fp32" and found.config.resolved_sources() == ()
    assert unwritten_study(here / "study", base="base", adapters=["lora/plain"], out=None).config.base.model == str(
        (here / "base").resolve()
    )


def test_another_base_is_another_folder(here: Path) -> None:
    given = {"adapters": ["lora/plain"], "out": None}
    assert len({unwritten_study(Path("t.yaml"), base=base, **given).folder for base in ("base", "whole")}) == 2


REFUSED = {
    "no tasks": (["--base", "base", "--adapters", "lora/plain"], "the file with the tasks is not named"),
    "two files": (["--base", "base", "--adapters", "lora", "--tasks", "t.yaml", "--tasks", "u.yaml"], "2 files"),
    "no base": (["--adapters", "lora/plain", "--tasks", "t.yaml"], "no base is named"),
    "a study beside": (["x.yaml", "--base", "base", "--adapters", "lora", "--tasks", "t.yaml"], "under models:"),
    "study.yaml": (["study.yaml", "--base", "base", "--adapters", "lora", "--tasks", "t.yaml"], "beside study.yaml"),
    "a study behind": (["--adapters", "lora", "--base", "base", "x.yaml", "--tasks", "t.yaml"], "--tasks x.yaml"),
    "a model": (["--base", "base", "--adapters", "whole", "--tasks", "t.yaml"], "is a full model, no adapter"),
    "an adapter": (["--base", "base", "--models", "lora/plain", "--tasks", "t.yaml"], "is an adapter, no model"),
    "nothing there": (["--base", "base", "--adapters", "./gone", "--tasks", "t.yaml"], "no model folder at this path"),
    "a revision": (["--base", "base", "--adapters", "lora/plain@v2", "--tasks", "t.yaml"], "has no revision 'v2'"),
    "too long": (["--base", "base", "--adapters", "x" * 5000, "--tasks", "t.yaml"], "is no id of the Hub"),
    "a base too long": (["--base", "x" * 300, "--adapters", "lora", "--tasks", "t.yaml"], "is no id of the Hub"),
    "a model too long": (["--base", "base", "--models", "x" * 300, "--tasks", "t.yaml"], "is no id of the Hub"),
    "no match": (["--base", "base", "--adapters", "lora/x*", "--tasks", "t.yaml"], "nothing matches 'lora/x*'"),
    "an empty folder": (["--base", "base", "--adapters", "empty", "--tasks", "t.yaml"], "holds no adapter_config.json"),
    "no file": (["--base", "base", "--adapters", "lora", "--tasks", "gone.yaml"], "there is no such file"),
    "no mapping": (["--base", "base", "--adapters", "lora", "--tasks", "list.yaml"], "holds no tasks"),
    "a wrong key": (["--base", "base", "--adapters", "lora", "--tasks", "wrong.yaml"], "wrong.yaml:1, key tasks.tone"),
    "a judgement": (["--base", "base", "--adapters", "lora", "--tasks", "t.yaml", "--rescore"], "--rescore"),
    "a study's folder": (
        ["--base", "base", "--adapters", "lora", "--tasks", "t.yaml", "--out", "kept"],
        "a study that trains",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_mistake_is_one_error_with_its_place_and_its_fix(name: str, here: Path) -> None:
    (here / "empty").mkdir()
    (here / "list.yaml").write_text("- a\n")
    (here / "wrong.yaml").write_text("tone: {promt: x}\n")
    (here / "kept").mkdir()
    (here / "kept/study.yaml").write_text("study: s\n")
    (here / "kept/lock.json").write_text("{}")
    arguments, told = REFUSED[name]
    status, out, said = call(*arguments)
    assert status == 2 and out == "" and told in said and "fix:" in said
    assert not (here / "runs").exists()


def test_a_file_that_is_called_with_a_comma_is_one_row(here: Path) -> None:
    (here / "a,b").symlink_to(here / "lora/plain")
    found = unwritten_study(Path("t.yaml"), base="base", adapters=["a,b"], out=None)
    assert len(found.rows) == 1


def test_a_base_that_is_not_there_is_told(here: Path) -> None:
    with pytest.raises(TraitscopeError, match="no model folder at this path"):
        unwritten_study(Path("t.yaml"), base="./gone", adapters=["lora"], out=None)
