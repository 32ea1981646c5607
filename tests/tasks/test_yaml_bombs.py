"""YAML that is no study: one error with its place, in a moment."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from traitscope.config import load_config
from traitscope.config.yamlfile import parse_yaml
from traitscope.errors import TraitscopeError

LAUGHS = "a0: &a0 [x, x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]\n" for i in range(1, 60))
MERGES = "a0: &a0 {k: v}\n" + "".join(f"a{i}: &a{i} {{<<: [*a{i - 1}, *a{i - 1}]}}\n" for i in range(1, 60))

TEXTS = {
    "aliases of aliases": (LAUGHS, "aliases stand for more than"),
    "merges of merges": (MERGES, "aliases stand for more than"),
    "a list in itself": ("a: &a [1, *a]\n", "study.yaml:1.*inside of what it names"),
    "a map in itself": ("a: &a\n  b: *a\n", "inside of what it names"),
    "a merge of itself": ("a: &a\n  <<: *a\n", "inside of what it names"),
    "deep lists": ("[" * 50_000, "nested too deep"),
    "deep maps": ("".join(" " * i + "a:\n" for i in range(3000)), "nested too deep"),
    "an escape in quotes": ('a: "\\e[31m"\n', "study.yaml:1: a text holds the character U\\+001B"),
    "a NUL in quotes": ('\na: "x\\0"\n', "study.yaml:2: a text holds the character U\\+0000"),
    "half a character": ('a: "\\ud83d"\n', "U\\+D83D"),
    "an escape as it is": ("a: \x1b[31m\n", "not valid YAML"),
    "a NUL as it is": ("a: \0\n", "not valid YAML"),
    "an escape in a key": ('"\\e": 1\n', "U\\+001B"),
    "5,000 digits": ("a: " + "9" * 5000 + "\n", "study.yaml:1: a number of 5,000 digits"),
    "a number that is none": ("a: !!int x\n", "not valid YAML"),
    "a float that is none": ("a: !!float x\n", "not valid YAML"),
    "a python tag": (
        "a: !!python/object/apply:os.system [id]\n",
        "study.yaml:1: the tag !!python/.* is not allowed",
    ),
    "a tag of its own": ("a: !run id\n", "the tag !run is not allowed"),
    "a tab": ("a:\n\t- b\n", "not valid YAML"),
    "two documents": ("a: 1\n---\na: 2\n", "not valid YAML"),
    "a key twice": ("a: 1\na: 2\n", "stands here twice"),
    "an unknown alias": ("a: *b\n", "undefined alias"),
}


@pytest.mark.parametrize("name", TEXTS)
def test_a_text_that_is_no_study(name: str) -> None:
    text, says = TEXTS[name]
    start = time.process_time()
    with pytest.raises(TraitscopeError, match=says):
        parse_yaml(text, "study.yaml")
    assert time.process_time() - start < 5.0


def test_aliases_and_merges_that_are_meant_are_read() -> None:
    value, _ = parse_yaml("a: &a {x: 1}\nb: {<<: *a, y: 2}\nc: [*a, *a]\n", "study.yaml")
    assert value == {"a": {"x": 1}, "b": {"x": 1, "y": 2}, "c": [{"x": 1}, {"x": 1}]}


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "study.yaml")
    with pytest.raises(TraitscopeError, match="a named pipe, not a file"):
        load_config(tmp_path / "study.yaml")
    (tmp_path / "big.yaml").write_bytes(b"")
    os.truncate(tmp_path / "big.yaml", 60_000_000)
    with pytest.raises(TraitscopeError, match="at most 5 MB are read"):
        load_config(tmp_path / "big.yaml")


@pytest.mark.parametrize("tag", ["!!binary aGk=", "!!set {a}", "!!omap [a: 1]", "!!timestamp 2026-01-01"])
def test_values_of_other_kinds_are_refused_by_their_line(tmp_path: Path, tag: str) -> None:
    (tmp_path / "study.yaml").write_text(f"study: s\nbase: embedded\ntasks: {{}}\nrecipe: {{rank: {tag}}}\n")
    with pytest.raises(TraitscopeError, match=r"study.yaml:4: the tag !!\w+ is not allowed"):
        load_config(tmp_path / "study.yaml")
