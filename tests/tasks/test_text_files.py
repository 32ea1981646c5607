"""Text and tables as other programs write them: line ends, comments, bytes, half characters, names with brackets."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from traitscope.config import DataConfig, TaskConfig
from traitscope.errors import TraitscopeError
from traitscope.tasks import Task
from traitscope.tasks.rows import read_files

NO_ENDS = ["\u2028", "\u2029", "\x85", "\f", "\v", "\x1c", "\x1d", "\x1e"]


def rows_of(folder: Path, name: str, content: str | bytes, **keys: Any) -> list[dict[str, Any]]:
    raw = content.encode() if isinstance(content, str) else content
    (folder / name).write_bytes(gzip.compress(raw) if name.endswith(".gz") else raw)
    return read_files([name], DataConfig(path=name, **keys), folder, "here").rows


@pytest.mark.parametrize("packed", ["", ".gz"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("sign", NO_ENDS)
def test_lines_end_at_line_ends_alone(tmp_path: Path, sign: str, end: str, packed: str) -> None:
    text = f"a{sign}b"
    lines = {
        "t.lines": end.join([text, "c", ""]),
        "t.jsonl": end.join([json.dumps({"text": text}, ensure_ascii=False) if sign > "\x1f" else '{"text": "x"}', ""]),
        "t.csv": end.join(["text,n", f'"{text}{end}c",1', f"{text},2", ""]),
        "t.tsv": end.join(["text\tn", f"{text}\t1", ""]),
        "t.conll": end.join([f"{text}\tO", "c\tO", "", "d\tO"]),
    }
    read = {name: rows_of(tmp_path, name + packed, content) for name, content in lines.items()}
    assert [r["text"] for r in read["t.lines"]] == [text, "c"]
    assert [r["text"] for r in read["t.jsonl"]] == [text if sign > "\x1f" else "x"]
    assert [r["text"] for r in read["t.csv"]] == [f"{text}{end}c", text]
    assert [r["text"] for r in read["t.tsv"]] == [text]
    assert [r["tokens"] for r in read["t.conll"]] == [[text, "c"], ["d"]]


@pytest.mark.parametrize("sign", NO_ENDS)
def test_joined_lines_end_at_line_ends_alone(tmp_path: Path, sign: str) -> None:
    (tmp_path / "beside.txt").write_text(f"a{sign}b\n\nc", encoding="utf-8", newline="")
    rows = rows_of(tmp_path, "t.lines", "1\n2\n3\n", join={"beside": "beside.txt"})
    assert [r["beside"] for r in rows] == [f"a{sign}b", "", "c"]


def test_conll_comments_documents_and_multi_word_tokens_are_no_tokens(tmp_path: Path) -> None:
    two = {"columns": ["tokens", "pos", "tags"], "delimiter": " "}
    text = "-DOCSTART- -X- O\n\n# text = EU rejects\n# sent_id = 1\nEU NNP B\nrejects VBZ O\n\n"
    text += "-DOCSTART- -X- O\n# NN O\n1 CD O\n"
    rows = rows_of(tmp_path, "t.conll", text, **two)
    assert [r["tokens"] for r in rows] == [["EU", "rejects"], ["#", "1"]]
    names = ["id", "form", "lemma", "upos", "xpos", "feats", "head", "deprel", "deps", "misc"]
    words = [["1-2", "im"], ["1", "in"], ["2", "dem"], ["2.1", "leer"], ["3", "Haus"]]
    body = "# newdoc\n# text = im Haus\n" + "".join("\t".join([*w, *["_"] * 8]) + "\n" for w in words)
    (row,) = rows_of(tmp_path, "u.conll", body, columns=names)
    assert row["form"] == ["in", "dem", "Haus"]


def test_bytes_are_text_where_all_of_a_column_are(tmp_path: Path) -> None:
    columns = {"text": [b"caf\xc3\xa9", None], "list": [[b"a"], []], "image": [b"\xff\xd8", b"a"]}
    pq.write_table(pa.table(columns), tmp_path / "t.parquet")
    rows = read_files(["t.parquet"], DataConfig(path="t.parquet"), tmp_path, "here").rows
    assert [r["text"] for r in rows] == ["café", None] and rows[0]["list"] == ["a"]
    assert [r["image"] for r in rows] == [b"\xff\xd8", b"a"]
    config = TaskConfig(data={"path": "t.parquet", "eval": 1, "train": 0}, prompt="{{ image }}", answer={"loss": "x"})
    with pytest.raises(TraitscopeError, match=r"prompt, row all-\d: the column image holds bytes"):
        Task("t", config, tmp_path).load()


@pytest.mark.parametrize(
    ("keys", "place"),
    [
        ({"prompt": "{{ text }}"}, "prompt"),
        ({"prompt": "p", "answer": {"loss": "{{ text }}"}}, "answer.loss"),
        ({"prompt": "p", "answer": {"choice": "{{ [text, label] }}", "gold": "0"}}, "answer.choice"),
        ({"prompt": "p", "answer": {"generate": {"gold": "{{ text }}"}}}, "answer.generate.gold"),
        ({"prompt": "p", "row_tags": {"a": "{{ text }}"}}, "row_tags.a"),
        ({"messages": [{"role": "user", "content": "{{ text }}"}]}, "messages[0].content"),
    ],
)
def test_half_a_character_is_refused_with_its_row(tmp_path: Path, keys: dict[str, Any], place: str) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "so \\ud83d", "label": "no"}\n' * 2)
    keys = {"answer": {"choice": ["no", "yes"], "gold": "{{ label }}"}, **keys}
    config = TaskConfig(data={"path": "a.jsonl", "train": 0, "eval": 1}, **keys)
    with pytest.raises(TraitscopeError) as caught:
        Task("t", config, tmp_path).load()
    assert place in str(caught.value) and "half a character (\\ud83d" in str(caught.value)
    assert "row all-" in str(caught.value) and str(caught.value).encode()


def test_a_whole_character_in_two_escapes_is_read(tmp_path: Path) -> None:
    assert rows_of(tmp_path, "a.jsonl", '{"text": "\\ud83d\\ude00"}\n')[0]["text"] == "\U0001f600"


@pytest.mark.parametrize("name", ["data[1]", "a?", "{x}", "[a-z]", "a*b", "[!a]"])
def test_folders_and_files_are_called_as_they_are_called(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    (folder / name).mkdir(parents=True)
    for part in ("p-1", "p-2"):
        (folder / name / f"{part}{name}.jsonl").write_text(json.dumps({"text": part}))
    for pattern in (f"{name}/p-*{name}.jsonl", f"{folder}/{name}/p-*.jsonl"):
        rows = read_files([pattern], DataConfig(path="x"), folder, "here").rows
        assert [r["text"] for r in rows] == ["p-1", "p-2"], pattern
    (row,) = read_files([f"{name}/p-1{name}.jsonl"], DataConfig(path="x"), folder, "here").rows
    assert row["text"] == "p-1"


def test_classes_of_signs_are_globs_where_no_file_is_called_so(tmp_path: Path) -> None:
    for name in ("p-1.lines", "p-2.lines", "p-x.lines"):
        (tmp_path / name).write_text(name)
    rows = read_files(["p-[0-9]*.lines"], DataConfig(path="x"), tmp_path, "here").rows
    assert [r["_file"] for r in rows] == ["p-1", "p-2"]
