"""What a run would come to after a while, told at its start: no rows, no such device, no place to write."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import tiny
import torch
from typer.testing import CliRunner

from traitscope.cli import app
from traitscope.engine.loading import pick_device
from traitscope.errors import TraitscopeError
from traitscope.study import Study
from traitscope.study.checking import check_study

TONE = "data: {path: {train: tone-train.jsonl, eval: tone-eval.jsonl}, train: 12, eval: 8}"


def few(n: int) -> Callable[[Path], None]:
    """A task of so few rows that a fifth of them is none."""

    def act(study: Path) -> None:
        rows = (study.parent / "tone-train.jsonl").read_text().splitlines()[:n]
        (study.parent / "few.jsonl").write_text("\n".join(rows))
        tiny.change(study, TONE, "data: {path: few.jsonl}")

    return act


def no_rows_in_any(study: Path) -> None:
    few(2)(study)
    tiny.change(study, "story-eval.jsonl}, eval: 5}", "few.jsonl}}")
    tiny.change(study, "{eval: few.jsonl}", "few.jsonl")


def changed(old: str, new: str) -> Callable[[Path], None]:
    return lambda study: tiny.change(study, old, new)


NOT_RUN: dict[str, tuple[Callable[[Path], None], tuple[str, ...]]] = {
    "one row": (few(1), ("tasks.tone.data: it has no eval rows",)),
    "four rows": (few(4), ("tasks.tone.data: it has no eval rows",)),
    "two tasks without rows": (no_rows_in_any, ("tasks.tone.data: it has no", "tasks.story.data: it has no eval rows")),
    "a mix of more rows than there are": (
        changed("{of: sources, per_task: 6}", "{rows: {sums: 1000}}"),
        ("key mixes.all", "1000"),
    ),
    "targets outside the layers": (
        changed("seeds: [0]", "seeds: [0], targets: [layers.1.mlp.up_proj], layers: [0, 0]"),
        ("recipe.targets", "'layers.1.mlp.up_proj' lies outside the layers 0-0", "widen layers"),
    ),
    "targets outside a mix's layers": (
        changed("per_task: 6", "per_task: 6, targets: [layers.0.mlp.up_proj], layers: [1, 1]"),
        ("mixes.all.targets", "lies outside the layers 1-1"),
    ),
    "layers that the base lacks": (changed("seeds: [0]", "seeds: [0], layers: [0, 7]"), ("recipe.layers", "0-1")),
}


@pytest.mark.parametrize("name", NOT_RUN)
def test_what_check_refuses_is_not_begun(name: str, study_file: Path) -> None:
    change, says = NOT_RUN[name]
    change(study_file)
    for ask in (lambda: check_study(Study.open(study_file)), lambda: Study.open(study_file).run()):
        with pytest.raises(TraitscopeError) as caught:
            ask()
        assert all(part in str(caught.value) for part in says), str(caught.value)
        assert caught.value.fix
    assert not (study_file.parent / "runs").exists()


def test_rows_that_leave_two_to_be_evaluated_are_enough(study_file: Path) -> None:
    few(10)(study_file)
    check_study(Study.open(study_file))


# ---- devices


@pytest.mark.parametrize(
    ("device", "gpus", "says"),
    [("cuda", 0, "sees no GPU"), ("cuda:1", 1, "sees 1 GPUs"), ("cuda:7", 2, "use cuda:1"), ("mps", 0, "finds none")],
)
def test_a_device_that_is_not_here_is_refused(
    device: str, gpus: int, says: str, study_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    tiny.change(study_file, "device: cpu", f"device: '{device}'")
    for ask in (check_study, Study.run):
        with pytest.raises(TraitscopeError) as caught:
            ask(Study.open(study_file))
        assert says in str(caught.value) and caught.value.where == "compute.device"
    assert not (study_file.parent / "runs").exists()


def test_a_device_that_is_here_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert pick_device("cuda:1").index == 1
    assert pick_device("cuda").type == pick_device("auto").type == "cuda"
    assert pick_device("cpu").type == "cpu"


# ---- places to write


def dangling(folder: Path) -> Path:
    (folder / "link").symlink_to(folder / "gone")
    return folder / "link" / "run"


PLACES: dict[str, tuple[Callable[[Path], Path], str]] = {
    "a link to nothing": (dangling, "is a link that leads nowhere"),
    "no UTF-8": (lambda folder: folder / os.fsdecode(b"o\xff"), "the path is not UTF-8"),
    "a name too long": (lambda folder: folder / ("x" * 300), "cannot be"),
    "in a file": (lambda folder: folder / "study.yaml" / "run", "is a file, or lies in one"),
}


@pytest.mark.parametrize("name", PLACES)
@pytest.mark.parametrize("verb", ["check", "run"])
def test_a_place_that_cannot_be_written_is_refused(verb: str, name: str, study_file: Path) -> None:
    place, says = PLACES[name]
    done = CliRunner().invoke(app, [verb, str(study_file), "--out", str(place(study_file.parent))])
    assert done.exit_code == 2 and says in done.output.replace("\n", " "), done.output
    assert "--out" in done.output


@pytest.mark.parametrize("number", [errno.EROFS, errno.ENOENT])
def test_a_folder_that_the_system_does_not_make_is_refused(
    number: int, study_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in ``/proc``, where root may write and nothing can be made, or on a disk that is read alone."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("traitscope.store.places.TemporaryDirectory", refuse)
    for ask in (check_study, Study.run):
        with pytest.raises(TraitscopeError, match=rf"runs.tiny: cannot be \w+ \({os.strerror(number)}\)") as caught:
            ask(Study.open(study_file))
        assert caught.value.fix == "name another run folder with --out"


def test_a_check_leaves_nothing_behind(study_file: Path) -> None:
    before = sorted(study_file.parent.rglob("*"))
    assert CliRunner().invoke(app, ["check", str(study_file)]).exit_code == 0
    assert sorted(study_file.parent.rglob("*")) == before


def test_a_study_in_a_folder_that_is_not_utf8_is_refused(base: Path, tmp_path: Path) -> None:
    study = tiny.make_study(tmp_path / os.fsdecode(b"\xff"), base)
    with pytest.raises(TraitscopeError, match="the path is not UTF-8") as caught:
        Study.open(study, tmp_path / "out")
    assert "rename" in str(caught.value.fix)
