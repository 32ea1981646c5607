"""Every fenced block of the documents is run or checked; one that cannot be says why in a comment before it.

A block of Python runs, one of YAML is a study or a part of one, a command has the options that it is shown with. Text,
and what commands print, is compared where a page's own test does so.
"""

from __future__ import annotations

import importlib.util
import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer.main
from blocks import DOCS, ELSEWHERE, FENCE, PAGES, ROOT, Block, blocks, page_name

from traitscope.cli import app
from traitscope.config import StudyConfig
from traitscope.config.yamlfile import parse_yaml

BLOCKS = list(blocks())
COMMANDS = [block for block in BLOCKS if block.language in ("", "console")]
# Programs of others; their own manuals say what they take.
OTHERS = {"cd", "source", "export", "ray", "sbatch", "kubectl", "git", "ssh"}
TASK = {"data": {"embedded": "short_reviews", "train": 4, "eval": 4}, "answer": {"loss": "{{ text }}"}}


def of(language: str) -> list[Any]:
    return [
        pytest.param(block, id=str(block))
        for block in BLOCKS
        if block.language == language and block.elsewhere is None and block.why is None
    ]


def test_every_block_is_of_a_kind_that_is_run_or_checked() -> None:
    known = {"python", "yaml", "console", "", "text"}
    assert [str(one) for one in BLOCKS if one.language not in known and one.elsewhere is None and one.why is None] == []
    assert len(BLOCKS) > 80


def test_a_block_that_is_not_run_gives_its_reason() -> None:
    kept = [block for block in BLOCKS if block.why is not None]
    assert all(len(str(block.why).split()) >= 4 for block in kept)
    assert len(kept) <= 5


@pytest.mark.parametrize(("page", "language"), ELSEWHERE, ids="-".join)
def test_a_page_that_has_a_test_of_its_own_is_read_by_it(page: str, language: str) -> None:
    assert any(block.page == page and block.language == language for block in BLOCKS)
    text = (ROOT / ELSEWHERE[page, language]).read_text(encoding="utf-8")
    name = "howto" if page.startswith("howto/") else page
    assert f'"{name}"' in text or f"/{name}" in text
    assert language in text


@pytest.mark.parametrize("block", of("python"))
def test_python_runs(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    exec(compile(block.body, str(block), "exec"), {})


@pytest.mark.parametrize("block", of("yaml"))
def test_yaml_is_a_study_or_a_part_of_one(block: Block) -> None:
    data, _ = parse_yaml(block.body.replace("{...}", "{}"), str(block))
    assert data
    if not set(data) <= set(StudyConfig.model_fields):
        data = {"tasks": data}
    named = {name for source in data.get("sources", ()) for name in ([source] if isinstance(source, str) else source)}
    stub = {"study": "page", "base": "embedded", "tasks": dict.fromkeys(named or {"one"}, TASK)}
    StudyConfig(**{**stub, **data})


def parsed(command: str) -> list[list[str]]:
    """The programs of a line, each with its arguments; comments are left out."""
    words = shlex.split(command, comments=True)
    found: list[list[str]] = [[]]
    for word in words:
        if word in ("&&", "|", ";"):
            found.append([])
        else:
            found[-1].append(word)
    return [one for one in found if one]


@pytest.mark.parametrize("block", [pytest.param(b, id=str(b)) for b in COMMANDS if b.why is None])
def test_a_command_has_the_options_it_is_shown_with(block: Block) -> None:
    assert block.commands()
    for program, *arguments in (one for line in block.commands() for one in parsed(line)):
        if program == "traitscope":
            takes_options(arguments)
        elif program in ("make", "pytest"):
            where = (ROOT / "Makefile").read_text() if program == "make" else ""
            for word in (a for a in arguments if not a.startswith("-") and "=" not in a):
                assert re.search(rf"^{word}:", where, re.MULTILINE) if program == "make" else (ROOT / word).exists()
        elif Path(program).name.startswith("python"):
            runs_module(arguments)
        elif program == "pip":
            extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
            asked = {e for a in arguments for group in re.findall(r"^traitscope\[(.*)\]", a) for e in group.split(",")}
            assert asked <= set(extras)
        else:
            assert program in OTHERS, program


def takes_options(arguments: list[str]) -> None:
    """Holds that the command line reads the words; nothing is run."""
    group: Any = typer.main.get_command(app)
    if arguments == ["--help"]:
        return
    verb, *rest = arguments
    found = group.get_command(None, verb)
    assert found is not None, verb
    # A verb alone in a sentence is its name.
    if rest and "..." not in rest and "--help" not in rest:
        found.make_context(verb, rest)


def spans() -> list[Any]:
    """Commands inside of sentences, by their pages."""
    found = []
    for path in PAGES:
        text = FENCE.sub("", path.read_text(encoding="utf-8"))
        for words in dict.fromkeys(re.findall(r"`(traitscope [a-z][^`]*)`", text)):
            found.append(pytest.param(words, id=f"{page_name(path)}-{words}"))
    return found


@pytest.mark.parametrize("command", spans())
def test_a_command_in_a_sentence_has_the_options_it_is_shown_with(command: str) -> None:
    for _, *arguments in parsed(command):
        takes_options(arguments)


def runs_module(arguments: list[str]) -> None:
    """Holds that the module or file is there."""
    if arguments[:1] == ["-m"] and arguments[1] not in ("venv", "pytest", "spacy"):
        name = arguments[1]
        inside = ROOT / f"{name.replace('.', '/')}.py"
        assert inside.exists() or inside.with_suffix("").is_dir() or importlib.util.find_spec(name), name
    elif arguments and arguments[0].endswith(".py"):
        named = arguments[0] in "".join(block.body for block in BLOCKS if block.language == "python")
        assert (ROOT / arguments[0]).exists() or named, arguments[0]


def test_every_page_is_in_the_sites_map() -> None:
    text = (ROOT / "mkdocs.yml").read_text()
    assert [p for p in DOCS.rglob("*.md") if f" {p.relative_to(DOCS).as_posix()}\n" not in text] == []
