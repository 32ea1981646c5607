"""Where the rows are, and how many of them."""

from __future__ import annotations

from bad_input.sound import DATA, ROWS, STUDY, Case, data, jsonl, rows, study, write
from traitscope.config import load_config

CASES = [
    # where the rows are
    Case(
        "a missing data file",
        data("{path: row.jsonl}"),
        ("study.yaml:6, key tasks.one.data.path", "row.jsonl", "'rows.jsonl'?"),
    ),
    Case("a glob without files", data("{path: part-*.csv}"), ("no file matches part-*.csv", "look in")),
    Case("a format nobody knows", data("{path: a.xlsx}", {"a.xlsx": "x"}), ("does not say its format", "add format:")),
    Case(
        "two sources of rows",
        data("{path: rows.jsonl, hub: x/y}"),
        ("path and hub are given together", "exactly one of"),
    ),
    Case("no source of rows", data("{train: 4}"), ("tasks.one.data", "no source of rows", "embedded:")),
    Case(
        "a Hub dataset without a network",
        data("{hub: no/such, splits: train}"),
        ("data.splits", "does not answer", "save_to_disk"),
    ),
    Case("a Hub dataset without splits", data("{hub: no/such}"), ("data.hub", "needs its splits named", "splits:")),
    Case(
        "files of a Hub dataset without a network",
        data("{hub: no/such, files: {train: a.jsonl, eval: b.jsonl}}"),
        ("data.files", "save_to_disk"),
    ),
    Case("files beside a path", data("{path: rows.jsonl, files: a.jsonl}"), ("data.files", "for Hub datasets only")),
    Case("files beside splits", data("{hub: x/y, files: a.jsonl, splits: a}"), ("data.splits", "files already say")),
    Case("files beside a subset", data("{hub: x/y, files: a.jsonl, subset: a}"), ("data.subset", "files already say")),
    Case("a revision of a file", data("{path: rows.jsonl, revision: v1}"), ("data.revision", "for Hub datasets only")),
    Case("an unknown embedded task", data("{embedded: nothing}"), ("data.embedded", "no embedded task 'nothing'")),
    Case(
        "a broken JSON line", data(DATA, {"rows.jsonl": jsonl(ROWS) + '{"text": \n'}), ("rows.jsonl", "line 11", "mend")
    ),
    Case(
        "a JSON line that is no object", data(DATA, {"rows.jsonl": jsonl(ROWS) + "7\n"}), ("line 11 is no JSON object",)
    ),
    Case(
        "a broken JSON file", data("{path: a.json}", {"a.json": '[{"a": 1},'}), ("a.json", "not valid JSON", "line 1")
    ),
    Case(
        "a JSON object without field",
        data("{path: a.json}", {"a.json": '{"v": 1, "rows": []}'}),
        ("v, rows", "field: key"),
    ),
    Case(
        "a field that is not there",
        data("{path: a.json, field: row}", {"a.json": '{"rows": []}'}),
        ("no field 'row'", "mean 'rows'"),
    ),
    Case("a file without rows", data("{path: a.csv}", {"a.csv": "text,label\n"}), ("a.csv", "has no rows")),
    Case("an empty file of rows", data("{path: a.jsonl}", {"a.jsonl": ""}), ("a.jsonl", "has no rows")),
    Case(
        "the wrong delimiter",
        data("{path: a.csv}", {"a.csv": "text;label\na;b\n"}),
        ("single column", 'add delimiter: ";"'),
    ),
    Case(
        "a line with too many values",
        data("{path: a.csv}", {"a.csv": "text,label\na,b\na,b,c\n"}),
        ("a.csv", "line 3 has 3 values, more than the 2 columns", "delimiter (now ',')"),
    ),
    Case(
        "an open quotation mark",
        data("{path: a.csv}", {"a.csv": 'text,label\n"a,b\n'}),
        ("a.csv", "line 2", "quotes: false"),
    ),
    Case(
        "a delimiter of two characters",
        data('{path: a.csv, delimiter: "||"}'),
        ("data.delimiter", "must be one character"),
    ),
    Case("a column name twice", data("{path: a.csv}", {"a.csv": "text,text\na,b\n"}), ("'text' twice", "add columns:")),
    Case("columns named twice", data("{path: a.csv, columns: [a, a]}"), ("data.columns", "'a' is named twice")),
    Case(
        "another encoding",
        data("{path: a.csv}", {"a.csv": b"text,label\ncaf\xe9,no\n"}),
        ("line 2 is not utf-8", "latin-1"),
    ),
    *(
        Case(
            f"an encoding of no file: {name}",
            data(f'{{path: rows.jsonl, encoding: "{name}"}}'),
            ("data.encoding", "unknown encoding", "latin-1"),
        )
        for name in (
            "utf-9",
            "utf-8\\u202e",
            "unicode_escape",
            "raw-unicode-escape",
            "idna",
            "punycode",
            "hex",
            "rot13",
            "",
        )
    ),
    *(
        Case(
            f"an empty list: {keys}", data(f"{{{keys}}}"), ("study.yaml:6", "the list is empty", "write what it should")
        )
        for keys in (
            "path: []",
            "path: {train: [], eval: rows.jsonl}",
            "path: {train: rows.jsonl, eval: []}",
            "path: rows.jsonl, columns: []",
            "hub: x/y, splits: {train: []}",
        )
    ),
    Case("an empty name of a joined file", data('{path: rows.jsonl, join: {more: ""}}'), ("join", "empty")),
    Case("a joined column without a name", data('{path: rows.jsonl, join: {"": rows.jsonl}}'), ("join", "empty")),
    Case("a home that is not there", data('{path: "~nobody-here/rows.jsonl"}'), ("data.path", "no file")),
    Case(
        "not a parquet file", data("{path: a.parquet}", {"a.parquet": "x"}), ("a.parquet", "no readable parquet file")
    ),
    Case(
        "a joined file of another length",
        data("{path: rows.jsonl, join: {x: l.txt}}", {"l.txt": "1\n"}),
        ("l.txt", "has 1 lines for 10 rows", "exactly one line per row"),
    ),
    # how many rows
    Case(
        "more train rows than there are",
        data("{path: rows.jsonl, train: 40, eval: 4}"),
        ("study.yaml:6, key tasks.one.data.train", "40 train rows are asked for and 6 are there", "write train: 6"),
    ),
    Case(
        "more eval rows than there are",
        data("{path: rows.jsonl, train: 1, eval: 40}"),
        ("40 eval rows", "10 different ones"),
    ),
    Case(
        "a negative number of rows", data("{path: rows.jsonl, eval: -1}"), ("data.eval", "greater than or equal to 0")
    ),
    Case(
        "all rows evaluate and some train", data("{path: rows.jsonl, train: 2, eval: all}"), ("data.eval", "train: 0")
    ),
    Case(
        "no target at all",
        lambda d: load_config(write(d, STUDY.replace("eval: 4", "eval: 0"))),
        ("targets", "give one task eval rows"),
    ),
    Case(
        "where drops everything",
        data("{path: rows.jsonl, where: \"label == 'x'\"}"),
        ("data.where", "drops all of the 10"),
    ),
    Case(
        "where does not parse",
        data("{path: rows.jsonl, where: 'label =='}"),
        ("data.where", "condition does not parse"),
    ),
    Case("where names no column", data("{path: rows.jsonl, where: 'lable'}"), ("no column 'lable'", "mean 'label'")),
    Case(
        "where by an unknown column", data("{path: rows.jsonl, where: {x: [1]}}"), ("data.where", "'x'", "text, label")
    ),
    Case(
        "duplicates are refused",
        data("{path: rows.jsonl, duplicates: refuse, eval: 2}", rows(*ROWS[:2])),
        ("data.duplicates", "2 rows repeat", "duplicates: drop"),
    ),
    Case(
        "shots without train rows",
        study("  two:", "    shots: {n: 9}\n  two:"),
        ("shots.n", "need 10 train rows, and 6"),
    ),
]
