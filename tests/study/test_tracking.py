"""What trackers are told: read back by the libraries' own readers, and held against the run folder's tables."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import tiny
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from traitscope.config import load_config
from traitscope.errors import TraitscopeError
from traitscope.records import StepRecord
from traitscope.study import Stopped, Study
from traitscope.study import tracking as study_tracking
from traitscope.tracking import TRACKERS, Entry, TrackedRun, make_tracker

ADAPTERS = {"tone-s0", "tone.mislabel-s0", "sums-s0", "all-s0"}
CELLS = {(model, task) for model in {"base", *ADAPTERS} for task in ("tone", "sums", "story")}


class Listener:
    """A tracker that remembers; with ``fails`` one of its methods raises."""

    def __init__(self, fails: str = "") -> None:
        self.fails = fails
        self.runs: list[TrackedRun] = []
        self.entries: list[Entry] = []
        self.batches: list[set[str]] = []
        self.tables: dict[str, tuple[list[str], list[list[Any]]]] = {}
        self.finished: list[bool] = []

    def _called(self, name: str) -> None:
        if name == self.fails:
            raise RuntimeError(f"{name} is broken\nsecond line")

    def start(self, run: TrackedRun) -> None:
        self._called("start")
        self.runs.append(run)

    def log(self, entries: Sequence[Entry]) -> None:
        self._called("log")
        self.entries += entries
        self.batches.append({entry.model for entry in entries})

    def table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        self._called("table")
        self.tables[name] = list(columns), [list(row) for row in rows]

    def flush(self) -> None:
        self._called("flush")

    def finish(self, *, failed: bool) -> None:
        self._called("finish")
        self.finished.append(failed)

    def steps(self, model: str) -> list[int]:
        return [entry.step for entry in self.entries if entry.model == model and "train/loss" in entry.values]


class Notes:
    """A reporter that keeps the notes."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)

    def __getattr__(self, name: str) -> Any:
        return lambda *args, **kwargs: None


@pytest.fixture
def listeners(monkeypatch: pytest.MonkeyPatch) -> list[Listener]:
    """The trackers of the runs to come, one for each, in the order in which they are started."""
    started: list[Listener] = []

    class Started(Listener):
        def start(self, run: TrackedRun) -> None:
            super().start(run)
            started.append(self)

    monkeypatch.setattr(study_tracking, "make_tracker", lambda name, where: Started())
    return started


def history(folder: Path, adapter: str) -> pd.DataFrame:
    return pd.read_parquet(folder / "adapters" / adapter / "train.parquet")


def scores_of(folder: Path) -> dict[tuple[str, str, str], float]:
    found = {}
    for path in folder.glob("cells/*/*/cell.json"):
        cell = json.loads(path.read_text())
        for score in cell["scores"]:
            found[cell["model"], cell["task"], score["metric"]] = score["value"]
    return found


# ---- TensorBoard


def test_tensorboard_holds_every_step_and_score_that_the_folder_holds(study_file: Path) -> None:
    tiny.change(study_file, "compute:", "report_to: tensorboard\ncompute:")
    study = Study.open(study_file)
    study.run()
    (root,) = (study.folder.root / "tracking" / "tensorboard").iterdir()
    assert {path.name for path in root.iterdir() if path.is_dir()} == {"base", *ADAPTERS}
    scores = scores_of(study.folder.root)
    for model in ("base", *ADAPTERS):
        events = EventAccumulator(str(root / model), size_guidance={"scalars": 0}).Reload()
        tags = {tag for tag in events.Tags()["scalars"] if tag.startswith("train/")}
        if model == "base":
            assert not tags
        else:
            assert tags == {"train/loss", "train/lr", "train/grad_norm"}
            table = history(study.folder.root, model)
            for tag in tags:
                told = events.Scalars(tag)
                assert [event.step for event in told] == table["step"].tolist()
                # Event files hold single precision.
                assert [event.value for event in told] == pytest.approx(table[tag.removeprefix("train/")], rel=1e-6)
        for (row, task, metric), value in scores.items():
            if row == model:
                (event,) = events.Scalars(f"eval/{task}/{metric}")
                assert event.value == pytest.approx(value, rel=1e-6)
                assert event.step == (0 if model == "base" else table["step"].iloc[-1])
    texts = EventAccumulator(str(root), size_guidance={"tensors": 0}).Reload()
    (matrix,) = texts.Tensors("matrix/text_summary")
    lines = matrix.tensor_proto.string_val[0].decode().splitlines()
    assert lines[0] == "| model | tone | sums | story |" and len(lines) == 2 + 5
    assert f"{scores['base', 'tone', 'accuracy']:.4g}" in lines[2]


def test_two_processes_of_one_folder_write_different_event_files(study_file: Path) -> None:
    study = Study.open(study_file, report_to="tensorboard")
    trackers = [study_tracking.trackers_of(study) for _ in range(2)]
    study.folder.prepare()
    with (
        study_tracking.tracked(study, trackers[0], {}) as first,
        study_tracking.tracked(study, trackers[1], {}) as second,
    ):
        for one in (first, second):
            one.steps([("tone-s0", StepRecord(0, 1.0, 0.1, 5, 0.5))])
    roots = list((study.folder.root / "tracking" / "tensorboard").iterdir())
    assert len(roots) == 2 and {root.name.rpartition("-")[0] for root in roots} == {"tiny", "tiny-2"}


def test_a_resumed_run_goes_on_with_the_same_event_folder(study_file: Path) -> None:
    asked = iter([False] * 9 + [True] * 100)
    with pytest.raises(Stopped):
        Study.open(study_file, report_to="tensorboard").run(stop=lambda: next(asked))
    study = Study.open(study_file, report_to="tensorboard")
    study.run()
    (root,) = (study.folder.root / "tracking" / "tensorboard").iterdir()
    for adapter in ADAPTERS:
        events = EventAccumulator(str(root / adapter), size_guidance={"scalars": 0}).Reload()
        assert [e.step for e in events.Scalars("train/loss")] == history(study.folder.root, adapter)["step"].tolist()


def test_what_a_killed_process_told_too_much_is_not_there_twice(tmp_path: Path) -> None:
    run = TrackedRun(id="00000000", name="tiny", group="tiny", config={}, folder=tmp_path)
    for first, last in ((0, 6), (4, 9)):
        tracker = make_tracker("tensorboard")
        tracker.start(run)
        for step in range(first, last):
            tracker.log([Entry("tone-s0", step, {"train/loss": 1.0 / (1 + step)})])
        for task in ("tone", "sums"):
            tracker.log([Entry("tone-s0", last - 1, {f"eval/{task}/accuracy": 0.5})])
        tracker.finish(failed=False)
    events = EventAccumulator(str(tmp_path / "tensorboard" / "tiny-00000000" / "tone-s0")).Reload()
    assert [event.step for event in events.Scalars("train/loss")] == list(range(9))
    assert [event.step for event in events.Scalars("eval/tone/accuracy")][-1] == 8


def test_many_models_do_not_keep_many_files_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from traitscope.tracking import tensorboard

    monkeypatch.setattr(tensorboard, "MOST_OPEN", 3)
    tracker = tensorboard.TensorBoard()
    tracker.start(TrackedRun(id="00000000", name="tiny", group="tiny", config={}, folder=tmp_path))
    for step in range(3):
        for model in "abcde":
            tracker.log([Entry(model, step, {"train/loss": float(step)})])
            assert len(tracker._writers) <= 3
    tracker.finish(failed=False)
    for model in "abcde":
        events = EventAccumulator(str(tmp_path / "tensorboard" / "tiny-00000000" / model)).Reload()
        assert [event.value for event in events.Scalars("train/loss")] == [0.0, 1.0, 2.0]


# ---- the seam


def test_steps_are_told_while_the_bank_trains(study_file: Path, listeners: list[Listener]) -> None:
    Study.open(study_file, report_to="wandb").run()
    (heard,) = listeners
    # All adapters train side by side: their first steps come together, before any of them has ended.
    assert heard.batches[0] == ADAPTERS
    assert [entry.step for entry in heard.entries[:4]] == [0] * 4
    folder = study_file.parent / "runs" / "tiny"
    assert {name: heard.steps(name) for name in ADAPTERS} == {
        name: history(folder, name)["step"].tolist() for name in ADAPTERS
    }
    cells = {(e.model, key.split("/")[1]) for e in heard.entries for key in e.values if key.startswith("eval/")}
    assert cells == CELLS and heard.finished == [False]


def test_a_backend_tells_every_step_once_though_adapters_end_at_different_times(
    study_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny.change(study_file, "per_task: 6", "per_task: 2")
    told: list[tuple[str, int]] = []
    monkeypatch.setattr(
        study_tracking.Tracking, "steps", lambda self, taken: told.extend((name, one.step) for name, one in taken)
    )
    study = Study.open(study_file)
    study.train()
    counts = {name: len(history(study.folder.root, name)) for name in ADAPTERS}
    assert len(set(counts.values())) == 2
    assert sorted(told) == sorted((name, step) for name, count in counts.items() for step in range(count))


def test_the_matrix_is_told_at_the_end(study_file: Path, listeners: list[Listener]) -> None:
    study = Study.open(study_file, report_to="wandb")
    study.run()
    columns, rows = listeners[0].tables["matrix"]
    assert columns == ["model", "tone", "sums", "story"]
    wide = study.scores().to_wide()
    assert [row[0] for row in rows] == list(wide.index)
    assert [row[1:] for row in rows] == wide.to_numpy().tolist()


def test_a_stopped_run_goes_on_where_it_was_and_tells_no_step_twice(
    study_file: Path, listeners: list[Listener]
) -> None:
    asked = iter([False] * 9 + [True] * 100)
    with pytest.raises(Stopped):
        Study.open(study_file, report_to="wandb").run(stop=lambda: next(asked))
    Study.open(study_file, report_to="wandb").run()
    before, after = listeners
    assert before.runs[0].id == after.runs[0].id
    assert before.finished == [True] and after.finished == [False]
    folder = study_file.parent / "runs" / "tiny"
    for name in ADAPTERS:
        assert before.steps(name), "the run was stopped in mid-training"
        assert before.steps(name) + after.steps(name) == history(folder, name)["step"].tolist()


def test_what_was_told_is_written_down_while_the_run_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(study_tracking, "SAVE_S", 0.0)
    path = tmp_path / "tracking" / "0.json"
    tracking = study_tracking.Tracking({"wandb": Listener()}, path, {"tone-s0": "mark"})
    tracking.start("tiny", "tiny", {})
    for step in range(3):
        tracking.steps([("tone-s0", StepRecord(step, 0.5, 0.1, 10, 0.5))])
        assert json.loads(path.read_text())["wandb"]["steps"] == {"tone-s0": ["mark", step]}


def test_a_damaged_memory_is_told_for_the_curves_begin_anew(copy: Path, listeners: list[Listener]) -> None:
    Study.open(copy, report_to="wandb").run()
    path = copy.parent / "runs" / "tiny" / "tracking" / "0.json"
    path.write_bytes(path.read_bytes()[:-9])
    notes = Notes()
    Study.open(copy, report_to="wandb", report=notes).run()  # type: ignore[arg-type]
    assert len({heard.runs[0].id for heard in listeners}) == 2
    (note,) = notes.notes
    assert "tracking/0.json is damaged" in note and "another tracker run" in note


def test_a_folder_that_was_filled_before_is_told_in_full_and_once(copy: Path, listeners: list[Listener]) -> None:
    assert Study.open(copy, report_to="wandb").run() is not None
    (heard,) = listeners
    folder = copy.parent / "runs" / "tiny"
    assert all(heard.steps(name) == history(folder, name)["step"].tolist() for name in ADAPTERS)
    told = {(e.model, *key.split("/")[1:]): v for e in heard.entries for key, v in e.values.items() if "eval/" in key}
    assert told == scores_of(folder)
    assert Study.open(copy, report_to="wandb").run() is None
    assert len(listeners) == 1


def test_adapters_made_under_other_settings_begin_another_tracker_run(
    study_file: Path, listeners: list[Listener]
) -> None:
    Study.open(study_file, report_to="wandb").run()
    tiny.change(study_file, "lr: 0.01", "lr: 0.02")
    Study.open(study_file, report_to="wandb").run(replace=True)
    before, after = listeners
    assert before.runs[0].id != after.runs[0].id
    assert after.steps("tone-s0") == history(study_file.parent / "runs" / "tiny", "tone-s0")["step"].tolist()


def test_what_is_sent_names_no_place_of_this_machine(study_file: Path, listeners: list[Listener]) -> None:
    Study.open(study_file, report_to="wandb").run()
    (run,) = listeners[0].runs
    assert run.config["recipe"]["lr"] == 0.01 and run.config["sources"] == ["tone", "tone.mislabel", "sums"]
    assert str(study_file.parent) not in json.dumps(run.config) and "/" not in run.config["base"]


@pytest.mark.parametrize("method", ["start", "log", "table", "finish"])
def test_a_tracker_that_fails_costs_one_note(study_file: Path, monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    monkeypatch.setattr(study_tracking, "make_tracker", lambda name, where: Listener(method))
    notes = Notes()
    study = Study.open(study_file, report_to="wandb", report=notes)  # type: ignore[arg-type]
    work = study.run()
    assert work is not None and len(work.evaluated) == len(CELLS)
    assert notes.notes == [f"wandb failed and is told no more: RuntimeError: {method} is broken"]


def test_tracking_changes_no_file_that_is_the_study_s(filled: Path, study_file: Path) -> None:
    Study.open(study_file, report_to="tensorboard").run()
    one, other = (folder / "runs" / "tiny" for folder in (filled, study_file.parent))
    for path in [*one.glob("adapters/*/*"), *one.glob("cells/*/*/*")]:
        same = other / path.relative_to(one)
        assert same.read_bytes() == path.read_bytes(), path.name


def test_report_to_is_no_part_of_any_fingerprint(filled: Path, copy: Path) -> None:
    before = Study.open(filled / "study.yaml").units()
    tiny.change(copy, "compute:", "report_to: [tensorboard, wandb]\ncompute:")
    study = Study.open(copy)
    now = study.units()
    assert [unit.fingerprint for unit in now.adapters] == [unit.fingerprint for unit in before.adapters]
    assert [cell.fingerprint for cell in now.cells] == [cell.fingerprint for cell in before.cells]
    assert study.changes_since_run() == []


# ---- what is asked for, and what is missing


@pytest.mark.parametrize(
    ("written", "names"),
    [
        ("none", ()),
        ("null", ()),
        ("wandb", ("wandb",)),
        ("[tensorboard, wandb, wandb]", ("tensorboard", "wandb")),
        ("[]", ()),
    ],
)
def test_a_study_file_names_its_trackers(study_file: Path, written: str, names: tuple[str, ...]) -> None:
    tiny.change(study_file, "compute:", f"report_to: {written}\ncompute:")
    assert load_config(study_file).report_to == names


def test_an_unknown_tracker_is_an_error_with_its_line(study_file: Path) -> None:
    tiny.change(study_file, "compute:", "report_to: mlflow\ncompute:")
    with pytest.raises(TraitscopeError, match=r"study\.yaml:\d+.*report_to.*(.|\n)*trackio"):
        load_config(study_file)


def test_none_stands_alone(study_file: Path) -> None:
    with pytest.raises(TraitscopeError, match=r"none stands among trackers(.|\n)*none alone"):
        Study.open(study_file, report_to=["wandb", "none"]).run()


def test_a_missing_library_is_told_before_any_work(study_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TRACKERS, "wandb", ("WeightsAndBiases", "no_such_library"))
    with pytest.raises(TraitscopeError, match=r"pip install 'traitscope\[wandb\]'") as error:
        Study.open(study_file, report_to=["tensorboard", "wandb"]).run()
    assert error.value.where == "--report-to"
    assert not (study_file.parent / "runs").exists()


def test_the_trackers_of_the_seam_are_those_that_a_study_file_may_name() -> None:
    from typing import get_args

    from traitscope.config.sections import TrackerName

    assert set(get_args(TrackerName)) == set(TRACKERS)


# ---- the other libraries, themselves


def _apart(code: str, cwd: Path, **environment: str) -> str:
    """What a program in a process of its own prints; its input is closed, so that a prompt would end it."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("WANDB_", "TRACKIO_"))}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env={**kept, "HOME": str(cwd), **environment},
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


_TELL = """
    import socket, sys
    from pathlib import Path
    from traitscope.tracking import Entry, TrackedRun, make_tracker

    real = socket.socket.connect
    def connect(self, address):
        if self.family in (socket.AF_INET, socket.AF_INET6) and address[0] not in ("127.0.0.1", "::1", "localhost"):
            raise OSError(f"asked the network for {address}")
        return real(self, address)
    socket.socket.connect = connect

    for name in ("one", "two"):
        tracker = make_tracker(TRACKER)
        tracker.start(TrackedRun(id="0a1b2c3d", name="tiny", group="tiny", config={"lr": 0.5}, folder=Path("out")))
        first = 0 if name == "one" else 2
        for step in (first, first + 1):
            tracker.log([Entry(m, step, {"train/loss": 2.5 - step}) for m in ("tone-s0", "sums-s0")])
        tracker.log([Entry("tone-s0", first + 1, {"eval/tone/accuracy": 0.75})])
        tracker.table("matrix", ["model", "tone"], [["base", 0.5], ["tone-s0", None]])
        tracker.flush()
        tracker.finish(failed=False)
"""


def test_wandb_without_a_login_stays_offline_asks_nothing_and_keeps_its_run(tmp_path: Path) -> None:
    printed = _apart(_TELL.replace("TRACKER", "'wandb'"), tmp_path)
    assert printed == ""
    folders = sorted((tmp_path / "out" / "wandb").glob("offline-run-*"))
    assert len(folders) == 2 and all("-0a1b2c3d" in folder.name for folder in folders)
    rows = [row for folder in folders for row in _wandb_history(next(folder.glob("*.wandb")))]
    losses = [(row["tone-s0/step"], row["tone-s0/train/loss"]) for row in rows if "tone-s0/train/loss" in row]
    assert losses == [(0, 2.5), (1, 1.5), (2, 0.5), (3, -0.5)]
    assert [row["tone-s0/eval/tone/accuracy"] for row in rows if "tone-s0/eval/tone/accuracy" in row] == [0.75, 0.75]
    assert sum(any(key.startswith("matrix") for key in row) for row in rows) == 2
    # Nothing says where, on what machine, or by which program it was made; but where a file lies that is to be sent.
    places = [*map(re.escape, (str(tmp_path), str(Path(__file__).parents[2]), sys.executable))]
    places.append(rf"\b{re.escape(os.uname().nodename)}\b")
    for record in (record for folder in folders for record in _wandb_records(next(folder.glob("*.wandb")))):
        for entry in record.request.log_artifact.artifact.manifest.contents or record.artifact.manifest.contents:
            entry.local_path = ""
        assert [place for place in places if re.search(place, str(record))] == []


def test_trackio_itself_goes_on_with_its_run(tmp_path: Path) -> None:
    pytest.importorskip("trackio")
    assert _apart(_TELL.replace("TRACKER", "'trackio'"), tmp_path, TRACKIO_DIR=str(tmp_path / "db")) == ""
    with closing(sqlite3.connect(tmp_path / "db" / "traitscope.db")) as opened:
        rows = opened.execute("select run_id, run_name, step, metrics from metrics order by id").fetchall()
    assert len({row[0] for row in rows}) == 1 and {row[1] for row in rows} == {"tiny-0a1b2c3d"}
    told = [(step, json.loads(metrics)) for _, _, step, metrics in rows]
    losses = [(step, row["tone-s0/train/loss"]) for step, row in told if "tone-s0/train/loss" in row]
    assert losses == [(0, 2.5), (1, 1.5), (2, 0.5), (3, -0.5)]
    tables = [row["matrix"]["_value"] for _, row in told if "matrix" in row]
    assert tables == [[{"model": "base", "tone": 0.5}, {"model": "tone-s0", "tone": None}]] * 2


def test_trackio_is_called_by_its_documented_names(tmp_path: Path) -> None:
    """``trackio.init(project=, name=, group=, config=, resume=)``, ``Run.log(metrics, step=)``, ``finish()``."""
    (tmp_path / "trackio.py").write_text(
        textwrap.dedent(
            """
            calls = []
            class Table:
                def __init__(self, dataframe=None):
                    self.rows = dataframe.to_dict("records")
                def __repr__(self):
                    return f"Table({self.rows})"
            class Run:
                def log(self, metrics, step=None):
                    calls.append(("log", metrics, step))
            def init(project, name=None, group=None, config=None, resume="never", embed=True):
                print("* Trackio project initialized")
                calls.append(("init", project, name, group, config, resume, embed))
                return Run()
            def finish():
                print("* Run finished")
                calls.append(("finish",))
            """
        )
    )
    code = _TELL.replace("TRACKER", "'trackio'") + "\n    import trackio\n    for call in trackio.calls: print(call)\n"
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    lines = _apart(code, tmp_path, PYTHONPATH=path).splitlines()
    assert lines[0] == "('init', 'traitscope', 'tiny-0a1b2c3d', 'tiny', {'lr': 0.5}, 'allow', False)"
    assert lines[1] == "('log', {'tone-s0/train/loss': 2.5}, 0)"
    assert lines[-1] == "('finish',)" and len(lines) == 2 * 8
    assert (
        "('log', {'matrix': Table([{'model': 'base', 'tone': 0.5}, {'model': 'tone-s0', 'tone': None}])}, None)"
        in lines
    )


def _wandb_history(path: Path) -> list[dict[str, Any]]:
    """The logged rows of a ``.wandb`` file."""
    rows = [record.history.item for record in _wandb_records(path) if record.HasField("history")]
    return [{item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in row} for row in rows]


def _wandb_records(path: Path) -> list[Any]:
    """What a ``.wandb`` file holds: LevelDB's log of protobuf records, behind a header of seven bytes."""
    from wandb.proto import wandb_internal_pb2

    data, at, whole, found = path.read_bytes(), 7, b"", []
    while at + 7 <= len(data):
        if 32768 - at % 32768 < 7:  # a block's end has no room for a header
            at += 32768 - at % 32768
            continue
        length, kind = int.from_bytes(data[at + 4 : at + 6], "little"), data[at + 6]
        whole += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # whole, or the last of several parts
            found.append(wandb_internal_pb2.Record.FromString(whole))
            whole = b""
    return found
