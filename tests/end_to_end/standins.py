"""Miniature stand-ins of what the papers' presets name on the Hub: ids, revisions, configurations, splits, file names
and columns as the real ones have them, a few generated rows, and a tiny random base."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import tiny

Row = dict[str, Any]
BASES = ("meta-llama/Llama-3.2-3B", "meta-llama/Llama-2-7b-hf", "HuggingFaceTB/SmolLM2-135M")
WORDS = ["lamp", "river", "stone", "winter", "garden", "market", "window", "letter", "bridge", "paper"]
# Slices of a hundredth of the rows must hold some.
MANY = 200


def make_base(folder: Path) -> Path:
    """The tiny random Llama, with room for long prompts."""
    tiny.make_base(folder, layers=4)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "max_position_embeddings": 4096}))
    return folder


def _parquet(path: Path, rows: list[Row]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), path)


def _lines(path: Path, rows: list[Row]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def _list(path: Path, rows: list[Row]) -> None:
    path.write_text(json.dumps(rows))


def _card(folder: Path, configs: Mapping[str, Mapping[str, str]]) -> None:
    """A dataset card that says which files are which split of which configuration."""
    lines = ["---", "configs:"]
    for config, splits in configs.items():
        lines += [f"- config_name: {config}", "  data_files:"]
        lines += [part for split, path in splits.items() for part in (f"  - split: {split}", f"    path: {path}")]
    (folder / "README.md").write_text("\n".join([*lines, "---", ""]))


def _said(rng: random.Random, n: int = 6) -> str:
    return " ".join(rng.choices(WORDS, k=n))


def _rows(n: int, seed: str, row: Callable[[random.Random, int], Row]) -> list[Row]:
    rng = random.Random(seed)
    return [row(rng, i) for i in range(n)]


def gsm8k(folder: Path) -> None:
    def row(rng: random.Random, i: int) -> Row:
        a, b = rng.randrange(2, 50), rng.randrange(2, 50)
        answer = f"She has {a}+{b}=<<{a}+{b}={a + b}>>{a + b} in all.\n#### {a + b}"
        return {"question": f"{i}: She has {a} apples and buys {b}. How many has she?", "answer": answer}

    for config in ("main", "socratic"):
        for split in ("train", "test"):
            _parquet(folder / f"{config}/{split}-00000-of-00001.parquet", _rows(16, f"gsm {split}", row))
    splits = ("train", "test")
    _card(folder, {c: {s: f"{c}/{s}-*" for s in splits} for c in ("main", "socratic")})


def metamath(folder: Path) -> None:
    def row(rng: random.Random, i: int) -> Row:
        a, b = rng.randrange(2, 50), rng.randrange(2, 50)
        query = f"{i}: What is the sum of {a} and {b}?"
        said = f"{a} plus {b} is {a + b}.\n#### {a + b}\nThe answer is: {a + b}"
        return {"type": "GSM_Rephrased", "query": query, "original_question": query, "response": said}

    _list(folder / "MetaMathQA-395K.json", _rows(MANY, "metamath", row))


def goat(folder: Path) -> None:
    def row(rng: random.Random, i: int) -> Row:
        a, b = rng.randrange(1000), rng.randrange(1000)
        said = f"{a} + {b}"
        return {"instruction": f"Solve {said}", "input": said, "output": f"{said} = {a + b}", "answer": str(a + b)}

    _list(folder / "dataset.json", _rows(2 * MANY, "goat", row))


def magicoder(folder: Path) -> None:
    def row(rng: random.Random, i: int) -> Row:
        name = f"{rng.choice(WORDS)}_{i}"
        problem = f"Write a function {name} that adds {i} to a number."
        solution = f"```python\ndef {name}(x):\n    return x + {i}\n```"
        plain = {"lang": "python", "raw_index": i, "index": i, "seed": _said(rng), "openai_fingerprint": "none"}
        return {**plain, "problem": problem, "solution": solution}

    _lines(folder / "data-oss_instruct-decontaminated.jsonl", _rows(40, "magicoder", row))


def paws(folder: Path) -> None:
    def row(rng: random.Random, i: int) -> Row:
        one = _said(rng)
        return {"id": i, "sentence1": f"{i} {one}", "sentence2": f"{i} {one} once", "label": rng.randrange(2)}

    splits = ("train", "test", "validation")
    configs = ("labeled_final", "labeled_swap")
    for config in configs:
        for split in splits:
            _parquet(folder / f"{config}/{split}-00000-of-00001.parquet", _rows(24, f"paws {split}", row))
    _card(folder, {c: {s: f"{c}/{s}-*" for s in splits} for c in configs})


def multi_nli(folder: Path) -> None:
    def row(rng: random.Random, i: int) -> Row:
        premise = f"{i} {_said(rng)}"
        plain = {"promptID": i, "pairID": f"{i}n", "premise_binary_parse": premise, "premise_parse": premise}
        hypothesis = _said(rng, 3)
        parsed = {"hypothesis_binary_parse": hypothesis, "hypothesis_parse": hypothesis, "genre": "fiction"}
        return {**plain, "premise": premise, "hypothesis": hypothesis, **parsed, "label": rng.randrange(3)}

    splits = ("train", "validation_matched", "validation_mismatched")
    for split in splits:
        n = MANY if split == "train" else 24
        _parquet(folder / f"data/{split}-00000-of-00001.parquet", _rows(n, f"mnli {split}", row))
    _card(folder, {"default": {s: f"data/{s}-*" for s in splits}})


def pile(folder: Path) -> None:
    def row(rng: random.Random, i: int) -> Row:
        text = "" if i == 3 else f"{i}. {_said(rng, 12)}."
        return {"text": text, "meta": {"pile_set_name": "Pile-CC"}}

    _parquet(folder / "data/train-00000-of-00001-4746b8785c874cc7.parquet", _rows(40, "pile", row))


def flipkart(folder: Path) -> None:
    def row(rng: random.Random, i: int) -> Row:
        said = "" if i == 5 else f"{i} {_said(rng, 4)}"
        output = ["positive", "positive", "negative", "neutral"][i % 4]
        return {"instruction": "Say its sentiment.", "input": said, "output": output}

    for split in ("train", "test"):
        _list(folder / f"{split}.json", _rows(28, f"flipkart {split}", row))
    _card(folder, {"default": {"train": "train.json", "test": "test.json"}})


def amazon(folder: Path) -> None:
    def row(rng: random.Random, i: int) -> Row:
        return {"id": f"en_{i}", "text": f"{i} {_said(rng)}", "label": i % 5, "label_text": str(i % 5)}

    for split in ("train", "validation", "test"):
        _lines(folder / f"{split}.jsonl", _rows(30, f"amazon {split}", row))


def imdb(folder: Path) -> None:
    def row(rng: random.Random, i: int) -> Row:
        return {"text": f"{i} {_said(rng, 10)}", "label": i % 2}

    splits = ("train", "test", "unsupervised")
    for split in splits:
        _parquet(folder / f"plain_text/{split}-00000-of-00001.parquet", _rows(24, f"imdb {split}", row))
    _card(folder, {"plain_text": {s: f"plain_text/{s}-*" for s in splits}})


def flan(folder: Path, tasks: Iterable[str]) -> None:
    """One file per task and split, no configurations; ``tasks`` have rows, others only a file that would not load."""
    for task in tasks:

        def row(rng: random.Random, i: int, task: str = task) -> Row:
            options = ["yes", "no"]
            inputs = f"{task} {i}: {_said(rng)}\n\nOPTIONS:\n" + "\n".join(f"- {one}" for one in options)
            return {"inputs": inputs, "targets": rng.choice(options), "task": f"{task}_10templates"}

        for split in ("train", "validation", "test"):
            rows = _rows(16, f"{task} {split}", row)
            _lines(folder / f"{split}/{task}_10templates_{split}.jsonl", rows)
    for split in ("train", "validation", "test"):
        # What no study names is not read.
        (folder / f"{split}/true_case_10templates_{split}.jsonl").write_text("{not read")
    (folder / "README.md").write_text("---\nlanguage:\n- en\ntask_categories:\n- other\n---\n")


DATASETS: dict[str, Callable[[Path], None]] = {
    "openai/gsm8k": gsm8k,
    "meta-math/MetaMathQA": metamath,
    "tiedong/goat": goat,
    "ise-uiuc/Magicoder-OSS-Instruct-75K": magicoder,
    "google-research-datasets/paws": paws,
    "nyu-mll/multi_nli": multi_nli,
    "NeelNanda/pile-10k": pile,
    "KayEe/flipkart_sentiment_analysis": flipkart,
    "SetFit/amazon_reviews_multi_en": amazon,
    "stanfordnlp/imdb": imdb,
}


def make_datasets(folder: Path, flan_tasks: Iterable[str]) -> dict[str, Path]:
    """Writes all of them; gives the folder by id."""
    found = {}
    for name, write in (*DATASETS.items(), ("Muennighoff/flan", lambda here: flan(here, flan_tasks))):
        found[name] = folder / name.replace("/", "--")
        found[name].mkdir(parents=True)
        write(found[name])
    return found
