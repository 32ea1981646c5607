"""Answers, metrics and parsers; rows and templates; studies built in Python; the run folder."""

from __future__ import annotations

from bad_input.sound import (
    CHOICE,
    GENERATE,
    PROMPT,
    STUDY,
    Case,
    data,
    rows,
    run_folder,
    study,
    study_path,
    write,
)
from traitscope.config import RecipeConfig, TaskConfig
from traitscope.store.seal import sealed
from traitscope.study import Study

CASES = [
    # right answers that nobody could give
    Case(
        "a stop text inside the right answer",
        study(GENERATE, '{generate: {gold: " {{ text }}", stop: ["w"]}}'),
        ("answer.generate.gold, row all-", "holds the stop string 'w'", "choose another stop"),
    ),
    Case(
        "a stop text in front of the right answer",
        study(GENERATE, '{generate: {gold: " {{ text }}", stop: [" "]}}'),
        ("holds the stop string ' '",),
    ),
    *(
        Case(
            f"a right answer read as less than itself: {gold}",
            study(GENERATE, f'{{generate: {{gold: "{gold}", parse: final_number}}}}'),
            ("answer.generate.gold, row all-", " is read", "choose parse: raw"),
        )
        for gold in ("10-12", "x + 1", "2021-05-03", "3 and 4", "(3,4)")
    ),
    Case(
        "part of a right answer under number_match",
        study(GENERATE, '{generate: {gold: "10-12"}}\n    metrics: [number_match]'),
        ("only 12 is read", "use exact_match"),
    ),
    Case(
        "a right answer without a number under number_match",
        study(GENERATE, '{generate: {gold: " {{ label }}"}}\n    metrics: [number_match]'),
        ("number_match finds no number", "use exact_match"),
    ),
    *(
        Case(
            f"a number without end: {number}",
            study("{{ text }}", "{{ n }}", {"rows.jsonl": f'{{"text": "x", "label": "no", "n": {number}}}\n' * 10}),
            ("prompt, row all-", "prints an infinite number", "data.where"),
        )
        for number in ("Infinity", "-Infinity", "1e999")
    ),
    # answers, metrics, parsers
    Case(
        "no class words",
        study(GENERATE, '{generate: {gold: " {{ label }}", classes: []}}'),
        ("answer.generate.classes", "the list is empty"),
    ),
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
        run_folder({"cells/base/one/cell.json": "{"}, lambda study: study.records("base", "one")),
        ("cells/base/one/cell.json", "not JSON", "this cell alone goes to quarantine/"),
    ),
    Case(
        "a cell without its keys",
        run_folder(
            {"cells/base/one/cell.json": sealed({"n": 3}, "cell.json")}, lambda study: study.records("base", "one")
        ),
        ("cells/base/one/cell.json", "keys are missing", "is computed anew"),
    ),
    Case(
        "a damaged adapter mark",
        run_folder({"adapters/one-s0/unit.json": '{"name": "one-s0"}'}, lambda study: study.folder.adapter("one-s0")),
        ("adapters/one-s0/unit.json", "sha256 differs", "this adapter alone goes to quarantine/"),
    ),
    Case(
        "a lock that is no JSON",
        run_folder({"lock.json": "locked"}),
        ("lock.json", "not JSON", "goes to quarantine/ and is written again"),
    ),
    Case(
        "a run folder that is a file",
        lambda d: Study.open(study_path(d), write(d, STUDY)).run(),
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
