"""docs/run-folder.md names every file that a study leaves in its folder."""

from __future__ import annotations

import re
from pathlib import Path

from traitscope.study import Study

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "run-folder.md").read_text(encoding="utf-8")


def test_every_file_of_a_reported_study_has_its_line(copy: Path) -> None:
    study = Study.open(copy)
    study.report()
    root = study.folder.root
    tree = PAGE.split("```")[1]
    named = {re.split(r"[/\s]", line.strip())[0] for line in tree.splitlines() if line.startswith("  ")}
    named |= set(re.findall(r"\b(figures|tables|checkpoints|leases|gradients|probes|new)/", tree))
    named |= {"local.json"}
    tops = {path.relative_to(root).parts[0] for path in root.rglob("*") if path.is_file()}
    assert {top for top in tops if top not in named and not top.startswith(".")} == set()
    analyses = PAGE.split("### `analysis/`")[1].split("### `run.jsonl`")[0]
    assert [path.name for path in (root / "analysis").iterdir() if f"`{path.name}`" not in analyses] == []
