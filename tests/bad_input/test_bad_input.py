"""What a user sees for bad input: one row per case, with the place, the problem and the fix.

To add a case, append to ``CASES``: a name, an action that takes an empty folder and must fail, and the pieces of text
that its message must hold (place, what is wrong, what to write instead). ``study(...)`` makes the action for
a study file: the sound one below with one piece replaced, loaded with all its tasks.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from traitscope.config import RecipeConfig, TaskConfig, load_config
from traitscope.errors import TraitscopeError
from traitscope.study import Study
from traitscope.tasks import Task

STUDY = """\
study: sound
base: embedded
recipe: {rank: 8, lr: 2e-4}
tasks:
  one:
    data: {path: rows.jsonl, train: 4, eval: 4}
    prompt: "{{ text }}\\nAnswer:"
    answer: {choice: [" no", " yes"], gold: "{{ label }}"}
  two:
    data: {path: rows.jsonl, train: 4, eval: 4}
    prompt: "{{ text }}\\nAnswer:"
    answer: {generate: {gold: " {{ label }}"}}
sources: [one, two]
mixes: {all: {of: sources}}
"""

ROWS: list[dict[str, Any]] = [{"text": f"row {i}", "label": ["no", "yes"][i % 2]} for i in range(10)]

Files = dict[str, str | bytes]


@dataclass(frozen=True)
class Case:
    name: str
    act: Callable[[Path], Any]
    says: tuple[str, ...]


def jsonl(rows: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def study(old: str = "", new: str = "", files: Files | None = None) -> Callable[[Path], None]:
    """Loads the sound study with the first ``old`` replaced by ``new``, beside its rows and ``files``."""
    assert old in STUDY, old

    def act(folder: Path) -> None:
        for name, content in {"rows.jsonl": jsonl(ROWS), **(files or {})}.items():
            (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
        (folder / "study.yaml").write_text(STUDY.replace(old, new, 1), encoding="utf-8")
        config = load_config(folder / "study.yaml")
        for name, task in config.tasks.items():
            Task(name, task, config.root).load()

    return act


DATA = "{path: rows.jsonl, train: 4, eval: 4}"
CHOICE = '{choice: [" no", " yes"], gold: "{{ label }}"}'
GENERATE = '{generate: {gold: " {{ label }}"}}'
PROMPT = '"{{ text }}\\nAnswer:"'


def data(new: str, files: Files | None = None) -> Callable[[Path], None]:
    """The study with other data for its first task."""
    return study(DATA, new, files)


def rows(*more: dict[str, Any]) -> Files:
    return {"rows.jsonl": jsonl([*ROWS, *more])}


def study_path(folder: Path, change: tuple[str, str] = ("", "")) -> Path:
    """Writes the sound study and its rows."""
    (folder / "rows.jsonl").write_text(jsonl(ROWS))
    return _write(folder, STUDY.replace(*change))


def run_folder(files: Files) -> Callable[[Path], None]:
    """Plans the sound study over a run folder that holds ``files``."""

    def act(folder: Path) -> None:
        for name, content in files.items():
            path = folder / "out" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(str(content))
        Study.open(study_path(folder), folder / "out").plan()

    return act


CASES = [
    # the file as a whole
    Case(
        "no such study file",
        lambda d: load_config(d / "absent.yaml"),
        ("absent.yaml", "no such file", "traitscope init"),
    ),
    Case("a folder instead of a file", load_config, ("is a folder, not a file", "name the YAML file")),
    Case("an empty file", lambda d: load_config(_write(d, "")), ("study.yaml", "it is empty", "study: name")),
    Case("a list instead of keys", lambda d: load_config(_write(d, "- a\n")), ("not a study file", "study: name")),
    Case("broken YAML", study("train: 4, eval: 4}", "train: 4, eval: 4"), ("study.yaml:7", "not valid YAML", "colons")),
    Case("a tab in the indentation", study("  two:", "\ttwo:"), ("study.yaml:9", "not valid YAML", "no tabs")),
    Case(
        "not UTF-8", lambda d: load_config(_write(d, b"study: \xff\n")), ("study.yaml", "not UTF-8", "save it as UTF-8")
    ),
    Case(
        "two tasks of one name",
        study("  two:", "  one:"),
        ("study.yaml:9, key tasks.one", "'one' stands here twice (first on line 5)", "rename or remove"),
    ),
    # keys and their types
    Case(
        "an unknown key", study("prompt:", "promt:"), ("study.yaml:7", "unknown key 'promt'", "did you mean 'prompt'")
    ),
    Case("an unknown key at the top", study("recipe:", "recepie:"), ("study.yaml:3", "'recepie'", "mean 'recipe'")),
    Case("an unknown key in data", data("{path: rows.jsonl, evals: 4}"), ("key tasks.one.data.evals", "mean 'eval'")),
    Case("no base", study("base: embedded\n", ""), ("study.yaml", "the key 'base' is missing", "add `base:`")),
    Case("no answer", study("    answer: " + CHOICE + "\n", ""), ("tasks.one", "'answer' is missing", "add `answer:`")),
    Case("no prompt", study(f"    prompt: {PROMPT}\n", ""), ("study.yaml:5", "there is no prompt", "add prompt:")),
    Case(
        "tasks as a list",
        lambda d: load_config(_write(d, "study: s\nbase: b\ntasks: [one]\n")),
        ("study.yaml:3", "'tasks' must be a mapping"),
    ),
    Case(
        "no tasks",
        lambda d: load_config(_write(d, "study: s\nbase: embedded\ntasks: {}\n")),
        ("study.yaml:3, key tasks", "'tasks' needs at least 1", "tasks by name"),
    ),
    Case(
        "a name with a slash",
        study("  two:", "  a/b:"),
        ("study.yaml:9", "'a/b' is not allowed here", "letters, digits"),
    ),
    Case(
        "text for a number",
        study("rank: 8", "rank: eight"),
        ("study.yaml:3, key recipe.rank", "whole number", "LoRA rank"),
    ),
    Case("a fraction for a rank", study("rank: 8", "rank: 8.5"), ("recipe.rank", "must be a whole number, not 8.5")),
    Case("a negative rank", study("rank: 8", "rank: -1"), ("study.yaml:3", "greater than or equal to 1, not -1")),
    Case("a learning rate of zero", study("lr: 2e-4", "lr: 0"), ("recipe.lr", "must be greater than 0, not 0")),
    Case("an infinite learning rate", study("lr: 2e-4", "lr: .inf"), ("recipe.lr", "must be a finite number")),
    Case(
        "a number for text", study(PROMPT, "7"), ("study.yaml:7, key tasks.one.prompt", "must be text", 'quotes: "7"')
    ),
    Case("an unknown schedule", study("rank: 8", "schedule: cosin"), ("recipe.schedule", "'cosin'", "mean 'cosine'")),
    Case(
        "an unknown dtype",
        study("base: embedded", "base: {model: m, dtype: fp8}"),
        ("base.dtype", "'fp32'", "not 'fp8'"),
    ),
    Case(
        "targets as one word", study("rank: 8", "targets: q_proj"), ("recipe.targets", "write all-linear or [q_proj]")
    ),
    Case(
        "layers back to front", study("rank: 8", "layers: [5, 2]"), ("recipe.layers", "first layer 5", "write [2, 5]")
    ),
    Case("no seed", study("rank: 8", "seeds: []"), ("study.yaml:3, key recipe.seeds", "needs at least 1", "add one")),
    Case("a seed twice", study("rank: 8", "seeds: [1, 1]"), ("recipe.seeds", "the seed 1 stands here twice")),
    Case(
        "an unknown device",
        study("base:", "compute: {device: gpu}\nbase:"),
        ("key compute.device", "'gpu' is not allowed", "auto, cpu, mps"),
    ),
    Case("warm-up over the whole training", study("rank: 8", "warmup: 1.5"), ("recipe.warmup", "less than 1, not 1.5")),
    Case("several problems", study("rank: 8, lr: 2e-4", "rank: 0, lr: 0"), ("recipe.rank", "(and 1 more: recipe.lr")),
    Case("a template without quotes", study(PROMPT, "{{ text }}"), ("study.yaml:7", "without quotes", "in quotes:")),
    Case(
        "neither a number nor all",
        data("{path: rows.jsonl, train: some}"),
        ("key tasks.one.data.train", "must be a whole number or 'all', not 'some'", "How many rows"),
    ),
    Case(
        "test for eval",
        data("{path: {train: rows.jsonl, test: rows.jsonl}}"),
        ("tasks.one.data.path.test", "unknown key 'test'", "write one of: eval, train"),
    ),
    Case("three layers for a window", study("rank: 8", "layers: [1, 2, 3]"), ("recipe.layers", "more than 2 values")),
    Case("shots as a number", study("  two:", "    shots: 4\n  two:"), ("tasks.one.shots", "must be a mapping")),
    Case(
        "shots from the eval rows",
        study("  two:", "    shots: {n: 2, from: eval}\n  two:"),
        ("tasks.one.shots.from", "must be 'train', not 'eval'"),
    ),
    # names that tie things together
    Case(
        "a source that is no task", study("[one, two]", "[one, twoo]"), ("study.yaml:13", "names no task", "mean 'two'")
    ),
    Case("a source without train rows", data("{path: rows.jsonl, train: 0, eval: 4}"), ("sources[0]", "no train rows")),
    Case("a recipe change that is no mapping", study("[one, two]", "[one, {two: 5}]"), ("recipe changes of 'two'",)),
    Case("a wrong key in a recipe change", study("two]", "{two: {ranks: 5}}]"), ("unknown key 'ranks'", "mean 'rank'")),
    Case(
        "a target that is no task",
        study("mixes:", "targets: [three]\nmixes:"),
        ("study.yaml:14", "'three' names no task"),
    ),
    Case(
        "a target without eval rows",
        lambda d: load_config(_write(d, STUDY.replace("eval: 4", "eval: 0", 1) + "targets: [two, one]\n")),
        ("study.yaml:15, key targets[1]", "the task 'one' has no eval rows", "take it out of targets"),
    ),
    Case("a mix of an unknown source", study("of: sources", "of: [one, tow]"), ("mixes.all.of", "'tow'", "mean 'two'")),
    Case(
        "a mix that holds out an unknown task",
        study("of: sources", "hold_out: [x]"),
        ("mixes.all.hold_out", "task 'x'"),
    ),
    Case("a mix that holds out all", study("of: sources", "hold_out: [one, two]"), ("holds out everything",)),
    Case(
        "a mix by clusters without clusters", study("of: sources", "per_cluster: 5"), ("per_cluster", "tags: {cluster")
    ),
    Case(
        "a mix with two sizes",
        study("of: sources", "per_task: 5, per_cluster: 5"),
        ("mixes.all", "keep one of the two"),
    ),
    Case("a name taken twice", study("mixes: {all", "mixes: {one"), ("mixes.one", "'one' is among sources already")),
    Case(
        "a mix called like a control",
        study("mixes: {all:", "controls: {one: [mislabel]}\nmixes: {one.mislabel:"),
        ("study.yaml:15, key mixes.one.mislabel", "'one.mislabel' is among controls already"),
    ),
    Case(
        "a mix called like a task that trains",
        study("sources: [one, two]\nmixes: {all:", "mixes: {one:"),
        ("mixes.one", "'one' is among tasks already"),
    ),
    Case(
        "a source with a seed twice",
        study("sources: [one, two]", "sources:\n- one\n- two: {seeds: [1, 1]}"),
        ("study.yaml:15, key sources[1].seeds", "the seed 1 stands here twice"),
    ),
    Case(
        "a tag that is true",
        study(f"answer: {CHOICE}", f"answer: {CHOICE}\n    tags: {{easy: true}}"),
        ("one.tags.easy", 'put it in quotes: "True"'),
    ),
    Case("a mix of nothing", study("of: sources", "of: []"), ("mixes.all.of", "the mix is made of nothing")),
    Case(
        "no allowed values",
        data("{path: rows.jsonl, where: {label: []}}"),
        ("where.label", "a value or a list of values"),
    ),
    Case(
        "joined files of a Hub dataset",
        data("{hub: a/b, join: {text: t.txt}}"),
        ("data.join", "join is for files, not for hub"),
    ),
    Case(
        "splits beside separate paths",
        data("{path: {train: rows.jsonl, eval: rows.jsonl}, splits: a}"),
        ("data.splits", "path already says what trains"),
    ),
    Case(
        "six problems at once",
        data("{path: rows.jsonl, a: 1, b: 1, c: 1, d: 1, e: 1, f: 1}"),
        ("'a' (and 5 more: ", "unknown key 'e'; ...)"),
    ),
    Case(
        "a model called like an adapter", study("mixes:", "models: {two-s0: x}\nmixes:"), ("models.two-s0", "adapter's")
    ),
    Case("a model called base", study("mixes:", "models: {base: x}\nmixes:"), ("models.base", "is the base already")),
    Case(
        "an unknown control",
        study("mixes:", "controls: {one: [shuffle]}\nmixes:"),
        ("controls.one", "'shuffle'", "balance"),
    ),
    Case(
        "a control of an unknown source", study("mixes:", "controls: {on: [balance]}\nmixes:"), ("'on'", "mean 'one'")
    ),
    # answers, metrics, parsers
    Case(
        "an unknown metric",
        study("  two:", "    metrics: [acuracy]\n  two:"),
        ("study.yaml:9", "'acuracy'", "'accuracy'"),
    ),
    Case("a metric of another form", study("  two:", "    metrics: [token_f1]\n  two:"), ("does not fit", "macro_f1")),
    Case("a metric twice", study("  two:", "    metrics: [mcc, mcc]\n  two:"), ("metrics[1]", "stands here twice")),
    Case(
        "macro-F1 without classes",
        study(CHOICE, '{choice: "{{ [text, label] }}", gold: "{{ label }}"}\n    metrics: [macro_f1]'),
        ("tasks.one.metrics", "needs classes that all rows share", "use accuracy"),
    ),
    Case(
        "an unknown parser", study(GENERATE, '{generate: {gold: "x", parse: number}}'), ("generate.parse", "'number'")
    ),
    Case("label without classes", study(GENERATE, '{generate: {gold: "x", parse: label}}'), ("classes: [word, word]",)),
    Case(
        "two answer forms", study(CHOICE, '{choice: [a, b], gold: a, loss: "x"}'), ("choice and loss", "exactly one of")
    ),
    Case("no answer form", study(CHOICE, "{}"), ("tasks.one.answer", "no answer form", "exactly one of")),
    Case("choice without gold", study(CHOICE, "{choice: [a, b]}"), ("tasks.one.answer", "right option is not said")),
    Case("equal options", study(CHOICE, '{choice: [" a", "a"], gold: a}'), ("answer.choice", "'a' stands here twice")),
    Case("one option", study(CHOICE, "{choice: [a], gold: a}"), ("answer.choice", "at least two options")),
    Case("options that are no text", study(CHOICE, "{choice: [true, false], gold: a}"), ("choice", 'quotes: "True"')),
    Case(
        "a label to no option",
        study("gold:", "labels: {0: maybe}, gold:"),
        ("labels.0", "'maybe'", "write one of: ' no'"),
    ),
    Case("gold beside generate", study(GENERATE, '{generate: {gold: "x"}, gold: "y"}'), ("generate has its own gold",)),
    Case(
        "an empty stop",
        study(GENERATE, '{generate: {gold: "x", stop: [""]}}'),
        ("generate.stop", "would end every answer"),
    ),
    Case("prompt and messages", study(PROMPT, "x\n    messages: [{role: user, content: y}]"), ("prompt and messages",)),
    Case(
        "a conversation that ends with the model",
        study(f"prompt: {PROMPT}", "messages: [{role: assistant, content: y}]"),
        ("tasks.one.messages", "last turn must be the user's"),
    ),
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
        ("no/such", "cannot be loaded", "save_to_disk"),
    ),
    Case("a Hub dataset without splits", data("{hub: no/such}"), ("data.hub", "needs its splits named", "splits:")),
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
    Case("an unknown encoding", data("{path: rows.jsonl, encoding: utf-9}"), ("unknown encoding 'utf-9'", "latin-1")),
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
        lambda d: load_config(_write(d, STUDY.replace("eval: 4", "eval: 0"))),
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
    # rows and templates
    Case(
        "a missing column",
        study("{{ text }}", "{{ txt }}"),
        (
            "study.yaml:7, key tasks.one.prompt, row all-",
            "no column 'txt'",
            "did you mean 'text'? (columns: text, label)",
        ),
    ),
    Case(
        "a template that is not closed", study("{{ text }}", "{{ text }"), ("study.yaml:7", "template does not parse")
    ),
    Case(
        "an unknown filter",
        study("{{ text }}", "{{ text | trimm }}"),
        ("study.yaml:7", "No filter named 'trimm'", "mean 'trim'"),
    ),
    Case(
        "an empty prompt",
        study(PROMPT, "\"{{ text | replace(text, '') }}\""),
        ("tasks.one.prompt", "the prompt is empty"),
    ),
    Case(
        "a missing value in a column",
        data("{path: rows.jsonl, train: 1, eval: 10}", rows({"text": None, "label": "no"})),
        ("row all-10", "missing value (empty in this row: text)", '"text is not none"'),
    ),
    Case(
        "a not-a-number in a column",
        data("{path: rows.jsonl, train: 1, eval: 10}", rows({"text": float("nan"), "label": "no"})),
        ("row all-10", "missing value (empty in this row: text)"),
    ),
    Case(
        "a list where text is meant",
        data("{path: rows.jsonl, train: 1, eval: 10}", rows({"text": ["a"], "label": "no"})),
        ("row all-10", "prints a list", "join"),
    ),
    Case(
        "a label outside the options",
        data("{path: rows.jsonl, train: 1, eval: 10}", rows({"text": "x", "label": "-"})),
        ("tasks.one.answer.gold, row all-10", "gold '-' is neither an option (' no', ' yes')", "data.where"),
    ),
    Case(
        "a gold index beyond the options",
        data("{path: rows.jsonl, train: 1, eval: 10}", rows({"text": "x", "label": 2})),
        ("gold '2' is neither", "an index from 0 to 1"),
    ),
    Case(
        "a value without a label",
        study("gold:", 'labels: {"no": " no"}, gold:'),
        ("'yes' is not among the labels (no)",),
    ),
    Case(
        "a gold that can be read in two ways",
        study(CHOICE, '{choice: ["1", "0"], gold: "{{ 0 }}"}'),
        ("the text of option 1 and the index of option 0", "gold_is: text or gold_is: index"),
    ),
    Case(
        "options that are no list",
        study(CHOICE, '{choice: "{{ text }}", gold: "0"}'),
        ("answer.choice, row", "not a list"),
    ),
    Case(
        "an empty right answer",
        study('" {{ label }}"', "\" {{ '' }}\""),
        ("generate.gold, row", "right answer is empty"),
    ),
    Case(
        "a right answer that does not parse",
        study(GENERATE, '{generate: {gold: "{{ label }}", parse: final_number}}'),
        ("generate.gold, row", "finds nothing in the right answer", "another parser"),
    ),
    Case(
        "a right answer that is no class",
        study(GENERATE, '{generate: {gold: "{{ label }}", parse: first_word, classes: [Yes, No]}}'),
        ("generate.gold, row", "reads as 'yes', which is no class", "parse: label"),
    ),
    Case(
        "a where that fails on a value",
        data("{path: rows.jsonl, where: 'text + 1'}"),
        ("data.where, row all-0", "fails on this row", "correct the expression"),
    ),
    Case(
        "a template that leaves the sandbox",
        study("{{ text }}", "{{ text.__class__ }}"),
        ("tasks.one.prompt, row", "may not", "use columns and filters only"),
    ),
    # built in Python
    Case("a recipe built by hand", lambda d: RecipeConfig(rank=0), ("rank", "greater than or equal to 1")),
    Case(
        "a task built by hand",
        lambda d: TaskConfig(data={"path": "x"}, promt="x"),
        ("unknown key 'promt'", "mean 'prompt'"),
    ),
    # the run folder
    Case("a folder without a study", lambda d: Study.open(d), ("holds no study", "a run folder")),
    Case(
        "a damaged cell",
        run_folder({"cells/base/one/cell.json": "{"}),
        ("cells/base/one/cell.json", "not JSON", "delete this cell's folder"),
    ),
    Case(
        "a cell without its keys",
        run_folder({"cells/base/one/cell.json": "{}"}),
        ("cells/base/one/cell.json", "keys are missing", "only this cell is computed anew"),
    ),
    Case(
        "a damaged adapter mark",
        run_folder({"adapters/one-s0/unit.json": '{"name": "one-s0"}'}),
        ("adapters/one-s0/unit.json", "keys are missing", "only this adapter is trained anew"),
    ),
    Case(
        "a lock that is no JSON",
        run_folder({"lock.json": "locked"}),
        ("lock.json", "not JSON", "the next run writes it again"),
    ),
    Case(
        "a run folder that is a file",
        lambda d: Study.open(study_path(d), _write(d, STUDY)).run(),
        ("is a file", "--out"),
    ),
    Case(
        "records of a cell that is not there",
        lambda d: Study.open(study_path(d)).records("base", "one"),
        ("cells/base/one/cell.json", "no such cell", "traitscope ls cells"),
    ),
    Case(
        "rows of a task that is not there",
        lambda d: Study.open(study_path(d)).examples("three"),
        ("tasks/three.parquet", "no such task", "traitscope ls tasks"),
    ),
    Case(
        "layers of a study without a mix",
        lambda d: Study.open(study_path(d, ("mixes: {all: {of: sources}}", ""))).layers(),
        ("this study has no mix", "add mixes"),
    ),
]


def _write(folder: Path, content: str | bytes) -> Path:
    path = folder / "study.yaml"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_the_message_names_place_problem_and_fix(case: Case, tmp_path: Path) -> None:
    with pytest.raises(TraitscopeError) as caught:
        case.act(tmp_path)
    message = str(caught.value)
    for piece in case.says:
        assert piece in message, message
    assert "\n  fix: " in message, message
    assert "pydantic" not in message and "Traceback" not in message
    assert caught.value.where, message
    assert caught.value.__cause__ is None


def test_the_sound_study_is_sound(tmp_path: Path) -> None:
    study()(tmp_path)


def test_every_case_has_its_own_name() -> None:
    assert len({c.name for c in CASES}) == len(CASES)
