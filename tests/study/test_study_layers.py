"""The layer analysis of a study, from its cells to what is kept, shown and given to the section finder."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny
from typer.testing import CliRunner

import traitscope as ts
from traitscope.cli import app
from traitscope.study import Study
from traitscope.study.progress import Silent


class Stages(Silent):
    """Keeps the names of the stages."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def stage(self, text: str) -> None:
        self.names.append(text)


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


def test_find_sections_takes_what_a_study_gives(filled: Path) -> None:
    found = Study.open(filled).layers()
    sections = ts.find_sections(found)
    assert sections == ts.find_sections(found.layers)
    assert sections.n_tasks == 2 and not sections.shared_end.identified


def test_the_verb_prints_sections_and_correlates(filled: Path) -> None:
    done = CliRunner().invoke(app, ["layers", str(filled.parent / "runs/tiny"), "--quiet"])
    assert done.exit_code == 0, done.output
    assert "boundary not identified" in done.output
    assert "correlates over 2 tasks" in done.output
    assert "rows: undefined (2 tasks, at least 4 are needed)" in done.output
