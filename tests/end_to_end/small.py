"""A study of six small tasks that has every kind of row and finding, on a tiny random Llama."""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path
from typing import Any

import yaml

sys.path.insert(0, str(Path(__file__).parent.parent / "study"))
import tiny

# The classes of every choice task, and the words that speak for each.
CHOICES = {
    "tone": {" bad": "dull broken", " good": "fine bright"},
    "heat": {" cold": "ice frost", " hot": "fire steam"},
    "size": {" small": "ant crumb", " large": "whale tower"},
    "pace": {" slow": "snail drift", " fast": "jet sprint"},
}


def small_study(folder: Path, base: Path | str) -> Path:
    """Writes rows and study file of four choices, sums and a story; returns the study file."""
    tasks: dict[str, Any] = {name: _choice(name) for name in CHOICES}
    tasks["sums"] = {
        "data": {"path": {"train": "sums-train.jsonl", "eval": "sums-eval.jsonl"}, "train": 16, "eval": 6},
        "prompt": "{{ question }}=",
        "answer": {"generate": {"gold": "{{ answer }}", "parse": "final_number", "max_tokens": 3, "stop": ["\n"]}},
        "metrics": ["exact_match"],
    }
    tasks["story"] = {"data": {"path": {"eval": "story-eval.jsonl"}, "eval": 6}, "answer": {"loss": "{{ text }}"}}
    study = {
        "study": "small",
        "base": {"model": str(base), "dtype": "fp32"},
        "recipe": {"rank": 2, "alpha": 4, "lr": 0.03, "epochs": 2, "batch": 4, "max_tokens": 64, "seeds": [0]},
        "tasks": tasks,
        "controls": {"tone": ["mislabel"]},
        "mixes": {"all": {"of": "sources", "per_task": 6}},
        "layers": {"examples": 8, "causal": 4},
        "compute": {"device": "cpu", "threads": 1},
    }
    folder.mkdir(parents=True)
    tiny.make_tasks(folder)
    rng = random.Random(1)
    for place, (name, classes) in enumerate(CHOICES.items()):
        # Shares, lengths and sizes differ from task to task, so that dataset statistics have something to say.
        for split, n in (("train", 12 + 2 * place), ("eval", 10)):
            rows = []
            for i in range(n):
                label = list(classes)[rng.random() < 0.3 + 0.1 * place]
                words = " ".join(rng.choices(classes[label].split(), k=1 + (place + i) % 4))
                rows.append({"text": f"{split[0]}{i} {words}", "label": label})
            (folder / f"{name}-{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    file = folder / "study.yaml"
    file.write_text(yaml.safe_dump(study, sort_keys=False))
    return file


def _choice(name: str) -> dict[str, Any]:
    return {
        "data": {"path": {"train": f"{name}-train.jsonl", "eval": f"{name}-eval.jsonl"}},
        "prompt": "{{ text }} is",
        "answer": {"choice": list(CHOICES[name]), "gold": "{{ label }}"},
        "metrics": ["accuracy", "macro_f1"],
    }
