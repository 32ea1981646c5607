"""How far a run is, told from what it leaves in its folder: counted by hand, without a list of the cells."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from traitscope.errors import TraitscopeError
from traitscope.records import Progress, StepRecord
from traitscope.store import Leases, RunFolder
from traitscope.store.log import append_line
from traitscope.store.pulse import EVERY_S, FIRST_S, MOST_POINTS, Curve, Pulse, Pulses, read_pulses, workers
from traitscope.study import Study
from traitscope.view import live
from view.conftest import tiny


def test_a_short_curve_is_every_step_and_a_long_one_the_means_of_equal_runs_of_steps() -> None:
    losses = np.random.default_rng(0).normal(3, 1, 1000)
    curve = Curve()
    for step, loss in enumerate(losses[:MOST_POINTS]):
        curve.add(step, float(loss))
    assert curve.points == [(step, float(losses[step])) for step in range(MOST_POINTS)]
    for step, loss in enumerate(losses[MOST_POINTS:], MOST_POINTS):
        curve.add(step, float(loss))
    width, points = curve.width, curve.points
    assert len(points) <= MOST_POINTS and [step for step, _ in points] == list(range(width - 1, 1000, width))
    wanted = losses[: len(points) * width].reshape(-1, width).mean(1)
    np.testing.assert_allclose([loss for _, loss in points], wanted, rtol=1e-12)


def test_a_loss_that_is_no_number_is_left_out() -> None:
    curve = Curve()
    curve.add(0, float("nan"))
    curve.add(1, 2.0)
    assert curve.points == [(1, 2.0)]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [0.0]
    monkeypatch.setattr("traitscope.store.pulse.time.monotonic", lambda: now[0])
    return now


def progress(done: int, *steps: tuple[str, int, float]) -> Progress:
    records = tuple((name, StepRecord(step, loss, 0.1, 5, 1.0)) for name, step, loss in steps)
    return Progress(done, 100, 10.0, None, (100 - done) / 10, "", records)


def test_a_pulse_is_written_from_time_to_time_and_goes_with_its_unit(tmp_path: Path, clock: list[float]) -> None:
    with Leases(tmp_path / "leases") as leases:
        assert leases.acquire("bank-1")
        pulses, file = Pulses(leases.folder), leases.folder / "bank-1.live"
        pulses.tell("bank-1", progress(10, ("a", 0, 2.0)))
        assert not file.exists()  # most units are over before it pays
        clock[0] = FIRST_S
        pulses.tell("bank-1", progress(20, ("a", 1, 1.5), ("b", 1, 9.0)))
        (pulse,) = read_pulses(leases)
        assert (pulse.unit, pulse.done, pulse.total, pulse.per_s, pulse.left_s) == ("bank-1", 20, 100, 10, 8)
        assert pulse.losses == {"a": [(0, 2.0), (1, 1.5)], "b": [(1, 9.0)]}
        before = file.stat()
        clock[0] = FIRST_S + EVERY_S - 0.1
        pulses.tell("bank-1", progress(30))
        assert file.stat().st_ino == before.st_ino
        pulses.end("bank-1")
        leases.release("bank-1")
        assert [path.name for path in leases.folder.iterdir()] == [".guard"]


def test_what_a_killed_process_told_is_not_believed_and_is_removed_by_the_next(tmp_path: Path) -> None:
    folder = tmp_path / "leases"
    with Leases(folder) as leases:
        assert leases.acquire("bank-1")
        told = {"done": 1, "total": 2, "per_s": 1, "left_s": 1, "losses": {}}
        (folder / "bank-1.live").write_text(json.dumps(told))
        assert len(list(read_pulses(leases))) == 1 and list(workers(leases)) == ["bank-1"]
        lease = json.loads((folder / "bank-1.json").read_text())
        (folder / "bank-1.json").write_text(json.dumps({**lease, "pid": 2**22 - 3}))
        assert list(read_pulses(leases)) == [] and workers(leases) == {}
    with Leases(folder):
        assert not (folder / "bank-1.live").exists() and not (folder / "bank-1.json").exists()


def test_a_lease_of_another_machine_counts_while_its_heart_beats(tmp_path: Path) -> None:
    with Leases(tmp_path / "leases") as leases:
        assert leases.acquire("cells/base/tone")
        path = leases.path("cells/base/tone")
        path.write_text(json.dumps({**json.loads(path.read_text()), "machine": "another"}))
        assert list(workers(leases)) == ["cells/base/tone"]
        os.utime(path, (0, 0))
        assert workers(leases) == {}


@pytest.mark.parametrize("text", ["", "[]", '{"done": 1}', '{"done": "x"}', '{"done": NaN, "total": 1}', "\x00"])
def test_a_damaged_pulse_is_left_out(text: str, tmp_path: Path) -> None:
    with Leases(tmp_path / "leases") as leases:
        assert leases.acquire("bank-1")
        (leases.folder / "bank-1.live").write_text(text)
        assert list(read_pulses(leases)) == []


def cell(folder: RunFolder, unit: str, second: float) -> None:
    append_line(
        folder.root / "run.jsonl", {"time": f"2026-01-01T00:00:{second:06.3f}+00:00", "event": "cell", "unit": unit}
    )


def test_cells_are_counted_as_the_log_grows_and_time_left_is_at_their_pace(study_file: Path) -> None:
    study = Study.open(study_file)
    study.folder.root.mkdir(parents=True)
    watched = live.Folder(study)
    now = watched.now()
    # Two sources, one control, one mix; five models on three tasks.
    assert (now.adapters, now.cells, now.busy, now.left_s) == ((0, 4), (0, 15), 0, None)
    for name in ("tone-s0", "tone.mislabel-s0", "sums-s0", "all-s0"):
        path = study.folder.adapter_path(name)
        path.mkdir(parents=True)
        (path / "unit.json").write_text("{}")
    begun = {"time": "2026-01-01T00:00:04+00:00", "event": "start", "adapters": 4, "cells": 15}
    append_line(study.folder.root / "run.jsonl", {**begun, "time": "2026-01-01T00:00:01+00:00"})
    append_line(study.folder.root / "run.jsonl", begun)
    assert watched.now().left_s is None  # no cell has landed
    cell(study.folder, "cells/base/tone", 10)
    now = watched.now()
    assert (now.adapters, now.cells) == ((4, 4), (1, 15)) and now.left_s == pytest.approx(14 * 6)
    cell(study.folder, "cells/base/sums", 12)
    cell(study.folder, "cells/base/sums", 16)  # grown: the same cell again
    with (study.folder.root / "run.jsonl").open("a") as file:
        file.write('{"time": "2026-01-01T00:00:20+00:00", "event": "cell", "unit": "cells/base/st')
    now = watched.now()
    assert now.cells == (2, 15) and now.left_s == pytest.approx(13 * (16 - 4) / 3)
    assert (
        now.says()
        == "4 of 4 adapters trained, 2 of 15 cells evaluated. No run is at work here: traitscope run makes the rest."
    )
    assert not now.complete
    with (study.folder.root / "run.jsonl").open("a") as file:
        file.write('ory"}\n')
    assert watched.now().cells == (3, 15)  # the line that was being written is whole by now
    append_line(study.folder.root / "run.jsonl", {**begun, "time": "2026-01-01T00:00:30+00:00", "event": "adapter"})
    cell(study.folder, "cells/sums-s0/sums", 33)
    assert watched.now().left_s == pytest.approx(11 * 3)  # training before is no time of cells


def pulse(left_s: float, **losses: list[tuple[int, float]]) -> Pulse:
    return Pulse("bank", 1.0, 2.0, 1.0, left_s, losses)


def test_of_trainings_side_by_side_the_longer_one_tells_the_time_left() -> None:
    both = (pulse(20.0, a=[(0, 1.0)]), pulse(30.0, b=[(0, 1.0)]), pulse(99.0))
    assert live._left((0, 2), (2, 2), both, None) == 30.0
    assert live._left((0, 2), (1, 4), both, 2.0) == 36.0
    now = live.Now((0, 2), (0, 4), 2, both, live._left((0, 2), (0, 4), both, None))
    assert now.says() == "0 of 2 adapters trained, 0 of 4 cells evaluated; training has about 30 s left."


def test_what_base_models_do_is_added_up() -> None:
    every = {
        "one": live.Now((2, 2), (6, 6), 1, (), 0.0),
        "two": live.Now((1, 2), (3, 6), 2, (pulse(4.0, a=[(0, 1.0)]),), 30.0, 0.5, (1, 2)),
    }
    folders: Any = {name: SimpleNamespace(now=lambda told=told: told) for name, told in every.items()}
    now = live.together(folders)
    assert (now.adapters, now.cells, now.busy, now.left_s) == ((3, 4), (9, 12), 3, 30.0)
    assert (now.in_training, now.changed) == (0.5, (1, 2)) and [*now.pulses[0].losses] == ["two/a"]


def test_units_that_the_study_was_changed_under_are_not_there_and_a_run_is_not_advised(copy: Path) -> None:
    tiny.change(copy, "rank: 2", "rank: 3")
    study = Study.open(copy)
    watched = live.Folder(study)
    watched.begin()
    watched.know({f"cells/{head.model}/{head.task}" for head in study.cells()}, (study.changed_adapters(), 12))
    now = watched.now()
    assert (now.adapters, now.cells, now.changed) == ((0, 4), (3, 15), (4, 12))
    with pytest.raises(TraitscopeError) as refusal:
        study.run()
    assert now.says() == (
        "0 of 4 adapters trained, 3 of 15 cells evaluated. The study was changed since 4 adapters and 12 cells were "
        f"made, and traitscope run refuses that: {refusal.value.fix}."
    )


def test_cells_that_are_known_and_land_again_count_once(study_file: Path) -> None:
    study = Study.open(study_file)
    study.folder.root.mkdir(parents=True)
    watched = live.Folder(study)
    cell(study.folder, "cells/base/tone", 1)
    watched.begin()
    watched.know({"cells/base/tone", "cells/base/sums"})
    cell(study.folder, "cells/base/sums", 2)
    cell(study.folder, "cells/base/story", 3)
    assert watched.now().cells == (3, 15)


def test_a_filled_folder_is_complete_and_a_run_leaves_no_pulse(filled: Path) -> None:
    study = Study.open(filled)
    watched = live.Folder(study)
    assert watched.now().complete and watched.now().says() == "All 4 adapters and 15 cells are there."
    assert not list((study.folder.root / "leases").glob("*.live"))


def test_the_mark_changes_with_the_log_and_with_nothing_that_a_reader_does(copy: Path) -> None:
    study = Study.open(copy)
    watched = live.Folder(study)
    before, names = watched.mark(), sorted(path for path in study.folder.root.rglob("*"))
    watched.now()
    assert watched.mark() == before and sorted(study.folder.root.rglob("*")) == names
    cell(study.folder, "cells/base/tone", 1)
    assert watched.mark() != before


def test_an_adapter_in_training_counts_by_the_tokens_of_its_bank(study_file: Path) -> None:
    study = Study.open(study_file)
    watched = live.Folder(study)
    with study.folder.leases() as leases:
        assert leases.acquire("bank-1")
        names = ("tone-s0", "sums-s0", "all-s0")
        told = {"done": 50, "total": 100, "per_s": 5, "left_s": 10, "losses": {name: [[0, 1.5]] for name in names}}
        (leases.folder / "bank-1.live").write_text(json.dumps(told))
        now = watched.now()
        assert now.in_training == 1.5 and now.to_json()["done"] == 1.5 and now.busy == 1
        assert now.parts() == ["training 3 adapters: 50 of 100 tokens, 10 s left"]
        assert now.to_json()["losses"][0] == {"name": "tone-s0", "says": "step 0, 1.500 nats", "points": [(0, 1.5)]}
        path = study.folder.adapter_path("tone-s0")
        path.mkdir(parents=True)
        (path / "unit.json").write_text("{}")
        now = watched.now()
        assert now.adapters == (1, 4) and now.in_training == 0.5 and now.to_json()["done"] == 1.5
