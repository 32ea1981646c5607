"""The study file itself: its keys, types and names, and the run folder."""

from __future__ import annotations

from bad_input.sound import CHOICE, PROMPT, STUDY, Case, data, study, write
from traitscope.config import load_config

CASES = [
    Case(
        "a deviation beyond the scale",
        study("study: sound", "study: sound\nrun_sd: 500"),
        ("study.yaml:2", "run_sd", "100"),
    ),
    # the file as a whole
    Case(
        "no such study file",
        lambda d: load_config(d / "absent.yaml"),
        ("absent.yaml", "no such file", "traitscope init"),
    ),
    Case("a folder instead of a file", load_config, ("is a folder, not a file", "name a file in it")),
    Case("an empty file", lambda d: load_config(write(d, "")), ("study.yaml", "it is empty", "study: name")),
    Case("a list instead of keys", lambda d: load_config(write(d, "- a\n")), ("not a study file", "study: name")),
    Case("broken YAML", study("train: 4, eval: 4}", "train: 4, eval: 4"), ("study.yaml:7", "not valid YAML", "colons")),
    Case("a tab in the indentation", study("  two:", "\ttwo:"), ("study.yaml:9", "not valid YAML", "no tabs")),
    Case(
        "not UTF-8", lambda d: load_config(write(d, b"study: \xff\n")), ("study.yaml", "not UTF-8", "save it as UTF-8")
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
        lambda d: load_config(write(d, "study: s\nbase: b\ntasks: [one]\n")),
        ("study.yaml:3", "'tasks' must be a mapping"),
    ),
    Case(
        "no tasks",
        lambda d: load_config(write(d, "study: s\nbase: embedded\ntasks: {}\n")),
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
    Case("a learning rate of zero", study("lr: 2e-4", "lr: 0"), ("recipe.lr", "or equal to 1e-12, not 0")),
    Case(
        "a learning rate of five", study("lr: 2e-4", "lr: 5"), ("recipe.lr", "must be less than or equal to 1, not 5")
    ),
    Case("epochs that are true", study("rank: 8", "epochs: true"), ("recipe.epochs", "a whole number, not True")),
    Case(
        "epochs in quotes", study("rank: 8", 'epochs: "4"'), ("study.yaml:3", "recipe.epochs", "whole number, not '4'")
    ),
    Case("a rank of 8.0", study("rank: 8", "rank: 8.0"), ("recipe.rank", "must be a whole number, not 8.0")),
    Case("a rank of 10^9", study("rank: 8", "rank: 1000000000"), ("recipe.rank", "less than or equal to 65536")),
    Case("a clip below all", study("rank: 8", "clip: 1e-300"), ("recipe.clip", "greater than or equal to 1e-09")),
    Case("fp16 in the recipe", study("rank: 8", "fp16: true"), ("unknown key 'fp16'", "fp32, bf16, fp64 or nf4")),
    Case(
        "more threads than a process can have",
        study("mixes:", "compute: {threads: 4096}\nmixes:"),
        ("compute.threads", "less than or equal to 1024, not 4096"),
    ),
    Case(
        "more processes than a machine can have",
        study("mixes:", "compute: {workers: 5000}\nmixes:"),
        ("compute.workers", "less than or equal to 1024, not 5000"),
    ),
    Case("a dropout of all", study("rank: 8", "dropout: 1"), ("recipe.dropout", "must be less than 1, not 1")),
    Case("an alpha that is no number", study("rank: 8", "alpha: .nan"), ("recipe.alpha", "a finite number")),
    Case(
        "a seed below zero", study("rank: 8", "seeds: [-1]"), ("recipe.seeds[0]", "greater than or equal to 0, not -1")
    ),
    Case("a module twice", study("rank: 8", "targets: [q_proj, q_proj]"), ("recipe.targets", "stands here twice")),
    Case("no target", study("mixes:", "targets: []\nmixes:"), ("key targets", "the list is empty")),
    Case("plugins that are true", study("mixes:", "plugins: true\nmixes:"), ("key plugins", "must be a list", "True")),
    Case("an empty path", data("{path: ''}"), ("tasks.one.data.path", "the text is empty")),
    Case(
        "two tasks that differ in capitals",
        study("  two:", "  ONE:"),
        ("study.yaml:9, key tasks.ONE", "'one' and 'ONE' differ in capitals alone"),
    ),
    Case("a mix called BASE", study("mixes: {all:", "mixes: {BASE:"), ("mixes.BASE", "is the base already, as 'base'")),
    Case(
        "a mix called like a task that only evaluates",
        study("[one, two]\nmixes: {all:", "[one]\nmixes: {Two:"),
        ("mixes.Two", "is a task's already, as 'two'"),
    ),
    Case(
        "a source called like another task",
        study("[one, two]", "[{name: two, task: one}]"),
        ("sources[0]", "the name 'two' is a task's already"),
    ),
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
        lambda d: load_config(write(d, STUDY.replace("eval: 4", "eval: 0", 1) + "targets: [two, one]\n")),
        ("study.yaml:15, key targets[1]", "the task 'one' has no eval rows", "take it out of targets"),
    ),
    Case("a mix of an unknown source", study("of: sources", "of: [one, tow]"), ("mixes.all.of", "'tow'", "mean 'two'")),
    Case(
        "a mix that holds out an unknown task",
        study("of: sources", "hold_out: [x]"),
        ("mixes.all.hold_out", "task 'x'"),
    ),
    Case(
        "a mix that takes rows of what it holds out",
        study("of: sources", "rows: {one: 2, two: 2}, hold_out: [two]"),
        ("mixes.all.rows.two", "holds its task out"),
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
]
