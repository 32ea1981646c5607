"""Text for people: names that cannot steer a terminal, tables that fit it, colours, and the time that is left."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from rich.cells import cell_len
from typer.testing import CliRunner

from traitscope.cli import app
from traitscope.cli.common import working
from traitscope.cli.output import in_colour, say
from traitscope.cli.reporter import Live, Plain
from traitscope.findings import Findings
from traitscope.matrix import ScoreMatrix
from traitscope.report import write_report
from traitscope.report.tables import csv_text
from traitscope.texts import different, fitted, guarded, safe, safe_json, table_text, unguarded
from traitscope.ticks import ticks

EVIL = ["\x1b[2Jcleared", "\x9b31mred", "two\nlines", "bidi\u202eevil", "bell\x07", "=cmd|' /C calc'!A0"]
STEERS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def invoke(*arguments: object, **env: str) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, [str(a) for a in arguments], env={"COLUMNS": "200", **env})
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.stdout, done.stderr


@pytest.mark.parametrize("verb", ["traits", "effects", "belt", "predict"])
def test_names_of_a_file_cannot_steer_the_terminal(verb: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    names = ["base", *EVIL, *(f"plain {i}" for i in range(6))]
    frame = pd.DataFrame(rng.normal(50, 5, (len(names), 6)) + rng.normal(0, 8, (len(names), 1)), index=names)
    frame.columns = [f"task {name}" for name in EVIL]
    frame.rename_axis("model").to_csv(tmp_path / "evil.csv")
    status, out, err = invoke(verb, tmp_path / "evil.csv")
    assert status == 0 and not STEERS.search(out + err)
    assert "\\x1b[2Jcleared" in out
    status, out, _ = invoke(verb, tmp_path / "evil.csv", "--json")
    assert not STEERS.search(out) and json.loads(out)


def test_progress_cannot_be_steered_either(capsys: pytest.CaptureFixture[str]) -> None:
    for report in (Plain(every_s=0), Live()):
        with report:
            report.stage(f"[red]{EVIL[0]}")
            report.progress(1, 2, unit="rows", per_s=1, seconds_left=1, note=EVIL[1])
            report.finished(EVIL[0], EVIL[2])
            report.note(EVIL[0])
    err = capsys.readouterr().err
    assert not STEERS.search(err) and err.count("\\x1b[2Jcleared") >= 6 and "[red]" in err


@pytest.mark.parametrize("evil", EVIL)
def test_what_is_unsafe_is_shown_and_json_stays_the_same(evil: str) -> None:
    assert not STEERS.search(safe(evil, line=True)) and "\n" not in safe(evil, line=True)
    assert json.loads(safe_json(json.dumps({evil: 1}, ensure_ascii=False))) == {evil: 1}
    assert safe("naïve 数据\tand\nmore") == "naïve 数据\tand\nmore"


# Unicode's marks of direction, its separators of lines, the byte order mark, and the tags.
MARKS = [0x061C, 0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2066, 0x206A), 0xFEFF, 0xE0041]


@pytest.mark.parametrize("code", MARKS, ids=hex)
def test_no_mark_of_direction_is_left(code: int) -> None:
    sign = chr(code)
    assert sign not in safe(f"a{sign}b") and sign not in safe_json(f'"a{sign}b"')
    assert f"{code:x}" in safe(sign)


@pytest.mark.filterwarnings("ignore:Glyph")
def test_a_report_holds_no_sign_that_steers(tmp_path: Path) -> None:
    signs = "".join(map(chr, MARKS)) + "\x1b\x9b"
    frame = pd.DataFrame(np.random.default_rng(0).normal(50, 5, (4, 3)), index=["base", f"=a{signs}", "b", "c"])
    frame.columns = [f"x{signs}", "y", "z"]
    findings = Findings(
        name=f"n{signs}",
        scores=ScoreMatrix.from_wide(frame),
        facts=((f"f{signs}", signs),),
        config=f"tags: {signs}",
        lock={signs: signs},
    )
    page = write_report(findings, tmp_path)
    files = [page, *tmp_path.glob("figures/*.svg"), *tmp_path.glob("tables/*.csv")]
    assert len(files) >= 5
    for path in files:
        text = path.read_text(encoding="utf-8")
        assert not set(signs) & set(text), path
        # A figure's names are cut to their room.
        assert path.suffix == ".svg" or "\\u202e" in text, path


def test_tables_of_a_report_guard_names_of_rows_and_columns_too() -> None:
    frame = pd.DataFrame([["=1", 2.0]], index=["+row"], columns=["@column", "-2"]).rename_axis("=name")
    assert csv_text(frame, index=True) == "'=name,'@column,'-2\n'+row,'=1,2\n"
    frame = pd.DataFrame([["a\u202eb", 2.0]], index=["\u200frow"], columns=["\ufeffcolumn", "2"])
    assert csv_text(frame, index=True) == ",\\ufeffcolumn,2\n\\u200frow,a\\u202eb,2\n"


@pytest.mark.parametrize("first", ["=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠"])
def test_no_cell_begins_a_formula(first: str) -> None:
    for text in (f"{first}1", f"'{first}1", f"''{first}1"):
        assert guarded(text) == f"'{text}" and unguarded(guarded(text)) == text
    assert guarded(f"a{first}1") == f"a{first}1"


TEXTS = {
    "cjk": "注意：" + "这个数据集的名字很长，" * 12,
    "words": "- a " + "数据集 of rows " * 20,
    "emoji": "  " + "👩‍👧 🙂 a word🙂🙂 " * 15,
    "mixed": "很长word很长" * 15,
    "plain": "note: " + "a sentence of plain words " * 12,
}


@pytest.mark.parametrize("columns", [20, 60, 80])
@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_prose_fits_by_the_columns_that_it_takes(
    text: str, columns: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    say(text)
    lines = capsys.readouterr().out.removesuffix("\n").split("\n")
    assert max(map(cell_len, lines)) <= columns
    # Lines are filled, nothing is lost, and no word of letters is broken.
    assert all(cell_len(line) > columns - 16 for line in lines[:-1])
    assert "".join("".join(lines).split()) == "".join(text.split())
    for word in ("sentence", "plain", "word", "rows"):
        assert sum(line.count(word) for line in lines) == text.count(word)
    assert not any(line.startswith("\u200d") for line in lines)


def test_a_path_stays_whole(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    say("written to /a/rather-long/path-of/many-parts.json and more")
    assert "/a/rather-long/path-of/many-parts.json" in capsys.readouterr().out.split()


@pytest.mark.parametrize("columns", [40, 60, 80, 200])
def test_a_table_fits_keeps_names_apart_and_numbers_whole(columns: int) -> None:
    tasks = [f"mmlu_college_{name}_5shot" for name in ("physics", "philosophy", "medicine", "maths")]
    rows = [["model", *tasks]]
    rows += [[f"a_long_source_name_of_many_words-s{i}", *(f"{i}.{n}12345" for n in range(4))] for i in range(12)]
    with fitted(columns):
        text = table_text(rows)
    lines = text.splitlines()
    table = lines[:13]
    assert all(cell_len(line) <= columns for line in table)
    assert len({line.split()[0] for line in table}) == 13 and len(set(table[0].split())) == len(table[0].split())
    kept = len(table[1].split()) - 1
    assert [line.split()[1:] for line in table[1:]] == [row[1 : 1 + kept] for row in rows[1:]]
    assert kept == 4 or (f"{4 - kept} column" in lines[13] and tasks[kept] in text)
    assert table_text(rows).splitlines()[0].split() == ["model", *tasks]


def test_wide_signs_count_twice() -> None:
    with fitted(20):
        lines = table_text([["数据集的名字很长很长很长很长", "n"], ["é", "1"]]).splitlines()
    assert all(cell_len(line) <= 20 for line in lines) and lines[1].endswith("1")


def test_names_that_differ_anywhere_stay_different() -> None:
    names = [f"{'x' * i}q{'x' * (30 - i)}" for i in range(30)] + ["x" * 31]
    cut = different(names, [8] * len(names))
    assert len(set(cut)) == len(names) and all(len(name) <= 8 for name in cut)


def test_colours_are_for_terminals(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    said = {}
    for env in ({}, {"FORCE_COLOR": "1"}, {"FORCE_COLOR": "1", "NO_COLOR": "1"}, {"FORCE_COLOR": "0"}):
        with monkeypatch.context() as patch:
            for name, value in env.items():
                patch.setenv(name, value)
            say("note: base  0.500+")
        said[tuple(env.items())] = capsys.readouterr().out
    assert ["\x1b[" in text for text in said.values()] == [False, True, False, False]


def test_a_dumb_terminal_has_no_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal:
        def isatty(self) -> bool:
            return True

    stream: Any = Terminal()
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert in_colour(stream)
    monkeypatch.setenv("TERM", "dumb")
    assert not in_colour(stream)


def test_loops_say_how_much_time_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[dict[str, Any]] = []

    class Report(Plain):
        def progress(self, done: float, total: float, **more: Any) -> None:
            told.append({"done": done, "total": total, **more})

    with working(Report(), after_s=0.0):
        for _ in ticks(range(4), "outer", 4):
            list(ticks(range(9), "inner", 9))
    assert [(t["done"], t["total"], t["note"]) for t in told] == [(i, 4, "outer") for i in (1, 2, 3, 4)]
    assert told[-1]["seconds_left"] == 0 and all(t["per_s"] > 0 for t in told)
    assert list(ticks(range(3), "unheard", 3)) == [0, 1, 2]
    # What was done between two loops is no pace of the second; what it makes is counted by its name.
    clock = [0.0]
    monkeypatch.setattr("traitscope.cli.common.time.monotonic", lambda: clock[0])
    told.clear()
    with working(Report(), after_s=0.0):
        list(ticks(range(2), "tasks", 2))
        clock[0] = 100.0
        for _ in ticks(range(4), "figures", 4, "figures"):
            clock[0] += 2.0
    figures = [(t["unit"], t["note"], t["seconds_left"]) for t in told[2:]]
    assert figures == [("figures", "", left) for left in (6.0, 4.0, 2.0, 0.0)]
