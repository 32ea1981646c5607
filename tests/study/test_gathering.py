"""The report of a filled study: what stands in it, and when it is written again."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import tiny

from traitscope.errors import TraitscopeError
from traitscope.study import Study, analysis, gathering, keeping


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory, base: Path) -> Path:
    """A filled study whose report is written; its folder."""
    folder = tmp_path_factory.mktemp("filled")
    study = Study.open(tiny.make_study(folder, base))
    study.run()
    study.report()
    return folder


@pytest.fixture
def study_file(filled: Path, tmp_path: Path) -> Path:
    """A copy of it that a test may change; its study file."""
    shutil.copytree(filled, tmp_path / "copy")
    return tmp_path / "copy" / "study.yaml"


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Folders that a report is written into."""
    import traitscope.report

    found: list[Path] = []
    original = traitscope.report.write_report

    def write(findings, folder: Path, *formats) -> Path:
        found.append(folder)
        return original(findings, folder, *formats)

    monkeypatch.setattr(traitscope.report, "write_report", write)
    return found


def test_the_facts_tell_sources_and_controls_apart(filled: Path) -> None:
    facts = dict(gathering.gather(Study.open(filled / "study.yaml")).facts)
    assert facts["Adapters"] == "2 sources, 1 control, 1 mix; seeds 0"
    assert facts["Tasks"] == "3 (3 evaluated)"
    assert facts["Recipe"].startswith("LoRA rank 2, alpha 4, all-linear; lr 0.01 cosine, 2 epochs, batch 4")


def test_a_report_is_written_again_where_it_or_what_it_shows_is_another(study_file: Path, written: list[Path]) -> None:
    study = Study.open(study_file)
    page = study.report()
    assert not written
    page.unlink()
    assert study.report() == page and page.is_file() and len(written) == 1
    next(study.folder.hidden.glob("*.safetensors")).unlink()
    study.report()
    assert len(written) == 2
    study_file.write_text(study_file.read_text() + "# another word\n")
    changed = Study.open(study_file)
    changed.run()
    changed.report()
    assert len(written) == 3


def test_findings_follow_cells_tags_and_plugins(study_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def mark() -> str:
        return keeping.cells_mark(Study.open(study_file), "measure")

    marks = [mark(), mark()]
    study_file.write_text(study_file.read_text().replace("kind: sentiment", "kind: feeling"))
    marks.append(mark())
    shutil.rmtree(Study.open(study_file).folder.root / "cells" / "base" / "tone")
    marks.append(mark())
    study_file.write_text(study_file.read_text().replace("compute:", "targets: [tone, sums]\ncompute:"))
    marks.append(mark())
    monkeypatch.setattr(keeping, "plugin_marks", lambda kinds: [[kind, "mine", "1 of a hash"] for kind in kinds])
    marks.append(mark())
    assert marks[0] == marks[1] and len(set(marks)) == 5


def test_a_part_that_cannot_be_found_is_told(study_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(study: Study) -> None:
        raise TraitscopeError("too few sources")

    monkeypatch.setattr(analysis, "explanation", fails)
    found = gathering.gather(Study.open(study_file))
    assert found.explanation is None and found.stats is not None
    assert (
        found.missing["explanation"] == "too few sources" and found.missing["layers"] == "the study file has no layers"
    )


def test_a_finding_that_could_not_be_kept_is_given_all_the_same(study_file: Path) -> None:
    def read() -> str:
        raise FileNotFoundError

    study = Study.open(study_file)
    assert keeping.kept(study, "mine", {}, lambda: "found", lambda _: {}, read) == "found"
    assert keeping.kept(study, "other", {}, lambda: "found", lambda _: {}, lambda: "as kept") == "as kept"


def test_a_deviation_between_runs_in_the_study_file_is_an_error_of_every_finding(study_file: Path) -> None:
    before = Study.open(study_file).analyse()
    told = "".join(f"  {name}: 0.3\n" for name in Study.open(study_file).config.target_names())
    study_file.write_text(study_file.read_text(encoding="utf-8") + f"run_sd:\n{told}", encoding="utf-8")
    found = Study.open(study_file).analyse()
    assert before.effects.settings["scope"] and not found.effects.settings["scope"]
    widths = [
        (f.findings["hi"] - f.findings["lo"])[f.findings["kind"] == "gain"] for f in (before.effects, found.effects)
    ]
    # 1.96 times 0.3 on either side, and what the examples add.
    assert widths[0].max() < widths[1].min() and widths[1].min() > 1.17
