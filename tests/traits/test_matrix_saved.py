"""Matrix files as programs, countries and accidents write them: read as meant, or refused with the true reason."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from traitscope.errors import TraitscopeError
from traitscope.matrix import ScoreMatrix

PLAIN = "model,gsm8k,boolq,copa\nbase,0.10,0.50,0.60\na,0.20,0.52,0.61\nb,0.15,0.55,0.66\nc,0.11,0.60,0.70\n"
LONG = "model,task,value,stderr\nbase,g,0.1,0.01\na,g,0.2,0.02\nb,g,0.3,0.03\n"


def read(folder: Path, text: str | bytes) -> ScoreMatrix:
    path = folder / "m.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return ScoreMatrix.read(path)


def test_the_shared_cases_are_read_or_refused(shared: Path) -> None:
    cases = shared / "cases"
    if not cases.is_dir():
        pytest.skip("there are no cases")
    long = ScoreMatrix.read(cases / "long_trailing_comma.csv")
    assert long.tasks == ("gsm8k", "boolq") and long.models == ("base", "a", "b", "c")
    assert long.table["stderr"].tolist() == [0.010, 0.012, 0.011, 0.013, 0.014, 0.015, 0.016, 0.017]
    flat = ScoreMatrix.read(cases / "lm_eval_flat.csv")
    assert flat.tasks == ("arc_easy", "boolq", "copa") and flat.table["stderr"].notna().all()
    first = flat.table[flat.table["task"] == "arc_easy"]
    assert first["stderr"].tolist() == [0.010, 0.011, 0.010, 0.009, 0.010]
    meant = [[0.1, 0.5, 0.6], [0.2, 0.52, 0.61], [0.15, 0.55, 0.66]]
    assert ScoreMatrix.read(cases / "euro.csv").scores_IN.tolist() == meant
    assert ScoreMatrix.read(cases / "comment_rows.csv").scores_IN.tolist() == meant
    assert ScoreMatrix.read(cases / "thousands.csv").scores_IN[:, 0].tolist() == [1010, 1120, 990, 1200]
    dash = ScoreMatrix.read(cases / "dash_missing.csv")
    assert dash.tasks == ("gsm8k", "boolq", "copa", "piqa") and dash.table["value"].isna().sum() == 1
    assert dash.scores_IN[1, 0] == 0.2 and dash.scores_IN[1, 1] != dash.scores_IN[1, 1]
    with pytest.raises(TraitscopeError, match="'gsm8k' occurs twice"):
        ScoreMatrix.read(cases / "dup_column.csv")


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        *(("0.20" + space, 0.2) for space in (" ", "\u00a0", "\u202f")),
        ('"0.20"', 0.2),
        ("\u22120.20", -0.2),
        ("2e-1", 0.2),
        *((word, None) for word in ("", "-", "\u2013", "n/a", "NA", "#N/A", "nan", "null", "?")),
    ],
)
def test_a_cell_is_a_number_or_missing(tmp_path: Path, cell: str, value: float | None) -> None:
    scores = read(tmp_path, PLAIN.replace("0.20", cell))
    assert scores.tasks == ("gsm8k", "boolq", "copa")
    found = scores.scores_IN[1, 0]
    assert found == value if value is not None else found != found


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (PLAIN.replace("0.20", "bad"), "'bad' is not a number (line 3, row 2, a, column gsm8k)"),
        (PLAIN.replace("0.20", "0.20\u00b10.01"), "line 3, row 2, a, column gsm8k"),
        (PLAIN.replace("0.20", "20%"), "beside numbers without a percent sign"),
        (PLAIN.replace("0.20", "inf"), "'inf' is not a number"),
        (PLAIN.replace("0.20", "1e309"), "the score of a on gsm8k is inf"),
        (PLAIN.replace("0.20", "9" * 400), "the score of a on gsm8k is inf"),
        (PLAIN.replace("0.20", "1e308"), "the score of a on gsm8k is 1e+308"),
        (PLAIN.replace("0.20", "-1e308"), "the score of a on gsm8k is -1e+308"),
        (LONG.replace("0.2,", "1e308,"), "the score of a on g is 1e+308"),
        (LONG.replace("0.02", "1e308"), "1e+308"),
        (LONG.replace("0.1,", "1e5,").replace("0.02", "1e308"), "the standard error of a on g is 1e+308"),
        (PLAIN.replace("a,0.20,0.52,0.61", "a,0.20,0.52"), "line 3 has 3 cells, the header 4"),
        (PLAIN.replace("a,0.20,0.52,0.61", "a,0.20,0.52,0.61,1"), "line 3 has 5 cells, the header 4"),
        (PLAIN + "a,0.3,0.4,0.5\n", "model 'a' has 2 values"),
        ("model,gsm8k,boolq\n", "no rows"),
        (b"PK\x03\x04\x14\0\x06\0", "an Excel workbook"),
        (PLAIN.encode("utf-32"), "binary file"),
        (PLAIN.replace("a,0.20", '"a,0.20'), "line 3"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_named(tmp_path: Path, bad: str | bytes, says: str) -> None:
    with pytest.raises(TraitscopeError) as caught:
        read(tmp_path, bad)
    assert says in str(caught.value), caught.value


@pytest.mark.parametrize("sign", ["\u2028", "\f", "\x85", "\x1c"])
def test_other_signs_end_no_line(tmp_path: Path, sign: str) -> None:
    assert read(tmp_path, PLAIN.replace("a,", f"a{sign}x,")).models == ("base", f"a{sign}x", "b", "c")


def test_pipes_and_impossible_names_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "p.csv")
    for name, says in (("p.csv", "a pipe"), ("x" * 5000 + ".csv", "cannot be read"), ("none.csv", "no such file")):
        with pytest.raises(TraitscopeError, match=says):
            ScoreMatrix.read(tmp_path / name)
