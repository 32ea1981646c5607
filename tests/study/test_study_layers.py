"""The layer analysis of a study, from its cells to what is kept, shown and given to the section finder."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import tiny
import torch
from typer.testing import CliRunner

import traitscope as ts
from traitscope.cli import app
from traitscope.engine.trunk import Trunk
from traitscope.layers import sliding_windows
from traitscope.records import Progress
from traitscope.study import Study, keeping
from traitscope.study.costs import _share_run
from traitscope.study.progress import Silent


class Stages(Silent):
    """Keeps the names of the stages."""

    def __init__(self) -> None:
        self.names: list[str] = []

        self.tokens: list[tuple[float, float]] = []
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)

    def stage(self, text: str) -> None:
        self.names.append(text)

    def progress(self, done: float, total: float, **_: object) -> None:
        self.tokens.append((done, total))


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny study on six layers, filled; its study file."""
    base = tiny.make_base(tmp_path_factory.mktemp("six-layers"), layers=6)
    text = tiny.STUDY + "layers: {{examples: 8, causal: 4}}\n"
    study = tiny.make_study(tmp_path_factory.mktemp("layers"), base, text)
    Study.open(study).run()
    return study


def test_correlates_come_with_the_layers_and_are_kept(filled: Path) -> None:
    found = Study.open(filled).layers()
    assert found.correlates is not None and found.causal is not None
    assert found.correlates.tasks == ("tone", "sums")
    assert list(found.correlates.figures.columns) == ["readability", "rows", "gain"]
    assert found.correlates.figures["rows"].tolist() == [12.0, 12.0]
    gains = Study.open(filled).scores(records=True).gains().frame()
    assert found.correlates.figures["gain"].tolist() == pytest.approx(gains.loc["all-s0", ["tone", "sums"]].tolist())
    heard = Stages()
    again = Study.open(filled, report=heard).layers()
    assert not any("hidden states" in name for name in heard.names)
    assert again.correlates is not None and again.correlates.render() == found.correlates.render()
    (filled.parent / "runs/tiny/analysis/correlates.json").unlink()
    assert Study.open(filled).layers().correlates is not None


def test_layers_that_came_without_adapters_are_shown_as_another_version_made_them(
    filled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is sent from one machine to another: the folder with its findings, weights left out."""
    found = Study.open(filled).layers()
    copy = tmp_path / "here" / filled.name
    shutil.copytree(filled.parent, copy.parent)
    for weights in copy.parent.glob("runs/tiny/adapters/*/*.safetensors"):
        weights.unlink()
    monkeypatch.setattr(keeping, "_software", lambda: [["another", 1, 2]])
    heard = Stages()
    again = Study.open(copy, report=heard).layers()
    assert again.render() == found.render()
    assert any(text.startswith("layers: as it was made before") for text in heard.notes)
    (cell,) = copy.parent.glob("runs/tiny/cells/all-s0/tone")
    shutil.rmtree(cell)
    with pytest.raises(ts.TraitscopeError):
        Study.open(copy).layers()


def test_find_sections_takes_what_a_study_gives(filled: Path) -> None:
    found = Study.open(filled).layers()
    sections = ts.find_sections(found)
    assert sections == ts.find_sections(found.layers)
    assert sections.n_tasks == 2 and not sections.shared_end.identified


def test_the_verb_prints_sections_and_correlates(filled: Path) -> None:
    done = CliRunner().invoke(app, ["layers", str(filled.parent / "runs/tiny"), "--quiet"])
    assert done.exit_code == 0, done.output
    assert "no boundary is identified: only 2 tasks (fewer than 5)" in done.output
    assert "correlates over 2 tasks" in done.output
    assert "rows goes with cka(mix, single-task) is undefined (2 tasks, at least 4 are needed)" in done.output


def test_check_gives_the_time_of_the_layers_and_progress_is_shown(
    filled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = Study.open(filled)
    for name in ("layers.json", "causal.json"):
        (study.folder.analysis / name).unlink(missing_ok=True)
    plan = study.plan(cost=True)
    assert plan.layers is not None and plan.layers.seconds is not None
    asked = plan.layers
    heard = Stages()
    seen = {"Capture": 0, "Evaluate": 0}
    backend = type(study.backend)
    whole = backend.work

    def counted(self, orders, receive, should_stop):  # type: ignore[no-untyped-def]
        def count(order, event):  # type: ignore[no-untyped-def]
            if isinstance(event, Progress) and event.done_tokens == event.total_tokens:
                seen[type(order).__name__] += event.total_tokens
            receive(order, event)

        whole(self, orders, count, should_stop)

    monkeypatch.setattr(backend, "work", counted)
    Study.open(filled, report=heard).layers()
    assert "adapters off and on in 5 windows of layers, task 2 of 2" in heard.names
    assert "hidden states of task 1 of 3, 5 examples" in heard.names
    assert heard.tokens and all(done <= total for done, total in heard.tokens)
    # Prompts that all rows share are computed once, so that the estimate may lie above.
    assert seen["Capture"] / 2 <= asked.tokens <= 2 * seen["Capture"]
    assert asked.windows == 5
    assert f"layers    to be analysed: {asked.line()}" in str(plan)
    assert Study.open(filled).plan(cost=True).layers is None


@pytest.mark.parametrize("depth", [6, 12, 30])
def test_the_estimate_knows_which_layers_windows_share(depth: int) -> None:
    windows = sliding_windows(depth)
    ranges = [range(first - 1, last) for first, last in windows]
    stems = [tuple((layer in inside) is on for layer in range(depth)) for inside in ranges for on in (False, True)]
    base = SimpleNamespace(paths=SimpleNamespace(trunk=True), sides=None, hidden_size=1, dtype=torch.float32)
    made = Trunk(base, stems, n_tokens=1)  # type: ignore[arg-type]
    run = 1 - sum(made.starts) / (depth * len(stems))
    # What the lowest windows share beside is left out: it matters where there are few layers.
    assert run <= _share_run(windows, depth) <= run + 0.8 / depth
