"""Files as they come: odd line breaks, bytes, halves of characters, leaks, brackets in names, bombs."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from traitscope.config import TaskConfig
from traitscope.errors import TraitscopeError
from traitscope.tasks import Task

ANY = {"choice": ["a", "b"], "gold": "0", "gold_is": "index"}
ODD = ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c", "\x1d", "\x1e"]


def task(folder: Path, data: dict[str, Any], **more: Any) -> Task:
    settings = {"prompt": "{{ text }}", "answer": {"choice": ["a", "b"], "gold": "{{ label }}", "gold_is": "index"}}
    return Task("t", TaskConfig(data=data, **{**settings, **more}), folder)


def texts(made: Task) -> list[str]:
    return [example.prompt for example in (*made.load().train, *made.load().eval)]


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("kind", ["txt", "jsonl", "csv", "tsv", "conll"])
def test_a_line_ends_at_a_line_break_alone(tmp_path: Path, kind: str, end: str, odd: str) -> None:
    text = f"x{odd}y"
    lines = {
        "txt": [text, "z"],
        "jsonl": [json.dumps({"text": text, "label": 0}, ensure_ascii=False), '{"text": "z", "label": 1}'],
        "csv": ["text,label", f"{text},0", "z,1"],
        "tsv": ["text\tlabel", f"{text}\t0", "z\t1"],
        "conll": [f"{text}\tO", "", "z\tO"],
    }[kind]
    (tmp_path / f"rows.{kind}").write_bytes((end.join(lines) + end).encode())
    data = {"path": f"rows.{kind}", "train": 0, "eval": "all", "duplicates": "keep"}
    if kind == "txt":
        made = task(tmp_path, {**data, "format": "lines"}, prompt=None, answer={"loss": "{{ text }}"})
        assert {example.answer for example in made.load().eval} == {text, "z"}
    elif kind == "conll":
        made = task(tmp_path, data, prompt="{{ tokens[0] }}", answer={"loss": "{{ tags[0] }}"})
        assert set(texts(made)) == {text, "z"}
    else:
        assert set(texts(task(tmp_path, data))) == {text, "z"}


@pytest.mark.parametrize("odd", ODD)
def test_a_joined_file_has_a_line_for_each_row(tmp_path: Path, odd: str) -> None:
    (tmp_path / "labels.txt").write_text("0\n1\n")
    (tmp_path / "texts.txt").write_bytes(f"x{odd}y\nz\n".encode())
    data = {"path": "labels.txt", "format": "lines", "columns": ["label"], "join": {"text": "texts.txt"}, "train": 0}
    assert set(texts(task(tmp_path, {**data, "eval": 2}))) == {f"x{odd}y", "z"}


def test_text_that_a_parquet_file_holds_as_bytes_is_text(tmp_path: Path) -> None:
    rows = {"text": [b"fine", "na\u00efve".encode()], "label": [0, 1], "many": [[b"u"], [b"v"]]}
    pq.write_table(pa.table(rows), tmp_path / "rows.parquet")
    made = task(tmp_path, {"path": "rows.parquet", "train": 0, "eval": 2}, prompt="{{ text }} {{ many[0] }}")
    assert set(texts(made)) == {"fine u", "na\u00efve v"}
    pq.write_table(pa.table({"text": [b"\xff\xfe"], "label": [0]}), tmp_path / "rows.parquet")
    with pytest.raises(TraitscopeError, match=r"prompt, row all-0.*bytes"):
        task(tmp_path, {"path": "rows.parquet", "train": 0, "eval": 1}).load()


@pytest.mark.parametrize("place", ["text", "label", "gold", "options"])
def test_half_a_character_is_named_with_its_row(tmp_path: Path, place: str) -> None:
    row = {"text": "x", "label": 0, "gold": "g", "options": ["a", "b"]}
    row[place] = {"options": ["a\ud83d", "b"], "label": 0}.get(place, "bad \ud83d")
    (tmp_path / "rows.jsonl").write_text(json.dumps(row) + "\n")
    answer = {
        "text": {"choice": ["a", "b"], "gold": "{{ label }}"},
        "label": {"choice": ["a\udc00", "b"], "gold": "{{ label }}"},
        "gold": {"generate": {"gold": "{{ gold }}"}},
        "options": {"choice": "{{ options }}", "gold": "{{ label }}", "gold_is": "index"},
    }[place]
    with pytest.raises(TraitscopeError, match=r"row all-0: the text holds half a character \(\\u"):
        task(tmp_path, {"path": "rows.jsonl", "train": 0, "eval": 1}, answer=answer).load()


def write_rows(path: Path, texts_: list[str]) -> None:
    path.write_text("".join(json.dumps({"text": t, "label": i % 2}) + "\n" for i, t in enumerate(texts_)))


@pytest.mark.parametrize("fixed", [True, False])
@pytest.mark.parametrize("train", [0, "all"])
def test_no_row_stands_among_its_own_shots(tmp_path: Path, train: Any, fixed: bool) -> None:
    """Rows in both files, and rows that train twice."""
    write_rows(tmp_path / "train.jsonl", [*(f"q{i}" for i in range(6)), "same", "same", "same"])
    write_rows(tmp_path / "eval.jsonl", [f"q{i}" for i in range(3)])
    data = {"path": {"train": "train.jsonl", "eval": "eval.jsonl"}, "train": train, "eval": 3}
    made = task(tmp_path, data, prompt="Q: {{ text }}\nA:", shots={"n": 2, "fixed": fixed})
    for example in (*made.load().train, *made.load().eval):
        questions = [line for line in example.prompt.split("\n") if line.startswith("Q:")]
        assert len(questions) == 3 and questions[-1] not in questions[:-1], example.prompt


def test_shots_that_all_ask_the_same_are_too_few(tmp_path: Path) -> None:
    write_rows(tmp_path / "train.jsonl", ["same", "same", "same", "other"])
    write_rows(tmp_path / "eval.jsonl", ["mine"])
    data = {"path": {"train": "train.jsonl", "eval": "eval.jsonl"}, "train": "all", "eval": 1}
    with pytest.raises(TraitscopeError, match="only 1 train rows ask something else"):
        task(tmp_path, data, shots={"n": 2}).load()


@pytest.mark.parametrize("folder", ["[old] data", "what?", "a*b", "{x}", "d[!0]"])
@pytest.mark.parametrize("pattern", ["part-*.jsonl", "*/rows[1].jsonl", "../*/part-1.jsonl"])
def test_only_a_star_is_a_pattern(tmp_path: Path, folder: str, pattern: str) -> None:
    place = tmp_path / folder
    (place / "sub").mkdir(parents=True)
    for name in ("part-1.jsonl", "part-2.jsonl", "sub/rows[1].jsonl", "sub/rows1.jsonl"):
        write_rows(place / name, [f"{name}"])
    found = set(texts(task(place, {"path": pattern, "train": 0, "eval": "all"})))
    wanted = {"part-*.jsonl": {"part-1.jsonl", "part-2.jsonl"}, "*/rows[1].jsonl": {"sub/rows[1].jsonl"}}
    assert found == wanted.get(pattern, {"part-1.jsonl"})


def test_what_is_no_sentence_of_a_conll_file_is_none(tmp_path: Path) -> None:
    (tmp_path / "a.conll").write_text("-DOCSTART- -X- O\n\nEU NNP B\n# 5 O\n\n-DOCSTART- -X- O\nRome NNP B\n")
    data = {"path": "a.conll", "columns": ["tokens", "pos", "tags"], "delimiter": " ", "train": 0, "eval": "all"}
    shown = {"prompt": "{{ tokens | join(' ') }}", "answer": {"loss": "{{ tags | join(' ') }}"}}
    assert set(texts(task(tmp_path, data, **shown))) == {"EU #", "Rome"}
    (tmp_path / "a.conll").write_text("-DOCSTART-\n\nEU NNP B\n\n-DOCSTART-\nRome NNP B\n")
    assert set(texts(task(tmp_path, data, **shown))) == {"EU", "Rome"}
    (tmp_path / "u.conll").write_text("# text = im Haus\n1-2\tim\n1\tin\n2\tdem\n2.1\t_\n3\tHaus\n\n")
    data = {"path": "u.conll", "columns": ["id", "tokens"], "train": 0, "eval": "all"}
    assert texts(task(tmp_path, data, **{**shown, "answer": {"loss": "x"}})) == ["in dem Haus"]


@pytest.mark.parametrize(
    ("gold", "parse", "stop", "fault"),
    [
        ("step 1\n\nso 1", "raw", ["\n\n"], "holds the stop string"),
        ("a###b", "raw", ["##", "#"], "holds the stop string"),
        ("1\n2", "last_line", ["\n"], "holds the stop string"),
        ("1/4 or 3x", "final_number", [], "only 3 is read"),
        ("12:30", "final_number", [], "only 30 is read"),
        ("42\n", "raw", ["\n"], None),
        ("x = 1\n```", "code", ["```"], None),
        ("3/4", "final_number", ["\n"], None),
        ("so 3 + 4 = 7\n#### 7", "final_number", [], None),
    ],
)
def test_a_right_answer_can_be_given_and_is_read_whole(
    tmp_path: Path, gold: str, parse: str, stop: list[str], fault: str | None
) -> None:
    (tmp_path / "rows.jsonl").write_text(json.dumps({"text": "q", "gold": gold}) + "\n")
    answer = {"generate": {"gold": "{{ gold }}", "parse": parse, "stop": stop}}
    made = task(tmp_path, {"path": "rows.jsonl", "train": 0, "eval": 1}, answer=answer)
    if fault is None:
        assert made.load().eval[0].answer == gold
    else:
        with pytest.raises(TraitscopeError, match=f"generate.gold, row all-0: .*{fault}"):
            made.load()


@pytest.mark.parametrize("kind", [pa.float16(), pa.float32(), pa.float64()])
def test_single_precision_is_written_as_short_as_it_is_read(tmp_path: Path, kind: Any) -> None:
    held = pa.array([0.8, 0.1, None, 3.0], pa.float64()).cast(pa.float32()).cast(kind, safe=False)
    held = held if kind != pa.float64() else pa.array([0.8, 0.1, None, 3.0])
    lists = pa.ListArray.from_arrays(pa.array([0, 2, 2, 3, 4]), held)
    nested = pa.StructArray.from_arrays([held, lists], ["x", "y"])
    pq.write_table(pa.table({"n": held, "many": lists, "deep": nested}), tmp_path / "rows.parquet")
    where = {"path": "rows.parquet", "train": 0, "eval": "all", "where": "n is not none"}
    made = task(tmp_path, where, prompt="{{ n }} {{ many | tojson }} {{ deep.x }} {{ deep.y | tojson }}", answer=ANY)
    assert set(texts(made)) == {"0.8 [0.8, 0.1] 0.8 [0.8, 0.1]", "0.1 [] 0.1 []", "3.0 [3.0] 3.0 [3.0]"}


def test_a_file_may_be_called_like_a_home_folder(tmp_path: Path) -> None:
    write_rows(tmp_path / "~x.jsonl", ["a", "b"])
    assert set(texts(task(tmp_path, {"path": "~x.jsonl", "train": 0, "eval": 2}))) == {"a", "b"}


def bomb(path: Path, content: bytes) -> None:
    with gzip.open(path, "wb") as file:
        for _ in range(300):
            file.write(content)


def damage_gz(path: Path) -> None:
    write_rows(path.with_suffix(""), [f"row {i} {i * 7919}" for i in range(500)])
    data = bytearray(gzip.compress(path.with_suffix("").read_bytes()))
    data[len(data) // 2] ^= 0x55
    path.write_bytes(data)


def many_rows(path: Path) -> None:
    table = pa.table({"text": pa.array(["x" * 1000]).take(pa.array([0] * 300_000))})
    pq.write_table(table, path, compression="zstd", use_dictionary=False)


FILES: dict[str, tuple[Any, str]] = {
    "pipe.jsonl": (os.mkfifo, "a named pipe"),
    "flipped.jsonl.gz": (damage_gz, "cannot be read"),
    "cut.jsonl.gz": (lambda p: p.write_bytes(gzip.compress(b'{"text": "x"}\n' * 99)[:-9]), "cannot be read"),
    "text.jsonl.gz": (lambda p: p.write_bytes(b'{"text": "x"}\n'), "cannot be read"),
    "bomb.jsonl.gz": (lambda p: bomb(p, b"0" * (1 << 20)), "unpacks to more than"),
    "deep.jsonl": (lambda p: p.write_text("[" * 100_000 + "]" * 100_000), "line 1 is not valid JSON.*nested too deep"),
    "deep.json": (lambda p: p.write_text('{"a":' * 100_000 + "1" + "}" * 100_000), "nested too deep"),
    "long.jsonl": (lambda p: p.write_text('{"text": ' + "9" * 5000 + "}"), "line 1 is not valid JSON"),
    "long.json": (lambda p: p.write_text('[{"text": ' + "9" * 5000 + "}]"), "not valid JSON"),
    "cut.parquet": (lambda p: p.write_bytes(b"PAR1" + b"\0" * 50 + b"PAR1"), "no readable parquet"),
    "bomb.parquet": (many_rows, "unpacks to more than"),
    "loop.jsonl": (lambda p: p.symlink_to(p), "no file"),
    "zero.jsonl": (lambda p: p.symlink_to("/dev/zero"), "a device"),
    "nul.csv": (lambda p: p.write_bytes(b"text,label\nx\0y,0\n"), None),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_no_data_is_one_error(tmp_path: Path, name: str) -> None:
    make, says = FILES[name]
    make(tmp_path / name)
    made = task(tmp_path, {"path": name, "train": 0, "eval": 1})
    if says is None:
        made.load()
        return
    with pytest.raises(TraitscopeError, match=says):
        made.load()
