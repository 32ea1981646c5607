"""``python tools/tutorial_tables.py RUN``: the tables that docs/tutorial.md rests on, from a run folder.

Scores, findings with their sentences, and what each adapter learnt, as ``study.frame`` and ``study.effects()`` give
them, into docs/tutorial/. The tests hold every number and sentence of the page to these files.
"""

from __future__ import annotations

import sys
from pathlib import Path

import traitscope as ts
from traitscope.traits import render

OUT = Path(__file__).resolve().parent.parent / "docs" / "tutorial"
FINDINGS = ("kind", "family", "model", "task", "detail", "value", "lo", "hi", "unit", "p", "q", "n", "sentence")
SCORES = ("model", "source", "task", "metric", "primary", "value", "n", "stderr")


def main(run: str) -> None:
    """Writes the tables, and traits and layers as text."""
    study = ts.Study.open(run)
    scores, findings = study.frame("scores"), study.frame("findings")
    scores = scores[scores["status"] == "measured"]
    tables = {
        "scores": scores[list(SCORES)],
        "findings": findings[list(FINDINGS)],
        "learning": study.effects().named_tables()["learning"],
    }
    OUT.mkdir(exist_ok=True)
    for name, table in tables.items():
        table.to_csv(OUT / f"{name}.csv", index=False, float_format="%.6g")
    (OUT / "traits.txt").write_text(render(study.traits()) + "\n", encoding="utf-8")
    (OUT / "layers.txt").write_text(study.layers().render() + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
