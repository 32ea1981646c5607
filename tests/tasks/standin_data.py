"""Generated files in the layouts of public datasets: what stands in for the shared data folder where it is absent."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

LABELS = ("entailment", "neutral", "contradiction")
KINDS = ("Addition", "Subtraction", "Multiplication", "Common-Divison")
INTENTS = (
    "AddToPlaylist", "BookRestaurant", "GetWeather", "PlayMusic", "RateBook", "SearchCreativeWork",
    "SearchScreeningEvent",
)  # fmt: skip

NAMES = (
    "imdb_sentences", "mnli", "snli", "pawsx", "piqa", "openbookqa", "toxicity", "gsm8k", "svamp", "aqua_values",
    "bbh_navigate", "nq_open", "snips_intents", "wnut17", "translation", "humaneval", "wikitext",
)  # fmt: skip
"""The tasks of ``shared_study.yaml`` whose files are made here: one for each way of reading."""


def make_data(root: Path) -> Path:
    """Writes all files below ``root`` and gives it back."""
    _lines(root, "uci_sentiment_sentences/imdb_labelled.txt", (f"Film {i} was seen.  \t{i % 2}" for i in range(1000)))
    for split, n in (("train", 3000), ("dev", 1530)):
        # Every fiftieth row of the second file has no label, and is dropped by ``where``.
        rows = [
            {
                "sentence": f"{split} {i}: a man sleeps",
                "label": "-" if split == "dev" and i % 51 == 50 else LABELS[i % 3],
            }
            for i in range(n)
        ]
        _json(root, f"mnli/{split}.json", rows)
    pairs = (f'"He, {i}","She {i}",{LABELS[i % 3] if i % 9 else "-"}' for i in range(2000))
    _lines(root, "snli_dev/dev.csv", ["premise,hypothesis,label", *pairs])
    _lines(root, "pawsx_en/dev-en.tsv", (f"first {i}\tsecond {i}\t{i % 2}" for i in range(2000)))
    goals = [
        {"goal": f"reach goal {i}", "sol1": f"one {i}", "sol2": f"two {i}" if i % 10 else f"one {i} "}
        for i in range(1838)
    ]
    _jsonl(root, "piqa/valid.jsonl", goals)
    _lines(root, "piqa/valid-labels.lst", (str(i // 2 % 2) for i in range(1838)))
    for split, n in (("train", 1500), ("test", 500)):
        _json(root, f"openbookqa/{split}.json", [_four_options(split, i) for i in range(n)])
    tweets = (f"{i},tweet {i},{(1, 1, 1, 0, 2)[i % 5]}" for i in range(3000))
    _lines(root, "toxicity_davidson/labeled_data.csv", ["n,tweet,class", *tweets])
    for split, n in (("train", 1200), ("test", 300)):
        sums = [{"question": f"{split} {i}: {i} + 1?", "answer": f"{i} + 1 = {i + 1}\n#### {i + 1}"} for i in range(n)]
        _jsonl(root, f"gsm8k/{split}.jsonl", sums)
    eggs = [{"Body": f"There are {i} eggs", "Question": "How many?", "Answer": float(i)} for i in range(1000)]
    _json(root, "svamp/SVAMP.json", [{**row, "Type": KINDS[i % 4]} for i, row in enumerate(eggs)])
    _jsonl(root, "aqua_rat/test.json", [_five_values(i) for i in range(254)])
    moves = [{"input": f"Take {i} steps left.", "target": ("Yes", "No")[i % 2]} for i in range(300)]
    _json(root, "bbh/navigate.json", {"canary": "none", "examples": moves})
    asked = [
        {"question": f"who was number {i}", "answer": ["Ann", "Ann Lee", "A. Lee"][: i % 3 + 1]} for i in range(3610)
    ]
    _jsonl(root, "nq_open/NQ-open.dev.jsonl", asked)
    for intent in INTENTS:
        said = [{"data": [{"text": f"please {intent} "}, {"text": f"now {i}", "entity": "time"}]} for i in range(100)]
        _json(root, f"snips/validate_{intent}.json", {intent: said})
    for name, n in (("wnut17train.conll", 800), ("emerging.test.annotated", 400)):
        _lines(root, f"wnut17_ner/{name}", (line for i in range(n) for line in _tagged(name[0], i)))
    _lines(root, "ntrex_translation/newstest2019-src.eng.txt", (f"Sentence {i}." for i in range(1000)))
    _lines(root, "ntrex_translation/newstest2019-ref.deu.txt", (f"Satz {i}." for i in range(1000)))
    programs = [{"prompt": f"def f{i}(x):\n", "canonical_solution": f"    return x + {i}\n"} for i in range(164)]
    packed = gzip.compress("".join(json.dumps(row) + "\n" for row in programs).encode())
    _folder(root / "humaneval/HumanEval.jsonl.gz").write_bytes(packed)
    for split in ("valid", "test"):
        _lines(root, f"wikitext2/{split}.txt", (f" {split} {i} {'word ' * (i % 2 * 30)}" for i in range(1400)))
    return root


def _four_options(split: str, i: int) -> dict[str, Any]:
    options = " ".join(f"Answer{k}: thing {i} {k}" for k in range(1, 5))
    text = f"Please choose: {split} question {i}\n\n{options}\n\nAnswer format: answer1/answer2"
    return {"instruction": text, "answer": f"answer{i % 4 + 1}"}


def _five_values(i: int) -> dict[str, Any]:
    # Some rows have the same value twice; ``where`` leaves them out.
    values = [i, i + 1, i + 2, i + 3, i + (4 if i % 10 else 3)]
    options = [f"{letter}){value}" for letter, value in zip("ABCDE", values, strict=True)]
    return {"question": f"What is number {i}?", "options": options, "correct": "ABCDE"[i % 4]}


def _tagged(kind: str, i: int) -> list[str]:
    name = [] if i % 4 == 0 else ["Ann\tB-person", "Lee\tI-person"][: i % 2 + 1]
    return [f"{kind}{i}\tO", *name, "speaks\tO", ""]


def _folder(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _lines(root: Path, name: str, lines: Iterable[str]) -> None:
    _folder(root / name).write_text("".join(line + "\n" for line in lines), encoding="utf-8")


def _jsonl(root: Path, name: str, rows: Iterable[Any]) -> None:
    _lines(root, name, (json.dumps(row) for row in rows))


def _json(root: Path, name: str, value: Any) -> None:
    _folder(root / name).write_text(json.dumps(value), encoding="utf-8")
