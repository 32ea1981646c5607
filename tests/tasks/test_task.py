"""Rows are read in their formats, divided by seed, kept apart, and rendered without surprises."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from task_helpers import CHOICE, task_of, write_rows

from traitscope.config import TaskConfig
from traitscope.errors import TraitscopeError
from traitscope.tasks import Task

ROWS = [{"text": f"row {i}, said", "label": ["no", "yes"][i % 2]} for i in range(40)]
PROMPT = "{{ text }}\nAnswer:"


def load(folder: Path, data: dict[str, Any], **keys: Any) -> Any:
    config = TaskConfig(data=data, prompt=keys.pop("prompt", PROMPT), answer=keys.pop("answer", CHOICE), **keys)
    return Task("t", config, folder).load()


def csv_text(delimiter: str, header: bool = True) -> str:
    quote = '"' if delimiter == "," else ""
    lines = [f"{quote}{r['text']}{quote}{delimiter}{r['label']}" for r in ROWS]
    return "\n".join(([f"text{delimiter}label"] if header else []) + lines) + "\n"


def as_parquet(folder: Path) -> dict[str, Any]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.Table.from_pylist(ROWS), folder / "rows.parquet")
    return {"path": "rows.parquet"}


def as_folder(folder: Path) -> dict[str, Any]:
    import datasets

    datasets.Dataset.from_list(ROWS).save_to_disk(str(folder / "saved"))
    return {"path": "saved"}


def written(name: str, text: str | bytes, **keys: Any) -> Callable[[Path], dict[str, Any]]:
    def write(folder: Path) -> dict[str, Any]:
        (folder / name).write_bytes(text.encode() if isinstance(text, str) else text)
        return {"path": name, **keys}

    return write


JSONL = "".join(json.dumps(r) + "\n" for r in ROWS)
FORMATS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "csv": written("a.csv", csv_text(",")),
    "csv with a byte-order mark": written("a.csv", "\ufeff" + csv_text(",")),
    "csv.gz": written("a.csv.gz", gzip.compress(csv_text(",").encode())),
    "csv with semicolons": written("a.csv", csv_text(";"), delimiter=";"),
    "tsv": written("a.tsv", csv_text("\t")),
    "tsv without a header": written("a.txt", csv_text("\t", header=False), format="tsv", columns=["text", "label"]),
    "latin-1": written("a.tsv", csv_text("\t").encode("latin-1"), encoding="latin-1"),
    "jsonl": written("a.jsonl", JSONL),
    "jsonl.gz": written("a.jsonl.gz", gzip.compress(JSONL.encode())),
    "json": written("a.json", json.dumps(ROWS)),
    "json lines named json": written("a.json", JSONL),
    "json with a field": written("a.json", json.dumps({"v": 1, "data": {"rows": ROWS}}), field="data.rows"),
    "parquet": as_parquet,
    "saved folder": as_folder,
}


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_the_same_examples(tmp_path: Path, name: str) -> None:
    data = load(tmp_path, {**FORMATS[name](tmp_path), "train": 20, "eval": 10})
    same = load(tmp_path, {"path": write_rows(tmp_path, ROWS), "train": 20, "eval": 10})
    assert data.train == same.train and data.eval == same.eval


def test_globs_take_files_in_order_and_name_them(tmp_path: Path) -> None:
    for name in ("b", "a"):
        write_rows(tmp_path, [{"text": f"{name} {i}"} for i in range(3)], f"part_{name}.jsonl")
    answer = {"choice": ["part_a", "part_b"], "gold": "{{ _file }}"}
    data = load(tmp_path, {"path": "part_*.jsonl", "train": 0, "eval": 6}, answer=answer)
    assert {(e.prompt[0], e.answer[-1]) for e in data.eval} == {("a", "a"), ("b", "b")}


def test_saved_folders_have_splits(tmp_path: Path) -> None:
    import datasets

    parts = {"train": datasets.Dataset.from_list(ROWS[:30]), "test": datasets.Dataset.from_list(ROWS[30:])}
    datasets.DatasetDict(parts).save_to_disk(str(tmp_path / "saved"))
    data = load(tmp_path, {"path": "saved", "splits": {"train": "train", "eval": "test"}})
    assert (len(data.train), len(data.eval)) == (30, 10)
    assert {e.prompt for e in data.eval} == {r["text"] + "\nAnswer:" for r in ROWS[30:]}


def test_more_eval_rows_begin_with_the_same_ones_and_leave_training_alone(tmp_path: Path) -> None:
    path = write_rows(tmp_path, ROWS + ROWS[:7])
    few, many = (load(tmp_path, {"path": path, "train": 15, "eval": n}) for n in (5, 20))
    assert many.eval[:5] == few.eval
    assert many.train == few.train
    assert few.fingerprint == many.fingerprint


def test_more_train_rows_begin_with_the_same_ones(tmp_path: Path) -> None:
    path = write_rows(tmp_path, ROWS)
    few, many = (load(tmp_path, {"path": path, "train": n, "eval": 10}) for n in (5, 20))
    assert many.train[:5] == few.train and many.eval == few.eval


def test_the_seed_decides_the_division(tmp_path: Path) -> None:
    path = write_rows(tmp_path, ROWS)
    first, again, other = (load(tmp_path, {"path": path, "train": 20, "eval": 10, "seed": s}) for s in (0, 0, 1))
    assert first.eval == again.eval
    assert {e.id for e in first.eval} != {e.id for e in other.eval}


def test_ids_say_the_row_of_the_file(tmp_path: Path) -> None:
    data = load(tmp_path, {"path": write_rows(tmp_path, ROWS), "train": 20, "eval": 10})
    for e in (*data.train, *data.eval):
        assert e.prompt.startswith(ROWS[int(e.id.removeprefix("all-"))]["text"])


def test_dropping_rows_keeps_the_order_of_the_others(tmp_path: Path) -> None:
    path = write_rows(tmp_path, ROWS)
    everything = load(tmp_path, {"path": path, "train": 0, "eval": "all"})
    fewer = load(tmp_path, {"path": path, "train": 0, "eval": "all", "where": "label == 'yes'"})
    assert list(fewer.eval) == [e for e in everything.eval if e.answer == " yes"]
    assert fewer.report.filtered == 20


def test_train_rows_that_repeat_an_eval_question_are_dropped(tmp_path: Path) -> None:
    paths = {"train": write_rows(tmp_path, ROWS[:30], "a.jsonl"), "eval": write_rows(tmp_path, ROWS[25:], "b.jsonl")}
    data = load(tmp_path, {"path": paths, "eval": 2})
    assert (len(data.train), data.report.duplicates, len(data.eval)) == (25, 5, 2)
    kept = load(tmp_path, {"path": paths, "eval": 2, "duplicates": "keep"})
    assert (len(kept.train), kept.report.duplicates) == (30, 0)


def test_a_repeated_question_is_a_duplicate_whatever_its_label(tmp_path: Path) -> None:
    train = [{"text": "same", "label": "no"}, {"text": " same ", "label": "yes"}, {"text": "other", "label": "no"}]
    paths = {
        "train": write_rows(tmp_path, train, "a.jsonl"),
        "eval": write_rows(tmp_path, [{"text": "same", "label": "yes"}], "b.jsonl"),
    }
    data = load(tmp_path, {"path": paths}, prompt="{{ text | trim }}?")
    assert [e.prompt for e in data.train] == ["other?"]


def test_one_file_is_divided_by_question(tmp_path: Path) -> None:
    rows = [{"text": f"q{i % 10}", "label": ["no", "yes"][i % 2], "n": i} for i in range(40)]
    data = load(tmp_path, {"path": write_rows(tmp_path, rows), "train": "all", "eval": 4})
    asked = {e.prompt for e in data.eval}
    assert len(asked) == 4 and not asked & {e.prompt for e in data.train}
    assert len(data.train) == 24 and data.report.duplicates == 12
    assert len({e.prompt for e in data.train[:6]}) == 6


def test_options_from_the_row_are_part_of_the_question(tmp_path: Path) -> None:
    rows = [{"goal": "open", "sols": [f"way {i}", "no way"]} for i in range(4)]
    answer = {"choice": "{{ sols | prefix(' ') }}", "gold": "0", "gold_is": "index"}
    data = load(
        tmp_path, {"path": write_rows(tmp_path, rows), "train": 2, "eval": 2}, prompt="{{ goal }}", answer=answer
    )
    assert len(data.train) == 2 and data.report.duplicates == 0
    assert data.eval[0].options == (data.eval[0].answer, " no way")


def test_fixed_shots_are_the_same_for_all_and_stand_in_front(tmp_path: Path) -> None:
    path = write_rows(tmp_path, ROWS)
    data = load(tmp_path, {"path": path, "train": 20, "eval": 10}, shots={"n": 2, "separator": "\n--\n"})
    fronts = {e.prompt.rsplit("--\n", 1)[0] for e in data.eval}
    assert len(fronts) == 1
    front = fronts.pop()
    assert front.count("Answer: ") == 2
    assert all(f"{r['text']}\nAnswer: {r['label']}\n" in front for r in ROWS if r["text"] in front)


def test_no_example_is_among_its_own_shots(tmp_path: Path) -> None:
    path = write_rows(tmp_path, ROWS)
    for fixed in (True, False):
        shots = {"n": 3, "fixed": fixed}
        data = load(tmp_path, {"path": path, "train": 20, "eval": 10}, shots=shots)
        for e in (*data.train, *data.eval):
            *front, own = e.prompt.split("\n\n")
            assert len(front) == 3 and not any(own.split("\n")[0] in f for f in front)
        asked = {e.prompt.split("\n\n")[-1] for e in data.eval}
        assert not any(question in e.prompt.rsplit("\n\n", 1)[0] for e in data.train for question in asked)
    assert len({e.prompt.rsplit("\n\n", 1)[0] for e in data.eval}) > 1


def test_shots_do_not_depend_on_how_many_rows_train(tmp_path: Path) -> None:
    path = write_rows(tmp_path, ROWS)
    evals = [load(tmp_path, {"path": path, "train": n, "eval": 10}, shots={"n": 2}).eval for n in (0, 5, 30)]
    assert evals[0] == evals[1] == evals[2]


def test_chat_shots_are_turns(tmp_path: Path) -> None:
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "{{ text }}"}]
    task = task_of(tmp_path, ROWS, messages=messages, shots={"n": 1}, data={"train": 20, "eval": 10})
    roles = [role for role, _ in task.load().eval[0].messages]
    assert roles == ["system", "user", "assistant", "user"]
    assert task.load().eval[0].messages[2][1] in ("no", "yes")


@pytest.mark.parametrize(
    ("label", "answer", "expected"),
    [
        (1, {"choice": [" no", " yes"], "gold": "{{ label }}"}, " yes"),
        ("1", {"choice": [" no", " yes"], "gold": "{{ label }}"}, " yes"),
        (1.0, {"choice": [" no", " yes"], "gold": "{{ label }}"}, " yes"),
        ("yes", {"choice": [" no", " yes"], "gold": "{{ label }}"}, " yes"),
        (1, {"choice": [" no", " yes"], "gold": "{{ label }}", "labels": {0: " yes", 1: " no"}}, " no"),
        (True, {"choice": [" no", " yes"], "gold": "{{ label }}", "labels": {"True": "yes", "False": "no"}}, " yes"),
        ("0", {"choice": ["1", "0"], "gold": "{{ label }}", "gold_is": "text"}, "0"),
        ("0", {"choice": ["1", "0"], "gold": "{{ label }}", "gold_is": "index"}, "1"),
        ("b", {"choice": "{{ ['a', 'b'] }}", "gold": "{{ label }}"}, "b"),
        (2, {"choice": [" no", " yes"], "gold": "{{ label - 1 }}"}, " yes"),
    ],
)
def test_gold_is_a_text_an_index_or_a_label(tmp_path: Path, label: Any, answer: dict[str, Any], expected: str) -> None:
    task = task_of(tmp_path, [{"text": "x", "label": label}], answer=answer, data={"train": 0, "eval": 1})
    assert task.load().eval[0].answer == expected


def test_references_may_be_several_templates_or_a_list(tmp_path: Path) -> None:
    rows = [{"text": "x", "a": "one", "b": "two", "more": ["p", "q", "p"]}]
    for gold, expected in [
        ("{{ a }}", ("one",)),
        (["{{ a }}", " {{ b }}"], ("one", " two")),
        ("{{ more | prefix(' ') }}", (" p", " q")),
    ]:
        task = task_of(tmp_path, rows, answer={"generate": {"gold": gold}}, data={"train": 0, "eval": 1})
        assert task.load().eval[0].references == expected
        assert task.load().eval[0].answer == expected[0]


def test_columns_with_odd_names_are_reached_through_row(tmp_path: Path) -> None:
    task = task_of(
        tmp_path, [{"my text": "hello", "label": "no"}], prompt="{{ row['my text'] }}!", data={"train": 0, "eval": 1}
    )
    assert task.load().eval[0].prompt == "hello!"


def test_csv_columns_stay_text(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,label\n007,no\nNA,no\nnull,yes\n1e5,yes\n")
    data = load(tmp_path, {"path": "a.csv", "train": 0, "eval": 4}, prompt="{{ text }}")
    assert {e.prompt for e in data.eval} == {"007", "NA", "null", "1e5"}


def test_templates_cannot_leave_the_sandbox(tmp_path: Path) -> None:
    task = task_of(tmp_path, ROWS, prompt="{{ text.__class__.__mro__ }}")
    with pytest.raises(TraitscopeError, match=r"does what templates may not|reads what is not there"):
        task.load()


def test_the_fingerprint_follows_content_and_prompt_but_not_counts(tmp_path: Path) -> None:
    def mark(rows: list[dict[str, Any]], **keys: Any) -> str:
        return task_of(tmp_path, rows, **keys).fingerprint()

    same = mark(ROWS)
    assert mark(ROWS, data={"train": 3, "eval": 7}, tags={"kind": "x"}) == same
    assert mark(ROWS, prompt="{{ text }}?") != same
    assert mark(ROWS, data={"seed": 1}) != same
    assert mark([*ROWS[:-1], {"text": "else", "label": "no"}]) != same
    assert mark(ROWS, metrics=["accuracy", "mcc"]) != same


def test_embedded_tasks_load_by_name() -> None:
    from traitscope.tasks import embedded

    name = embedded.NAMES[0]
    columns = list(embedded.generate(name, "train", 1, 0)[0])
    config = TaskConfig(
        data={"embedded": name, "train": 30, "eval": 20},
        prompt="{{ " + columns[0] + " }}",
        answer={"generate": {"gold": "{{ " + columns[-1] + " }}"}},
    )
    data = Task(name, config).load()
    assert (len(data.train), len(data.eval)) == (30, 20)
    assert not {e.prompt for e in data.train} & {e.prompt for e in data.eval}
    longer = config.model_copy(update={"data": config.data.model_copy(update={"eval": 25})})
    assert Task(name, longer).load().eval[:20] == data.eval


def test_naming_files_of_a_hub_dataset_is_no_part_of_a_tasks_definition() -> None:
    # As with paths: what counts is the rows that they hold; and studies without files keep their fingerprints.
    plain, files = (
        Task("one", TaskConfig(data={"hub": "x/y", **where}, prompt=PROMPT, answer=CHOICE)).definition()
        for where in ({}, {"files": ["rows.jsonl"]})
    )
    assert plain == files and "files" not in plain["task"]["data"]
