"""Matrix files as people write them: read as they are meant, or refused with the place; never shifted."""

from __future__ import annotations

import gc
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from traitscope.errors import TraitscopeError
from traitscope.matrix import ScoreMatrix, doubts

PLAIN = "model,rte,sst\nbase,0.1,0.5\np,0.2,0.75\nq,0.3,0.25\n"
MEANT = [[0.1, 0.5], [0.2, 0.75], [0.3, 0.25]]


def write(folder: Path, text: str | bytes, name: str = "m.csv") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize(
    "text",
    [
        PLAIN,
        PLAIN.rstrip(),
        b"\xef\xbb\xbf" + PLAIN.encode(),
        PLAIN.encode("utf-16"),
        PLAIN.replace("\n", "\r\n"),
        PLAIN.replace("\n", "\r"),
        PLAIN.replace("\n", "\n\n"),
        PLAIN + ",,\n,,\n",
        PLAIN.replace("\n", ",\n"),
        PLAIN.replace("\n", ",,\n").replace("sst,,", "sst"),
        PLAIN.replace(",", " ,  "),
        PLAIN.replace(",", "\t"),
        PLAIN.replace(",", "|"),
        PLAIN.replace(",", ";"),
        PLAIN.replace(",", ";").replace(".", ","),
        "sep=;\n" + PLAIN.replace(",", ";"),
        "# made by eval.sh, 'quoted\n" + PLAIN + '# "end\n',
        'model,rte,sst\n"base","0,1","0,5"\n"p","0,2","0,75"\n"q","0,3","0,25"\n',
        "model,rte\u200b,sst\u00a0\nbase,+0.1,.5\np,2e-1,7.5E-1\nq,0.30,25e-2\n",
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", ["m.csv", "M.TSV"])
def test_one_table_however_it_was_saved(tmp_path: Path, text: str | bytes, name: str) -> None:
    scores = ScoreMatrix.read(write(tmp_path, text, name))
    assert scores.models == ("base", "p", "q") and scores.tasks == ("rte", "sst") and scores.base_name == "base"
    assert scores.scores_IN.tolist() == MEANT


def test_parquet_may_hold_names_in_its_index_text_and_integers(tmp_path: Path) -> None:
    frame = pd.DataFrame(MEANT, index=["base", "p", "q"], columns=["rte", "sst"])
    kinds = [
        frame,
        frame.rename_axis("model"),
        frame.astype(str).replace("0.25", "-"),
        frame.rename_axis("m").reset_index(),
    ]
    for kind in kinds:
        kind.to_parquet(tmp_path / "m.parquet")
        scores = ScoreMatrix.read(tmp_path / "m.parquet")
        assert scores.models == ("base", "p", "q")
        assert scores.scores_IN[:2].tolist() == MEANT[:2] and scores.scores_IN[2, 1] in (
            0.25,
            pytest.approx(np.nan, nan_ok=True),
        )
    frame.assign(pair=[[1, 2]] * 3).to_parquet(tmp_path / "m.parquet")
    with pytest.raises(TraitscopeError, match="column pair: holds cells of type"):
        ScoreMatrix.read(tmp_path / "m.parquet")


@pytest.mark.parametrize(
    ("cells", "numbers"),
    [
        (['"1,010"', "990", '"12,345,678"'], [1010, 990, 12345678]),
        (["1 010", "990", "1\u202f200.5"], [1010, 990, 1200.5]),
        (["1'010.5", "990", "1\u2019200"], [1010.5, 990, 1200]),
        (["-", "n/a", "7"], [np.nan, np.nan, 7]),
        (["--", "", "7"], [np.nan, np.nan, 7]),
        (["—", "?", "7"], [np.nan, np.nan, 7]),
        (["NULL", "missing", "7"], [np.nan, np.nan, 7]),
        (["\u22120.5", "1", "2."], [-0.5, 1, 2]),
        (["45%", "5.5 %", "0%"], [45, 5.5, 0]),
    ],
)
def test_numbers_as_people_write_them(tmp_path: Path, cells: list[str], numbers: list[float]) -> None:
    lines = [f"{model},0.5,{cell}" for model, cell in zip(("base", "p", "q"), cells, strict=True)]
    scores = ScoreMatrix.read(write(tmp_path, "model,rte,elo\n" + "\n".join(lines)))
    assert scores.tasks == ("rte", "elo")
    np.testing.assert_array_equal(scores.scores_IN[:, 1], numbers)


def test_percent_signs_tell_the_unit_and_thousands_are_noted(tmp_path: Path) -> None:
    scores = ScoreMatrix.read(write(tmp_path, 'model,low,elo\nbase,2%,"1,010"\np,3%,990\n'))
    assert scores.units == {"low": "percent", "elo": "other"}
    assert "thousands are set apart in column elo: '1,010' is 1010" in scores.notes


def test_european_thousands_and_the_decimal_sign_where_the_file_does_not_tell(tmp_path: Path) -> None:
    scores = ScoreMatrix.read(write(tmp_path, "model;elo;rte\nbase;1.010;0,5\np;990;0,25\n"))
    assert scores.scores_IN.tolist() == [[1010, 0.5], [990, 0.25]]
    unclear = write(tmp_path, "model;x\nbase;1.234\np;1.567\n")
    with pytest.raises(TraitscopeError, match=r"'1.234' \(line 2, row 1, column x\) may be a fraction or thousands"):
        ScoreMatrix.read(unclear)
    assert ScoreMatrix.read(unclear, decimal=".").scores_IN[:, 0].tolist() == [1.234, 1.567]
    assert ScoreMatrix.read(unclear, decimal=",").scores_IN[:, 0].tolist() == [1234, 1567]
    for text in (
        "model\tx\nbase\t1,234\np\t1,567\n",
        "model,x\nbase,1.234\np,567\n",
        'model,x,y\nbase,1.234,"1,234"\n',
        'model,x\nbase,"1,234"\np,"2,345"\n',
    ):
        with pytest.raises(TraitscopeError, match="may be a fraction or thousands"):
            ScoreMatrix.read(write(tmp_path, text))
    assert ScoreMatrix.read(write(tmp_path, "model,x\nbase,1.234\np,2.5\nq,567\n")).scores_IN[:, 0].tolist() == [
        1.234,
        2.5,
        567,
    ]


def test_a_semicolon_beats_a_comma_that_splits_numbers(tmp_path: Path) -> None:
    scores = ScoreMatrix.read(write(tmp_path, "model;acc,a;f1,b\nbase;0,1;0,5\np;0,2;0,75\n"))
    assert scores.tasks == ("acc,a", "f1,b") and scores.scores_IN.tolist() == [[0.1, 0.5], [0.2, 0.75]]
    unclear = write(tmp_path, "model,x;y\nbase,1;-\n")
    with pytest.raises(TraitscopeError, match="separated by commas or semicolons"):
        ScoreMatrix.read(unclear)
    assert ScoreMatrix.read(write(tmp_path, PLAIN.replace(",", "~")), delimiter="~").scores_IN.tolist() == MEANT


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the file is empty"),
        (" \n\n", "the file is empty"),
        ("# a\n# b\n", "the file is empty"),
        ("model,rte\n", "no rows"),
        ("model\nbase\np\n", "only one column was found"),
        (PLAIN.replace(",", " "), "only one column was found"),
        ("June\n" + PLAIN, "the first line has one cell"),
        (PLAIN + "mean of 3\n", "line 5 has 1 cell, the header 3"),
        ("model,rte,sst\nbase,1\np,1,2\n", "line 2 has 2 cells, the header 3"),
        ("model,rte,sst\nbase,1,2,3\np,1,2\n", "line 2 has 4 cells, the header 3"),
        ("model,rte,sst\nbase,0,1,0,5\np,0,2,0,6\n", "line 2 has 5 cells"),
        ("rte,sst\nbase,1,2\np,1,3\n", "every line has 3 cells, the header 2"),
        ("#model,rte,sst\nbase,1,2\np,1,3\n", "the first line holds numbers"),
        ("model,rte,rte\nbase,1,2\n", r"column 'rte' occurs twice \(columns 2 and 3\)"),
        ("model,rte,rte \nbase,1,2\n", "column 'rte' occurs twice"),
        ("model,rte,,sst\nbase,1,2,3\n", "column 3 has no name"),
        ("model,rte,\nbase,1,2\n", "column 3 has no name"),
        ('model,rte\nbase,"1\np,2\n', "line 2 cannot be split"),
        (b"PK\x03\x04\x14\x00", "Excel workbook"),
        (b"\xd0\xcf\x11\xe0\xa1", "old Excel workbook"),
        (b"\x1f\x8b\x08", "compressed by gzip"),
        (b"PAR1\x15", "a parquet file"),
        (b"model,rte\nbase,\x00\n", "binary file"),
        ("mod\u00e8le,rte\nbase,1\n".encode("latin-1"), r"line 1 is not UTF-8 \(byte 0xe8\)"),
        ("<!DOCTYPE html>\n<table>", "a web page"),
        ('{"model": "base", "rte": 1}\n', "this is JSON"),
        ("| model | rte |\n|---|---|\n| base | 1 |\n", "a Markdown table"),
        ("version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "Git LFS pointer"),
        ("model,rte,sst\nbase,1,2\np,OOM,3\n", r"'OOM' is not a number \(line 3, row 2, p, column rte\)"),
        ("model,rte\nbase,45.2±1.1\np,46.0±1.2\n", r"'45.2±1.1' is not a number \(line 2, row 1, base, column rte\)"),
        ("model,rte\nbase,46*\np,45*\n", r"'46\*' is not a number"),
        ("model,rte\nbase,inf\np,1\n", "'inf' is not a number"),
        ('model,rte\nbase,"1,00,000"\np,1\n', "'1,00,000' is not a number"),
        ("model,rte\nbase,1_000\np,1\n", "'1_000' is not a number"),
        ("model,rte\nbase,45%\np,0.5\n", "'45%' is not a number beside numbers without a percent sign"),
        ("model;rte;sst\nbase;0,5;0.5\np;0,1;0.2\n", "decimal points and decimal commas: '0.5' .* and '0,5'"),
        ("model,rte,rte_stderr\nbase,1,big\np,1,2\n", "'big' is not a number .*column rte_stderr"),
        ("task,base,p\nrte,1,2\nsst,1,3\n", "names tasks, not models"),
        ("model,rte,epoch\nbase,1,0\np,1,3\n", "'epoch' looks like a setting"),
        ("model,rte,sst,Average\nbase,1,2,1.5\n", "'Average' looks like a summary"),
        ("model,rte,rte_std\nbase,1,.1\n", "'rte_std' looks like the spread or the counts of rte"),
        ("model,xnli,xnli_se\nbase,.1,.1\n", "'xnli_se' looks like the spread or the counts of xnli"),
        ("model,rte,rte_low,rte_high\nbase,.1,.1,.2\n", "'rte_low' looks like the spread"),
        ("model,rte,std\nbase,.1,.1\n", "'std' looks like the spread"),
        ("model,rte,checkpoint\nbase,.1,0\np,.2,1000\n", "'checkpoint' looks like a setting"),
        ("model,dataset,score\nbase,rte,.1\np,sst,.2\n", "'score' is the only column of scores; does one of dataset"),
        ("model,rte\nbase,.1\nbase_stderr,.01\n", "row 'base_stderr' looks like the standard errors of row 'base'"),
        ("model,rte,sst\nbase,1,2\np,3,8\nAverage,2,5\n", "row 'Average' is the mean of the others"),
        ("model,rte\nmodel,rte\nbase,1\n", "'rte' is not a number"),
        ("model,rte\n,%\nbase,1\n", r"'%' is not a number .*\(line 2, row 1, column rte\)"),
        ("model,rte,rte_n\nbase,.1,50\n", "'rte_n' looks like the spread or the counts of rte"),
        ("model,rte,rte CI\nbase,.1,.1\n", r"'rte CI' looks like the spread (.|\n)*stderr_suffix=' CI'"),
        ("model,rte,rte_err\nbase,.1,.1\n", "'rte_err' looks like the spread"),
        ("model,rte,rte_±\nbase,.1,.1\n", "'rte_±' looks like the spread"),
        ("model,rte,rte (Std)\nbase,.1,.1\n", "looks like the spread"),
        ("model,rte,SE_rte\nbase,.1,.1\n", r"'SE_rte' looks like the spread or the counts of rte(?!(.|\n)*suffix)"),
        ("model,rte,sst\nbase,1,2\np,3,8\nq,5,4\navg,4,6\n", "row 'avg' is the mean of the others"),
        ("model,rte,sst\nbase,1,2\np,3,8\nstd,1,3\n", "row 'std' is the spread of the others"),
        ("model,rte,sst\nbase,1,2\np,3,8\nq,5,4\nBest,5,8\n", "row 'Best' is the best or the least of the others"),
        ("dataset,base,p\nrte,.1,.2\nsst,.1,.3\n", "a column is named 'base', and no row"),
        ("model,rte,rte_stderr\nbase,.5,.02\np,.6,2\n", "standard error 2 of p on rte, whose scores lie"),
        ("model,task,value,n\nbase,rte,.5,-3\n", "-3 is no number of examples"),
        ("model,task,value,n\nbase,rte,.5,0\n", r"0 is no number of examples \(model base, task rte\)"),
        ("model,task,value,n\nbase,rte,.5,10.5\n", "10.5 is no number of examples"),
        (
            "model,task,value,higher_is_better\nbase,rte,.5,true\np,rte,.6,false\n",
            "task 'rte', metric 'score' is better when higher in some rows and when lower in others",
        ),
        ("model,rte,±\nbase,.1,.1\n", "'±' looks like the spread"),
        ("model,rte,+/-\nbase,.1,.1\n", "'\\+/-' looks like the spread"),
        ("model,rte\nbase,.1\np,30\nq,.2\n", "30 of p on rte stands among fractions, such as 0.2"),
        ("model,rte,sst_stderr\nbase,.1,.5\n", "'sst_stderr' holds standard errors of no column"),
        ("model,run,rte\nbase,,1\np,1,2\np,2,2\n", r"model 'p' has 2 values .*line 3, row 2; line 4, row 3"),
        ("model,tag,rte\nbase,,1\np,u,2\np,v,2\n", r"they differ in tag \(u, v\)"),
    ],
)  # fmt: skip
def test_what_is_not_meant_as_it_stands_is_refused_with_its_place(
    tmp_path: Path, text: str | bytes, message: str
) -> None:
    with pytest.raises(TraitscopeError, match=message) as error:
        ScoreMatrix.read(
            write(tmp_path, text), values=["!run"] if b"run" in write(tmp_path, text).read_bytes() else None
        )
    assert error.value.fix and "\n" not in error.value.fix


@pytest.mark.parametrize(
    ("text", "tasks"),
    [
        ("model,xnli,xnli_hi\nbase,.1,.1\n", ("xnli", "xnli_hi")),
        ("model,rte\nbase,.1\nmean,.3\np,.2\n", ("rte",)),
        ("model,rte\nbase,1\np,30\nq,0\n", ("rte",)),
        ('model,"arc.acc,none",n-samples.arc.effective,config.batch\nbase,.1,90,8\n', ("arc",)),
    ],
)
def test_what_only_looks_like_it_is_read(tmp_path: Path, text: str, tasks: tuple[str, ...]) -> None:
    assert ScoreMatrix.read(write(tmp_path, text)).tasks == tasks


@pytest.mark.parametrize(
    ("text", "note"),
    [
        ("model,rte\nbase,50\np,.72\nq,61\n", "rte is read as percent: is 0.72 of p a fraction?"),
        (
            "model,rte,rte_stderr\nbase,50,.02\np,50,.02\n",
            "standard errors of rte are those of 6,250,000 examples: are they in its scores' unit?",
        ),
        ("model,wiki_ppl,rte\nbase,12,.5\np,13,.6\n", "lower is better: wiki_ppl"),
        (
            "model,task,metric,value\nbase,t,f1,.5\np,t,f1,.6\np,t,acc,.6\n",
            "t has f1, acc; f1 is shown (metric=... for another)",
        ),
    ],
)
def test_what_may_be_meant_otherwise_is_noted(tmp_path: Path, text: str, note: str) -> None:
    assert note in ScoreMatrix.read(write(tmp_path, text)).notes


@pytest.mark.parametrize(
    "text",
    [
        "model,rte,rte_stderr\nbase,50,1.2\np,1,1.2\nq,3,1\n",
        "model,average,std\nbase,.1,.3\n".replace("average,std", "rte,sst") + "average,.6,.7\np,.2,.3\nbest,.3,.1\n",
    ],
)
def test_what_only_looks_odd_is_not_noted(tmp_path: Path, text: str) -> None:
    notes = " ".join(ScoreMatrix.read(write(tmp_path, text)).notes)
    assert "fraction?" not in notes and "examples" not in notes


def test_losses_of_long_files_turn_unless_the_file_says_more(tmp_path: Path) -> None:
    text = "model,task,metric,value\nbase,wiki,word_perplexity,12\np,wiki,word_perplexity,10\n"
    scores = ScoreMatrix.read(write(tmp_path, text))
    assert scores.sign_N.tolist() == [-1.0] and scores.units == {"wiki": "other"}
    lines = text.replace("\n", ",true\n").replace("value,true", "value,higher_is_better")
    assert ScoreMatrix.read(write(tmp_path, lines)).sign_N.tolist() == [1.0]


def test_a_folder_and_an_odd_delimiter_are_refused(tmp_path: Path) -> None:
    (tmp_path / "d.csv").mkdir()
    for path, options, message in (
        (tmp_path / "d.csv", {}, "is a folder"),
        (write(tmp_path, PLAIN), {"delimiter": "ab"}, "unknown delimiter 'ab'"),
        (write(tmp_path, PLAIN), {"decimal": ";"}, "unknown decimal sign ';'"),
    ):
        with pytest.raises(TraitscopeError, match=message):
            ScoreMatrix.read(path, **options)  # type: ignore[arg-type]


def test_what_was_left_out_is_said(tmp_path: Path) -> None:
    text = "# one\nmodel,note,rte,sst\nbase,x,1,\np,y,2,-\n# two\n"
    scores = ScoreMatrix.read(write(tmp_path, text))
    assert scores.tasks == ("rte",)
    for note in (
        "comment lines were skipped: line 1, 5",
        "columns that are no numbers were left out: note",
        "empty columns were left out: sst",
    ):
        assert note in scores.notes


LM_EVAL = {
    "arc_easy.acc,none": [0.3, 0.35], "arc_easy.acc_stderr,none": [0.01, 0.02],
    "gsm8k.exact_match,strict-match": [0.1, 0.2], "gsm8k.exact_match_stderr,strict-match": [0.03, 0.04],
    "gsm8k.exact_match,flexible-extract": [0.15, 0.25], "gsm8k.exact_match_stderr,flexible-extract": [0.05, 0.06],
    "wikitext.word_perplexity,none": [12.0, 11.0], "wikitext.word_perplexity_stderr,none": ["N/A", "N/A"],
}  # fmt: skip


@pytest.mark.parametrize("prefix", ["", "results."])
@pytest.mark.parametrize("sep", [".", "/"])
def test_flattened_results_of_lm_eval(tmp_path: Path, prefix: str, sep: str) -> None:
    named = {prefix.replace(".", sep) + column.replace(".", sep): cells for column, cells in LM_EVAL.items()}
    frame = pd.DataFrame({"model": ["base", "p"], **named})
    if prefix:
        frame = frame.assign(**{f"n-samples{sep}arc_easy{sep}effective": 570, "config.batch": 8, "date": 1.7e9})
    frame.to_csv(tmp_path / "m.csv", index=False)
    scores = ScoreMatrix.read(tmp_path / "m.csv")
    assert scores.tasks == ("arc_easy", "gsm8k", "wikitext")
    assert scores.metrics["gsm8k"] == "exact_match,strict-match"
    np.testing.assert_array_equal(scores.scores_IN, [[0.3, 0.1, 12], [0.35, 0.2, 11]])
    np.testing.assert_array_equal(scores.stderr_IN, [[0.01, 0.03, np.nan], [0.02, 0.04, np.nan]])
    assert scores.sign_N.tolist() == [1, 1, -1] and scores.units["wikitext"] == "other"
    assert scores.n_IN[:, 0].tolist() == ([570, 570] if prefix else [0, 0])
    other = scores.with_metric({"gsm8k": "exact_match,flexible-extract"})
    assert other.stderr_IN[:, 1].tolist() == [0.05, 0.06]
    assert ScoreMatrix.read(tmp_path / "m.csv", values=["gsm8k"]).tasks == ("gsm8k",)
    assert ScoreMatrix.read(tmp_path / "m.csv", values=["!gsm8k"]).tasks == ("arc_easy", "wikitext")


@pytest.mark.parametrize(
    "error", ["rte_stderr", "rte_std_err", "rte (SE)", "rte.stderr", "rte standard error", "stderr_rte", "rte_err"]
)
def test_standard_errors_are_known_by_their_names(tmp_path: Path, error: str) -> None:
    path = write(tmp_path, f"model,{error},rte\nbase,0.01,0.5\np,0.02,0.6\n")
    options: dict[str, Any] = {"stderr_suffix": "_err"} if error == "rte_err" else {}
    scores = ScoreMatrix.read(path, **options)
    assert scores.tasks == ("rte",) and scores.stderr_IN[:, 0].tolist() == [0.01, 0.02]


def test_two_columns_of_errors_of_one_task_are_refused(tmp_path: Path) -> None:
    with pytest.raises(
        TraitscopeError, match="'rte_stderr' and 'rte \\(SE\\)' both look like the standard errors of 'rte'"
    ):
        ScoreMatrix.read(write(tmp_path, "model,rte,rte_stderr,rte (SE)\nbase,.1,.2,.3\n"))


def test_a_missing_base_is_named_as_that(tmp_path: Path) -> None:
    def notes(text: str, **options: Any) -> str:
        return " ".join(ScoreMatrix.read(write(tmp_path, text), **options).notes)

    assert "no base row: gains are not defined" in notes(PLAIN.replace("base", "z"))
    assert "base=pretrained, if it is that one" in notes(PLAIN.replace("base", "pretrained"))
    assert ScoreMatrix.read(write(tmp_path, PLAIN.replace("base", "Base"))).base_name == "Base"
    assert "base has no score on rte: no gains there" in notes(PLAIN.replace("base,0.1", "base,-"))
    families = "fam,model,rte\nL,base,1\nL,p,2\nQ,p,3\nQ,r,4\n"
    told = notes(families, rows="model", family="fam", base="base")
    assert "no base row for 2 of 4 rows: no gains for Q/p, Q/r" in told
    for text in (PLAIN, "model,task,value\np,rte,1\n"):
        with pytest.raises(TraitscopeError, match="no base row: no row is named 'llama'"):
            ScoreMatrix.read(write(tmp_path, text), base="llama")


@pytest.mark.parametrize("option", ["family", "source_column"])
def test_a_column_of_scores_names_no_rows(tmp_path: Path, option: str) -> None:
    path = write(tmp_path, "model,t0,t1\nbase,.1,.2\na,.3,.1\n")
    with pytest.raises(TraitscopeError, match=f"{option}: column 't0' holds numbers"):
        ScoreMatrix.read(path, **{option: "t0"})


def test_a_column_of_scores_that_tells_runs_apart_is_told(tmp_path: Path) -> None:
    path = write(tmp_path, "model,t0,t1\nbase,.1,.2\na,.3,.1\n")
    assert any("t0 holds fractions and tells runs apart" in n for n in ScoreMatrix.read(path, seed_column="t0").notes)


@pytest.mark.parametrize(("models", "tasks", "times"), [(3, 2_000, 4), (5_000, 1, 8)])
def test_reading_takes_as_long_as_the_file_is(tmp_path: Path, models: int, tasks: int, times: int) -> None:
    """A file of so many times the cells takes so many times as long, and not the square of that."""
    seconds = []
    for part in (1, times):
        shape = (models * part, tasks) if models > tasks else (models, tasks * part)
        frame = pd.DataFrame(np.random.default_rng(0).random(shape).round(6)).add_prefix("t")
        frame.insert(0, "model", [f"m{k}" for k in range(shape[0])])
        frame.to_csv(tmp_path / "m.csv", index=False)
        # A collection of garbage takes as long as all that other tests have left alive.
        gc.disable()
        try:
            start = time.process_time()
            assert ScoreMatrix.read(tmp_path / "m.csv").scores_IN.shape == shape
            seconds.append(time.process_time() - start)
        finally:
            gc.enable()
    assert seconds[1] < 1.35 * times * seconds[0] + 0.2, seconds


def test_whole_copies_are_told_among_many_rows(tmp_path: Path) -> None:
    cells = np.random.default_rng(0).random((6_000, 3)).round(6)
    cells[4_321] = cells[17]
    frame = pd.DataFrame(cells, index=[f"m{k}" for k in range(len(cells))], columns=["x", "y", "z"])
    raw = ScoreMatrix.from_wide(frame).raw()
    found = doubts.reading_notes(raw, dict.fromkeys(raw.tasks, "fraction"), np.full(len(cells), -1))
    assert [note for note in found if "copied" in note] == ["m17 and m4321 have 3 identical scores: copied by mistake?"]
