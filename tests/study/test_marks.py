"""Marks on the terminal are kept with the folder and made again when they are lost or the cells changed."""

from __future__ import annotations

import json
from pathlib import Path

from traitscope.cli.show import matrix_text
from traitscope.study import Study
from traitscope.study import marks as module


def test_marks_are_kept_and_made_again_where_they_are_damaged(study_file: Path, monkeypatch) -> None:
    study = Study.open(study_file)
    study.run()
    text = matrix_text(study)
    kept = study.folder.analysis / "marks.json"
    found = json.loads(kept.read_text())
    assert set(found) == {"cells", "constant"}
    # A mark that stands in the file is shown: the tests are not made again.
    (model, task) = ("base", study.config.target_names()[0])
    kept.write_text(json.dumps({"cells": [[model, task, "?"]], "constant": {}}))
    assert "?: most answers cannot be parsed" in matrix_text(Study.open(study_file))
    kept.write_text("{")
    assert matrix_text(Study.open(study_file)) == text
    assert json.loads(kept.read_text()) == found
    monkeypatch.setattr(module, "MOST_CELLS", 0)
    assert "tests are left to traitscope effects" in matrix_text(study)
