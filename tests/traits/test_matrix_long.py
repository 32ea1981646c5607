"""Long matrix files: columns by their names or as named, runs told apart, own tasks from a list."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from traitscope.errors import TraitscopeError
from traitscope.matrix import Role, ScoreMatrix
from traitscope.matrix.options import read_typed

ODD = (
    "adapter;trained;bench;acc;err;size;run;setting\n"
    "plain;-;rte;0,50;0,01;100;;few\n"
    "plain;-;sst;0,60;0,02;200;;few\n"
    "m1;rte;rte;0,70;0,03;100;0;few\n"
    "m1;rte;sst;0,65;0,04;200;0;few\n"
    "m2;rte;rte;0,80;0,03;100;1;few\n"
    "m2;rte;sst;0,55;0,04;200;1;few\n"
    "m2;rte;sst;0,99;0,04;200;1;zero\n"
)
NAMED = {
    "model_column": "adapter", "source_column": "trained", "task_column": "bench", "value_column": "acc",
    "stderr_column": "err", "n_column": "size", "seed_column": "run",
}  # fmt: skip


def write(folder: Path, text: str, name: str = "m.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_every_column_can_be_named_and_lines_chosen(tmp_path: Path) -> None:
    scores = ScoreMatrix.read(write(tmp_path, ODD), **NAMED, where=["setting=few"], base="plain")
    assert scores.models == ("plain", "m1", "m2") and scores.tasks == ("rte", "sst")
    assert scores.scores_IN.tolist() == [[0.5, 0.6], [0.7, 0.65], [0.8, 0.55]]
    assert scores.stderr_IN.tolist() == [[0.01, 0.02], [0.03, 0.04], [0.03, 0.04]]
    assert scores.n_IN.tolist() == [[100, 200]] * 3
    assert scores.sources_I == (None, "rte", "rte") and scores.metrics["rte"] == "acc"
    assert scores.relation_IN.tolist() == [["model"] * 2, ["own", "transfer"], ["own", "transfer"]]
    assert "columns that are not used: setting" in scores.notes
    noise = scores.seed_variance
    assert noise is not None
    np.testing.assert_allclose(noise.variance_N, [0.005, 0.005])


def test_names_that_cannot_be_mistaken_need_no_option(tmp_path: Path) -> None:
    text = "Model Name,Benchmark,Score,Std. Error,N Examples\nbase,rte,.5,.1,30\np,rte,.6,.2,30\n"
    scores = ScoreMatrix.read(write(tmp_path, text))
    assert scores.scores_IN.tolist() == [[0.5], [0.6]] and scores.n_IN[0, 0] == 30
    assert any(note.startswith("read as long: model = Model Name, task = Benchmark") for note in scores.notes)
    text = 'model,task,"acc,none","acc_stderr,none"\nbase,rte,.5,.1\np,rte,.6,N/A\n'
    scores = ScoreMatrix.read(write(tmp_path, text), value_column="acc,none")
    np.testing.assert_array_equal(scores.stderr_IN[:, 0], [0.1, np.nan])


def test_lines_of_standard_errors_go_to_their_metric(tmp_path: Path) -> None:
    lines = [
        f'{model},{task},"{metric},none",{value}'
        for model, at in (("base", 1), ("p", 3))
        for task, more in (("rte", 0), ("sst", 1))
        for metric, value in (("acc", (at + more) / 10), ("acc_stderr", (at + more) / 100), ("f1", 0.9))
    ]
    scores = ScoreMatrix.read(write(tmp_path, "model,task,metric,value\n" + "\n".join(lines)))
    assert scores.metrics == {"rte": "acc,none", "sst": "acc,none"}
    assert scores.scores_IN.tolist() == [[0.1, 0.2], [0.3, 0.4]]
    assert scores.stderr_IN.tolist() == [[0.01, 0.02], [0.03, 0.04]]


def test_runs_of_one_name_are_told_apart_by_their_seeds(tmp_path: Path) -> None:
    text = "model,seed,task,value\nbase,,rte,.1\np,0,rte,.3\np,1,rte,.5\nq,,rte,.7\n"
    scores = ScoreMatrix.read(write(tmp_path, text))
    assert scores.models == ("base", "p-s0", "p-s1", "q") and scores.sources_I == (None, "p", "p", "q")
    named = ScoreMatrix.read(write(tmp_path, text.replace(",0,", ",first,").replace(",1,", ",second,")))
    assert named.models == ("base", "p-sfirst", "p-ssecond", "q")
    assert scores.by_source().scores_IN[:, 0].tolist() == [0.1, 0.4, 0.7]
    saved = write(tmp_path, scores.to_long().to_csv(index=False), "again.csv")
    assert ScoreMatrix.read(saved).models == scores.models
    own = "base,model,seed,task,value\n" + "".join(
        f"{b},{m}\n" for b in "ab" for m in (f"{b},,x,.1", "p,0,x,.3", "p,1,x,.5")
    )
    read = ScoreMatrix.read(write(tmp_path, own, "bases.csv"))
    assert read.models == ("a/a", "a/p-s0", "a/p-s1", "b/b", "b/p-s0", "b/p-s1")
    assert [role.kind for role in read.roles_I] == 2 * ["base", "source", "source"]


def test_a_wide_file_may_say_source_and_seed(tmp_path: Path) -> None:
    text = "run,source,seed,rte,sst\nbase,none,,1,2\nr1,rte,0,3,4\nr2,rte,1,5,6\n"
    scores = ScoreMatrix.read(write(tmp_path, text))
    assert scores.models == ("base", "r1", "r2") and scores.sources_I == (None, "rte", "rte")
    assert scores.relation_IN[1].tolist() == ["own", "transfer"]
    scores = ScoreMatrix.read(
        write(tmp_path, text.replace("seed", "try")), values=["rte", "sst"], source_column="source"
    )
    assert scores.sources_I == (None, "rte", "rte") and scores.tasks == ("rte", "sst")


def test_truth_and_averages_are_read_as_written(tmp_path: Path) -> None:
    text = "model,task,metric,value,primary,higher_is_better\nbase,t,f1,.1,FALSE,true\nbase,t,loss,2,TRUE,false\n"
    scores = ScoreMatrix.read(write(tmp_path, text))
    assert scores.metrics == {"t": "loss"} and scores.sign_N.tolist() == [-1]
    lines = [f"m{k},t,{k}\n" for k in range(12)]
    scores = ScoreMatrix.read(write(tmp_path, "model,task,value\n" + "".join(lines) + "m2,t,4\n"), duplicates="mean")
    assert scores.models == tuple(f"m{k}" for k in range(12)) and scores.scores_IN[2, 0] == 3


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        (ODD, {"layout": "long"}, "no column model, task, value; columns: adapter, trained, bench"),
        (ODD, {"value_column": "f1"}, "no column 'f1'; columns: adapter, trained, bench, acc"),
        (ODD, {"value_column": "acc", "task_column": "acc"}, "column 'acc' is named as task and as value"),
        (ODD, NAMED, r"model 'm2-s1' has 2 values for task 'sst'.*differ in setting \(few, zero\)"),
        (ODD, {**NAMED, "where": ["mode=few"]}, "no column 'mode'; columns: adapter"),
        (ODD, {**NAMED, "layout": "wide"}, "say what the columns of a long file are"),
        (ODD.replace("0,50", "half"), {**NAMED, "where": ["setting=few"]}, r"'half' .*line 2, row 1, plain on rte"),
        ("model,task,acc\nbase,t,1\n", {}, "no column value; columns: model, task, acc"),
        ("adapter,task,value\nbase,t,1\n", {}, "no column model; columns: adapter, task, value"),
        ("model,task,value\n,t,1\n", {}, "line 2, row 1 has no model"),
        ("model,task,value\np,,1\n", {}, "line 2, row 1 has no task"),
        ("model,task,value,primary\np,t,1,maybe\n", {}, "'maybe' is neither true nor false"),
        ("model,task,value,base\np,t,1,0.5\n", {}, "column 'base' holds numbers"),
        ("model,task,task_name,benchmark,value\np,a,b,c,1\n", {"task_column": None}, None),
        ("Model,model_name,task,value\np,q,t,1\n", {}, "Model and model_name may each be the model"),
        ("model,task,value,stderr\np,t,5%,.1\n", {}, "do not both have percent signs"),
        ("model,task,value\np,t,1\n", {"rows": "model", "layout": "long"}, "rows is for wide files"),
    ],
)
def test_what_a_long_file_does_not_say_is_asked_for(
    tmp_path: Path, text: str, options: dict[str, Any], message: str | None
) -> None:
    if message is None:
        assert ScoreMatrix.read(write(tmp_path, text), **options).tasks == ("a",)
        return
    with pytest.raises(TraitscopeError, match=message) as error:
        ScoreMatrix.read(write(tmp_path, text), **options)
    assert error.value.fix


def test_own_tasks_by_name_by_pairs_or_none(tmp_path: Path) -> None:
    path = write(tmp_path, "model,rte,sst,nli\nbase,1,2,3\nrte,2,3,4\nq,4,5,7\n")
    pairs = write(tmp_path, "source;task\nrte;nli\nq;rte\nq;sst\n", "pairs.csv")
    copies = write(tmp_path, "task,relation,source\nsst,copy,q\nnli,,q\n", "copies.tsv")
    wanted: list[tuple[Any, list[list[str]]]] = [
        (None, [["own", "transfer", "transfer"], ["transfer"] * 3]),
        ("none", [["transfer"] * 3, ["transfer"] * 3]),
        (str(pairs), [["transfer", "transfer", "own"], ["own", "own", "transfer"]]),
        (copies, [["transfer"] * 3, ["transfer", "copy", "own"]]),
        ({"q": "nli", "rte": ["rte", "sst"]}, [["own", "own", "transfer"], ["transfer", "transfer", "own"]]),
    ]
    for own, relations in wanted:
        scores = ScoreMatrix.read(path, own=own)
        assert scores.relation_IN.tolist() == [["model"] * 3, *relations]
        assert [role.kind for role in scores.roles_I] == ["base", "source", "source"]
        count = sum(row.count("own") for row in relations)
        assert any(note.startswith(f"{count} cell") and "row's own task" in note for note in scores.notes)
    long = write(tmp_path, ScoreMatrix.read(path).to_long().drop(columns="source").to_csv(index=False), "long.csv")
    assert read_typed(long, own_pairs=str(pairs)).relation_IN.tolist()[1:] == wanted[2][1]
    assert read_typed(long, own_pairs="none").roles_I[1] == Role("source")
    alone = ScoreMatrix.read(write(tmp_path, "model,rte,sst\nbase,1,2\n", "alone.csv"))
    assert alone.notes[-1] == "0 cells are their row's own task, by equal names"


@pytest.mark.parametrize(
    ("source", "task"), [("RTE", "rte"), ("IMDB", "imdb/f1"), ("arc easy", "arc_easy"), ("nai\u0308ve", "na\u00efve")]
)
def test_a_source_that_is_spelled_unlike_its_task_is_asked_about(tmp_path: Path, source: str, task: str) -> None:
    path = write(tmp_path, f"model,{task},sst\nbase,1,2\n{source},3,4\n")
    with pytest.raises(TraitscopeError, match=f"source '{source}' and task '{task}' are spelled differently"):
        ScoreMatrix.read(path)
    assert ScoreMatrix.read(path, own={source: task}).relation_IN.tolist()[1] == ["own", "transfer"]
    assert ScoreMatrix.read(path, own="none").relation_IN.tolist()[1] == ["transfer"] * 2


def test_sources_without_a_task_of_their_own_and_controls_are_named(tmp_path: Path) -> None:
    table = "model,rte,rte2,sst\nbase,1,2,3\nsst,3,4,6\nsst.balance,3,4,9\nllama-rte2-s0,4,5,7\n"
    table += "qwen2,5,7,3\nqwen2.5,1,1,8\n"
    scores = ScoreMatrix.read(write(tmp_path, table))
    assert [role.kind for role in scores.roles_I] == ["base", "source", "control", *["source"] * 3]
    assert scores.notes[-1] == (
        "1 cell is its row's own task, by equal names and 1 a copy of it; every cell of llama-rte2-s0, qwen2, "
        "qwen2.5 counts as transfer (own= says which do not); was llama-rte2-s0 trained on rte2?; "
        "controls by their names: sst.balance (of sst)"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model,task\nq,rte\n", "columns are model, task"),
        ("source,task\nz,rte\n", "no source is named 'z'"),
        ("source,task\nq,mnli\n", "no task is named 'mnli'"),
        ("source,task,relation\nq,rte,mine\n", "unknown relation 'mine'"),
        ("source,task\nq,\n", "line 2, row 1 has no task"),
        (None, "no such file"),
    ],
)
def test_a_list_of_own_tasks_that_does_not_fit_is_refused(tmp_path: Path, text: str | None, message: str) -> None:
    path = write(tmp_path, "model,rte,sst\nbase,1,2\nq,4,5\n")
    pairs = tmp_path / "pairs.csv" if text is None else write(tmp_path, text, "pairs.csv")
    with pytest.raises(TraitscopeError, match=message) as error:
        ScoreMatrix.read(path, own=pairs)
    assert "pairs.csv" in str(error.value)


def test_filters_know_truth_and_decimal_commas(tmp_path: Path) -> None:
    path = write(tmp_path, "model;lora;lr;rte\nbase;false;0,5;1,5\np;TRUE;0,1;2,5\nq;;0,4;3,5\n")
    for where, models in (("lora=True", ["p"]), ("lora=False,NA", ["base", "q"]), ("lr>=0.4", ["base", "q"])):
        assert list(ScoreMatrix.read(path, values=["rte"], where=[where]).models) == models


def test_a_setting_that_rows_were_chosen_by_is_no_task(tmp_path: Path) -> None:
    path = write(tmp_path, "model,epoch,rte\nbase,0,1\np,1,2\np,2,3\n")
    scores = ScoreMatrix.read(path, where=["epoch=0,2", "rte>=1"])
    assert scores.tasks == ("rte",) and scores.scores_IN[:, 0].tolist() == [1, 3]
    assert ScoreMatrix.read(path, where=["epoch>=1"], seed_column="epoch").models == ("p-s1", "p-s2")
    # So is whatever column is the same in all rows that are left, but for a score that is asked for.
    path = write(tmp_path, "model,billions,rte\nbase,7,1\np,7.0,2\np,13,3\n")
    assert ScoreMatrix.read(path, where=["billions=7"]).tasks == ("rte",)
    assert ScoreMatrix.read(path, where=["billions<=7"], values=["billions"]).tasks == ("billions",)


def test_filters_leave_out_and_quote(tmp_path: Path) -> None:
    path = write(tmp_path, 'model,prompt,rte\nbase,"a,b",1\np,"a,b",2\nq,,3\nr,c,4\n')
    for where, models in (
        ('prompt="a,b"', ["base", "p"]),
        ('prompt!="a,b"', ["q", "r"]),
        ("prompt!=c", ["base", "p", "q"]),
    ):
        assert list(ScoreMatrix.read(path, where=[where]).models) == models


def test_errors_in_lines_leave_those_in_a_column_and_percent_signs_agree(tmp_path: Path) -> None:
    lines = "base,rte,acc,.5,\np,rte,acc,.6,.03\nbase,rte,acc_stderr,.02,\n"
    scores = ScoreMatrix.read(write(tmp_path, "model,task,metric,value,stderr\n" + lines))
    assert scores.stderr_IN[:, 0].tolist() == [0.02, 0.03]
    with pytest.raises(TraitscopeError, match="do not both have percent signs"):
        ScoreMatrix.read(write(tmp_path, "model,rte,rte_stderr\nbase,50%,2\np,60%,\n"))


def test_a_column_whose_name_holds_a_comma_stands_in_quotes_on_the_command_line(tmp_path: Path) -> None:
    path = write(tmp_path, 'model,"acc,a","f1,b",x\nbase,1,2,3\np,2,3,4\n')
    assert read_typed(path, values='"f1,b", x').tasks == ("f1,b", "x")


def test_several_evaluations_of_the_base_are_averaged_when_asked_not_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "runs.csv"
    lines = [f"{m},{seed},{v + seed},{v}" for m, v in (("plain", 0.1), ("a", 0.3), ("b", 0.5)) for seed in (0, 0.2)]
    path.write_text("model,run,x,y\n" + "\n".join(lines) + "\n")
    named: dict[str, Any] = {"base": "plain", "seed_column": "run"}
    with pytest.raises(TraitscopeError, match="'plain' has 2 values") as caught:
        ScoreMatrix.read(path, **named)
    assert "duplicates=mean" in (caught.value.fix or "") and "seed_column" not in (caught.value.fix or "")
    read = ScoreMatrix.read(path, **named, duplicates="mean")
    assert read.models == ("plain", "a-s0", "a-s0.2", "b-s0", "b-s0.2")
    np.testing.assert_allclose(read.scores_IN[0], [0.2, 0.1])
