"""docs/quickstart.md from its first command to its last: what it shows is what one sees."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from blocks import DOCS, blocks
from typer.testing import CliRunner

from traitscope.cli import app

PAGE = (DOCS / "quickstart.md").read_text(encoding="utf-8")
BLOCKS = [block for block in blocks() if block.page == "quickstart.md"]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the page's files, and a terminal of the page's width."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    (script,) = (block.body for block in BLOCKS if block.language == "python")
    exec(compile(script, "make_data.py", "exec"), {})
    (study,) = (block.body for block in BLOCKS if block.language == "yaml")
    (tmp_path / "study.yaml").write_text(study)
    return tmp_path


def steps() -> list[tuple[str, str]]:
    """Every traitscope command with what the page shows under it; "..." stands for what may differ."""
    found: list[tuple[str, str]] = []
    for block in (one for one in BLOCKS if one.language == "console"):
        for part in re.split(r"^\$ ", block.body, flags=re.MULTILINE)[1:]:
            command, _, shown = part.partition("\n")
            if command.startswith("traitscope ") and "--help" not in command:
                found.append((command, shown))
    return found


def ran(command: str) -> str:
    return CliRunner().invoke(app, shlex.split(command)[1:]).output


def like(shown: str, said: str) -> bool:
    """Whether the output is what is shown."""
    parts = []
    for line in shown.splitlines():
        words = r"[^\n]*".join(re.escape(part.rstrip()) for part in line.split("..."))
        parts.append(r"(?:[^\n]*\n)*?" if line == "..." else rf"{words}[^\n]*\n")
    return re.fullmatch("".join(parts), said) is not None


def test_the_check_says_what_the_page_shows(here: Path) -> None:
    command, shown = steps()[0]
    assert command == "traitscope check study.yaml"
    assert like(shown, ran(command)), ran(command)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("reviews.csv", "review.csv"),
        ("Review: {{ text }}", "Review: {{ review }}"),
        ('" positive"', '" good"'),
        ("max_tokens: 128", "max_tokens: 24"),
    ],
)
def test_the_mistakes_are_told_as_the_page_says(here: Path, old: str, new: str) -> None:
    file = here / "study.yaml"
    file.write_text(file.read_text().replace(old, new))
    said = " ".join(ran("traitscope check study.yaml").split())
    rows = re.findall(r"^\| [^|]+ \| `([^|]+)` \| ", PAGE, flags=re.MULTILINE)
    assert any(row in said for row in rows), said


@pytest.mark.verify
def test_every_step_gives_what_the_page_shows(here: Path) -> None:
    for command, shown in steps():
        said = ran(command)
        assert not shown or like(shown, said), f"{command}\n{said}"
    assert (here / "runs/shop-6/report.html").is_file()
