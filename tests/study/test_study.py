"""A study from its file to its matrix: what is made once, what grows, what is judged anew, what is refused."""

from __future__ import annotations

import functools
import json
import shutil
from pathlib import Path

import pytest
import tiny
from backends import Idle
from forged import forge
from processes import log_of, snapshot

from traitscope.config import StudyConfig, load_config
from traitscope.errors import TraitscopeError
from traitscope.study import Stopped, Study

ADAPTERS = ["tone-s0", "tone.mislabel-s0", "sums-s0", "all-s0"]
TASKS = ["tone", "sums", "story"]


class Heard:
    """A reporter that keeps what it is told."""

    def __init__(self) -> None:
        self.units: list[str] = []
        self.notes: list[str] = []
        self.stages: list[str] = []

    def stage(self, text: str) -> None:
        self.stages.append(text)

    def progress(
        self, done: float, total: float, *, unit: str, per_s: float, seconds_left: float, note: str = ""
    ) -> None:
        assert 0 <= done <= total

    def finished(self, unit: str, text: str = "") -> None:
        self.units.append(unit)

    def note(self, text: str) -> None:
        self.notes.append(text)


def test_a_run_fills_every_row_and_column(filled: Path) -> None:
    study = Study.open(filled / "study.yaml")
    scores = study.scores()
    assert list(scores.models) == ["base", *ADAPTERS] and list(scores.tasks) == TASKS
    assert study.plan().complete
    heads = {(head.model, head.task): head.n for head in study.cells()}
    sizes = {"tone": 8, "sums": 6, "story": 5}
    assert heads == {(model, task): n for model in ["base", *ADAPTERS] for task, n in sizes.items()}


def test_the_folder_has_the_documented_files(filled: Path) -> None:
    names = {path.relative_to(filled / "runs/tiny").as_posix() for path in (filled / "runs/tiny").rglob("*")}
    for name in (
        "study.yaml",
        "lock.json",
        "tasks/tone.parquet",
        "adapters/all-s0/adapter_model.safetensors",
        "adapters/all-s0/adapter_config.json",
        "adapters/all-s0/README.md",
        "adapters/all-s0/train.parquet",
        "adapters/all-s0/unit.json",
        "cells/base/tone/cell.json",
        "cells/base/tone/examples.parquet",
    ):
        assert name in names
    assert "checkpoints" not in names
    assert not any(".tmp-" in name for name in names)


def test_a_complete_study_loads_no_rows_and_computes_nothing(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # What is remembered of rows holds for the plugins of the process, which another test may have left.
    Study.open(copy, backend=Idle()).run()
    before = snapshot(copy.parent / "runs/tiny")
    study = Study.open(copy, backend=Idle())
    for task in study.data.tasks.values():
        monkeypatch.setattr(task, "load", None)
    assert study.run() is None
    assert snapshot(copy.parent / "runs/tiny") == before


def test_a_missing_cell_is_the_only_one_computed_and_comes_out_the_same(copy: Path) -> None:
    folder = copy.parent / "runs/tiny"
    before = snapshot(folder)
    shutil.rmtree(folder / "cells/sums-s0/tone")
    work = Study.open(copy).run()
    assert work is not None and work.evaluated == ["cells/sums-s0/tone"] and work.trained == []
    assert snapshot(folder) == before


def test_records_agree_with_the_scores_of_their_cell(filled: Path) -> None:
    study = Study.open(filled / "study.yaml")
    table = study.score_table().set_index(["model", "task", "metric"])
    for model in ("base", "all-s0"):
        records = study.records(model, "tone")
        assert table.loc[(model, "tone", "accuracy"), "value"] == records["correct"].mean()
        assert table.loc[(model, "story", "loss"), "value"] == pytest.approx(
            study.records(model, "story")["loss"].mean()
        )
        assert records["id"].tolist() == [example.id for example in study.examples("tone")["eval"]]


def test_a_control_is_trained_on_the_same_prompts_with_wrong_labels(filled: Path) -> None:
    study = Study.open(filled / "study.yaml")
    plain, control = (s for s in study.config.resolved_sources() if s.task == "tone")
    rows, altered = study.data.train(plain), study.data.train(control)
    assert [r.prompt for r in rows] == [r.prompt for r in altered]
    assert all(r.answer != a.answer for r, a in zip(rows, altered, strict=True))


def test_more_eval_rows_grow_the_cells_and_keep_the_first_ones(copy: Path) -> None:
    before = Study.open(copy).records("all-s0", "sums")
    tiny.change(copy, "train: 12, eval: 6", "train: 12, eval: 10")
    work = Study.open(copy).run()
    assert work is not None and work.trained == []
    assert sorted(work.evaluated) == sorted(f"cells/{model}/sums" for model in ["base", *ADAPTERS])
    study = Study.open(copy)
    after = study.records("all-s0", "sums")
    assert len(after) == 10 and after.iloc[:6].equals(before)
    assert len(study.examples("sums")["eval"]) == 10


def test_a_grown_cell_scores_as_one_evaluated_at_once(copy: Path, tmp_path: Path, base: Path) -> None:
    tiny.change(copy, "eval: 5", "eval: 9")
    Study.open(copy).run()
    shutil.rmtree(copy.parent / "runs/tiny/cells")
    grown = json.loads((copy.parent / "runs/tiny/lock.json").read_text())["tasks"]["story"]
    Study.open(copy).run()
    assert json.loads((copy.parent / "runs/tiny/lock.json").read_text())["tasks"]["story"] == grown
    assert Study.open(copy).records("base", "story").shape[0] == 9


def test_fewer_eval_rows_leave_cells_and_rows_as_they_are(copy: Path) -> None:
    tiny.change(copy, "eval: 8", "eval: 4")
    study = Study.open(copy)
    assert study.run() is None
    assert len(study.records("base", "tone")) == 8
    assert len(study.examples("tone")["eval"]) == 8


def test_a_new_source_adds_its_units_alone(copy: Path) -> None:
    tiny.change(copy, "seeds: [0]", "seeds: [0, 1]")
    work = Study.open(copy).run()
    assert work is not None
    assert sorted(work.trained) == sorted(name.replace("-s0", "-s1") for name in ADAPTERS)
    assert len(work.evaluated) == len(ADAPTERS) * len(TASKS)


def test_another_metric_is_judged_from_the_records_without_a_model(copy: Path) -> None:
    tiny.change(copy, "[accuracy, macro_f1]", "[macro_f1, accuracy, mcc]")
    study = Study.open(copy, backend=Idle())
    work = study.run()
    assert work is not None and len(work.rescored) == 5 and work.evaluated == []
    table = study.score_table()
    tone = table[(table.task == "tone") & (table.model == "base")]
    assert tone.metric.tolist() == ["macro_f1", "accuracy", "mcc", "loss"]
    assert tone.primary.tolist() == [True, False, False, False]


def test_another_parser_reads_the_stored_outputs_again(copy: Path) -> None:
    tiny.change(copy, "parse: final_number", "parse: raw")
    study = Study.open(copy)
    before = study.records("base", "sums")
    work = study.rescore()
    assert sorted(work.rescored) == sorted(f"cells/{model}/sums" for model in ["base", *ADAPTERS])
    after = study.records("base", "sums")
    assert after["output"].tolist() == before["output"].tolist()
    assert after["pred"].tolist() == [text.strip() or None for text in before["output"]]


def test_rescoring_an_unchanged_study_changes_nothing(copy: Path) -> None:
    before = snapshot(copy.parent / "runs/tiny")
    assert Study.open(copy).rescore().rescored == []
    assert snapshot(copy.parent / "runs/tiny") == before


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("lr: 0.01", "lr: 0.02", "recipe.lr: 0.01 -> 0.02"),
        ("rank: 2", "rank: 3", "recipe.rank: 2 -> 3"),
        ("{{ text }} is", "{{ text }} was", "tasks.tone.prompt"),
        ("max_tokens: 4,", "max_tokens: 5,", "tasks.sums.answer.generate.max_tokens: 4 -> 5"),
        ("per_task: 6", "per_task: 7", "mixes.all.per_task: 6 -> 7"),
        ("dtype: fp32", "dtype: fp64", "base.dtype"),
    ],
)
def test_a_changed_study_is_refused_with_what_changed(copy: Path, old: str, new: str, says: str) -> None:
    tiny.change(copy, old, new)
    with pytest.raises(TraitscopeError) as caught:
        Study.open(copy).run()
    assert says in str(caught.value)
    assert "--out" in str(caught.value) and "--replace" in str(caught.value)


def test_changed_rows_are_refused_though_the_study_file_is_the_same(copy: Path) -> None:
    path = copy.parent / "tone-eval.jsonl"
    path.write_text(path.read_text().replace("eval ", "evaluation "))
    with pytest.raises(TraitscopeError, match="evaluation rows"):
        Study.open(copy).run()


def test_another_base_is_refused(copy: Path, tmp_path: Path, base: Path) -> None:
    other = tiny.make_base(tmp_path / "other-base", seed=1)
    tiny.change(copy, str(base), str(other))
    with pytest.raises(TraitscopeError, match=r"base.model"):
        Study.open(copy).run()


def test_replace_puts_the_old_units_aside_and_makes_only_them_anew(copy: Path) -> None:
    tiny.change(copy, "per_task: 6", "per_task: 7")
    work = Study.open(copy).run(replace=True)
    assert work is not None and work.trained == ["all-s0"]
    assert sorted(work.evaluated) == [f"cells/all-s0/{task}" for task in sorted(TASKS)]
    (aside,) = (copy.parent / "runs/tiny/replaced").iterdir()
    assert (aside / "adapters/all-s0/unit.json").is_file() and (aside / "cells/all-s0/tone/cell.json").is_file()
    assert Study.open(copy).run() is None


def test_a_moved_data_folder_or_a_renamed_study_is_no_change(copy: Path, tmp_path: Path) -> None:
    shutil.move(copy.parent, tmp_path / "moved")
    study = tmp_path / "moved/study.yaml"
    tiny.change(study, "study: tiny", "study: other")
    assert Study.open(study, tmp_path / "moved/runs/tiny").run() is None


def test_a_run_folder_opens_by_itself(copy: Path) -> None:
    study = Study.open(copy.parent / "runs/tiny")
    assert study.plan().complete and len(study.scores().models) == 5
    assert Study.open(copy.parent).folder.root == copy.parent / "runs/tiny"
    with pytest.raises(TraitscopeError, match="holds no study"):
        Study.open(copy.parent / "runs")


def test_a_study_built_in_python_runs_and_writes_a_file_that_says_the_same(study_file: Path, tmp_path: Path) -> None:
    config = load_config(study_file)
    built = StudyConfig(**config.model_dump(by_alias=True, exclude_unset=True)).with_root(study_file.parent)
    study = Study(built, tmp_path / "out")
    study.train()
    written = load_config(tmp_path / "out/study.yaml")
    assert written.model_dump() == config.model_dump() and written is not config


def test_a_stop_saves_the_bank_and_the_next_run_ends_with_the_same_bytes(
    filled: Path, study_file: Path, tmp_path: Path
) -> None:
    asked = iter([False] * 6 + [True] * 100)
    study = Study.open(study_file, tmp_path / "out")
    with pytest.raises(Stopped):
        study.run(stop=lambda: next(asked))
    assert list((tmp_path / "out/checkpoints").iterdir())
    Study.open(study_file, tmp_path / "out").run()
    assert snapshot(tmp_path / "out") == snapshot(filled / "runs/tiny")


def test_a_half_trained_bank_of_a_changed_study_is_refused_and_dropped_by_replace(
    study_file: Path, tmp_path: Path
) -> None:
    asked = iter([False] * 5 + [True] * 100)
    with pytest.raises(Stopped):
        Study.open(study_file, tmp_path / "out").run(stop=lambda: next(asked))
    tiny.change(study_file, "lr: 0.01", "lr: 0.02")
    with pytest.raises(TraitscopeError, match="planned under other settings"):
        Study.open(study_file, tmp_path / "out").run()
    Study.open(study_file, tmp_path / "out").run(replace=True)
    assert Study.open(study_file, tmp_path / "out").plan().complete
    assert not (tmp_path / "out/checkpoints").exists()


def test_train_and_eval_do_their_halves(study_file: Path, tmp_path: Path) -> None:
    heard = Heard()
    study = Study.open(study_file, tmp_path / "out", report=heard)
    study.evaluate()
    assert sorted(heard.units) == sorted(f"cells/base/{task}" for task in TASKS)
    study.train()
    assert sorted(heard.units[3:]) == sorted(f"adapters/{name}" for name in ADAPTERS)
    study.evaluate()
    assert study.plan().complete


def test_a_foreign_adapter_and_a_second_model_are_rows_too(filled: Path, study_file: Path, tmp_path: Path) -> None:
    other = tiny.make_base(tmp_path / "other-base", seed=1)
    adapter = filled / "runs/tiny/adapters/tone-s0"
    with study_file.open("a") as file:
        file.write(f"models: {{second: {other}, peft: {adapter}}}\nsources: []\ncontrols: {{}}\nmixes: {{}}\n")
    text = (
        study_file.read_text()
        .replace("controls: {tone: [mislabel]}\n", "")
        .replace("mixes: {all: {of: sources, per_task: 6}}\n", "")
    )
    study_file.write_text(text)
    study = Study.open(study_file, tmp_path / "out")
    study.run()
    table = study.score_table()
    loss = table[(table.metric == "loss") & (table.task == "story")].set_index("model")["value"]
    assert list(loss.index) == ["base", "second", "peft"]
    before = Study.open(filled / "study.yaml").records("tone-s0", "story")["loss"].mean()
    assert loss["peft"] == pytest.approx(before, abs=1e-6) and loss["second"] != loss["base"]
    assert Study.open(study_file, tmp_path / "out").run() is None


def test_the_scoring_of_a_group_side_by_side_gives_the_cells_of_models_alone(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = copy.parent / "runs/tiny"
    alone = Study.open(copy).score_table()
    shutil.rmtree(folder / "cells")
    forge(folder / "plan/scoring.json", models_per_pass=3, models_per_generation=3)
    Study.open(copy).run()
    together = Study.open(copy).score_table()
    assert together["value"].to_numpy() == pytest.approx(alone["value"].to_numpy(), abs=1e-4)
    groups = json.loads((folder / "plan/scoring.json").read_text())["groups"]
    assert groups == [["base", "tone-s0", "tone.mislabel-s0"], ["sums-s0", "all-s0"]]


def test_saying_a_default_makes_no_other_finding(copy: Path) -> None:
    study = Study.open(copy)
    marks = study.folder.analysis / "inputs.json"
    study.traits(k=1, own="include")
    kept = marks.read_bytes()
    study.traits(k=1, own="include", seed=0)
    assert marks.read_bytes() == kept
    study.traits(k=1, own="include", seed=1)
    assert marks.read_bytes() != kept


def test_the_lock_names_versions_revision_and_rows(filled: Path) -> None:
    lock = json.loads((filled / "runs/tiny/lock.json").read_text())
    import torch

    assert lock["packages"]["torch"] == torch.__version__
    assert lock["base"]["dtype"] == "fp32" and len(lock["base"]["fingerprint"]) >= 32
    assert lock["tasks"]["tone"]["n_eval"] == "8"
    assert lock["results"]["metrics"] == {"accuracy": 1, "exact_match": 1, "loss": 1, "macro_f1": 1}


def test_the_log_holds_the_times_and_nothing_else_does(filled: Path) -> None:
    folder = filled / "runs/tiny"
    assert len(log_of(folder, "cell")) == 15 and len(log_of(folder, "adapter")) == 4
    for path in folder.rglob("*.json"):
        assert "time" not in path.read_text().split('"inputs"')[0] or path.name == "local.json"


def test_traits_and_statistics_are_kept_until_a_cell_changes(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = Study.open(copy)
    first = study.traits(own="include", permutations=99, draws=50, replicates=0)
    import traitscope.traits

    @functools.wraps(traitscope.traits.fit_traits)
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("fitted again")

    with monkeypatch.context() as patch:
        patch.setattr(traitscope.traits, "fit_traits", refuse)
        assert study.traits(own="include", permutations=99, draws=50, replicates=0).to_json() == first.to_json()
        with pytest.raises(AssertionError):
            study.traits(own="include", permutations=100, draws=50, replicates=0)


def test_an_empty_folder_has_no_scores_to_show(study_file: Path) -> None:
    with pytest.raises(TraitscopeError, match="no cell has been evaluated"):
        Study.open(study_file).scores()
