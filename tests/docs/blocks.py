"""The fenced blocks of the documents: what they are, where they stand, and what runs them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md")))
FENCE = re.compile(
    r"^(?:<!-- not run: (?P<why>[^\n]+) -->\n)?```(?P<language>\w*)(?: (?P<name>\S+))?\n(?P<body>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
# Tests of their own that run a page's blocks of a language in the surroundings they need.
ELSEWHERE = {
    ("bases.md", "python"): "tests/effects/test_bases_docs.py",
    ("bases.md", "yaml"): "tests/effects/test_bases_docs.py",
    ("belt.md", "python"): "tests/belt/test_belt_docs.py",
    ("cluster.md", "bash"): "tests/cluster/test_cluster_page.py",
    ("effects.md", "python"): "tests/effects/test_effects_docs.py",
    ("layers.md", "python"): "tests/layers/test_layers_docs.py",
    ("matrix-files.md", "python"): "tests/report/test_matrix_report.py",
    ("models.md", "yaml"): "tests/study/test_foreign_rows.py",
    ("prediction.md", "python"): "tests/predict/test_forecast.py",
    ("python.md", "python"): "tests/study/test_python_docs.py",
    ("statistics.md", "python"): "tests/effects/test_effects_docs.py",
    ("tasks.md", "yaml"): "tests/tasks/test_docs.py",
    ("tasks.md", "jsonl"): "tests/tasks/test_docs.py",
    ("tasks.md", "csv"): "tests/tasks/test_docs.py",
    ("traits.md", "python"): "tests/traits/test_traits_page.py",
    ("quickstart.md", "python"): "tests/docs/test_quickstart.py",
    ("quickstart.md", "yaml"): "tests/docs/test_quickstart.py",
    **{
        (f"howto/{name}.md", "python"): "tests/plugins/test_plugins.py"
        for name in ("metric", "parser", "format", "measure", "statistic", "feature", "predictor")
    },
}


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block. ``why`` is the reason why it is not run, where one stands before it."""

    page: str
    line: int
    language: str
    body: str
    why: str | None

    @property
    def elsewhere(self) -> str | None:
        """The test that runs it, if it is another than that of all blocks."""
        return ELSEWHERE.get((self.page, self.language))

    def commands(self) -> list[str]:
        """Its commands, continued lines joined; of a console block those behind a dollar sign."""
        lines = self.body.replace("\\\n", " ").splitlines()
        if self.language == "console":
            return [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
        return [line for line in lines if line.strip()]

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def page_name(path: Path) -> str:
    """A page as the tests call it: from docs/, or its name."""
    return path.relative_to(DOCS).as_posix() if DOCS in path.parents else path.name


def blocks() -> Iterator[Block]:
    """All fenced blocks of all pages."""
    for path in PAGES:
        text = path.read_text(encoding="utf-8")
        for match in FENCE.finditer(text):
            line = text[: match.start("language")].count("\n") + 1
            yield Block(page_name(path), line, match["language"], match["body"], match["why"])
