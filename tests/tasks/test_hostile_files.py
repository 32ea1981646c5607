"""Files that are no files, are damaged, or hold more than anybody meant: one message, at once, in little memory."""

from __future__ import annotations

import gzip
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from traitscope.config import DataConfig
from traitscope.config.yamlfile import parse_yaml, read_yaml
from traitscope.errors import TraitscopeError
from traitscope.tasks.rows import read_files

ROWS = b'{"text": "a"}\n' * 50
PACKED = gzip.compress(ROWS)


def flipped(raw: bytes, at: int) -> bytes:
    return raw[:at] + bytes([raw[at] ^ 0x10]) + raw[at + 1 :]


def a_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as one:
        os.chdir(path.parent)
        one.bind(path.name)


def huge(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(3 * 10**9)


def bomb(path: Path) -> None:
    with gzip.open(path, "wb", compresslevel=1) as file:
        for _ in range(300):
            file.write(bytes(10**6))


def dictionary_bomb(path: Path) -> None:
    words = pa.DictionaryArray.from_arrays(pa.array([0] * 20_000, pa.int32()), pa.array(["x" * 100_000]))
    pq.write_table(pa.table({"text": words}), path)


def write(content: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content)


CASES: list[tuple[str, Callable[[Path], object], str]] = [
    ("a.jsonl", os.mkfifo, "this is a named pipe, not a file"),
    ("a.jsonl.gz", os.mkfifo, "this is a named pipe, not a file"),
    ("a.parquet", os.mkfifo, "this is a named pipe, not a file"),
    ("a.jsonl", a_socket, "this is a socket, not a file"),
    ("a.lines", lambda path: path.symlink_to("/dev/zero"), "this is a device, not a file"),
    ("a.lines", lambda path: path.symlink_to(path), "a link that leads nowhere"),
    ("a.lines", lambda path: path.symlink_to("nowhere"), "a link that leads nowhere"),
    ("a.jsonl", huge, "at most 1,074 MB are read"),
    ("a.jsonl.gz", bomb, "unpacks to more than"),
    ("a.parquet", dictionary_bomb, "unpacks to more than"),
    *(("a.jsonl.gz", write(flipped(PACKED, at)), "cannot be read") for at in (0, 3, 12, 20, len(PACKED) - 5)),
    ("a.jsonl.gz", write(PACKED[:-12]), "cannot be read"),
    ("a.jsonl.gz", write(ROWS), "Not a gzipped file"),
    ("a.parquet", write(ROWS), "no readable parquet file"),
    ("a.parquet", write(b""), "no readable parquet file"),
    ("a.csv", write(b"PK\x03\x04\x14\0\x06\0"), "no text but a binary file"),
    ("a.json", write(b"[" * 100_000 + b"]" * 100_000), "nested too deep"),
    (
        "a.jsonl",
        write(ROWS + b'{"a":' * 100_000 + b"1" + b"}" * 100_000),
        "line 51 is not valid JSON: it is nested too deep",
    ),
    ("a.jsonl", write(ROWS + b'{"a": ' + b"9" * 5000 + b"}"), "line 51 is not valid JSON: a number of thousands"),
    ("a.json", write(b'[{"a": ' + b"9" * 5000 + b"}]"), "not valid JSON: a number of thousands of digits"),
]


@pytest.mark.parametrize(("name", "make", "says"), CASES)
def test_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, make: Callable[[Path], object], says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    make(tmp_path / name)
    start = time.monotonic()
    with pytest.raises(TraitscopeError) as caught:
        read_files([name], DataConfig(path=name), tmp_path, "here")
    assert says in str(caught.value) and "here" in str(caught.value)
    assert time.monotonic() - start < 10


@pytest.mark.parametrize("name", ["x" * 5000, "~nobody-of-this-name/a.jsonl", "a\0b.jsonl", "a.jsonl/b.jsonl"])
def test_names_of_no_file_are_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "a.jsonl").write_bytes(ROWS)
    with pytest.raises(TraitscopeError, match="here: "):
        read_files([name], DataConfig(path="x"), tmp_path, "here")


def aliases(merge: str) -> str:
    lines = [f"a{i}: &a{i} {merge.format(', '.join([f'*a{i - 1}'] * 9))}" for i in range(1, 30)]
    return "a0: &a0 {k: 1}\n" + "\n".join(lines)


YAML: list[tuple[str, str]] = [
    (aliases("[{}]"), "its aliases stand for more than"),
    (aliases("{{<<: [{}]}}"), "its aliases stand for more than"),
    ("a: &a [*a]", "stands inside of what it names"),
    ("a: &a {b: *a}", "stands inside of what it names"),
    ("a: &a {<<: *a}", "stands inside of what it names"),
    ("a: " + "[" * 5000 + "]" * 5000, "nested too deep"),
    ("".join(" " * i + "a:\n" for i in range(1500)), "nested too deep"),
    ("b: 1\na: \x1b[31m", "f:2: not valid YAML: the character U+001B"),
    ("a: x\0y", "the character U+0000"),
    ('b: 1\na: "x\\0y"', "f:2: a text holds the character U+0000"),
    ('a: "\\ud83d"', "a text holds the character U+D83D"),
    ("a: " + "9" * 5000, "a number of 5,000 digits"),
    ("a: 9999999999999999999", "a number of 19 digits"),
    ("a: !!python/object/apply:os.system [x]", "the tag !!python/object/apply:os.system is not allowed"),
    ("a: !!binary aGk=", "the tag !!binary"),
    ("a: !own x", "the tag !own"),
    ("a: !!int x", "not valid YAML"),
    ("a: !!bool x", "not valid YAML"),
    ("a: 1\na: 2", "stands here twice"),
    ("a:\n\tb: 1", "f:2: not valid YAML"),
]


@pytest.mark.parametrize(("text", "says"), YAML, ids=[f"{k}" for k in range(len(YAML))])
def test_yaml_that_no_study_needs_is_refused_at_once(text: str, says: str) -> None:
    start = time.monotonic()
    with pytest.raises(TraitscopeError) as caught:
        parse_yaml(text, "f")
    assert says in str(caught.value)
    assert time.monotonic() - start < 5


def test_two_escapes_of_one_character_are_that_character() -> None:
    assert parse_yaml('a: "\\ud83d\\ude00"', "f")[0] == {"a": "\U0001f600"}


def test_aliases_of_a_reasonable_size_are_read() -> None:
    assert parse_yaml("a: &a [1, 2]\nb: *a\nc: {<<: {d: *a}}", "f")[0] == {"a": [1, 2], "b": [1, 2], "c": {"d": [1, 2]}}


def test_a_study_file_is_a_file_of_bounded_size(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    huge(tmp_path / "huge")
    for name, says in (("pipe", "named pipe"), ("huge", "at most 5 MB")):
        with pytest.raises(TraitscopeError, match=says):
            read_yaml(tmp_path / name)
